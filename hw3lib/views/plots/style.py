"""What figures share: colours, names as they are written, an image with its defect outlined.

An outline is drawn light on dark so that it shows on any picture.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from hw3lib.core.fonts import chinese_fonts
from hw3lib.data.pixels.images import read_row
from hw3lib.data.regions.masks import read_mask

OUTLINE = "#FFE600"
TILE = 192  # pixels of a small picture: enough to see a scratch, small enough for a notebook


def fall_back_on_chinese_fonts() -> None:
    """Let matplotlib take the characters that its own font has not from the machine's fonts, if it has such a font.

    Classes are named by folders, which may have Chinese names. Called when this module is imported.
    """
    families = plt.rcParams["font.family"]
    plt.rcParams["font.family"] = [*families, *(name for name in chinese_fonts() if name not in families)]


fall_back_on_chinese_fonts()


def nothing(why: str) -> Figure:
    """A figure that says why there is none."""
    figure, axes = plt.subplots(figsize=(5, 1))
    axes.text(0.5, 0.5, why, ha="center", va="center")
    axes.set_axis_off()
    return figure


def confusion(axes: plt.Axes, matrix: np.ndarray, **look: Any) -> None:
    """A confusion matrix: the colour is the share of the line, the number the count."""
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    sns.heatmap(share, annot=matrix, fmt="d", vmin=0, vmax=1, cbar=False, square=True, ax=axes, **look)


def outline(axes: plt.Axes, mask: np.ndarray) -> None:
    """Draw the border of a mask, yellow on black."""
    if mask.any():
        padded = np.pad(mask, 1).astype(float)
        at = np.arange(-1, max(mask.shape) + 1)
        x, y = at[: padded.shape[1]], at[: padded.shape[0]]
        axes.contour(x, y, padded, [0.5], colors="black", linewidths=2.6)
        axes.contour(x, y, padded, [0.5], colors=OUTLINE, linewidths=1.2)
        axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def keep_aspect(axes: plt.Axes, row: Any) -> None:
    """Show a picture whose sides were both brought to one size as its photograph is: what is round stays round."""
    width, height = (getattr(row, name, 1) for name in ("width", "height"))
    if width != height:
        axes.set_aspect(height / width)


def draw_image(axes: plt.Axes, row: Any, mask: str | None = None, size: int = TILE) -> None:
    """The image of a table's row in the axes, its defect outlined if a mask file is given (it may be missing)."""
    axes.imshow(read_row(row, size), interpolation="nearest")
    keep_aspect(axes, row)
    if isinstance(mask, str):
        outline(axes, read_mask(mask, size))
    axes.set(xticks=[], yticks=[])
