"""Chapter 2: attempts at classifying defect types, run over repeated splits and compared on the same images."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
