"""Images of one's own, points, days late and the gradebook; figures that were copied; other formats; the container."""

import csv
import hmac
import json
import os
import stat
import sys
from datetime import datetime, timezone

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from hw3lib.cli.main import main
from hw3lib.core.places import OWN, project_root
from hw3lib.course import build, exercises, export, grading, students
from hw3lib.data import get, synthetic
from hw3lib.data.fetch.sources import own_seed
from hw3lib.errors import Hw3Error
from tests.helpers import classroom
from tests.helpers.categories import write_category

SOURCES = project_root() / "notebooks" / "sources"


def course(**settings):
    ids = settings.pop("ids", ("B1", "B2"))
    return students.Course(students={students.folded(i): students.Student(i) for i in ids}, **settings)


def grade(student, chapter="01_dataset_statistics", outcomes=("passed", "failed", "passed", "passed", "passed")):
    return grading.Grade(f"{student}/ex{chapter}.ipynb", chapter, exercises=list(outcomes))


def rows(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def test_a_seed_is_that_of_id_term_and_key_whatever_the_case_of_the_id():
    first = students.seed_of("b109", "2026-autumn")
    assert first == int(hmac.new(b"", b"2026-autumn\0b109", "sha256").hexdigest()[:12], 16)
    assert first == students.seed_of(" Ｂ109 ", "2026-Autumn")  # full width
    others = [("b108", "2026-autumn", b""), ("b109", "2027-spring", b""), ("b109", "2026-autumn", b"x" * 16)]
    assert len({first, *(students.seed_of(*one) for one in others)}) == 4


def test_in_a_students_folder_what_is_generated_is_the_students_own(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(synthetic, "make", lambda category, root, **settings: made.append((root, settings["seed"])))
    folder = tmp_path / "mine"
    assert main(["start", str(folder), "--student", "B1", "--term", "t"]) == 0
    (folder / "chapters").mkdir(exist_ok=True)
    seed = students.seed_of("B1", "t")
    for here in (folder, folder / "chapters"):
        monkeypatch.chdir(here)
        assert get("synthetic/carpet", progress=False) == folder / "data"
    monkeypatch.chdir(tmp_path)
    get("synthetic/carpet", folder / "data", progress=False)
    get("synthetic/carpet", tmp_path / "data", progress=False)
    assert made == [(folder / "data", seed)] * 3 + [(tmp_path / "data", 0)]
    (folder / "data" / OWN).write_text('{"seed": "1"}')
    with pytest.raises(Hw3Error, match="seed is '1', expected a whole number"):
        get("synthetic/carpet", folder / "data", progress=False)


def test_a_folder_has_one_student(tmp_path, capsys):
    start = ["start", str(tmp_path), "--term", "t", "--student"]
    assert main([*start, "B1"]) == main([*start, "B1"]) == 0
    assert main([*start, "B2"]) == 2 and "this folder has the images of B1 in t" in capsys.readouterr().err
    assert main([*start[:2], "--student", "B1"]) == 2 and "--student without --term" in capsys.readouterr().err
    assert main([*start, "../x"]) == 2 and "cannot name a folder" in capsys.readouterr().err
    assert main(start[:-1]) == 2 and "give --student ID" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "expected lines such as"),
        ("a: b: c", "no YAML"),
        ("wieghts: {1: 2}", "'wieghts' is unknown; did you mean 'weights'"),
        ("points: 3", "points: expected chapters"),
        ("points: {1: -1}", "points: 01: expected a number, 0 or more, found -1"),
        ("points: {1: {a: 1}}", "points: 01: expected numbers of exercises, found 'a'"),
        ("points: {1: {1: many}}", "points: 01: exercise 1: expected a number"),
        ("weights: {1: true}", "weights: 01: expected a number"),
        ("deadline: soon", "deadline: expected a time such as"),
        ("late: {per_day: 200}", "late: per_day: expected a number, 0 to 100, found 200"),
        ("late: {perday: 2}", "late: expected per_day, most, grace"),
        ("roster: none.csv", "none.csv: cannot be read"),
        ("roster: [1]", "roster: expected the name of a file"),
        ("key: short.txt", "a key of 5 bytes can be guessed"),
        ("roster: other.csv", "expected a column sis user id or id number or student, found name"),
        ("roster: twice.csv", "twice.csv, line 3: the ID 'b1' stands twice"),
        ("roster: bad.csv", "bad.csv, line 2: the ID '../x' cannot name a folder"),
        ("submitted: other.csv", "expected a column submitted"),
    ],
)
def test_what_is_wrong_in_a_course_file_is_said(tmp_path, text, said):
    (tmp_path / "short.txt").write_text("short")
    (tmp_path / "other.csv").write_text("name\nAda\n")
    (tmp_path / "twice.csv").write_text("student\nB1\nb1\n")
    (tmp_path / "bad.csv").write_text("student\n../x\n")
    (tmp_path / "course.yaml").write_text(text)
    with pytest.raises(Hw3Error) as error:
        students.read(tmp_path / "course.yaml")
    assert said in str(error.value)


