"""On Windows and macOS: what these systems lack is not needed, here played in processes of their own."""

import ast
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from hw3lib.core import machine as freed_memory
from hw3lib.core.locks import InUse, held

WITHOUT = Path(__file__).parent / "without_posix"
ROOT = Path(__file__).parents[2]
CHINESE = "刮痕"  # no word that the usual encoding of Windows, cp1252, could hold

EVERY_MODULE = """
import importlib, pkgutil, hw3lib
for module in pkgutil.walk_packages(hw3lib.__path__, "hw3lib."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
MAKE = """
import sys
from hw3lib.data import synthetic
synthetic.PROFILES["quick"] |= {"size": 64, "train_good": 2, "test": 1}
synthetic.make("bottle", sys.argv[1], workers=2)
"""
RUN = """
import sys
from hw3lib.runs.run import run_notebooks
place = sys.argv[1]
places = {"data": place, "notebooks_dir": f"{place}/notebooks", "runs_dir": f"{place}/runs"}
outcomes = run_notebooks(category="widget", name="r", **places)
print(outcomes)
sys.exit(outcomes[0].status != "ran")
"""
SWEEP = """
import sys
from pathlib import Path
from hw3lib.sweep import load, local, plan, read_spec, run_sweep, table
if __name__ == "__main__":
    place = Path(sys.argv[1])
    spec = read_spec(place / "spec.yaml")
    cells = plan(spec, place, place / "sweep")
    done = run_sweep(cells, place / "sweep", local(2))
    print(done)
    assert len(table(cells, place / "sweep")) == len(cells) == 2
"""
GRADE = """
import sys
from pathlib import Path
from hw3lib.course import exercises, grading
place = Path(sys.argv[1])
exercises.folder = lambda: place / "notebooks"
grading.get = lambda *_, **__: place
grades = grading.grade(place / "submissions")
print([(g.status, g.message, g.exercises) for g in grades])
assert [g.exercises for g in grades] == [["passed"]]
"""


def on_windows(*arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Run Python without what Windows lacks; it writes as a Windows of Western Europe or America does."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(WITHOUT), str(ROOT)]),
        "PYTHONWARNDEFAULTENCODING": "1",
        "PYTHONIOENCODING": "cp1252",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300,
        encoding="cp1252",
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def hw3(*arguments: object) -> str:
    return on_windows("-m", "hw3lib.cli.main", *arguments).stdout


@pytest.mark.parametrize(
    "line", ["import fcntl", "import resource", "import os; os.fork()", "import signal; signal.SIGKILL",
             "import os; assert os.name == 'posix'", "import pathlib; pathlib.Path('a').write_text('a')"],
)  # fmt: skip
def test_what_windows_lacks_is_missed(line):
    """Or else the rest of these tests would say nothing."""
    assert on_windows("-c", line, check=False).returncode == 1


def test_every_module_is_imported():
    on_windows("-c", EVERY_MODULE)


@pytest.fixture
def place(tmp_path, make_category) -> Path:
    counts = {"train/good": 10, "test/good": 8, "test/dent": 8, f"test/{CHINESE}": 8}
    make_category(tmp_path / "widget", counts, size=(36, 36))
    return tmp_path


def test_data_is_made_and_checked(place):
    (place / f"widget/test/{CHINESE}/000.png").write_text("no picture", encoding="utf-8")
    checked = on_windows("-m", "hw3lib.cli.main", "data", "check", "widget", "--data", place, check=False)
    assert checked.returncode == 1 and "\\u522e\\u75d5" in checked.stdout, checked.stderr
    on_windows("-c", MAKE, place / "made")
    assert (place / "made/synthetic/bottle/manifest.json").is_file()


def test_a_detector_is_fitted_and_scores(place):
    quick = ("--detector", "knn", "--image-size", 32, "--held-out", 0.4)
    hw3("detect", "fit", place / "widget/train/good", "--out", place / "detector", *quick)
    said = hw3("detect", "score", place / "detector", place / "widget/test", "--out", place / "scores")
    assert said and CHINESE in (place / "scores/results.csv").read_text(encoding="utf-8")


def test_a_notebook_runs(place):
    cells = [
        new_code_cell("category = ''\nprofile = ''\nout = None\ndata = None", metadata={"tags": ["parameters"]}),
        new_code_cell(
            "from hw3lib.data import load_table\nfrom hw3lib.runs.folder import RunFolder\n"
            "table = load_table(data, category)\nfolder = RunFolder('91', table, profile, out)\n"
            "folder.metrics(n=len(table))"
        ),
    ]
    (place / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), place / "notebooks/91_short.ipynb")
    on_windows("-c", RUN, place)
    assert json.loads((place / "runs/r/91/metrics.json").read_text(encoding="utf-8"))["n"] == 34


def test_a_sweep_runs_on_this_machine(place):
    (place / "spec.yaml").write_text(
        "categories: [widget]\nseeds: 2\nheld_out: 0.4\ndevice: cpu\n"
        "detectors:\n  - {name: neighbours, detector: knn, image_size: 32}\n",
        encoding="utf-8",
    )
    (place / "sweeping.py").write_text(SWEEP, encoding="utf-8")
    on_windows(place / "sweeping.py", place)


def test_submissions_are_graded(place):
    def chapter(answer: str):
        def tagged(source: str, tag: str):
            return new_code_cell(source, metadata={"tags": [tag]})

        cells = [tagged("data = out = None", "parameters"), tagged("wanted = 1", "setup"), tagged(answer, "answer-1")]
        metadata = {
            "hw3lib": {"chapter": "01_x"},
            "kernelspec": {"name": "python3", "display_name": "", "language": "python"},
        }
        return new_notebook(cells=[*cells, tagged("assert one == wanted", "check-1")], metadata=metadata)

    (place / "notebooks").mkdir()
    nbformat.write(chapter("raise NotImplementedError"), place / "notebooks/ex01_x.ipynb")
    (place / "submissions").mkdir()
    nbformat.write(chapter("one = 1"), place / "submissions/ex01_x.ipynb")
    on_windows("-c", GRADE, place)


HOLDS = """
import sys, time
from pathlib import Path
from hw3lib.core.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_names_who_holds_it_and_ends_with_it(tmp_path):
    file = tmp_path / ".lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDS, file], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InUse) as found, held(file):
            pass
        assert found.value.process == str(process.pid)
    finally:
        process.kill()
        process.communicate()
    with held(file), pytest.raises(InUse) as found, held(file):
        pass
    assert found.value.process == str(os.getpid())


def test_a_file_system_without_locks_is_gone_on_with(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with held(tmp_path / ".lock"):
        pass


def test_memory_is_left_alone_where_the_c_library_is_another(monkeypatch):
    """As on macOS and Windows, of which ``libc_ver`` knows nothing."""
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert freed_memory.keep() is False


def without_encoding(file: Path) -> list[int]:
    """Lines on which the methods of a path read or write text in the machine's own encoding."""
    lines = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = {keyword.arg for keyword in node.keywords}
            if node.func.attr in ("read_text", "write_text") and "encoding" not in given:
                lines.append(node.lineno)
    return lines


def test_every_text_file_of_the_package_names_its_encoding():
    """Also where ruff's rule PLW1514 does not see that a value is a path."""
    missing = []
    for file in [*ROOT.glob("hw3lib/**/*.py"), *ROOT.glob("docs/*.py"), *ROOT.glob("benchmarks/**/*.py")]:
        missing += [f"{file.relative_to(ROOT)}:{line}" for line in without_encoding(file)]
    assert missing == []
