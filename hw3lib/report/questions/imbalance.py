"""Question 3: the long tail, four papers on it, and what helped."""

from __future__ import annotations

from typing import Any

from hw3lib.core.intervals import Interval

from .. import charts
from ..document import Block, Question, figure, table, text
from ..runs import Run, clean, escaped
from ..sentences import power, starred, within
from .lacking import lacking, not_possible

DATASET, METRICS = "01/metrics.json", "03/metrics.json"
LIMIT = 150
BEST = 4  # methods shown besides plain training, the papers' and the worst
OF_PAPERS = ("DeepSMOTE", "LRO-style", "LEAP-CosFace", "Adsh")  # methods of the four papers


def long_tail(run: Run) -> Question:
    """Definition with the category's numbers, summary of four papers, how they apply, and what helped."""
    question = Question(3, run.say("The long tail"), limit=LIMIT)
    definition = run.say("Data are long-tailed where a few head classes hold most images and many tail classes few.")
    numbers = _numbers(run) if "01" in run.chapters else ""
    first = run.join([definition, numbers] if numbers else [definition])
    ended = not_possible(run, "03", "methods")
    methods = [] if ended else run.rows(METRICS, "/methods")
    paper = (0, _papers(run))
    applied = (1, run.say("All change training alone, so they apply here."))
    measured = [] if ended else [(0, _helped(run, methods)), (2, _ceiling(run))]
    second = within(run, LIMIT, [paper, applied, *measured], first)
    blocks = [text(first), text(second)]
    if ended:
        question.blocks = [*blocks, ended]
        return question
    ratio, shown = _chosen(run, methods)
    question.blocks = [*blocks, *lacking(run, "03"), _table(run, methods, ratio, shown), *_chart(run, methods, ratio)]
    return question


def _papers(run: Run) -> str:
    return run.say(
        "Four answers: DeepSMOTE{deepsmote} decodes points between neighbours in an autoencoder's code; LRO{lro} "
        "clusters each rare class and draws most from small, badly redrawn clusters; the feature cloud{cloud} "
        "spreads tail classes in angle as widely as head classes; Adsh{adsh} learns from unlabelled images, with a "
        "confidence threshold for each class.",
        **{key: run.see(key) for key in ("deepsmote", "lro", "cloud", "adsh")},
    )


def _numbers(run: Run) -> str:
    counts = run.value(DATASET, "/classes")
    if len(counts) < 2:
        return ""
    heads, tails = ([name for name in counts if counts[name] == end(counts.values())] for end in (max, min))
    head, tail = (run.mark(DATASET, f"/classes/{escaped(names[0])}", ".0f") for names in (heads, tails))
    if heads == tails:
        return run.say("Here all {n} classes have {head} images each: there is no long tail.", n=len(counts), head=head)
    ratio = run.mark(DATASET, "/imbalance_ratio", ".1f", optional=True)
    largest = clean(heads[0]) if len(heads) == 1 else run.say("each of {n} classes", n=len(heads))
    if len(tails) == 1:
        said = run.say(
            "Here {largest} has {head} images and {rarest}, the rarest, {tail}: an imbalance ratio of {ratio}.",
            largest=largest,
            head=head,
            rarest=clean(tails[0]),
            tail=tail,
            ratio=ratio,
        )
        return said
    return run.say(
        "Here {largest} has {head} images and each of {n} classes, the rarest ones, {tail}: an imbalance "
        "ratio of {ratio}.",
        largest=largest,
        head=head,
        n=len(tails),
        tail=tail,
        ratio=ratio,
    )


def _recognised(run: Run) -> str:
    """Whether what an oversampler makes still looks like its class, as classifiers see it."""
    pointers = [f"/recognised/{escaped(name)}" for name in ("DeepSMOTE", "copies", "real images, not seen")]
    if not all(run.has(METRICS, pointer) for pointer in pointers):
        return ""
    made, copies, real = (run.mark(METRICS, pointer, ".0f", 100) for pointer in pointers)
    return run.say(
        "Classifiers recognise {made} % of DeepSMOTE's images, {copies} % of copies and {real} % of unseen real ones.",
        made=made,
        copies=copies,
        real=real,
    )


