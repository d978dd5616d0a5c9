from . import plots, widgets

__all__ = ["plots", "widgets"]
