"""The one error that is meant for the user."""


class Hw3Error(Exception):
    """Says which file or parameter, what was found, what was expected and what to do. No traceback is needed."""
