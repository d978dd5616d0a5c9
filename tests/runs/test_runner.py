"""The runner, on small notebooks and a small category."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbclient.exceptions
import nbformat
import pytest

from hw3lib.errors import Hw3Error
from hw3lib.runs import run as runner
from hw3lib.runs import step as execution

PARAMETERS = 'category = "x"\ndata = None\nprofile = "quick"\nout = None\nseed = 0\nmode = "well"\n'
START = """import json, os, sys, time
from pathlib import Path
folder = Path(out)
attempts = folder / "attempts"
resumed = attempts.exists()
attempts.write_text("finished")
(folder / "kernel").write_text(str(os.getpid()))"""
MODES = """if mode == "fails":
    print("about to fail")
    1 / 0
if mode == "refuses":
    from hw3lib.errors import Hw3Error
    raise Hw3Error("lamp.png: is dark; switch on the light")
if mode == "dies":
    os._exit(3)
if mode == "hangs" and not resumed:
    time.sleep(600)"""
END = f"""metrics = dict.fromkeys({execution.COMMON_KEYS!r}, 1)
metrics |= {{"resumed": resumed, "python": sys.executable, "seed": seed, "where": out}}
metrics |= {{"cwd": os.getcwd(), "headless": os.environ.get("HW3_HEADLESS")}}
if mode == "nan":
    metrics["number"] = float("nan")
if mode == "forgets":
    del metrics["seeds"]
