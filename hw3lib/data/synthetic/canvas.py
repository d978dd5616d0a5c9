"""What the four product painters share: coordinates, noise, curves, blobs, relief, light and the camera.

Everything is measured in units of the image side (0 to 1), so that one seed shows the same product at every size.
Fields are float32 arrays of shape ``(size, size)``; images are float32 ``(size, size, 3)``, linear RGB in ``[0, 1]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

Field = np.ndarray
# Standard deviations of log exposure and log white balance: the camera of a line is fixed, and so are its lamps.
EXPOSURE, BALANCE = 0.03, 0.005


class Steady(np.random.Generator):
    """Uniform and normal draws that keep ``share`` of their spread: products of one line, in one light, are alike."""

    def __init__(self, rng: np.random.Generator, share: float) -> None:
        super().__init__(rng.bit_generator)
        self.plain, self.share = rng, share

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        middle = (np.asarray(low) + np.asarray(high)) / 2
        return middle + self.share * (self.plain.uniform(low, high, size) - middle)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return self.plain.normal(loc, self.share * np.asarray(scale), size)

    def spawn(self, n_children: int) -> list[np.random.Generator]:
        return self.plain.spawn(n_children)


def coordinates(size: int) -> tuple[Field, Field]:
    """Return ``x`` (to the right) and ``y`` (downwards) of the pixel centres, float32, 0 to 1."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.broadcast_to(axis[None, :], (size, size)), np.broadcast_to(axis[:, None], (size, size))


def noise(
    rng: np.random.Generator,
    size: int,
    cells: float | tuple[float, float],
    octaves: int = 1,
    persistence: float = 0.5,
) -> Field:
    """Smooth random field: value noise, summed over octaves of doubled frequency and falling amplitude.

    ``cells`` is the number of lattice cells along the side, or ``(vertical, horizontal)`` for stretched noise. Each
    octave has its own generator and octaves finer than the pixels are left out, so the coarse ones are the same at
    every size. Returns float32 ``(size, size)`` with mean about 0 and standard deviation about 1.
    """
    vertical, horizontal = cells if isinstance(cells, tuple) else (cells, cells)
    total = np.zeros((size, size), np.float32)
    power = 0.0
    for octave, child in enumerate(rng.spawn(octaves)):
        rows, columns = vertical * 2**octave, horizontal * 2**octave
        power += persistence ** (2 * octave)
        if octave and max(rows, columns) > size:
            continue
        lattice = child.standard_normal((int(np.ceil(rows)) + 4, int(np.ceil(columns)) + 4), dtype=np.float32)
        offset = child.uniform(0, 1, 2)
        axis = (np.arange(size) + 0.5) / size
        row_weights = _bspline_weights(axis * rows + offset[0], lattice.shape[0])
        column_weights = _bspline_weights(axis * columns + offset[1], lattice.shape[1])
        layer = row_weights @ lattice @ column_weights.T
        amplitude = persistence**octave
        # The constant is the standard deviation of white noise after a two-dimensional cubic B-spline.
        total += layer * (amplitude / 0.48)
    return (total / np.sqrt(power)).astype(np.float32)


def _bspline_weights(position: np.ndarray, length: int) -> np.ndarray:
    """Matrix ``(len(position), length)`` that evaluates a uniform cubic B-spline with ``length`` coefficients."""
    cell = np.floor(position).astype(int)
    t = position - cell
    weights = np.zeros((len(position), length), np.float32)
    rows = np.arange(len(position))
    for k, w in enumerate(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)):
        np.add.at(weights, (rows, np.minimum(cell + k, length - 1)), w / 6)
    return weights


