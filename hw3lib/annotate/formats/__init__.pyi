from .registry import FORMATS, Format, RoundTrip, Written, find_format, round_trip

__all__ = ["FORMATS", "Format", "RoundTrip", "Written", "find_format", "round_trip"]
