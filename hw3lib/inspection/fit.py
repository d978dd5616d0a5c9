"""Fit a detector on a folder of good photographs, and export it to ONNX: what ``hw3 detect fit|export`` does."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hw3lib.anomaly.detector import FEWEST, Detector
from hw3lib.anomaly.onnx.export import Agreement
from hw3lib.anomaly.onnx.export import export as export_onnx
from hw3lib.anomaly.registry import load_detector, make_detector
from hw3lib.anomaly.size import SIZES, TRIALS, filled_by, within
from hw3lib.anomaly.thresholds import Costs, Errors, Threshold, required_good_images, silence_few_good_images
from hw3lib.core.files import atomic_folder, atomic_path, expanded, human_bytes, refuse_existing
from hw3lib.core.text import counted, listed, percent
from hw3lib.data.folders.find import is_category, refuse_inside_category
from hw3lib.data.near import NearTwins
from hw3lib.data.pixels.depth import contrast, say_odd_contrast, say_range
from hw3lib.data.pixels.geometry import Geometry, say_fit, say_squeezed
from hw3lib.data.pixels.images import decode_squares
from hw3lib.data.pixels.reading import Fit, Polygons, Reading, checked_roi
from hw3lib.data.regions.masks import read_mask
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

from .inspector import TYPES, digests, keep_learned, labelled, learn_types
from .photographs import find_photographs, good_photographs, say_sizes, with_groups
from .plausibility import Plausible

if TYPE_CHECKING:
    from hw3lib.classify.guided.types import DefectTypes

_RATES = (0.05, 0.02, 0.01, 0.005, 0.001)  # false-alarm rates that a user may wish for
_STEPS = 5  # thresholds whose false alarms and misses are printed
_KEPT = "detector.json"  # tells a detector's folder

Echo = Callable[[str], None]


def fit(  # noqa: PLR0913, settings by keyword
    folder: str | Path,
    out: str | Path,
    detector: str = "patchcore",
    settings: dict[str, Any] | None = None,
    *,
    milliseconds: float | None = None,
    groups: str | None = None,
    held_out: float | None = None,
    folds: int | None = None,
    false_alarm_rate: float = 0.05,
    bad: str | Path | None = None,
    costs: Costs | None = None,
    pixel_range: tuple[float, float] | None = None,
    fit: Fit | None = None,
    roi: str | None = None,
    types: str | Path | bool = False,
    cache: str | Path | None = None,
    recursive: bool = False,
    force: bool = False,
    progress: bool = False,
    echo: Echo = print,
) -> Detector:
    """Fit a detector on a folder of good photographs and save it, with what else an inspector knows.

    Beside the detector its folder holds ``inspector.json``, what is plausible, and on request ``types``, the classifier
    of defects.

    Args:
        folder: images of good products, of any sizes; or a category, whose good training images are taken.
        out: folder of the detector.
        detector: one of :data:`hw3lib.anomaly.registry.DETECTORS`.
        settings: its hyperparameters, such as ``image_size``.
        milliseconds: that a photograph may take, by which the size is chosen, see :mod:`hw3lib.anomaly.size`; None: as
            ``settings`` say.
        groups: which photographs show the same product, see :func:`hw3lib.data.groups.find_groups`; a CSV file is
            looked for here and then in ``folder``. None: as the category says.
        held_out, folds, false_alarm_rate: see :meth:`.Detector.fit`.
        bad: photographs of known defects, or a category, whose defective test images are taken; nothing is learned of
            them. ``misses.csv`` and ``misses.png`` in ``out`` are the false alarms and misses of every threshold.
        costs: chooses the threshold by them, on the good images and those of ``bad``; None: by the false-alarm rate.
        pixel_range: pixel values that are black and white, see :func:`.photographs.good_photographs`.
        fit: how images come to squares, ``stretch``, ``pad`` or ``tile``; likewise.
        roi: where alarms may come from, see :func:`.region_of_interest`; None: anywhere.
        types: a category whose labelled defects are learned from, see :func:`.learn_types`; True: ``folder``, if it has
            any; False: none.
        cache: folder where the decoded images are kept and mapped from, for more of them than fit into memory; None
            decodes them into memory.
        recursive: take the images of sub-folders too.
        force: replace a detector at ``out``.
        progress: show bars.
        echo: receives messages.

    Raises:
        Hw3Error: unknown detector or hyperparameter, no image, too few or unreadable ones, ``out`` exists, costs
            without known defects, or as
            :meth:`.Detector.fit`.
    """
    model = make_detector(detector, settings or {})
    refuse_inside_category(out, *filter(is_category, [expanded(folder)]))
    refuse_existing(Path(out), force, _KEPT, "a detector")
    required_good_images(false_alarm_rate)  # refuses a wrong rate before any image is read
    calibration, share = model.calibration_for(held_out, folds)
    if bad is None and costs is not None:
        raise Hw3Error("--cost-miss and --cost-alarm: need known defects to weigh; give a folder of some with --bad")
    if bad is not None and calibration is None:
        raise Hw3Error("--bad: no good image has a score to compare defects with; leave out --held-out 0")
    files, sizes, reading = good_photographs(Path(folder), pixel_range, fit, recursive, echo)
    if roi is not None:
        reading = replace(reading, roi=region_of_interest(roi, sizes))
    table = with_groups(Path(folder), files, sizes, groups)
    if milliseconds is not None and len(files) >= FEWEST:
        model = replace(model, image_size=_size(model, table, sizes, reading, milliseconds, echo))
    n, side = len(files), model.image_size
    echo(f"{n} good images in {folder}, {say_sizes(sizes)}; each is {say_fit(reading.fit, side, sizes)}")
    if squeezed := say_squeezed(reading.fit, sizes):
        echo(f"warning: {squeezed}; --fit pad keeps their shape")
    if reading.pixel_range is not None:
        echo(f"{say_range(reading.pixel_range)} are black and white, here and in every photograph that is scored")
    if n < FEWEST:
        raise Hw3Error(
            f"{folder}: found {counted(n, 'good image')}, expected at least {FEWEST}; add photographs of good products"
        )
    images, near = _load(table, side, reading, cache, progress)
    learned, held = (len(rows) for rows in model.divide(n, images.groups, share))
    if images.groups is not None:
        echo(f"they show {counted(int(images.groups.max()) + 1, 'product')}")
    aside = {
        "held-out": f"{held} are held out to set the threshold",
        "leave-one-out": "and scores each without its own patches to set the threshold",
        "cross-validation": f"and {folds} times from all but a part, to set the threshold",
        None: "none is held out, so there will be no threshold",
    }[calibration]
    echo(f"{model.name} learns from {learned} of them, {aside}")
    for said in near:
        echo(said)
    plan = {}
    if hasattr(model, "plan"):
        plan = model.plan(sum(len(Geometry(*size, side, reading.fit)) for size in sizes) * learned // n)
    if plan and not progress:  # the detector tells it beside its bars
        echo(
            f"memory bank: {plan['memory_bank']:,} of {plan['patches']:,} patches, {plan['channels']} numbers each: "
            f"{human_bytes(plan['memory_bank_bytes'])}; all patches, while it is made: "
            f"{human_bytes(plan['patches_bytes'])}"
        )
    _warn(images, reading, echo)
    with silence_few_good_images():
        model.fit(images, held_out=held_out, folds=folds, false_alarm_rate=false_alarm_rate, progress=progress)
    if threshold := model.thresholds_:
        echo(str(threshold))
        bank = 0 if getattr(model, "bank_limit", None) else plan.get("memory_bank_bytes", 0)
        echo(_more_images(threshold, false_alarm_rate, share, bank))
    curve = None if bad is None else _known_defects(model, bad, costs, recursive, echo)
    model.device = "auto"  # where it was fitted; it may be used elsewhere
    learned_types, labels = _types(folder, types, reading, model.seed, progress, echo)
    with atomic_folder(out, replace=force) as made:
        model.save(made)
        Plausible.of(sizes, images).save(made)
        if curve is not None:
            _write_curve(curve, model.threshold_, made)
        if learned_types is not None:
            learned_types.save(made / TYPES)
        keep_learned(made, digests([*files, *labels]))
    echo(f"detector: {out} ({human_bytes(sum(f.stat().st_size for f in Path(out).rglob('*') if f.is_file()))})")
    return model


def region_of_interest(roi: str, sizes: Sequence[tuple[int, int]]) -> Polygons:
    """Polygons in shares of the sides, see :class:`.Reading`.

    Args:
        roi: a mask image, of which what is marked counts, or a polygon: ``"x,y x,y x,y"`` in pixels, or in shares if no
            number is above 1.
        sizes: width and height of the good photographs, by which pixels become shares.

    Raises:
        Hw3Error: neither, nothing marked, or pixels where photographs differ in size.
    """
    if re.fullmatch(r"[\d.,\s]+", roi):
        try:
            points = np.array([[float(value) for value in point.split(",")] for point in roi.split()]).reshape(-1, 2)
        except ValueError:
            raise Hw3Error(f"--roi {roi}: expected corners such as '10,10 90,10 90,90', or a mask image") from None
        width, height = sizes[0]
        if points.max(initial=0) > 1:
            if len(set(sizes)) > 1:
                raise Hw3Error(f"--roi {roi}: pixels of photographs of {len(set(sizes))} sizes; say shares, 0 to 1")
            points = points / (width, height)
        polygons = [points]
    else:
        # Only a region of interest that is an image needs these.
        from hw3lib.annotate.formats.polygons import outlines
        from hw3lib.annotate.instances import Instance

        mask = read_mask(roi)
        if not mask.any():
            raise Hw3Error(f"--roi {roi}: nothing is marked in it; expected a mask of where alarms may come from")
        polygons = [line / mask.shape[::-1] for line in outlines(Instance.from_mask(0, "", mask))]
    try:
        made = checked_roi([polygon.tolist() for polygon in polygons])
    except Hw3Error as error:
        raise Hw3Error(f"--roi {roi}: {error}") from None
    assert made is not None
    return made


def _types(
    folder: str | Path, place: str | Path | bool, reading: Reading, seed: int, progress: bool, echo: Echo
) -> tuple[DefectTypes | None, list[str]]:
    """The types of defects that were asked for, the photographs that taught them, and what can be expected of them."""
    if place is False:
        return None, []
    if place is True and not is_category(expanded(folder)):
        echo("no labelled defects, so no type of a defect will be named; --types FOLDER learns from a category's")
        return None, []
    where = expanded(folder if place is True else str(place))
    try:
        types = learn_types(where, reading, seed, progress, echo)
    except Hw3Error as error:
        if place is not True:
            raise
        echo(f"no type of a defect will be named: {error}")
        return None, []
    right, of = types.right
    shares = listed([f"{name.replace('_', ' ')} {share.percent()}" for name, share in types.recall().items()])
    echo(f"types of defects: {right} of {of} recognised in cross-validation ({shares})")
    echo(types.promise())
    return types, labelled(where, types)


def export(
    detector: str | Path,
    file: str | Path,
    *,
    check: str | Path | None = None,
    recursive: bool = False,
    force: bool = False,
    echo: Echo = print,
) -> Agreement:
    """Export a detector's folder to one ONNX file, see :func:`hw3lib.anomaly.onnx.export.export`.

    Args:
        detector: the folder.
        file: ends in ``.onnx``.
        check: a folder of images, or a category, of which up to 16 are scored both ways; by default generated images.
        recursive: take the images of its sub-folders too.
        force: replace ``file``.

    Raises:
        Hw3Error: as :func:`hw3lib.anomaly.onnx.export.export`, another suffix, ``file`` in a category, or
            one that exists.
    """
    if Path(file).suffix != ".onnx":
        raise Hw3Error(f"--out {file}: expected a file name that ends in .onnx")
    refuse_inside_category(file, *filter(is_category, [expanded(check)] if check is not None else []))
    if Path(file).exists() and not force:
        raise Hw3Error(f"{file} exists already and is not replaced; choose another name, or --force")
    model, images = load_detector(detector), None
    if check is not None:
        photographs = find_photographs([expanded(check)], echo, recursive)
        read = [decode_squares(p.path, model.image_size, model.reading_) for p in photographs[:16]]
        images = ImageStack.of(read, model.reading_).images
    done = export_onnx(model, file, images=images)
    maps = "" if done.maps is None else f", maps by {done.maps:.1g}"
    kind = "generated images" if check is None else f"images of {check}"
    echo(
        f"{file}: {model.name}, opset {done.opset}, {human_bytes(done.size)}; on {done.images} {kind} onnxruntime's "
        f"scores differ by {done.scores:.1g}{maps}, as a share of their size"
    )
    return done


def _warn(images: ImageStack, reading: Reading, echo: Echo) -> None:
    """Say what is odd about the values of good images."""
    some = images.images[:: max(1, len(images.images) // 64)]
    low, high = np.median([contrast(image) for image in some], 0)
    if odd := say_odd_contrast(low, high, reading.pixel_range, reading.pixel_range is not None):
        echo(f"warning: {odd[0]}: {odd[1].format('say it here:')}")
    if images.warnings:
        file, warning = images.warnings[0]
        echo(f"warning: {counted(len(images.warnings), 'good image')} of {len(images)}, first {file}: {warning}")


def _size(
    model: Detector,
    table: pd.DataFrame,
    sizes: Sequence[tuple[int, int]],
    reading: Reading,
    milliseconds: float,
    echo: Echo,
) -> int:
    """The size that photographs fill and a time allows, by trial, and what of a photograph is seen at it."""
    some = table.iloc[np.unique(np.linspace(0, len(table) - 1, TRIALS).astype(int))].reset_index(drop=True)
    filled = filled_by(sizes, reading.fit)
    with silence_few_good_images():
        size, taken = within(
            model, filled, milliseconds, lambda side: _load(some, side, reading, None, False)[0], len(table)
        )
    width, height = sorted(sizes)[len(sizes) // 2]
    frame = Geometry(width, height, size, reading.fit).frame
    across = max(width / frame[0], height / frame[1])
    why = f"larger ones take over {milliseconds:g} ms"
    if size == filled[-1]:
        why = "the largest there is" if size == SIZES[-1] else "the photographs fill no larger one"
    echo(
        f"--image-size auto: {size}, {taken:.0f} ms a photograph on this machine, decoding left out; {why}. What is "
        f"narrower than {max(across, 1):.1f} pixels of a photograph is averaged away"
    )
    if taken > milliseconds:
        echo(f"warning: {size} is the smallest size, and takes more than the {milliseconds:g} ms asked for")
    return size


def _load(
    table: pd.DataFrame, side: int, reading: Reading, cache: str | Path | None, progress: bool
) -> tuple[ImageStack, list[str]]:
    """The images, and what is to be said of those that look like shots of one product."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NearTwins)
        images = ImageStack.load(table, side, reading=reading, tiles=True, cache=cache, progress=progress)
    for warning in caught:
        if not issubclass(warning.category, NearTwins):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return images, [str(warning.message) for warning in caught if issubclass(warning.category, NearTwins)]