(folder / "metrics.json").write_text(json.dumps(metrics))
(folder / "figures").mkdir(exist_ok=True)
(folder / "figures" / "a.png").write_text("" if mode == "forgets" else "picture")"""


def write_notebook(path: Path, *cells: str, parameters: str = PARAMETERS):
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title"), first, *map(nbformat.v4.new_code_cell, cells)],
        metadata={"kernelspec": kernel, "hw3lib": {"files": ["metrics.json", "figures/a.png"]}},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def place(category: Path) -> Path:
    """A folder with the category widget and, in notebooks/, one notebook."""
    write_notebook(category.parent / "notebooks" / "91_course.ipynb", START, MODES, END)
    return category.parent


def run(place: Path, *chosen: str, **options) -> tuple[list[execution.Outcome], str]:
    lines: list[str] = []
    places = {"notebooks_dir": place / "notebooks", "runs_dir": place / "runs", "data": place}
    outcomes = runner.run(chosen, **{"category": "widget", "name": "r", "echo": lines.append, **places, **options})
    return outcomes, "\n".join(lines)


def test_runs_once_and_again_only_for_a_reason(place, monkeypatch):
    # A kernel called python3 in the user's home, as conda and old set-ups leave it, must not be taken.
    alien = place / "home" / "kernels" / "python3"
    alien.mkdir(parents=True)
    (alien / "kernel.json").write_text('{"argv": ["/no/such/python"], "display_name": "", "language": ""}')
    monkeypatch.setenv("JUPYTER_PATH", str(place / "home"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(place / "home"))

    (outcome,), said = run(place)
    assert (outcome.status, outcome.folder) == ("ran", place / "runs" / "r" / "91"), outcome.message
    assert re.fullmatch(r"\[1/1\] 91_course: running\n\[1/1\] 91_course: ran in \d+ s", said)
    expected = {"python": sys.executable, "cwd": str(place / "notebooks"), "headless": "1"}
    assert expected.items() <= outcome.metrics.items()
    assert os.environ["JUPYTER_PATH"] == str(place / "home")
    assert not (place / "runs" / "r" / ".91.work").exists()
    for name in ("notebook.ipynb", "metrics.json"):
        assert "91.work" not in (outcome.folder / name).read_text()
    record = json.loads((outcome.folder / "run.json").read_text())
    assert record["status"] == "ran" and record["seconds"] > 0
    parameters = {"category": "widget", "profile": "quick", "seed": 0, "mode": "well"}
    assert record["fingerprint"]["parameters"] == parameters
    assert set(record["fingerprint"]["versions"]) == {"python", *execution.PACKAGES}
    assert "91_course,ran," in (place / "runs" / "r" / "summary.csv").read_text()

    before = (outcome.folder / "run.json").stat()
    (outcome,), said = run(place, "91", parameters={"seed": 0})
    assert outcome.status == "unchanged" and said == "[1/1] 91_course: unchanged, not run again"
    assert (outcome.folder / "run.json").stat() == before

    (outcome,), said = run(place, parameters={"seed": 3})
    assert outcome.status == "ran" and "again (seed 0 -> 3)" in said
    assert json.loads((outcome.folder / "metrics.json").read_text())["seed"] == 3

    # What fails leaves the earlier results as they were.
    (outcome,), said = run(place, parameters={"seed": 3, "mode": "fails"})
    assert outcome.status == "failed" and "mode well -> fails" in said
    assert json.loads((place / "runs" / "r" / "91" / "metrics.json").read_text())["seed"] == 3
    assert json.loads((outcome.folder / "run.json").read_text())["status"] == "failed"
    assert "91_course,failed," in (place / "runs" / "r" / "summary.csv").read_text()


def test_reasons_to_run_again(place):
    """What makes results stale, without executing anything."""
    notebook = runner.read_notebook(place / "notebooks" / "91_course.ipynb")
    was = execution.fingerprint(notebook, {"seed": 1, "data": "/here"}, "digest")
    assert execution.changes(was, execution.fingerprint(notebook, {"seed": 1, "data": "/there"}, "digest")) == []
    assert execution.changes(was, execution.fingerprint(notebook, {"seed": 2}, "other")) == [
        "seed 1 -> 2",
        "data changed",
    ]
    now = was | {"versions": was["versions"] | {"torch": "9.9"}, "hw3lib": "other"}
    assert execution.changes(was, now) == ["hw3lib changed", f"torch {was['versions']['torch']} -> 9.9"]

    content = nbformat.read(notebook.path, 4)
    content.cells[2].outputs = [nbformat.v4.new_output("stream", text="executed")]
    nbformat.write(content, notebook.path)
    assert runner.read_notebook(notebook.path).digest == notebook.digest
    content.cells[0].source = "# Another title"
    nbformat.write(content, notebook.path)
    assert runner.read_notebook(notebook.path).digest != notebook.digest

    results = place / "results"
    results.mkdir()
    (results / "a.csv").write_text("abc")
    record = {"files": {"a.csv": execution.file_record(results / "a.csv")}}
    assert execution.changed_files(record, results) == []
    (results / "a.csv").write_text("abd")
    assert execution.changed_files(record, results) == ["a.csv changed"]
    (results / "a.csv").unlink()
    assert execution.changed_files(record, results) == ["a.csv gone"]


@pytest.mark.parametrize(
    ("mode", "timeout", "expected"),
    [
        ("fails", None, ["In [4]", "about to fail", "ZeroDivisionError: division by zero", "notebook.ipynb"]),
        ("refuses", None, ["lamp.png: is dark; switch on the light"]),
        ("hangs", 3, ["In [4]", 'if mode == "fails"', "took longer than 3 seconds", "--timeout"]),
        ("dies", None, ["In [4]", "the kernel died"]),
        ("forgets", None, ["metrics.json lacks 'seeds'", "figures/a.png is empty"]),
        ("nan", None, ["metrics.json is not valid JSON (it holds NaN)"]),
    ],
)
def test_failures_say_what_happened(place, mode, timeout, expected):
    (outcome,), _ = run(place, parameters={"mode": mode}, timeout=timeout)
    assert outcome.status == "failed"
    for text in expected:
        assert text in outcome.message
    assert ("Traceback" in outcome.message, "Error:" in outcome.message) == (False, mode == "fails")
    assert not (place / "runs" / "r" / "91").exists()
    assert "Title" in (place / "runs" / "r" / ".91.work" / "notebook.ipynb").read_text()


def test_a_failure_does_not_stop_the_next_notebook_and_each_gets_the_parameters_it_knows(place):
    write_notebook(
        place / "notebooks" / "92_more.ipynb", START, "mode = 'well'", END, parameters=PARAMETERS + "lr = 0.1"
    )
    outcomes, _ = run(place, parameters={"mode": "fails", "lr": 0.2})
    assert [outcome.status for outcome in outcomes] == ["failed", "ran"]
    assert "lr = " not in (place / "runs" / "r" / ".91.work" / "notebook.ipynb").read_text()
    assert "lr = 0.2" in (place / "runs" / "r" / "92" / "notebook.ipynb").read_text()
    assert "91_course,failed," in (place / "runs" / "r" / "summary.csv").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed(place, number):
    code = (
        "import sys, signal, pathlib, hw3lib.runs.run as runner, hw3lib.cli.main as cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells let background jobs ignore it
        f"runner.project_root = lambda: pathlib.Path({str(place)!r})\n"
        f"runner.course_folder = lambda: pathlib.Path({str(place / 'notebooks')!r})\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "run", "--category", "widget", "--data", str(place)]
    command += ["--name", "r", "-p", "mode", "hangs", "--timeout", "30"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    work = place / "runs" / "r" / ".91.work"
    wait_for(lambda: (work / "kernel").is_file() and (work / "kernel").read_text(), process)
    kernel = int((work / "kernel").read_text())
    with pytest.raises(Hw3Error, match=f"in use by another run .process {process.pid}."):
        run(place)
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "interrupted" in errors and "goes on from there" in errors and "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert work.is_dir() and not (place / "runs" / "r" / "91").exists()

    if number == signal.SIGINT:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "going on from an interrupted run" in done.stdout
        assert json.loads((place / "runs" / "r" / "91" / "metrics.json").read_text())["resumed"] is True


def test_asyncio_says_nothing_of_a_kernel_that_ended_with_its_run(place, caplog):
    run(place)
    for error in (nbclient.exceptions.DeadKernelError("Kernel died"), OSError("no route to host")):
        logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=error)
    assert [record.exc_info[0] for record in caplog.records if record.name == "asyncio"] == [OSError]


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_other_work_is_not_resumed(place):
    """What an interrupted run of other parameters left is of no use, and with force nothing is."""
    notebook = runner.read_notebook(place / "notebooks" / "91_course.ipynb")

    def resumes(seed, force=False):
        step = execution.Step(notebook, place / "run", {"seed": seed}, "digest", force=force)
        resumed = step._prepare_work({"fingerprint": execution.fingerprint(notebook, step.values, "digest")})
        kept = (step.work / "attempts").exists()
        (step.work / "attempts").touch()
        return resumed, kept

    assert resumes(1) == (False, False)
    assert resumes(1) == (True, True)
    assert resumes(2) == (False, False)
    assert resumes(2, force=True) == (False, False)


def test_an_exchange_that_was_cut_short_is_repaired(place):
    run(place)
    folder = place / "runs" / "r"
    (folder / "91").rename(folder / ".91.old")
    (outcome,), said = run(place)
    assert outcome.status == "unchanged", said


def test_refused_before_anything_runs(place):
    with pytest.raises(Hw3Error, match=r"parameter 'sed'; did you mean 'seed'\? Known here: mode, seed"):
        run(place, parameters={"sed": 1})
    with pytest.raises(Hw3Error, match="set by the option --category"):
        run(place, parameters={"category": "x"})
    with pytest.raises(Hw3Error, match=r"no notebook '7' in .*; there are 91_course"):
        run(place, "7")
    with pytest.raises(Hw3Error, match="name is '../r'"):
        run(place, name="../r")
    with pytest.raises(Hw3Error, match="profile is 'fast'"):
        run(place, profile="fast")
    with pytest.raises(Hw3Error, match="widgot"):
        run(place, category="widgot")
    assert not (place / "runs").exists()


def test_notebooks_are_found_by_number_and_name(place):
    write_notebook(place / "notebooks" / "02_other.ipynb")
    for text in ("2", "02", "02_other", "02_other.ipynb", "notebooks/02_other.ipynb"):
        assert [n.path.stem for n in runner.choose([text], place / "notebooks")] == ["02_other"]
    assert [n.number for n in runner.choose([], place / "notebooks")] == ["02", "91"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("seed = 0", "must define category, data, profile, out"),
        ("seed = 1 + f()", "literals only"),
        ("a =", "literals"),
    ],
)
def test_parameter_cells_that_are_not_as_agreed(tmp_path, parameters, expected):
    write_notebook(tmp_path / "91_x.ipynb", parameters=parameters)
    with pytest.raises(Hw3Error, match=expected):
        runner.read_notebook(tmp_path / "91_x.ipynb")
    (tmp_path / "91_x.ipynb").write_text("{")
    with pytest.raises(Hw3Error, match="91_x.ipynb: not a notebook"):
        runner.read_notebook(tmp_path / "91_x.ipynb")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EROFS, "read-only"), (errno.ENOSPC, "disk is full"), (errno.EACCES, "denied")],
)
def test_a_target_that_cannot_be_written(place, monkeypatch, number, expected):
    def refuse(path, *_, **__):
        raise OSError(number, "", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(Hw3Error, match=f"Cannot write in .*{expected}"):
        run(place)


def test_a_file_where_the_run_should_go(place):
    (place / "runs").write_text("")
    with pytest.raises(Hw3Error, match="is a file where a folder was expected"):
        run(place)


def test_a_notebook_that_reads_other_chapters_is_due_when_one_of_them_changes(place):
    path = place / "notebooks" / "91_course.ipynb"
    notebook = json.loads(path.read_text())
    notebook["metadata"]["hw3lib"]["reads"] = ["90"]
    path.write_text(json.dumps(notebook))
    assert run(place)[0][0].status == "ran"
    assert run(place)[0][0].status == "unchanged"
    (place / "runs" / "r" / "90").mkdir()
    (place / "runs" / "r" / "90" / "metrics.json").write_text("{}")
    (outcome,), said = run(place)
    assert outcome.status == "ran" and "the result of 90 changed" in said