MOODLE = "First name,Last name,ID number,Email address\nAda,Lovelace,B1,ada@x.tw\n"
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Old (7)\n    Points Possible,,,,,10\n"
    '"Lovelace, Ada",34,B1,ada,one,9\n"Student, Test",99,,,one,\n'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MOODLE, students.Student("B1", "Ada Lovelace", "ada@x.tw")),
        (CANVAS, students.Student("B1", "Lovelace, Ada", "", "34", "ada", "one")),
        ("student\tname\tseed\nB1\tAda\t7\n", students.Student("B1", "Ada", seed=7)),
    ],
)
def test_rosters_are_read_as_moodle_and_canvas_export_them(tmp_path, text, expected):
    (tmp_path / "r.csv").write_text(text, encoding="utf-8-sig")
    (tmp_path / "c.yaml").write_text("roster: r.csv")
    found = students.read(tmp_path / "c.yaml", "t")
    assert list(found.students.values()) == [expected]
    assert found.find("b1").id == "B1" and found.find("B2") is None
    if expected.name == "Ada Lovelace":
        assert found.find("Ada Lovelace_12_assignsubmission_file_").id == "B1"
    if expected.canvas_id:
        assert found.find("lovelaceada_LATE_34_567_ex01_dataset").id == "B1"
    (tmp_path / "sealed").mkdir()
    sealed = students.read(found.sealed(tmp_path / "sealed", []))
    assert sealed.seed(sealed.find("B1")) == found.seed(found.find("B1")) and not sealed.key


CHAPTERS = {"01_dataset_statistics": 5, "03_imbalance_oversampling": 5, "capstone": 3}
NOON = datetime(2026, 12, 1, 12, tzinfo=timezone.utc)


def test_points_weights_and_days_late(tmp_path):
    said = {"points": {"01": {2: 3.0}, "03": 2.0}, "weights": {"01": 1.0, "03": 3.0}, "deadlines": {"": NOON}}
    when = {("b1", ""): NOON.replace(hour=13), ("b1", "03"): NOON.replace(day=3, hour=13), ("b2", "03"): NOON}
    one = course(**said, per_day=10.0, most=25.0, grace=60.0, submitted=when)
    grades = [grade("B1"), grade("B1", "03_imbalance_oversampling"), grade("b2", "03_imbalance_oversampling")]
    found = students.records(one, grades, CHAPTERS, tmp_path)
    assert found["B1"].marks["01"].points == 4 and found["B1"].marks["01"].of == 7  # within the grace
    third = found["B1"].marks["03"]
    assert (third.late, third.lost, third.points, third.of) == (2, 8 * 0.2, 8 * 0.8, 10)
    assert found["B1"].total == pytest.approx(100 * (1 * 4 / 7 + 3 * 0.64) / 4)
    assert found["B2"].total == pytest.approx(100 * 3 * 0.8 / 4)  # chapter 1 was not handed in
    much_later = students.Course(**said, per_day=10.0, most=25.0, submitted={("b1", ""): NOON.replace(day=20)})
    assert students.records(much_later, grades[:1], CHAPTERS, tmp_path)["B1"].marks["01"].lost == 1
    for wrong, text in (({"points": {"09": 1}}, "names chapter '09'"), ({"points": {"03": {6: 1}}}, "no exercise 6")):
        with pytest.raises(Hw3Error, match=text):
            students.records(course(**wrong), [], CHAPTERS, tmp_path)


