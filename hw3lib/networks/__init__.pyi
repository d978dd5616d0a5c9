from . import backbones
from .augment import RandomAugment
from .callbacks import Callback, Checkpoint, EarlyStopping, History
from .devices import pick_device
from .nearest import NearestNeighbours
from .patches import locally_aware, patch_layers
from .trainer import predict, train

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "NearestNeighbours",
    "RandomAugment",
    "backbones",
    "locally_aware",
    "patch_layers",
    "pick_device",
    "predict",
    "train",
]
