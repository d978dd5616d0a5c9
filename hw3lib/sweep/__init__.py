"""Sweeps: a grid of runs on the cores of one machine or on a cluster, kept by content, gathered into one table."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
