"""A class: who is in it, whose data is which, what exercises are worth, and the gradebook.

The images of a student come from a seed of term and ID (:func:`seed_of`). What a teacher says stands in a YAML file, of
which all may be left out::

    term: 2026-autumn
    key: key.txt                            # a secret, see seed_of; files are looked for beside this one
    roster: roster.csv                      # as Moodle or Canvas exports it, or with the column student
    assignment: Exercises                   # name of the grade in Moodle and Canvas
    points: {"01": 1, "04": {1: 1, 4: 3}}   # of every exercise of a chapter, or of some; 1 where nothing is said
    weights: {"01": 1, "04": 2}             # the chapters that count; else those with points, else all, by their points
    deadline: 2026-12-01T23:59+08:00        # or one a chapter: {"01": 2026-10-01, "04": 2026-11-01}
    late: {per_day: 10, most: 50, grace: 15}  # per cent for each day begun, at most so many; minutes that do not count
    submitted: submitted.csv                # student, submitted and perhaps chapter; else the time of the file counts
"""

from __future__ import annotations

import csv
import hmac
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw3lib.core.files import SPREADSHEET, atomic_path, expanded, is_no_regular_file, read_json, write_json
from hw3lib.core.places import OWN
from hw3lib.core.text import did_you_mean
from hw3lib.core.untrusted import parse
from hw3lib.errors import Hw3Error

from .leaderboard import quoted

if TYPE_CHECKING:
    from .grading import Grade

_SHORTEST = 16  # bytes of a key
_COLUMNS = {  # what a roster's column is called: by Canvas, by Moodle, by us; "Student" is a name in Canvas's export
    "id": ("sis user id", "id number", "student"),
    "email": ("email address", "email"),
    "canvas_id": ("id", "canvas id"),
    "login": ("sis login id", "username", "login"),
    "section": ("section",),
    "folder": ("folder",),
    "seed": ("seed",),
}


def folded(text: str) -> str:
    """An ID or a name, whatever its case, width and spaces around."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def seed_of(student: str, term: str, key: bytes = b"") -> int:
    """The seed of a student's images: the first 48 bits of HMAC-SHA256 (RFC 2104) of term and ID under a key.

    Without a key whoever knows an ID can draw that student's images, which gains them nothing: the figures are wrong
    for their own ID, and are known to be another's. With a key, which only the teacher has, a student knows the one
    seed that stands in the folder that the teacher made, and nobody computes another's from it.
    """
    text = f"{folded(term)}\0{folded(student)}"
    return int.from_bytes(hmac.digest(key, text.encode(), "sha256")[:6], "big")


@dataclass(frozen=True)
class Student:
    """A row of the roster; ``folder`` is that of the submissions, where it is not called as the ID."""

    id: str
    name: str = ""
    email: str = ""
    canvas_id: str = ""
    login: str = ""
    section: str = ""
    folder: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Course:
    """What the teacher's file says; see the module. Chapters are written ``"01"``, ``""`` stands for all of them."""

    term: str = ""
    key: bytes = b""
    students: Mapping[str, Student] = field(default_factory=dict)
    assignment: str = "hw3lib exercises"
    points: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    deadlines: Mapping[str, datetime] = field(default_factory=dict)
    per_day: float = 0.0
    most: float = 100.0
    grace: float = 0.0
    submitted: Mapping[tuple[str, str], datetime] = field(default_factory=dict)

    def find(self, folder: str) -> Student | None:
        """Whose folder of submissions, or whose file, it is; None if the roster knows nobody of that name.

        Names as Moodle (``Ada Lovelace_12_assignsubmission_file_``) and Canvas (``lovelaceada_34_567_ex01``) give them
        are understood, too. Without a roster everybody is a student.
        """
        if not self.students:
            return Student(folder)
        moodle = re.fullmatch(r"(.+)_\d+_assignsubmission_.*", folder)
        canvas = re.match(r"[^_]+_(?:LATE_)?(\d+)_\d+_", folder)
        ways = (
            lambda one: folded(folder) in (folded(one.id), folded(one.folder)),
            lambda one: moodle and folded(moodle[1]) == folded(one.name),
            lambda one: canvas and canvas[1] == one.canvas_id,
        )
        found = ([one for one in self.students.values() if way(one)] for way in ways)
        return next((some[0] for some in found if len(some) == 1), None)

    def seed(self, student: Student) -> int:
        """That of the student's images."""
        return student.seed if student.seed is not None else seed_of(student.id, self.term, self.key)

    def worth(self, chapter: str, exercise: int) -> float:
        """Points of an exercise."""
        said = self.points.get(chapter, 1)
        return float(said.get(exercise, 1) if isinstance(said, Mapping) else said)

    def sealed(self, folder: Path, names: Iterable[str]) -> Path:
        """A course file without the key, but with the seed of everybody on the roster, or of these students."""
        students = self.students or {name: Student(name) for name in names}
        with (folder / "roster.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(
                file, [{"id": "student"}.get(f.name, f.name.replace("_", " ")) for f in fields(Student)]
            )
            rows.writeheader()
            for one in students.values():
                said = asdict(replace(one, seed=self.seed(one) if self.term else one.seed))
                rows.writerow({name: value for name, value in zip(rows.fieldnames, said.values(), strict=True)})
        with (folder / "submitted.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [
                    ("student", "chapter", "submitted"),
                    *((*who, when.isoformat()) for who, when in self.submitted.items()),
                ]
            )
        deadlines = {chapter: when.isoformat() for chapter, when in self.deadlines.items()}
        content = {
            "term": self.term,
            "roster": "roster.csv",
            "submitted": "submitted.csv",
            "assignment": self.assignment,
            "points": self.points,
            "weights": self.weights,
            "deadline": deadlines.get("", deadlines),
            "late": {"per_day": self.per_day, "most": self.most, "grace": self.grace},
        }
        path = folder / "course.yaml"
        path.write_text(json.dumps({name: value for name, value in content.items() if value}), encoding="utf-8")
        return path


