"""Why a network decides: Grad-CAM maps of test images, and the share of them that point at the defect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn
from torch.nn.functional import interpolate

from hw3lib.core.intervals import Interval, wilson_interval
from hw3lib.data.labels import Split
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.reading import reading_of
from hw3lib.data.regions.masks import load_masks
from hw3lib.errors import Hw3Error

from .attempts import Attempt
from .experiment import fit_splits
from .models import Classifier, SimpleCNN

CELLS = 14  # along a side of the map that Grad-CAM reads by default, see grad_cam()


@dataclass
class Explanation:
    """Decisions about test images, each with the map of what spoke for it.

    Attributes:
        attempt: what was trained.
        classes: class names; labels are positions in it.
        rows: positions of the images in the table, int64 ``(N,)``, sorted, each once.
        y, y_pred: true and predicted labels, int64 ``(N,)``.
        probabilities: float32 ``(N, classes)``.
        maps: Grad-CAM of the predicted class, float32 ``(N, image_size, image_size)``, 0 to 1; see :func:`grad_cam`.
            Each covers its image, both sides of which are brought to ``image_size``, and no padding.
        masks: the defects at the same size, bool; all False where an image has no mask.
    """

    attempt: Attempt
    classes: list[str]
    rows: np.ndarray
    y: np.ndarray
    y_pred: np.ndarray
    probabilities: np.ndarray
    maps: np.ndarray
    masks: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether each decision is right, bool ``(N,)``."""
        return self.y == self.y_pred

    @property
    def confidence(self) -> np.ndarray:
        """Probability of each predicted class, float32 ``(N,)``."""
        return self.probabilities[np.arange(len(self.rows)), self.y_pred]

    def hits(self, tolerance: float = 0) -> np.ndarray:
        """Whether each map's peak lies on the defect, bool ``(N,)``; False without a mask and for a flat map."""
        return _hits(self.maps, self.masks, tolerance)

    def pointing(self, tolerance: float = 0) -> pd.DataFrame:
        """Share of the correct decisions whose peak lies on the defect; see :func:`pointing_game`."""
        names = [self.classes[label] for label in self.y]
        return pointing_game(self.maps, self.masks, self.correct, tolerance, names)


def explain_attempt(
    attempt: Attempt,
    table: pd.DataFrame,
    splits: Sequence[Split],
    *,
    seed: int = 0,
    device: str = "auto",
) -> Explanation:
    """Train an attempt on every split, as :func:`hw3lib.classify.run_attempt` does, and explain its test images.

    No map is of an image that its network has learnt from. An image that several splits test is explained by the first
    of them, a split that tests no new image is not trained; so with the folds of a cross-validation every image is
    explained once.

    Args:
        attempt, table, splits, seed, device: as in :func:`hw3lib.classify.run_attempt`; the same ones give the same
            networks.

    Raises:
        Hw3Error: as :func:`hw3lib.classify.run_attempt`, or no split, or a network without feature maps.
    """
    if not len(splits):
        raise Hw3Error("splits is empty: expected at least one, an explained image must have been left out of training")
    seen = np.zeros(len(table), bool)
    fresh: dict[int, np.ndarray] = {}  # number of the split: which of its test images no earlier one tests
    for number, (_, test) in enumerate(splits):
        if not seen[test].all():
            fresh[number] = ~seen[test]
            seen[test] = True
    parts = []
    networks = fit_splits(attempt, table, splits, only=fresh, seed=seed, device=device)
    for (number, new), fitted in zip(fresh.items(), networks, strict=True):
        rows = splits[number][1][new]
        probabilities = fitted.probabilities[new]
        y_pred = probabilities.argmax(1)
        maps = grad_cam(fitted.model, fitted.images[torch.from_numpy(rows)], y_pred)
        parts.append((rows, fitted.labels[rows], y_pred, probabilities, maps))
    rows, y, y_pred, probabilities, maps = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(rows)
    explained = table.iloc[rows[order]]
    masks = load_masks(explained, attempt.image_size, fit="stretch")
    maps = np.stack([_on_image(m, row) for m, row in zip(maps[order], explained.itertuples(), strict=True)])
    return Explanation(attempt, fitted.classes, rows[order], y[order], y_pred[order], probabilities[order], maps, masks)


