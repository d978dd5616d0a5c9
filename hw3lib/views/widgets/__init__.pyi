from .browsing import AREAS, browse, browse_grad_cams, choose_images, one_image
from .controls import headless, in_person
from .explorers import AttemptExplorer, attempt_curves, explore_attempts, explore_threshold, walk
from .gallery import browse_mistakes, mistakes, most_confident_mistakes
from .relabelling import relabel
from .segmenting import Segmentation, segment

__all__ = [
    "AREAS",
    "AttemptExplorer",
    "Segmentation",
    "attempt_curves",
    "browse",
    "browse_grad_cams",
    "browse_mistakes",
    "choose_images",
    "explore_attempts",
    "explore_threshold",
    "headless",
    "in_person",
    "mistakes",
    "most_confident_mistakes",
    "one_image",
    "relabel",
    "segment",
    "walk",
]
