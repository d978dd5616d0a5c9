"""Where defects are: masks, drawn shapes and ``annotations.json``."""
