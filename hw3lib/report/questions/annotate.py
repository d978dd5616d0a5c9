"""Question 5: annotations for YOLO-World and SAM, and what fine-tuning them gave."""

from __future__ import annotations

from typing import Any

from ..document import Block, Question, absent, figure, table, text
from ..pictures import lines
from ..runs import Run
from ..sentences import starred, within
from .lacking import lacking, not_possible

METRICS = "05/metrics.json"
LIMIT = 150
ROWS = 6


def annotation(run: Run) -> Question:
    """Data that the two models need, why they suit fine-tuning, and what was measured."""
    question = Question(5, run.say("Detection and segmentation with YOLO-World and SAM"), limit=LIMIT)
    data = run.say(
        "YOLO-World{yoloworld} finds what a text names: it needs a box and a class for each object, the classes' names "
        "as phrases, and images without objects. SAM{sam} segments what a prompt points at: it needs a mask for each "
        "object, and points or boxes, which can be drawn from the masks. For both, test images are set aside first.",
        yoloworld=run.see("yoloworld"),
        sam=run.see("sam"),
    )
    tuning = run.say(
        "Such models suit fine-tuning because pretraining on very many pictures has taught them edges, "
        "parts and words: "
        "few labelled defects suffice, and a small part, head, decoder or adapters{adapters}, is trained.",
        adapters=run.see("adapters"),
    )
    ended = not_possible(run, "05", "formats")
    tables: list[Block] = []
    results: list[tuple[int, str]] = []
    if not ended:
        tables = [block for make in (_formats, _segmentation, _detection) for block in make(run)]
        results = [(0, _annotated(run)), (0, _result(run, "sam")), (1, _result(run, "detection"))]
    need = run.say("Defects look unlike photographs of daily life, so a name alone rarely finds them.")
    second = within(run, LIMIT, [(0, tuning), (3, need), *results], data)
    question.blocks = [text(data), text(second), *([ended] if ended else [])]
    if ended:
        return question
    notices = [block for block in tables if block["kind"] == "absent"]
    notices += [*_left_out(run, "yolo"), *lacking(run, "05", ("sam", "detection", "yolo"))]
    question.blocks += [*notices, *(block for block in tables if block["kind"] == "table")]
    others = sorted(path.stem for path in (run.folder / "05" / "figures").glob("*.png"))
    if picture := run.figure("05", "formats", *others):
        shown = lines(picture, run.tell, 4, 2, across=2)
        question.blocks.append(figure(shown, _caption(run), "annotations", across=2 if len(shown) > 1 else 1))
    return question


def _caption(run: Run) -> str:
    origin = run.value(METRICS, "/origin") if run.has(METRICS, "/origin") else "masks"
    if origin == "masks":
        return run.say("Annotations made from the masks: instances, their boxes and classes.")
    if origin == "boxes":
        return run.say("Annotations as they were drawn: boxes without masks.")
    return run.say("A first annotation, made from anomaly maps for a person to correct.")


def _rows(run: Run, key: str) -> list[dict[str, Any]]:
    return run.rows(METRICS, f"/{key}") if run.has(METRICS, f"/{key}") else []


def _annotated(run: Run) -> str:
    rows = _rows(run, "formats")
    if not rows:
        return ""
    n = run.mark(METRICS, "/formats/0/instances", ".0f", optional=True)
    return run.say(
        "Here {n} instances were written in {formats} formats and read back{see}.",
        n=n,
        formats=len(rows),
        see=run.see("formats", "annotations"),
    )


