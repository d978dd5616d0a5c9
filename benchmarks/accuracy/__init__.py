"""How right methods are on a category, with intervals."""
