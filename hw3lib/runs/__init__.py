"""A run is a folder: notebooks executed into it, and what they found."""
