from . import ultralytics
from .base import BoxDetector, Boxes
from .comparison import detection_runs, detection_summary, learning_curve
from .fcos import Fcos
from .metrics import mean_average_precision, truth_of
from .yolo import YoloV8
from .yolo_world import YoloWorld, example_photographs, kept_vocabulary

__all__ = [
    "BoxDetector",
    "Boxes",
    "Fcos",
    "YoloV8",
    "YoloWorld",
    "detection_runs",
    "detection_summary",
    "example_photographs",
    "kept_vocabulary",
    "learning_curve",
    "mean_average_precision",
    "truth_of",
    "ultralytics",
]
