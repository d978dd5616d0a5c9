"""A run is a folder: notebooks executed into it, and what they found."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
