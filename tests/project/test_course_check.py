""".ci/check_course.py passes a course that ran as it should, and names what is wrong with any other."""

import importlib.util
import json
from pathlib import Path

import pytest

from hw3lib.core.places import project_root
from hw3lib.runs.step import Outcome
from hw3lib.runs.summary import COLUMNS, write_summary


@pytest.fixture(scope="module")
def check():
    specification = importlib.util.spec_from_file_location("check_course", project_root() / ".ci" / "check_course.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write_run(folder: Path, status: dict[str, str], missing: list[str], left_out: dict[str, str]) -> Path:
    rows = [f"{number}_title,{said},1.0,figures,there" for number, said in status.items()]
    (folder / "summary.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    for number, content in (("05", {"left_out": left_out}), ("06", {"missing": missing})):
        (folder / number).mkdir()
        (folder / number / "metrics.json").write_text(json.dumps(content))
    return folder


ALL = {f"{number:02d}": "ran" for number in range(1, 8)}
SAID = {"sam": "the weights of SAM are not here"}


def test_a_sound_course(check, tmp_path):
    assert check.faults(write_run(tmp_path, ALL, ["05: sam"], SAID)) == []


def test_a_summary_as_it_is_written(check, tmp_path):
    folder = write_run(tmp_path, {}, [], {})
    write_summary(folder, [Outcome(f"{number}_title", said, 1.0, folder, {}) for number, said in ALL.items()])
    write_summary(folder, [Outcome("02_title", "failed", 1.0, folder, {})])
    assert (folder / "summary.csv").read_bytes().count(b"\xef\xbb\xbf") == 1
    assert check.faults(folder) == ["chapter 02: failed, expected: ran"]


@pytest.mark.parametrize(
    ("status", "missing", "left_out", "expected"),
    [
        (ALL | {"05": "failed"}, [], {}, ["chapter 05: failed, expected: ran"]),
        ({k: v for k, v in ALL.items() if k != "03"}, [], {}, ["chapter 03: no line in summary.csv, expected: ran"]),
        (ALL, ["05: sam", "05: detection"], SAID, ["the report lacks '05: detection', and no sentence says why"]),
        (ALL, ["05"], SAID, ["the report lacks '05', and no sentence says why"]),
        (ALL, ["04/figures/a.png"], {}, ["the report lacks '04/figures/a.png', and no sentence says why"]),
    ],
)  # fmt: skip
def test_a_fault_is_named(check, tmp_path, status, missing, left_out, expected):
    assert check.faults(write_run(tmp_path, status, missing, left_out)) == expected
