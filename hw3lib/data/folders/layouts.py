"""Layouts of categories: which folders hold which class of which split, where their masks are, what is passed over."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hw3lib.core.listing import why_unreadable
from hw3lib.core.text import class_name, composed, counted, listed
from hw3lib.core.untrusted import read_text
from hw3lib.errors import Hw3Error

from .contents import (
    IMAGE_SUFFIXES,
    TEXTS,
    Listing,
    few,
    image_names,
    images_below,
    kinds_of,
    listing,
    own_output,
    subfolders,
    suffix,
)
from .names import GOOD, MASKS, SPLITS, find_name, good_names, is_junk, is_masks, key

_SPLIT_CSV = ("split_csv", "1cls.csv")  # of VisA, beside its categories
NO_GOOD = "no good class"  # kind of problem
UNREADABLE_FOLDER = "unreadable folder"  # kind of problem
NO_TEST_GOOD = "no test/good"  # kind of the problem that says that train/good lends some
_MOST_CSV = 50_000_000  # bytes


SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Problem:
    """One thing to say about a category: ``severity`` is one of :data:`SEVERITIES`; a note is of what is not wrong."""

    severity: str
    kind: str
    file: str
    message: str

    def __post_init__(self) -> None:
        for name in ("file", "message"):  # names that are no UTF-8 are shown with escapes: no table takes them
            object.__setattr__(self, name, getattr(self, name).encode("utf-8", "backslashreplace").decode())


class ClassFolder(NamedTuple):
    """Images of one class in one folder: files ``names`` in ``folder``, and the folder of their masks, if any."""

    split: str
    defect: str
    folder: Path
    names: list[str]
    masks: Path | None


class Base(NamedTuple):
    """A folder whose sub-folders are classes, and the split that they are of; None where there are no splits."""

    split: str | None
    folder: Path


@dataclass
class Layout:
    """What the folders of a category say.

    Attributes:
        classes: by split, good first and name.
        masks: folders of the masks of one class each, of which every mask must belong to an image.
        problems: what is wrong, passed over, or understood in a way that should be told.
        listed: whether a file says the split of each image; if not, a folder in both splits is divided by every fifth.
    """

    classes: list[ClassFolder] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    listed: bool = False

    def say(self, severity: str, kind: str, place: Path, message: str) -> None:
        self.problems.append(Problem(severity, kind, str(place), message))


@dataclass
class _Class:
    """The folder of a class while the layout is read; ``place`` holds the images: it, or its ``rgb/``."""

    split: str | None
    folder: Path
    place: Path
    here: Listing
    masks: Path | None = None
    good: bool = False

    @property
    def defect(self) -> str:
        return "good" if self.good else class_name(self.folder.name)


def bases(folder: Path) -> list[Base]:
    """Where class folders are: in the splits of a category, in VisA's ``Data/Images``, or in the category itself."""
    inside = subfolders(folder)
    data = _find_folder(folder, "Data")
    if data and (images := _find_folder(folder / data, "Images")):
        return [Base(None, folder / data / images)]
    order = list(dict.fromkeys(SPLITS.values()))
    splits = [Base(SPLITS[key(path.name)], path) for path in inside if key(path.name) in SPLITS and class_folders(path)]
    splits.sort(key=lambda base: order.index(base.split or ""))
    if not splits or (has_good(folder) and not any(has_good(base.folder) for base in splits)):
        return [Base(None, folder)]
    return splits


def class_folders(folder: Path) -> list[Path]:
    """Sub-folders that may be classes."""
    return [path for path in subfolders(folder) if not is_masks(path.name) and not is_junk(path.name)]


def has_good(folder: Path, said: str | None = None) -> bool:
    """Whether one of the sub-folders holds good products, by its name."""
    try:
        found, guessed = good_names((path.name for path in class_folders(folder)), said)
    except Hw3Error:  # more than one does
        return True
    return any(not guessed or image_names(folder / name) for name in found)


