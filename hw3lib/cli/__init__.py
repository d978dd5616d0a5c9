"""The command ``hw3``: one file a command."""
