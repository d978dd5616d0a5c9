"""Words of generated paragraphs: counted as a word processor counts them, left out by whole sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runs import Run

# Under a table of several comparisons: what its stars say.
STARRED = "* Statistically significant for all comparisons together (Holm); each interval is by itself."


def count(text: str) -> int:
    """Words, that is, what white space divides."""
    return len(text.split())


def leading(text: str, limit: int) -> tuple[str, int]:
    """As many whole sentences from the start of ``text`` as have ``limit`` words or fewer; how many are left out."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z'\"])", text.strip())
    kept: list[str] = []
    for sentence in sentences:
        if count(" ".join([*kept, sentence])) > limit:
            break
        kept.append(sentence)
    return " ".join(kept), len(sentences) - len(kept)


def note(question: int, left_out: int, notebook: str, limit: int) -> str:
    """What the reader is told where sentences of a notebook's summary were left out."""
    which = "sentence" if left_out == 1 else f"{left_out} sentences"
    return (
        f"Question {question} leaves out the last {which} of notebook {notebook}'s summary: {limit} words at most. "
        f"All of it: {notebook}/metrics.json."
    )


def power(run: Run, metrics: str) -> str:
    """How many images it takes to see a gain of 5 points, as a chapter found it; empty where it did not."""
    said = str(run.value(metrics, "/power")) if run.has(metrics, "/power") else ""
    return f" {run.quote(metrics, '/power', said)}" if said else ""
