"""Grade a folder of submitted exercise notebooks: each in processes of its own, with limits on time and memory.

What is executed is the course's own notebook with the student's answers put in, so an edited check or a deleted cell
gains nothing. The limits keep a broken submission from stopping the rest; they are no prison: an answer is code, and
one that sets out to deceive can. Look at the answers, and run strangers' code in a container or a virtual machine.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from hw3lib.core.files import SPREADSHEET, atomic_path, expanded, is_no_regular_file
from hw3lib.core.listing import list_files
from hw3lib.core.text import listed, plural
from hw3lib.data.fetch.sources import get
from hw3lib.errors import Hw3Error
from hw3lib.runs.kernel import this_kernel

from . import exercises

MOST_BYTES = 20_000_000  # of a submission; pictures in it are thrown away unread
PASSED, FAILED, MISSING, ERROR = "passed", "failed", "missing", "error"
_POLL = 0.2  # seconds between two looks at memory


@dataclass
class Grade:
    """One submission.

    Attributes:
        submission: path below the graded folder.
        chapter: name of the chapter, empty if it was not recognised.
        status: ``ok``; ``timeout``, ``memory``, ``died`` (the rest of the exercises then count as ``error``);
            ``setup`` (the course's own cells failed); ``unreadable``.
        exercises: ``passed``, ``failed`` (a wrong answer), ``missing`` (none) or ``error``, in order.
        seconds: wall time.
        message: of the first exercise that did not pass, which answers were not found, or why nothing was executed.
    """

    submission: str
    chapter: str = ""
    status: str = "ok"
    exercises: list[str] = field(default_factory=list)
    seconds: float = 0.0
    message: str = ""

    @property
    def passed(self) -> int:
        """Number of exercises passed."""
        return self.exercises.count(PASSED)


def grade(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
    timeout: float = 300.0,
    memory: int = 4_000_000_000,
    echo: Callable[[str], object] = print,
) -> list[Grade]:
    """Grade every notebook below a folder, in the order of their paths, into one CSV file.

    Args:
        folder: submissions, such as ``ada/04_anomaly_detection.ipynb``; a notebook is recognised by its metadata, or
            else by its name.
        out: the CSV file, written anew after each submission; None takes ``grades.csv`` in the folder.
        data: folder that holds the categories, see :func:`hw3lib.data.get`.
        timeout: seconds for one submission.
        memory: bytes that its processes may use together.
        echo: gets one line a submission.

    Raises:
        Hw3Error: no such folder, no notebook in it, limits that are not positive, or an ``out`` that cannot be
            written.
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise Hw3Error(f"{folder}: no such folder; expected one with submitted notebooks (.ipynb), in folders or not")
    if timeout <= 0 or memory <= 0:
        raise Hw3Error(f"timeout={timeout:g}, memory={memory}: expected positive limits")
    out = Path(out) if out else folder / "grades.csv"
    found = list_files(folder, _is_notebook, recursive=True, links=False)
    paths = sorted(map(Path, found.files))
    if not paths:
        raise Hw3Error(f"{folder}: no notebook (.ipynb) in it; links and hidden folders are not followed")
    references = {path.stem: nbformat.read(path, as_version=4) for path in exercises.folder().glob("*.ipynb")}
    root = get("synthetic/bottle", data, profile="quick", progress=False)
    grades: list[Grade] = []
    if left := found.say():
        echo(left)
    write(out, grades)
    with this_kernel():
        for number, path in enumerate(paths, 1):
            one = _grade_one(path, folder, references, Path(root).resolve(), timeout, memory)
            grades.append(one)
            write(out, grades)
            score = f"{one.passed} of {len(one.exercises)}" if one.exercises else one.status
            note = "" if one.status == "ok" or not one.exercises else f" ({one.status})"
            echo(f"[{number}/{len(paths)}] {one.submission}: {score}{note}")
    return grades


def write(path: Path, grades: Sequence[Grade]) -> None:
    """One row a submission; a column for each exercise."""
    most = max((len(g.exercises) for g in grades), default=0)
    columns = [f"exercise {number}" for number in range(1, most + 1)]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding=SPREADSHEET) as file:
        rows = csv.writer(file)
        rows.writerow(["submission", "chapter", "status", "passed", "of", *columns, "seconds", "message"])
        for g in grades:
            cells = [*g.exercises, *[""] * (most - len(g.exercises))]
            row = [g.submission, g.chapter, g.status, g.passed, len(g.exercises), *cells, f"{g.seconds:.1f}", g.message]
            rows.writerow([_no_formula(cell) for cell in row])


