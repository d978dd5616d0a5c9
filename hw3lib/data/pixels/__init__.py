"""From a file to pixels: opened with care, values of any depth, its own way to a network's square."""