def list_classes(folder: Path, good: str | None = None) -> Layout:
    """Read the folders of a category; see :func:`hw3lib.data.load_table` for what is understood.

    Args:
        folder: of the category.
        good: name of the class folder that holds good products, where a person has said it.
    """
    layout, places = Layout(), bases(folder)
    _look_above(folder, [base.folder for base in places], layout)
    found = [each for base in places for each in _classes_in(base, layout)]
    _find_good(folder, found, good, layout)
    found = [each for each in found if _is_class(each, layout)]
    _say_same_class(found, layout)
    has_splits = places[0].split is not None
    lent = has_splits and _lend_defects(folder, found, layout)
    _find_masks(folder, found, has_splits, layout)
    listed_splits = {} if has_splits else _read_split_csv(folder, places[0].folder, layout)
    layout.listed = bool(listed_splits)
    for each in found:
        for split, names in _divided(each, listed_splits, lent).items():
            layout.classes.append(ClassFolder(split, each.defect, each.place, names, each.masks))
    if has_splits and not any(each.split == "test" and each.defect == "good" for each in layout.classes):
        _lend_good(layout)
    order = {"train": 0, "test": 1}
    layout.classes.sort(key=lambda c: (order[c.split], c.defect != "good", c.defect, str(c.folder)))
    _say_what_is_missing(folder, layout)
    return layout


def _lend_good(layout: Layout) -> None:
    """Without ``test/good`` every fifth image of ``train/good`` is tested on, as in a simple folder, and is told."""
    good = [each for each in layout.classes if each.split == "train" and each.defect == "good"]
    number = sum(len(each.names) for each in good)
    if number < 2:
        return
    for each in good:
        layout.classes.remove(each)
        layout.classes.append(each._replace(names=[name for i, name in enumerate(each.names) if i % 5]))
        layout.classes.append(each._replace(split="test", names=each.names[::5]))
    lent = sum(len(each.names[::5]) for each in good)
    said = f"there is no test/good: {lent} of {number} images of train/good, every fifth, are tested on"
    layout.say("warning", NO_TEST_GOOD, good[0].folder, said)


def _look(place: Path, layout: Layout) -> Listing:
    """What is in a folder; what a system or a program left there is told of."""
    try:
        here = listing(place)
    except OSError as error:
        layout.say("error", UNREADABLE_FOLDER, place, why_unreadable(error))
        return Listing([], [], [], [], [], readable=False)
    if junk := sorted([*here.hidden, *(path.name for path in here.folders if is_junk(path.name))]):
        layout.say("note", "passed over", place, f"{few(junk)}: of a system or a program, no class")
    if here.loops:
        layout.say("note", "passed over", place, f"{few(sorted(here.loops))}: a link to where it lies")
    return here


def _look_above(folder: Path, places: list[Path], layout: Layout) -> None:
    """Say what lies beside the splits, or between the category and its classes."""
    above = {path for place in places for path in place.parents if path.is_relative_to(folder)}
    for place in sorted(above):
        here = _look(place, layout)
        _say_stray(place, here, layout)
        for path in here.folders:
            if path in above or path in places or is_masks(path.name) or is_junk(path.name):
                continue
            if key(path.name) in SPLITS:
                _say_stray(path, _look(path, layout), layout)
            else:
                _say_passed_over(path, layout, "it is beside the folders of classes")


def _classes_in(base: Base, layout: Layout) -> list[_Class]:
    here = _look(base.folder, layout)
    _say_stray(base.folder, here, layout)
    found = []
    for path in here.folders:
        if is_masks(path.name) or is_junk(path.name):
            continue
        if own_output(path):
            _say_passed_over(path, layout)
        else:
            found.append(_class_of(base.split, path, layout))
    return found


