from . import app, card, corrections, fit, inspector, monitor, photographs, plan, score

__all__ = ["app", "card", "corrections", "fit", "inspector", "monitor", "photographs", "plan", "score"]
