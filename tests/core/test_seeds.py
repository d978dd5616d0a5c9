"""hw3lib.core.seeds: draws of neighbouring seeds are not each other's."""

import numpy as np

from hw3lib.core.seeds import spawned


def test_draws_are_those_that_numpy_spawns_and_no_two_are_alike():
    children = np.random.SeedSequence(7).spawn(3)
    assert [spawned(7, i) for i in range(3)] == [int(child.generate_state(1)[0]) for child in children]
    found = {spawned(seed, i) for seed in range(30) for i in range(30)}
    assert len(found) == 900 and spawned(3, 1, 0) not in found
