from . import app, card, corrections, export, fit, inspector, monitor, photographs, plan, score

__all__ = ["app", "card", "corrections", "export", "fit", "inspector", "monitor", "photographs", "plan", "score"]