def test_without_a_word_every_exercise_is_a_point_and_the_time_of_the_file_counts(tmp_path):
    path = tmp_path / "B1" / "ex01_dataset_statistics.ipynb"
    path.parent.mkdir()
    path.write_text("")
    os.utime(path, (NOON.timestamp() + 1, NOON.timestamp() + 1))
    one = students.Course(deadlines={"01": NOON}, per_day=50)
    mark = students.records(one, [grade("B1")], CHAPTERS, tmp_path)["B1"].marks["01"]
    assert (mark.late, mark.points, mark.of) == (1, 2, 5)
    assert students.records(one, [grade("B1")], CHAPTERS, tmp_path)["B1"].total == pytest.approx(20)  # of 10 points


def test_what_moodle_and_canvas_import(tmp_path):
    known = {
        "b1": students.Student("B1", "Lovelace, Ada", "ada@x.tw", "34", "ada", "one"),
        "=2": students.Student("=2"),
    }
    one = students.Course(students=known, assignment="Exercises (99)", submitted={("b1", ""): NOON})
    written = students.write(tmp_path, one, students.records(one, [grade("B1")], {"01_x": 5}, tmp_path))
    assert [path.name for path in written] == ["gradebook.csv", "moodle.csv", "canvas.csv"]
    assert rows(tmp_path / "moodle.csv") == [
        ["ID number", "Email address", "Exercises (99)"], ["B1", "ada@x.tw", "80.00"], ["'=2", "", "0.00"]
    ]  # fmt: skip
    assert rows(tmp_path / "canvas.csv") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Exercises (99)"],
        ["    Points Possible", "", "", "", "", "100"],
        ["Lovelace, Ada", "34", "B1", "ada", "one", "80.00"],
        ["'=2", "", "'=2", "", "", "0.00"],
    ]
    assert rows(tmp_path / "gradebook.csv")[:2] == [
        ["student", "name", "total", "points 01", "of 01", "days late 01", "lost 01", "figures 01"],
        ["B1", "Lovelace, Ada", "80.00", "4", "5", "0", "0", ""],
    ]
    assert not (tmp_path / "canvas.csv").read_bytes().startswith(b"\xef\xbb\xbf")


SET_UP = """\
import pandas as pd
from hw3lib.course import checks
from hw3lib.data import defect_statistics, load_table
course = load_table(data, "synthetic/bottle")
defects = defect_statistics(course)
"""


