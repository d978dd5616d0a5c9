from .category import Imported as Imported, import_category as import_category
from .registry import SOURCES as SOURCES, Source as Source, find_source as find_source
