from . import available, boxes, export, formats, imports, instances, masks, preview, weights
from .boxes import (
    Fcos,
    YoloV8,
    YoloWorld,
    detection_runs,
    detection_summary,
    example_photographs,
    kept_vocabulary,
    learning_curve,
    truth_of,
)
from .dataset import Dataset, Licence
from .formats import FORMATS, RoundTrip, Written, round_trip
from .instances import Instance, Instances, from_maps, from_masks, read_instances, read_points
from .masks import FineTuning, Segmenter, evaluation, fine_tune, propose
from .measurement import Measurement
from .prompts import PROMPTS
from .splitting import split_images
from .summary import describe_annotation

__all__ = [
    "Dataset",
    "FORMATS",
    "Fcos",
    "FineTuning",
    "Instance",
    "Instances",
    "Licence",
    "Measurement",
    "PROMPTS",
    "RoundTrip",
    "Segmenter",
    "Written",
    "YoloV8",
    "YoloWorld",
    "available",
    "boxes",
    "describe_annotation",
    "detection_runs",
    "detection_summary",
    "evaluation",
    "example_photographs",
    "export",
    "fine_tune",
    "formats",
    "from_maps",
    "from_masks",
    "imports",
    "instances",
    "kept_vocabulary",
    "learning_curve",
    "masks",
    "preview",
    "propose",
    "read_instances",
    "read_points",
    "round_trip",
    "split_images",
    "truth_of",
    "weights",
]
