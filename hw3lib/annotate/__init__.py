"""Chapter 5: masks to instances, to every annotation format and back; detection and segmentation learn from them."""

from .dataset import Dataset, Licence
from .formats import FORMATS, RoundTrip, Written, round_trip
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
