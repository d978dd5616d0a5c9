"""Decode everything in a category and say what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hw3lib.core.text import counted, one_line, short_paths
from hw3lib.data.folders.layouts import SEVERITIES, Problem
from hw3lib.data.pixels.decoding import is_deep
from hw3lib.data.pixels.depth import contrast, say_odd_contrast, say_range
from hw3lib.data.pixels.geometry import Geometry, say_fit, say_squeezed
from hw3lib.data.pixels.images import decode_image
from hw3lib.data.pixels.reading import Fit, Reading, readings_of, shared_reading
from hw3lib.data.pixels.threads import in_order
from hw3lib.data.regions.annotations import annotated_images, annotations_of, annotations_path
from hw3lib.data.regions.masks import read_regions
from hw3lib.errors import Hw3Error

from .fetch.official import OFFICIAL
from .groups import GROUP, joined_groups, pairs_of_equals, products
from .near import find_near_twins, say_near_twins, untold, view, worth_a_word
from .statistics import class_counts
from .table import NOT_FINITE, mask_files, settings_of

_KEY = hashlib.sha256().digest_size


@dataclass(frozen=True)
class CheckReport:
    """Result of :func:`check_category`.

    Attributes:
        problems: one row a problem: ``severity`` (``error``, ``warning``, or ``note`` of what is not wrong), ``kind``,
            ``file``, ``message``; errors first.
        counts: images by class and split.
        official: the outcome of the comparison with the published counts, in words; empty for other categories.
        pixel_range: which values are black and white, in words; empty where files of 8 bits stay as they are.
    """

    category: str
    problems: pd.DataFrame
    counts: pd.DataFrame
    official: str
    pixel_range: str = ""

    @property
    def ok(self) -> bool:
        """True if there is no error; warnings are allowed."""
        return not (self.problems["severity"] == "error").any()

    def summary(self) -> str:
        """The report as text, for a terminal."""
        total = self.counts.sum()
        lines = [
            f"{self.category}: {total['total']} images ({total['train']} train, {total['test']} test), "
            f"{len(self.counts)} classes"
        ]
        lines += [said for said in (self.official, self.pixel_range) if said]
        for row in self.problems.itertuples():
            lines.append(f"{row.severity.upper():7} {row.kind}: {one_line(row.file)}: {one_line(row.message)}")
        errors, warnings = (int((self.problems["severity"] == kind).sum()) for kind in ("error", "warning"))
        lines.append(f"{errors} errors, {warnings} warnings" if errors or warnings else "nothing wrong")
        return "\n".join(lines)


def check_category(table: pd.DataFrame) -> CheckReport:
    """Decode every image and mask of a table and look for what would spoil the work that follows.

    Reported are: unreadable or truncated files; the problems that ``load_table(..., strict=False)`` left in
    ``table.attrs`` (missing and orphaned masks, wrong sizes, empty classes; folders and files that are passed over,
    images where no class is said, no good images to learn from, defects in ``train/``); images with the same pixels
    (error: the test would be known from training, now or when a class is split again; a warning where they are said to
    show one product); products with photographs in both splits (error); images that look like shots of one product
    which nobody said (warning); masks that are empty (error), smoothed or more than half marked (warning); mixed sizes,
    modes or bit depths, images that are nearly black, fill a small part of their range or are squeezed by stretching,
    and values beyond the range that was given for the category (warnings); NaN, and images too long for tiles (errors);
    and counts that differ from the published ones in the 15 categories of MVTec AD (error).
    """
    problems = [Problem(**p) for p in table.attrs.get("problems", [])]
    known = {p.file for p in problems if p.kind in ("unreadable", "size mismatch", NOT_FINITE)}
    keys = np.zeros((len(table), _KEY), np.uint8)  # zeros: not readable
    levels = np.full((len(table), 2), np.nan)
    beyond: list[tuple[str, str]] = []

    def views() -> Iterator[np.ndarray]:
        pairs = zip(table["image"], readings_of(table), strict=True)
        for i, content in enumerate(in_order(lambda pair: _content(*pair), pairs)):
            if not isinstance(content, Problem):
                keys[i], levels[i] = np.frombuffer(content.key, np.uint8), content.levels
                if content.beyond:
                    beyond.append((table["image"].iloc[i], content.beyond))
                yield content.view
            elif content.file not in known:
                problems.append(content)

    twins = find_near_twins(views())
    problems += _masks([m for m in table["mask"] if isinstance(m, str) and known.isdisjoint([m, *mask_files(m)])])
    problems += _duplicates(table, keys)
    problems += _products_on_both_sides(table)
    problems += _near_twins(table, keys, np.flatnonzero(keys.any(1))[twins])
    problems += _shapes(table)
    problems += _mixed(table)
    problems += _annotations(table)
    problems += _ranges(table, levels, beyond)
    counts = class_counts(table)
    category = table.attrs.get("category", "")
    official, differs = _compare_counts(category, counts)
    problems += differs
    frame = pd.DataFrame([asdict(p) for p in problems], columns=["severity", "kind", "file", "message"])
    order = frame["severity"].map(SEVERITIES.index)
    frame = frame.assign(order=order).sort_values(["order", "kind", "file"], ignore_index=True).drop(columns="order")
    return CheckReport(category, frame, counts, official, _say_reading(table))


def _unreadable(path: str, error: Hw3Error) -> Problem:
    return Problem("error", "unreadable", path, str(error).removeprefix(f"{path}: "))


class _Content(NamedTuple):
    """Of an image: hash of its pixels, so that a re-encoded copy is known again; its darkest and brightest value, see
    :func:`contrast`; what is beyond its range, in words; and what is compared with others to find near twins."""

    key: bytes
    levels: tuple[int, int]
    beyond: str
    view: np.ndarray


def _content(path: str, reading: Reading) -> _Content | Problem:
    try:
        pixels, warning = decode_image(path, reading=reading)
    except Hw3Error as error:
        return _unreadable(path, error)
    key = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    return _Content(key, contrast(pixels), warning, view(pixels))


class _Mask(NamedTuple):
    path: str
    between: int
    share: float  # of the image that is marked


def _masks(paths: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with masks: each that cannot be used, and once what is read as it may not be meant."""
    read: list[_Mask] = []
    for found in in_order(_mask, paths):
        yield from found[1]
        read += found[0]
    smoothed = [mask for mask in read if mask.between]
    if smoothed:
        yield Problem(
            "warning",
            "smoothed mask",
            smoothed[0].path,
            f"{len(smoothed)} of {counted(len(paths), 'mask')} hold values between background and defect, "
            f"{counted(sum(mask.between for mask in smoothed), 'pixel')} in all, as JPEG and resizing make them; what "
            f"is above half counts as defect: {short_paths(mask.path for mask in smoothed)}",
        )
    inverted = [mask for mask in read if mask.share > 0.5]
    if inverted:
        yield Problem(
            "warning",
            "inverted mask",
            inverted[0].path,
            f"{len(inverted)} of {counted(len(paths), 'mask')} mark more than half of their image, up to "
            f"{max(mask.share for mask in inverted):.0%}; if their background is what is marked, invert them: "
            f"{short_paths(mask.path for mask in inverted)}",
        )


