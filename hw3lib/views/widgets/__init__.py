"""Things to click in a notebook: each a thin view over a function that draws, which is also its static twin."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
