from . import plots as plots, widgets as widgets
