"""Photographs that look like shots of one product: the same picture, a little shifted, turned, brighter or noisier.

Products on a line look alike, so that a perceptual hash, which says what a picture shows, says the same of all of them.
What counts here is relative: what all images have in common, and the ways in which it is shifted and turned, is taken
off, and what is left of two shots of one product is the same. Each pair is brought into register first (Lucas and
Kanade, IJCAI 1981); which pairs are worth it says the tangent distance (Simard, LeCun and Denker, NIPS 1992).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from PIL import Image

SIDE = 64  # pixels at which images are compared
ALIKE = 0.96  # correlation of what is left of two shots of one product, at least
TOLD = 0.05  # share of the images from which near twins are worth a word: fewer move no threshold and no accuracy
_COARSE, _COARSE_ALIKE = 32, 0.7
_BRIGHTER = 1.25  # times as bright as another shot, at most
_NEAREST = 3  # images that each is compared with
_WINDOW = 1000  # images that are compared with one another; of more, those near each other in their order
_FEWEST = 4  # images; what two or three have in common is no background
_BATCH = 128  # pairs that are compared at once


class NearTwins(UserWarning):
    """Some images look like shots of one product, and nothing says that they are."""


def view(image: np.ndarray) -> np.ndarray:
    """What is compared of an image, uint8 ``(H, W, 3)``: grey, uint8 ``(64, 64)``."""
    small = Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small.convert("L"))


def find_near_twins(views: Iterable[np.ndarray]) -> np.ndarray:
    """Pairs of images that look like shots of one product, positions int64 ``(m, 2)``.

    An image is compared with those that are most like it. A set of twins holds at most half of the images: where more
    are alike, what they share is the light of a day or a place, and not a product.

    Args:
        views: of :func:`view`, one an image, in the order of their names; of more than a thousand those far from
            each other are not compared.
    """
    pairs, likeness, n = [], [], 0
    for start, part in _windows(iter(views)):
        n = start + len(part)
        if len(part) >= _FEWEST:
            found, alike = _compared(part)
            pairs.append(found + start)
            likeness.append(alike)
    if not pairs:
        return np.zeros((0, 2), np.int64)
    edges = np.concatenate(pairs)[np.concatenate(likeness) >= ALIKE]
    which = components(edges, n)
    return edges[2 * np.bincount(which)[which[edges[:, 0]]] <= n]


def components(pairs: np.ndarray, n: int) -> np.ndarray:
    """Of ``n`` images those that pairs, int64 ``(m, 2)``, connect: one number for each set, int ``(n,)``."""
    from scipy.sparse import coo_array  # as slow to import as all of this
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(edges, directed=False)[1]


def untold(pairs: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The pairs ``(m, 2)`` whose images are of two groups, int64 ``(N,)``; all of them where there are none."""
    return pairs if groups is None else pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]


def worth_a_word(found: int, n: int) -> bool:
    """Whether so many of ``n`` images with a near twin move what is measured on them."""
    return found >= max(2, TOLD * n)


def say_near_twins(found: int, n: int, what: str = "photographs", where: str = "") -> str:
    """A sentence on images that have a near twin."""
    return (
        f"{found} of {n} {what} have a near twin{where}: is the same product photographed several times? Then one of "
        "them is no test for another; --groups says which show the same product (hw3 data settings, hw3 detect fit)"
    )


