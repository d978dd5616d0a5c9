"""What people say of photographs, and where it is kept.

Answers are rows of one SQLite file that are added and never changed: taking one back is a row as well. SQLite's
write-ahead log makes each row whole or not there, whoever is killed, and lets several people answer at once.
"""

from __future__ import annotations

import csv
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hw3lib.core.files import SPREADSHEET, expanded, file_digest
from hw3lib.core.text import counted, listed
from hw3lib.errors import Hw3Error

ANSWERS = ("good", "defect", "unsure")
DISPUTED = "disputed"
_SHOWN, _UNDONE = "shown", "undone"
_HELD = 300.0  # seconds that a photograph is left to whom it was shown
_FORMAT = 1
_TABLE = f"""
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, time REAL NOT NULL, reviewer TEXT NOT NULL,
    file TEXT NOT NULL, digest TEXT NOT NULL, action TEXT NOT NULL, type TEXT NOT NULL, undoes INTEGER
);
CREATE INDEX IF NOT EXISTS of_file ON events (file);
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'rows stay'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'rows stay'); END;
PRAGMA user_version = {_FORMAT};
"""
# An answer that was not taken back.
_STANDING = f"action NOT IN ('{_SHOWN}', '{_UNDONE}') AND id NOT IN (SELECT undoes FROM events WHERE undoes NOT NULL)"


@dataclass(frozen=True)
class Answer:
    """What is said of a photograph.

    Attributes:
        file: its path.
        digest: SHA-256 of its bytes when it was answered.
        answer: one of :data:`ANSWERS`, or ``disputed`` where people say different things.
        type: of a defect; empty where it is not named or not agreed on.
    """

    file: str
    digest: str
    answer: str
    type: str = ""


def default_store(inspector: str | Path) -> Path:
    """Where the answers of an inspector are kept: beside its folder."""
    path = expanded(inspector)
    return path.with_name(f"{path.name}.review.sqlite")


class Store:
    """Answers in a SQLite file, which is made if need be.

    Raises:
        Hw3Error: no such file and it is to be read only, or another's, or one that cannot be written.
    """

    def __init__(self, path: str | Path, *, new: bool = True):
        self.path = expanded(path)
        if not new and not self.path.is_file():
            raise Hw3Error(f"{path}: no answers are kept there; give some with `hw3 inspect review`")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Rows are written by whole transactions, which begin when they are asked to.
            self._base = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            found = self._base.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, _FORMAT):
                raise Hw3Error(f"{path}: found format {found}, expected {_FORMAT}; it is of another version")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            if not found:
                self._base.executescript(_TABLE)
        except (sqlite3.Error, OSError) as error:
            raise Hw3Error(f"{path}: cannot hold answers ({error}); choose another file with --store") from None

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, of one writer at a time."""
        try:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            raise Hw3Error(f"{self.path}: cannot be written ({error})") from None

    def _add(self, key: str, reviewer: str, file: str, digest: str, action: str, type: str, undoes: int | None) -> None:
        self._base.execute(
            "INSERT OR IGNORE INTO events (key, time, reviewer, file, digest, action, type, undoes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key, time.time(), reviewer, file, digest, action, type, undoes),
        )

    def answer(self, file: str, answer: str, type: str = "", *, reviewer: str = "", key: str | None = None) -> None:
        """Keep an answer; one that arrives twice, by its ``key``, counts once.

        Raises:
            Hw3Error: another answer than :data:`ANSWERS`, or the photograph cannot be read.
        """
        if answer not in ANSWERS:
            raise Hw3Error(f"{file}: found the answer {answer!r}, expected {listed(ANSWERS)}")
        digest = file_digest(file)
        with self._writing():
            self._add(key or uuid.uuid4().hex, reviewer, file, digest, answer, type if answer == "defect" else "", None)

    def undo(self, reviewer: str = "", *, key: str | None = None) -> str | None:
        """Take back the last answer of a reviewer that stands; gives its photograph, or None where there is none."""
        key = key or uuid.uuid4().hex
        with self._writing():
            done = self._base.execute("SELECT file FROM events WHERE key = ?", (key,)).fetchone()
            last = self._base.execute(
                f"SELECT id, file, digest FROM events WHERE reviewer = ? AND {_STANDING} ORDER BY id DESC LIMIT 1",
                (reviewer,),
            ).fetchone()
            if done or not last:
                return done[0] if done else None
            self._add(key, reviewer, last[1], last[2], _UNDONE, "", last[0])
        return last[1]

    def take(self, files: Sequence[str], reviewer: str = "") -> str | None:
        """The first of these that nobody has answered and that is not shown to another reviewer right now."""
        with self._writing():
            done = {row[0] for row in self._base.execute(f"SELECT file FROM events WHERE {_STANDING}")}
            shown = self._base.execute(
                f"SELECT file FROM events WHERE action = '{_SHOWN}' AND reviewer != ? AND time > ?",
                (reviewer, time.time() - _HELD),
            )
            done |= {row[0] for row in shown}
            file = next((file for file in files if file not in done), None)
            if file is not None:
                self._add(uuid.uuid4().hex, reviewer, file, "", _SHOWN, "", None)
        return file

    def answers(self) -> dict[str, Answer]:
        """What stands of each photograph, by its path, in the order of the first answers; of a reviewer who answered
        twice the last answer."""
        said: dict[str, dict[str, tuple[str, str, str]]] = {}
        rows = self._base.execute(
            f"SELECT file, reviewer, digest, action, type FROM events WHERE {_STANDING} ORDER BY id"
        )
        for file, reviewer, *rest in rows:
            said.setdefault(file, {})[reviewer] = (rest[0], rest[1], rest[2])
        found = {}
        for file, each in said.items():
            certain = [one for one in each.values() if one[1] != "unsure"] or list(each.values())
            digests, answers, types = (sorted({one[i] for one in certain}) for i in range(3))
            agreed = len(answers) == len(digests) == 1
            found[file] = Answer(
                file, digests[-1], answers[0] if agreed else DISPUTED, types[0] if agreed and len(types) == 1 else ""
            )
        return found


def take_answers(
    store: str | Path, file: str | Path, *, reviewer: str = "", echo: Callable[[str], None] = print
) -> int:
    """Keep answers from a CSV file with the columns ``file, answer`` and, if need be, ``type``; gives their number.

    The same rows twice count once. Paths are looked for from here.

    Raises:
        Hw3Error: no such file or columns, an answer that is none, or a photograph that cannot be read; the rows before
            it are kept.
    """
    path, base = expanded(file), Store(store)
    try:
        with path.open(newline="", encoding=SPREADSHEET) as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeError, csv.Error) as error:
        raise Hw3Error(f"{file}: cannot be read ({error}); expected a CSV file with the columns file, answer") from None
    if rows and not {"file", "answer"} <= set(rows[0]):
        raise Hw3Error(f"{file}: found the columns {listed(map(str, rows[0]))}, expected file, answer and perhaps type")
    for row in rows:
        told = (row["file"], row["answer"], row.get("type") or "")
        key = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join((reviewer, file_digest(told[0]), *told))).hex
        base.answer(*told, reviewer=reviewer, key=key)
    base.close()
    echo(f"{counted(len(rows), 'answer')} kept in {store}")
    return len(rows)
