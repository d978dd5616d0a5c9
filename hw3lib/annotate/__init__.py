"""Chapter 5: masks to instances, to every annotation format and back; detection and segmentation learn from them."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
