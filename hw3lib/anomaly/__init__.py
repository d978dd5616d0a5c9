"""Chapter 4: anomaly detectors that learn from good images alone, their thresholds and their metrics."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
