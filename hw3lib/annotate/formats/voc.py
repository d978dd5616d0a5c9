"""Pascal VOC: one XML an image, boxes only, in its own corners: 1-based, the last pixel included."""

from __future__ import annotations

import math
import os
from pathlib import Path
from xml.etree import ElementTree

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hw3lib.annotate.dataset import SPLITS, UNKNOWN, Dataset
from hw3lib.annotate.instances import Instances
from hw3lib.annotate.pictures import image_size, save_image
from hw3lib.core.untrusted import read_text
from hw3lib.core.values import text
from hw3lib.errors import Hw3Error

from .lost import Lost
from .reading import box_instance, image_shape, inside

_MOST = 10_000_000  # bytes of one XML: tens of thousands of objects


def write(folder: Path, data: Dataset, beside: bool = False) -> Lost:
    """Write ``Annotations/<stem>.xml``, ``JPEGImages/<image>`` and ``ImageSets/Main/<split>.txt``; boxes are kept.

    ``beside`` images, which are not copied, there is ``Annotations/<folder>/<stem>.xml``, in the folders of these.
    """
    for row, found in enumerate(data.by_image()):
        name = Path(data.names[row])
        path = folder / "Annotations" / name.with_suffix(".xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not beside:
            (folder / "JPEGImages").mkdir(exist_ok=True)
            save_image(data.sources[row], folder / "JPEGImages" / name, data.sizes[row], data.reading)
        place = name.parent.as_posix() if beside else "JPEGImages"
        tree = ElementTree.ElementTree(_annotation(place, name.name, data.sizes[row], found, data.licence.name))
        ElementTree.indent(tree)
        tree.write(path, encoding="utf-8", xml_declaration=True)
    for split in () if beside else filter(data.rows, SPLITS):
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        stems = "".join(f"{Path(data.names[row]).stem}\n" for row in data.rows(split))
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(stems, encoding="utf-8")
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in data.classes), encoding="utf-8")
    return Lost(shapes=len(data.instances), iou=None, lowest_iou=None)


def _annotation(folder, name, size, found, licence) -> ElementTree.Element:
    root = ElementTree.Element("annotation")

    def put(place, **values):
        for tag, value in values.items():
            ElementTree.SubElement(place, tag).text = str(value)

    put(root, folder=folder, filename=name)
    put(ElementTree.SubElement(root, "source"), database="written by hw3lib", annotation=licence)
    put(ElementTree.SubElement(root, "size"), width=size[1], height=size[0], depth=3)
    put(root, segmented=0)
    for instance in found:
        left, top, right, bottom = instance.xyxy
        place = ElementTree.SubElement(root, "object")
        # VOC calls an object truncated whose box is not its whole extent: one that the image's edge cuts.
        cut = left == 0 or top == 0 or right == size[1] or bottom == size[0]
        put(place, name=instance.defect, pose="Unspecified", truncated=int(cut), difficult=0)
        put(ElementTree.SubElement(place, "bndbox"), xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
    return root


def read(folder: Path, images: Path | None = None) -> Dataset:
    """Read what :func:`write` wrote, or others in this layout; the instances fill their boxes.

    Given the folder of the images, read what it wrote beside them.

    Raises:
        Hw3Error: XML that is damaged or has a DTD or entities (which could swallow memory or files), a missing image or
            one of another size, a box outside it, a split that names an image without annotation.
    """
    annotations = folder / "Annotations"
    files = sorted(annotations.glob("*.xml" if images is None else "**/*.xml"))
    if not files:
        raise Hw3Error(f"{folder}: no Annotations/*.xml; expected a Pascal VOC folder")
    split_of = {} if images is not None else _splits(folder, {path.stem for path in files})
    listed = folder / "classes.txt"
    classes = [line for line in read_text(listed).splitlines() if line] if listed.is_file() else []
    names, sources, sizes, splits, found = [], [], [], [], []
    for row, path in enumerate(files):
        root = read_xml(path)
        base = folder / "JPEGImages" if images is None else images / path.parent.relative_to(annotations)
        source = inside(base, root.findtext("filename"), path)
        size = image_shape(
            _number(root, "size/width", path, int), _number(root, "size/height", path, int), f"{path}: size"
        )
        if not os.path.isfile(source):  # Path.is_file raises where the name is too long
            raise Hw3Error(f"{path}: its image {source} is missing; restore it, or delete the annotation")
        if (real := image_size(source)) != size:
            raise Hw3Error(f"{path}: says {size[1]}x{size[0]} pixels, {source} has {real[1]}x{real[0]}")
        for at, place in enumerate(root.findall("object"), 1):
            where = f"{path}: object {at}"
            name = text(place.findtext("name"), where)
            left, top, right, bottom = (
                _number(place, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            found.append(box_instance(row, name, (left - 1, top - 1, right, bottom), size, where))
        names.append(source.name if images is None else source.relative_to(images).as_posix())
        sources.append(str(source))
        sizes.append(size)
        splits.append(split_of.get(path.stem, "train"))
    classes += sorted({instance.defect for instance in found} - set(classes))
    return Dataset(names, sources, sizes, splits, Instances(found), classes, UNKNOWN)


def read_xml(path: Path, most: int = _MOST) -> ElementTree.Element:
    """The root of an XML file that has neither a DTD nor entities."""
    content = read_text(path, most)
    try:
        return fromstring(content.encode(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise Hw3Error(
            f"{path}: refused, for it holds a DTD or entities ({type(error).__name__}), which annotations do not need "
            "and attacks do; delete the file, or the part before its first element"
        ) from None
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:  # LookupError: its encoding
        raise Hw3Error(f"{path}: is not XML: {error}") from None


def _splits(folder: Path, stems: set[str]) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for split in SPLITS:
        path = folder / "ImageSets" / "Main" / f"{split}.txt"
        for line in read_text(path).splitlines() if path.is_file() else []:
            if not (stem := line.strip()):
                continue
            if stem not in stems or stem in split_of:
                raise Hw3Error(f"{path}: {stem!r} has no annotation, or is in two splits")
            split_of[stem] = split
    return split_of


def _number(place: ElementTree.Element, tag: str, where: str | Path, kind: type = float):
    found = place.findtext(tag)
    try:
        value = kind(found)
    except (TypeError, ValueError):
        value = math.nan
    if not abs(value) < math.inf:  # math.isfinite cannot take large integers
        raise Hw3Error(f"{where}: {tag}: found {str(found)[:40]!r}, expected a number")
    return value
