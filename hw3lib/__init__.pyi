from . import (
    annotate as annotate,
    anomaly as anomaly,
    classify as classify,
    cli as cli,
    core as core,
    course as course,
    data as data,
    errors as errors,
    imbalance as imbalance,
    inspection as inspection,
    networks as networks,
    report as report,
    runs as runs,
    sweep as sweep,
    views as views,
)
from .data import (
    ImageStack as ImageStack,
    list_categories as list_categories,
    load_table as load_table,
    read_image as read_image,
    read_mask as read_mask,
)
from .errors import Hw3Error as Hw3Error
from .networks import pick_device as pick_device
from .runs import RunFolder as RunFolder

__version__: str
