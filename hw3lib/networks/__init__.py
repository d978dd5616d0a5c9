"""Networks and their training: pretrained backbones, devices, a loop."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