def smoothstep(low: float | Field, high: float | Field, t: Field) -> Field:
    """0 below ``low``, 1 above ``high``, a cubic without kinks between; ``low > high`` gives the falling edge."""
    t = np.clip((t - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: np.ndarray, b: np.ndarray, alpha: Field) -> np.ndarray:
    """Blend RGB images (or colours) ``b`` over ``a``; ``alpha`` in ``[0, 1]`` has no colour axis, 1 shows ``b``."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return a + (b - a) * np.asarray(alpha)[..., None]


def curve(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    bend: float = 1.0,
    points: int = 48,
) -> np.ndarray:
    """Polyline ``(points, 2)`` of ``(x, y)`` that starts at ``start``, heads for ``angle`` (radians) and wanders.

    ``bend`` is the standard deviation, in radians, of the slow drift of its direction from one end to the other.
    """
    steps = rng.standard_normal(points)
    drift = np.cumsum(ndimage.gaussian_filter1d(steps, points / 8, mode="nearest"))
    drift *= bend / max(1e-6, np.abs(drift).max())
    heading = angle + drift - drift[0]
    step = length / (points - 1)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step, 0)
    return np.asarray(start) + path - path[0]


def distance_to_curve(x: Field, y: Field, points: np.ndarray) -> tuple[Field, Field]:
    """Distance of every pixel from a polyline ``(n, 2)`` and its position along it, 0 at the start and 1 at the end."""
    best = np.full(x.shape, np.inf, np.float32)
    along = np.zeros(x.shape, np.float32)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    total = max(lengths.sum(), 1e-9)
    done = 0.0
    for a, b, length in zip(points[:-1], points[1:], lengths, strict=True):
        dx, dy = b - a
        t = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / max(length**2, 1e-12), 0, 1)
        distance = (x - a[0] - t * dx) ** 2 + (y - a[1] - t * dy) ** 2
        nearer = distance < best
        best = np.where(nearer, distance, best)
        along = np.where(nearer, (done + t * length) / total, along)
        done += length
    return np.sqrt(best), along


def blob(
    rng: np.random.Generator,
    x: Field,
    y: Field,
    centre: tuple[float, float] | np.ndarray,
    radius: float,
    roughness: float = 0.3,
    stretch: float = 1.0,
) -> Field:
    """Irregular closed shape as a field: negative inside, 0 on the outline, about the distance outside.

    ``roughness`` is the relative size of the outline's bumps, ``stretch`` the ratio of the long to the short axis.
    """
    turn = rng.uniform(0, 2 * np.pi)
    u = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
    v = -(x - centre[0]) * np.sin(turn) + (y - centre[1]) * np.cos(turn)
    u, v = u / np.sqrt(stretch), v * np.sqrt(stretch)
    theta = np.arctan2(v, u)
    outline = np.ones_like(theta)
    for k in range(1, 9):
        outline = outline + roughness * rng.normal() / (1 + k) * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
    return (np.hypot(u, v) - radius * np.clip(outline, 0.25, None)).astype(np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly over the orders of magnitude: small and faint as often as large and strong."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def changed_region(
    good: np.ndarray,
    bad: np.ndarray,
    size: int,
    *,
    threshold: float,
    gap: float,
    pepper: float,
    region: Field | bool = False,
) -> Field:
    """Mask of a defect: the closed region where two linear images differ visibly, with a margin for the lens blur.

    Args:
        good, bad: the same piece of the picture without and with the defect, ``(h, w, 3)``.
        size: side of the whole picture in pixels.
        threshold: smallest visible difference, of square roots.
        gap: widest gap that is closed, in image sides.
        pepper: smaller pieces are dropped unless there is no larger one, as a share of the picture.
        region: counts as changed in any case, bool ``(h, w)``.
    """
    # The square root is close enough to the camera's gamma, and much faster.
    changed = (np.abs(np.sqrt(bad) - np.sqrt(good)).max(-1) > threshold) | region
    reach = 2 * round(size * gap) + 1
    closed = ndimage.minimum_filter(ndimage.maximum_filter(changed, reach), reach)
    labels, _ = ndimage.label(ndimage.binary_fill_holes(closed), np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=2)
    kept = areas >= min(pepper * size**2, areas[1:].max())
    kept[0] = False
    return ndimage.maximum_filter(kept[labels], 2 * max(1, round(size / 500)) + 1)


def relief(height: Field, angle: float, strength: float) -> Field:
    """Light and shade of a height field (in image sides) lit from ``angle``: multiply the image by it, 1 where flat."""
    size = height.shape[0]
    down, right = np.gradient(height * size)
    slope = right * np.cos(angle) + down * np.sin(angle)
    return np.clip(1 - strength * slope, 0.2, 2.5).astype(np.float32)


def light(rng: np.random.Generator, size: int, strength: float = 0.15) -> Field:
    """Uneven illumination: a gradient and a soft hot spot; multiply the image by it, its mean is about 1."""
    x, y = coordinates(size)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    cx, cy = rng.uniform(0.1, 0.9, 2)
    spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * rng.uniform(0.3, 0.6) ** 2))
    return (1 + strength * (slope * rng.uniform(0.3, 1) + rng.uniform(0.2, 0.8) * (spot - 0.6))).astype(np.float32)


def photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take the picture: exposure, white balance, lens blur, photon and read noise, gamma. Returns uint8 RGB.

    Pictures of one line differ little, as those of the real categories do, and yet so much that neither the mean colour
    nor the size of the PNG file gives a class away.
    """
    size = image.shape[0]
    exposure = np.exp(rng.normal(0, EXPOSURE))
    balance = np.exp(rng.normal(0, BALANCE, 3)).astype(np.float32)
    blur = rng.uniform(0.0004, 0.0009) * size
    # The noise is that of a sensor of 1000 pixels a side; in a smaller picture it is averaged.
    averaged = min(1.0, size / 1000)
    read, photon = averaged * rng.uniform(0.002, 0.008), averaged * rng.uniform(0.004, 0.012)
    image = np.clip(image * (exposure * balance), 0, 1.2).astype(np.float32)
    image = ndimage.gaussian_filter(image, (blur, blur, 0))
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    image = image + grain * np.sqrt(read**2 + photon**2 * image)
    return (np.clip(image, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)