def _class_of(split: str | None, folder: Path, layout: Layout) -> _Class:
    """A class with what is in its folder; of MVTec 3D-AD's, the colour images of ``rgb/`` and the masks of ``gt/``."""
    here = _look(folder, layout)
    inside = {key(path.name): path for path in here.folders}
    if here.images or "rgb" not in inside:
        return _Class(split, folder, folder, here)
    if others := [path.name for name, path in inside.items() if name not in ("rgb", "gt")]:
        layout.say(
            "note", "passed over", folder, f"{few(others)}: of a class with rgb, its colour images are read alone"
        )
    return _Class(split, folder, inside["rgb"], _look(inside["rgb"], layout), inside.get("gt"))


def _say_stray(place: Path, here: Listing, layout: Layout) -> None:
    if stray := here.photographs():
        layout.say(
            "warning",
            "images beside the class folders",
            place,
            f"{counted(len(stray), 'image')} ({few(stray)}) not looked at, for the folder says no class; move them "
            "into the folder of one",
        )


def _say_passed_over(path: Path, layout: Layout, why: str = "") -> None:
    if kind := own_output(path):
        layout.say("note", "passed over", path, f"{kind} that hw3 wrote, no class; keep it outside the category")
    elif number := images_below(path):
        images = counted(number, "image")
        layout.say("warning", "images in sub-folders", path, f"{images} not looked at: {why}; move them into a class")
    else:
        layout.say("warning", "passed over", path, "holds no image, so it is no class")


def _find_good(folder: Path, found: list[_Class], said: str | None, layout: Layout) -> None:
    """Mark the classes of good products; empty folders count only where no other has such a name."""
    for filled in ([each for each in found if each.here.images], found):
        try:
            chosen, guessed = _good_of(filled, said)
        except Hw3Error as error:
            layout.say("error", "two good classes", folder, str(error))
            chosen, guessed = {each.folder.name for each in filled if composed(each.folder.name) == "good"}, False
        if chosen:
            break
    for each in found:
        each.good = each.folder.name in chosen
    if said is not None and not chosen:
        names = few(sorted({each.folder.name for each in found})) or "no class"
        layout.say(
            "error",
            NO_GOOD,
            folder,
            f"its category.json says that {said!r} holds good products; found {names}; say another with "
            "`hw3 data settings CATEGORY --good NAME`",
        )
    if others := sorted({composed(name) for name in chosen} - {"good"}):
        doubt = "; if it is not, name the one that is: `hw3 data settings CATEGORY --good NAME`" if guessed else ""
        text = f"{listed(map(repr, others))} is read as good{doubt}"
        layout.say("warning" if guessed else "note", "good class", folder, text)


def _good_of(found: list[_Class], said: str | None) -> tuple[set[str], bool]:
    """Names of the good classes: one a split by what it is called, or one in all of them by a guess."""
    by_split: dict[Path, list[str]] = {}
    for each in found:
        by_split.setdefault(each.folder.parent, []).append(each.folder.name)
    in_each = [good_names(names, said) for names in by_split.values()]
    certain = {name for names, guessed in in_each if not guessed for name in names}
    return (certain, False) if certain else good_names({each.folder.name for each in found}, said)


def _is_class(each: _Class, layout: Layout) -> bool:
    """Whether a folder is a class: it holds images, or should; what is in it and not looked at is told."""
    if not each.here.readable:  # which is told, and what is in it is not known
        return True
    here, photographs = each.here, each.here.photographs()
    nothing = not (here.folders or here.others or here.hidden)
    if not here.images and not (each.good or photographs or (each.split is not None and nothing)):
        _say_passed_over(each.folder, layout, "they lie in sub-folders")
        return False
    if not here.images:
        found = f"; found {kinds_of(photographs)}: convert them" if photographs else ""
        message = f"no image in this class; expected files ending in {', '.join(IMAGE_SUFFIXES)}{found}"
        layout.say("error", "empty class", each.folder, message)
    texts = [name for name in here.others if suffix(name) in TEXTS]
    others = [name for name in here.others if suffix(name) not in TEXTS]
    for severity, names, do in (("note", texts, ""), ("warning", others, "; convert photographs to be used")):
        if names:
            message = f"{counted(len(names), 'file')} of kinds that are not read: {kinds_of(names)}{do}"
            layout.say(severity, "not looked at", each.place, message)
    nested = {path.name: images_below(path) for path in here.folders if not is_junk(path.name)}
    if number := sum(nested.values()):
        where = f"{counted(number, 'image')} in {few([name for name, images in nested.items() if images])}"
        message = f"{where} not looked at: the images of a class lie in its folder; move them up"
        layout.say("warning", "images in sub-folders", each.place, message)
    return True


