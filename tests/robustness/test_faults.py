"""Killed, refused, out of room: the next run completes and equals an undisturbed one, and no result is lost.

The short version of ``python -m tests.robustness.faults``, in a process of its own, since children are forked from it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from hw3lib.core.places import project_root

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, file size limits and mounts")

KILLED = ("download", "synthetic category", "image stacks", "outcomes of attempts", "detector", "report", "sweep")
REFUSED = (
    *("tables, figures and metrics", "choices", "outcomes of attempts", "checkpoints", "detector", "scores"),
    *("image stacks", "tar", "download", "report"),
)


def test_every_writer_keeps_the_umask_and_killed_or_refused_it_loses_nothing():
    """Of a umask of 027 come neither what mkstemp makes nor what everybody may read."""
    command = [
        sys.executable,
        "-m",
        "tests.robustness.faults",
        "--count",
        "18",
        "--kill",
        *KILLED,
        "--refuse",
        *REFUSED,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=project_root(), env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    kills, during, refusals, wrong = map(int, re.findall(r"(\d+) [a-z]+", done.stdout.splitlines()[-1]))
    assert kills == 18 and during >= 5 and refusals == 2 * len(REFUSED) and wrong == 0


def test_what_is_left_over_missing_or_different_is_named(tmp_path):
    from tests.robustness.faults import content, differences

    (tmp_path / "metrics.json").write_text('{"a": 1, "seconds": 3}')
    expected = content(tmp_path)
    (tmp_path / "metrics.json").write_text('{"a": 1, "seconds": 4}')
    assert differences(expected, content(tmp_path)) == ""
    (tmp_path / "metrics.json").write_text(json.dumps({"a": 2, "seconds": 3}))
    (tmp_path / ".a.csv.0-1.tmp.csv").touch()
    assert differences(expected | {"b": None}, content(tmp_path)) == (
        "left over: .a.csv.0-1.tmp.csv; missing: b; different: metrics.json"
    )
