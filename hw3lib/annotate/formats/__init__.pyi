from .comparison import RoundTrip, round_trip
from .registry import FORMATS, Format, Written, find_format

__all__ = ["FORMATS", "Format", "RoundTrip", "Written", "find_format", "round_trip"]
