from .calibration import ChangedDetector as ChangedDetector
from .comparison import (
    DetectorEvaluation as DetectorEvaluation,
    beats_guessing as beats_guessing,
    compare_detectors as compare_detectors,
    compare_types as compare_types,
    describe_alarms as describe_alarms,
    describe_best_f1 as describe_best_f1,
    describe_detectors as describe_detectors,
    evaluate as evaluate,
)
from .coreset.greedy import k_center_greedy as k_center_greedy
from .detector import Detector as Detector, Scores as Scores, as_images as as_images
from .detectors.autoencoder import Autoencoder as Autoencoder
from .detectors.cutpaste import CutPaste as CutPaste
from .detectors.dino import AnomalyDINO as AnomalyDINO
from .detectors.ganomaly import GANomaly as GANomaly
from .detectors.padim import PaDiM as PaDiM
from .detectors.patchcore import PatchCore as PatchCore
from .detectors.pooled import (
    IsolationForest as IsolationForest,
    Mahalanobis as Mahalanobis,
    NearestImages as NearestImages,
    OneClassSVM as OneClassSVM,
)
from .detectors.subspace import Subspace as Subspace
from .detectors.svdd import DeepSVDD as DeepSVDD
from .detectors.synthetic_defects import SyntheticDefects as SyntheticDefects
from .metrics.metrics import PixelMetrics as PixelMetrics, image_metrics as image_metrics
from .onnx.detector import OnnxDetector as OnnxDetector
from .registry import (
    DETECTORS as DETECTORS,
    load as load,
    load_detector as load_detector,
    make_detector as make_detector,
)
from .robustness import CONDITIONS as CONDITIONS, robustness_table as robustness_table
from .thresholds import (
    Costs as Costs,
    FewGoodImages as FewGoodImages,
    Threshold as Threshold,
    conformal_threshold as conformal_threshold,
    cost_threshold as cost_threshold,
    error_curve as error_curve,
    f1_best_threshold as f1_best_threshold,
    p_values as p_values,
    required_good_images as required_good_images,
    silence_few_good_images as silence_few_good_images,
)
