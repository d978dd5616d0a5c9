"""Question 4: anomaly detection from good images alone."""

from __future__ import annotations

from typing import Any

from .. import charts
from ..document import Block, Question, figure, table, text
from ..pictures import lines
from ..runs import Run
from ..sentences import within
from .lacking import lacking, not_possible

METRICS, LINE = "04/metrics.json", "07/metrics.json"
LIMIT = 100
BEST = 6  # detectors shown besides the last one
OF_FEATURES = (  # detectors that compare pretrained features, and reconstruct nothing
    *("PatchCore", "PaDiM", "k-nearest neighbours", "Mahalanobis", "one-class SVM", "isolation forest", "Deep SVDD"),
    *("SubspaceAD", "AnomalyDINO"),
)


def anomalies(run: Run) -> Question:
    """Strategies, table of detectors, heat maps, and what the threshold promises."""
    question = Question(4, run.say("Anomaly detection from good images alone"), limit=LIMIT)
    strategies = run.say(
        "A detector learns what good products look like; what differs is anomalous. It can redraw them "
        "(autoencoder, GANomaly{ganomaly}), map them close together (Deep SVDD{svdd}), learn from made defects "
        "(CutPaste{cutpaste}) or remember pretrained features (PatchCore{patchcore}, PaDiM{padim}, one-class SVM).",
        **{key: run.see(key) for key in ("ganomaly", "svdd", "cutpaste", "patchcore", "padim")},
    )
    if ended := not_possible(run, "04", "detectors"):
        question.blocks = [text(strategies), ended]
        return question
    detectors = run.rows(METRICS, "/detectors")
    ranked = any(isinstance(row.get("image_auroc"), int | float) for row in detectors)
    if not detectors:
        run.missing.append("04: detectors")
        said = [(0, run.say("No detector was measured."))]
    else:
        said = _ranked(run, detectors) if ranked else [(0, _alarms(run, detectors))]
    blocks = [text(within(run, LIMIT, [(0, strategies), *said])), *lacking(run, "04", ("test_good",))]
    if detectors:
        blocks.append(_table(run, detectors) if ranked else _table_of_alarms(run, detectors))
    if picture := run.figure("04", "heat_maps", "most_and_least"):
        caption = run.say(
            "Test images as PatchCore sees them: its heat map, in which dark is what good images show, and what lies "
            "above the threshold."
        )
        if picture.stem != "heat_maps":
            caption = run.say("The most and the least anomalous test images, with their heat maps.")
        blocks.append(figure(lines(picture, run.tell, 4, 4), caption, "heat_maps"))
    question.blocks = [*blocks, *(_chart(run, detectors) if ranked else []), *_line(run)]
    return question


