"""Score images with a detector that was exported to ONNX: numpy and onnxruntime, no PyTorch.

The file holds the whole detector. Its input ``images`` is uint8 ``(N, 3, H, W)``, its outputs are ``scores`` and, where
the detector has them, ``maps``. What else is needed stands in the model's metadata as JSON, one value a key:
``hw3.detector, hw3.image_size, hw3.batch_size``, ``hw3.threshold`` and ``hw3.threshold_sentence`` (or null),
``hw3.reading`` (how its good images became pixels), ``hw3.scores_are_peaks`` (of the maps) and ``hw3.promise`` (see
:meth:`.Calibrated.promise`).
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hw3lib.anomaly.assembly import Maps, of_images, stacked
from hw3lib.anomaly.calibration import Calibrated, ChangedDetector, probe_images
from hw3lib.anomaly.thresholds import silence_few_good_images
from hw3lib.core.onnx import PREFIX, session
from hw3lib.core.text import first_line
from hw3lib.data.pixels.reading import Reading
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

FORMAT = 2  # Raise it when metadata, inputs or outputs change.


class OnnxDetector(Calibrated):
    """A detector in one ONNX file, written by :func:`hw3lib.anomaly.onnx.export.export`; its promises are those of
    :class:`.Calibrated`.

    Args:
        file: the ONNX file.
        threads: of onnxruntime; None leaves the choice to it.

    Attributes:
        name: of the detector, ``PatchCore``.
        image_size: side in pixels of the square images that it takes.
        batch_size: images scored at once, so that the largest array of the search stays below about 256 MB.
        reading_: how its good images became pixels, which others must become in the same way.

    Warns:
        ChangedDetector: it gives other scores than the detector that was exported.

    Raises:
        Hw3Error: onnxruntime is missing, or the file is missing, damaged, or no detector.
    """

    name: str

    def __init__(self, file: str | Path, threads: int | None = None):
        self._session, kept = session(file, "export it again with `hw3 detect export`", threads)
        if kept.get("format") != FORMAT:
            raise Hw3Error(
                f"{file}: an ONNX model, but not a detector of this version (its metadata has {PREFIX}format="
                f"{kept.get('format')}, expected {FORMAT}); export it again with `hw3 detect export`"
            )
        try:
            self.name = str(kept["detector"])
            self.image_size, self.batch_size = (operator.index(kept[key]) for key in ("image_size", "batch_size"))
            self.reading_ = Reading(**kept["reading"])
            shape = self._session.get_inputs()[0].shape
            if self.batch_size < 1 or shape[1:] != [3, self.image_size, self.image_size]:
                raise ValueError(f"input {shape}, image_size={self.image_size}, batch_size={self.batch_size}")
            with silence_few_good_images():  # said when it was fitted
                self.keep_promise(kept["promise"])
        except (KeyError, TypeError, ValueError, OverflowError, Hw3Error) as error:
            raise Hw3Error(
                f"{file}: its metadata are not those of a detector ({type(error).__name__}: {error}); export it again"
            ) from None
        self._scores_are_peaks = self.has_maps and kept.get("scores_are_peaks") is True
        try:
            self.compare_probe(probe_images(self.image_size))
        except Exception as error:  # as above
            raise Hw3Error(f"{file}: cannot be run ({first_line(error)}); export it again") from None
        if self.changed_:
            warnings.warn(f"{file}: {self.changed_}", ChangedDetector, stacklevel=2)

    @property
    def has_maps(self) -> bool:
        return len(self._session.get_outputs()) > 1

    def score(self, images: ImageStack | np.ndarray) -> tuple[np.ndarray, Maps | None]:
        """Scores ``(N,)`` and anomaly maps, or None; float32, higher is more anomalous.

        Maps are as :class:`hw3lib.anomaly.detector.Scores` has them.

        Args:
            images: uint8 ``(N, 3, image_size, image_size)``, RGB, 0 to 255, or an ImageStack, which knows how
                photographs that are no squares lie in them.

        Raises:
            Hw3Error: images of another dtype, size or fit, or none.
        """
        stack = images if isinstance(images, ImageStack) else None
        side, squares = self.image_size, np.asarray(images if stack is None else stack.images)
        geometries = None if stack is None else stack.geometries
        if squares.dtype != np.uint8 or squares.ndim != 4 or squares.shape[1:] != (3, side, side) or not len(squares):
            raise Hw3Error(
                f"images: found {squares.dtype} {squares.shape}, expected uint8 (N, 3, {side}, {side}), N at least 1"
            )
        if stack and stack.reading and stack.reading.fit != self.reading_.fit:
            raise Hw3Error(f"images: read as {stack.reading}, and the good ones as {self.reading_}; read them likewise")
        scores, maps = [], []
        for score, map_ in of_images(self._batches(squares), geometries):
            scores.append(score)
            maps += [] if map_ is None else [*map_]
        return np.concatenate(scores), stacked(maps) if self.has_maps else None

    def _batches(self, squares: np.ndarray) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
        for i in range(0, len(squares), self.batch_size):
            batch = np.ascontiguousarray(squares[i : i + self.batch_size])
            scores, *maps = self._session.run(None, {"images": batch})
            yield None if self._scores_are_peaks else scores, maps[0] if maps else None

    def decision_function(self, images: ImageStack | np.ndarray) -> np.ndarray:
        """Scores, float32 ``(N,)``; see :meth:`score`."""
        return self.score(images)[0]
