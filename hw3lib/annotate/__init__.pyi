from .dataset import Dataset, Licence
from .formats.registry import FORMATS, RoundTrip, Written, round_trip
from .instances import Instance, Instances, from_maps, from_masks
from .splitting import split_images

__all__ = [
    "FORMATS",
    "Dataset",
    "Instance",
    "Instances",
    "Licence",
    "RoundTrip",
    "Written",
    "from_maps",
    "from_masks",
    "round_trip",
    "split_images",
]
