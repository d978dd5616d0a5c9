"""Detectors as ONNX files, which onnxruntime scores without PyTorch.

One graph holds everything from the photograph's bytes to score and finished map. It is written by
``torch.onnx.export(dynamo=True)`` and left only if onnxruntime then gives the scores that the detector gives.
"""

from __future__ import annotations

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d, zoom
from torch import nn
from torch.nn.functional import interpolate

from hw3lib import __version__
from hw3lib.anomaly.detector import SAVED, Detector
from hw3lib.anomaly.detectors.padim import PaDiM
from hw3lib.anomaly.detectors.patchcore import PatchCore
from hw3lib.anomaly.detectors.pooled import Pooled
from hw3lib.anomaly.detectors.trained import Trained
from hw3lib.anomaly.thresholds import FewGoodImages
from hw3lib.core import optional
from hw3lib.core.files import atomic_path, human_bytes
from hw3lib.errors import Hw3Error

from .detector import FORMAT, PREFIX, OnnxDetector

OPSET = 20  # the first whose operators torch needs no detour for
TOLERANCE = 1e-4
_LARGEST = 2**31 - 2**24  # bytes; a protobuf message, and so an ONNX file in one piece, stays below 2 GiB
_SEARCH = 2**28  # bytes of the distances between the patches of a batch and the memory bank

# What a graph gives: scores (n,), or None where they are the maximum of the finished map; raw maps (n, h, w), or None.
Raw = tuple[torch.Tensor | None, torch.Tensor | None]


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
        detector: fitted, of a class in :data:`GRAPHS`.
        file: made, or replaced, only if the check passes.
        images: to check with, uint8 as the input; by default generated ones, smooth and noisy.
        tolerance: see :class:`Agreement`.

    Raises:
        Hw3Error: a package is missing, a detector that is no chain of network and matrix products, one too large for
            an ONNX file, or scores that differ by more than the tolerance.
    """
    optional.require("onnx")
    detector._require_fit()
    make = _graph_of(detector)
    size = sum(value.nbytes for value in detector._state().values())
    if size > _LARGEST:
        raise Hw3Error(
            f"{detector.name}: what it learned takes {human_bytes(size)}, and an ONNX file holds less than 2.1 GB; fit "
            "it with a lower ratio or a smaller image_size"
        )
    detector = _on_cpu(detector)
    graph = _Finished(detector, make(detector)).eval()
    images = _generated(detector.image_size) if images is None else np.asarray(images)
    with atomic_path(file) as temporary:
        opset = _write(graph, detector, temporary)
        found = _compare(detector, OnnxDetector(temporary), images)
        result = Agreement(len(images), *found, opset, temporary.stat().st_size)
        if not all(difference <= tolerance for difference in found if difference is not None):
            raise Hw3Error(
                f"{file}: not written, since onnxruntime gives other results than the detector: on {len(images)} "
                f"images scores differ by up to {result.scores:.2g}"
                + ("" if result.maps is None else f" and maps by up to {result.maps:.2g}")
                + f" of their size, and tolerance={tolerance:g}; use the detector's folder instead"
            )
    return result


class _Whole(nn.Module):
    """A detector whose own ``_score`` is made of networks and tensors."""

    def __init__(self, detector: Detector):
        super().__init__()
        self._detector = detector
        for name, value in vars(detector).items():
            if isinstance(value, nn.Module):
                self.add_module(name, value)

    def forward(self, images: torch.Tensor) -> Raw:
        return self._detector._score(images)


class _PaDiM(_Whole):
    """As PaDiM's ``_score``, with the number of images left open, which ``len`` would fix."""

    _detector: PaDiM
    mean: torch.Tensor
    whitening: torch.Tensor

    def __init__(self, detector: PaDiM):
        super().__init__(detector)
        self.register_buffer("mean", detector._mean)
        self.register_buffer("whitening", detector._whitening.transpose(1, 2).contiguous())

    def forward(self, images: torch.Tensor) -> Raw:
        difference = self._detector._patches(images) - self.mean[:, None]
        distance = torch.bmm(difference, self.whitening).norm(dim=2)
        return None, distance.T.unflatten(1, self._detector._grid)


