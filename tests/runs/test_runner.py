"""The runner, on small notebooks and a small category."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import nbclient.exceptions
import nbformat
import psutil
import pytest

from hw3lib.core import cores
from hw3lib.core.files import write_json
from hw3lib.core.provenance import PACKAGES
from hw3lib.core.untrusted import parse_value
from hw3lib.errors import Hw3Error
from hw3lib.runs import process as notebook_process
from hw3lib.runs import run as runner
from hw3lib.runs import side_by_side, summary
from hw3lib.runs import step as execution
from hw3lib.runs.progress import expected_seconds

PARAMETERS = 'category = "x"\ndata = None\nprofile = "quick"\nout = None\nseed = 0\nmode = "well"\n'
START = """import json, os, sys, time
from pathlib import Path
folder = Path(out)
attempts = folder / "attempts"
resumed = attempts.exists()
attempts.write_text("finished")
(folder / "kernel").write_text(str(os.getpid()))"""
MODES = f"""if mode == "fails":
    print("about to fail")
    1 / 0
if mode == "refuses":
    from hw3lib.errors import Hw3Error
    raise Hw3Error("lamp.png: is dark; switch on the light")
if mode == "ends":
    from hw3lib.runs.contract import ChapterEnds
    everything = dict.fromkeys({execution.COMMON_KEYS!r}, 1)
    (folder / "metrics.json").write_text(json.dumps(everything | {{"ended": True, "left_out": {{"a": "no lamp"}}}}))
    raise ChapterEnds("Chapter 91 ends here.")
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


def write_notebook(path: Path, *cells: str, parameters: str = PARAMETERS, reads: Sequence[str] = ()):
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title"), first, *map(nbformat.v4.new_code_cell, cells)],
        metadata={"kernelspec": kernel, "hw3lib": {"files": ["metrics.json", "figures/a.png"], "reads": list(reads)}},
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
    outcomes = runner.run_notebooks(
        chosen, **{"category": "widget", "name": "r", "echo": lines.append, **places, **options}
    )
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
    assert set(record["fingerprint"]["versions"]) == {"python", *PACKAGES}
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


