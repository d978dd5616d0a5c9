"""Anomaly detectors by name: make one from its settings, load one that was saved."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from hw3lib.core.kinds import is_kind, said
from hw3lib.core.registry import Registry
from hw3lib.core.text import did_you_mean
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    from hw3lib.anomaly.detector import Detector

_DETECTORS = "hw3lib.anomaly.detectors"
# On the command line; in tables and saved folders (the class's own name); where the class is.
_TABLE = (
    ("patchcore", "PatchCore", f"{_DETECTORS}.patchcore:PatchCore"),
    ("padim", "PaDiM", f"{_DETECTORS}.padim:PaDiM"),
    ("subspace", "SubspaceAD", f"{_DETECTORS}.subspace:Subspace"),
    ("dino", "AnomalyDINO", f"{_DETECTORS}.dino:AnomalyDINO"),
    ("knn", "k-nearest neighbours", f"{_DETECTORS}.pooled:NearestImages"),
    ("mahalanobis", "Mahalanobis", f"{_DETECTORS}.pooled:Mahalanobis"),
    ("ocsvm", "one-class SVM", f"{_DETECTORS}.pooled:OneClassSVM"),
    ("iforest", "isolation forest", f"{_DETECTORS}.pooled:IsolationForest"),
    ("autoencoder", "Autoencoder", f"{_DETECTORS}.autoencoder:Autoencoder"),
    ("svdd", "Deep SVDD", f"{_DETECTORS}.svdd:DeepSVDD"),
    ("ganomaly", "GANomaly", f"{_DETECTORS}.ganomaly:GANomaly"),
    ("cutpaste", "CutPaste", f"{_DETECTORS}.cutpaste:CutPaste"),
    ("synthetic", "Synthetic defects", f"{_DETECTORS}.synthetic_defects:SyntheticDefects"),
)
# By the names that the command line takes.
DETECTORS: Mapping[str, type[Detector]] = Registry({short: place for short, _, place in _TABLE})
_SAVED: Mapping[str, type[Detector]] = Registry({name: place for _, name, place in _TABLE})


def make_detector(name: str, settings: dict[str, Any]) -> Detector:
    """An unfitted detector by its name in :data:`hw3lib.anomaly.registry.DETECTORS`; lists become tuples.

    Raises:
        Hw3Error: an unknown name or parameter, or a value that it cannot have.
    """
    if name not in DETECTORS:
        near = did_you_mean(name, DETECTORS) or ";"
        raise Hw3Error(f"unknown detector {name!r}{near} Known: {', '.join(DETECTORS)}")
    kind = DETECTORS[name]
    known = [field.name for field in fields(kind)]
    for setting in settings:
        if setting not in known:
            near = did_you_mean(setting, known) or ";"
            raise Hw3Error(f"{name} has no parameter {setting!r}{near} it has {', '.join(known)}")
    hints = get_type_hints(kind)
    for setting, value in settings.items():
        if not is_kind(value, hints[setting]):
            raise Hw3Error(f"{kind.name}: {setting}: found {value!r}, expected {said(hints[setting])}")
    given: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in settings.items()}
    return kind(**given)


def load_detector(folder: str | Path) -> Detector:
    """As :func:`hw3lib.anomaly.registry.load`, without warnings: what they say, its threshold's sentence says."""
    # NumPy, which names do without.
    from hw3lib.anomaly.calibration import ChangedDetector
    from hw3lib.anomaly.thresholds import silence_few_good_images

    with silence_few_good_images():
        warnings.simplefilter("ignore", ChangedDetector)
        return load(folder)


def load(folder: str | Path, *, device: str | None = None) -> Detector:
    """Load a detector that :meth:`Detector.save` wrote; nothing in the folder is executed.

    Args:
        folder: that it was saved in.
        device: where it is to run; None: where it was fitted.

    Warns:
        ChangedDetector: it gives other scores than the detector that was saved.

    Raises:
        Hw3Error: no such folder, a damaged or missing file, or a detector that this version does not know.
    """
    from hw3lib.anomaly.detector import SAVED  # brings PyTorch, which the names do without

    settings, state = SAVED.read(folder)
    with SAVED.fitting(folder):
        if not isinstance(settings.get("detector"), str) or settings["detector"] not in _SAVED:
            found = str(settings.get("detector"))[:60]
            raise Hw3Error(f"holds a detector {found!r}, expected one of {', '.join(_SAVED)}")
        parameters = settings["parameters"] | ({} if device is None else {"device": device})
        return _SAVED[settings["detector"]]._load(parameters, settings, state)
