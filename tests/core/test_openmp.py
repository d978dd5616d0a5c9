"""How long OpenMP's threads spin while they wait for each other: a command's matter, and not an import's."""

import os
import subprocess
import sys

import pytest

from hw3lib.core import machine

_COMMAND = """
import os
from hw3lib.cli.main import main
assert main(["compare", "nowhere", "nowhere"]) == 2
print(os.environ.get("GOMP_SPINCOUNT"))
"""


def said_by(program: str, given: dict[str, str]) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    ran = subprocess.run([sys.executable, "-c", program], env=kept | given, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize(
    "given, spins",
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
    ids=["nothing said", "a number", "a policy"],
)
def test_threads_of_a_command_spin_for_a_short_time_unless_the_user_says_otherwise(given, spins):
    assert said_by(_COMMAND, given) == spins


def test_importing_sets_nothing():
    program = "import os; before = dict(os.environ); from hw3lib import load_table; print(dict(os.environ) == before)"
    assert said_by(program, {}) == "True"


def test_a_kernel_gets_it_too(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")
    assert machine.spin_briefly() == {"GOMP_SPINCOUNT": "20000"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert machine.spin_briefly() == {}