def _result(run: Run, key: str) -> str:
    """What fine-tuning gave: the best row of SAM's, or of the detection models'."""
    before, after = ("iou_before", "iou_after") if key == "sam" else ("map50_before", "map50_after")
    rows = [(i, row) for i, row in enumerate(_rows(run, key)) if isinstance(row.get(after), int | float)]
    if not rows:
        return ""
    best, row = max(rows, key=lambda pair: pair[1][after])
    at = f"/{key}/{best}"
    said = {
        "name": run.mark(METRICS, f"{at}/{'prompt' if key == 'sam' else 'model'}"),
        "before": run.mark(METRICS, f"{at}/{before}", ".3f", optional=True),
        "after": run.mark(METRICS, f"{at}/{after}", ".3f"),
        "see": run.see(f"{key}-tuned"),
    }
    if key != "sam":
        return run.say("{name} goes from an mAP50 of {before} to {after}{see}.", **said)
    if isinstance(row.get("gain"), int | float):
        said["gain"] = run.interval(METRICS, at, "gain", None, "+.3f", 1).rstrip("*")
        return run.say(
            "Prompted with {name}, SAM's mean IoU goes from {before} to {after}, a gain of {gain}{see}.", **said
        )
    return run.say("Prompted with {name}, SAM's mean IoU goes from {before} to {after}{see}.", **said)


def _not_measured(run: Run, what: str, key: str) -> list[Block]:
    """Why there is no table, as the run says it; otherwise which key is empty."""
    run.missing.append(f"05: {key}")
    if not run.has(METRICS, f"/left_out/{key}"):
        return [absent(run.say("Not measured: {what} ({key}).", what=what, key=f"05: {key}"))]
    return [absent(run.say("Not measured: {what}, because {why}.", what=what, why=_reason(run, key)))]


def _left_out(run: Run, key: str) -> list[Block]:
    """What a table lacks, and why; nothing where nothing was left out."""
    if not run.has(METRICS, f"/left_out/{key}"):
        return []
    return [absent(run.say("Left out: {why}.", why=_reason(run, key)))]


def _reason(run: Run, key: str) -> str:
    """Why something was left out; what brings an optional part that is not there joins the notes of the command."""
    if run.has(METRICS, f"/advice/{key}"):
        run.advice.append(str(run.value(METRICS, f"/advice/{key}")))
    return run.quote(METRICS, f"/left_out/{key}", str(run.value(METRICS, f"/left_out/{key}")))


def _formats(run: Run) -> list[Block]:
    rows = _rows(run, "formats")
    if not rows:
        run.missing.append("05: formats")
        return [absent(run.say("No annotation format was written ({key}).", key="05: formats"))]

    def kept(i: int) -> str:
        value = rows[i].get("round_trip")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return run.mark(METRICS, f"/formats/{i}/round_trip", ".3f" if is_number else "s", optional=True)

    cells = [
        [run.mark(METRICS, f"/formats/{i}/format"), run.mark(METRICS, f"/formats/{i}/instances", ".0f"), kept(i)]
        for i in range(min(len(rows), ROWS))
    ]
    caption = run.say(
        "Annotations written and read again: objects in each format, and the share that came back as it was."
    )
    return [table(caption, [run.say("format"), run.say("objects"), run.say("round trip")], cells, key="formats")]


def _segmentation(run: Run) -> list[Block]:
    rows = _rows(run, "sam")
    if not rows:
        return _not_measured(run, run.say("SAM before and after fine-tuning"), "sam")
    cells = []
    for i in range(min(len(rows), ROWS)):
        at = f"/sam/{i}"
        before, after = (run.mark(METRICS, f"{at}/{key}", ".3f", optional=True) for key in ("iou_before", "iou_after"))
        cells.append(
            [run.mark(METRICS, f"{at}/prompt"), before, after, run.interval(METRICS, at, "gain", None, "+.3f", 1)]
        )
    caption = run.say(
        "SAM: mean IoU on test images before and after fine-tuning, by prompt; the difference with its 95 % interval."
    )
    header = [run.say("prompt"), run.say("before"), run.say("after"), run.say("gain")]
    return [table(run.join([caption, starred(run)]), header, cells, key="sam-tuned")]


def _detection(run: Run) -> list[Block]:
    rows = _rows(run, "detection")
    if not rows:
        return _not_measured(run, run.say("detection before and after fine-tuning"), "detection")
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
    caption = run.say(
        "Detection: mean average precision at an IoU of 0.5 on test images, before and after fine-tuning."
    )
    return [table(caption, [run.say("model"), run.say("before"), run.say("after")], cells, key="detection-tuned")]
