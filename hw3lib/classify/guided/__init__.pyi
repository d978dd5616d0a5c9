from .classifier import (
    PARTS as PARTS,
    WHOLE as WHOLE,
    DefectGuided as DefectGuided,
    GuidedFeatures as GuidedFeatures,
    extract_features as extract_features,
    good_images as good_images,
    run_guided as run_guided,
)