def _no_formula(cell: Any) -> Any:
    """Text that a spreadsheet would execute, such as a file name that begins with ``=``, is quoted."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _is_notebook(path: str) -> bool:
    return path.lower().endswith(".ipynb") and os.path.isfile(path)


def _grade_one(
    path: Path, folder: Path, references: dict[str, NotebookNode], root: Path, timeout: float, memory: int
) -> Grade:
    result = Grade(path.relative_to(folder).as_posix())
    try:
        submitted = _read(path)
        result.chapter = _chapter(submitted, path, references)
        reference = references[result.chapter]
        notebook = put_in(reference, submitted)
    except Hw3Error as error:
        result.status, result.message = "unreadable", str(error)
        return result
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hw3-grade-", ignore_cleanup_errors=True) as work:
        source, executed = Path(work) / "in.ipynb", Path(work) / "out.ipynb"
        nbformat.write(notebook, source)
        result.status = _execute(source, executed, root, timeout, memory)
        result.seconds = time.monotonic() - started
        cells = []
        with suppress(OSError, ValueError, nbformat.ValidationError):  # it was killed before the first cell
            cells = nbformat.read(executed, as_version=4).cells
        said = (Path(work) / "stderr.txt").read_text(errors="replace", encoding="utf-8").strip().splitlines()
    _judge(result, cells or notebook.cells)
    if result.status == "died" and said:
        result.message += f" ({said[-1][:200]})"
    result.message = "; ".join(filter(None, (result.message, _lost(reference, submitted))))
    return result


def _read(path: Path) -> NotebookNode:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise Hw3Error(f"{path}: cannot be read ({error.strerror})") from None
    if is_no_regular_file(path):
        raise Hw3Error(f"{path}: is no regular file; submit a notebook")
    if size > MOST_BYTES:
        raise Hw3Error(f"{path}: {size} bytes, expected {MOST_BYTES} or fewer; clear its outputs and submit it again")
    try:
        found = nbformat.reads(
            path.read_text(encoding="utf-8-sig"), as_version=4
        )  # with a mark at its start or without
        if not isinstance(found.metadata, dict) or not all(map(_is_cell, found.cells)):
            raise ValueError("expected cells with a source, metadata and a list of tags")
        json.dumps(found, ensure_ascii=False).encode()  # no file can hold half characters, which JSON can
        return found
    except Exception as error:  # a stranger's file can break nbformat in any way
        raise Hw3Error(f"{path}: not a notebook ({type(error).__name__}: {str(error)[:200]})") from None


def _is_cell(cell: Any) -> bool:
    """Whether a cell has what is read of it; nbformat only logs what is wrong."""
    return (
        isinstance(cell, dict)
        and isinstance(cell.get("source"), str)
        and isinstance(cell.get("metadata"), dict)
        and isinstance(cell["metadata"].get("tags", []), list)
        and all(isinstance(tag, str) for tag in cell["metadata"].get("tags", []))
    )


def _chapter(submitted: NotebookNode, path: Path, references: dict[str, NotebookNode]) -> str:
    ours = submitted.metadata.get("hw3lib")
    named = ours.get("chapter") if isinstance(ours, dict) else None
    if isinstance(named, str) and named in references:
        return named
    found = [name for name in references if path.name.startswith(name[:2])]
    if len(found) != 1:
        raise Hw3Error(f"{path}: of no known chapter; expected a name that begins as one of {', '.join(references)}")
    return found[0]


def _lost(reference: NotebookNode, submitted: NotebookNode) -> str:
    """Which answers were not found, in a sentence; empty if none."""
    numbers = {mark[1] for cell in reference.cells if (mark := exercises.numbered(cell))}
    lost = sorted(numbers - exercises.located(reference, submitted).keys())
    if not lost:
        return ""
    return (
        f"no answer to {plural(len(lost), 'exercise')} {listed(map(str, lost))} was found, neither by a tag or id nor "
        "before its check: the cell was deleted, or an editor has dropped the tags and the check was edited"
    )


def put_in(reference: NotebookNode, submitted: NotebookNode) -> NotebookNode:
    """The course's notebook with the student's answers, and with the code cells that the student added before them."""
    known = {cell.source.strip() for cell in reference.cells}
    ours = {"parameters", "setup", "injected-parameters"}
    places = {position: number for number, position in exercises.located(reference, submitted).items()}
    answers: dict[int, str] = {}
    extras: dict[int, list[str]] = {}
    waiting: list[str] = []
    for position, cell in enumerate(submitted.cells):
        if cell.get("cell_type") != "code":
            continue
        if position in places:
            answers[places[position]] = cell.source
            extras[places[position]] = waiting
            waiting = []
        elif (
            not exercises.numbered(cell)
            and not ours & set(cell.metadata.get("tags", []))
            and cell.source.strip() not in known | {""}
        ):
            waiting.append(cell.source)
    result = nbformat.from_dict(reference)
    cells = []
    for cell in result.cells:
        mark = exercises.numbered(cell)
        if mark:
            if mark[0] == "answer":
                added = [new_code_cell(source) for source in extras.get(mark[1], [])]
                cells += [_goes_on(extra) for extra in added]
                cell.source = answers.get(mark[1], cell.source)
            _goes_on(cell)
        cells.append(cell)
    result.cells = cells
    return result


def _goes_on(cell: NotebookNode) -> NotebookNode:
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), "raises-exception"]
    return cell


def _execute(source: Path, executed: Path, root: Path, timeout: float, memory: int) -> str:
    """Run papermill beside this process; end it and all it started when a limit is passed."""
    work = source.parent
    command = [sys.executable, "-m", "papermill", str(source), str(executed), "--kernel", "python3", "--cwd", str(work)]
    command += [
        "--no-progress-bar",
        "--parameters_raw",
        "data",
        str(root),
        "--parameters_raw",
        "out",
        str(work / "run"),
    ]
    environment = os.environ | {"HW3_HEADLESS": "1", "MPLBACKEND": "agg"}
    with (work / "stderr.txt").open("w", encoding="utf-8") as errors:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=work, env=environment, stdin=quiet, stdout=quiet, stderr=errors)
    tree = psutil.Process(process.pid)
    end, status = time.monotonic() + timeout, "ok"
    family: dict[int, psutil.Process] = {}
    try:
        while process.poll() is None:
            used = 0
            with suppress(psutil.Error):
                family |= {child.pid: child for child in [tree, *tree.children(recursive=True)]}
            for one in family.values():
                with suppress(psutil.Error):
                    used += one.memory_info().rss
            if used > memory:
                status = "memory"
                break
            if time.monotonic() > end:
                status = "timeout"
                break
            time.sleep(_POLL)
    finally:
        for one in reversed(list(family.values())):  # the kernel outlives papermill where that is killed
            with suppress(psutil.Error):
                one.kill()
        process.wait()
    return status


def _judge(result: Grade, cells: Sequence[NotebookNode]) -> None:
    """Read the executed notebook into the grade."""
    last = max((i for i, c in enumerate(cells) if c.cell_type == "code" and c.get("execution_count")), default=-1)
    answered: dict[int, str] = {}
    for position, cell in enumerate(cells):
        mark = exercises.numbered(cell)
        errors = [o for o in cell.get("outputs", []) if o.output_type == "error"] if cell.cell_type == "code" else []
        if not mark:
            if errors and "raises-exception" not in cell.metadata.get("tags", []):
                result.status, result.message = "setup", _say(errors[0])
            continue
        kind, number = mark
        names = {e.ename for e in errors}
        if kind == "answer":
            answered[number] = MISSING if "NotImplementedError" in names else ERROR if errors else ""
            if errors and not result.message and answered[number] == ERROR:
                result.message = f"exercise {number}: {_say(errors[0])}"
            continue
        ran = bool(cell.get("execution_count")) and position <= last
        if ran and not errors and not answered.get(number):
            outcome = PASSED
        elif answered.get(number):
            outcome = answered[number]
        elif "NotImplementedError" in names:
            outcome = MISSING
        else:
            outcome = FAILED if "CheckFailed" in names else ERROR
        if outcome in (FAILED, ERROR) and errors and not result.message:
            result.message = f"exercise {number}: {_say(errors[0])}"
        result.exercises.append(outcome)
    checks = [c for c in cells if (exercises.numbered(c) or ("",))[0] == "check"]
    if result.status == "ok" and any(not c.get("execution_count") for c in checks):
        result.status = "died"
    if result.status in ("timeout", "memory", "died") and not result.message:
        result.message = {
            "timeout": "stopped at the time limit",
            "memory": "stopped at the memory limit",
            "died": "the kernel ended before the last exercise",
        }[result.status]


def _say(error: NotebookNode) -> str:
    text = " ".join(f"{error.ename}: {error.evalue}".split())
    return text if len(text) <= 300 else f"{text[:297]}..."
