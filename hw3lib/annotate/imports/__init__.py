"""What people have annotated elsewhere becomes a category: one file a format, and what all of them share."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
