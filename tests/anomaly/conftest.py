"""What the tests of several detectors share: striped plates, and patch features worked out in numpy."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from hw3lib.anomaly.detector import BACKBONE
from hw3lib.networks import backbones


def make_plates(n: int, seed: int, square: bool = False, side: int = 64) -> np.ndarray:
    """Striped plates, uint8 ``(n, 3, side, side)``, each with its own brightness and noise; on demand a red square."""
    rng = np.random.default_rng(seed)
    wave = 128 + 40 * np.sin(np.arange(side) / 4)
    images = wave + rng.uniform(-10, 10, (n, 3, 1, 1)) + rng.normal(0, 4, (n, 3, side, side))
    if square:
        part = slice(side * 3 // 8, side * 5 // 8)
        images[:, 0, part, part], images[:, 1:, part, part] = 220, 30
    return images.clip(0, 255).astype(np.uint8)


def interpolation(old: int, new: int) -> np.ndarray:
    """Matrix ``(new, old)`` of linear interpolation between the centres of pixels, the border values going on."""
    matrix = np.zeros((new, old))
    for i in range(new):
        place = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
        low = int(place)
        matrix[i, low] += 1 - (place - low)
        matrix[i, min(low + 1, old - 1)] += place - low
    return matrix


def enlarge(maps: np.ndarray, side: int) -> np.ndarray:
    """Maps ``(..., h, w)`` brought to ``(..., side, side)`` bilinearly, in float64."""
    return interpolation(maps.shape[-2], side) @ maps.astype(float) @ interpolation(maps.shape[-1], side).T


def patch_features(maps: Sequence[np.ndarray], grid: int) -> np.ndarray:
    """Locally aware features in float64: sums over 3x3 windows divided by 9, zeros outside; square maps that divide."""
    parts = []
    side = maps[grid].shape[-1]
    for m in maps:
        height, width = m.shape[2:]
        padded = np.pad(m.astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)))
        mean = sum(padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
        if height > side:
            step = height // side
            mean = mean.reshape(*m.shape[:2], side, step, side, step).mean((3, 5))
        parts.append(mean if height == side else enlarge(mean, side))
    return np.concatenate(parts, 1)


@pytest.fixture(scope="session")
def plates() -> Callable[..., np.ndarray]:
    return make_plates


@pytest.fixture(scope="session")
def upsampled() -> Callable[[np.ndarray, int], np.ndarray]:
    return enlarge


@pytest.fixture(scope="session")
def patches_by_hand() -> Callable[..., np.ndarray]:
    """A function of images, layers, grid and backbone: locally aware features, float64 ``(n, h, w, channels)``."""

    def by_hand(images: np.ndarray, layers: list[str], grid: int = 1, arch: str = BACKBONE) -> np.ndarray:
        with torch.no_grad():
            _, maps = backbones.load(arch).forward_with_maps(torch.from_numpy(images), layers)
        return np.moveaxis(patch_features([m.numpy() for m in maps.values()], grid), 1, -1)

    return by_hand


@pytest.fixture
def random_weights(monkeypatch):
    """Backbones with random weights, the same ones at each load: for architectures whose weights need a network."""
    load = backbones.load

    def load_random(name: str, **settings) -> backbones.Backbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return load(name, **settings | {"pretrained": False})

    monkeypatch.setattr(backbones, "load", load_random)
