"""Detectors as ONNX files, which onnxruntime scores without PyTorch.

One graph holds everything from the photograph's bytes to score and finished map. The file is left only if onnxruntime
then gives the scores that the detector gives.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn
from torch.nn.functional import interpolate

from hw3lib import __version__
from hw3lib.anomaly.calibration import probe_images
from hw3lib.anomaly.detector import Detector
from hw3lib.anomaly.registry import load
from hw3lib.anomaly.thresholds import silence_few_good_images
from hw3lib.core import optional
from hw3lib.core.files import atomic_path
from hw3lib.errors import Hw3Error
from hw3lib.networks.onnx_file import quiet, write

from .detector import FORMAT, OnnxDetector

TOLERANCE = 1e-4
_SEARCH = 2**28  # bytes of the distances between the patches of a batch and the memory bank


class Agreement(NamedTuple):
    """How far onnxruntime's results are from the detector's.

    Attributes:
        images: number of images compared.
        scores, maps: largest difference, as a share of the larger of the image's highest value and the threshold;
            maps is None for a detector without maps.
        opset: of the written model.
        size: of the file in bytes.
    """

    images: int
    scores: float
    maps: float | None
    opset: int
    size: int


def export(
    detector: Detector,
    file: str | Path,
    *,
    images: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> Agreement:
    """Write a fitted detector as one ONNX file and check it; :class:`hw3lib.anomaly.OnnxDetector` reads it.

    Input ``images``: uint8 ``(N, 3, image_size, image_size)``, RGB, 0 to 255, any N. Outputs ``scores``, float32
    ``(N,)``, and ``maps``, float32 ``(N, image_size, image_size)``, as :meth:`.Detector.score` gives them: enlarging
    and Gaussian, with scipy's reflecting border, are one matrix a side. Opset 20.

    Args:
        detector: fitted, with a :meth:`.Detector.graph`.
        file: made, or replaced, only if the check passes.
        images: to check with, uint8 as the input; by default generated ones, smooth and noisy.
        tolerance: see :class:`Agreement`.

    Raises:
        Hw3Error: a package is missing, a detector that is no chain of network and matrix products, one too large for
            an ONNX file, or scores that differ by more than the tolerance.
    """
    optional.require("onnx")
    detector = _on_cpu(detector)
    graph = _Finished(detector, detector.graph()).eval()
    images = probe_images(detector.image_size) if images is None else np.asarray(images)
    with atomic_path(file) as temporary:
        opset = _write(graph, detector, temporary)
        with quiet():  # whether it is the detector is asked next, more strictly
            exported = OnnxDetector(temporary)
        found = _compare(detector, exported, images)
        result = Agreement(len(images), *found, opset, temporary.stat().st_size)
        if not all(difference <= tolerance for difference in found if difference is not None):
            raise Hw3Error(
                f"{file}: not written, since onnxruntime gives other results than the detector: on {len(images)} "
                f"images scores differ by up to {result.scores:.2g}"
                + ("" if result.maps is None else f" and maps by up to {result.maps:.2g}")
                + f" of their size, and tolerance={tolerance:g}; use the detector's folder instead"
            )
    return result


class _Finished(nn.Module):
    """A detector's graph and what :meth:`.Detector.score` does with its maps."""

    def __init__(self, detector: Detector, graph: nn.Module):
        super().__init__()
        self.raw = graph  # "graph" is a name that torch.export needs
        with torch.no_grad():
            scores, maps = graph(torch.zeros(1, 3, detector.image_size, detector.image_size, dtype=torch.uint8))
        self.has_maps = maps is not None
        self.scores_are_peaks = scores is None
        self.patches = 0 if maps is None else maps[0].numel()
        if self.has_maps:
            for name, length in zip(("rows", "columns"), maps.shape[1:], strict=True):
                self.register_buffer(name, _finishing_matrix(length, detector.image_size, detector.sigma))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores, maps = self.raw(images)
        if maps is None:
            return (scores.float(),)
        maps = self.rows @ maps.float() @ self.columns.T
        return (maps.amax((1, 2)) if scores is None else scores.float()), maps


def _finishing_matrix(length: int, side: int, smoothing: float) -> torch.Tensor:
    """Float32 ``(side, length)``: bilinear enlarging, then the Gaussian, of one axis of a map; both are linear."""
    enlarged = interpolate(torch.eye(length, dtype=torch.float64)[None, :, :, None], size=(side, 1), mode="bilinear")
    matrix = enlarged[0, :, :, 0].T.numpy()
    return torch.from_numpy(gaussian_filter1d(matrix, smoothing, axis=0) if smoothing else matrix.copy()).float()


def _on_cpu(detector: Detector) -> Detector:
    """A copy on the CPU, as that is where the graph is traced and compared; the caller's detector stays untouched."""
    with tempfile.TemporaryDirectory() as folder, silence_few_good_images():  # said when it was fitted
        detector.save(Path(folder) / "detector")
        return load(Path(folder) / "detector", device="cpu")


def _write(graph: _Finished, detector: Detector, file: Path) -> int:
    threshold = detector.thresholds_
    search = 4 * graph.patches * detector.memory_bank
    kept = {
        "format": FORMAT,
        "hw3lib": __version__,
        "detector": detector.name,
        "image_size": detector.image_size,
        "reading": asdict(detector.reading_),
        "scores_are_peaks": graph.scores_are_peaks,
        "batch_size": max(1, min(detector.batch_size, _SEARCH // search)) if search else detector.batch_size,
        "threshold": threshold.value if threshold else None,
        "threshold_sentence": str(threshold) if threshold else None,
        "promise": detector.promise(),
    }
    example = torch.zeros(2, 3, detector.image_size, detector.image_size, dtype=torch.uint8)
    return write(graph, example, file, ["scores", "maps"][: 1 + graph.has_maps], kept, detector.name)


def _compare(detector: Detector, exported: OnnxDetector, images: np.ndarray) -> tuple[float, float | None]:
    """The largest differences of scores and of maps, as :class:`Agreement` has them."""
    wanted, found = detector.score(images), exported.score(images)
    scale = np.abs(wanted.scores)
    if detector.thresholds_:
        scale = np.maximum(scale, abs(detector.threshold_))
    if wanted.maps is None:
        return _largest(found[0] - wanted.scores, scale), None
    maps = np.asarray(wanted.maps)
    scale = np.maximum(scale, np.abs(maps).max((1, 2)))
    return _largest(found[0] - wanted.scores, scale), _largest(np.asarray(found[1]) - maps, scale[:, None, None])


def _largest(difference: np.ndarray, scale: np.ndarray) -> float:
    return float((np.abs(difference) / np.maximum(scale, np.finfo(np.float32).tiny)).max())
