"""What people say of photographs: answers that are kept, what to ask next, and an inspector that learns from them."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
