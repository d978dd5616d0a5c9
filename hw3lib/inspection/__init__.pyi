from . import answers, app, fit, monitor, photographs, plan, review, score, update

__all__ = ["answers", "app", "fit", "monitor", "photographs", "plan", "review", "score", "update"]
