"""Question 2: attempts to improve a classifier of defect types."""

from __future__ import annotations

from typing import Any

from hw3lib.core.intervals import Interval

from .. import charts
from ..document import Block, Question, figure, table, text
from ..pictures import lines
from ..runs import NOTHING, Run
from ..sentences import power, starred, within
from .lacking import lacking, not_possible

METRICS, ATTEMPTS = "02/metrics.json", "02/attempts.csv"
LIMIT = 150
ROWS = 9  # the best, and the baseline wherever it stands
GUIDED = ("guided", "whole image")  # strategies that describe images by features of patches


def attempts(run: Run) -> Question:
    """Table of attempts with the best marked, hyperparameters, the best model and why."""
    question = Question(2, run.say("Attempts to improve a model"), limit=LIMIT)
    if ended := not_possible(run, "02", "leaderboard"):
        question.blocks = [ended]
        return question
    board = run.rows(METRICS, "/leaderboard")
    best = next((i for i, row in enumerate(board) if row.get("attempt") == run.value(METRICS, "/best")), 0)
    blocks = [_table(run, board), text(_text(run, board, best)), *lacking(run, "02")]
    question.blocks = [*blocks, *_chart(run, board, best), *_looks(run, board, best)]
    return question


def _gain(row: dict[str, Any]) -> Interval:
    return Interval.read(row, "gain", kind="difference")


def _text(run: Run, board: list[dict[str, Any]], best: int) -> str:
    """What was found, by how much, why, and with which hyperparameters."""
    at, row = f"/leaderboard/{best}", board[best]
    said = {
        "name": run.mark(METRICS, f"{at}/attempt"),
        "accuracy": run.interval(METRICS, at, "accuracy", "ci"),
        "see": run.see("attempts", "accuracies"),
    }
    if row.get("attempt") == run.value(METRICS, "/baseline"):
        found = run.say(
            "No change pays here: the baseline itself classifies most test images correctly, {accuracy} %{see}.", **said
        )
    elif row.get("gain") is None:
        found = run.say(
            "The best attempt, '{name}', classifies {accuracy} % of the test images correctly{see}.", **said
        )
    else:
        said["gain"] = run.interval(METRICS, at, "gain", spec="+.1f").rstrip("*")
        found = run.say(
            "The best attempt, '{name}', classifies {accuracy} % of the test images correctly{see}. "
            "Against the baseline that is {gain} points; ",
            **said,
        ) + (
            run.say("among all attempts the gain is statistically significant.")
            if _gain(row).sign > 0
            else run.say("among all attempts the gain is not significant, so chance may have made it.")
        )
    return within(run, LIMIT, [(0, found), *_why(run, row), (0, _hyperparameters(run, row)), *_factors(run)])


def _why(run: Run, row: dict[str, Any]) -> list[tuple[int, str]]:
    """A reason for the best attempt's success, and the paired comparison that supports it."""
    strategy = row.get("strategy")
    if strategy == "guided":
        evidence = ""
        if run.has(METRICS, "/second_look/gain"):
            gain = run.interval(METRICS, "/second_look", "gain", spec="+.1f").rstrip("*")
            evidence = run.say(
                "Against the whole image at equal budget, the second look is worth {gain} points.", gain=gain
            )
        reason = run.say(
            "Why: a defect is a small part of its image and is averaged away when the whole is described; this attempt "
            "finds the region least like good products, looks there again, enlarged, and classifies that{see}.",
            see=run.see("looks"),
        )
        return [(0, reason), (1, evidence)]
    if strategy == "scratch":
        return [
            (
                0,
                run.say(
                    "Why: a small network has few weights, and what helped is that it saw more images or "
                    "saw them longer."
                ),
            )
        ]
    reason = run.say(
        "Why: {n} training images are too few to learn filters from; ImageNet's already see edges and "
        "texture, and only the mapping to defect types is learned here.",
        n=run.mark(METRICS, "/n_train", ".0f", optional=True),
    )
    if strategy == "two-stage":
        second = run.say("The second stage then adapts the last layers to this product.")
        return [(0, reason), (1, second), (1, _alone(run, "a second stage helps"))]
    return [(0, reason), (1, _alone(run, "pretraining helps"))]


def _alone(run: Run, finding: str) -> str:
    """What one factor is worth in a paired comparison; empty where that was not measured."""
    rows = run.rows(METRICS, "/hypotheses") if run.has(METRICS, "/hypotheses") else []
    for i, row in enumerate(rows):
        if row.get("finding") == finding and row.get("difference") is not None:
            gain = run.interval(METRICS, f"/hypotheses/{i}", "difference", "", spec="+.1f").rstrip("*")
            if Interval.read(row, "difference", "", kind="difference").sign:
                return run.say("Alone, in pairs, this factor is worth {gain} points, significantly.", gain=gain)
            return run.say("Alone, in pairs, this factor is worth {gain} points, which is not significant.", gain=gain)
    return ""