def _ranked(run: Run, rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    best = max(range(len(rows)), key=lambda i: rows[i].get("image_auroc") or 0)
    at = f"/detectors/{best}"
    said = {
        "name": run.mark(METRICS, f"{at}/detector"),
        "auroc": run.interval(METRICS, at, "image_auroc", "auroc", ".3f", 1).rstrip("*"),
        "see": run.see("detectors", "heat_maps", "aurocs"),
        "level": sum(row.get("image_auroc") == rows[best].get("image_auroc") for row in rows),
    }
    first = (
        run.say("{name} ranks first here: image AUROC {auroc}{see}.", **said)
        if said["level"] == 1
        else run.say("{name} is one of {level} that rank first here: image AUROC {auroc}{see}.", **said)
    )
    found = [(0, first)]
    if rows[best].get("detector") in OF_FEATURES:
        why = run.say("Why: pretrained features tell damage from texture, which redrawing must learn from few images.")
        found.append((2, why))
    found.append((1, _threshold(run, rows[best], at)))
    return [*found, (3, _robustness(run, rows[best].get("detector")))]


def _threshold(run: Run, row: dict[str, Any], at: str) -> str:
    allowed = run.mark(METRICS, "/false_alarm_rate", ".3g", 100, optional=True)
    if row.get("detection_rate") is None or row.get("false_alarm_rate") is None:
        return run.say("Its threshold, set on good images held out, allows {allowed} % false alarms.", allowed=allowed)
    caught, alarms = (run.mark(METRICS, f"{at}/{key}", ".3g", 100) for key in ("detection_rate", "false_alarm_rate"))
    return run.say(
        "Its threshold, set on good images held out, allows {allowed} % false alarms; it stops {caught} % of defective "
        "and {alarms} % of good test products.",
        allowed=allowed,
        caught=caught,
        alarms=alarms,
    )


def _alarms(run: Run, rows: list[dict[str, Any]]) -> str:
    """What is known of thresholds where no detector can be ranked."""
    known = [i for i, row in enumerate(rows) if isinstance(row.get("false_alarm_rate"), int | float)]
    if not known:
        return run.say("No detector can be ranked here.")
    ends = [choose(known, key=lambda i: rows[i]["false_alarm_rate"]) for choose in (min, max)]
    low, high = (run.mark(METRICS, f"/detectors/{i}/false_alarm_rate", ".3g", 100) for i in ends)
    return run.say(
        "No detector can be ranked here. Thresholds that allow {allowed} % false alarms, set on {n} good images held "
        "out, stop {low} to {high} % of the good test products, by detector{see}.",
        allowed=run.mark(METRICS, "/false_alarm_rate", ".3g", 100, optional=True),
        n=run.mark(METRICS, "/threshold_images", ".0f", optional=True),
        low=low,
        high=high,
        see=run.see("detectors"),
    )


def _robustness(run: Run, best: str | None) -> str:
    """What a change of light or position does to the best detector, if it was measured."""
    rows = run.rows(METRICS, "/robustness") if run.has(METRICS, "/robustness") else []
    own = [i for i, row in enumerate(rows) if row.get("detector") == best and row.get("image_auroc") is not None]
    if len(own) < 2:  # the first is the unchanged images
        return ""
    worst = min(own[1:], key=lambda i: rows[i]["image_auroc"])
    return (
        run.say(
            "With images {condition}, AUROC falls to {auroc}.",
            condition=run.mark(METRICS, f"/robustness/{worst}/condition"),
            auroc=run.mark(METRICS, f"/robustness/{worst}/image_auroc", ".3f"),
        )
        if rows[worst]["image_auroc"] < rows[own[0]]["image_auroc"]
        else ""
    )


def _table(run: Run, detectors: list[dict[str, Any]]) -> Block:
    order = sorted(range(len(detectors)), key=lambda i: -(detectors[i].get("image_auroc") or 0))
    shown = order if len(order) <= BEST + 2 else [*order[:BEST], order[-1]]
    rows = []
    for i in shown:

        def value(key: str, spec: str = ".3f", i: int = i) -> str:
            return run.mark(METRICS, f"/detectors/{i}/{key}", spec, optional=True)

        rows.append(
            [
                run.mark(METRICS, f"/detectors/{i}/detector"),
                run.interval(METRICS, f"/detectors/{i}", "image_auroc", "auroc", ".3f", 1),
                value("pixel_auroc"),
                value("aupro"),
                value("ms_per_image", ".0f"),
            ]
        )
    said = [
        run.say(
            "Detectors that learned from good images only: AUROC of images, with 95 % intervals over test "
            "images (* better than guessing), and of pixels, AUPRO, and milliseconds an image."
        )
    ]
    if len(shown) < len(order):
        said.append(run.say("The best and the last are shown; all: {file}.", file="04/detectors.csv"))
    header = [run.say("detector"), run.say("image"), run.say("pixel"), "AUPRO", "ms"]
    return table(run.join(said), header, rows, 0, key="detectors")


def _table_of_alarms(run: Run, detectors: list[dict[str, Any]]) -> Block:
    rows = [
        [
            run.mark(METRICS, f"/detectors/{i}/detector"),
            run.mark(METRICS, f"/detectors/{i}/false_alarm_rate", ".0f", 100, optional=True),
            run.mark(METRICS, f"/detectors/{i}/ms_per_image", ".0f", optional=True),
        ]
        for i in range(len(detectors))
    ]
    caption = run.say(
        "Detectors that learned from good images only, and the share of the good test images that they stop."
    )
    return table(caption, [run.say("detector"), run.say("false alarms, %"), "ms"], rows, key="detectors")


def _line(run: Run) -> list[Block]:
    """What an inspector did on a simulated line, if it ran."""
    if ended := not_possible(run, "07", "line"):
        return [ended]
    rows = [
        [
            run.mark(LINE, f"/line/{i}/defect"),
            run.mark(LINE, f"/line/{i}/photographs", ".0f"),
            run.interval(LINE, f"/line/{i}", "recall", spec=".0f"),
        ]
        for i in range(len(run.rows(LINE, "/line")))
    ]
    said = [
        run.say(
            "A simulated line of {n} photographs whose lamp ages: defects of each type, and the share of them that was "
            "stopped, with 95 % intervals.",
            n=run.mark(LINE, "/photographs", ".0f"),
        )
    ]
    if run.has(LINE, "/drift/alarm"):
        late = run.mark(LINE, "/drift/alarm", ".0f")
        said.append(run.say("The monitor noticed the lamp {late} photographs after it began to age.", late=late))
    else:
        said.append(run.say("The monitor did not notice the lamp."))
    if run.has(LINE, "/drift/stopped_alone"):
        late = run.mark(LINE, "/drift/stopped_alone", ".0f")
        said.append(run.say("What was stopped tells it after {late}.", late=late))
    if run.has(LINE, "/unseen/type"):
        values = {key: run.mark(LINE, f"/unseen/{key}", ".0f") for key in ("new", "stopped")}
        name = run.mark(LINE, "/unseen/type")
        said.append(run.say("Nobody labelled {name}: {new} of {stopped} were said to be new.", name=name, **values))
    header = [run.say("defect"), run.say("images"), run.say("stopped, %")]
    made = table(run.join(said), header, rows) | {"optional": 1}  # no number: the text has no words left to refer to it
    return [made, *lacking(run, "07", ("test_good",))]


def _chart(run: Run, detectors: list[dict[str, Any]]) -> list[Block]:
    known = sorted((r for r in detectors if r.get("image_auroc") is not None), key=lambda row: -row["image_auroc"])[:20]
    rows = [tuple(charts.number(row.get(key)) for key in ("image_auroc", "auroc_low", "auroc_high")) for row in known]
    drawn = charts.intervals([run.name(row.get("detector")) for row in known], rows, run.say("image AUROC"), 0, 0.5)
    caption = run.say("Image AUROC of every detector with its 95 % interval; dashed, guessing.")
    return [figure(drawn, caption, "aurocs", grows=False, optional=2)]
