from .browsing import (
    AREAS as AREAS,
    browse as browse,
    browse_grad_cams as browse_grad_cams,
    choose_images as choose_images,
    one_image as one_image,
)
from .controls import headless as headless, in_person as in_person
from .explorers import (
    AttemptExplorer as AttemptExplorer,
    attempt_curves as attempt_curves,
    explore_attempts as explore_attempts,
    explore_threshold as explore_threshold,
    walk as walk,
)
from .gallery import (
    browse_mistakes as browse_mistakes,
    mistakes as mistakes,
    most_confident_mistakes as most_confident_mistakes,
)
from .relabelling import relabel as relabel
from .segmenting import Segmentation as Segmentation, segment as segment
