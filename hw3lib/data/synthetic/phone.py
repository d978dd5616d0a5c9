"""Photographs of generated products as a telephone takes them, from the hand: 4:3, JPEG, turned, lit otherwise."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image

from hw3lib.core.cores import usable_cores
from hw3lib.core.files import atomic_folder

from . import picture

# EXIF's orientation, and how the sensor holds what is shown upright under it.
_TURNS = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
_ORIENTATION = 0x0112
_MOVED, _BALANCE, _VIGNETTE, _NOISE = 0.02, 0.02, 0.2, 3.0  # share of the side, log gain, light lost, of 255


def phone_photograph(image: np.ndarray, rng: np.random.Generator, width: int = 2048, middle: float = 0.5) -> bytes:
    """A JPEG file: a part of a picture, with white balance, dark corners, noise, and an orientation in its EXIF.

    Args:
        image: uint8 ``(H, H, 3)``.
        rng: moves, lights and turns it.
        width: pixels; the height is three quarters of it.
        middle: of the part that is shown, from the top, as a share of the side.
    """
    high, side = 0.75 * (1 - 2 * _MOVED), image.shape[0]
    left, top = rng.uniform(0, 2 * _MOVED), np.clip(middle + rng.uniform(-_MOVED, _MOVED) - high / 2, 0, 1 - high)
    box = side * np.array([left, top, left + 1 - 2 * _MOVED, top + high])
    size = (width, 3 * width // 4)
    pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, box), np.float32)
    x, y = np.meshgrid(
        np.linspace(-1, 1, size[0], dtype=np.float32), np.linspace(-0.75, 0.75, size[1], dtype=np.float32)
    )
    corners = 1 - _VIGNETTE * (x**2 + y**2) / 1.5625
    gains = np.exp(rng.normal(0, _BALANCE, 3)).astype(np.float32)
    noise = rng.standard_normal(pixels.shape, np.float32) * _NOISE
    taken = Image.fromarray(np.clip(np.rint(pixels * gains * corners[..., None] + noise), 0, 255).astype(np.uint8))
    orientation = int(rng.choice(list(_TURNS)))
    turn, exif = _TURNS[orientation], Image.Exif()
    exif[_ORIENTATION] = orientation
    with io.BytesIO() as file:
        (taken if turn is None else taken.transpose(turn)).save(
            file, "JPEG", quality=int(rng.integers(80, 91)), exif=exif
        )
        return file.getvalue()


def phone_category(
    folder: str | Path, counts: Mapping[str, int], product: str = "carpet", width: int = 2048, seed: int = 0
) -> Path:
    """A category of such photographs, each of another product, that any command takes; gives its folder.

    Args:
        folder: is made, or replaced.
        counts: photographs by place and class, ``{"train/good": 24, "test/hole": 6}``.
        product: see :func:`hw3lib.data.synthetic.picture`.
        width: pixels of each.
        seed: of everything that is drawn.

    Raises:
        Hw3Error: it cannot be written.
    """
    jobs = [(place, number) for place, count in counts.items() for number in range(count)]
    work = (delayed(_taken)(product, place, width, (seed, index)) for index, (place, _) in enumerate(jobs))
    with atomic_folder(folder, replace=True) as made:
        for (place, number), file in zip(jobs, Parallel(n_jobs=usable_cores())(work), strict=True):
            (made / place).mkdir(parents=True, exist_ok=True)
            (made / place / f"IMG_{number:04d}.jpg").write_bytes(file)
    return Path(folder)


def _taken(product: str, place: str, width: int, seed: tuple[int, int]) -> bytes:
    image, mask = picture(product, place.rpartition("/")[2], width // 2, seed)
    rng = np.random.default_rng([*seed, 1])
    rows = np.flatnonzero(mask.any(1))
    middle = rows.mean() / len(mask) if len(rows) else rng.uniform(0.4, 0.6)  # a defect is looked at
    return phone_photograph(image, rng, width, float(middle))
