"""Keep an eye on a folder: each photograph that comes is scored exactly once, through kills and restarts.

What was said of a photograph is one row of a SQLite database, committed before it is told anywhere else. The tables
that people and programs read are written anew from it at each start and grow by a line a photograph from then on, so
what a killed process left half-written does not stay. A file is taken once it has not changed for a while, which is
short where its last bytes say that it is whole; one that changes later is another photograph.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hw3lib.core.files import SPREADSHEET, atomic_path, expanded, refuse_existing
from hw3lib.core.locks import InUse, held
from hw3lib.core.text import printable
from hw3lib.data.folders.find import is_category, refuse_inside_category
from hw3lib.data.overlooked import list_images
from hw3lib.errors import Hw3Error

from .inspector import GOOD, Inspector
from .photographs import Photograph, read_batches
from .score import COLUMNS, RESULTS, cell, region_rows, row_of

DATABASE, LINES = "watch.sqlite", "regions.jsonl"
EVERY, TICK = 0.2, 0.01  # seconds between two looks at all files, and at whether any has come
SETTLED, WHOLE = 0.5, 0.02  # seconds that a file must not have changed; and one that ends as it should
_ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
_BATCH = 8  # photographs scored before they are told
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS photographs (file TEXT, bytes INTEGER, changed INTEGER, row TEXT, regions TEXT,"
    " seconds REAL, PRIMARY KEY (file, bytes, changed))"
)

Row = dict[str, Any]
Key = tuple[str, int, int]  # path, bytes, and when it was changed last, nanoseconds


class Watched(NamedTuple):
    """What came out of :func:`watch`: photographs, those that are not good, and those that could not be read."""

    photographs: int
    not_good: int
    failed: int


def watch(
    place: str | Path,
    folder: str | Path,
    out: str | Path,
    *,
    idle: float | None = None,
    false_alarm_rate: float | None = None,
    threshold: float | None = None,
    recursive: bool = False,
    echo: Callable[[str], None] = print,
) -> Watched:
    """Score what is in a folder and what comes, until the process is interrupted.

    Args:
        place: folder of an inspector or a detector, or an ONNX file.
        folder: of photographs, which are not touched.
        out: folder of ``results.csv`` and ``regions.jsonl``, see :func:`hw3lib.inspection.score.score`, and of the
            database, with which an earlier watch goes on.
        idle: end when nothing came for so many seconds; None: never.
        false_alarm_rate, threshold: as of :func:`hw3lib.inspection.score.score`.
        recursive: sub-folders too.
        echo: receives a line a photograph, with how long it took since it was written, and how many wait.

    Raises:
        Hw3Error: no such folder, no inspector, ``out`` is something else, or another process watches into it.
    """
    folder, out = expanded(folder), Path(out)
    if not folder.is_dir():
        raise Hw3Error(f"--watch {folder}: no such folder; expected one that photographs come into")
    refuse_inside_category(out, *filter(is_category, [folder]))
    if out.resolve().is_relative_to(folder.resolve()) and recursive:
        raise Hw3Error(f"--out {out}: lies in the folder that is watched; choose another place")
    refuse_existing(out, True, DATABASE, "results of a watch")
    inspector = Inspector(place, false_alarm_rate=false_alarm_rate, threshold=threshold, echo=echo)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with held(out / f"{DATABASE}.lock"), closing(sqlite3.connect(out / DATABASE)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(_SCHEMA)
            done: set[Key] = set(database.execute("SELECT file, bytes, changed FROM photographs"))
            echo(f"{inspector.said}\n{folder}: {len(done)} photographs are known; new ones are scored as they come")
            with _tables(out, database) as tell:
                for key, row, regions, seconds, waiting in _coming(inspector, folder, done, idle, recursive):
                    with database:  # one transaction; from here on it is known
                        values = (*key, json.dumps(row), json.dumps(regions), seconds)
                        database.execute("INSERT INTO photographs VALUES (?, ?, ?, ?, ?, ?)", values)
                    tell(row, regions)
                    said = row["verdict"] or f"cannot be read: {row['reason']}"
                    echo(f"{row['file']}: {said} ({seconds:.2f} s after it was written, {waiting} waiting)")
            rows = [json.loads(row) for (row,) in database.execute("SELECT row FROM photographs")]
    except InUse:
        raise Hw3Error(f"--out {out}: another process watches into it; end it, or choose another folder") from None
    verdicts = [row["verdict"] for row in rows]
    failed = verdicts.count(None)
    return Watched(len(rows), len(rows) - failed - verdicts.count(GOOD), failed)


def _coming(
    inspector: Inspector, folder: Path, done: set[Key], idle: float | None, recursive: bool
) -> Iterator[tuple[Key, Row, list[Row], float, int]]:
    """Each photograph once it has settled: what it is known by, its row and regions, seconds since it was written, and
    how many wait."""
    first: dict[Key, float] = {}  # when each that has not settled was seen first
    last, model = time.monotonic(), inspector.model
    with ThreadPoolExecutor() as pool:
        while True:
            now = time.monotonic()
            seen = {key: path for key, path in _present(folder, recursive) if key not in done}
            first = {key: first.get(key, now) for key in seen}
            waited = {key: now - first[key] for key in seen}
            settled = (k for k, s in waited.items() if s >= SETTLED or s >= WHOLE and _is_whole(seen[k]))
            ready = sorted(settled, key=lambda key: key[2])
            if seen:
                last = now
            elif idle is not None and now - last >= idle:
                return
            part = {seen[key]: key for key in ready[:_BATCH]}
            photographs = [Photograph(path, path.stem, None) for path in part]
            for batch in read_batches(photographs, model.image_size, _BATCH, pool, model.reading_):
                for found in inspector.look(batch, regions=True):
                    key = part[found.photograph.path]
                    done.add(key)
                    row, regions = row_of(found, inspector.threshold), list(region_rows(found))
                    del first[key]
                    yield key, row, regions, time.time() - key[2] / 1e9, len(first)
            if len(ready) <= _BATCH:
                _wait(folder, TICK if any(seconds < WHOLE for seconds in waited.values()) else EVERY)


def _wait(folder: Path, seconds: float) -> None:
    """So long, or until a file has come into the folder itself, which changes the folder's own time."""
    until, before = time.monotonic() + seconds, _changed(folder)
    while time.monotonic() < until and _changed(folder) == before:
        time.sleep(TICK)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:  # out of reach for a while
        return 0


