"""What a category has and lacks, and what each chapter therefore leaves out: said here for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from hw3lib.core.text import counted, listed
from hw3lib.data.folders.layouts import NO_TEST_GOOD
from hw3lib.data.regions.annotations import annotation_kinds
from hw3lib.errors import Hw3Error

from .splits import classification_images, splittable

FEWEST_TO_FIT = 4  # good images that a detector asks for, see hw3lib.anomaly.detector
FEWEST_TO_COMPARE = 6  # good images besides those to classify that the second look asks for, see hw3lib.classify.guided
# Of each chapter the key in metrics.json without which nothing is left of it.
WHOLE = {"02": "leaderboard", "03": "methods", "04": "detectors", "05": "formats", "07": "line"}


@dataclass(frozen=True)
class Parts:
    """What a category has.

    Attributes:
        train_good, test_good, test_defects: images.
        spare: good training images that no classifier of defect types sees.
        defects, masked: defective images by type, and those of them that have a mask.
        boxed, pointed: defective images without a mask that have a box, and those that have points alone.
        classes: images of each class that a classifier can learn from and be tested on; fewer than two: none can.
        too_few: images of each other class.
        lent: what is said where ``train/good`` lends the good test images; empty where it does not.
    """

    train_good: int
    test_good: int
    test_defects: int
    spare: int
    defects: dict[str, int]
    masked: dict[str, int]
    classes: dict[str, int]
    too_few: dict[str, int]
    boxed: int = 0
    pointed: int = 0
    lent: str = ""

    @property
    def good(self) -> int:
        """Good images of both splits."""
        return self.train_good + self.test_good

    @property
    def defective(self) -> int:
        """Defective images of both splits."""
        return sum(self.defects.values())

    @property
    def no_defect(self) -> str:
        """That there is no defective image; empty where there is one. So are the others where nothing is lacking."""
        return "" if self.defects else f"there is no image of a defect beside {counted(self.good, 'good image')}"

    @property
    def no_good(self) -> str:
        return "" if self.good else "there is no image of a good product"

    @property
    def no_fit(self) -> str:
        """Why no detector can be fitted."""
        if self.train_good >= FEWEST_TO_FIT:
            return ""
        found = self.no_good or f"too few good training images ({self.train_good})"
        return f"{found}: a detector learns from {FEWEST_TO_FIT} or more"

    def no_classes(self, done: str) -> str:
        """Why nothing can be classified, or balanced: ``done`` is the word."""
        sizes = listed([f"{name} {count}" for name, count in {**self.classes, **self.too_few}.items()])
        if self.no_defect:
            return f"{self.no_defect}, so there is nothing to {done}"
        if len(self.classes) > 1:
            return ""
        if len({**self.classes, **self.too_few}) == 1:
            return f"there is a single class ({sizes}), so there is nothing to {done}"
        return f"too few images of all classes but one to learn from some and test on others ({sizes})"

    @property
    def few_images(self) -> str:
        """Which classes a classifier leaves out."""
        few = [f"{name} ({count})" for name, count in self.too_few.items()]
        return f"too few images to learn from some and test on others: {listed(few)}" if few else ""

    def no_masks(self, without: str, some: str) -> str:
        """What is not there without any mask, and what is done with the images that lack one where others have one."""
        images, masks = self.defective, sum(self.masked.values())
        if masks == images:
            return ""
        if not masks:
            return f"no defective image has a mask: {without}"
        return f"{images - masks} of {counted(images, 'defective image')} have no mask: {some}"


def left_out(parts: Parts, chapter: str) -> dict[str, str]:
    """What a chapter leaves out or does otherwise on a category, and why: sentences without their full stops.

    Args:
        parts: of the category.
        chapter: its number, ``"01"`` to ``"07"``.

    Returns:
        What it is called to why; the name is a key of ``metrics.json`` where that is empty. The chapter's key in
        :data:`WHOLE` stands alone: nothing is left to do.
    """
    found = {key: why for key, why in _LACKING.get(chapter, lambda _: {})(parts).items() if why}
    whole = WHOLE.get(chapter, "")
    return {whole: found[whole]} if whole in found else found


def _dataset(parts: Parts) -> dict[str, str]:
    area = parts.no_masks("their area and place cannot be measured", "area and place are those of the others")
    return {"test_good": parts.lent, "good": parts.no_good, "defects": parts.no_defect, "masks": area}


def _classify(parts: Parts) -> dict[str, str]:
    few = f"{counted(parts.spare, 'good image')} besides those to classify: the second look needs {FEWEST_TO_COMPARE}"
    game = "whether a decision points at the defect cannot be told", "the pointing game is played on the others"
    return {
        "leaderboard": parts.no_classes("classify"),
        "classes": parts.few_images,
        "second_look": "" if parts.spare >= FEWEST_TO_COMPARE else few,
        "pointing": parts.no_masks(*game),
    }


def _imbalance(parts: Parts) -> dict[str, str]:
    paste = parts.no_masks(
        "copy-paste, which cuts defects out along them, is left out", "copy-paste copies these whole"
    )
    return {
        "methods": parts.no_classes("balance"),
        "classes": parts.few_images,
        "copy_paste": f"{parts.no_good}, onto which copy-paste would put defects" if parts.no_good else paste,
    }


def _anomaly(parts: Parts) -> dict[str, str]:
    none, alarms = "AUROC, AUPRO and the share of defects found", "AUROC and the rate of false alarms"
    both = f"{parts.no_defect or 'No test image is defective'}: {none} cannot be measured, false alarms can"
    if parts.test_defects:
        both = "" if parts.test_good else f"no test image is good: {alarms} cannot be measured"
    pixels = parts.no_masks("pixel AUROC and AUPRO cannot be measured", "pixel AUROC and AUPRO are of the others")
    return {"detectors": parts.no_fit, "test_good": parts.lent, "image_auroc": both, "aupro": pixels}


def _annotate(parts: Parts) -> dict[str, str]:
    drawn, some = sum(parts.masked.values()) + parts.boxed, counted(parts.defective, "defective image")
    nothing = f"{parts.no_defect}, so there is nothing to annotate" if parts.no_defect else ""
    if parts.no_fit and not drawn and not nothing:
        nothing = f"{parts.no_fit}, and without it nothing draws a first annotation where there is no mask or box"
    asked = f"{parts.no_fit}, so SAM is not asked with a detector's boxes"
    bare = f"{parts.defective - drawn} of {some} have no mask or box and are not annotated"
    boxes = f"{parts.boxed} of {some} have boxes alone: detectors learn from them, SAM does not"
    points = f"{parts.pointed} of {some} have points alone, which bound no defect"
    return {
        "formats": nothing,
        "drawn": bare if 0 < drawn < parts.defective else "",
        "boxes": boxes if parts.boxed else "",
        "points": points if parts.pointed else "",
        "prompts": asked if parts.no_fit and parts.masked else "",
    }


def _line(parts: Parts) -> dict[str, str]:
    none = "" if parts.test_good else "no test image is good, so no line can be made of them"
    return {
        "line": parts.no_fit or none,
        "test_good": parts.lent,
        "types": parts.no_defect and f"{parts.no_defect}: there are false alarms and drift alone",
        "unseen": "there is one type of defects, so none is new on the line" if len(parts.defects) == 1 else "",
    }


_LACKING: dict[str, Callable[[Parts], dict[str, str]]] = {
    "01": _dataset,
    "02": _classify,
    "03": _imbalance,
    "04": _anomaly,
    "05": _annotate,
    "07": _line,
}


def parts_of(table: pd.DataFrame, n_splits: int = 2, test_size: float | int = 0.2, random_state: int = 0) -> Parts:
    """Count what a category has.

    Args:
        table: see :func:`hw3lib.data.load_table`.
        n_splits, test_size, random_state: of the splits of a classifier, see :func:`hw3lib.data.splittable`.
    """
    bad, train = table["is_defect"], table["split"] == "train"
    images = classification_images(table, random_state)
    spare = train & ~bad & ~table["image"].isin(images["image"])
    said = [p["message"] for p in table.attrs.get("problems", []) if p["kind"] == NO_TEST_GOOD]
    known = annotation_kinds(table[bad])
    alone = known["boxes"] & table.loc[bad, "mask"].isna()
    classes, too_few = _splittable(images, n_splits, test_size, random_state)
    return Parts(
        train_good=int((train & ~bad).sum()),
        test_good=int((~train & ~bad).sum()),
        test_defects=int((~train & bad).sum()),
        spare=int(spare.sum()),
        defects=_counts(table[bad]),
        masked=_counts(table[bad & table["mask"].notna()]),
        classes=classes,
        too_few=too_few,
        boxed=int(alone.sum()),
        pointed=int((known["points"] & ~known["boxes"]).sum()),
        lent=said[0] if said else "",
    )


def _splittable(
    images: pd.DataFrame, n_splits: int, test_size: float | int, random_state: int
) -> tuple[dict[str, int], dict[str, int]]:
    for size in (test_size, 0.2):  # what no category can be split by, is the parameter's fault and refused elsewhere
        try:
            part, _, too_few = splittable(images, n_splits, size, random_state)
            return _counts(part), too_few
        except Hw3Error:
            continue
    return {}, _counts(images)


def _counts(images: pd.DataFrame) -> dict[str, int]:
    return {str(name): int(count) for name, count in images["defect"].value_counts().sort_index().items()}
