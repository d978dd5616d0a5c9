"""Pascal VOC, also as labelImg and Roboflow write it: an XML an image, boxes, and masks where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from hw3lib.annotate.formats.voc import read_xml
from hw3lib.core.untrusted import read_text
from hw3lib.core.values import text
from hw3lib.data.pixels.decoding import BROKEN, open_image
from hw3lib.data.regions.shapes import Region, box_corners
from hw3lib.errors import Hw3Error

from .drawn import Bitmap, Entry, Part, Polygon, Shape, Told, bounds_of, box
from .files import ImageFiles, NotFound, documents, files_below
from .markup import finite, size_of

_VOID = 255  # the border around an object, of no class
_MOST_VALUES = 1000
_VOID_COLOUR = (224, 224, 192)
# The classes of the challenge, which a palette numbers from 1 on where no labelmap.txt says otherwise.
_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def read(source: Path, images: ImageFiles, told: Told) -> Iterator[Entry]:
    """The images of one XML, or of a folder with their masks."""
    masks = _Masks(source if source.is_dir() else source.parent, images)
    seen = set()
    what = "Pascal VOC's: expected <annotation> around all"
    for path, root in documents(source, ".xml", read_xml, lambda root: root.tag == "annotation", what, told):
        seen.add(path.stem)
        if entry := _entry(root, path, images, masks, told):
            yield entry
    for stem in sorted(masks.stems - seen) if source.is_dir() else []:
        try:
            image = images.of_stem(stem, source)
        except NotFound as reason:
            told.leave(f"images that are {reason}", stem)
            continue
        yield Entry(image.name, masks.where(stem), image, masks.size(stem), masks.shapes(stem, [], told))


def _entry(root: Element, path: Path, images: ImageFiles, masks: _Masks, told: Told) -> Entry | None:
    name = (root.findtext("filename") or "").strip() or path.stem
    try:
        try:
            image = images.find(name, path.parent, hint=f"{root.findtext('folder') or ''}/{path.parent.name}")
        except NotFound:
            image = images.of_stem(path.stem, path.parent)
    except NotFound as reason:
        told.leave(f"images that are {reason}", f"{name} ({path.name})")
        return None
    found = []
    for at, place in enumerate(root.findall("object"), 1):
        where = f"{path}: object {at}"
        if shape := _object(place, where, told):
            found.append(shape)
        if place.find("part") is not None:
            told.leave("parts of objects", where)
    size = size_of(root.findtext("size/width"), root.findtext("size/height"), f"{path}: size")
    lost = len(found) < len(root.findall("object"))
    return Entry(image.name, str(path), image, size, masks.shapes(path.stem, found, told), lost=lost)


def _object(place: Element, where: str, told: Told) -> Shape | None:
    label = text(place.findtext("name"), where)

    def values(names: str, tag: str) -> list[float]:
        return [finite(place.findtext(f"{tag}/{name}"), f"{where}: {tag}/{name}") for name in names.split()]

    outlines = [outline for outline in place.findall("polygon") if outline.find("x1") is not None]
    if outlines:
        parts: list[Part] = []
        for outline in outlines:
            count = sum(child.tag.startswith("x") for child in outline)
            corners = [
                [finite(outline.findtext(f"{axis}{at}"), f"{where}: polygon/{axis}{at}") for axis in "xy"]
                for at in range(1, count + 1)
            ]
            parts.append(Polygon(np.array(corners) - 1))  # from 1 on, as all of VOC
        return Shape(label, parts)
    if place.find("robndbox") is not None:
        x, y, width, height, angle = values("cx cy w h angle", "robndbox")
        turned = box_corners(x - width / 2, y - height / 2, width, height, float(np.rad2deg(angle)), (x, y))
        return Shape(label, box=turned)
    if place.find("bndbox") is not None:
        left, top, right, bottom = values("xmin ymin xmax ymax", "bndbox")
        return Shape(label, box=box(left - 1, top - 1, right, bottom))  # corners from 1 on, the last pixel included
    told.leave("objects without a box", where)
    return None


@dataclass
class _Masks:
    """``SegmentationObject`` and ``SegmentationClass``: a number or a colour a pixel says which object, which class."""

    folder: Path
    images: ImageFiles
    objects: dict[str, Path] = field(init=False)
    classes: dict[str, Path] = field(init=False)

    def __post_init__(self) -> None:
        roots = (self.folder, self.folder.parent) if self.folder.name == "Annotations" else (self.folder,)
        self.objects, self.classes, self._colours = {}, {}, {}
        for root in roots:
            for name, known in (("SegmentationObject", self.objects), ("SegmentationClass", self.classes)):
                if (place := root / name).is_dir():
                    known |= {path.stem: path for path in files_below(place) if path.suffix.lower() == ".png"}
                    self.images.leave(Path(place).resolve())
            if (path := root / "labelmap.txt").is_file():
                self._colours = _labelmap(path)

    @property
    def stems(self) -> set[str]:
        return {*self.objects, *self.classes}

    def where(self, stem: str) -> str:
        return str(self.objects.get(stem) or self.classes[stem])

    def size(self, stem: str) -> tuple[int, int]:
        shape = _numbers(self.objects.get(stem) or self.classes[stem])[0].shape
        return int(shape[0]), int(shape[1])

    def shapes(self, stem: str, drawn: list[Shape], told: Told) -> list[Shape]:
        """The objects of an image: with the pixels of those that have a mask, as they were drawn of the others."""
        path = self.objects.get(stem) or self.classes.get(stem)
        if path is None:
            return drawn
        values, void = _numbers(path)
        found, boxes = [], list(drawn)
        names = self._names(stem, {shape.label for shape in drawn})
        if len(marked := np.unique(values)) > _MOST_VALUES:
            raise Hw3Error(f"{path}: {len(marked)} values or colours, expected one of each object or class")
        for value in marked:
            if value in (0, void):
                continue
            region = Region.of(values == value)
            assert region is not None
            if stem in self.objects:
                other = _fitting(region, boxes)
                label = boxes.pop(other).label if other is not None else names(region)
            else:
                label = names(region)
                boxes = [shape for shape in boxes if shape.label != label]
            if label is None:
                told.leave("regions of a mask whose class is not known", f"{path}: value {value}")
                continue
            regions = [region] if stem in self.objects else _parts(region)
            found += [Shape(label, [Bitmap(r.x, r.y, r.crop.shape, partial(_crop, r))]) for r in regions]
        return found + boxes

    def _names(self, stem: str, labels: set[str]):
        """The class of a region: by the colour that ``labelmap.txt`` gives, by VOC's numbers, or the one that is."""
        if stem not in self.classes:
            return lambda region: next(iter(labels)) if len(labels) == 1 else None
        path = self.classes[stem]
        values, colours = _numbers(path)[0], _colours(path)

        def name(region: Region) -> str | None:
            here = values[region.y : region.y + region.crop.shape[0], region.x : region.x + region.crop.shape[1]]
            if here.shape != region.crop.shape:
                raise Hw3Error(f"{path}: is of another size than its objects")
            marked, counts = np.unique(here[region.crop], return_counts=True)
            value = int(marked[counts.argmax()])
            if self._colours:
                return self._colours.get(colours(value))
            if len(labels) == 1:
                return next(iter(labels))
            known = _CLASSES[value - 1] if 0 < value <= len(_CLASSES) else None
            return known if known in labels else None

        return name