def _ceiling(run: Run) -> str:
    if not run.has(METRICS, "/ceiling/gain"):
        return ""
    gain = run.interval(METRICS, "/ceiling", "gain", spec="+.1f").rstrip("*")
    return run.say("More real images remain the best answer: those cut away are worth {gain} points.", gain=gain)


def _chosen(run: Run, methods: list[dict[str, Any]]) -> tuple[float, list[int]]:
    """The highest ratio that was measured, and the rows shown of it: plain, the best, the papers', the worst."""
    ratio = max((charts.number(row.get("ratio"), 0) for row in methods), default=0)
    rows = [i for i, row in enumerate(methods) if charts.number(row.get("ratio"), 0) == ratio]
    rows.sort(key=lambda i: -charts.number(methods[i].get("balanced_accuracy"), 0))
    others = [i for i in rows if methods[i].get("method") != "plain"]
    wanted = {*others[:BEST], *others[-1:]}
    wanted |= {i for i in rows if methods[i].get("method") in ("plain", *OF_PAPERS)}
    return ratio, [i for i in rows if i in wanted]


def _helped(run: Run, methods: list[dict[str, Any]]) -> str:
    ratio = _chosen(run, methods)[0]
    compared = [
        i for i, row in enumerate(methods) if row.get("ratio") == ratio and isinstance(row.get("gain"), int | float)
    ]
    if not compared:
        return run.say("Nothing was compared with plain training.")
    # The table's first, where two tie.
    best = max(compared, key=lambda i: charts.number(methods[i].get("balanced_accuracy"), 0))
    at, sign = f"/methods/{best}", Interval.read(methods[best], "gain", kind="difference").sign
    said = {
        "ratio": run.mark(METRICS, f"{at}/ratio", "g"),
        "method": run.mark(METRICS, f"{at}/method"),
        "gain": run.interval(METRICS, at, "gain", spec="+.1f").rstrip("*"),
        "see": run.see("methods", "gains"),
        "verdict": run.say("significant among all methods")
        if sign > 0
        else run.say("significantly worse than plain training")
        if sign < 0
        else run.say("equivalent to plain training within 5 points")
        if methods[best].get("verdict") == "equivalent"
        else run.say("not significant among all methods"),
    }
    if charts.number(methods[best]["gain"]) > 0:
        return run.say(
            "With the tail cut to 1:{ratio}, {method} gains most on plain training: {gain} points of "
            "balanced accuracy, {verdict}{see}.",
            **said,
        )
    return run.say(
        "With the tail cut to 1:{ratio}, no method exceeds plain training; {method} comes nearest: {gain} points of "
        "balanced accuracy, {verdict}{see}.",
        **said,
    )


def _table(run: Run, methods: list[dict[str, Any]], ratio: float, shown: list[int]) -> Block:
    rows: list[list[str]] = []
    marked = None
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
    said = [
        run.say(
            "Answers to imbalance: balanced accuracy, gain on plain training (marked) over the same splits, both with "
            "95 % intervals, and recall of the rarest defect type."
        ),
        starred(run),
        power(run, METRICS),
        _recognised(run),
    ]
    if len(shown) < sum(1 for row in methods if charts.number(row.get("ratio"), 0) == ratio):
        said.append(run.say("The best, the papers' and the worst are shown; all: {file}.", file="03/methods.csv"))
    header = [run.say("method"), run.say("accuracy, %"), run.say("gain, points"), run.say("rarest, %")]
    return table(run.join([each for each in said if each]), header, rows, marked, key="methods")


def _chart(run: Run, methods: list[dict[str, Any]], ratio: float) -> list[Block]:
    rows = [row for row in methods if charts.number(row.get("ratio"), 0) == ratio and row.get("gain") is not None][:20]
    if not rows:
        return []
    gains = [tuple(100 * charts.number(row.get(key)) for key in ("gain", "gain_low", "gain_high")) for row in rows]
    names = [run.name(row.get("method")) for row in rows]
    drawn = charts.intervals(names, gains, run.say("gain in balanced accuracy, points"), 0, 0.0)
    caption = run.say(
        "Gain of every method on plain training and its 95 % interval. One that crosses the dashed line shows no "
        "difference."
    )
    return [figure(drawn, caption, "gains", grows=False, optional=4)]
