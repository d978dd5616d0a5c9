"""Words of generated paragraphs: counted as a word processor counts them, left out by whole sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .references import PAPERS
from .runs import SEE, Run

_WORD = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+")


def count(text: str) -> int:
    """Words, that is, what white space divides; of Chinese each character is one, punctuation too."""
    return len(_WORD.findall(text))


def length(run: Run, text: str) -> int:
    """Words of a text whose figures and papers have no numbers yet, as if all were there."""

    def reference(keys: str) -> str:
        if keys.split()[0] in PAPERS:
            return " [9]"
        return run.say(
            " ({references})", references=run.say(", ").join(run.say("Figure {n}", n=9) for _ in keys.split())
        )

    return count(SEE.sub(lambda found: reference(found[1]), run.plain(text)))


def within(run: Run, limit: int, sentences: Sequence[tuple[int, str]], before: str = "") -> str:
    """Sentences in their order, less those that a limit has no room for.

    Args:
        run: that wrote them.
        limit: words, or characters.
        sentences: with how soon each is left out: the highest first, 0 never; empty ones do not count.
        before: another paragraph that counts.
    """
    kept = [(rank, words) for rank, words in sentences if words]
    while True:
        text = run.join([words for _, words in kept])
        rank = max((rank for rank, _ in kept), default=0)
        if not rank or length(run, before) + length(run, text) <= limit:
            return text
        kept.remove(next(each for each in reversed(kept) if each[0] == rank))


def starred(run: Run) -> str:
    """Under a table of several comparisons: what its stars say."""
    return run.say("* Statistically significant for all comparisons together (Holm); each interval is by itself.")


def power(run: Run, metrics: str) -> str:
    """How many images it takes to see a gain of 5 points, as a chapter found it; empty where it did not."""
    said = str(run.value(metrics, "/power")) if run.has(metrics, "/power") else ""
    return run.quote(metrics, "/power", said) if said else ""