def bottle(category, root, **_):
    """In the place of the generated one, which takes long: masks of 256 pixels whose sizes the seed decides."""
    if not (root / category).exists():
        counts = {"train/good": 1, "test/good": 1, "test/contamination": 2, "test/broken_large": 2}
        rng = np.random.default_rng(own_seed(root))
        for path in write_category(root / category, counts, (256, 256)).glob("ground_truth/*/*.png"):
            Image.fromarray((np.arange(256 * 256) < rng.integers(1000, 60_000)).reshape(256, 256)).save(path)
    return root


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Chapter 1 with its first and its last exercise, on bottles that are made at once."""
    real = nbformat.read(exercises.folder() / "ex01_dataset_statistics.ipynb", as_version=4).cells
    kept = [c for n in (1, 5) for c in real if (exercises.numbered(c) or ("", 0))[1] == n]
    for cell, mark in zip(kept, ("answer-1", "check-1", "answer-2", "check-2"), strict=True):
        cell.metadata["tags"] = [mark]
    cells = [new_code_cell("data = None", metadata={"tags": ["parameters"]}), new_code_cell(SET_UP), *kept]
    made = new_notebook(cells=cells, metadata={"hw3lib": {"chapter": "01_dataset_statistics"}})
    reference = tmp_path / "reference"
    reference.mkdir()
    nbformat.write(made, reference / "ex01_dataset_statistics.ipynb")
    monkeypatch.setattr(exercises, "folder", lambda: reference)
    monkeypatch.setattr(exercises, "course_folder", lambda: reference)
    nbformat.write(made, reference / "01_dataset_statistics.ipynb")
    monkeypatch.setattr(grading, "get", bottle)
    return bottle("synthetic/bottle", tmp_path / "course")


def test_a_class_is_graded_each_on_their_own_images(small, tmp_path):
    found = classroom.table(tmp_path, list(classroom.KINDS), timeout=6, memory=1_500_000_000, root=small)
    assert [one[3] for one in found] == [one[2] for one in found]
    drawn = list((tmp_path / "graded" / grading.DRAWN).iterdir())
    assert len(drawn) == len(found) and all(own_seed(place) == int(place.name) for place in drawn)
    seen = {row[0].split("/")[0]: row for row in rows(tmp_path / "graded" / "grades.csv")[1:]}
    assert "copied: B001" in seen["B002"]
    book = {row[0]: row for row in rows(tmp_path / "graded" / "gradebook.csv")}
    assert book["B001"][2] == "100.00" and book["B002"][2:4] == ["50.00", "1"] and book["B002"][-1] == "copied: B001"
    assert len(book) == 1 + len(classroom.KINDS)
    page = (tmp_path / "graded" / "feedback" / "B002.html").read_text(encoding="utf-8")
    assert "The figures are those of other images than yours" in page and "B001" not in page
    assert "Total: 50.0 %" in page and "1 of 2 points, by exercise: 1, 0" in page
    exercises.start(tmp_path / "zh" / "B001", "zh-TW")
    figures = "figures = {'all': 1, 'contamination': 1, 'largest': 1}"
    classroom.hand_in(tmp_path / "zh" / "B001", classroom.RATIO, figures)
    grading.grade(tmp_path / "zh", data=small, course=students.Course(term="t"), echo=str)
    page = (tmp_path / "zh" / "feedback" / "B001.html").read_text(encoding="utf-8")
    assert "<html lang=zh-TW>" in page and "總分：50.0 %" in page and "練習 2：未通過" in page
    assert "這些數字不是你的影像的數字" in page and "你的遮罩不是" in page


@pytest.fixture
def current(tmp_path, monkeypatch):
    """The chapters and exercises of the sources as they are now, without outputs."""
    folder = tmp_path / "notebooks"
    (folder / "exercises").mkdir(parents=True)
    for source in SOURCES.glob("0[16]_*.py"):
        nbformat.write(build.convert(source), folder / f"{source.stem}.ipynb")
        build.write_exercises(source, folder / "exercises")
    monkeypatch.setattr(exercises, "folder", lambda: folder / "exercises")
    monkeypatch.setattr(export, "course_folder", lambda: folder)
    return tmp_path


KEYS = {"schema_version", "grade_id", "cell_type", "grade", "solution", "locked", "task"}


def test_for_nbgrader_answers_are_solutions_and_checks_are_locked_tests(current):
    (current / "c.yaml").write_text("points: {1: {4: 3}}")
    assert main(["start", str(current / "n"), "--format", "nbgrader", "--course", str(current / "c.yaml")]) == 0
    path = current / "n" / "source" / "ex01_dataset_statistics" / "ex01_dataset_statistics.ipynb"
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    ids = set()
    for cell in made.cells:
        said = dict(cell.metadata["nbgrader"])
        kind, number = exercises.numbered(cell) or ("", 0)
        assert said.keys() == (KEYS | {"points"} if kind == "check" else KEYS) and said["schema_version"] == 3
        assert (said["grade"], said["solution"], said["locked"]) == (
            kind == "check",
            kind == "answer",
            kind != "answer",
        )
        assert said.get("points") == ({4: 3.0}.get(number, 1.0) if kind == "check" else None)
        assert said["cell_type"] == cell.cell_type
        ids.add(said["grade_id"])
        if kind == "answer":
            assert cell.source.count("### BEGIN SOLUTION") == cell.source.count("### END SOLUTION") == 1
            assert "HINT" not in cell.source and "\n# BEGIN" not in cell.source
    assert len(ids) == len(made.cells) and "](../" not in made.cells[0].source
    last = [c.source for c in made.cells if exercises.numbered(c) == ("answer", 5)][0]
    assert last.startswith("figures = ...\n### BEGIN SOLUTION\npixels =")
    assert main(["start", str(current / "n"), "--format", "nbgrader"]) == 2  # in the way


def test_for_otter_a_test_executes_the_check_with_the_courses_own_checks(current, monkeypatch):
    export.export(current / "o", "otter", "zh-TW")
    place = current / "o" / "ex06_report"
    made = nbformat.read(place / "ex06_report.ipynb", as_version=4)
    sources = [cell.source for cell in made.cells]
    assert sources[0] == 'import otter\n\ngrader = otter.Notebook("ex06_report.ipynb")'
    assert sources[sources.index("checks.intervals_agree(intervals_agree)") + 1] == 'grader.check("q1")'
    assert "raise NotImplementedError" in "".join(sources) and "第 6 章練習" in sources[1]
    found = {}
    fake = type(sys)("otter.test_files")
    fake.test_case = lambda: lambda function: function
    monkeypatch.setitem(sys.modules, "otter", type(sys)("otter"))
    monkeypatch.setitem(sys.modules, "otter.test_files", fake)
    exec((place / "tests" / "q3.py").read_text(encoding="utf-8"), found)
    assert (found["name"], found["points"], found["OK_FORMAT"]) == ("q3", 1, False)
    found["test_q3"]({"accuracy_to_report": np.mean, "checks": None})
    with pytest.raises(AssertionError, match="best split"):
        found["test_q3"]({"accuracy_to_report": max, "checks": None})


STAND_IN = """#!{python}
import json, sys
with open({record!r}, "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
mounts = [a for a in sys.argv if a.startswith("type=bind")]
for mount in mounts:
    if "target=/work/course" in mount:
        import pathlib, shutil
        shutil.copytree(mount.split("source=")[1].split(",")[0], {copy!r})
sys.exit({code} if sys.argv[1] == "image" else 5)
"""


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Puts a program called docker or podman first on the path, which writes down how it was called."""

    def put(name, has_image):
        program = tmp_path / "bin" / name
        program.parent.mkdir()
        record = tmp_path / "calls"
        program.write_text(
            STAND_IN.format(
                python=sys.executable, record=str(record), copy=str(tmp_path / "seen"), code=int(not has_image)
            )
        )
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", str(program.parent))
        return lambda: [json.loads(line) for line in record.read_text().splitlines()]

    return put


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")
@pytest.mark.parametrize("name", ["docker", "podman"])
def test_where_the_image_is_grading_is_done_in_a_container_that_does_not_see_the_key(runtime, name, tmp_path):
    calls = runtime(name, True)
    (tmp_path / "work" / "B1").mkdir(parents=True)
    (tmp_path / "key.txt").write_text("a secret of the teacher's")
    command = ["grade", str(tmp_path / "work"), "--term", "t", "--key", str(tmp_path / "key.txt"), "--memory", "1GB"]
    assert main(command) == 5  # what it ended with
    inspected, ran = calls()
    assert inspected == ["image", "inspect", "hw3lib"] and ran[:3] == ["run", "--rm", "--init"]
    work = (tmp_path / "work").resolve()
    assert f"type=bind,source={work},target=/work/submissions,readonly" in ran
    assert f"type=bind,source={work},target=/work/out" in ran
    assert ran[ran.index("--network") + 1] == "none" and ran[ran.index("--memory") + 1] == "3000000000"
    assert ("keep-id" in ran) == (name == "podman")
    assert ran[ran.index("hw3lib") :] == [
        *("hw3lib", "grade", "/work/submissions", "--out", "/work/out/grades.csv", "--data", "/data"),
        *("--container", "never", "--timeout", "300", "--memory", "1000000000", "--course", "/work/course/course.yaml"),
    ]
    seen = "".join(path.read_text() for path in (tmp_path / "seen").iterdir())
    assert "a secret" not in seen and str(students.seed_of("B1", "t", b"a secret of the teacher's")) in seen


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")
def test_without_the_image_it_is_said_and_graded_as_ever(runtime, tmp_path, capsys):
    runtime("docker", False)
    (tmp_path / "work").mkdir()
    assert main(["grade", str(tmp_path / "work")]) == 2
    said = capsys.readouterr()
    assert "graded without a container: no image hw3lib in docker" in said.out and "no notebook" in said.err
    assert main(["grade", str(tmp_path / "work"), "--container", "always"]) == 2
    assert "docker build --tag hw3lib ." in capsys.readouterr().err