def _more_images(threshold: Threshold, asked: float, share: float, bank: int = 0) -> str:
    """What so many good images can promise at the least, and how many, of as many products, lower rates take.

    Args:
        threshold: of the false-alarm rate ``asked``.
        asked: that rate.
        share: of the images that are held out; 0 where each of them sets the threshold.
        bank: bytes of the memory bank, which grows with the images; 0: it does not, or there is none.
    """
    assert threshold.guarantee is not None
    n, what = threshold.n, "images" if threshold.photographs is None else "products"
    wanted = sorted(
        {
            *([asked] if threshold.guarantee > asked else []),
            *(rate for rate in _RATES if rate < min(threshold.guarantee, asked)),
        }
    )
    parts = []
    for rate in reversed(wanted[-3:]):
        needed = required_good_images(rate)
        if needed <= n:
            parts.append(f"{percent(rate)} takes {needed:,}, which are there")
        elif share:
            parts.append(f"{percent(rate)} takes {needed:,} held out, {math.ceil(needed / share - 1e-9):,} in all")
        else:
            size = f", and a memory bank of {human_bytes(bank * needed // n)}" if bank else ""
            parts.append(f"{percent(rate)} takes {needed:,}, {needed - n:,} more{size}")
    held = "held-out " if share else ""
    least = f"{n} {held}good {what} can promise {percent(1 / (n + 1))} at the least"
    return f"{least}; {'; '.join(parts)}" if parts else least


