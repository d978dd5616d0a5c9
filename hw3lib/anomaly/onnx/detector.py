"""Score images with a detector that was exported to ONNX: numpy and onnxruntime, no PyTorch.

The file holds the whole detector. Its input ``images`` is uint8 ``(N, 3, H, W)``, its outputs are ``scores`` and, where
the detector has them, ``maps``. What else is needed stands in the model's metadata as JSON, one value a key:
``hw3.detector, hw3.image_size, hw3.batch_size, hw3.threshold, hw3.false_alarm_rate, hw3.threshold_sentence``,
``hw3.reading`` (how its good images became pixels), ``hw3.scores_are_peaks`` (of the maps), ``hw3.good_scores`` (the
table of the p-values, ascending), ``hw3.good_peaks`` and ``hw3.good_level`` (of the maps), ``hw3.good_groups`` and
``hw3.peak_groups`` (the products that they show, or null: another one each).
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hw3lib.anomaly.assembly import Maps, of_images, stacked
from hw3lib.anomaly.thresholds import p_values
from hw3lib.core import optional
from hw3lib.data.pixels.reading import Reading
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

PREFIX = "hw3."
FORMAT = 1  # Raise it when metadata, inputs or outputs change.


class OnnxDetector:
    """A detector in one ONNX file, written by :func:`hw3lib.anomaly.onnx.export.export`.

    Args:
        file: the ONNX file.
        threads: of onnxruntime; None leaves the choice to it.

    Attributes:
        name: of the detector, ``PatchCore``.
        image_size: side in pixels of the square images that it takes.
        batch_size: images scored at once, so that the largest array of the search stays below about 256 MB.
        reading_: how its good images became pixels, which others must become in the same way.
        has_maps: whether there are anomaly maps.
        good_scores_: scores of held-out good images, ascending, float32 ``(n,)``; empty if none were held out.
        threshold_: an image with a higher score is called anomalous; None if no good image was held out.
        false_alarm_rate: that the threshold was asked to keep, or None.
        good_peaks_, good_level_: of the maps of those images, see :class:`hw3lib.anomaly.Detector`.
        good_groups_, peak_groups_: the products that they show, int64 ``(n,)``; None: another one each.

    Raises:
        Hw3Error: onnxruntime is missing, or the file is missing, damaged, or no detector.
    """

    def __init__(self, file: str | Path, threads: int | None = None):
        onnxruntime = optional.load("onnxruntime", "onnxruntime")
        if not Path(file).is_file():
            raise Hw3Error(f"{file}: no such file; expected one that `hw3 detect export` wrote")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; they are raised as well
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a class of its own for each kind of damage
            reason = str(error).splitlines()[0]
            raise Hw3Error(f"{file}: cannot be read as an ONNX model ({reason}); export it again") from None
        try:
            found = self._session.get_modelmeta().custom_metadata_map
            kept = {key.removeprefix(PREFIX): json.loads(text) for key, text in found.items() if key.startswith(PREFIX)}
        except (ValueError, RecursionError) as error:
            raise Hw3Error(f"{file}: its metadata are no JSON ({error}); export it again") from None
        if kept.get("format") != FORMAT:
            raise Hw3Error(
                f"{file}: an ONNX model, but not a detector of this version (its metadata has {PREFIX}format="
                f"{kept.get('format')}, expected {FORMAT}); export it again with `hw3 detect export`"
            )
        try:
            self.name = str(kept["detector"])
            self.image_size, self.batch_size = (operator.index(kept[key]) for key in ("image_size", "batch_size"))
            self.reading_ = Reading(**kept.get("reading", {}))  # which files of 8-bit detectors did not have once
            self.good_scores_, self.good_peaks_ = (
                np.array(kept[key], np.float32).reshape(-1) for key in ("good_scores", "good_peaks")
            )
            self.threshold_, self.false_alarm_rate, level = (
                None if kept[key] is None else float(kept[key])
                for key in ("threshold", "false_alarm_rate", "good_level")
            )
            self.good_groups_, self.peak_groups_ = (
                None if kept.get(key) is None else np.array(kept[key], np.int64).reshape(shape)
                for key, shape in (
                    ("good_groups", self.good_scores_.shape),
                    ("peak_groups", self.good_peaks_.shape),
                )
            )
            if min(self.image_size, self.batch_size) < 1 or not np.isfinite(self.good_scores_).all():
                raise ValueError("sizes of 1 or more and finite scores are needed")
        except (KeyError, TypeError, ValueError, OverflowError, Hw3Error) as error:
            raise Hw3Error(
                f"{file}: its metadata are not those of a detector ({type(error).__name__}: {error}); export it again"
            ) from None
        self.good_level_ = float("nan") if level is None else level
        self.has_maps = len(self._session.get_outputs()) > 1
        self._scores_are_peaks = self.has_maps and kept.get("scores_are_peaks") is True

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

    def predict(self, images: ImageStack | np.ndarray) -> np.ndarray:
        """True for each image whose score is above the threshold, bool ``(N,)``.

        Raises:
            Hw3Error: as :meth:`score`, and where the file has no threshold.
        """
        if self.threshold_ is None:
            raise Hw3Error(f"{self.name}: no good image was held out, so there is no threshold; compare the scores")
        return self.decision_function(images) > self.threshold_

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Conformal p-values, float64 ``(m,)``, see :func:`hw3lib.anomaly.thresholds.p_values`.

        Raises:
            Hw3Error: the file has no scores of held-out good images.
        """
        if not len(self.good_scores_):
            raise Hw3Error(f"{self.name}: no good image was held out, so there are no p-values")
        return p_values(self.good_scores_, scores, groups=self.good_groups_)