def _mask(path: str) -> tuple[list[_Mask], list[Problem]]:
    try:
        regions = read_regions(path)
    except Hw3Error as error:
        return [], [_unreadable(path, error)]
    empty = [
        Problem("error", "empty mask", region.file, "no pixel is marked; expected at least one defective pixel")
        for region in regions
        if not region.marked.any()
    ]
    marked = np.logical_or.reduce([region.marked for region in regions])
    return [_Mask(path, sum(region.between for region in regions), float(marked.mean()))], empty


def _duplicates(table: pd.DataFrame, keys: np.ndarray) -> Iterator[Problem]:
    """Groups of images with the same key, uint8 ``(N, 32)``; a group is made only where there are several."""
    start = keys[:, :8].copy().view(np.uint64)[:, 0]  # whose start repeats may repeat
    rows = np.flatnonzero(pd.Series(start).duplicated(keep=False) & keys.any(1))
    groups = table.iloc[rows][["image", "split", "defect"]].assign(key=[key.tobytes() for key in keys[rows]])
    said = settings_of(table).groups is not None and GROUP in table
    groups = groups.assign(product=table[GROUP].iloc[rows] if said else range(len(rows)))
    for _, group in groups.groupby("key", sort=False):
        if len(group) < 2:
            continue
        first, *others = group["image"]
        names = ", ".join(others)
        if group["split"].nunique() > 1:
            yield Problem(
                "error",
                "duplicate across splits",
                first,
                f"same pixels as {names}: a test image is known from training; take one out",
            )
        elif group["defect"].nunique() > 1:
            yield Problem("error", "duplicate across classes", first, f"same pixels as {names}: one image, two labels")
        elif group["product"].nunique() == 1:
            yield Problem("warning", "duplicate within split", first, f"same pixels as {names}")
        else:
            yield Problem(
                "error",
                "duplicate within split",
                first,
                f"same pixels as {names}: a class that is split again would be tested on what it was trained on, and "
                "until then they count as one; take the copies out",
            )


