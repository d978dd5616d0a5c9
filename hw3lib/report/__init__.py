"""The answer to the assignment, on at most three pages, from what the notebooks of a run measured."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