def enrol(target: str | Path, student: str, course: Course) -> Path:
    """Give a student's folder its own images, by a file in ``data/``; they are drawn when they are first asked for.

    Raises:
        Hw3Error: no term, an ID that is no name of a file, or a folder that is another's.
    """
    one = course.find(student)
    if one is None:
        raise Hw3Error(f"student {student!r} is not on the roster; it has {len(course.students)} students")
    if not course.term:
        raise Hw3Error("--student without --term: give the term as the teacher writes it, such as --term 2026-autumn")
    _check_id(one.id, "--student")
    path = expanded(target) / "data" / OWN
    content = {"student": one.id, "term": course.term, "seed": course.seed(one)}
    found = read_json(path)
    if path.exists() and found != content:
        whose = f"{found.get('student')} in {found.get('term')}"
        raise Hw3Error(
            f"{path}: this folder has the images of {whose}; name a new folder for {one.id} in {course.term}"
        )
    write_json(path, content)
    return path


def read(path: str | Path | None, term: str | None = None, key: str | Path | None = None) -> Course | None:
    """The course of a file; term and file of the key may stand outside of it, and then win. None if nothing is given.

    Raises:
        Hw3Error: a file that cannot be read, or the first thing in it that is no such thing.
    """
    if path is None and term is None and key is None:
        return None
    said: dict[str, Any] = {}
    if path is not None:
        path = expanded(path)
        try:
            found = parse(_text(path))
        except ValueError as error:
            raise Hw3Error(f"{path}: no YAML ({error})") from None
        if not isinstance(found, dict):
            raise Hw3Error(f"{path}: expected lines such as 'term: 2026-autumn', found {found!r:.80}")
        said = {str(name): value for name, value in found.items()}
    known = ("term", "key", "roster", "assignment", "points", "weights", "deadline", "late", "submitted")
    for name in said.keys() - set(known):
        raise Hw3Error(f"{path}: {name!r} is unknown{did_you_mean(name, known)} Known: {', '.join(known)}")
    beside = path.parent if isinstance(path, Path) else Path()

    def place(name: str) -> Path:
        if not isinstance(said[name], str):
            raise Hw3Error(f"{path}: {name}: expected the name of a file, found {said[name]!r}")
        return beside / expanded(said[name])

    late = _late(path, said.get("late", {}))
    return Course(
        term=str(term or said.get("term", "")).strip(),
        key=_key(expanded(key) if key else place("key")) if key or "key" in said else b"",
        students=_roster(place("roster")) if "roster" in said else {},
        assignment=str(said.get("assignment", Course.assignment)),
        points={c: _points(path, c, v) for c, v in _by_chapter(path, "points", said.get("points", {})).items()},
        weights={
            c: _number(path, f"weights: {c}", v, 0)
            for c, v in _by_chapter(path, "weights", said.get("weights", {})).items()
        },
        deadlines={
            c: _when(path, "deadline", v)
            for c, v in _by_chapter(path, "deadline", said.get("deadline", {}), True).items()
        },
        submitted=_submitted(place("submitted")) if "submitted" in said else {},
        **late,
    )


