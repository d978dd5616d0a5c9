"""Make a category, images, classes, masks and instances, of what was annotated elsewhere."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from hw3lib.core.files import atomic_folder, expanded, refuse_existing
from hw3lib.core.text import format_table
from hw3lib.data.folders.contents import IMAGE_SUFFIXES
from hw3lib.data.folders.find import refuse_inside_category
from hw3lib.data.folders.names import SPLITS, good_names, is_junk, is_masks, key
from hw3lib.data.pixels.decoding import open_image
from hw3lib.data.pixels.images import read_image
from hw3lib.data.regions.annotations import FILE
from hw3lib.data.regions.shapes import merged
from hw3lib.errors import Hw3Error

from .drawn import Entry, Shape, Told
from .files import ImageFiles
from .objects import Object, Objects, Unfit, is_good, mask_of
from .registry import find_source

SEVERAL = ("largest", "combined")
UNLABELLED = ("good", "leave")
COMBINED = "combined"  # the class of an image with several labels, on request
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}


@dataclass
class Imported:
    """What :func:`import_category` made.

    Attributes:
        folder: of the category.
        format: name of the format that it was taken from.
        counts: by class: ``images``, with ``masks``, with ``boxes`` alone, with ``points`` alone, and ``instances``.
        told: what was left out or changed.
        unlabelled: names of the images without any annotation that were taken as good.
    """

    folder: Path
    format: str
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    told: Told = field(default_factory=Told)
    unlabelled: list[str] = field(default_factory=list)

    def summary(self, most: int = 5) -> str:
        """Images and instances by class, and what was left out or changed, with the first few names."""
        columns = ["images", "masks", "boxes", "points", "instances"]
        order = sorted(self.counts, key=lambda name: (name != "good", name))
        rows: list[tuple[str, ...]] = [("class", "images", "with masks", "boxes alone", "points alone", "instances")]
        rows += [(name, *(str(self.counts[name][key]) for key in columns)) for name in order]
        rows.append(("all", *(str(sum(self.counts[name][key] for name in order)) for key in columns)))
        lines = [format_table(rows)]
        if count := len(self.unlabelled):
            images = "image" if count == 1 else "images"
            lines.append(f"{count} {images} without annotation, taken as good; --unlabelled leave leaves them out")
        for title, found in (("left out", self.told.left_out), ("changed", self.told.changed)):
            for reason, names in found.items():
                shown = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
                lines.append(f"{title}: {len(names)}, {reason}: {shown}")
        if self.told.left_out or self.told.changed:
            lines.append(f"all of them: {self.folder / FILE}, under 'info'")
        return "\n".join(lines)


def import_category(
    source: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    images: str | Path | None = None,
    several: str = "largest",
    unlabelled: str | None = None,
    link: bool = False,
) -> Imported:
    """Make a category in the simple layout of what was annotated elsewhere; all of it or nothing.

    An image's class is the label of its objects; of several, that of the largest area (of masks, or else of boxes, or
    else of points, by their number). Its mask is the union of all its regions. Each object with its own label, also
    boxes and points, which make no mask, is in ``annotations.json``. Images are copied byte for byte under their names.

    Args:
        source: file or folder of annotations, see :data:`.SOURCES`. Nothing outside of it and of ``images`` is read.
        out: folder of the category to make.
        format: name; None finds it out.
        images: folder of the images where they are not beside the annotations.
        several: class of an image with several labels: that of the ``largest`` area, or ``combined``.
        unlabelled: images without any annotation are ``good``, or left out (``leave``); None takes them as good, but
            for those of which the annotations say that nobody has looked at them.
        link: make symbolic links to the images instead of copies.

    Raises:
        Hw3Error: nothing is there, ``out`` exists or lies in what is read, the format is unknown, a file is damaged, or
            no annotated image is left.
    """
    source, out = expanded(source), expanded(out)
    for name, value, kinds in (("several", several, SEVERAL), ("unlabelled", unlabelled, (None, *UNLABELLED))):
        if value not in kinds:
            raise Hw3Error(f"{name}={value!r}: expected one of {', '.join(filter(None, kinds))}")
    folders = _folders(source, None if images is None else expanded(images))
    source = _real(source) if source.is_dir() else _real(source.parent) / source.name  # as the images' paths are
    refuse_inside_category(out)
    refuse_existing(out, False)
    if inside := next((folder for folder in folders if _real(out).is_relative_to(_real(folder))), None):
        raise Hw3Error(f"--out {out}: lies in {inside}, which is read; choose a folder beside it")
    found = find_source(format, source)
    known, done = ImageFiles(folders), Imported(out, found.name)
    entries = _joined(found.read(source, known, done.told), done.told)
    listed = len(entries)
    whole = folders if source.is_dir() else folders[1:]
    entries += _without(known, [_real(folder) for folder in whole], source, found.lists, done.told)
    if not listed:
        raise Hw3Error(f"{source}: no annotated image is left: {_first(done.told)}")
    with atomic_folder(out) as folder:
        _Writer(folder, done, several, unlabelled, link, entries).write(source)
    return done


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _folders(source: Path, images: Path | None) -> list[Path]:
    if not source.exists():
        raise Hw3Error(f"{source}: no such file or folder; expected annotations")
    if not source.is_dir() and not source.is_file():
        raise Hw3Error(f"{source}: is no regular file")
    if source.suffix.lower() in (".zip", ".gz", ".tar", ".7z", ".rar") and source.is_file():
        raise Hw3Error(f"{source}: is an archive; unpack it, and name the folder")
    if images is not None and not images.is_dir():
        raise Hw3Error(f"--images {images}: no such folder")
    folder = source if source.is_dir() else source.parent
    if source.is_file() and _real(folder).name.lower() in ("annotations", "labels"):
        folder = _real(folder).parent  # the images are beside it
    return [folder, *([images] if images else [])]


def _first(told: Told) -> str:
    said = [f"{len(names)}, {reason}" for reason, names in told.left_out.items()]
    return "; ".join(said[:5]) or "there is none"


def _joined(entries: Iterable[Entry], told: Told) -> list[Entry]:
    """The images, each once: several files may have annotations of one, the same ones for another purpose."""
    kept: dict[Path, Entry] = {}
    result = []
    for entry in entries:
        if isinstance(entry.source, bytes):
            result.append(entry)
            continue
        first = kept.setdefault(_real(entry.source), entry)
        if first is entry:
            result.append(entry)
        elif first.size not in (None, entry.size) and entry.size is not None:
            told.leave("annotations of one image in two sizes", entry.where)
        else:
            told.change("images named twice, whose annotations were joined", entry.name)
            known = {_print(shape) for shape in first.shapes}
            first.shapes += [shape for shape in entry.shapes if _print(shape) not in known]
            first.tags += [tag for tag in entry.tags if tag not in first.tags]
            first.size = first.size or entry.size
            first.seen, first.lost = first.seen or entry.seen, first.lost or entry.lost
    return result


def _print(shape: Shape) -> tuple:
    """What two annotations of one object have in common."""
    bounds = tuple(tuple(round(value, 2) for value in part.bounds()) for part in shape.parts)
    drawn = [None if found is None else tuple(np.round(found, 2).ravel()) for found in (shape.box, shape.points)]
    return shape.label, bounds, drawn[0], None if bounds or shape.box is not None else drawn[1]


def _without(known: ImageFiles, whole: list[Path], source: Path, lists: bool, told: Told) -> list[Entry]:
    """Images that no annotation names: without annotation where their folder was given, else left out."""

    def given(path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in whole)

    rest = known.unused()
    for path in filter(given, known.masks()):
        told.leave("images in folders for masks", path.name)
    for path in known.others():
        told.leave("photographs of a kind that is not read", path.name)
    beside = [path for path in rest if path.parent == source.parent and not given(path)]
    for path in beside if lists else []:
        told.leave("images that the annotations do not name", path.name)
    return [Entry(path.name, str(path), path) for path in filter(given, rest)]


class _Writer:
    """Writes a category's folder, image by image, so that few pixels are held at once."""

    def __init__(
        self, folder: Path, done: Imported, several: str, unlabelled: str | None, link: bool, entries: list[Entry]
    ):
        self.folder, self.done, self.told = folder, done, done.told
        self.several, self.unlabelled, self.link, self.entries = several, unlabelled, link, entries
        labels = {shape.label for entry in entries for shape in entry.shapes} | {t for e in entries for t in e.tags}
        self.names = _folder_names(sorted(labels), self.told)
        self.objects = Objects(self.names, self.told)
        self.used: dict[str, set[str]] = defaultdict(set)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories: dict[str, int] = {}

    def write(self, source: Path) -> None:
        for entry in self.entries:
            try:
                self._write_image(entry)
            except Unfit as error:
                self.told.leave(f"images that {error}", entry.name)
        if not self.done.counts:
            raise Hw3Error(f"{source}: no image is left: {_first(self.told)}")
        if set(self.done.counts) == {"good"} and not any(entry.tags for entry in self.entries):
            raise Hw3Error(f"{source}: no annotation is left, so that every image would be good: {_first(self.told)}")
        info = {"description": f"imported by hw3lib from {self.done.format}", "version": "1.0"}
        content = {
            "info": info
            | {"left_out": self.told.left_out, "changed": self.told.changed, "unlabelled": self.done.unlabelled},
            "images": self.images,
            "annotations": self.annotations,
            "categories": [{"id": at, "name": name, "supercategory": "defect"} for name, at in self.categories.items()],
        }
        text = json.dumps(content, ensure_ascii=False)
        (self.folder / FILE).write_text(text, encoding="utf-8", errors="backslashreplace")

    def _write_image(self, entry: Entry) -> None:
        """Write an image with its mask, and note its objects.

        Raises:
            Unfit: it cannot be taken; nothing was written.
            Hw3Error: a shape that is damaged.
        """
        without = not (entry.shapes or entry.tags or entry.lost)
        if without and self.unlabelled == "leave":
            self.told.leave("images without annotation", entry.name)
            return
        if without and not entry.seen and self.unlabelled is None:
            self.told.leave("images that nobody has looked at (--unlabelled good takes them as good)", entry.name)
            return
        found, size = self.objects.of(entry)
        left = entry.lost and not entry.tags or not all(is_good(shape.label) for shape in entry.shapes)
        if not found and left:
            self.told.leave("images of whose annotations nothing is left", entry.name)
            return
        name = self._class(found, entry)
        target = self._place(entry, name)
        counts = self.done.counts[name]
        counts["images"] += 1
        if without:
            self.done.unlabelled.append(entry.name)
        if not found:
            return
        self._note(entry, target, size, found)
        regions = [each.region for each in found if each.region is not None]
        counts["instances"] += len(found)
        boxes = any(each.bounds is not None for each in found)
        counts["masks" if regions else "boxes" if boxes else "points"] += 1
        if regions:
            place = self.folder / "masks" / name
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask_of(merged(regions), size)).save(place / f"{target.stem}_mask.png")

    def _class(self, found: list[Object], entry: Entry) -> str:
        """The class of an image: of its objects, or else of its labels as a whole."""
        if not found:
            tags = [tag for tag in dict.fromkeys(entry.tags) if not is_good(tag)]
            if len(tags) > 1:
                self.told.change(f"images with several labels, of the class {self._rule()}", entry.name)
                if self.several == COMBINED:
                    return COMBINED
            return self.names[tags[0]] if tags else "good"
        if entry.tags:
            self.told.change("images whose objects tell the class, and not their label as a whole", entry.name)
        ranks: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for each in found:
            place = 0 if each.region is not None else 1 if each.bounds is not None else 2
            ranks[each.label][place] += each.area or len(each.points if each.points is not None else ())
        if len(ranks) > 1:
            self.told.change(f"images with several labels, of the class {self._rule()}", entry.name)
            if self.several == COMBINED:
                return COMBINED
        return max(sorted(ranks), key=lambda label: ranks[label])

    def _rule(self) -> str:
        return "of the largest area" if self.several == "largest" else repr(COMBINED)

    def _place(self, entry: Entry, name: str) -> Path:
        """Copy or link an image under its own name, or one like it where that is taken.

        Raises:
            Unfit: one in another format cannot be decoded.
        """
        place = self.folder / name
        stem, suffix = os.path.splitext(Path(entry.name.replace("\\", "/")).name)
        if isinstance(entry.source, Path):
            stem, suffix = os.path.splitext(entry.source.name)
        stem = _safe(stem) or "image"
        kept = isinstance(entry.source, Path) and suffix.lower() in IMAGE_SUFFIXES
        if isinstance(entry.source, bytes):
            with open_image(io.BytesIO(entry.source)) as image:
                suffix = _SUFFIXES.get(image.format or "", "")
            kept = bool(suffix)
        pixels = None if kept else _decoded(entry)
        place.mkdir(parents=True, exist_ok=True)
        free, number = stem, 1
        while {free.casefold(), f"{free}_mask".casefold()} & self.used[name.casefold()]:
            number += 1
            free = f"{stem}_{number}"
        self.used[name.casefold()] |= {free.casefold(), f"{free}_mask".casefold()}
        if free != stem or isinstance(entry.source, Path) and stem != os.path.splitext(entry.source.name)[0]:
            self.told.change("images of a name that is taken, or that none can have, renamed", f"{entry.name}: {free}")
        target = place / f"{free}{suffix if kept else '.png'}"
        if pixels is not None:
            self.told.change("images in another format, made PNG", entry.name)
            Image.fromarray(pixels).save(target)
        elif isinstance(entry.source, bytes):
            target.write_bytes(entry.source)
        elif self.link:
            os.symlink(_real(entry.source), target)
        else:
            shutil.copyfile(entry.source, target)
        return target

    def _note(self, entry: Entry, target: Path, size: tuple[int, int], found: list[Object]) -> None:
        image = {"id": len(self.images) + 1, "file_name": target.relative_to(self.folder).as_posix()}
        self.images.append(image | {"width": size[1], "height": size[0], "source": entry.name})
        for each in found:
            record: dict[str, Any] = {
                "id": len(self.annotations) + 1,
                "image_id": image["id"],
                "category_id": self.categories.setdefault(each.label, len(self.categories) + 1),
                "iscrowd": 0,
                "area": each.area,
                "segmentation": [],
            }
            if each.region is not None:
                height, width = each.region.crop.shape
                record["bbox"] = [each.region.x, each.region.y, width, height]
                encoded = coco_mask.encode(np.asfortranarray(mask_of(each.region, size), np.uint8))
                record["segmentation"] = {"size": list(size), "counts": encoded["counts"].decode("ascii")}
            elif each.bounds is not None:
                left, top, right, bottom = each.bounds
                record["bbox"] = [left, top, right - left, bottom - top]
                if each.corners is not None:
                    record["corners"] = each.corners.ravel().tolist()
            if each.points is not None:
                record["keypoints"] = [value for x, y in each.points.tolist() for value in (x, y, 2)]
                record["num_keypoints"] = len(each.points)
            self.annotations.append(record)


