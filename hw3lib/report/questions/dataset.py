"""Question 1: the dataset."""

from __future__ import annotations

from .. import charts
from ..document import Block, Question, absent, figure, table, text
from ..pictures import lines
from ..runs import NOTHING, Run, clean, escaped
from .lacking import lacking

METRICS, CLASSES, DIMENSIONS = "01/metrics.json", "01/classes.csv", "01/dimensions.csv"
ROWS = 12  # of the table; what is more is in the file
FEW = 5  # classes, of each of which four photographs are shown in a line of their own; of more two


def dataset(run: Run) -> Question:
    """Defect classes and their types, images used, distribution of training and test data, dimensions."""
    question = Question(1, run.say("The dataset"))
    if "01" not in run.chapters:
        question.blocks = [absent(run.say("Not documented: notebook 01 has not been run (hw3 run 01)."))]
        return question
    blocks = [text(_text(run)), *lacking(run, "01"), _table(run)]
    if samples := run.figure("01", "samples"):
        few = len(run.value(METRICS, "/classes")) <= FEW
        columns, across = (4, 1) if few else (2, 2)
        caption = run.say(
            "Photographs drawn at random from each class; a line surrounds the defect where there is a mask."
        )
        blocks.append(figure(lines(samples, run.tell, 2 * FEW, columns, across), caption, "samples", across=across))
    question.blocks = [*blocks, *_distribution(run)]
    return question


def _text(run: Run) -> str:
    n = {key: run.mark(METRICS, f"/{key}", ".0f") for key in ("images", "train", "test", "defect_classes")}
    n["width"], n["height"] = (run.mark(METRICS, f"/image_size/{i}", ".0f") for i in (0, 1))
    classes = run.value(METRICS, "/classes")
    types = [clean(name) for name in classes if name != "good"]
    n["types"] = run.listed(types[:ROWS]) + (run.say(" and more") if len(types) > ROWS else "") if types else NOTHING
    said = [
        run.say(
            "The category {category}, laid out as MVTec AD is{paper}, holds {images} images of {width} x {height} "
            "pixels; all of them are used, {train} in the training and {test} in the test folder{see}.",
            category=run.mark(METRICS, "/category"),
            paper=run.see("mvtec"),
            see=run.see("classes", "distribution"),
            **n,
        ),
        run.say("Defect classes: {defect_classes} ({types}).", **n),
    ]
    if run.has(DIMENSIONS) and len(run.rows(DIMENSIONS, "")) > 1:
        said.append(run.say("Some images are of other dimensions."))
    if "good" not in classes:
        said.append(run.say("There is no good product."))
    if area := _areas(run):
        said.append(area)
    two = "02/metrics.json"
    if run.has(two, "/n_train") and run.has(two, "/n_test"):
        split = {key: run.mark(two, f"/n_{key}", ".0f") for key in ("train", "test")}
        said.append(
            run.say(
                "To classify defect types (question 2) the images are split again, {train} to train on and {test} to "
                "test on, with the classes in proportion.",
                **split,
            )
        )
    return run.join(said)


def _areas(run: Run) -> str:
    """How small the defects are, which decides at which size they can be seen."""
    rows = run.rows(METRICS, "/defects") if run.has(METRICS, "/defects") else []
    known = [i for i, row in enumerate(rows) if isinstance(row.get("median_area"), int | float)]
    if len(known) < 2:
        return ""
    ends = [choose(known, key=lambda i: rows[i]["median_area"]) for choose in (min, max)]
    low, high = (run.mark(METRICS, f"/defects/{i}/median_area", ".2f", 100) for i in ends)
    return run.say(
        "A defect covers {low} to {high} % of its image in the median, by class{see}: the smallest are the first to "
        "vanish when images are made smaller.",
        low=low,
        high=high,
        see=run.see("samples"),
    )


def _counts(run: Run) -> dict[str, int]:
    """Lines of the table of classes, by name."""
    return {str(row.get("defect")): i for i, row in enumerate(run.rows(CLASSES, ""))} if run.has(CLASSES) else {}


def _table(run: Run) -> Block:
    areas = {}
    if run.has(METRICS, "/defects"):
        areas = {str(row.get("defect")): i for i, row in enumerate(run.rows(METRICS, "/defects"))}
    counts, split = run.value(METRICS, "/classes"), _counts(run)
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
    caption = run.say("Images of each class, and the median share of an image that its defect covers.")
    if len(rows) > ROWS:
        caption = run.join([caption, run.say("All classes: {file}.", file=CLASSES)])
    header = [run.say("class"), run.say("train"), run.say("test"), run.say("all"), run.say("area, %")]
    return table(caption, header, rows[:ROWS], key="classes")


def _distribution(run: Run) -> list[Block]:
    """The bars of what the table counts."""
    rows = run.rows(CLASSES, "")[:ROWS] if run.has(CLASSES) else []
    if not rows:
        return []
    train, test = ([float(row.get(key) or 0) for row in rows] for key in ("train", "test"))
    parts = {run.say("train"): train, run.say("test"): test}
    drawn = charts.bars([clean(row.get("defect")) for row in rows], parts, run.say("images"))
    caption = run.say("Training and test images of each class. Defects are in the test folder alone.")
    if any(float(row.get("train") or 0) for row in rows if row.get("defect") != "good"):
        caption = run.say("Training and test images of each class.")
    return [figure(drawn, caption, "distribution", grows=False, optional=3)]