def _products_on_both_sides(table: pd.DataFrame) -> Iterator[Problem]:
    """Only of what was said: copies of one file are duplicates."""
    if settings_of(table).groups is None or GROUP not in table:
        return
    sides = table.groupby(GROUP)["split"].nunique()
    both = table[table[GROUP].isin(sides.index[sides > 1])]
    if len(both):
        names = list(both[GROUP].unique())
        shown = ", ".join(map(str, names[:6])) + (", ..." if len(names) > 6 else "")
        yield Problem(
            "error",
            "product across splits",
            both["image"].iloc[0],
            f"{counted(len(names), 'product')} ({shown}) in train and in test, {len(both)} images: a test image is "
            "known from training; move all of a product to one side, or, if names begin anew in each folder, let the "
            "expression of --groups hold a / to see the folder",
        )


def _near_twins(table: pd.DataFrame, keys: np.ndarray, pairs: np.ndarray) -> Iterator[Problem]:
    """Across the splits one is too many; within a class, which is split again, a few do not matter."""
    rows = np.flatnonzero(keys.any(1)).tolist()
    same = pairs_of_equals([keys[row].tobytes() for row in rows], rows)  # these are told as duplicates
    pairs = untold(pairs, joined_groups(products(table), same, len(table)))
    tested = np.flatnonzero(table["split"] == "test")
    both = np.isin(pairs, tested).sum(1) == 1
    if both.any():
        found = np.intersect1d(pairs[both], tested)
        said = say_near_twins(len(found), len(tested), "test images", " in train")
        yield Problem("warning", "near twins across splits", str(table["image"].iloc[found[0]]), said)
    for (_, defect), part in table.groupby(["split", "defect"], sort=False).indices.items():
        found = np.unique(pairs[np.isin(pairs, part).all(1)])
        if worth_a_word(len(found), len(part)):
            said = say_near_twins(len(found), len(part), f"images of {defect}")
            yield Problem("warning", "near twins", str(table["image"].iloc[found[0]]), said)


def _shapes(table: pd.DataFrame) -> Iterator[Problem]:
    """What becomes of images that are no squares."""
    fit = _fit(table, True)
    first = table.drop_duplicates(["width", "height"])
    if squeezed := say_squeezed(_fit(table, False), zip(first["width"], first["height"], strict=True)):
        for_whom = " for a classifier, and cut into tiles for an anomaly detector" if fit == "tile" else ""
        remedy = f"`hw3 data settings {table.attrs.get('category', 'CATEGORY')} --fit pad` keeps their shape"
        yield Problem("warning", "squeezed", table.attrs.get("folder", ""), f"{squeezed}{for_whom}; {remedy}")
    for row in first.itertuples():
        try:
            Geometry(row.width, row.height, 224, fit)
        except Hw3Error as error:
            yield Problem("error", "too long", row.image, str(error))


def _fit(table: pd.DataFrame, tiles: bool) -> Fit:
    """How a category's images come to squares, with ``tiles`` where several an image will do."""
    return shared_reading(table, tiles).fit


def _mixed(table: pd.DataFrame) -> Iterator[Problem]:
    root = table.attrs.get("folder", "")
    sizes = table.groupby(["width", "height"]).size().sort_values(ascending=False)
    if len(sizes) > 1:
        text = ", ".join(f"{w}x{h} ({n} images)" for (w, h), n in list(sizes.items())[:6])
        what = say_fit(_fit(table, False), None, [(int(w), int(h)) for w, h in sizes.index])
        yield Problem("warning", "mixed sizes", root, f"{text}: each is {what}")
    modes = table["mode"].value_counts()
    if len(modes) > 1:
        text = ", ".join(f"{m} ({n} images)" for m, n in modes.items())
        odd = table.loc[table["mode"] != modes.index[0], "image"].iloc[0]
        yield Problem(
            "warning",
            "mixed modes",
            str(Path(odd)),
            f"{text}: all are read as RGB; a class that alone is stored differently would be given away by it",
        )


