from . import evaluation, saved
from .finetune import FineTuning, fine_tune
from .sam import Segmenter, propose

__all__ = ["FineTuning", "Segmenter", "evaluation", "fine_tune", "propose", "saved"]
