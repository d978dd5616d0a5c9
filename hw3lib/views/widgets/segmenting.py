"""Click to segment: a model proposes the mask that clicks point at, a person accepts it with a class."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython import display
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_dilation

from hw3lib.annotate.formats.coco_file import AnnotationsFile
from hw3lib.annotate.prompts import interior_point
from hw3lib.anomaly.maps import contour
from hw3lib.core.fonts import pretty, tell_figure
from hw3lib.core.text import counted
from hw3lib.data.pixels.images import read_row
from hw3lib.data.regions.masks import read_mask
from hw3lib.errors import Hw3Error

from .choices import image_keys
from .controls import headless, in_language, message, row
from .parts import Picture

Propose = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float]]

SIDE = 560  # pixels of the longer side on the page
_PROPOSED, _ACCEPTED = (255, 230, 0), (0, 200, 255)
_ON, _BESIDE = (0, 158, 115), (213, 94, 0)


def picture(
    image: np.ndarray,
    mask: np.ndarray | None = None,
    accepted: np.ndarray | None = None,
    points: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    side: int = SIDE,
) -> np.ndarray:
    """An image with the outline of the proposed mask (yellow), of what was accepted (blue), and the clicks.

    Clicks on the defect are circles with a plus, clicks beside it with a minus.

    Args:
        image: uint8 ``(H, W, 3)``.
        mask, accepted: bool ``(H, W)``.
        points: float ``(n, 2)``, x and y in pixels of ``image``.
        labels: int ``(n,)``, 1 on the defect, 0 beside it.
        side: length of the longer side of the result.

    Returns:
        uint8 ``(h, w, 3)``.
    """
    scale = side / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    drawn = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    for wanted, colour in ((accepted, _ACCEPTED), (mask, _PROPOSED)):
        if wanted is not None and wanted.any():
            grey = Image.fromarray(wanted.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
            line = contour(np.asarray(grey), 0.5)
            drawn[binary_dilation(line, iterations=2)] = 0
            drawn[binary_dilation(line)] = colour
    canvas = Image.fromarray(drawn)
    pen = ImageDraw.Draw(canvas)
    for (x, y), label in zip([] if points is None else points, [] if labels is None else labels, strict=True):
        # The centre of pixel (x, y) lies half a pixel further.
        u, v = (x + 0.5) * scale, (y + 0.5) * scale
        pen.ellipse((u - 8, v - 8, u + 8, v + 8), fill=_ON if label else _BESIDE, outline="white", width=2)
        pen.line((u - 4, v, u + 4, v), fill="white", width=2)
        if label:
            pen.line((u, v - 4, u, v + 4), fill="white", width=2)
    return np.asarray(canvas)


class Segmentation:
    """What happens when a person clicks, without any widget.

    Args:
        propose: ``propose(image uint8 (H, W, 3), points float32 (n, 2), labels int64 (n,))`` gives the mask, bool
            ``(H, W)``, and the IoU that the model expects of it. While one image is worked on it is given the same
            array each time, so what is costly can be kept.
        table: images, see :func:`hw3lib.data.load_table`.
        path: the COCO file, see :class:`hw3lib.annotate.formats.coco_file.AnnotationsFile`.

    Attributes:
        image: uint8 ``(H, W, 3)``, the present one.
        points: its clicks so far, ``(x, y, label)``.
        mask: the proposal, or None.
        iou: that the model expects.
    """

    def __init__(self, propose: Propose, table: pd.DataFrame, path: str | Path):
        self._propose, self.table, self.file = propose, table, AnnotationsFile(path, table)
        self._done: list[int] = []
        self.open(0)

    def open(self, number: int) -> None:
        """Turn to the image at a position of the table; clicks that were not accepted are forgotten."""
        self.row, self.image = number, read_row(self.table.iloc[number])
        self.clear()

    def clear(self) -> None:
        self.points: list[tuple[float, float, int]] = []
        self.mask: np.ndarray | None = None
        self.iou = 0.0

    def add(self, x: float, y: float, label: int) -> None:
        """Add a click, 1 on the defect, 0 beside it, in pixels, and ask for a proposal.

        Raises:
            Hw3Error: outside of the image, or the model refuses; the click is not added then.
        """
        height, width = self.image.shape[:2]
        if not (0 <= x < width and 0 <= y < height):
            raise Hw3Error(f"point {x:g}, {y:g}: outside of the image, which has {width}x{height} pixels")
        self._ask([*self.points, (float(x), float(y), int(label))])

    def undo(self) -> None:
        """Take the last click back."""
        if len(self.points) > 1:
            self._ask(self.points[:-1])
        else:
            self.clear()

    def _ask(self, points: list[tuple[float, float, int]]) -> None:
        found = np.array(points, np.float64)
        mask, iou = self._propose(self.image, found[:, :2].astype(np.float32), found[:, 2].astype(np.int64))
        mask = np.asarray(mask, bool)
        if mask.shape != self.image.shape[:2]:
            raise Hw3Error(f"the model proposed a mask of {mask.shape}, expected {self.image.shape[:2]}")
        self.points, self.mask, self.iou = points, mask, float(iou)

    def accept(self, defect: str) -> None:
        """Keep the proposal in the file.

        Raises:
            Hw3Error: there is none, or the file cannot be written; nothing is lost then.
        """
        if self.mask is None or not self.mask.any():
            raise Hw3Error("there is no mask to accept; click on the defect first")
        self._done.append(self.file.add(self.row, self.mask, defect))
        self.clear()

    def take_back(self) -> bool:
        """Remove what was accepted last since this was opened; False if there is nothing."""
        if not self._done:
            return False
        self.file.remove(self._done[-1])
        self._done.pop()
        return True

    def accepted(self) -> np.ndarray | None:
        """All masks of the present image that are in the file, joined, bool ``(H, W)``."""
        found = [entry["segmentation"] for entry in self.file.of_image(self.row)]
        if not found:
            return None
        size = self.image.shape[:2]
        parts = [
            shape if isinstance(shape, dict) and isinstance(shape["counts"], str)
            else coco_mask.merge(coco_mask.frPyObjects(shape if isinstance(shape, list) else [shape], *size))
            for shape in found
        ]  # fmt: skip
        return coco_mask.decode(coco_mask.merge(parts)).astype(bool)

    def drawn(self) -> np.ndarray:
        """See :func:`picture`."""
        points, labels = [(x, y) for x, y, _ in self.points], [label for *_, label in self.points]
        return picture(self.image, self.mask, self.accepted(), np.array(points).reshape(-1, 2), np.array(labels))

    def said(self) -> str:
        """The state in a sentence."""
        kept = f"{len(self.file.of_image(self.row))} accepted in this image, {len(self.file)} in {self.file.path.name}."
        if self.mask is None:
            return f"Click on a defect. {kept}"
        return (
            f"{counted(len(self.points), 'point')}: the proposed mask has {int(self.mask.sum())} pixels "
            f"({self.mask.mean():.2%} of the image), expected IoU {self.iou:.2f}. {kept}"
        )


def twin(state: Segmentation) -> Figure:
    """The static twin: the first defective image, a click in the middle of its defect, and the proposal."""
    defective = np.flatnonzero(state.table["is_defect"])
    state.open(int(defective[0]) if len(defective) else 0)
    mask = state.table["mask"].iloc[state.row]
    known = read_mask(mask) if isinstance(mask, str) else np.zeros(state.image.shape[:2], bool)
    height, width = known.shape
    x, y = interior_point(known) if known.any() else (width // 2, height // 2)
    state.add(x, y, 1)
    figure, axes = plt.subplots(figsize=(4, 4.4), layout="constrained")
    axes.imshow(state.drawn())
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{pretty(image_keys(state.table)[state.row])}\n1 click, expected IoU {state.iou:.2f}", fontsize=10)
    return figure


def segment(propose: Propose | None, table: pd.DataFrame, path: str | Path, classes: list[str] | None = None) -> None:
    """Click on a product, see what the model takes for the defect, and accept it with a class.

    An accepted mask is in the file at once. A click with the shift key held, or with "beside it" chosen, says what does
    not belong to the defect. Points may also be typed. Headless, the figure of :func:`twin` is shown.

    Args:
        propose, table, path: see :class:`Segmentation`; without a model to ask, nothing is shown.
        classes: that may be chosen; None takes the table's defect types, or ``defect`` where it has none.

    Raises:
        Hw3Error: the file at ``path`` cannot be continued.
    """
    if propose is None:
        return
    state = Segmentation(propose, table, path)
    if headless():
        figure = twin(state)
        tell_figure(figure)
        display.display(figure)
        plt.close(figure)
        return
    known = classes or sorted(set(table.loc[table["is_defect"], "defect"])) or ["defect"]
    display.display(_controls(state, list(dict.fromkeys([*known, *state.file.classes()]))))


def _controls(state: Segmentation, classes: list[str]) -> Any:
    keys = image_keys(state.table)
    start = next(iter(np.flatnonzero(state.table["is_defect"])), 0)
    image = ipywidgets.Dropdown(
        options=[(key, at) for at, key in enumerate(keys)], value=int(start), description="image"
    )
    meaning = ipywidgets.Dropdown(options=[("on the defect", 1), ("beside it", 0)], description="a point lies")
    x, y = (ipywidgets.BoundedIntText(0, description=name, layout={"width": "110px"}) for name in "xy")
    wide = {"width": "max-content"}
    point = ipywidgets.Button(description="add point")
    undo = ipywidgets.Button(description="remove last point", layout=wide)
    defect = ipywidgets.Dropdown(options=classes, description="class")
    accept = ipywidgets.Button(description="accept", button_style="primary")
    back = ipywidgets.Button(description="take back last accepted", layout=wide)
    shown, line = Picture(clickable=True), ipywidgets.HTML()
    in_language(image, meaning, x, y, point, undo, defect, accept, back)
    for control in (image, meaning, x, y, defect):
        control.style.description_width = "initial"

    def draw() -> None:
        file = io.BytesIO()
        Image.fromarray(state.drawn()).save(file, "PNG")
        shown.show(file.getvalue(), f"{keys[state.row]}. {state.said()}")
        line.value = message(state.said())

    def attempt(action: Callable[..., Any], *arguments: Any) -> None:
        try:
            action(*arguments)
            draw()
        except Hw3Error as error:
            line.value = message(str(error), wrong=True)
        except Exception as error:  # of the model, whatever it may be
            line.value = message(f"the model failed: {type(error).__name__}: {error}", wrong=True)
            raise

    def turn(number: int) -> None:
        state.open(number)
        x.max, y.max = state.image.shape[1] - 1, state.image.shape[0] - 1
        x.value, y.value = x.max // 2, y.max // 2
        if (found := state.table["defect"].iloc[number]) in classes:
            defect.value = found

    def clicked(u: float, v: float, shift: bool) -> None:
        height, width = state.image.shape[:2]
        place = min(int(u * width), width - 1), min(int(v * height), height - 1)
        x.value, y.value = place
        state.add(*place, 0 if shift else meaning.value)

    image.observe(lambda change: attempt(turn, change["new"]), names="value")
    shown.on_click(lambda u, v, shift: attempt(clicked, u, v, shift))
    point.on_click(lambda _: attempt(lambda: state.add(x.value, y.value, meaning.value)))
    undo.on_click(lambda _: attempt(state.undo))
    accept.on_click(lambda _: attempt(lambda: state.accept(defect.value)))
    back.on_click(lambda _: attempt(state.take_back))
    attempt(turn, int(start))
    return ipywidgets.VBox([row(image, meaning, x, y, point, undo), row(defect, accept, back), shown, line])
