from . import build, checks, exercises, grading

__all__ = ["build", "checks", "exercises", "grading"]
