"""What every room uses: files, texts, intervals, saved models. No PyTorch, and no word of any chapter."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
