"""Answers to exercises, checked at once: what was expected, what came, and which idea is missing. Never the solution.

Each check takes the student's function, prints one line if it is right, and raises :class:`CheckFailed` with an
explanation if it is not. Where something is to be beaten it shows baseline, best known and own figure besides.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
