"""Anomaly maps as people see them: at image resolution, on one colour scale, over the image, and as files."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from hw3lib.errors import Hw3Error

from .calibration import ColourScale

COLOURS = "inferno"
_OUTLINE = (255, 230, 0)
_OPACITY = 0.8  # of the brightest colour


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
) -> np.ndarray:
    """An image with its map in colours over it; where the map is dark the image is left as it is.

    Args:
        image: uint8 ``(H, W, 3)``, RGB, 0 to 255.
        anomaly_map: float ``(h, w)``; brought to the image's resolution.
        scale: see :attr:`hw3lib.anomaly.Detector.scale_`.
        threshold: with it, the border of what lies above is drawn in yellow on black.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        Hw3Error: another dtype or shape, NaN, or a scale of no width.
    """
    import matplotlib  # for one table of colours

    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise Hw3Error(f"image: found {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    if np.ndim(anomaly_map) != 2 or not np.isfinite(anomaly_map).all():
        raise Hw3Error(f"anomaly_map: found shape {np.shape(anomaly_map)}, expected (h, w) without NaN and infinity")
    if not scale.high > scale.low:
        raise Hw3Error(f"scale={scale}: expected low < high")
    full = upsample(anomaly_map, image.shape[:2])
    share = scale.share(full)
    colours = matplotlib.colormaps[COLOURS](share)[..., :3] * 255
    opacity = (_OPACITY * share)[..., None]
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
