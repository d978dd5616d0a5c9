from .category import Imported, import_category
from .registry import SOURCES, Source, find_source

__all__ = ["Imported", "SOURCES", "Source", "find_source", "import_category"]
