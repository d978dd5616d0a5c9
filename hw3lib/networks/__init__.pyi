from . import backbones as backbones
from .augment import RandomAugment as RandomAugment
from .callbacks import (
    Callback as Callback,
    Checkpoint as Checkpoint,
    EarlyStopping as EarlyStopping,
    History as History,
)
from .devices import pick_device as pick_device
from .nearest import NearestNeighbours as NearestNeighbours
from .patches import locally_aware as locally_aware, patch_layers as patch_layers
from .trainer import predict as predict, train as train
