"""The formats that annotations are taken from, by name, and which of them a file or a folder is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    from .drawn import Entry, Told
    from .files import ImageFiles

_LOOKED_AT = 20  # files of each suffix


@dataclass(frozen=True)
class Source:
    """A format that annotations are taken from.

    Attributes:
        name: on the command line.
        text: what it is.
        lists: one file lists many images, so that others beside it may be no part of it.
    """

    name: str
    text: str
    lists: bool

    @property
    def read(self) -> Callable[[Path, ImageFiles, Told], Iterator[Entry]]:
        """Reads a file or a folder; imported when it is used."""
        return resolve_name(f"hw3lib.annotate.imports.{self.name}:read")


SOURCES: dict[str, Source] = {
    found.name: found
    for found in (
        Source("labelme", "labelme and X-AnyLabeling, a JSON an image", False),
        Source("cvat", "CVAT for images 1.1, an XML", True),
        Source("labelstudio", "Label Studio, exported as JSON", True),
        Source("coco", "COCO, a JSON or several", True),
        Source("voc", "Pascal VOC, an XML an image, with or without masks", False),
        Source("yolo", "YOLO: detection, segmentation, turned boxes", False),
    )
}


def find_source(name: str | None, path: Path) -> Source:
    """A format by its name, or the one that a file or a folder is.

    Raises:
        Hw3Error: an unknown name, or the path is of none or of several formats.
    """
    if name is not None:
        if name not in SOURCES:
            raise Hw3Error(f"unknown format {name!r}; known: {', '.join(SOURCES)}")
        return SOURCES[name]
    kinds = sorted(_kinds(path))
    if len(kinds) != 1:
        found = f"files of {' and of '.join(kinds)}" if kinds else "no annotation of a format that is known"
        raise Hw3Error(f"{path}: holds {found}; say which by --from {'|'.join(kinds or SOURCES)}")
    return SOURCES[kinds[0]]


def _kinds(path: Path) -> set[str]:
    if path.is_file():
        return {kind for kind in (_kind(path),) if kind}
    found = {kind for kind in map(_kind, _some(path, (".json", ".xml", ".yaml", ".yml"))) if kind}
    return found or ({"yolo"} if any(map(_is_label, _some(path, (".txt",)))) else set())


def _some(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    from .files import files_below  # here, for the names of formats should cost nothing

    for suffix in suffixes:
        yield from islice((p for p in files_below(folder) if p.suffix.lower() == suffix), _LOOKED_AT)


def _kind(path: Path) -> str | None:
    from hw3lib.annotate.formats.voc import read_xml  # here, for the names of formats should cost nothing
    from hw3lib.annotate.formats.yolo import read_yaml
    from hw3lib.core.untrusted import read_json_value

    try:
        if path.suffix.lower() == ".xml":
            return {"annotations": "cvat", "annotation": "voc"}.get(read_xml(path, 200_000_000).tag)
        if path.suffix.lower() in (".yaml", ".yml"):
            return "yolo" if "names" in read_yaml(path) else None
        return _json_kind(read_json_value(path)) if path.suffix.lower() == ".json" else None
    except Hw3Error:
        if path.suffix.lower() in (".yaml", ".yml"):
            return None
        raise


def _json_kind(content: Any) -> str | None:
    if isinstance(content, list) or isinstance(content, dict) and isinstance(content.get("data"), dict):
        tasks = content if isinstance(content, list) else [content]
        return "labelstudio" if tasks and all(isinstance(t, dict) and "data" in t for t in tasks) else None
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        return "labelme"
    lists = isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))
    return "coco" if lists else None


def _is_label(path: Path) -> bool:
    """Whether a text begins with a row of YOLO's."""
    try:
        with path.open("rb") as file:
            fields = file.readline(10_000).split()
        return len(fields) >= 5 and bool([float(field) for field in fields])
    except (OSError, ValueError):
        return False