def _known_defects(
    model: Detector, place: str | Path, costs: Costs | None, recursive: bool, echo: Echo
) -> list[Errors]:
    """Score known defects, choose the threshold by costs if they are given, and tell misses and false alarms."""
    found = find_photographs([expanded(place)], echo, recursive)
    files = [photograph.path for photograph in found if photograph.label is None or photograph.label.is_defect]
    if not files:
        raise Hw3Error(f"--bad {place}: found no defective image; give a folder of photographs of defects")
    read = [decode_squares(file, model.image_size, model.reading_) for file in files]
    curve = model.know_defects(ImageStack.of(read, model.reading_))
    if costs is not None:
        model.set_costs(costs)
        echo(str(model.thresholds_))
    known = counted(len(files), "known defect")
    echo(f"{known} in {place}, of which nothing is learned: {_say(model.errors_at(model.threshold_))}")
    steps = [curve[at] for at in np.unique(np.linspace(0, len(curve) - 1, _STEPS + 2).round().astype(int))[1:-1]]
    for point in steps:
        echo(f"  a threshold of {point.threshold:.4g}: {_say(point)}")
    return curve


def _say(errors: Errors) -> str:
    return (
        f"{percent(errors.misses)} pass ({percent(errors.misses_low)} to {percent(errors.misses_high)}), and "
        f"{percent(errors.alarms)} of the good are stopped ({percent(errors.alarms_low)} to "
        f"{percent(errors.alarms_high)})"
    )


def _write_curve(curve: list[Errors], threshold: float, folder: Path) -> None:
    from hw3lib.views.plots import anomaly as plots  # slow

    with atomic_path(folder / "misses.csv") as file:
        pd.DataFrame(curve).to_csv(file, index=False)
    with atomic_path(folder / "misses.png") as file:
        plots.errors(curve, threshold).savefig(file, dpi=100, format="png")