class _PatchCore(_Whole):
    """PatchCore with a search that is one matrix product.

    The product ranks, and the distance to the vector that it ranks first is computed from the difference. Rounding may
    so choose a vector that is not the nearest, but its squared distance exceeds the nearest one's by at most twice the
    bound on the product's error, :func:`.product_slack`. The bank is centred, which keeps that bound low.
    The neighbours of each vector of the bank, which equation 7 asks for, are looked up beforehand, exactly.
    """

    _detector: PatchCore
    mean: torch.Tensor
    bank: torch.Tensor
    squares: torch.Tensor
    around: torch.Tensor

    def __init__(self, detector: PatchCore):
        super().__init__(detector)
        bank = detector._bank
        mean = bank.mean(0, dtype=torch.float64)
        self.register_buffer("mean", mean.float())
        self.register_buffer("bank", bank - self.mean)
        self.register_buffer("squares", self.bank.double().square().sum(1).float())
        self._weighs = detector.neighbours > 0 and len(bank) > 1
        if self._weighs:
            around = detector._nearest.query(bank, min(detector.neighbours, len(bank)))[1]
            self.register_buffer("around", around)

    def forward(self, images: torch.Tensor) -> Raw:
        patches = self._detector._patches(images)
        _, height, width, channels = patches.shape
        flat = patches.flatten(0, 2) - self.mean
        distance, nearest = self.search(flat)
        distance, nearest = distance.view(-1, height * width), nearest.view(-1, height * width)
        scores, most = self._detector.counted(distance, images, (height, width)).max(1, keepdim=True)
        if self._weighs:
            chosen = flat.view(-1, height * width, channels).gather(1, most[:, :, None].expand(-1, 1, channels))
            around = self.bank[self.around[nearest.gather(1, most)[:, 0]]]
            others = (chosen - around).norm(dim=2)
            scores = scores * (1 - torch.exp(scores - others.logsumexp(1, keepdim=True)))
        return scores[:, 0], distance.view(-1, height, width)

    def search(self, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distance and position of the nearest vector of the bank, of centred patches ``(n, channels)``."""
        nearest = torch.addmm(self.squares, flat, self.bank.T, alpha=-2).argmin(1)
        return (flat - self.bank[nearest]).norm(dim=1), nearest


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
                self.register_buffer(name, _finishing_matrix(length, detector.image_size, detector.smoothing))

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


# How each class becomes a graph; the first that fits counts. Trained covers autoencoder, Deep SVDD, GANomaly,
# CutPaste and the segmenter of synthetic defects, which are networks throughout.
GRAPHS: dict[type, Callable[[Any], nn.Module]] = {PatchCore: _PatchCore, PaDiM: _PaDiM, Trained: _Whole}


def _graph_of(detector: Detector) -> Callable[[Any], nn.Module]:
    for kind, make in GRAPHS.items():
        if isinstance(detector, kind):
            return make
    why = "it has no graph in hw3lib.anomaly.onnx.export.GRAPHS"
    if isinstance(detector, Pooled):
        why = "scikit-learn computes its scores, which torch cannot write as a graph"
    raise Hw3Error(f"{detector.name} cannot be exported to ONNX: {why}; take PatchCore or PaDiM, or use its folder")


def _on_cpu(detector: Detector) -> Detector:
    """A copy on the CPU, as that is where the graph is traced and compared; the caller's detector stays untouched."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FewGoodImages)  # said when it was fitted
        detector.save(Path(folder) / "detector")
        settings, state = SAVED.read(Path(folder) / "detector")
        return type(detector)._load(settings["parameters"] | {"device": "cpu"}, settings, state)


def _write(graph: _Finished, detector: Detector, file: Path) -> int:
    example = torch.zeros(2, 3, detector.image_size, detector.image_size, dtype=torch.uint8)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["scores", "maps"][: 1 + graph.has_maps],
                dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise Hw3Error(
            f"{detector.name} cannot be exported to ONNX: torch cannot write its network as a graph ({reason}); take "
            "another architecture, or use the detector's folder"
        ) from error
    assert program is not None
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
        "false_alarm_rate": threshold.false_alarm_rate if threshold else None,
        "threshold_sentence": str(threshold) if threshold else None,
        "good_scores": [float(score) for score in detector.good_scores_],
        "good_peaks": [float(peak) for peak in detector.good_peaks_],
        "good_groups": None if detector.good_groups_ is None else detector.good_groups_.tolist(),
        "peak_groups": None if detector.peak_groups_ is None else detector.peak_groups_.tolist(),
        "good_level": float(detector.good_level_) if len(detector.good_peaks_) else None,
    }
    program.model.metadata_props.update({PREFIX + key: json.dumps(value) for key, value in kept.items()})
    with _quiet():
        program.save(file, external_data=False)
    return program.model.opset_imports[""]


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


def _generated(side: int, count: int = 3) -> np.ndarray:
    """Images of all roughnesses, from smooth ones to noise: uint8 ``(count, 3, side, side)``."""
    rng = np.random.default_rng(0)
    images = []
    for cells in np.unique(np.geomspace(4, side, count).astype(int)):
        coarse = rng.uniform(0, 255, (3, cells, cells))
        images.append(zoom(coarse, (1, side / cells, side / cells), order=1)[:, :side, :side])
    return np.stack(images).clip(0, 255).astype(np.uint8)


@contextmanager
def _quiet():
    """Without what torch and onnxscript tell about each step of a conversion; what goes wrong they raise."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
