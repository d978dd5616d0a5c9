"""Watches a folder in a process of its own, with the brightness of a photograph for its score: ``FOLDER OUT IDLE``."""

import sys
from types import SimpleNamespace

import numpy as np

from hw3lib.data.pixels.reading import PLAIN
from hw3lib.inspection import watch as module
from hw3lib.inspection.inspector import Inspector


class Bright(Inspector):
    """Calls photographs anomalous whose mean is above 100."""

    def __init__(self, place: str, **_: object):
        self.place, self.threshold, self.said = place, 100.0, "Scores above 100 are called anomalous."
        self.known = self.types = self.colours = None
        self.model = SimpleNamespace(  # type: ignore[assignment]
            image_size=8,
            reading_=PLAIN,
            good_scores_=np.zeros(0),
            changed_="",
            score=lambda i: (i.images.mean((1, 2, 3)), None),
        )


if __name__ == "__main__":
    module.Inspector = Bright  # type: ignore[misc]
    done = module.watch("none", sys.argv[1], sys.argv[2], idle=float(sys.argv[3]))
    print(*done)
