from . import evaluation as evaluation, saved as saved
from .finetune import FineTuning as FineTuning, fine_tune as fine_tune
from .sam import Segmenter as Segmenter, propose as propose
