"""Decode everything in a category and say what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hw3lib.core.text import counted, short_paths
from hw3lib.errors import Hw3Error

from .fetch.official import OFFICIAL
from .images import read_image
from .masks import read_regions
from .statistics import class_counts
from .table import Problem, mask_files
from .threads import in_order

_KEY = hashlib.sha256().digest_size


@dataclass(frozen=True)
class CheckReport:
    """Result of :func:`check_category`.

    Attributes:
        problems: one row a problem: ``severity`` (``error`` or ``warning``), ``kind``, ``file``, ``message``.
        counts: images by class and split.
        official: the outcome of the comparison with the published counts, in words; empty for other categories.
    """

    category: str
    problems: pd.DataFrame
    counts: pd.DataFrame
    official: str

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
        if self.official:
            lines.append(self.official)
        for row in self.problems.itertuples():
            lines.append(f"{row.severity.upper():7} {row.kind}: {row.file}: {row.message}")
        errors = int((self.problems["severity"] == "error").sum())
        warnings = len(self.problems) - errors
        lines.append("nothing wrong" if not len(self.problems) else f"{errors} errors, {warnings} warnings")
        return "\n".join(lines)


def check_category(table: pd.DataFrame) -> CheckReport:
    """Decode every image and mask of a table and look for what would spoil the work that follows.

    Reported are: unreadable or truncated files; the problems that ``load_table(..., strict=False)`` left in
    ``table.attrs`` (orphaned masks, wrong sizes, empty classes); images with the same pixels within a split (warning)
    or across splits or classes (error: the test would be known from training); masks that are empty (error), smoothed
    or more than half marked (warning); defective images without a mask where others have one (warning); mixed sizes or
    modes (warning); and counts that differ from the published ones in the 15 categories of MVTec AD (error).
    """
    problems = [Problem(**p) for p in table.attrs.get("problems", [])]
    known = {p.file for p in problems if p.kind in ("unreadable", "size mismatch")}
    keys = np.zeros((len(table), _KEY), np.uint8)  # zeros: not readable
    for i, content in enumerate(in_order(_content, table["image"])):
        if isinstance(content, Problem):
            problems.append(content)
        else:
            keys[i] = np.frombuffer(content, np.uint8)
    problems += _masks([m for m in table["mask"] if isinstance(m, str) and known.isdisjoint([m, *mask_files(m)])])
    problems += _unannotated(table)
    problems += _duplicates(table, keys)
    problems += _mixed(table)
    counts = class_counts(table)
    category = table.attrs.get("category", "")
    official, differs = _compare_counts(category, counts)
    problems += differs
    frame = pd.DataFrame([asdict(p) for p in problems], columns=["severity", "kind", "file", "message"])
    return CheckReport(category, frame.sort_values(["severity", "kind", "file"], ignore_index=True), counts, official)


def _unreadable(path: str, error: Hw3Error) -> Problem:
    return Problem("error", "unreadable", path, str(error).removeprefix(f"{path}: "))


def _content(path: str) -> bytes | Problem:
    """Hash of an image's pixels, so that a re-encoded copy is known again; or what is wrong with it."""
    try:
        pixels = read_image(path)
    except Hw3Error as error:
        return _unreadable(path, error)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


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


def _unannotated(table: pd.DataFrame) -> Iterator[Problem]:
    """Classes in which defective images have no mask, where others have one."""
    defective = table[table["is_defect"]]
    if not defective["mask"].notna().any():
        return
    for name, images in defective.groupby("defect"):
        missing = images.loc[images["mask"].isna(), "image"]
        if len(missing):
            yield Problem(
                "warning",
                "missing mask",
                missing.iloc[0],
                f"{len(missing)} of {counted(len(images), 'image')} of {name} have no mask and are left out where "
                f"masks count: {short_paths(missing)}; `hw3 annotate` lists them, and fills them in with --detector",
            )


def _duplicates(table: pd.DataFrame, keys: np.ndarray) -> Iterator[Problem]:
    """Groups of images with the same key, uint8 ``(N, 32)``; a group is made only where there are several."""
    start = keys[:, :8].copy().view(np.uint64)[:, 0]  # whose start repeats may repeat
    rows = np.flatnonzero(pd.Series(start).duplicated(keep=False) & keys.any(1))
    groups = table.iloc[rows][["image", "split", "defect"]].assign(key=[key.tobytes() for key in keys[rows]])
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
        else:
            yield Problem("warning", "duplicate within split", first, f"same pixels as {names}")


def _mixed(table: pd.DataFrame) -> Iterator[Problem]:
    root = table.attrs.get("root", "")
    sizes = table.groupby(["width", "height"]).size().sort_values(ascending=False)
    if len(sizes) > 1:
        text = ", ".join(f"{w}x{h} ({n} images)" for (w, h), n in list(sizes.items())[:6])
        yield Problem("warning", "mixed sizes", root, f"{text}: all are resized to one square")
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
