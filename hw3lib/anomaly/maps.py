"""Anomaly maps as people see them: at image resolution, on one colour scale, over the image, and as files."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from hw3lib.errors import Hw3Error

from .calibration import ColourScale

_OUTLINE = (255, 230, 0)
_OPACITY = 0.8  # of the brightest colour
# Matplotlib's colours "inferno", for machines without it.
_INFERNO = np.frombuffer(
    base64.b85decode(
        "000C500jX71_1#G0s#sF0t^BI4g&%Z1OpNT0~7@W7X}0w2L&4l1sw?n9|{K|3kM_&2qp~(DGmuM5D6_23NR81G879m6$>{O3pp4JJQ)l=8w^1l3_"
        "~6aMIQ`EAq+|*3``^pPbLgeC<{|53sox%S1k)!FA7^R3S2S@UNj0{HVI)k31T@3V>=0CJqcw#31&bFXF>{SL<(p{3Ta0RYDo)fN(^gE3~NmdY)=h"
        "rQ4VZU4sBEqZB-9#R}gMl5N=u#Zd?*>T@r3z6K-J>ZekQ}WEE~@6>eu1ZfO>7Y8P&77;bGCZf_ZGaT#uM8g6tNZgm@OcN}ea9Bq0XZG0VVeI9Lp9"
        "&CUgY=R(cgdl5$A!~;rYltFhiXv)^BWaBzX^$jnkR@o6C1{f-XO$*rmnUYJCuW)`Wt%Bvohf9WDr2B3W1=f!qby;iEMTTBV5lx%sV-itFJ7%MU9K"
        "=(urXV)GFr1TTC_7+wlr9`HCMScR=PG-yf;+6I8(nlQouS<!8%aGJ5R(sPR2b=$39HRKTFC$O3Oh>%tA=cLr2d<M$kn?(ndtnM?=&|Le)w^*GoUx"
        "Og`C7J=#t@+fX~*Q99mIINwt@;8ix^RyE>RG~-z_<XSQ1TrlQcFXvt^=wL1BVJqrmD(hq^>t-nIXD01wCGKh@?`$LQZXxh*An|b@@pB#WbR6?`8}"
        "oP>^m!Qddl&V67507<_J9-jf)e+H5cq`;_=gVoi46IR3;B!+`Hl(tkO=yc2l|u;`<4d#mj?Tp2K$=^`<(~;p9lP*2>hc7{G|%~rVRY34g9JP{Hzi"
        "Dt`hvP6#TLl{InSRwi^4m9s9Z;`@A9hz9ag;Ci=oC`ot>w#x42BFZszb`O7u<%{TbZI``2%_tQZ3)kF5zM)lcA_1jGJ-B0x2Q}p3h^W$3c<z4dTV"
        "e;r@^6F{v>}~Pwaq;hU@$q@`@_q93g7fu;^Y)7L_>T4YlJ@$R`1_jq{GIy!q5S`("
    ),
    np.uint8,
).reshape(256, 3)


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
    maps = np.asarray(maps)
    sides = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if maps.ndim not in (2, 3) or not maps.size or len(sides) != 2 or min(sides) < 1:
        raise Hw3Error(f"maps: {maps.shape}, size: {sides}; expected maps (N, h, w) or (h, w) and a size (H, W)")
    result = maps.astype(np.float32)
    for axis in (-1, -2):
        low, high, share = _between(maps.shape[axis], int(sides[axis]))
        share = share if axis == -1 else share[:, None]
        result = result.take(low, axis) * (1 - share) + result.take(high, axis) * share
    return result


def _between(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels that each wanted one lies between, and its share of the second, float32."""
    at = np.clip((np.arange(wanted) + 0.5) * (length / wanted) - 0.5, 0, length - 1)
    low = at.astype(int)
    return low, np.minimum(low + 1, length - 1), (at - low).astype(np.float32)


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
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise Hw3Error(f"image: found {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    if np.ndim(anomaly_map) != 2 or not np.isfinite(anomaly_map).all():
        raise Hw3Error(f"anomaly_map: found shape {np.shape(anomaly_map)}, expected (h, w) without NaN and infinity")
    if not scale.high > scale.low:
        raise Hw3Error(f"scale={scale}: expected low < high")
    full = upsample(anomaly_map, image.shape[:2])
    share = scale.share(full)
    colours = _INFERNO[np.minimum((share * 256).astype(int), 255)]
    opacity = (_OPACITY * share)[..., None]
    result = np.round((1 - opacity) * image + opacity * colours).astype(np.uint8)
    if threshold is not None:
        from scipy.ndimage import binary_dilation  # as slow to import as all that a score takes, which draws nothing

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
    from scipy.ndimage import binary_erosion  # as above

    above = np.asarray(anomaly_map) > threshold
    return above & ~binary_erosion(above, border_value=1)


def tiff_bytes(values: np.ndarray) -> bytes:
    """A map as a compressed TIFF of 32-bit floats; made in memory, as libtiff does not say why it cannot write."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", compression="tiff_adobe_deflate")
    return file.getvalue()