def _is_whole(path: Path) -> bool:
    """Whether a file ends as one of its kind does; False where nothing is known of the kind."""
    end = _ENDS.get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            file.seek(-len(end or b"."), 2)
            return file.read() == end
    except OSError:  # empty, or gone
        return False


def _present(folder: Path, recursive: bool) -> Iterator[tuple[Key, Path]]:
    """Images that are there now."""
    for path in map(Path, list_images(folder, recursive).files):
        try:
            status = path.stat()
        except OSError:  # it is gone again
            continue
        yield (printable(str(path)), status.st_size, status.st_mtime_ns), path


@contextmanager
def _tables(out: Path, database: sqlite3.Connection) -> Iterator[Callable[[Row, list[Row]], None]]:
    """``results.csv`` and ``regions.jsonl`` as the database has them, and what adds a photograph to both."""
    with (
        atomic_path(out / RESULTS) as results,
        atomic_path(out / LINES) as lines,
        results.open("w", newline="", encoding=SPREADSHEET) as table,
        lines.open("w", encoding="utf-8") as beside,
    ):
        csv.writer(table).writerow(COLUMNS)
        for row, regions in database.execute("SELECT row, regions FROM photographs ORDER BY rowid"):
            _add(table, beside, json.loads(row), json.loads(regions))
    with (
        (out / RESULTS).open("a", newline="", encoding="utf-8") as table,
        (out / LINES).open("a", encoding="utf-8") as beside,
    ):
        yield lambda row, regions: _add(table, beside, row, regions)


def _add(table: Any, beside: Any, row: Row, regions: list[Row]) -> None:
    csv.writer(table).writerow([cell(row[column]) for column in COLUMNS])
    beside.writelines(json.dumps(region, ensure_ascii=False) + "\n" for region in regions)
    table.flush()
    beside.flush()
