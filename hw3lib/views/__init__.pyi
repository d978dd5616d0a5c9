from . import plots as plots, tables as tables, widgets as widgets
