from .greedy import Coreset, StreamedCoreset, k_center_greedy, memory_estimate, streaming_coreset
from .selection import working_memory

__all__ = ["Coreset", "StreamedCoreset", "k_center_greedy", "memory_estimate", "streaming_coreset", "working_memory"]
