"""Figures, a module a chapter; each function draws, changes nothing and returns a matplotlib figure."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
