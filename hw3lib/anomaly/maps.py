"""Anomaly maps as people see them: at image resolution, on one colour scale, over the image, and as files."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from hw3lib.core.files import atomic_path
from hw3lib.errors import Hw3Error

COLOURS = "inferno"
_OUTLINE = (255, 230, 0)


class ColourScale(NamedTuple):
    """Which values the darkest and the brightest colour of a map stand for, the same for all images."""

    low: float
    high: float

    @classmethod
    def anchored(cls, level: float, threshold: float) -> ColourScale:
        """Darkest at ``level``, half-way at ``threshold``."""
        return cls(level, level + 2 * (threshold - level))

    def share(self, anomaly_map: np.ndarray) -> np.ndarray:
        """The map with ``low`` at 0 and ``high`` at 1, clipped, float32."""
        return np.clip((anomaly_map - np.float32(self.low)) / np.float32(self.high - self.low), 0, 1)


class ExportedMaps(NamedTuple):
    """The files of one image: an overlay for people (PNG) and the values for programs (float32 TIFF)."""

    overlay: Path
    values: Path


def good_scale(good_maps: np.ndarray, threshold: float) -> ColourScale:
    """A colour scale anchored at good images: darkest at their median pixel, half-way at the threshold.

    So a good image stays dark, and what is brighter than the middle of the colours is above the threshold.

    Args:
        good_maps: float ``(N, h, w)`` of good images, held-out ones at best.
        threshold: in the unit of the maps.

    Raises:
        Hw3Error: NaN, or a threshold that is not above the median.
    """
    low = float(np.median(good_maps)) if np.size(good_maps) else float("nan")
    if not (np.isfinite(low) and np.isfinite(threshold) and threshold > low):
        raise Hw3Error(
            f"threshold={threshold}: expected a value above {low}, the median of {np.size(good_maps)} pixels of the "
            "good images' maps; it must be in the maps' unit"
        )
    return ColourScale.anchored(low, float(threshold))


def upsample(maps: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Bring maps to the resolution of images or masks (bilinear, pixel centres at half steps, as OpenCV and Pillow).

    Args:
        maps: float ``(N, h, w)`` or ``(h, w)``.
        size: ``(H, W)``, or the side of a square.

    Returns:
        float32 ``(N, H, W)`` or ``(H, W)``.

    Raises:
        Hw3Error: another shape, or a size that is not positive.
    """
    import torch  # who scores with an ONNX file and draws nothing does without

    maps = np.asarray(maps)
    sides = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if maps.ndim not in (2, 3) or not maps.size or len(sides) != 2 or min(sides) < 1:
        raise Hw3Error(f"maps: {maps.shape}, size: {sides}; expected maps (N, h, w) or (h, w) and a size (H, W)")
    batch = torch.from_numpy(np.ascontiguousarray(maps.reshape(-1, 1, *maps.shape[-2:]), np.float32))
    result = torch.nn.functional.interpolate(
        batch, size=[int(side) for side in sides], mode="bilinear", align_corners=False
    )
    return result.numpy().reshape(*maps.shape[:-2], *sides)


def overlay(
    image: np.ndarray,
    anomaly_map: np.ndarray,
    scale: ColourScale,
    threshold: float | None = None,
    strength: float = 0.8,
) -> np.ndarray:
    """An image with its map in colours over it; where the map is dark the image is left as it is.

    Args:
        image: uint8 ``(H, W, 3)``, RGB, 0 to 255.
        anomaly_map: float ``(h, w)``; brought to the image's resolution.
        scale: see :func:`good_scale`.
        threshold: with it, the border of what lies above is drawn in yellow on black.
        strength: opacity of the brightest colour, 0 to 1.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        Hw3Error: another dtype or shape, NaN, a scale of no width, or a strength outside 0 to 1.
    """
    import matplotlib  # for one table of colours

    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise Hw3Error(f"image: found {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    if np.ndim(anomaly_map) != 2 or not np.isfinite(anomaly_map).all():
        raise Hw3Error(f"anomaly_map: found shape {np.shape(anomaly_map)}, expected (h, w) without NaN and infinity")
    if not scale.high > scale.low or not 0 <= strength <= 1:
        raise Hw3Error(f"scale={scale}, strength={strength}: expected low < high, and a strength of 0 to 1")
    full = upsample(anomaly_map, image.shape[:2])
    share = scale.share(full)
    colours = matplotlib.colormaps[COLOURS](share)[..., :3] * 255
    opacity = (strength * share)[..., None]
    result = np.round((1 - opacity) * image + opacity * colours).astype(np.uint8)
    if threshold is not None:
        line = contour(full, threshold)
        thick = max(1, round(max(line.shape) / 400))
        line = binary_dilation(line, iterations=thick - 1) if thick > 1 else line
        result[binary_dilation(line, iterations=thick)] = 0
        result[line] = _OUTLINE
    return result


def contour(anomaly_map: np.ndarray, threshold: float) -> np.ndarray:
    """The border of what lies above the threshold, one pixel wide and inside of it: bool ``(H, W)``.

    The edge of the image is no border.
    """
    above = np.asarray(anomaly_map) > threshold
    return above & ~binary_erosion(above, border_value=1)


def tiff_bytes(values: np.ndarray) -> bytes:
    """A map as a compressed TIFF of 32-bit floats; made in memory, as libtiff does not say why it cannot write."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", compression="tiff_adobe_deflate")
    return file.getvalue()


def export(
    folder: str | Path,
    name: str,
    anomaly_map: np.ndarray,
    image: np.ndarray,
    scale: ColourScale,
    threshold: float | None = None,
) -> ExportedMaps:
    """Write ``<name>.png``, the overlay, and ``<name>.tiff``, the map at the image's resolution in 32-bit floats.

    The TIFF's values are those of :func:`upsample`, unrounded, also where the colour scale clips them:
    ``numpy.asarray(PIL.Image.open(path))`` gives them back.

    Args:
        folder: made if it is missing.
        name: without suffix; ``broken_large/000`` makes a sub-folder, as file names repeat between defect types.
        anomaly_map, image, scale, threshold: as for :func:`overlay`.

    Raises:
        Hw3Error: a name that leads out of the folder, a folder that cannot be written, or as :func:`overlay`.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or "\\" in name:
        raise Hw3Error(f"name={name!r}: expected a name below the folder, such as broken_large/000")
    picture = overlay(image, anomaly_map, scale, threshold)
    full = upsample(anomaly_map, picture.shape[:2])
    target = Path(folder).joinpath(*parts)
    files = ExportedMaps(target.with_name(target.name + ".png"), target.with_name(target.name + ".tiff"))
    with atomic_path(files.overlay) as overlay_file, atomic_path(files.values) as values_file:
        Image.fromarray(picture).save(overlay_file)
        values_file.write_bytes(tiff_bytes(full))
    return files