def _text(path: Path) -> str:
    if is_no_regular_file(path):
        raise Hw3Error(f"{path}: is no regular file")
    try:
        return path.read_text(encoding=SPREADSHEET)
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise Hw3Error(f"{path}: cannot be read ({why})") from None


def _key(path: Path) -> bytes:
    found = _text(path).strip().encode()
    if len(found) < _SHORTEST:
        raise Hw3Error(
            f"{path}: a key of {len(found)} bytes can be guessed; expected {_SHORTEST} or more, such as what "
            "python -c 'import secrets; print(secrets.token_hex())' prints"
        )
    return found


def _number(path: Any, where: str, value: Any, low: float, high: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value == math.inf:
        bounds = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise Hw3Error(f"{path}: {where}: expected a number, {bounds}, found {value!r}")
    return float(value)


def _by_chapter(path: Any, name: str, value: Any, one_for_all: bool = False) -> dict[str, Any]:
    """A setting by chapter; ``1``, ``01`` and ``"01"`` are one."""
    if one_for_all and not isinstance(value, dict):
        return {"": value}
    if not isinstance(value, dict):
        raise Hw3Error(f'{path}: {name}: expected chapters such as {{"01": ...}}, found {value!r}')
    return {f"{int(c):02d}" if str(c).isdecimal() else str(c): said for c, said in value.items()}


def _points(path: Any, chapter: str, value: Any) -> float | dict[int, float]:
    if not isinstance(value, dict):
        return _number(path, f"points: {chapter}", value, 0)
    for number in value:
        if type(number) is not int and not str(number).isdecimal():
            raise Hw3Error(f"{path}: points: {chapter}: expected numbers of exercises, found {number!r}")
    return {int(n): _number(path, f"points: {chapter}: exercise {n}", v, 0) for n, v in value.items()}


def _late(path: Any, value: Any) -> dict[str, float]:
    bounds = {"per_day": 100.0, "most": 100.0, "grace": math.inf}
    if not isinstance(value, dict) or value.keys() - bounds.keys():
        raise Hw3Error(f"{path}: late: expected {', '.join(bounds)}, found {value!r}")
    return {name: _number(path, f"late: {name}", said, 0, bounds[name]) for name, said in value.items()}


def _when(path: Any, where: str, value: Any) -> datetime:
    """A point in time; a day alone is its end, and a time without a zone is that of this machine."""
    try:
        if isinstance(value, str):
            text = value.strip().replace("Z", "+00:00")
            value = date.fromisoformat(text) if len(text) == len("2026-12-01") else datetime.fromisoformat(text)
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day) + timedelta(days=1, seconds=-1)
        return value.astimezone()
    except (ValueError, TypeError, AttributeError, OverflowError, OSError):
        raise Hw3Error(f"{path}: {where}: expected a time such as 2026-12-01T23:59+08:00, found {value!r}") from None


