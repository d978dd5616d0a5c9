"""Chapter 3: long tails, how to measure and make them, and what can be done about them."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