def _decoded(entry: Entry) -> np.ndarray:
    """An image's pixels, uint8 ``(H, W, 3)``."""
    try:
        return read_image(io.BytesIO(entry.source) if isinstance(entry.source, bytes) else entry.source)
    except Hw3Error:
        raise Unfit("cannot be decoded") from None


def _is_no_class(name: str) -> bool:
    """Whether a folder of this name would be taken for something else than a class of defects."""
    return is_masks(name) or is_junk(name) or key(name) in SPLITS or bool(good_names([name])[0])


def _safe(name: str) -> str:
    """A name that every file system takes and no reader passes over."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", name).strip().rstrip(".").lstrip(".")
    name = name.encode("utf-8", "replace").decode()
    while len(name.encode()) > 150:
        name = name[:-1]
    return f"{name}_" if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name) else name


def _folder_names(labels: list[str], told: Told) -> dict[str, str]:
    """The folder of each label: the label, or one like it that can be a class folder and is no other label's."""
    names: dict[str, str] = {}
    used = {COMBINED}
    for label in labels:
        stem = _safe(label) or "defect"
        stem = f"defect_{stem}" if _is_no_class(stem) else stem
        name, number = stem, 1
        while name.casefold() in used and label != COMBINED:
            number += 1
            name = f"{stem}_{number}"
        used.add(name.casefold())
        names[label] = name
        if name != label and not is_good(label):
            told.change("labels that no class folder can have, renamed", f"{label} to {name}")
    return names
