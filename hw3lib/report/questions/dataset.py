"""Question 1: the dataset."""

from __future__ import annotations

from hw3lib.core.text import listed, plural

from .document import Question, absent, beside, figure, table, text
from .lacking import lacking
from .runs import NOTHING, Run, clean, escaped

METRICS, CLASSES, DIMENSIONS = "01/metrics.json", "01/classes.csv", "01/dimensions.csv"
ROWS = 12  # of the table; what is more is in the file


def dataset(run: Run) -> Question:
    """Defect classes and their types, images used, distribution of training and test data, dimensions."""
    question = Question(1, "The dataset")
    if "01" not in run.chapters:
        question.blocks = [absent("Not documented: notebook 01 has not been run (hw3 run 01).")]
        return question
    samples, counts = run.figure("01", "samples"), run.figure("01", "class_distribution")
    about = "Images of each class; defects outlined by their masks."
    distribution = figure(counts, "Distribution of training and test images.", 84, 34) if counts else None
    pictures = figure(samples, about, 84, 72, rows=True) if samples else None
    question.blocks = [beside([text(_text(run)), lacking(run, "01"), _table(run), distribution], [pictures], 84)]
    return question


def _text(run: Run) -> str:
    n = {key: run.mark(METRICS, f"/{key}", ".0f") for key in ("images", "train", "test", "defect_classes")}
    width, height = (run.mark(METRICS, f"/image_size/{i}", ".0f") for i in (0, 1))
    classes = run.value(METRICS, "/classes")
    types = [clean(name) for name in classes if name != "good"]
    besides = "besides good products" if "good" in classes else "and no good product"
    several = run.has(DIMENSIONS) and len(run.rows(DIMENSIONS, "")) > 1
    words = (
        f"{run.mark(METRICS, '/category')} has {n['defect_classes']} {plural(len(types), 'defect class')}"
        + (f" ({listed(types[:ROWS])}{' and more' if len(types) > ROWS else ''})" if types else "")
        + f" {besides}. All {n['images']} images are used: {n['train']} in the training folder, "
        f"{n['test']} in the test folder. They are {width} x {height} pixels"
        + (", most of them; others differ." if several else ".")
    )
    two = "02/metrics.json"
    if run.has(two, "/n_train") and run.has(two, "/n_test"):
        words += (
            f" To classify defect types (question 2), images are split again, {run.mark(two, '/n_train', '.0f')} to "
            f"train and {run.mark(two, '/n_test', '.0f')} to test on, the classes in proportion."
        )
    return words


def _table(run: Run) -> dict:
    areas = {}
    if run.has(METRICS, "/defects"):
        areas = {str(row.get("defect")): i for i, row in enumerate(run.rows(METRICS, "/defects"))}
    counts = run.value(METRICS, "/classes")
    split = {}
    if run.has(CLASSES):
        split = {str(row.get("defect")): i for i, row in enumerate(run.rows(CLASSES, ""))}
    rows = []
    for name in counts:
        area = f"/defects/{areas.get(name, -1)}/median_area"
        parts = [
            run.mark(CLASSES, f"/{split[name]}/{part}", ".0f", optional=True) if name in split else NOTHING
            for part in ("train", "test")
        ]
        total = run.mark(METRICS, f"/classes/{escaped(name)}", ".0f")
        shown = run.mark(METRICS, area, ".2f", 100, optional=True) if name in areas else NOTHING
        rows.append([clean(name), *parts, total, shown])
    caption = "Images of each class, and the median share of an image that its defect covers."
    if len(rows) > ROWS:
        caption += f" All classes: {CLASSES}."
    return table(caption, ["class", "train", "test", "all", "area, %"], rows[:ROWS])
