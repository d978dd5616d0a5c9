"""Chapter 4: anomaly detectors that learn from good images alone, their thresholds and their metrics."""

from pathlib import Path

from hw3lib.errors import Hw3Error

from .autoencoder import Autoencoder
from .cutpaste import CutPaste
from .detector import Detector, Scores, as_images, read_folder
from .ganomaly import GANomaly
from .metrics import PixelMetrics, image_metrics
from .padim import PaDiM
from .patchcore import PatchCore
from .pooled import IsolationForest, Mahalanobis, NearestImages, OneClassSVM
from .segmenter import SyntheticDefects
from .svdd import DeepSVDD
from .thresholds import FewGoodImages, Threshold, conformal_threshold, f1_best_threshold, p_values, required_good_images

__all__ = [
    "DETECTORS",
    "Autoencoder",
    "CutPaste",
    "DeepSVDD",
    "Detector",
    "FewGoodImages",
    "GANomaly",
    "IsolationForest",
    "Mahalanobis",
    "NearestImages",
    "OneClassSVM",
    "PaDiM",
    "PatchCore",
    "PixelMetrics",
    "Scores",
    "SyntheticDefects",
    "Threshold",
    "as_images",
    "conformal_threshold",
    "f1_best_threshold",
    "image_metrics",
    "load",
    "p_values",
    "required_good_images",
]

# By the names that the command line takes.
DETECTORS: dict[str, type[Detector]] = {
    "ocsvm": OneClassSVM,
    "iforest": IsolationForest,
    "knn": NearestImages,
    "mahalanobis": Mahalanobis,
    "autoencoder": Autoencoder,
    "svdd": DeepSVDD,
    "ganomaly": GANomaly,
    "cutpaste": CutPaste,
    "synthetic": SyntheticDefects,
    "padim": PaDiM,
    "patchcore": PatchCore,
}


def load(folder: str | Path, *, device: str | None = None) -> Detector:
    """Load a detector that :meth:`Detector.save` wrote; nothing in the folder is executed.

    Args:
        folder: that it was saved in.
        device: where it is to run; None: where it was fitted.

    Raises:
        Hw3Error: no such folder, a damaged or missing file, or a detector that this version does not know.
    """
    settings, state = read_folder(folder)
    kinds = {kind.name: kind for kind in DETECTORS.values()}
    if not isinstance(settings.get("detector"), str) or settings["detector"] not in kinds:
        found = str(settings.get("detector"))[:60]
        raise Hw3Error(f"{folder}: holds a detector {found!r}, expected one of {', '.join(kinds)}")
    try:
        parameters = settings["parameters"] | ({} if device is None else {"device": device})
        return kinds[settings["detector"]]._load(parameters, settings, state)
    except Hw3Error as error:
        raise Hw3Error(f"{folder}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError, RuntimeError) as error:
        raise Hw3Error(f"{folder}: its settings and tensors do not fit together ({error}); save it again") from None
