from .classifier import PARTS, WHOLE, DefectGuided, Looks, good_images, look, run_guided

__all__ = ["DefectGuided", "Looks", "PARTS", "WHOLE", "good_images", "look", "run_guided"]
