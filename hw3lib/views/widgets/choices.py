"""What a person chose, image by image, in a JSON file that outlives the kernel: written at once and never half.

The file is ``{"format": 1, "choices": {"test/dent/000.png": {"was": "dent", "choice": "scratch"}}}``; a choice is
``keep``, ``unsure`` or a class. Images go by split, class and name, which do not change when the category moves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from hw3lib.core.files import atomic_path
from hw3lib.core.text import json_text
from hw3lib.errors import Hw3Error

KEEP, UNSURE = "keep", "unsure"
_FORMAT = 1


def image_keys(table: pd.DataFrame) -> list[str]:
    """``<split>/<class>/<file name>`` of each image: its key in a file of choices."""
    names = (image.replace("\\", "/").rpartition("/")[2] for image in table["image"])
    return [
        f"{split}/{defect}/{name}" for split, defect, name in zip(table["split"], table["defect"], names, strict=True)
    ]


class Choices:
    """A file of choices.

    Args:
        path: the JSON; it is made with the first choice. A file that cannot be read is kept beside it under another
            name, ``<name>.damaged-1``.

    Attributes:
        said: what happened to a damaged file, a sentence, or empty.
    """

    def __init__(self, path: str | Path):
        self.path, self.said = Path(path), ""
        self._known: dict[str, dict[str, str]] = {}
        self._read()

    def get(self, key: str) -> str | None:
        """The choice for an image, or None."""
        return self._known.get(key, {}).get("choice")

    def __len__(self) -> int:
        return len(self._known)

    def items(self) -> dict[str, dict[str, str]]:
        """All choices: ``{key: {"was": class, "choice": choice}}``."""
        return {key: dict(value) for key, value in self._known.items()}

    def set(self, key: str, was: str, choice: str | None) -> None:
        """Keep a choice, or forget it (None); it is in the file when this returns.

        The file is read again first, so that two notebooks may write the same one.

        Raises:
            Hw3Error: the file cannot be written; the choice is remembered and written with the next one.
        """
        self._read()
        if choice is None:
            self._known.pop(key, None)
        else:
            self._known[key] = {"was": was, "choice": choice}
        with atomic_path(self.path) as temporary:
            content = {"format": _FORMAT, "choices": dict(sorted(self._known.items()))}
            temporary.write_text(json_text(content, indent=1) + "\n", encoding="utf-8")

    def _read(self) -> None:
        if not self.path.is_file():
            return
        try:
            found = _parse(self.path)
        except Hw3Error as error:
            aside = _unused(self.path)
            self.path.rename(aside)
            self.said = f"{error}. It was kept as {aside.name}, and a new file is begun."
            return
        self._known |= found


def _parse(path: Path) -> dict[str, dict[str, str]]:
    expected = f"{path}: expected choices of format {_FORMAT} in JSON"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Hw3Error(f"{expected}, but it cannot be read ({error})") from None
    if (
        not isinstance(content, dict)
        or content.get("format") != _FORMAT
        or not isinstance(content.get("choices"), dict)
    ):
        raise Hw3Error(f"{expected}, found {str(content)[:60]}")
    for key, value in content["choices"].items():
        if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in ("was", "choice")):
            raise Hw3Error(f"{expected}, found {str(value)[:60]} for {key}")
        if any("\ud800" <= character <= "\udfff" for character in value["was"] + value["choice"]):
            raise Hw3Error(f"{expected}, found half a character in a class for {key!r}")
    return content["choices"]


def _unused(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside


def apply(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """A table with the labels that a person chose.

    ``defect`` and ``is_defect`` follow the choice. An image that became good loses its mask.

    Args:
        table: images, see :func:`hw3lib.data.load_table`; choices for images that it does not hold are passed over.
        path: a file of choices; where there is none, nothing was chosen.

    Returns:
        A new table; the old one is not changed.

    Raises:
        Hw3Error: the file is damaged, or a label was another one when it was chosen.
    """
    path = Path(path)
    known = _parse(path) if path.is_file() else {}
    defects, masks = list(table["defect"]), list(table["mask"])
    for row, key in enumerate(image_keys(table)):
        if key not in known:
            continue
        was, choice = known[key]["was"], known[key]["choice"]
        if was != defects[row]:
            raise Hw3Error(
                f"{path}: {key} was {was!r} when it was looked at and is {defects[row]!r} in this table; "
                "choose again, or take the choices of this category"
            )
        if choice not in (KEEP, UNSURE):
            defects[row] = choice
            masks[row] = None if choice == "good" else masks[row]
    return table.assign(defect=defects, is_defect=[defect != "good" for defect in defects], mask=masks)
