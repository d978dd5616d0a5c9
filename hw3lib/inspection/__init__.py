"""The tool for the line: fit a detector on photographs, score others, a page to drop them on."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
