"""The tool for the line: fit a detector on photographs, score others, a page to drop them on."""
