from .files import atomic_path as atomic_path
from .fonts import drawn_language as drawn_language
from .intervals import (
    Design as Design,
    Interval as Interval,
    auroc_interval as auroc_interval,
    corrected_interval as corrected_interval,
    difference_interval as difference_interval,
    holm as holm,
    wilson_interval as wilson_interval,
)
from .places import project_root as project_root
from .scores import balanced_accuracy as balanced_accuracy
from .translation import here as here, say as say
