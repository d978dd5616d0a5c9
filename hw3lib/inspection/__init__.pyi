from . import app, corrections, export, fit, monitor, photographs, plan, score

__all__ = ["app", "corrections", "export", "fit", "monitor", "photographs", "plan", "score"]
