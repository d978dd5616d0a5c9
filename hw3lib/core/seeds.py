"""Seeds of what is drawn several times."""

from __future__ import annotations

import numpy as np


def spawned(seed: int, *which: int) -> int:
    """The seed of one draw among several, by ``numpy.random.SeedSequence.spawn``.

    ``seed + i`` would not do: draw 1 of seed 0 would be draw 0 of seed 1, and runs with neighbouring seeds would share
    most of what they are to repeat.

    Args:
        seed: of all draws, 0 or more.
        which: the draw's number, from 0; further ones count what is drawn within it.

    Returns:
        0 to 2^32 - 1.
    """
    return int(np.random.SeedSequence(seed, spawn_key=which).generate_state(1)[0])
