"""Grade a folder of submitted exercise notebooks: each in a process of its own, with limits on time and memory.

What is executed is the course's own notebook with the student's answers put in, so an edited check or a deleted cell
gains nothing. Its set-up is executed once a chapter (:mod:`hw3lib.course.grader`). The limits keep a broken submission
from stopping the rest; they are no prison: an answer is code, and one that sets out to deceive can. Look at the
answers, and run strangers' code in a container or a virtual machine.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import psutil
from nbformat import NotebookNode

from hw3lib.core.files import SPREADSHEET, atomic_path, expanded, is_no_regular_file, write_json
from hw3lib.core.listing import list_files
from hw3lib.core.places import OWN
from hw3lib.core.text import listed, plural
from hw3lib.core.translation import ENGLISH, VARIABLE, languages
from hw3lib.data.fetch.sources import get
from hw3lib.data.table import load_table
from hw3lib.errors import Hw3Error

from . import exercises, feedback, leaderboard, predictions, students
from .checks import hidden
from .checks.dataset import figures_of
from .checks.progress import asked_hints
from .grader import FORKS
from .translation import translated

DRAWN = ".drawn"  # beside the grades: the images of the students, by their seeds
MOST_BYTES = 20_000_000  # of a submission; pictures in it are thrown away unread
PASSED, MISSING, ERROR = "passed", "missing", "error"
_POLL = 0.02  # seconds between two looks at memory


@dataclass
class Grade:
    """One submission.

    Attributes:
        submission: path below the graded folder.
        chapter: name of the chapter, empty if it was not recognised.
        status: ``ok``; ``timeout``, ``memory``, ``died`` (the rest of the exercises then count as ``error``);
            ``setup`` (the course's own cells failed); ``unreadable``.
        exercises: ``passed``, ``failed`` (a wrong answer), ``missing`` (none) or ``error``, in order.
        messages: what each exercise was told, also where it passed.
        scores: what each reached on a hidden test set, as columns of :mod:`.leaderboard`, or None.
        answers: the code of each.
        predictions: those handed in beside the notebook that have met their results, as
            :func:`hw3lib.course.predictions.judged` has them, or None.
        digests: of the code of each answer.
        texts: what each answer says in the student's own words, for a teacher to judge by the exercise's rubric.
        owner: ID of the student, where the roster or the folder tells.
        language: in which the student was given the notebook.
        figures: whose the figures are that were handed in as one's own: ``own``, ``wrong``, ``copied: ...`` (those of
            another student, or of the course's notebook), or empty.
        hints: number of hints asked for in this chapter, where ``hints.json`` was handed in beside the notebook.
        seconds: wall time.
        message: which answers were not found, or why the rest was not executed.
    """

    submission: str
    chapter: str = ""
    status: str = "ok"
    exercises: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    scores: list[dict[str, Any] | None] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    predictions: pd.DataFrame | None = None
    digests: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    owner: str = ""
    language: str = ENGLISH
    figures: str = ""
    hints: int = 0
    seconds: float = 0.0
    message: str = ""

    @property
    def passed(self) -> int:
        """Number of exercises passed."""
        return self.exercises.count(PASSED)

    @property
    def student(self) -> str:
        """Whose it is: the owner, or else the folder's name, or that of a notebook outside of any."""
        first, _, below = self.submission.partition("/")
        return self.owner or (first if below else Path(first).stem)


class Sets:
    """The images of each student of a class, drawn when they are first asked for, and kept beside the grades.

    Args:
        course: None: everybody has the course's own.
        root: folder of these.
        folder: for those of the students.
    """

    def __init__(self, course: students.Course | None, root: Path, folder: Path) -> None:
        self.course, self.root, self.folder = course, root, folder
        self.differ = course is not None and bool(course.term)
        self._figures: dict[Path, dict[str, float]] = {}
        self._known: dict[str, students.Student] = {one.id: one for one in course.students.values()} if course else {}

    def of(self, owner: str) -> Path:
        """Folder that holds the categories of a student."""
        if not self.differ or self.course is None:
            return self.root
        seed = self.course.seed(self.known(owner))
        place = self.folder / str(seed)
        if not (place / OWN).is_file():  # what a notebook draws there is the student's, too
            write_json(place / OWN, {"student": owner, "term": self.course.term, "seed": seed})
        return get("synthetic/bottle", place, profile="quick", progress=False).resolve()

    def known(self, owner: str) -> students.Student:
        """A student, who is one of those that others can have copied from now on."""
        return self._known.setdefault(owner, students.Student(owner))

    def figures(self, root: Path) -> dict[str, float]:
        """What :func:`figures_of` says of a folder."""
        if root not in self._figures:
            self._figures[root] = figures_of(load_table(root, "synthetic/bottle"))
        return self._figures[root]

    def verdict(self, found: dict[str, float], owner: str) -> str:
        """Whose figures these are. Two of one other set, which are not one's own, are no coincidence: copied."""
        own = self.figures(self.of(owner))
        wrong = [name for name in own if not abs(found[name] - own[name]) <= 0.5]
        if not wrong:
            return "own"
        others = [("the course's notebook", self.root)] if self.of(owner) != self.root else []
        for whose, root in chain(others, ((one, self.of(one)) for one in list(self._known) if one != owner)):
            theirs = self.figures(root)
            if sum(abs(found[name] - theirs[name]) <= 0.5 for name in wrong) >= 2:
                return f"copied: {whose}"
        return "wrong"


def grade(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
    timeout: float = 300.0,
    memory: int = 4_000_000_000,
    solutions: bool = False,
    course: students.Course | None = None,
    echo: Callable[[str], object] = print,
) -> list[Grade]:
    """Grade every notebook below a folder, in the order of their paths, into one CSV file and a page a student.

    What is to beat something goes into a leaderboard beside the CSV file, see :mod:`.leaderboard`.

    Args:
        folder: submissions, such as ``ada/04_anomaly_detection.ipynb``; a notebook is recognised by its metadata, or
            else by its name.
        out: the CSV file, written anew after each submission; None takes ``grades.csv`` in the folder. The pages are
            in ``feedback/`` beside it, one for each student: a folder of submissions, or a notebook outside of any.
        data: folder that holds the categories, see :func:`hw3lib.data.get`.
        timeout: seconds for one submission.
        memory: bytes that its processes may use together.
        solutions: the pages show the solution of each exercise that did not pass.
        course: term, roster, points and deadlines, see :mod:`.students`; None: there are none of them. With one a
            gradebook is written, and with a term each student is graded on images of their own.
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
    board = leaderboard.read(out.with_name(leaderboard.FILE))
    seed = leaderboard.hidden_set(board)
    found = list_files(folder, _is_notebook, recursive=True, links=False)
    paths = sorted(path for path in map(Path, found.files) if path.parent.name != exercises.CHAPTERS)
    if not paths:
        raise Hw3Error(f"{folder}: no notebook (.ipynb) in it; links and hidden folders are not followed")
    references = {
        path.stem.removeprefix("ex"): nbformat.read(path, as_version=4) for path in exercises.folder().glob("*.ipynb")
    }
    root = Path(get("synthetic/bottle", data, profile="quick", progress=False)).resolve()
    sets = Sets(course, root, out.absolute().parent / DRAWN)
    owners = {path: _owner(path.relative_to(folder), course) for path in paths}
    for owner in owners.values():
        sets.known(owner)
    chapters = {name: len(_numbers(reference)) for name, reference in references.items()}
    found_records = students.records(course, [], chapters, folder) if course else {}  # a wrong file is told first
    grades: list[Grade] = []
    if left := found.say():
        echo(left)
    write(out, grades)
    with _graders(references, root, seed) as grader:
        for number, path in enumerate(paths, 1):
            one = _grade_one(path, folder, references, grader, timeout, memory, sets, owners[path])
            grades.append(one)
            write(out, grades)
            if rows := _board_rows(one, references, seed):
                board = leaderboard.merged(board, rows)
                leaderboard.write(out.with_name(leaderboard.FILE), board)
            score = f"{one.passed} of {len(one.exercises)}" if one.exercises else one.status
            note = "" if one.status == "ok" or not one.exercises else f" ({one.status})"
            note += f", figures {one.figures}" if one.figures else ""
            echo(f"[{number}/{len(paths)}] {one.submission}: {score}{note}")
    if course:
        found_records = students.records(course, grades, chapters, folder)
        students.write(out.parent, course, found_records)
        if strangers := sorted({one.student for one in grades if course.find(one.student) is None}):
            echo(f"not on the roster, and so not in the gradebook: {listed(strangers)}")
    feedback.write(out.parent / "feedback", grades, references, solutions, found_records)
    return grades


def _owner(path: Path, course: students.Course | None) -> str:
    """ID of the student whose submission it is."""
    name = Grade(path.as_posix()).student
    student = course.find(name) if course else None
    return student.id if student else name


def write(path: Path, grades: Sequence[Grade]) -> None:
    """One row a submission; two columns for each exercise, its outcome and what was said."""
    most = max((len(g.exercises) for g in grades), default=0)
    columns = [f"{what} {number}" for what in ("exercise", "message") for number in range(1, most + 1)]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding=SPREADSHEET) as file:
        rows = csv.writer(file)
        rows.writerow(
            ["submission", "chapter", "status", "passed", "of", "hints", "figures", "seconds", *columns, "message"]
        )
        for g in grades:
            empty = [""] * (most - len(g.exercises))
            row = [g.submission, g.chapter, g.status, g.passed, len(g.exercises), g.hints, g.figures]
            row += [f"{g.seconds:.1f}"]
            row += [*g.exercises, *empty, *g.messages, *empty, g.message]
            rows.writerow([leaderboard.quoted(cell) for cell in row])


def _board_rows(one: Grade, references: dict[str, NotebookNode], seed: int) -> list[dict[str, Any]]:
    """What a submission adds to the leaderboard: a row for each exercise that is to beat something and was answered."""
    if one.chapter not in references:
        return []
    names = exercises.checks_of(references[one.chapter].cells)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    found = zip(one.exercises, one.digests, one.scores, strict=True)
    return [
        dict.fromkeys(leaderboard.COLUMNS, "")
        | {"exercise": f"{one.chapter}, exercise {number}", "student": one.student, "submission": one.submission}
        | {"outcome": outcome, "answer": digest, "hidden_set": seed, "graded": now}
        | (score or {})
        for number, (outcome, digest, score) in enumerate(found, 1)
        if names.get(number) in hidden.SETS and outcome != MISSING
    ]


def _is_notebook(path: str) -> bool:
    return path.lower().endswith(".ipynb") and os.path.isfile(path)


def _grade_one(  # noqa: PLR0913, what one submission meets
    path: Path,
    folder: Path,
    references: dict[str, NotebookNode],
    grader: Grader,
    timeout: float,
    memory: int,
    sets: Sets,
    owner: str,
) -> Grade:
    result = Grade(path.relative_to(folder).as_posix(), owner=owner)
    try:
        submitted = _read(path)
        result.chapter = _chapter(submitted, path, references)
    except Hw3Error as error:
        result.status, result.message = "unreadable", str(error)
        return result
    reference = as_given(references[result.chapter], submitted, result.chapter)
    result.language = reference.metadata.get("hw3lib", {}).get("language", ENGLISH)
    reads = any("parameters" in cell.metadata.get("tags", []) for cell in reference.cells)
    root = sets.of(owner) if reads else sets.root
    if len(predicted := predictions.judged(path.parent)):
        result.predictions = predicted
    asked = asked_hints(path.parent)
    result.hints = sum(asked.get(name, 0) for name in exercises.checks_of(reference.cells).values())
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hw3-grade-", ignore_cleanup_errors=True) as work:
        job = Path(work) / "answers.json"
        given = answers(reference, submitted)
        result.answers = [sources[-1] for sources in given]
        result.digests = [leaderboard.digest(sources[-1]) for sources in given]
        result.texts = [exercises.written(sources[-1]) for sources in given]
        token = secrets.token_hex()  # what an answer writes does not have it
        content = {"answers": given, "token": token, "data": None if root == sets.root else str(root)}
        job.write_text(json.dumps(content), encoding="utf-8")
        result.status, why = grader(result.chapter, job, timeout, memory, token)
        result.seconds = time.monotonic() - started
        lines = []
        with suppress(OSError):  # it was killed before the first exercise
            lines = (Path(work) / "results.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):  # it was killed while it wrote, or answers wrote there
            found = json.loads(line)
            if found["token"] != token:
                continue
            outcome, said, score = str(found["outcome"]), str(found["message"]), found["score"]
            result.exercises.append(outcome)
            result.messages.append(said)
            result.scores.append(score)
            if sets.differ and (said := found.get("figures")):
                result.figures = sets.verdict({name: float(said[name]) for name in sets.figures(root)}, owner)
    left = len(_numbers(reference)) - len(result.exercises)
    result.exercises += [ERROR] * left
    result.messages += [why] * left
    result.scores += [None] * left
    result.message = "; ".join(filter(None, (why, _lost(reference, submitted))))
    return result


def _numbers(reference: NotebookNode) -> list[int]:
    return sorted({mark[1] for cell in reference.cells if (mark := exercises.numbered(cell))})


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
    begins = {name: name if name == exercises.CAPSTONE else f"ex{name[:2]}" for name in references}
    found = [name for name in references if path.name.lower().startswith(begins[name])]
    if len(found) != 1:
        known = ", ".join(name if name == exercises.CAPSTONE else f"ex{name}" for name in references)
        raise Hw3Error(f"{path}: of no known chapter; expected a name that begins as one of {known}")
    return found[0]


def as_given(reference: NotebookNode, submitted: NotebookNode, chapter: str) -> NotebookNode:
    """The course's notebook in the language in which a student was given it."""
    ours = submitted.metadata.get("hw3lib")
    language = ours.get("language") if isinstance(ours, dict) else None
    return translated(reference, language, chapter) if language in languages() else reference


def _lost(reference: NotebookNode, submitted: NotebookNode) -> str:
    """Which answers were not found, in a sentence; empty if none."""
    lost = sorted(set(_numbers(reference)) - exercises.located(reference, submitted).keys())
    if not lost:
        return ""
    return (
        f"no answer to {plural(len(lost), 'exercise')} {listed(map(str, lost))} was found, neither by a tag or id nor "
        "before its check: the cell was deleted, or an editor has dropped the tags and the check was edited"
    )


def answers(reference: NotebookNode, submitted: NotebookNode) -> list[list[str]]:
    """For each exercise the code to execute: cells that the student added before the answer, and the answer."""
    known = {cell.source.strip() for cell in reference.cells}
    ours = {"parameters", "setup", "injected-parameters"}
    places = {position: number for number, position in exercises.located(reference, submitted).items()}
    marked = {mark: cell.source for cell in reference.cells if (mark := exercises.numbered(cell))}
    found = {number: [marked["answer", number]] for number in _numbers(reference)}
    waiting: list[str] = []
    for position, cell in enumerate(submitted.cells):
        if cell.get("cell_type") != "code":
            continue
        if position in places:
            found[places[position]] = [*waiting, cell.source]
            waiting = []
        elif (
            not exercises.numbered(cell)
            and not ours & set(cell.metadata.get("tags", []))
            and cell.source.strip() not in known | {""}
        ):
            waiting.append(cell.source)
    return list(found.values())


Grader = Callable[[str, Path, float, int, str], tuple[str, str]]


@contextmanager
def _graders(references: dict[str, NotebookNode], root: Path, seed: int) -> Iterator[Grader]:
    """A function that executes a submission and returns its status and why; a chapter's set-up is kept for the next."""
    running: dict[str, subprocess.Popen[str]] = {}

    with tempfile.TemporaryDirectory(prefix="hw3-graders-", ignore_cleanup_errors=True) as place:

        def start(chapter: str) -> str:
            """Execute the set-up of a chapter; what went wrong, empty if nothing."""
            source = Path(place) / f"{chapter}.ipynb"
            nbformat.write(references[chapter], source)
            environment = os.environ | {"HW3_HEADLESS": "1", "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
            environment |= {"PYTHONIOENCODING": "utf-8", VARIABLE: ENGLISH}  # a page is told in its student's language
            command = [sys.executable, "-m", "hw3lib.course.grader", str(source), str(root), str(seed)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, cwd=place, env=environment, stdin=pipe, stdout=pipe, encoding="utf-8")
            running[chapter] = process
            return (_line(process) or ["the set-up ended without a word"])[0]

        def grader(chapter: str, job: Path, timeout: float, memory: int, token: str) -> tuple[str, str]:
            if (chapter not in running or running[chapter].poll() is not None) and (said := start(chapter)):
                _end(running.pop(chapter))
                return "setup", said
            process, finished = running[chapter], False
            with suppress(OSError):
                print(job, file=process.stdin, flush=True)
            status = _watch(_line(process), timeout, memory)
            if not FORKS or _line(process) != ["ended"]:
                _end(running.pop(chapter))
            if status == "ok":
                with suppress(OSError, UnicodeDecodeError):
                    finished = job.with_name("finished").read_text(encoding="utf-8") == token
                status = "ok" if finished else "died"
            return status, feedback.STOPPED.get(status, "")

        try:
            yield grader
        finally:
            for process in running.values():
                _end(process)


def _line(process: subprocess.Popen[str]) -> list:
    """A message of a grader, empty if it has ended."""
    with suppress(ValueError, OSError):
        return list(json.loads(process.stdout.readline())) if process.stdout else []
    return []


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _watch(started: list, timeout: float, memory: int) -> str:
    """Wait for a process and all it started; end them when a limit is passed."""
    end, status = time.monotonic() + timeout, "ok"
    family: dict[int, psutil.Process] = {}
    with suppress(psutil.Error, IndexError):
        tree = psutil.Process(int(started[0]))
        family[tree.pid] = tree
        while tree.is_running() and tree.status() != psutil.STATUS_ZOMBIE:
            family |= {child.pid: child for child in tree.children(recursive=True)}
            used = 0
            for one in family.values():
                with suppress(psutil.Error):
                    used += one.memory_info().rss
            if used > memory or time.monotonic() > end:
                status = "memory" if used > memory else "timeout"
                break
            time.sleep(_POLL)
    for one in reversed(list(family.values())):
        with suppress(psutil.Error):
            one.kill()
    return status
