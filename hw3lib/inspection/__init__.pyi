from . import app, fit, photographs, score

__all__ = ["app", "fit", "photographs", "score"]
