"""A COCO file that grows by one accepted mask at a time; what others wrote into it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

from hw3lib.annotate.dataset import licence_of
from hw3lib.core.files import atomic_path
from hw3lib.core.text import json_text
from hw3lib.data.regions.annotations import names_below
from hw3lib.errors import Hw3Error

from .coco import read_coco


class AnnotationsFile:
    """Masks of a table's images in one COCO file (run lengths, ``iscrowd`` 0), written after each change.

    Args:
        path: the JSON. One that is there is continued: its images, annotations, categories and all else stay.
        table: images, see :func:`hw3lib.data.load_table`.

    Raises:
        Hw3Error: the file is there and is no sound COCO file, or it names an image in another size; it is not touched.
    """

    def __init__(self, path: str | Path, table: pd.DataFrame):
        self.path, self._table, self._names = Path(path), table, names_below(table)
        if self.path.exists():
            read_coco(self.path)
        self._read()

    def _read(self) -> dict[str, Any]:
        """What the file holds now, with lists for all that it may lack."""
        if not self.path.exists():
            licence = licence_of(self._table.attrs.get("category", ""))
            return {
                "info": {"description": "written by hw3lib", "version": "1.0"},
                "licenses": [{"id": 1, "name": licence.name, "url": licence.url}],
                "images": [],
                "annotations": [],
                "categories": [],
            }
        try:
            content = json.loads(self.path.read_text(encoding="utf-8-sig"))
            for name in ("images", "annotations", "categories"):
                if not isinstance(content.setdefault(name, []), list):
                    raise ValueError(f"{name} is no list")
        except (OSError, ValueError, AttributeError) as error:
            raise Hw3Error(
                f"{self.path}: cannot be continued as a COCO file ({error}), and stays as it is; move it away"
            ) from None
        return content

    def _write(self, content: dict[str, Any]) -> None:
        with atomic_path(self.path) as temporary:
            temporary.write_text(json_text(content), encoding="utf-8")

    def __len__(self) -> int:
        return len(self._read()["annotations"])

    def of_image(self, row: int) -> list[dict[str, Any]]:
        """Annotations of the image at a position of the table."""
        content = self._read()
        ids = {image["id"] for image in content["images"] if image.get("file_name") == self._names[row]}
        return [found for found in content["annotations"] if found.get("image_id") in ids]

    def classes(self) -> list[str]:
        """Names of the file's categories, in the order of their ids."""
        return [entry["name"] for entry in sorted(self._read()["categories"], key=lambda entry: entry["id"])]

    def add(self, row: int, mask: np.ndarray, defect: str) -> int:
        """Append a mask, bool ``(H, W)``, to the image at a position of the table; returns the annotation's id.

        Raises:
            Hw3Error: an empty mask or one of another size, or the file cannot be read or written.
        """
        image = self._table.iloc[row]
        size = int(image["height"]), int(image["width"])
        if mask.shape != size or not mask.any():
            raise Hw3Error(
                f"mask of {mask.shape[::-1]} with {int(mask.sum())} pixels for {self._names[row]}: expected "
                f"{size[::-1]} (width, height) and at least one pixel"
            )
        content = self._read()  # again: another notebook may have written meanwhile
        entry = next((found for found in content["images"] if found.get("file_name") == self._names[row]), None)
        if entry is None:
            entry = {"id": _next(content["images"]), "file_name": self._names[row], "width": size[1], "height": size[0]}
            licences = content.get("licenses")
            if isinstance(licences, list) and licences and isinstance(licences[0], dict):
                entry["license"] = licences[0].get("id", 1)
            content["images"].append(entry)
        elif (entry.get("height"), entry.get("width")) != size:
            raise Hw3Error(
                f"{self.path}: {self._names[row]} has {entry.get('width')}x{entry.get('height')} pixels there and "
                f"{size[1]}x{size[0]} here; take another file for this category"
            )
        category = next((found for found in content["categories"] if found.get("name") == defect), None)
        if category is None:
            category = {"id": _next(content["categories"]), "name": defect, "supercategory": "defect"}
            content["categories"].append(category)
        encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        number = _next(content["annotations"])
        content["annotations"].append(
            {
                "id": number,
                "image_id": entry["id"],
                "category_id": category["id"],
                "bbox": coco_mask.toBbox(encoded).tolist(),
                "area": int(mask.sum()),
                "iscrowd": 0,
                "segmentation": {"size": list(size), "counts": encoded["counts"].decode("ascii")},
            }
        )
        self._write(content)
        return number

    def remove(self, number: int) -> None:
        """Take an annotation back by its id; its image and its category stay."""
        content = self._read()
        content["annotations"] = [found for found in content["annotations"] if found.get("id") != number]
        self._write(content)


def _next(entries: list[dict[str, Any]]) -> int:
    return max((entry.get("id", 0) for entry in entries), default=0) + 1