def _table(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their lines, by names in lower case; one of the needed columns must be there."""
    lines = _text(path).splitlines()
    dialect = csv.excel_tab if lines and lines[0].count("\t") > lines[0].count(",") else csv.excel
    table = csv.DictReader(lines, dialect=dialect)
    names = [str(name).strip().lower() for name in table.fieldnames or []]
    if not set(needed) & set(names):
        raise Hw3Error(f"{path}: expected a column {' or '.join(needed)}, found {', '.join(names) or 'nothing'}")
    table.fieldnames = names
    return [
        (table.line_num, {k: (v or "").strip() for k, v in row.items() if isinstance(v, str | None)}) for row in table
    ]


def _check_id(student: str, where: str) -> None:
    if not student.strip() or student.startswith(".") or re.search(r'[/\\:*?"<>|\0-\37]', student):
        raise Hw3Error(f"{where}: the ID {student!r} cannot name a folder; expected letters, digits, - and _")


def _roster(path: Path) -> dict[str, Student]:
    found: dict[str, Student] = {}
    for line, row in _table(path, _COLUMNS["id"]):
        said = {name: next((row[c] for c in columns if c in row), "") for name, columns in _COLUMNS.items()}
        surname = row.get("last name", row.get("surname", ""))
        name = (
            row.get("student" if "sis user id" in row else "name") or f"{row.get('first name', '')} {surname}".strip()
        )
        if not any(row.values()) or (not said["id"] and name.strip() in ("Points Possible", "Student, Test")):
            continue  # Canvas's row of points, and its test student
        _check_id(said["id"], f"{path}, line {line}")
        if folded(said["id"]) in found:
            raise Hw3Error(f"{path}, line {line}: the ID {said['id']!r} stands twice")
        seed = said.pop("seed")
        if seed and not seed.isdecimal():
            raise Hw3Error(f"{path}, line {line}: seed: expected a whole number, found {seed!r}")
        found[folded(said["id"])] = Student(**said, name=name, seed=int(seed) if seed else None)
    if not found:
        raise Hw3Error(f"{path}: no student in it")
    return found


def _submitted(path: Path) -> dict[tuple[str, str], datetime]:
    found = {}
    for line, row in _table(path, ["submitted"]):
        chapter = row.get("chapter", "")
        chapter = f"{int(chapter):02d}" if chapter.isdecimal() else chapter
        found[folded(row.get("student", "")), chapter] = _when(f"{path}, line {line}", "submitted", row["submitted"])
    return found


@dataclass(frozen=True)
class Mark:
    """What a chapter came to: points, and those of them that a late submission lost."""

    chapter: str
    submission: str
    exercises: tuple[float, ...]
    of: float
    submitted: datetime | None = None
    late: int = 0
    lost: float = 0.0
    figures: str = ""

    @property
    def points(self) -> float:
        """Points that are left."""
        return sum(self.exercises) - self.lost


@dataclass(frozen=True)
class Record:
    """A student's marks by chapter, and the total in per cent."""

    student: Student
    marks: Mapping[str, Mark]
    total: float


def records(course: Course, grades: Sequence[Grade], chapters: Mapping[str, int], folder: Path) -> dict[str, Record]:
    """The record of everybody on the roster, or else of everybody who handed something in, by ID.

    Args:
        chapters: number of exercises of each chapter, by its name.
        folder: that of the submissions.

    Raises:
        Hw3Error: the course file names a chapter or an exercise that there is not.
    """
    short = {_short(name): (name, count) for name, count in chapters.items()}
    for chapter in (*course.points, *course.weights, *course.deadlines):
        if chapter and chapter not in short:
            raise Hw3Error(f"the course file names chapter {chapter!r}; expected one of {', '.join(short)}")
    for chapter, points in course.points.items():
        for number in set(points if isinstance(points, Mapping) else ()) - set(range(1, short[chapter][1] + 1)):
            raise Hw3Error(f"the course file: points: {chapter}: there is no exercise {number}, of {short[chapter][1]}")
    counting = [c for c in course.weights or course.points or short if c != "capstone" or c in course.points]
    worth = {c: [course.worth(c, k) for k in range(1, short[c][1] + 1)] for c in counting}
    weights = {c: course.weights.get(c, 0.0 if course.weights else sum(worth[c])) for c in counting}
    marks: dict[str, dict[str, Mark]] = {folded(one.id): {} for one in course.students.values()}
    found = {key: one for key, one in course.students.items()}
    for one in grades:
        student = course.find(one.student)
        chapter = _short(one.chapter)
        if student is None:
            continue
        found.setdefault(folded(student.id), student)
        theirs = marks.setdefault(folded(student.id), {})
        if chapter in worth:
            mark = _mark(course, student, one, worth[chapter], folder)
            if chapter not in theirs or mark.points > theirs[chapter].points:
                theirs[chapter] = mark
    total = sum(weights.values()) or 1.0
    result = {}
    for key, theirs in marks.items():
        share = {c: mark.points / mark.of if mark.of else 0.0 for c, mark in theirs.items()}
        percent = 100 * sum(weights[c] * share.get(c, 0.0) for c in counting) / total
        result[found[key].id] = Record(found[key], {c: theirs[c] for c in counting if c in theirs}, percent)
    return result


def _short(chapter: str) -> str:
    return chapter[:2] if chapter[:2].isdecimal() else chapter


def _mark(course: Course, student: Student, one: Grade, worth: Sequence[float], folder: Path) -> Mark:
    chapter = _short(one.chapter)
    who = folded(student.id)
    submitted = course.submitted.get((who, chapter), course.submitted.get((who, "")))
    if submitted is None:
        submitted = datetime.fromtimestamp((folder / one.submission).stat().st_mtime).astimezone()
    points = tuple(w if outcome == "passed" else 0.0 for w, outcome in zip(worth, one.exercises, strict=False))
    deadline = course.deadlines.get(chapter, course.deadlines.get(""))
    over = submitted - deadline - timedelta(minutes=course.grace) if deadline else timedelta()
    late = max(0, math.ceil(over / timedelta(days=1)))
    lost = sum(points) * min(course.per_day * late, course.most) / 100
    return Mark(chapter, one.submission, points, sum(worth), submitted, late, lost, one.figures)


def write(folder: Path, course: Course, found: Mapping[str, Record]) -> list[Path]:
    """``gradebook.csv``, and what Moodle's and Canvas's grade import take: ``moodle.csv``, ``canvas.csv``.

    Moodle knows a student by ``ID number`` or ``Email address`` (choose which at the import) and asks which column is
    the grade. Canvas wants its five columns, ``ID`` among them where the roster has it, and a row of possible points.
    """
    chapters = list(dict.fromkeys(c for one in found.values() for c in one.marks))
    what = ("points", "of", "days late", "lost", "figures")
    header = ["student", "name", "total", *(f"{name} {c}" for c in sorted(chapters) for name in what)]
    own: list[list[Any]] = [header]
    moodle: list[list[Any]] = [["ID number", "Email address", course.assignment]]
    canvas: list[list[Any]] = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", course.assignment]]
    canvas.append(["    Points Possible", "", "", "", "", "100"])
    for record in found.values():
        one, total = record.student, f"{record.total:.2f}"
        cells: list[Any] = []
        for mark in (record.marks.get(c) for c in sorted(chapters)):
            cells += (
                [f"{mark.points:g}", f"{mark.of:g}", mark.late, f"{mark.lost:g}", mark.figures] if mark else [""] * 5
            )
        own.append([one.id, one.name, total, *cells])
        moodle.append([one.id, one.email, total])
        canvas.append([one.name or one.id, one.canvas_id, one.id, one.login, one.section, total])
    written = []
    for name, rows in {"gradebook": own, "moodle": moodle, "canvas": canvas}.items():
        path = folder / f"{name}.csv"
        encoding = SPREADSHEET if rows is own else "utf-8"  # an import may take the mark for a part of the first name
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding=encoding) as file:
            csv.writer(file).writerows([[quoted(cell) for cell in row] for row in rows])
        written.append(path)
    return written
