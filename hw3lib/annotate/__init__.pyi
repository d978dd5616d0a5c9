from . import (
    available as available,
    boxes as boxes,
    export as export,
    formats as formats,
    imports as imports,
    instances as instances,
    masks as masks,
    preview as preview,
    weights as weights,
)
from .boxes import (
    Fcos as Fcos,
    YoloV8 as YoloV8,
    YoloWorld as YoloWorld,
    detection_runs as detection_runs,
    detection_summary as detection_summary,
    example_photographs as example_photographs,
    kept_vocabulary as kept_vocabulary,
    learning_curve as learning_curve,
    truth_of as truth_of,
)
from .dataset import Dataset as Dataset, Licence as Licence
from .formats import FORMATS as FORMATS, RoundTrip as RoundTrip, Written as Written, round_trip as round_trip
from .instances import (
    Instance as Instance,
    Instances as Instances,
    from_maps as from_maps,
    from_masks as from_masks,
    read_instances as read_instances,
)
from .masks import (
    FineTuning as FineTuning,
    Segmenter as Segmenter,
    evaluation as evaluation,
    fine_tune as fine_tune,
    propose as propose,
)
from .measurement import Measurement as Measurement
from .prompts import PROMPTS as PROMPTS
from .splitting import split_images as split_images
from .summary import describe_annotation as describe_annotation
