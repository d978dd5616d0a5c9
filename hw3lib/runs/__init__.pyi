from .folder import RunFolder, plain

__all__ = ["RunFolder", "plain"]
