from .calibration import ChangedDetector
from .comparison import (
    DetectorEvaluation,
    beats_guessing,
    compare_detectors,
    compare_types,
    describe_alarms,
    describe_best_f1,
    describe_detectors,
    evaluate,
)
from .coreset.greedy import k_center_greedy
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
from .onnx.detector import OnnxDetector
from .registry import DETECTORS, load, load_detector, make_detector
from .robustness import CONDITIONS, robustness_table
from .thresholds import (
    Costs,
    FewGoodImages,
    Threshold,
    conformal_threshold,
    cost_threshold,
    error_curve,
    f1_best_threshold,
    p_values,
    required_good_images,
    silence_few_good_images,
)

__all__ = [
    "CONDITIONS",
    "Autoencoder",
    "ChangedDetector",
    "Costs",
    "CutPaste",
    "DETECTORS",
    "DeepSVDD",
    "Detector",
    "DetectorEvaluation",
    "FewGoodImages",
    "GANomaly",
    "IsolationForest",
    "Mahalanobis",
    "NearestImages",
    "OneClassSVM",
    "OnnxDetector",
    "PaDiM",
    "PatchCore",
    "PixelMetrics",
    "Scores",
    "SyntheticDefects",
    "Threshold",
    "as_images",
    "beats_guessing",
    "compare_detectors",
    "compare_types",
    "conformal_threshold",
    "describe_alarms",
    "describe_best_f1",
    "describe_detectors",
    "evaluate",
    "cost_threshold",
    "error_curve",
    "f1_best_threshold",
    "silence_few_good_images",
    "image_metrics",
    "k_center_greedy",
    "load",
    "load_detector",
    "make_detector",
    "p_values",
    "required_good_images",
    "robustness_table",
]
