"""A sheet of annotated images: masks, boxes and names over the pictures."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from hw3lib.core.fonts import literal, pretty
from hw3lib.core.text import counted
from hw3lib.data.pixels.images import read_image

from .dataset import Dataset
from .instances import Instance

# Okabe and Ito's, from the lightest on: they stay apart in every kind of colour blindness, and on most products.
COLOURS = ("#F0E442", "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#0072B2")
_TILE = 320  # pixels of the longer side of a picture
_EACH = 4  # pictures of one class at most


def sheet(data: Dataset, columns: int = 4, each: int = _EACH) -> Figure:
    """A figure of annotated images, a row a class: the pictures in which it has most instances of different sizes.

    Args:
        data: what is drawn.
        columns: pictures in a row.
        each: pictures of a class at most.

    Returns:
        A figure that no window manager holds.
    """
    chosen = [(name, row) for name in data.classes for row in _chosen(data, name, each)]
    lines = [[pair for pair in chosen if pair[0] == name] for name in data.classes]
    lines = [line[at : at + columns] for line in lines for at in range(0, len(line), columns)]
    figure = Figure(figsize=(2.6 * columns, 2.75 * max(len(lines), 1)), layout="constrained")
    grid = figure.subplots(max(len(lines), 1), columns, squeeze=False)
    found = data.by_image()
    for axes in grid.flat:
        axes.set_axis_off()
    for places, line in zip(grid, lines, strict=False):
        for axes, (_, row) in zip(places, line, strict=False):
            _draw(axes, data, row, found[row])
    if not chosen:
        grid[0, 0].text(0.5, 0.5, "no instance", ha="center")
    return figure


def _chosen(data: Dataset, name: str, each: int) -> list[int]:
    """Images of a class, evenly from the smallest annotated area to the largest."""
    areas: dict[int, int] = {}
    for instance in data.instances:
        if instance.defect == name:
            areas[instance.row] = areas.get(instance.row, 0) + instance.area
    ordered = sorted(areas, key=lambda row: (areas[row], row))
    if not ordered:
        return []
    at = np.unique(np.linspace(0, len(ordered) - 1, min(each, len(ordered))).round().astype(int))
    return [ordered[i] for i in at]


def _draw(axes, data: Dataset, row: int, found: list[Instance]) -> None:
    height, width = data.sizes[row]
    scale = min(1.0, _TILE / max(height, width))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(read_image(data.sources[row], reading=data.reading)).resize(
        small, Image.Resampling.BILINEAR
    )
    pixels = np.asarray(picture, np.float32) / 255
    for instance in found:
        colour = _rgb(data, instance)
        mask = Image.fromarray(instance.mask.astype(np.float32)).resize(small, Image.Resampling.BOX)
        cover = 0.45 * np.asarray(mask)[..., None]
        pixels = pixels * (1 - cover) + colour * cover
    axes.imshow(pixels, interpolation="nearest", extent=(0, width, height, 0))
    dark = [withStroke(linewidth=1.8, foreground="black")]
    for instance in found:
        x, y, w, h = instance.xywh
        edge = COLOURS[data.classes.index(instance.defect) % len(COLOURS)]
        axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=edge, linewidth=1.2, path_effects=dark))
    for name in sorted({instance.defect for instance in found}):
        # The name stands at the largest instance; on every one of many small ones they would cover the picture.
        x, y, w, _ = max((i for i in found if i.defect == name), key=lambda i: i.area).xywh
        right = x > width / 2
        ink = COLOURS[data.classes.index(name) % len(COLOURS)]
        axes.text(
            x + w if right else x,
            max(y, 0.09 * height),
            pretty(name),
            color=ink,
            fontsize=8,
            ha="right" if right else "left",
            va="bottom",
            path_effects=dark,
        )
    count = counted(len(found), "instance")
    axes.set_title(f"{literal(data.names[row])}\n{data.splits[row]}, {count}", fontsize=7)
    axes.set(xlim=(0, width), ylim=(height, 0))


def _rgb(data: Dataset, instance: Instance) -> np.ndarray:
    colour = COLOURS[data.classes.index(instance.defect) % len(COLOURS)].lstrip("#")
    return np.array([int(colour[at : at + 2], 16) for at in (0, 2, 4)], np.float32) / 255
