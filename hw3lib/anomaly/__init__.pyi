from .detector import Detector, Scores, as_images
from .detectors.autoencoder import Autoencoder
from .detectors.cutpaste import CutPaste
from .detectors.ganomaly import GANomaly
from .detectors.padim import PaDiM
from .detectors.patchcore import PatchCore
from .detectors.pooled import IsolationForest, Mahalanobis, NearestImages, OneClassSVM
from .detectors.svdd import DeepSVDD
from .detectors.synthetic_defects import SyntheticDefects
from .metrics.metrics import PixelMetrics, image_metrics
from .registry import DETECTORS, load
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
