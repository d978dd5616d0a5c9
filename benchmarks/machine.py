"""How fast this machine is now, to read seconds by."""

from __future__ import annotations

import time

import psutil
import torch


def matmul_rate(dtype: torch.dtype, device: str = "cpu", size: int = 2048) -> float:
    """Operations a second (a multiply-add is two) of square matrix products, the best of 30."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(31):
        started = time.perf_counter()
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds[1:])


def say_load() -> None:
    """Say it when other programs take part of the machine."""
    load = psutil.getloadavg()[0]
    if load > 1:
        print(f"  other programs use this machine (load {load:.1f}): trust the ratios more than the seconds")
