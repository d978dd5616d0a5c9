from . import app, corrections, fit, monitor, photographs, plan, score

__all__ = ["app", "corrections", "fit", "monitor", "photographs", "plan", "score"]