def _windows(views: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Halves of windows overlap, so that near ones always meet."""
    start, part = 0, list(islice(views, _WINDOW))
    while True:
        yield start, np.stack(part) if part else np.zeros((0, SIDE, SIDE), np.uint8)
        more = list(islice(views, _WINDOW // 2))
        if not more:
            return
        start, part = start + len(part) - _WINDOW // 2, part[-(_WINDOW // 2) :] + more


def _compared(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs ``(m, 2)``, the first position the smaller one, and how alike they are, float ``(m,)``."""
    images = _in_one_place(views.astype(np.float32))
    pairs, level = _candidates(images), np.log(views.mean((1, 2)) + 1)
    pairs = pairs[abs(level[pairs[:, 0]] - level[pairs[:, 1]]) <= np.log(_BRIGHTER)]
    coarse = _halved(images, _COARSE)
    for part in (coarse, images):
        alike = _likeness(part, pairs)
        pairs, alike = pairs[alike > _COARSE_ALIKE], alike[alike > _COARSE_ALIKE]
    return pairs, alike


def _in_one_place(images: np.ndarray) -> np.ndarray:
    """Images brought into register with their mean, twice; as they are where they have no common picture: textures."""
    moved, steps = images, np.zeros((len(images), 3), np.float32)
    for _ in range(2):
        mean = _standardised(moved).mean(0, keepdims=True)
        for rows in _batches(len(images)):
            target = np.broadcast_to(mean, images[rows].shape)
            steps[rows] = _register(target, images[rows], (3.0, 2.0), steps[rows])
        moved = np.concatenate([_warped(images[rows], steps[rows]) for rows in _batches(len(images))])
    found = _blurred(moved, 1.5)
    common = (_standardised(found.mean(0)) * found).mean((1, 2))
    return moved if np.median(common) > 0.5 else images


def _candidates(images: np.ndarray) -> np.ndarray:
    """Pairs of each image and the nearest others, by tangent distance at 16 pixels."""
    found = _blurred(_halved(images, 16), 1.0)
    modes = _modes(found.mean(0))
    left = _without(found, modes)
    left /= np.linalg.norm(left, axis=1, keepdims=True) + 1e-9
    planes = np.concatenate([left[:, None], _without(_tangents(found), modes)], 1)
    pairs = set()
    for rows in _batches(len(left)):
        base = np.linalg.qr(planes[rows].transpose(0, 2, 1))[0].transpose(1, 0, 2)
        cosines = (left @ base.reshape(base.shape[0], -1)).reshape(len(left), -1, base.shape[2])
        near = np.sqrt((cosines**2).sum(-1)).T * (left[rows] @ left.T > 0)
        near[np.arange(len(near)), np.arange(len(left))[rows]] = -1
        for row, others in zip(np.arange(len(left))[rows], np.argsort(-near, axis=1)[:, :_NEAREST], strict=True):
            pairs |= {(min(row, other), max(row, other)) for other in others if near[row - rows.start, other] > 0.6}
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _likeness(images: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlation of what is left of both images of each pair once they are in register, float ``(m,)``."""
    scale, edge = images.shape[-1] / SIDE, images.shape[-1] // 20
    found = _blurred(images, 1.5 * scale)
    modes = _modes(found.mean(0))
    inner = np.zeros(images.shape[1:], bool)
    inner[edge:-edge, edge:-edge] = True
    alike = np.zeros(len(pairs))
    for rows in _batches(len(pairs)):
        first, second = pairs[rows].T
        steps = _register(images[first], images[second], [scale * blur for blur in (3.0, 3.0, 2.0, 1.5, 1.5)])
        a, b = (_without(x, modes)[:, inner.ravel()] for x in (found[first], _warped(found[second], steps)))
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        alike[rows] = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1) + 1e-9)
    return alike


def _register(targets: np.ndarray, images: np.ndarray, blurs: Iterable[float], steps: np.ndarray | None = None):
    """Shift down, shift right and turn, float32 ``(n, 3)``, that bring each image onto its target; light is fitted too.

    One Gauss-Newton step at each blur, in pixels, the coarsest first.
    """
    side = images.shape[-1]
    limit = np.array([side / 10, side / 10, 0.25], np.float32)
    steps = np.zeros((len(images), 3), np.float32) if steps is None else steps
    for blur in blurs:
        moved = _warped(_blurred(images, blur), steps)
        light = np.broadcast_to(_light(side), (len(moved), 6, side, side))
        columns = np.concatenate([_tangents(moved), light, moved[:, None]], 1).reshape(len(moved), 10, -1)
        off = (_blurred(targets, blur) - moved).reshape(len(moved), -1, 1)
        normal = columns @ columns.transpose(0, 2, 1) + 1e-3 * np.eye(10, dtype=np.float32)
        steps = (steps + np.linalg.solve(normal, columns @ off)[:, :3, 0]).clip(-limit, limit)
    return steps


def _warped(images: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Each image shifted and turned about its centre, bilinear; beyond the border it goes on as it ends."""
    side = images.shape[-1]
    down, right = _grid(side)
    turn = steps[:, 2, None, None]
    cos, sin, middle = np.cos(turn), np.sin(turn), (side - 1) / 2
    y = (cos * down - sin * right + steps[:, 0, None, None] + middle).clip(0, side - 1.001)
    x = (sin * down + cos * right + steps[:, 1, None, None] + middle).clip(0, side - 1.001)
    top, left = y.astype(int), x.astype(int)
    dy, dx, each = y - top, x - left, np.arange(len(images))[:, None, None]
    above = images[each, top, left] * (1 - dx) + images[each, top, left + 1] * dx
    below = images[each, top + 1, left] * (1 - dx) + images[each, top + 1, left + 1] * dx
    return (above * (1 - dy) + below * dy).astype(np.float32)


def _tangents(images: np.ndarray) -> np.ndarray:
    """How images change if they are shifted down, right, or turned, ``(..., 3, side, side)``."""
    down, right = _grid(images.shape[-1])
    along_y, along_x = np.gradient(images, axis=(-2, -1))
    return np.stack([along_y, along_x, along_x * down - along_y * right], -3)


def _modes(mean: np.ndarray) -> np.ndarray:
    """What all images have in common, orthonormal ``(pixels, 15)``: the mean, its shifts, its turn, and their light."""
    light = _light(len(mean))
    columns = np.concatenate([light, light * mean, _tangents(mean)])
    return np.linalg.qr(columns.reshape(len(columns), -1).T)[0]


def _light(side: int) -> np.ndarray:
    """Smooth light: polynomials of the second degree, float32 ``(6, side, side)``."""
    down, right = _grid(side) / side
    return np.stack([np.ones_like(down), down, right, down**2, right**2, down * right])


def _without(images: np.ndarray, modes: np.ndarray) -> np.ndarray:
    flat = images.reshape(*images.shape[:-2], -1)
    return flat - (flat @ modes) @ modes.T


def _grid(side: int) -> np.ndarray:
    return (np.mgrid[:side, :side] - (side - 1) / 2).astype(np.float32)


def _blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter  # here, for few files need it

    return _standardised(gaussian_filter(images, (0, sigma, sigma)))


def _standardised(images: np.ndarray) -> np.ndarray:
    images = images - images.mean((-2, -1), keepdims=True)
    return images / (images.std((-2, -1), keepdims=True) + 1e-6)


def _halved(images: np.ndarray, side: int) -> np.ndarray:
    step = images.shape[-1] // side
    return images.reshape(len(images), side, step, side, step).mean((2, 4))


def _batches(n: int) -> list[slice]:
    return [slice(start, min(start + _BATCH, n)) for start in range(0, n, _BATCH)]
