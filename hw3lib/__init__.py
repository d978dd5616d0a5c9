"""Visual inspection from a folder of product photographs: a course in notebooks, and the package under it."""

import lazy_loader as _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