def _on_image(values: np.ndarray, row: Any) -> np.ndarray:
    """The part of a map ``(size, size)`` that lies on the image of a table's row, both sides brought to ``size``."""
    fit, size = reading_of(row).fit, len(values)
    if fit == "stretch":
        return values
    part = torch.from_numpy(Geometry(row.width, row.height, size, fit).join(values[None])[None, None].copy())
    inside = interpolate(part, size=(size, size), mode="bilinear", align_corners=False)[0, 0].numpy()
    return inside / max(inside.max(), np.finfo(np.float32).tiny)


def grad_cam(
    model: nn.Module,
    images: torch.Tensor,
    targets: np.ndarray | torch.Tensor,
    layer: str | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """Grad-CAM of one class for each image (Selvaraju et al., ICCV 2017, arXiv 1610.02391, equations 1 and 2).

    The gradient of the class's score with respect to a layer's feature maps, averaged over each map, weighs that map;
    the weighted sum, its negative part cut off, shows where there is evidence for the class. Computed by captum; the
    network before the layer is run without gradients.

    The map is as coarse as the layer. Later layers know more of the class and less of the place. The default is the
    last stage whose maps are at least 14x14 for these images: in the 7x7 that the last stage of most networks has at
    224 px, a cell covers 2 % of the image, as much as a whole defect that fills 1 to 2 %, so that a peak in the right
    cell may still miss it; in 14x14 the same defect spans two to four cells. The rule asks for sizes alone, so no mask
    of a test image takes part in the choice. Whether it points better is for the pointing game to say.

    Args:
        model: a whole classifier, images to logits; it is set to ``eval`` and otherwise left as it was.
        images: uint8 or float in 0 to 255, ``(N, 3, H, W)``.
        targets: the class to explain for each image, int ``(N,)``.
        layer: name of the layer in ``model``, such as ``backbone.network.features.5`` of a Lite network; None takes
            the one that is said above, and the finest of them all where images are so small that none is as fine. With
            a multi-scale head, what earlier maps bring is not in it.
        batch_size: images at once.

    Returns:
        float32 ``(N, H, W)``, enlarged bilinearly; each map is divided by its maximum, 0 to 1. All 0 where nothing
        speaks for the class.

    Raises:
        Hw3Error: wrong shapes or targets, an unknown layer, or one whose output is no map of the image.
    """
    from captum.attr import LayerAttribution, LayerGradCam  # slow: imports matplotlib.pyplot

    targets = torch.as_tensor(targets)
    if images.ndim != 4 or targets.shape != images.shape[:1]:
        raise Hw3Error(
            f"images {tuple(images.shape)}, targets {tuple(targets.shape)}: expected (N, 3, H, W) and (N,), a class an "
            "image"
        )
    module = _layer(model, layer, min(images.shape[2:]))
    learning = [p for p in model.parameters() if p.requires_grad]
    model.eval().requires_grad_(False)  # so that autograd records nothing before the layer
    try:
        cam = LayerGradCam(model, module)
        maps = []
        for batch, target in zip(images.split(batch_size), targets.split(batch_size), strict=True):
            values = cam.attribute(batch, target.to(batch.device), relu_attributions=True)
            _check_map(values, images)
            maps.append(LayerAttribution.interpolate(values.float(), tuple(images.shape[2:]), "bilinear")[:, 0].cpu())
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
    joined = torch.cat(maps).detach().numpy()
    return joined / np.maximum(joined.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)


def _layer(model: nn.Module, name: str | None, size: int) -> nn.Module:
    if name is not None:
        try:
            return model.get_submodule(name)
        except AttributeError:
            children = [n for n, _ in model.named_children()]
            raise Hw3Error(f"layer={name!r}: the network has no such layer; its parts are {children}") from None
    if isinstance(model, SimpleCNN):
        # The pooling after each activation halves the resolution and adds nothing.
        activations = [part for part in model.features if isinstance(part, nn.ReLU)]
        sides: list[tuple[nn.Module, int]] = [(part, math.ceil(size / 2**i)) for i, part in enumerate(activations)]
    elif isinstance(model, Classifier):
        network = model.backbone.network
        stages = model.backbone.stages().items()
        sides = [(network.get_submodule(stage), math.ceil(size / stride)) for stage, (_, stride) in stages]
    else:
        raise Hw3Error(
            f"a {type(model).__name__}: name the layer that Grad-CAM reads, only this course's networks have one"
        )
    enough = min(CELLS, max(side for _, side in sides))
    return [part for part, side in sides if side >= enough][-1]


def _check_map(values: torch.Tensor, images: torch.Tensor) -> None:
    height, width = images.shape[2:]
    # Sides are rounded, so their ratio may differ by a pixel; a transformer's channels stand where the width should.
    if values.ndim != 4 or abs(values.shape[2] * width - values.shape[3] * height) > max(height, width):
        raise Hw3Error(
            f"the layer gives {tuple(values.shape)} for images of {height}x{width}, expected feature maps "
            "(N, C, h, w); Grad-CAM needs a layer of a convolutional network"
        )


def peaks(maps: np.ndarray) -> np.ndarray:
    """Row and column of each map's maximum, int64 ``(N, 2)``; -1, -1 for a flat map.

    Enlarging leaves plateaus at the borders: of equal maxima the one nearest to their centre is taken.
    """
    found = np.full((len(maps), 2), -1)
    for i, values in enumerate(maps):
        if values.max() > values.min():
            top = np.argwhere(values == values.max())
            found[i] = top[((top - top.mean(0)) ** 2).sum(1).argmin()]
    return found


def pointing_game(
    maps: np.ndarray,
    masks: np.ndarray,
    correct: np.ndarray,
    tolerance: float = 0,
    defects: Sequence[str] | None = None,
) -> pd.DataFrame:
    """How many of the correct decisions about defective images have their map's peak on the defect.

    The pointing game of Zhang et al. (IJCV 126, 2018, arXiv 1608.00507, section 4), who allow 15 pixels of tolerance.
    Two players who do not look stand beside it: a random pixel, and the centre of the image, where photographers put
    what matters.

    Args:
        maps: ``(N, H, W)``; a flat one is a miss.
        masks: bool ``(N, H, W)``; images without a defective pixel are left out.
        correct: whether the decision is right, bool ``(N,)``; the others are left out.
        tolerance: pixels by which a peak may miss the defect.
        defects: the class of each image, for a row a class.

    Returns:
        One row for ``all``, then one a class: ``defect``, ``images`` (correct and defective), ``hits``, ``share``,
        ``ci_low``, ``ci_high`` (Wilson, 95 %), ``random`` and ``centre`` (expected and counted share of hits of the
        two baselines). The shares are missing where there is no image.

    Raises:
        Hw3Error: lengths or sizes that do not fit together, or a negative tolerance.
    """
    maps, masks, correct = np.asarray(maps), np.asarray(masks, bool), np.asarray(correct, bool)
    names = np.full(len(correct), "all") if defects is None else np.asarray(defects, str)
    if maps.ndim != 3 or maps.shape != masks.shape or correct.shape != maps.shape[:1] or names.shape != correct.shape:
        raise Hw3Error(
            f"maps {maps.shape}, masks {masks.shape}, correct {correct.shape}, defects {names.shape}: "
            "expected (N, H, W) twice and (N,) twice"
        )
    if tolerance < 0:
        raise Hw3Error(f"tolerance={tolerance}: expected 0 pixels or more")
    kept = correct & masks.any((1, 2))
    names, near = names[kept], [_near(mask, tolerance) for mask in masks[kept]]
    hit = _hits(maps[kept], masks[kept], tolerance)
    random = np.array([mask.mean() for mask in near])
    centre = np.array([mask[mask.shape[0] // 2, mask.shape[1] // 2] for mask in near], bool)
    groups = [("all", np.ones(len(names), bool))]
    if defects is not None:
        groups += [(name, names == name) for name in sorted(set(np.asarray(defects, str)[masks.any((1, 2))]))]
    rows = []
    for name, chosen in groups:
        images, hits = int(chosen.sum()), int(hit[chosen].sum())
        share = wilson_interval(hits, images) if images else Interval(kind="share")
        baselines = (random[chosen].mean(), centre[chosen].mean()) if images else (np.nan, np.nan)
        row = {"defect": name, "images": images, "hits": hits, **share.columns("share", "ci")}
        rows.append(row | dict(zip(("random", "centre"), baselines, strict=True)))
    return pd.DataFrame(rows)


def _near(mask: np.ndarray, tolerance: float) -> np.ndarray:
    return mask if tolerance == 0 or not mask.any() else distance_transform_edt(~mask) <= tolerance


def _hits(maps: np.ndarray, masks: np.ndarray, tolerance: float) -> np.ndarray:
    return np.array(
        [
            row >= 0 and _near(mask, tolerance)[row, column]
            for (row, column), mask in zip(peaks(maps), masks, strict=True)
        ],
        bool,
    )