def test_a_notebook_that_ends_early_has_run_and_promises_no_other_file(place):
    (outcome,), said = run(place, parameters={"mode": "ends"})
    assert outcome.status == "ran" and "ran in" in said, outcome.message
    assert summary.key_figures("91", outcome.metrics) == "nothing to measure: no lamp"
    assert not (outcome.folder / "figures").exists()
    executed = nbformat.read(outcome.folder / "notebook.ipynb", as_version=4)
    assert "Exception" not in "".join(cell.source for cell in executed.cells if cell.cell_type == "markdown")
    (shown,) = [o for cell in executed.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert shown.traceback == ["Chapter 91 ends here."]
    (again,), said = run(place, parameters={"mode": "ends"})
    assert again.status == "unchanged"
    (outcome.folder / "metrics.json").unlink()
    assert run(place, parameters={"mode": "ends"})[0][0].status == "ran"


def test_a_failure_does_not_stop_the_next_notebook_and_each_gets_the_parameters_it_knows(place):
    write_notebook(
        place / "notebooks" / "92_more.ipynb", START, "mode = 'well'", END, parameters=PARAMETERS + "lr = 0.1"
    )
    outcomes, _ = run(place, parameters={"mode": "fails", "lr": 0.2})
    assert [outcome.status for outcome in outcomes] == ["failed", "ran"]  # in their order, whichever ended first
    assert "lr = " not in (place / "runs" / "r" / ".91.work" / "notebook.ipynb").read_text()
    assert "lr = 0.2" in (place / "runs" / "r" / "92" / "notebook.ipynb").read_text()
    assert "91_course,failed," in (place / "runs" / "r" / "summary.csv").read_text()


def hw3_run(place: Path, *words: str) -> list[str]:
    """The command line of ``hw3 run`` on the folders of a test."""
    code = (
        "import sys, signal, pathlib, hw3lib.cli.main as cli\n"
        "import hw3lib.runs.kernel as kernel, hw3lib.runs.run as runner\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells let background jobs ignore it
        f"kernel.project_root = lambda: pathlib.Path({str(place)!r})\n"
        f"runner.course_folder = lambda: pathlib.Path({str(place / 'notebooks')!r})\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "run", "--category", "widget", "--data", str(place), "--name", "r"]
    return [*command, *words]


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen]:
    """A process that ends with the block, whatever becomes of the test."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def kernel_of(work: Path) -> int:
    """Process of the kernel that is at work there; 0 as long as there is none."""
    path = work / "kernel"
    return int(path.read_text() or 0) if path.is_file() else 0


def ended(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed(place, number):
    """Two notebooks at once: both kernels end, both work folders are kept, and the next run goes on from there."""
    write_notebook(place / "notebooks" / "92_more.ipynb", START, MODES, END)
    command = hw3_run(place, "-p", "mode", "hangs", "--timeout", "300", "--jobs", "2")
    works = [place / "runs" / "r" / f".{number}.work" for number in (91, 92)]
    with started(command) as process:
        wait_for(lambda: all(map(kernel_of, works)), process)
        with pytest.raises(Hw3Error, match=f"in use by another run .process {process.pid}."):
            run(place)
        time.sleep(0.3)
        process.send_signal(number)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert "interrupted" in errors and "goes on from there" in errors and "Traceback" not in errors
    assert all(ended(kernel_of(work)) for work in works)
    assert all(work.is_dir() for work in works) and not (place / "runs" / "r" / "91").exists()

    if number == signal.SIGINT:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("going on from an interrupted run") == 2
        for place in (works[0].with_name("91"), works[1].with_name("92")):
            assert json.loads((place / "metrics.json").read_text())["resumed"] is True


def test_a_run_that_is_killed_takes_its_kernels_with_it_and_holds_its_folder_until_then(place):
    command = hw3_run(place, "-p", "mode", "hangs")
    work = place / "runs" / "r" / ".91.work"
    with started(command) as process:
        wait_for(lambda: kernel_of(work), process)
        (between,) = psutil.Process(process.pid).children()
        between.suspend()
        process.kill()
        process.wait()
        try:
            with pytest.raises(Hw3Error, match="in use by another run"):
                run(place)
        finally:
            between.resume()
    end = time.monotonic() + 240
    while not (ended(between.pid) and ended(kernel_of(work))):
        assert time.monotonic() < end, "the kernel outlives its run"
        time.sleep(0.05)


MEET = """from pathlib import Path
import time
(Path(out).parent / (me + " is here")).touch()
while not (Path(out).parent / (other + " is here")).exists():
    time.sleep(0.05)"""


def test_notebooks_run_side_by_side_and_those_that_read_them_come_after(place):
    """Each of two notebooks waits for the other: one after the other, the first would take too long."""
    write_notebook(place / "notebooks" / "90_left.ipynb", "me, other = 'left', 'right'", MEET, START, MODES, END)
    write_notebook(place / "notebooks" / "91_course.ipynb", "me, other = 'right', 'left'", MEET, START, MODES, END)
    write_notebook(
        place / "notebooks" / "92_reads.ipynb",
        "from pathlib import Path\nassert all((Path(out).parent / n / 'metrics.json').is_file() for n in ('90', '91'))",
        START, MODES, END, reads=["90", "91"],
    )  # fmt: skip
    outcomes, said = run(place, jobs=3, timeout=240)
    assert [outcome.status for outcome in outcomes] == ["ran"] * 3, "\n".join(o.message for o in outcomes)
    lines = said.splitlines()
    assert {lines[0], lines[1]} == {"[1/3] 90_left: running", "[2/3] 91_course: running"}
    assert lines[4] == "[3/3] 92_reads: running" and lines[5].startswith("[3/3] 92_reads: ran in ")
    rows = (place / "runs" / "r" / "summary.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["90_left", "91_course", "92_reads"]


def test_the_threads_are_divided_unless_the_user_has_said_how_many(place, monkeypatch):
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)
    for name in cores.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    show = "import torch\nprint('threads', os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])"
    write_notebook(place / "notebooks" / "91_course.ipynb", START, show, END)
    (outcome,), _ = run(place, jobs=2)
    assert outcome.status == "ran" and "threads 4 5" in (outcome.folder / "notebook.ipynb").read_text()
    with pytest.raises(Hw3Error, match="jobs is 0; expected 1 or more"):
        run(place, jobs=0)


def test_as_many_jobs_as_cores_memory_and_notebooks_carry(place, monkeypatch):
    for number, reads in ((92, []), (93, []), (94, ["91", "92"])):
        write_notebook(place / "notebooks" / f"{number}_more.ipynb", reads=reads)
    notebooks = runner.choose([], place / "notebooks")
    for usable, memory, expected in ((16, 1e12, 3), (2, 1e12, 2), (16, 7e9, 2), (16, 1e8, 1)):
        monkeypatch.setattr(cores, "usable_cores", lambda usable=usable: usable)
        monkeypatch.setattr(cores, "free_memory", lambda memory=memory: memory)
        assert side_by_side.default_jobs(notebooks, "quick") == expected
    assert side_by_side.default_jobs(notebooks[-1:], "quick") == 1


def test_the_longest_starts_first_and_results_of_one_folder_wait_for_each_other(place):
    steps = []
    for name, reads in (("01_a", []), ("02_b", []), ("02_c", []), ("06_d", ["02", "07"]), ("07_e", ["06"])):
        write_notebook(place / "course" / f"{name}.ipynb", reads=reads)
        notebook = runner.read_notebook(place / "course" / f"{name}.ipynb")
        steps.append(execution.Step(notebook, place / "run", {}, "digest"))
    assert side_by_side._ready(steps, [1, 4, 3, 2, 0], []) == [1, 0]  # in the order given
    assert side_by_side._ready(steps, [4, 3, 2], [1]) == []
    assert side_by_side._ready(steps, [4, 3, 2], [0]) == [2]
    assert side_by_side._ready(steps, [4, 3], []) == [3]  # they read each other
    assert side_by_side._ready(steps, [4], []) == [4]
    steps[4] = replace(steps[4], notebook=replace(steps[4].notebook, reads=()))
    assert side_by_side._ready(steps, [3, 4], []) == [4]  # what is read comes first, whatever its number
    assert side_by_side._ready(steps, [3], [4]) == []


def record(runs: Path, name: str, **changes) -> None:
    parameters = {"category": "widget", "profile": "quick"} | changes.pop("parameters", {})
    content = {"status": "ran", "resumed": False, "finished": "2026-01-01", "seconds": 10.0} | changes
    write_json(runs / name / "91" / "run.json", content | {"fingerprint": {"parameters": parameters}})


def test_the_expected_time_is_that_of_the_newest_run_of_this_kind(place):
    runs, notebooks = place / "runs", runner.choose([], place / "notebooks")

    def expected():
        return expected_seconds(runs, "widget", "quick", notebooks).get("91")

    assert expected() is None
    record(runs, "full", parameters={"profile": "full"})
    record(runs, "resumed", resumed=True)
    record(runs, "failed", status="failed")
    (runs / "damaged" / "91").mkdir(parents=True)
    (runs / "damaged" / "91" / "run.json").write_text('{"fingerprint": []}')
    assert expected() is None
    record(runs, "other", parameters={"category": "lamp"}, seconds=20.0, finished="2026-03-01")
    assert expected() == 20
    record(runs, "same", seconds=30.0)
    assert expected() == 30
    record(runs, "newer", seconds=5.0, finished="2026-02-01")
    assert expected() == 5


def test_a_process_that_ends_by_itself_is_a_failure_like_others(place):
    kill = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"
    write_notebook(place / "notebooks" / "91_course.ipynb", START, kill, END)
    write_notebook(place / "notebooks" / "92_more.ipynb", START, MODES, END)
    outcomes, said = run(place, jobs=2)
    assert [outcome.status for outcome in outcomes] == ["failed", "ran"]
    assert "91_course: the process that ran it ended with exit code -9" in outcomes[0].message
    assert "[1/2] 91_course: failed after " in said


def test_what_failed_first_is_said(place):
    write_notebook(place / "notebooks" / "90_last.ipynb", START, "time.sleep(3)", "1 / 0")
    done = subprocess.run(hw3_run(place, "-p", "mode", "fails", "--jobs", "2"), capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stdout.endswith("\nfailed first: 91_course; why is said above\n")
    assert 0 < done.stderr.index("91_course: failed in cell") < done.stderr.index("90_last: failed in cell")


def in_a_terminal(command: list[str]) -> str:
    """What a command shows in a terminal, with all that it moves the cursor and overwrites."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    import fcntl
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # rows and columns
    process = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    shown = b""
    with suppress(OSError), os.fdopen(master, "rb", 0) as terminal:  # it is an error to read from one that is closed
        while part := terminal.read(4096):
            shown += part
    assert process.wait(timeout=240) == 0, shown.decode()
    return shown.decode()


def test_a_terminal_shows_cells_and_times_and_a_log_a_line_at_start_and_end(place):
    record(place / "runs", "before", seconds=75.0)
    write_notebook(place / "notebooks" / "91_course.ipynb", START, "time.sleep(3)", MODES, "", END)
    shown = in_a_terminal(hw3_run(place))
    assert "[1/1] 91_course: running" in shown and re.search(r"\[1/1\] 91_course: ran in \d+ s", shown)
    for text in ("0/5 cells, 00:0", "4/5 cells", "of about 01:15"):
        assert text in shown
    assert len(set(re.findall(r"cells, (\d\d:\d\d)", shown))) >= 3  # the clock goes on within a cell

    done = subprocess.run([*hw3_run(place), "--force"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\[1/1\] 91_course: running again \(forced\)\n\[1/1\] 91_course: ran in \d+ s\n\n", done.stdout)
    assert done.stderr == ""


def test_asyncio_says_nothing_of_a_kernel_that_ended_with_its_run():
    errors = (nbclient.exceptions.DeadKernelError("Kernel died"), OSError("no route to host"))
    records = [logging.makeLogRecord({"exc_info": (type(error), error, None)}) for error in errors]
    assert [notebook_process._not_of_a_stopped_kernel(record) for record in records] == [False, True]


def wait_for(condition, process, seconds=240):
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


KINDS = [
    ("n = 30", 30, ["abc", 12.5, True, None, [3], "30"]),
    ("n = 0.2", 1, ["abc", True, None]),
    ("n = True", False, [1, "true", None]),
    ("n = 'resnet'", "b", [18, 1.5, None, ["a"]]),
    ("n = [1, 2]", [3], ["abc", 3, [1.5], ["a"]]),
    ("n = {'a': 1}", {"b": 2}, ["abc", [1]]),
    ("n = None", "abc", []),
    ("n: int | None = None", 10, ["abc", 1.5, True]),
    ("n: 'a note' = 3", 4, ["abc"]),
]


@pytest.mark.parametrize(("cell", "good", "bad"), KINDS)
def test_a_value_of_another_kind_than_the_default_is_refused(tmp_path, cell, good, bad):
    names = "category = None\ndata = None\nprofile = None\nout = None\n"
    for name in ("91_a", "92_b"):
        write_notebook(tmp_path / f"{name}.ipynb", parameters=names + (cell if name == "91_a" else ""))
    notebooks = runner.choose((), tmp_path)
    runner.check_parameters({"n": good}, notebooks)
    for value in bad:
        with pytest.raises(Hw3Error, match=r"parameter 'n': found .*, expected .*: in 91_a its default is "):
            runner.check_parameters({"n": value}, notebooks)


def test_a_text_that_looks_like_a_number_is_quoted_twice(tmp_path):
    names = "category = None\ndata = None\nprofile = None\nout = None\n"
    write_notebook(tmp_path / "91_a.ipynb", parameters=names + "arch = 'resnet18'")
    with pytest.raises(Hw3Error, match="quoted twice: -p arch \"'18'\""):
        runner.check_parameters({"arch": parse_value("18")}, runner.choose((), tmp_path))
    runner.check_parameters({"arch": parse_value("'18'")}, runner.choose((), tmp_path))


def test_results_go_where_out_says(place, tmp_path):
    (outcome,), said = run(place, out=tmp_path / "elsewhere" / "mine")
    assert outcome.status == "ran" and (tmp_path / "elsewhere/mine/91/metrics.json").is_file(), said
    assert not (place / "runs").exists()
    (outcome,), _ = run(place, out=tmp_path / "elsewhere" / "mine")
    assert outcome.status == "unchanged"
    photos = tmp_path / "photos" / "91"
    photos.mkdir(parents=True)
    (photos / "a.png").write_bytes(b"mine")
    with pytest.raises(Hw3Error, match="is not a run .*, so it stays"):
        run(place, out=tmp_path / "photos")
    assert (photos / "a.png").read_bytes() == b"mine"


def test_what_a_run_does_not_look_at_is_said(place):
    (place / "widget" / "test" / "dent" / "IMG_1.CR2").write_bytes(b"")
    _, said = run(place)
    assert "widget: not looked at: 1 file: 1 .cr2 in test/dent" in said


def test_refused_before_anything_runs(place):
    with pytest.raises(Hw3Error, match=r"parameter 'sed'; did you mean 'seed'\? Known here: mode, seed"):
        run(place, parameters={"sed": 1})
    with pytest.raises(Hw3Error, match=r"'seed': found 'abc', expected an integer: in 91_course its default is 0"):
        run(place, parameters={"seed": "abc"})
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
    write_notebook(place / "notebooks" / "91_course.ipynb", START, MODES, END, reads=["90"])
    assert run(place)[0][0].status == "ran"
    assert run(place)[0][0].status == "unchanged"
    (place / "runs" / "r" / "90").mkdir()
    (place / "runs" / "r" / "90" / "metrics.json").write_text("{}")
    (outcome,), said = run(place)
    assert outcome.status == "ran" and "the result of 90 changed" in said