def _factors(run: Run) -> list[tuple[int, str]]:
    """Which single factors help, with intervals, and which remain open."""
    rows = run.rows(METRICS, "/hypotheses") if run.has(METRICS, "/hypotheses") else []
    by = {verdict: [i for i, row in enumerate(rows) if row.get("verdict") == verdict] for verdict in VERDICTS}

    def named(i: int, spec: str = "+.1f") -> str:
        gain = run.mark(METRICS, f"/hypotheses/{i}/difference", spec, 100, optional=True)
        return run.say(
            "{factor} ({gain} points)",
            factor=_factor(run, rows[i]),
            gain=gain,
        )

    held, refuted, none, open_ = by.values()
    sentences = []
    if held:
        factors = run.listed([named(i) for i in held])
        sentences.append(
            (2, run.say("Of single factors, tested in pairs, these help significantly: {factors}.", factors=factors))
        )
    if refuted:
        factors = run.listed([named(i) for i in refuted])
        sentences.append((2, run.say("These do the opposite of what was expected: {factors}.", factors=factors)))
    if none:
        factors = run.listed([_factor(run, rows[i]) for i in none])
        sentences.append((2, run.say("Equivalent, within 5 points, with and without: {factors}.", factors=factors)))
    if open_:
        factors = run.listed([_factor(run, rows[i]) for i in open_])
        sentences.append((3, run.say("Undecided on so few images: {factors}.", factors=factors)))
    return sentences


def _factor(run: Run, row: dict[str, Any]) -> str:
    finding = str(row.get("finding"))
    return run.name(FACTORS.get(finding, finding))


VERDICTS = ("held", "refuted", "equivalent", "not significant")
FACTORS = {
    "more data helps": "more data",
    "a deeper network helps": "a deeper network",
    "a still deeper one is worse": "a still deeper network",
    "pretraining helps": "pretraining",
    "a second stage helps": "a second stage",
    "a lower rate and more epochs help": "a lower rate with more epochs",
    "higher resolution helps": "higher resolution",
}


def _settings(run: Run, name: object) -> int | None:
    """The line of an attempt's settings; of several of one name, the last, which is the leaderboard's."""
    rows = run.rows(ATTEMPTS, "") if run.has(ATTEMPTS) else []
    return {row.get("name"): i for i, row in enumerate(rows)}.get(name)


def _hyperparameters(run: Run, row: dict[str, Any]) -> str:
    line = _settings(run, row.get("attempt"))
    if line is None:
        return ""
    settings = run.rows(ATTEMPTS, "")[line]

    def of(key: str, spec: str = "s") -> str:
        return run.mark(ATTEMPTS, f"/{line}/{key}", spec, optional=True)

    if row.get("strategy") in GUIDED:
        return run.say(
            "Hyperparameters: {arch}, {size} px, regions of {region} px, memory of {memory} patches, {classifier}.",
            arch=of("arch"),
            size=of("image_size", ".0f"),
            region=of("region_size", ".0f"),
            memory=of("memory", ".0f"),
            classifier=_classifier(run, settings),
        )
    return run.say(
        "Hyperparameters: {arch}, {size} px, {optimiser}, rate {lr}, batches of {batch}, {epochs} epochs.",
        arch=of("arch"),
        size=of("image_size", ".0f"),
        optimiser=of("optimiser"),
        lr=of("lr", "g"),
        batch=of("batch_size", ".0f"),
        epochs=of("epochs", ".0f"),
    )


def _classifier(run: Run, settings: dict[str, Any]) -> str:
    is_logistic = settings.get("classifier") == "logistic"
    return run.say("logistic regression") if is_logistic else run.say("support vector machines")


def _tried(run: Run, at: str, row: dict[str, Any]) -> str:
    """What an attempt is, in a sentence."""
    line = _settings(run, row.get("attempt"))
    settings = {} if line is None else run.rows(ATTEMPTS, "")[line]
    arch, strategy = run.mark(METRICS, f"{at}/arch"), row.get("strategy")

    def of(key: str, spec: str) -> str:
        return run.mark(ATTEMPTS, f"/{line}/{key}", spec, optional=True)

    if strategy == "scratch" and settings.get("images_per_class") is not None:
        number = of("images_per_class", ".0f")
        return run.say("{arch} learns from random weights, from {n} images of each class.", arch=arch, n=number)
    if strategy == "scratch":
        return run.say("{arch} learns from random weights, from all training images.", arch=arch)
    if strategy == "transfer" and settings.get("head") == "multi-scale":
        return run.say(
            "{arch} stays as ImageNet left it; the new head also sees earlier feature maps, in which small defects "
            "are not yet averaged away.",
            arch=arch,
        )
    if strategy == "transfer":
        return run.say("{arch} stays as ImageNet left it; a new last layer learns.", arch=arch)
    if strategy == "two-stage" and line is not None:
        return run.say(
            "{arch}: first a new last layer learns, then for {epochs} epochs at rate {lr} the backbone too.",
            arch=arch,
            epochs=of("fine_tune_epochs", ".0f"),
            lr=of("fine_tune_lr", "g"),
        )
    if strategy == "fine-tune":
        return run.say("{arch} starts from ImageNet's weights, all of which learn.", arch=arch)
    if strategy in ("adapters", "lora"):
        return run.say(
            "{arch} stays as ImageNet left it; small added layers learn{paper}.", arch=arch, paper=run.see("adapters")
        )
    if strategy == "guided":
        return run.say(
            "{arch}'s patches are compared with those of good products; the region that differs most is looked at "
            "again; {classifier}.",
            arch=arch,
            classifier=_classifier(run, settings),
        )
    if strategy == "whole image":
        return run.say(
            "{arch} describes the whole image, at the same budget; {classifier}.",
            arch=arch,
            classifier=_classifier(run, settings),
        )
    return run.say("{arch}, strategy {strategy}.", arch=arch, strategy=run.name(strategy))


