"""Chapter 1: a category as a table; where it comes from, what is in it, and its images decoded once."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
