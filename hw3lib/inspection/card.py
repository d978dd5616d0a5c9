"""One page on an inspector: what it learned from, what it promises and what was measured, and what it must miss."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import hw3lib
from hw3lib.anomaly.robustness import CONDITIONS, in_condition
from hw3lib.core.files import atomic_path, expanded, file_digest
from hw3lib.core.intervals import wilson_interval
from hw3lib.core.text import counted, percent
from hw3lib.data.folders.find import is_category, refuse_inside_category
from hw3lib.data.pixels.geometry import say_fit
from hw3lib.data.pixels.images import decode_squares
from hw3lib.data.regions.masks import read_mask
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error
from hw3lib.report import pages, web
from hw3lib.report.document import Block, Question, absent, table, text

from .inspector import IMPLAUSIBLE, Found, Inspector
from .photographs import find_photographs, read_batches

_MOST = 50  # good photographs that are looked at in other light
_TIMED = 5


def card(
    place: str | Path, out: str | Path, on: str | Path | None = None, echo: Callable[[str], None] = print
) -> tuple[Path, Path]:
    """Write the page as HTML and PDF, and say where.

    Args:
        place: folder of an inspector or a detector.
        out: the HTML file; the PDF lies beside it.
        on: a category whose test images are inspected for what is measured; good ones that it learned from since do not
            count.
        echo: receives messages.

    Raises:
        Hw3Error: no inspector, ``on`` is no category, or a file cannot be written.
    """
    html = Path(out).with_suffix(".html")
    inspector = Inspector(place, echo=echo)
    found: list[Found] = []
    if on is not None:
        if not is_category(expanded(on)):
            raise Hw3Error(f"--on {on}: is no category; expected one with labelled test images")
        refuse_inside_category(html, expanded(on))
        photographs = find_photographs([expanded(on)], echo)
        with ThreadPoolExecutor() as pool:
            model = inspector.model
            for batch in read_batches(photographs, model.image_size, model.batch_size, pool, model.reading_):
                found += [each for each in inspector.look(batch) if not each.broken]
    name = Path(place).resolve().name
    questions = [
        Question(1, "What it learned from", _learned(inspector)),
        Question(2, "What it promises", _promised(inspector)),
        Question(3, "What was measured", _measured(inspector, found, on)),
        Question(4, "What it must miss", _missed(inspector)),
    ]
    files = sorted(file for file in Path(place).rglob("*") if file.suffix in (".json", ".safetensors"))
    closing = [f"hw3lib {hw3lib.__version__}"] + [
        f"{file.relative_to(place).as_posix()}: SHA-256 {file_digest(file)[:16]}" for file in files
    ]
    title = f"Inspector {name}"
    made = pages.fit(title, [(questions, ())], closing, str, int(time.time()), 0)
    pdf = html.with_suffix(".pdf")
    with atomic_path(html) as new_html, atomic_path(pdf) as new_pdf:
        new_html.write_text(web.page(title, questions, closing, web.Unmarked()), encoding="utf-8", newline="\n")
        new_pdf.write_bytes(made.pdf)
    return html, pdf


def _learned(inspector: Inspector) -> list[Block]:
    model, reading = inspector.model, inspector.model.reading_
    good = getattr(model, "n_good_", None)
    said = f"{model.name}" + (f" learned from {counted(good, 'good photograph')}" if good else ", from an ONNX file")
    if inspector.known:
        said += f" of {' or '.join(f'{w}x{h}' for w, h in inspector.known.sizes[:3])} pixels"
    said += f"; each is {say_fit(reading.fit, model.image_size)}."
    if reading.roi is not None:
        said += " Only its region of interest is looked at."
    blocks = [text(said)]
    if inspector.types is not None:
        rows = zip(inspector.types.classes, inspector.types.counts, strict=True)
        blocks.append(table("Labelled defects, by type.", ["type", "products"], [[n, str(c)] for n, c in rows]))
    return blocks


def _promised(inspector: Inspector) -> list[Block]:
    said = [text(inspector.said)]
    if inspector.types is not None:
        said.append(text(inspector.types.promise()))
    return said


def _measured(inspector: Inspector, found: Sequence[Found], on: str | Path | None) -> list[Block]:
    blocks = []
    labelled = [each for each in found if each.photograph.label is not None]
    by_type: dict[str, list[bool]] = {}
    for each in labelled:
        assert each.photograph.label is not None
        by_type.setdefault(each.photograph.label.defect, []).append(each.above)
    if by_type:
        rows = [[n, str(len(some)), wilson_interval(sum(some), len(some)).percent()] for n, some in by_type.items()]
        blocks.append(
            table(
                f"Test photographs of {Path(str(on)).name} that are called anomalous, with 95 % intervals: of the good "
                "false alarms, of defects the recall.",
                ["photographs", "number", "called anomalous"],
                rows,
            )
        )
        if left := len(found) - len(labelled):
            blocks.append(
                text(f"{counted(left, 'good test photograph')} that it learned from since judge nothing here.")
            )
        blocks += [text(said) for said in (_smallest(labelled), _implausible(labelled)) if said]
        if good := [each for each in labelled if not _bad(each)][:_MOST]:
            blocks.append(_light(inspector, good))
        took = _seconds(inspector, labelled)
        blocks.append(text(f"An image takes {took:.2f} s on this machine, from its file to verdict, regions and type."))
    else:
        blocks.append(absent("No labelled photographs were inspected for this page: give some with --on CATEGORY."))
    if inspector.types is not None:
        rows = [[name, share.percent()] for name, share in inspector.types.recall().items()]
        caption = (
            "Types recognised in cross-validation among the labelled defects. Conformal sets held the right type for "
            f"{inspector.types.coverage().percent()} of them; {inspector.types.sets.sum(1).mean():.1f} types a set."
        )
        blocks.append(table(caption, ["type", "recognised"], rows))
    return blocks


def _bad(found: Found) -> bool:
    return found.photograph.label is not None and found.photograph.label.is_defect


def _smallest(found: Sequence[Found]) -> str:
    """The defects by their masks: from which area on all are found."""
    areas = [
        (float(read_mask(each.photograph.label.mask).mean()), each.above)
        for each in found
        if each.photograph.label is not None and each.photograph.label.mask
    ]
    if not areas:
        return ""
    missed = max((area for area, above in areas if not above), default=0.0)
    seen = min((area for area, above in areas if above), default=None)
    smallest = f"The smallest defect that was found covers {percent(seen)} of the picture" if seen else "None was found"
    if not missed:
        return f"{smallest}, and none was missed."
    return f"{smallest}; the largest that was missed, {percent(missed)}."


def _implausible(found: Sequence[Found]) -> str:
    doubted = [each for each in found if each.verdict == IMPLAUSIBLE]
    return f"{len(doubted)} of {len(found)} photographs were said to be none that can be judged."


def _light(inspector: Inspector, good: Sequence[Found]) -> Block:
    """False alarms of good photographs in other light, in other places."""
    reading, side = inspector.model.reading_, inspector.model.image_size
    images = ImageStack.of([decode_squares(each.photograph.path, side, reading) for each in good], reading)
    rows = []
    for name, change in CONDITIONS.items():
        scores = inspector.model.score(in_condition(images, change))[0]
        rows.append([name, wilson_interval(int((scores > inspector.threshold).sum()), len(scores)).percent()])
    return table(f"{len(good)} of the good photographs, as they are and changed.", ["condition", "false alarms"], rows)


def _seconds(inspector: Inspector, found: Sequence[Found]) -> float:
    """From a file to its verdict, regions and type: the median of some, the anomalous among them."""
    some = sorted(found, key=lambda each: not each.above)[: _TIMED + 1]
    taken = []
    with ThreadPoolExecutor(1) as pool:
        for each in some:
            started = time.perf_counter()
            model = inspector.model
            for batch in read_batches([each.photograph], model.image_size, 1, pool, model.reading_):
                list(inspector.look(batch, regions=True))
            taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:] or taken))  # the first one warms up


def _missed(inspector: Inspector) -> list[Block]:
    side = inspector.model.image_size
    said = (
        f"Photographs are compared at {side} pixels a side: a defect of a few pixels at that size, or one without a "
        "local difference from some good photograph (a part that is missing where others miss it too, a right part in "
        "a wrong number), is not seen. The promise holds while production looks like the good photographs: other "
        "light, another camera or another variant of the product void it. A type that nobody labelled has no name."
    )
    if inspector.model.reading_.roi is not None:
        said += " Nothing outside of the region of interest is looked at."
    return [text(said)]
