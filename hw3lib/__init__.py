"""Visual inspection from a folder of product photographs: a course in notebooks, and the package under it."""

__version__ = "0.1.0"
