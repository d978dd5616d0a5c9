from .augment import RandomAugment
from .callbacks import Callback, Checkpoint, EarlyStopping, History, LiveCurves, ProgressBar
from .devices import pick_device
from .trainer import predict, train

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "LiveCurves",
    "ProgressBar",
    "RandomAugment",
    "pick_device",
    "predict",
    "train",
]