def _say_same_class(found: list[_Class], layout: Layout) -> None:
    """Folders whose names differ in nothing that a person sees are one class."""
    by_class: dict[tuple[Path, str], list[_Class]] = {}
    for each in found:
        by_class.setdefault((each.folder.parent, each.defect), []).append(each)
    for (place, defect), several in by_class.items():
        if len(several) > 1:
            names = listed(repr(each.folder.name) for each in several)
            layout.say("note", "same class", place, f"{names} are read as one class, {defect!r}")


def _lend_defects(folder: Path, found: list[_Class], layout: Layout) -> bool:
    """Whether the defects in ``train/`` are taken for the test, because there are no others; both are told."""
    if any(each.split == "validation" for each in found):
        layout.say("note", "validation", folder, "its good images are read as train, those of defects as test")
    defects = [each for each in found if each.split == "train" and not each.good and each.here.images]
    if not defects:
        return False
    lent = not any(each.split != "train" and not each.good and each.here.images for each in found)
    number = counted(sum(len(each.here.images) for each in defects), "image")
    what = f"{number} of {few(sorted({each.defect for each in defects}))} in the training split"
    if lent:
        layout.say("warning", "defects in train", folder, f"read as test, where there is no defect: {what}")
    else:
        layout.say(
            "warning",
            "defects in train",
            folder,
            f"left out: {what}; detectors learn from good images alone, classifiers and annotations take the "
            "defects of the test split; move them there to have them used",
        )
    return lent


def _divided(each: _Class, listed_splits: Mapping[tuple[str, str], str], lent: bool) -> dict[str, list[str]]:
    """The images of a class by split."""
    names = each.here.images
    if each.split is not None:
        train = each.good if each.split == "validation" else each.split == "train" and (each.good or not lent)
        return {"train" if train else "test": names}
    if listed_splits:
        found: dict[str, list[str]] = {"train": [], "test": []}
        for name in names:
            found[listed_splits.get((key(each.folder.name), name.casefold()), "test")].append(name)
        return {split: part for split, part in found.items() if part}
    if not each.good:
        return {"test": names}
    return {"train": [name for i, name in enumerate(names) if i % 5], "test": names[::5]}


def _find_masks(folder: Path, found: list[_Class], has_splits: bool, layout: Layout) -> None:
    """Give the classes the folders of their masks, which have the class's name in a folder such as ``ground_truth``."""
    roots = [path for place in _above(folder, found) for path in subfolders(place) if is_masks(path.name)]
    roots.sort(key=lambda path: MASKS.index(key(path.name)))
    good = {composed(each.folder.name) for each in found if each.good}
    defects = {composed(each.folder.name) for each in found if not each.good}
    unread = {composed(each.folder.name) for each in found if not each.here.readable}
    for root in roots:
        here = _look(root, layout)
        for path in here.folders:
            if composed(path.name) not in defects and (key(path.name) in GOOD or composed(path.name) in good):
                layout.say("note", "passed over", path, "masks of good products, which have no defect")
            elif not is_junk(path.name) and composed(path.name) not in unread and _look(path, layout).readable:
                layout.masks.append(path)
        if flat := here.images:
            message = f"{counted(len(flat), 'mask')} ({few(flat)}) not looked at: expected them in {root.name}/DEFECT/"
            layout.say("warning", "masks beside the class folders", root, message)
    tested = {each.defect for each in found if each.split == "test"}
    for each in found:
        if each.good:
            each.masks = None
        if each.good or each.masks is not None or (each.split != "test" and has_splits and each.defect in tested):
            continue  # masks are those of the test images, whose names may be those of other images in train
        near = [root for root in roots if root.parent in each.folder.parents]
        of_class = [root / name for root in near if (name := _find_folder(root, each.folder.name))]
        of_all = [root / each.folder.name for root in near if has_splits]  # all are missing, which is told
        each.masks = next(iter([*of_class, *of_all]), None)