def _table(run: Run, board: list[dict[str, Any]]) -> Block:
    best, baseline = run.value(METRICS, "/best"), run.value(METRICS, "/baseline")
    names = [row.get("attempt") for row in board]
    shown = list(range(len(board)))
    if len(shown) > ROWS:
        must = [names.index(name) for name in (best, baseline) if name in names]
        shown = sorted({*must, *[i for i in shown if i not in must][: ROWS - len(set(must))]})
    rows: list[list[str]] = []
    marked = None
    for i in shown:
        at, line = f"/leaderboard/{i}", _settings(run, names[i])

        def chosen(key: str, spec: str, line: int | None = line) -> str:
            return NOTHING if line is None else run.mark(ATTEMPTS, f"/{line}/{key}", spec, optional=True)

        name = run.mark(METRICS, f"{at}/attempt")
        if names[i] == best:
            marked = len(rows)
            name = run.say("{name} (best)", name=name)
        rows.append(
            [
                run.say("{name}: {tried}", name=name, tried=_tried(run, at, board[i])),
                run.mark(METRICS, f"{at}/image_size", ".0f", optional=True),
                chosen("lr", "g"),
                chosen("batch_size", ".0f"),
                chosen("epochs", ".0f"),
                run.interval(METRICS, at, "accuracy", "ci"),
                run.interval(METRICS, at, "gain", spec="+.1f") if names[i] != baseline else NOTHING,
            ]
        )
    said = [
        run.say(
            "The attempts on {splits} repeated splits: mean accuracy on test images, and gain on the baseline over the "
            "same splits (paired), with 95 % intervals that allow for images shared by splits{paper}.",
            splits=run.mark(METRICS, "/leaderboard/0/n_splits", ".0f", optional=True),
            paper=run.see("splits"),
        ),
        starred(run),
        power(run, METRICS),
    ]
    if len(shown) < len(board):
        said.append(run.say("All attempts: {file}.", file="02/leaderboard.csv"))
    header = [
        run.say("attempt"),
        run.say("px"),
        run.say("rate"),
        run.say("batch"),
        run.say("epochs"),
        run.say("accuracy, %"),
        run.say("gain, points"),
    ]
    return table(run.join([each for each in said if each]), header, rows, marked, key="attempts", wide=True)


def _chart(run: Run, board: list[dict[str, Any]], best: int) -> list[Block]:
    rows = [tuple(100 * charts.number(row.get(key)) for key in ("accuracy", "ci_low", "ci_high")) for row in board]
    names = [run.name(row.get("attempt")) for row in board]
    baseline = next(
        (
            row[0]
            for row, each in zip(rows, board, strict=True)
            if each.get("attempt") == run.value(METRICS, "/baseline")
        ),
        None,
    )
    drawn = charts.intervals(names[:20], rows[:20], run.say("accuracy, %"), best, baseline)
    caption = run.say(
        "Mean accuracy of each attempt and its 95 % interval; dashed, the baseline. Intervals this long "
        "are the price of few test images."
    )
    return [figure(drawn, caption, "accuracies", grows=False)]


def _looks(run: Run, board: list[dict[str, Any]], best: int) -> list[Block]:
    """Where the best attempt looks again, or else where attempt 2 looks."""
    for name, strategies, caption in (
        (
            "regions",
            GUIDED,
            run.say(
                "Where the defect-guided attempt looks twice: the image, its anomaly map, and the region enlarged."
            ),
        ),
        (
            "grad_cams",
            (),
            run.say("Where a pretrained classifier looks (Grad-CAM): a right answer need not come from the defect."),
        ),
    ):
        picture = run.folder / "02" / "figures" / f"{name}.png"
        if picture.is_file() and (not strategies or board[best].get("strategy") in strategies):
            return [figure(lines(picture, run.tell, 3, 4), caption, "looks", optional=1)]
    return []
