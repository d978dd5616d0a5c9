from .comparison import RoundTrip as RoundTrip, round_trip as round_trip
from .registry import FORMATS as FORMATS, Format as Format, Written as Written, find_format as find_format
