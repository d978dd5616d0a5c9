"""The memory bank of PatchCore, thinned out: greedy k-centre, exact, also in a stream."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
