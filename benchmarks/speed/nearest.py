"""The memory bank's search: rough distances in bfloat16, which a processor may multiply fast, against float32's."""

import time

import torch

from hw3lib.networks.nearest import NearestNeighbours, RoughDistances, _bfloat16_pays

BANKS = ((2_000, 160), (8_000, 384), (20_000, 160))  # vectors and dimensions; PatchCore's banks and those of more


def main(category: str, data: str | None, count: int = 3) -> None:
    """Print processor seconds of 6,000 queries, the least of ``count`` tries; no category is read."""
    print(f"bfloat16 is taken on this processor: {_bfloat16_pays()}; {torch.get_num_threads()} threads")
    generator = torch.Generator().manual_seed(0)
    for size, dim in BANKS:
        bank, queries = (torch.randn(n, dim, generator=generator) for n in (size, 6_000))
        seconds, found = {}, {}
        for name in ("bfloat16", "float32"):
            search, took = NearestNeighbours(bank), []
            coarse = RoughDistances(search.bank - search._mean, torch.bfloat16) if name == "bfloat16" else None
            search._coarse, _ = coarse, search._fine
            for _ in range(count):
                started = time.process_time()
                found[name] = search.query(queries)
                took.append(time.process_time() - started)
            seconds[name] = min(took)
        assert all(map(torch.equal, found["bfloat16"], found["float32"]))
        coarse_took, fine_took = seconds["bfloat16"], seconds["float32"]
        ratio = fine_took / coarse_took
        print(f"  {size:6,} x {dim}: bfloat16 {coarse_took:.3f} s, float32 {fine_took:.3f} s, ratio {ratio:.1f}")