def _annotations(table: pd.DataFrame) -> Iterator[Problem]:
    """What is wrong with the category's ``annotations.json``; its regions are decoded where they become instances."""
    path = annotations_path(table)
    if path is None:
        return
    try:
        found = annotations_of(table)
        for annotation in found:
            size = int(table["height"].iloc[annotation.row]), int(table["width"].iloc[annotation.row])
            if annotation.has_region:
                annotation.region(size)
            elif annotation.box:
                annotation.pixel_box(size)
            _ = annotation.points
        gone = [name for name in annotated_images(path) if not (path.parent / name).is_file()] if found else []
    except Hw3Error as error:
        yield Problem("error", "annotations", str(path), str(error).removeprefix(f"{path}: "))
        return
    if gone:
        said = ", ".join(gone[:5]) + (", ..." if len(gone) > 5 else "")
        yield Problem("warning", "orphaned annotation", str(path), f"{len(gone)} annotated images are gone: {said}")


def _ranges(table: pd.DataFrame, levels: np.ndarray, beyond: list[tuple[str, str]]) -> Iterator[Problem]:
    """What the images make of the values that are black and white; ``levels`` are of :func:`contrast`."""
    deep = np.array([is_deep(mode) for mode in table["mode"]], bool)
    if deep.any() and not deep.all():
        first = table["image"].iloc[int((~deep).argmax() if deep.mean() > 0.5 else deep.argmax())]
        yield Problem(
            "warning",
            "mixed depth",
            first,
            f"{(~deep).sum()} images have 8 bits and stay as they are, {deep.sum()} have more and are scaled to 8 by "
            "one range; a class that alone is stored differently would be given away by it",
        )
        beyond = [(file, text) for file, text in beyond if not text.startswith("8 bits")]
    if beyond:
        file, text = beyond[0]
        others = f"; {len(beyond) - 1} others do too" if len(beyond) > 1 else ""
        yield Problem("warning", "beyond the range", file, f"{text}{others}")
    if np.isfinite(levels).any():
        low, high = np.nanmedian(levels, 0)
        if said := say_odd_contrast(low, high, readings_of(table)[0].pixel_range, bool(deep.all())):
            example = table["image"].iloc[int(np.nanargmin(np.abs(levels[:, 1] - high)))]
            kind, text = said
            yield Problem("warning", kind, example, text.format(f"hw3 data settings {table.attrs.get('category')}"))


def _say_reading(table: pd.DataFrame) -> str:
    found = {reading.pixel_range for reading in readings_of(table)} - {None}
    if not found:
        return ""
    said = "category.json says" if settings_of(table).pixel_range else "found from all images"
    return f"values that are black and white ({said}): {', '.join(say_range(each) for each in found if each)}"


def _compare_counts(category: str, counts: pd.DataFrame) -> tuple[str, list[Problem]]:
    official = OFFICIAL.get(category)
    if official is None:
        return "", []
    good = counts.loc["good"] if "good" in counts.index else {"train": 0, "test": 0}
    found = {"train/good": int(good["train"]), "test": int(counts["test"].sum())}
    expected = {"train/good": official.train_good, "test": official.test_total}
    if official.defects:
        found |= {"test/good": int(good["test"])} | {
            f"test/{d}": int(n) for d, n in counts["test"].items() if d != "good"
        }
        assert official.test_good is not None, f"{category}: its defect types are known, but not its good test images"
        expected |= {"test/good": official.test_good} | {f"test/{d}": n for d, n in official.defects.items()}
    differs = [
        Problem(
            "error",
            "count differs",
            f"{category}/{part}",
            f"found {found.get(part, 0)} images, MVTec AD has {expected.get(part, 0)}",
        )
        for part in sorted({*found, *expected})
        if found.get(part, 0) != expected.get(part, 0)
    ]
    return ("counts differ from" if differs else "counts agree with") + " MVTec AD's published ones", differs