def _crop(region: Region) -> np.ndarray:
    return region.crop


def _parts(region: Region) -> list[Region]:
    """The 8-connected parts: a class's pixels may be several objects."""
    from scipy import ndimage  # here, for most files need none of it

    from hw3lib.data.regions.shapes import EIGHT_CONNECTED  # here, for few files need it

    labels, _ = ndimage.label(region.crop, EIGHT_CONNECTED)
    return [
        Region(region.x + across.start, region.y + down.start, labels[down, across] == number)
        for number, (down, across) in enumerate(ndimage.find_objects(labels), 1)
    ]


def _fitting(region: Region, boxes: list[Shape]) -> int | None:
    """Which object's box a region fills: that of the largest IoU, at least a half."""
    left, top, (height, width) = region.x, region.y, region.crop.shape
    best, at = 0.5, None
    for number, shape in enumerate(boxes):
        if shape.box is None:
            continue
        x0, y0, x1, y1 = bounds_of(shape.box)
        both = max(0.0, min(x1, left + width) - max(x0, left)) * max(0.0, min(y1, top + height) - max(y0, top))
        iou = both / max(width * height + (x1 - x0) * (y1 - y0) - both, 1e-9)
        if iou >= best:
            best, at = iou, number
    return at


def _numbers(path: Path) -> tuple[np.ndarray, int]:
    """Values of a mask as they are stored, a colour as one number, int64 ``(H, W)``, and which of them is void.

    Raises:
        Hw3Error: no picture.
    """
    try:
        with open_image(path) as image:
            if image.mode in ("1", "L", "P"):
                return np.asarray(image).astype(np.int64), _VOID
            pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    except BROKEN as error:
        raise Hw3Error(f"{path}: mask cannot be decoded: {error}") from None
    red, green, blue = _VOID_COLOUR
    return pixels @ np.array([1 << 16, 1 << 8, 1]), red << 16 | green << 8 | blue


def _colours(path: Path):
    """The colour of a value of :func:`_numbers`: by the palette, or the value itself."""
    try:
        with open_image(path) as image:
            palette = image.getpalette() or [] if image.mode == "P" else None
    except BROKEN as error:
        raise Hw3Error(f"{path}: mask cannot be decoded: {error}") from None

    def colour(value: int) -> tuple[int, ...]:
        if palette is None:
            return value >> 16 & 255, value >> 8 & 255, value & 255
        return tuple(palette[3 * value : 3 * value + 3])

    return colour


def _labelmap(path: Path) -> dict[tuple[int, ...], str]:
    """Colours of classes, as CVAT writes them: ``name:red,green,blue:parts:actions``."""
    found: dict[tuple[int, ...], str] = {}
    for line in read_text(path, 1_000_000).splitlines():
        fields = line.split(":")
        if line.lstrip().startswith("#") or len(fields) < 2 or not fields[1].strip():
            continue
        colour = tuple(int(finite(part, f"{path}: colour of {fields[0][:40]!r}")) for part in fields[1].split(","))
        if fields[0].strip() and fields[0].strip().lower() != "background":
            found[colour] = fields[0].strip()
    return found
