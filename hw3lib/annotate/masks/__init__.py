"""Models that give masks: SAM and a light segmenter; trained and measured."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
