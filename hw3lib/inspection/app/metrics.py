"""What the server counts, in Prometheus's text format 0.0.4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # bounds of the histogram


class Metrics:
    """Counts since the server was started.

    Attributes:
        requests: answers to ``POST /inspect`` by HTTP status.
        verdicts: photographs that were inspected, by verdict.
    """

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.verdicts: Counter[str] = Counter()
        self._within, self._seconds, self._drift = [0] * len(SECONDS), 0.0, 0.0

    def add(self, status: int, seconds: float, found: Mapping[str, Any]) -> None:
        """Count an answer, ``seconds`` after its request began; ``found`` is empty of one that was refused."""
        self.requests[status] += 1
        if status == 200:
            self.verdicts[found.get("verdict", "")] += 1
            self._seconds += seconds
            self._within = [n + (seconds <= bound) for n, bound in zip(self._within, SECONDS, strict=True)]
            self._drift = found.get("drift", 0.0)

    def text(self, waiting: int, queue: int) -> str:
        """All of it; ``waiting`` of ``queue`` places are taken."""
        count = self.requests[200]
        times: list[tuple[str, float]] = [
            (f'_bucket{{le="{bound:g}"}}', n) for bound, n in zip(SECONDS, self._within, strict=True)
        ]
        times += [('_bucket{le="+Inf"}', count), ("_sum", self._seconds), ("_count", count)]
        return "".join(
            [
                _metric("requests_total", "counter", "Answers by HTTP status.", _labelled("status", self.requests)),
                _metric("photographs_total", "counter", "Inspected, by verdict.", _labelled("verdict", self.verdicts)),
                _metric("seconds", "histogram", "From a request's begin to its answer, of status 200.", times),
                _metric("waiting", "gauge", "Photographs that are uploaded, wait or are inspected.", [("", waiting)]),
                _metric("queue", "gauge", "How many may wait at once.", [("", queue)]),
                _metric(
                    "drift", "gauge", "Evidence of drift since the start; an alarm is at 10000.", [("", self._drift)]
                ),
            ]
        )


def _labelled(label: str, counts: Mapping[Any, int]) -> list[tuple[str, float]]:
    return [(f'{{{label}="{value}"}}', n) for value, n in sorted(counts.items())]


def _metric(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> str:
    name = f"hw3_inspect_{name}"
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(f"{name}{end} {value}" for end, value in samples)]
    return "\n".join(lines) + "\n"
