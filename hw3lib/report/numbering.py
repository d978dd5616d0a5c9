"""Numbers of figures, tables and papers, in the order in which a reader meets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .document import Question
from .references import PAPERS, Cited, cited
from .runs import SEE, Run


def numbered(run: Run, questions: Sequence[Question]) -> tuple[list[Question], list[Cited]]:
    """The questions with numbers in the place of :meth:`hw3lib.report.runs.Run.see`, and the papers cited."""
    labels: dict[str, str] = {}
    papers: dict[str, int] = {}
    counts = {"figure": 0, "table": 0}

    def labelled(question: Question) -> Question:
        blocks = []
        for block in question.blocks:
            kind = block["kind"]
            if kind in counts and block["key"]:
                counts[kind] += 1
                n = counts[kind]
                is_figure = kind == "figure"
                labels[block["key"]] = run.say("Figure {n}", n=n) if is_figure else run.say("Table {n}", n=n)
                block = block | {"label": labels[block["key"]] + run.say(".")}
            blocks.append(block)
        return replace(question, blocks=blocks)

    def number(found: str) -> str:
        keys = found.split()
        if keys[0] in PAPERS:
            return " [" + ", ".join(str(papers.setdefault(key, len(papers) + 1)) for key in keys) + "]"
        there = [labels[key] for key in keys if key in labels]
        return run.say(" ({references})", references=run.say(", ").join(there)) if there else ""

    with_labels = [labelled(question) for question in questions]
    made = [q.changed(lambda words: SEE.sub(lambda found: number(found[1]), words)) for q in with_labels]
    return made, [cited(n, key) for key, n in papers.items()]
