from . import ultralytics as ultralytics
from .base import BoxDetector as BoxDetector, Boxes as Boxes
from .comparison import (
    detection_runs as detection_runs,
    detection_summary as detection_summary,
    learning_curve as learning_curve,
)
from .fcos import Fcos as Fcos
from .metrics import mean_average_precision as mean_average_precision, truth_of as truth_of
from .yolo import YoloV8 as YoloV8
from .yolo_world import (
    YoloWorld as YoloWorld,
    example_photographs as example_photographs,
    kept_vocabulary as kept_vocabulary,
)
