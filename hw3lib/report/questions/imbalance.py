"""Question 3: the long tail, a paper on it, and what helped."""

from __future__ import annotations

from hw3lib.core.intervals import Interval

from .document import Question, beside, figure, table, text
from .lacking import lacking, not_possible
from .runs import Run, clean, escaped
from .sentences import STARRED, power

DATASET, METRICS = "01/metrics.json", "03/metrics.json"
LIMIT = 150
BEST = 4  # methods shown besides plain training, the paper's and the worst

DEFINITION = "In a long tail a few head classes hold most images, and many tail classes few."
PAPER = (
    "DeepSMOTE (Dablain et al. 2021, arXiv 2105.02340) makes images of rare classes. An encoder and a decoder learn to "
    "redraw images and, as a penalty, to draw an image of a class from the code of another one. New codes are then "
    "drawn between neighbours of a rare class and decoded, until classes are equal."
)


def long_tail(run: Run) -> Question:
    """Definition with the category's numbers, summary of a paper, how it applies, and what helped."""
    question = Question(3, "The long tail", limit=LIMIT)
    definition = f"{DEFINITION} {_numbers(run)}" if "01" in run.chapters else DEFINITION
    paper = text(f"{PAPER} {_applied(run)}")
    if ended := not_possible(run, "03", "methods"):
        question.blocks = [text(definition), text(PAPER) if "03" in run.chapters else paper, ended]
        return question
    ratio, shown = _chosen(run)
    picture = run.figure("03", "long_tail", "ranking")
    about = "The category's classes, and how far from balance they are."
    measured = [_table(run, ratio, shown), figure(picture, about, 106, 38) if picture else None]
    question.blocks = [beside([text(definition), paper, text(_helped(run, ratio)), lacking(run, "03")], measured, 108)]
    return question


def _numbers(run: Run) -> str:
    counts = run.value(DATASET, "/classes")
    if len(counts) < 2:
        return ""
    heads, tails = ([name for name in counts if counts[name] == end(counts.values())] for end in (max, min))
    sizes = [run.mark(DATASET, f"/classes/{escaped(names[0])}", ".0f") for names in (heads, tails)]
    if heads == tails:
        return f"Here all {len(counts)} classes have {sizes[0]} images each: there is no long tail."
    head, tail = (clean(names[0]) if len(names) == 1 else f"each of {len(names)} classes" for names in (heads, tails))
    ratio = run.mark(DATASET, "/imbalance_ratio", ".1f", optional=True)
    rarest = f"{tail}, the rarest," if len(tails) == 1 else f"{tail}, the rarest ones,"
    return f"Here {head} has {sizes[0]} images and {rarest} {sizes[1]}: an imbalance ratio of {ratio}."


def _applied(run: Run) -> str:
    words = "It learns from training images alone; test images stay real."
    pointers = [f"/recognised/{escaped(name)}" for name in ("DeepSMOTE", "copies", "real images, not seen")]
    if all(run.has(METRICS, pointer) for pointer in pointers):
        made, copies, real = (run.mark(METRICS, pointer, ".0f", 100) for pointer in pointers)
        words += (
            f" Classifiers that have seen no parent of theirs recognise {made} % of its images, {copies} % of copies "
            f"and {real} % of unseen real ones."
        )
    return words


def _number(value: object) -> float:
    """A number as it is, 0 for anything else: it only orders the rows."""
    return value if isinstance(value, int | float) else 0


def _chosen(run: Run) -> tuple[float, list[int]]:
    """The highest ratio that was measured, and the rows shown of it: plain, the best, the paper's, the worst."""
    methods = run.rows(METRICS, "/methods")
    ratio = max((_number(row.get("ratio")) for row in methods), default=0)
    rows = [i for i, row in enumerate(methods) if _number(row.get("ratio")) == ratio]
    rows.sort(key=lambda i: -_number(methods[i].get("balanced_accuracy")))
    others = [i for i in rows if methods[i].get("method") != "plain"]
    wanted = {*others[:BEST], *others[-1:]}
    wanted |= {i for i in rows if methods[i].get("method") in ("plain", "DeepSMOTE")}
    return ratio, [i for i in rows if i in wanted]


def _helped(run: Run, ratio: float) -> str:
    methods = run.rows(METRICS, "/methods")
    compared = [
        i for i, row in enumerate(methods) if row.get("ratio") == ratio and isinstance(row.get("gain"), int | float)
    ]
    if not compared:
        return "Nothing was compared with plain training."
    best = max(compared, key=lambda i: _number(methods[i].get("balanced_accuracy")))  # the table's first, where two tie
    verdict = Interval.read(methods[best], "gain", kind="difference").verdict("a statistically significant gain")
    said = "gains most on plain training" if _number(methods[best]["gain"]) > 0 else "comes nearest to plain training"
    return (
        f"With the tail cut to 1:{run.mark(METRICS, f'/methods/{best}/ratio', 'g')}, "
        f"{run.mark(METRICS, f'/methods/{best}/method')} {said}, in points: "
        f"{run.interval(METRICS, f'/methods/{best}', 'gain', spec='+.1f')}, {verdict} among all methods."
    )


def _table(run: Run, ratio: float, shown: list[int]) -> dict:
    rows: list[list[str]] = []
    marked = None
    methods = run.rows(METRICS, "/methods")
    for i in shown:
        at = f"/methods/{i}"
        if methods[i].get("method") == "plain":
            marked = len(rows)
        rows.append(
            [
                run.mark(METRICS, f"{at}/method"),
                run.interval(METRICS, at, "balanced_accuracy", "ci"),
                run.interval(METRICS, at, "gain", spec="+.1f"),
                run.mark(METRICS, f"{at}/tail_recall", ".1f", 100, optional=True),
            ]
        )
    total = sum(1 for row in methods if (row.get("ratio") or 0) == ratio)
    caption = "Answers to imbalance, with 95 % intervals, and recall of the rarest type; plain training is marked. "
    caption += STARRED + power(run, METRICS)
    if len(shown) < total:
        caption += " The best and the worst are shown; all: 03/methods.csv."
    return table(caption, ["method", "balanced accuracy, %", "gain, points", "rarest type, %"], rows, marked)
