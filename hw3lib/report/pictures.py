"""Photographs of a run's figures, to be laid out anew; and the pages, below each other."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from hw3lib.data.pixels.decoding import BROKEN, open_image
from hw3lib.errors import Hw3Error
from hw3lib.runs.contract import PHOTOGRAPHS

from .document import Block


def tile(content: bytes, kind: str = "png", title: str = "", below: str = "", aspect: float = 1.0) -> Block:
    """A picture of a figure's line; ``aspect``, width over height, counts where it is the only one."""
    return {"content": content, "type": kind, "title": title, "below": below, "aspect": aspect}


def lines(path: Path, tell: Callable[[str], str], most: int = 4, columns: int = 4, across: int = 1) -> list[Block]:
    """The photographs of a figure, line by line, with the texts around them; the whole figure where it lists none.

    Args:
        path: a PNG that :meth:`hw3lib.runs.RunFolder.figure` wrote.
        tell: translates a text.
        most, columns: lines of the figure, and photographs of each, that are taken.
        across: how many lines will stand side by side: titles that stand over the first alone are repeated over these.

    Raises:
        Hw3Error: it is no picture.
    """
    try:
        with open_image(path) as file:
            listed = json.loads(file.info.get(PHOTOGRAPHS, "[]"))
            picture = file.convert("RGBA")
        if not listed:
            return [{"label": "", "tiles": [tile(path.read_bytes(), aspect=picture.width / picture.height)]}]
        white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        found: dict[int, Block] = {}
        for each in listed:
            line = found.setdefault(each["line"], {"label": "", "tiles": []})
            line["label"] = line["label"] or _said(each["label"], tell)
            title, below = (_said(each[side], tell) for side in ("title", "below"))
            line["tiles"].append(tile(_png(white.crop(each["box"])), "png", title, below))
    except (*BROKEN, KeyError, TypeError) as error:
        number = path.parents[1].name
        raise Hw3Error(f"{path}: no readable picture ({error}); run `hw3 run {number} --force`") from error
    shown = list(found.values())[:most]
    for line in shown:
        line["tiles"] = line["tiles"][:columns]
    first, *others = shown
    if others and not any(each["title"] for line in others for each in line["tiles"]):
        for line in shown[1:across]:
            line["tiles"] = [
                each | {"title": top["title"]} for each, top in zip(line["tiles"], first["tiles"], strict=False)
            ]
    return shown


def _said(words: str, tell: Callable[[str], str]) -> str:
    """What matplotlib wrote over lines, in one line; a dollar is written as it is."""
    return tell(" ".join(words.replace(r"\$", "$").split()))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def stacked(pictures: Sequence[bytes]) -> bytes:
    """PNG pages below each other, as one PNG of 128 colours, which is small enough for a notebook."""
    opened = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    made = Image.new("RGB", (max(p.width for p in opened), sum(p.height + 8 for p in opened) - 8), "#888888")
    top = 0
    for picture in opened:
        made.paste(picture, (0, top))
        top += picture.height + 8
    buffer = io.BytesIO()
    made.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
