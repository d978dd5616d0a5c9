"""Question 4: anomaly detection from good images alone."""

from __future__ import annotations

from .document import Question, beside, figure, table, text
from .lacking import lacking, not_possible
from .runs import Run

METRICS = "04/metrics.json"
LIMIT = 100
BEST = 6  # detectors shown besides the last one

STRATEGIES = (
    "Learn what good products look like; what differs is anomalous. Strategies: redraw them (autoencoder, GANomaly), "
    "map them close together (Deep SVDD), learn from made defects (CutPaste), or remember their features (PatchCore, "
    "PaDiM, one-class SVM)."
)


def anomalies(run: Run) -> Question:
    """Strategies, table of detectors, heat maps, and what the threshold promises."""
    question = Question(4, "Anomaly detection from good images alone", limit=LIMIT)
    if ended := not_possible(run, "04", "detectors"):
        question.blocks = [text(STRATEGIES), ended]
        return question
    picture = run.figure("04", "heat_maps", "most_and_least")
    measured, width = (_table(run), 116) if _is_ranked(run) else (_table_of_alarms(run), 84)
    question.blocks = [beside([text(_text(run)), lacking(run, "04", ("test_good",))], [measured], width)]
    if picture:
        caption = "Heat maps of test images: dark is what good images show; beyond the threshold few of them lie."
        question.blocks.append(figure(picture, caption, 180, 48, rows=True))
    return question


def _text(run: Run) -> str:
    rows = run.rows(METRICS, "/detectors")
    if not rows:
        run.missing.append("04: detectors")
        return f"{STRATEGIES} No detector was measured."
    if not _is_ranked(run):
        return f"{STRATEGIES} {_alarms(run, rows)}"
    best = max(range(len(rows)), key=lambda i: rows[i].get("image_auroc") or 0)
    at = f"/detectors/{best}"
    name = run.mark(METRICS, f"{at}/detector")
    reached = run.interval(METRICS, at, "image_auroc", "auroc", ".3f", 1)
    level = sum(row.get("image_auroc") == rows[best].get("image_auroc") for row in rows)
    first = f"{name} ranks first" if level == 1 else f"{name} is one of {level} that rank first"
    words = f"{STRATEGIES} {first}: image AUROC {reached}. "
    number = run.mark(METRICS, "/threshold_images", ".0f", optional=True)
    good = f"{number} good images" if run.has(METRICS, "/threshold_images") else "good images"
    words += (
        f"Its threshold comes from {good}, scored without what it learned of them, with "
        f"{run.mark(METRICS, '/false_alarm_rate', '.3g', 100)} % false alarms allowed"
    )
    if run.has(METRICS, f"{at}/detection_rate") and run.has(METRICS, f"{at}/false_alarm_rate"):
        stopped = [run.mark(METRICS, f"{at}/{key}", ".3g", 100) for key in ("detection_rate", "false_alarm_rate")]
        words += f"; it stops {stopped[0]} % of defective and {stopped[1]} % of good test products"
    return f"{words}.{_robustness(run, rows[best].get('detector'))}"


def _alarms(run: Run, rows: list[dict]) -> str:
    """What is known of thresholds where no detector can be ranked."""
    known = [i for i, row in enumerate(rows) if isinstance(row.get("false_alarm_rate"), int | float)]
    if not known:
        return "No detector can be ranked here."
    ends = [choose(known, key=lambda i: rows[i]["false_alarm_rate"]) for choose in (min, max)]
    low, high = (run.mark(METRICS, f"/detectors/{i}/false_alarm_rate", ".3g", 100) for i in ends)
    return (
        f"No detector can be ranked here. Thresholds that allow {run.mark(METRICS, '/false_alarm_rate', '.3g', 100)} % "
        f"false alarms, set on {run.mark(METRICS, '/threshold_images', '.0f', optional=True)} good images scored "
        f"without what was learned of them, stop {low} to {high} % of the good test products, by detector."
    )


def _robustness(run: Run, best: str | None) -> str:
    """What a change of light or position does to the best detector, if it was measured."""
    rows = run.rows(METRICS, "/robustness") if run.has(METRICS, "/robustness") else []
    own = [i for i, row in enumerate(rows) if row.get("detector") == best and row.get("image_auroc") is not None]
    if len(own) < 2:  # the first is the unchanged images
        return ""
    worst = min(own[1:], key=lambda i: rows[i]["image_auroc"])
    at = f"/robustness/{worst}"
    return (
        f" With images {run.mark(METRICS, f'{at}/condition')}, AUROC is "
        f"{run.mark(METRICS, f'{at}/image_auroc', '.3f')}."
    )


def _is_ranked(run: Run) -> bool:
    """Whether any detector has an AUROC, for which good and defective test images are needed."""
    return any(isinstance(row.get("image_auroc"), int | float) for row in run.rows(METRICS, "/detectors"))


def _table(run: Run) -> dict:
    detectors = run.rows(METRICS, "/detectors")
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
    caption = "Detectors that learned from good images only; 95 % intervals over test images."
    if len(shown) < len(order):
        caption += " The best and the last are shown; all: 04/detectors.csv."
    return table(caption, ["detector", "image AUROC", "pixel AUROC", "AUPRO", "ms an image"], rows, 0 if rows else None)


def _table_of_alarms(run: Run) -> dict:
    rows = [
        [
            run.mark(METRICS, f"/detectors/{i}/detector"),
            run.mark(METRICS, f"/detectors/{i}/false_alarm_rate", ".0f", 100, optional=True),
            run.mark(METRICS, f"/detectors/{i}/ms_per_image", ".0f", optional=True),
        ]
        for i in range(len(run.rows(METRICS, "/detectors")))
    ]
    caption = "Detectors that learned from good images only, and the share of the good test images that they stop."
    return table(caption, ["detector", "false alarms, %", "ms an image"], rows)
