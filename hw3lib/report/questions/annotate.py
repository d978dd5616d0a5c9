"""Question 5: annotations for YOLO-World and SAM, and what fine-tuning them gave."""

from __future__ import annotations

from .document import Question, absent, beside, figure, table, text
from .lacking import lacking, not_possible
from .runs import Run
from .sentences import STARRED, leading, note

METRICS = "05/metrics.json"
LIMIT = 150
ROWS = 6

DATA = (
    "YOLO-World finds what a text names. It needs a box and a class for each object (COCO, VOC or YOLO files), the "
    "classes' names as phrases, and images without objects. SAM segments what a prompt points at. It needs a mask for "
    "each object (COCO polygons or run lengths, PNG) and prompts, points or boxes, which can be drawn from the masks. "
    "For both, test images are set aside first."
)
TUNING = (
    "Such models suit fine-tuning: pretraining on very many pictures has taught them edges, parts and words, so few "
    "labelled defects suffice and a small part, head or mask decoder, is trained. As they are, they are a baseline. "
    "Defects look unlike photographs of daily life, so a name alone rarely finds them."
)


def annotation(run: Run) -> Question:
    """Data that the two models need, why they suit fine-tuning, and what was measured."""
    question = Question(5, "Detection and segmentation with YOLO-World and SAM", limit=LIMIT)
    paragraphs = [text(DATA), text(TUNING)]
    if ended := not_possible(run, "05", "formats"):
        question.blocks = [*paragraphs, ended]
        return question
    if run.has(METRICS, "/summary"):
        summary, left_out = leading(str(run.value(METRICS, "/summary")), LIMIT)
        if left_out:
            run.notes.append(note(5, left_out, "05", LIMIT))
        # It says which data and why, and what came out; the general text is for those who have measured nothing.
        paragraphs = [text(run.quote(METRICS, "/summary", summary))] if summary else paragraphs
    tables = [_formats(run), _segmentation(run), _detection(run), _left_out(run, "yolo")]
    tables.append(lacking(run, "05", ("sam", "detection", "yolo")))
    others = sorted(path.stem for path in (run.folder / "05" / "figures").glob("*.png"))
    picture = run.figure("05", "formats", *others)
    caption = "Annotations made from the masks."
    if run.has(METRICS, "/origin") and run.value(METRICS, "/origin") != "masks":
        caption = "A first annotation, made from anomaly maps for a person to correct."
        if run.value(METRICS, "/origin") == "boxes":
            caption = "Annotations as they were drawn: boxes without masks."
    notices = [block for block in tables if block and block["kind"] == "absent"]
    tables = [block for block in tables if block not in notices]
    question.blocks = [beside([*paragraphs, *notices], tables, 84)]
    if picture:
        question.blocks.append(figure(picture, caption, 180, 44, rows=True))
    return question


def _rows(run: Run, key: str) -> list[dict]:
    rows = run.rows(METRICS, f"/{key}") if run.has(METRICS, f"/{key}") else []
    if not rows:
        run.missing.append(f"05: {key}")
    return rows


def _not_measured(run: Run, what: str, key: str) -> dict:
    """Why there is no table, as the run says it; otherwise which key is empty."""
    pointer = f"/left_out/{key}"
    if not run.has(METRICS, pointer):
        return absent(f"Not measured: {what} (05: {key}).")
    return absent(f"Not measured: {what}. {_reason(run, key)}")


def _left_out(run: Run, key: str) -> dict | None:
    """What a table lacks, and why; None where nothing was left out."""
    return absent(f"Left out: {_reason(run, key)}") if run.has(METRICS, f"/left_out/{key}") else None


def _reason(run: Run, key: str) -> str:
    """Why something was left out, and what brings an optional part that is not there, as the run says it."""
    reason, *advice = (
        run.quote(METRICS, pointer, str(run.value(METRICS, pointer)))
        for pointer in (f"/left_out/{key}", f"/advice/{key}")
        if run.has(METRICS, pointer)
    )
    return " ".join(f"{said}." for said in (reason[:1].upper() + reason[1:], *advice))


def _formats(run: Run) -> dict:
    rows = _rows(run, "formats")
    if not rows:
        return absent("No annotation format was written (05: formats).")

    def kept(i: int) -> str:
        value = rows[i].get("round_trip")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return run.mark(METRICS, f"/formats/{i}/round_trip", ".3f" if is_number else "s", optional=True)

    cells = [
        [run.mark(METRICS, f"/formats/{i}/format"), run.mark(METRICS, f"/formats/{i}/instances", ".0f"), kept(i)]
        for i in range(min(len(rows), ROWS))
    ]
    return table("Annotations written and read again.", ["format", "objects", "round trip"], cells)


def _segmentation(run: Run) -> dict:
    rows = _rows(run, "sam")
    if not rows:
        return _not_measured(run, "SAM before and after fine-tuning", "sam")
    cells = []
    for i in range(min(len(rows), ROWS)):
        at = f"/sam/{i}"
        before, after = (run.mark(METRICS, f"{at}/{key}", ".3f", optional=True) for key in ("iou_before", "iou_after"))
        cells.append(
            [run.mark(METRICS, f"{at}/prompt"), before, after, run.interval(METRICS, at, "gain", None, "+.3f", 1)]
        )
    caption = "SAM: mean IoU on test images before and after fine-tuning; the difference with its 95 % interval. "
    caption += STARRED
    return table(caption, ["prompt", "before", "after", "gain"], cells)


def _detection(run: Run) -> dict:
    rows = _rows(run, "detection")
    if not rows:
        return _not_measured(run, "detection before and after fine-tuning", "detection")
    cells = [
        [
            run.mark(METRICS, f"/detection/{i}/model"),
            *(
                run.mark(METRICS, f"/detection/{i}/{key}", ".3f", optional=True)
                for key in ("map50_before", "map50_after")
            ),
        ]
        for i in range(min(len(rows), ROWS))
    ]
    return table("Detection: mAP at IoU 0.5 before and after fine-tuning.", ["model", "before", "after"], cells)