def _find_folder(parent: Path, name: str) -> str | None:
    return find_name(name, [path.name for path in subfolders(parent)])


def _above(folder: Path, found: list[_Class]) -> list[Path]:
    """Folders that may hold one of masks: the category, its splits, VisA's ``Data``."""
    return sorted({path for each in found for path in each.folder.parents if path.is_relative_to(folder)} or {folder})


def _read_split_csv(folder: Path, images: Path, layout: Layout) -> dict[tuple[str, str], str]:
    """Splits by class folder and name, as VisA's ``split_csv/1cls.csv`` says them; none where there is none."""
    if images == folder:
        return {}
    path = next((p for above in (folder, folder.parent) if os.path.isfile(p := above.joinpath(*_SPLIT_CSV))), None)
    if path is None:
        return {}
    try:
        found = _parse_split_csv(path, folder.name)
    except Hw3Error as error:
        layout.say("error", "split", path, f"{str(error).removeprefix(f'{path}: ')}; correct it, or take it away")
        return {}
    there = {(key(place.name), name.casefold()) for place in subfolders(images) for name in image_names(place)}
    if not there & found.keys():
        layout.say(
            "warning", "split", path, f"names no image of {folder.name}, so every fifth good one is for the test"
        )
        return {}
    layout.say("note", "split", folder, f"as {'/'.join(_SPLIT_CSV)} says")
    for names, what in (
        (there - found.keys(), "not named, so read as test"),
        (found.keys() - there, "named and not there"),
    ):
        if names:
            number = counted(len(names), "image")
            layout.say(
                "warning", "split", path, f"{number} of {folder.name} {what}: {few(sorted(n for _, n in names))}"
            )
    return found


def _parse_split_csv(path: Path, category: str) -> dict[tuple[str, str], str]:
    """Raises ``Hw3Error`` for what is no such table."""
    found = {}
    try:
        rows = csv.DictReader(read_text(path, _MOST_CSV).removeprefix("\ufeff").splitlines(), strict=True)
        if missing := {"object", "split", "image"} - set(rows.fieldnames or ()):
            raise Hw3Error(
                f"{path}: found no column {sorted(missing)[0]!r}; expected object, split, label, image and mask"
            )
        for number, row in enumerate(rows, 2):
            if composed(row["object"] or "") != composed(category):
                continue
            split, place = row["split"], PurePosixPath((row["image"] or "").replace("\\", "/"))
            if split not in ("train", "test"):
                raise Hw3Error(f"{path}: line {number}: split is {split!r}, expected train or test")
            found[key(place.parent.name), place.name.casefold()] = split
    except csv.Error as error:
        raise Hw3Error(f"{path}: is no CSV table ({error})") from None
    return found


def _say_what_is_missing(folder: Path, layout: Layout) -> None:
    filled = [each for each in layout.classes if each.names]
    good = [each for each in filled if each.defect == "good"]
    if filled and not good and not any(p.kind == NO_GOOD for p in layout.problems):
        names = few(sorted({each.defect for each in filled}))
        layout.say(
            "warning",
            NO_GOOD,
            folder,
            f"found {names}; without good products no detector can be fitted. If one of these holds them: `hw3 data "
            "settings CATEGORY --good NAME`; or add a folder good",
        )
    elif good and not any(each.split == "train" for each in good):
        layout.say(
            "warning",
            "no train/good",
            folder,
            "no good image to learn from, so no detector can be fitted; put some of good products into train/good",
        )
