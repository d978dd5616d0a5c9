from .classifier import PARTS, WHOLE, DefectGuided, GuidedFeatures, extract_features, good_images, run_guided

__all__ = ["DefectGuided", "GuidedFeatures", "PARTS", "WHOLE", "extract_features", "good_images", "run_guided"]
