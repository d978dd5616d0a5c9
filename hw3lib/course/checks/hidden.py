"""Hidden test sets for exercises that are to beat something, and what an answer reaches on one.

The images are painted for one answer, so nobody has seen them before it was written: the same answer meets the same
ones again, so that asking twice is no second chance, and another meets others. While a class is graded, all its
submissions meet the same ones, see :func:`keep`.
"""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from PIL import Image

from hw3lib.core.cores import usable_cores
from hw3lib.core.files import atomic_path
from hw3lib.core.intervals import Interval
from hw3lib.core.text import aligned
from hw3lib.course.exercises import tell

from .base import CheckFailed, NotAnswered, call

Hidden = tuple[np.ndarray, np.ndarray]  # what the answer is given of each image, and what it is not
_SIDE = 256  # pixels, as in the quick profile
_KEPT: dict[str, Hidden] = {}  # by name of the check, where a class is graded
SCORES: dict[str, Score] = {}  # by name of the check, the last of this session


@dataclass(frozen=True)
class Score:
    """What an answer reaches on a hidden test set, and beside it the baseline and the best that is known.

    Attributes:
        figure: ``accuracy`` or ``AUROC``.
        images: number of images of the set.
        baseline: name and figure.
        best: figure of the best known; what it is a student is told by the check that passes.
        own: the answer's figure.
        gain: over the baseline, paired; it passes where that is significantly better.
        behind: over the best known, paired.
    """

    figure: str
    images: int
    baseline: tuple[str, Interval]
    best: Interval
    own: Interval
    gain: Interval
    behind: Interval

    def __str__(self) -> str:
        rows = [
            (f"baseline: {self.baseline[0]}", told(self.figure, self.baseline[1])),
            ("best known", told(self.figure, self.best)),
            ("your answer", told(self.figure, self.own)),
            ("your answer - baseline, paired", told(self.figure, self.gain)),
            ("your answer - best known, paired", told(self.figure, self.behind)),
        ]
        title = f"{self.figure} on {self.images} hidden images, with 95 % intervals"
        return "\n".join([tell(title), *(f"  {row}" for row in aligned([[*map(tell, row)] for row in rows]))])

    def columns(self) -> dict[str, str | float]:
        """As a row of the class's leaderboard, see :mod:`hw3lib.course.leaderboard`."""
        own = {"score": self.own.value, "low": self.own.low, "high": self.own.high}  # its own p is no column
        return {
            "figure": self.figure,
            "images": self.images,
            **own,
            **self.gain.columns("gain"),
            **self.behind.columns("behind"),
        }


def told(figure: str, interval: Interval) -> str:
    """A figure, or a difference of two and its verdict: accuracies in per cent, AUROCs as fractions of one."""
    if interval.kind != "difference":
        return interval.percent(1) if figure == "accuracy" else interval.text()
    return f"{interval.points() if figure == 'accuracy' else interval.text()}, {interval.verdict()}"


def is_answered(function: Any, *arguments: Any) -> None:
    """Nothing is painted for what is no answer yet; any other fault is told on the hidden set.

    Raises:
        NotAnswered: there is no answer.
    """
    try:
        call(function, *arguments, given="one image")
    except NotAnswered:
        raise
    except CheckFailed:
        pass


def drawn(name: str, answer: Any) -> Hidden:
    """The hidden test set of a check: the one that is kept, or else that of this answer, a function."""
    if name in _KEPT:
        return _KEPT[name]
    try:
        text = inspect.getsource(answer)
    except (OSError, TypeError):  # made without a file or cell
        text = repr(getattr(answer, "__qualname__", type(answer)))
    return SETS[name](np.random.default_rng(list(hashlib.sha256(text.encode()).digest())))


def keep(names: Iterable[str], seed: int, folder: Path) -> None:
    """Let the checks of these names meet the sets of this seed from now on; they are painted once a folder."""
    for number, name in enumerate(SETS):
        path = folder / f"{name}.npz"
        if name in names and not path.is_file():
            given, asked = SETS[name](np.random.default_rng([seed, number]))
            with atomic_path(path) as temporary:
                np.savez(temporary, given=given, asked=asked)
        if name in names:
            with np.load(path, allow_pickle=False) as found:
                _KEPT[name] = found["given"], found["asked"]


def _painted(rng: np.random.Generator, product: str, side: int, size: int, counts: dict[str, int]) -> Hidden:
    """Pictures of ``side`` pixels, read as files are: uint8 ``(N, 3, size, size)``, and their types."""
    from hw3lib.data import ImageStack  # brings pandas and more, and most checks do without
    from hw3lib.data.pixels.images import decode_squares

    types = rng.permutation(np.repeat(list(counts), list(counts.values())))
    first = int(rng.integers(1 << 31))
    work = (delayed(_file)(product, name, side, (first, 0, 0, place)) for place, name in enumerate(types.tolist()))
    files = Parallel(n_jobs=usable_cores())(work)
    squares = [decode_squares(io.BytesIO(file), size) for file in files]
    return ImageStack.of(squares, None).images, types


def _file(product: str, defect: str, side: int, seed: tuple[int, ...]) -> bytes:
    from hw3lib.data.synthetic import picture  # as above

    with io.BytesIO() as file:
        Image.fromarray(picture(product, defect, side, seed)[0]).save(file, "PNG")
        return file.getvalue()


def _image_features(rng: np.random.Generator) -> Hidden:
    """One vector an image, of a network's features and of a thumbnail, ``(N, 1472)``, and the types."""
    import torch  # slow, and most checks do without

    from hw3lib.networks import backbones  # likewise

    types = ("good", "broken_large", "broken_small", "contamination")
    images, labels = _painted(rng, "bottle", _SIDE, 224, dict.fromkeys(types, 20))
    with torch.no_grad():
        features = backbones.load("tf_efficientnet_lite0").embed(torch.from_numpy(images)).numpy()
    thumbnails = images.reshape(len(images), 3, 8, 28, 8, 28).mean((3, 5))
    return np.hstack([features, thumbnails.reshape(len(images), -1)]), labels


def _patch_features(rng: np.random.Generator) -> Hidden:
    """The features of the patches of each image, float32 ``(N, P, D)``, and whether it is defective."""
    import torch  # slow, and most checks do without

    from hw3lib.networks import backbones, locally_aware, patch_layers  # likewise

    images, labels = _painted(rng, "carpet", 128, 128, {"good": 40, "cut": 20, "hole": 20})
    network = backbones.load("tf_efficientnet_lite0")
    with torch.no_grad():
        maps = network.feature_maps(torch.from_numpy(images), patch_layers(network))
    return locally_aware(list(maps.values()), grid=1).flatten(2).movedim(1, -1).numpy(), labels != "good"


SETS: dict[str, Callable[[np.random.Generator], Hidden]] = {
    "beats_nearest_mean": _image_features,
    "beats_pooled_features": _patch_features,
}
