"""hw3lib.core.machine: what a batch frees serves the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from hw3lib.core import machine

_PROGRAM = """
import resource
import numpy as np
{first}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(10**7)
before = faults()
for _ in range(5):
    np.ones(10**7)
print(faults() - before)
"""


def _faults(first: str) -> int:
    program = [sys.executable, "-c", _PROGRAM.format(first=first)]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.parametrize(
    "first",
    [
        "from hw3lib.core import machine; assert machine.keep()",
        "from hw3lib.cli.main import main; main(['compare', 'nowhere', 'nowhere'])",
    ],
)
def test_no_page_is_asked_for_again(first):
    assert _faults(first) < 100


def test_importing_sets_nothing():
    assert _faults("import hw3lib.runs.folder") > 200  # at least: huge pages make few of many


def test_nothing_is_set_elsewhere(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert machine.keep() is False
