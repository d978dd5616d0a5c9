"""How long OpenMP's threads spin while they wait for each other."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "given, spins",
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
    ids=["nothing said", "a number", "a policy"],
)
def test_waiting_threads_spin_for_a_short_time_unless_the_user_says_otherwise(given, spins):
    program = "import os, sys, hw3lib; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    said = subprocess.run([sys.executable, "-c", program], env=kept | given, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [spins, "False"]
