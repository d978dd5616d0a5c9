"""What figures share: colours, names as they are written, an image with its defect outlined.

Colours are Okabe and Ito's, which stay apart in every kind of colour blindness; an outline is drawn light on dark so
that it shows on any picture.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from hw3lib.core import optional
from hw3lib.data.images import read_image, read_mask

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#7F7F7F"
OUTLINE = "#FFE600"
TILE = 192  # pixels of a small picture: enough to see a scratch, small enough for a notebook

# Fonts with Chinese characters of Linux, Windows and macOS, traditional ones first; matplotlib brings none along.
CHINESE_FONTS = (
    "Noto Sans CJK TC",
    "Noto Sans TC",
    "Source Han Sans TC",
    "Microsoft JhengHei",
    "PingFang TC",
    "PingFang HK",
    "Heiti TC",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


def chinese_fonts() -> list[str]:
    """Those of :data:`CHINESE_FONTS` that this machine has."""
    there = set(font_manager.get_font_names())
    return [name for name in CHINESE_FONTS if name in there]


def fall_back_on_chinese_fonts() -> None:
    """Let matplotlib take the characters that its own font has not from the machine's fonts, if it has such a font.

    Classes are named by folders, which may have Chinese names. Called when this module is imported.
    """
    families = plt.rcParams["font.family"]
    plt.rcParams["font.family"] = [*families, *(name for name in chinese_fonts() if name not in families)]


fall_back_on_chinese_fonts()


class MissingFont(UserWarning):
    """No font of this machine has a character that is to be drawn."""


def pretty(name: str) -> str:
    """The name of a class as it is written in figures; warns where it can only be drawn as boxes."""
    warn_of_boxes(name)
    return name.replace("_", " ")


def warn_of_boxes(*names: str) -> None:
    """Warn of characters that no font has; matplotlib, which would warn of each of them at each drawing, is quiet."""
    said = without_font(*names)
    if said:
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        warnings.warn(said, MissingFont, stacklevel=3)


def without_font(*texts: str) -> str | None:
    """The sentence about characters that no font has which figures are drawn in, or None."""
    wanted = {character for text in texts if not text.isascii() for character in text if character.isprintable()}
    lacking = sorted(character for character in wanted if not _drawable(character))
    if not lacking:
        return None
    error = optional.lacking("font", f"a font that has {' '.join(lacking[:8])}, and none here has")
    return f"{error}."


def _drawable(character: str) -> bool:
    """Whether one of the fonts that matplotlib falls back on has it."""
    for family in plt.rcParams["font.family"]:
        path = font_manager.findfont(font_manager.FontProperties(family=[family]))
        if font_manager.get_font(path).get_char_index(ord(character)):
            return True
    return False


def nothing(why: str) -> Figure:
    """A figure that says why there is none."""
    figure, axes = plt.subplots(figsize=(5, 1))
    axes.text(0.5, 0.5, why, ha="center", va="center")
    axes.set_axis_off()
    return figure


def outline(axes: plt.Axes, mask: np.ndarray) -> None:
    """Draw the border of a mask, yellow on black."""
    if mask.any():
        padded = np.pad(mask, 1).astype(float)
        at = np.arange(-1, max(mask.shape) + 1)
        x, y = at[: padded.shape[1]], at[: padded.shape[0]]
        axes.contour(x, y, padded, [0.5], colors="black", linewidths=2.6)
        axes.contour(x, y, padded, [0.5], colors=OUTLINE, linewidths=1.2)
        axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def draw_image(axes: plt.Axes, image: str, mask: str | None = None, size: int = TILE) -> None:
    """One image file in the axes, its defect outlined if a mask file is given (missing values are allowed)."""
    axes.imshow(read_image(image, size), interpolation="nearest")
    if isinstance(mask, str):
        outline(axes, read_mask(mask, size))
    axes.set(xticks=[], yticks=[])
