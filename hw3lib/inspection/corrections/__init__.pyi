from . import answers, review, update

__all__ = ["answers", "review", "update"]
