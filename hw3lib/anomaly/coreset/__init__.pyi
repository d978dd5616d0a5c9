from .greedy import (
    Coreset as Coreset,
    StreamedCoreset as StreamedCoreset,
    k_center_greedy as k_center_greedy,
    memory_estimate as memory_estimate,
    streaming_coreset as streaming_coreset,
)
from .selection import working_memory as working_memory
