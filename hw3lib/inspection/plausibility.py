"""Whether a photograph is one of the product in its light at all: what is not is said to be that, and no defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hw3lib import __version__
from hw3lib.core.files import write_json
from hw3lib.core.text import listed
from hw3lib.core.untrusted import read_json
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

FILE = "inspector.json"
_FORMAT = 1
_SIZES = 20  # different sizes of good photographs that are kept
_FLAT = 8  # of 255, between the darkest and the brightest hundredth: nothing can be seen
_GREY = 4  # of 255, mean difference of the channels: less is no colour
_MOST = 0.5  # share of the picture that is about as strange as its strangest place, beyond which it is no defect
_FEWEST = 5  # photographs of a batch of which all but one in ten are anomalous


class Look(NamedTuple):
    """What is measured of an image, 0 to 255: mean, range of the middle 98 hundredths, mean difference of channels."""

    brightness: float
    contrast: float
    colour: float

    @classmethod
    def of(cls, image: np.ndarray) -> Look:
        """Of an image ``(3, H, W)``."""
        grey = image.mean(0)
        low, high = np.quantile(grey, [0.01, 0.99])
        return cls(float(grey.mean()), float(high - low), float(np.ptp(image, axis=0).mean()))


def picture(images: ImageStack, row: int) -> np.ndarray:
    """An image of a stack without its padding, ``(3, H, W)``."""
    squares = images.images[images.squares_of(np.array([row]))]
    if images.geometries is None:
        return squares[0]
    return images.geometries[row].join(squares.transpose(0, 2, 3, 1)).transpose(2, 0, 1)


@dataclass(frozen=True)
class Plausible:
    """What good photographs have in common that no defect changes.

    Attributes:
        sizes: width and height of good photographs, the most frequent first.
        low, high: least and largest of their :class:`Look`.
    """

    sizes: list[tuple[int, int]]
    low: Look
    high: Look

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]], images: ImageStack) -> Plausible:
        """Of good photographs, and their sizes (width, height)."""
        looks = np.array([Look.of(picture(images, row)) for row in range(len(images))])
        counts = {size: list(sizes).count(size) for size in dict.fromkeys(sizes)}
        often = sorted(counts, key=lambda size: -counts[size])[:_SIZES]
        return cls(often, Look(*looks.min(0).tolist()), Look(*looks.max(0).tolist()))

    def save(self, folder: Path) -> None:
        """Write it beside a detector."""
        content = {"format": _FORMAT, "hw3lib": __version__, **asdict(self)}
        content |= {"low": self.low._asdict(), "high": self.high._asdict()}
        write_json(folder / FILE, content)

    @classmethod
    def load(cls, folder: Path) -> Plausible | None:
        """Read it; None where there is none, as beside detectors of earlier versions.

        Raises:
            Hw3Error: it is damaged.
        """
        file = folder / FILE
        if not file.is_file():
            return None
        try:
            told = read_json(file)
            sizes = [(int(width), int(height)) for width, height in told["sizes"]]
            return cls(sizes, *(Look(**{k: float(v) for k, v in told[name].items()}) for name in ("low", "high")))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Hw3Error(f"{file}: is damaged; fit the inspector again") from None

    def doubt_shape(self, size: tuple[int, int]) -> str:
        """What is said of a photograph of this width and height; empty where it may be one of the product."""
        width, height = size
        if not any(abs(width * h - height * w) <= 0.02 * max(width * h, height * w) for w, h in self.sizes):
            return f"{width}x{height} pixels, another shape than that of the good photographs ({self._say_sizes()})"
        if not any(w / 2 <= width <= 2 * w for w, _ in self.sizes):
            return f"{width}x{height} pixels, another size than that of the good photographs ({self._say_sizes()})"
        return ""

    def _say_sizes(self) -> str:
        return listed([f"{w}x{h}" for w, h in self.sizes[:3]]) + (", ..." if len(self.sizes) > 3 else "")


def doubt(known: Plausible | None, image: np.ndarray, size: tuple[int, int], above: float | None) -> str:
    """Why a photograph is none that can be judged, a clause; empty where it can be.

    Args:
        known: of the good photographs; None: nothing is.
        image: it, as the detector sees it, ``(3, h, w)``.
        size: width and height in pixels.
        above: share of its anomaly map above the map's threshold and half of its peak, if it is anomalous.
    """
    look = Look.of(image)
    flat = min(_FLAT, known.low.contrast / 2) if known else _FLAT
    if look.contrast < flat:
        shade = "black" if look.brightness < 40 else "white" if look.brightness > 215 else "of one shade"
        return f"camera or lamp: the photograph is all but {shade}"
    if known and (shape := known.doubt_shape(size)):
        return f"camera: {shape}"
    if known and known.low.colour > _GREY and look.colour < min(_GREY, known.low.colour) / 4:
        return "camera: the photograph is grey, and the good ones have colours"
    if above is None or above <= _MOST:
        return ""
    most = f"{above:.0%} of the picture is unlike the good photographs"
    if known:
        margin = 2 * max(known.high.brightness - known.low.brightness, 4)
        if not known.low.brightness - margin <= look.brightness <= known.high.brightness + margin:
            than = "darker" if look.brightness < known.low.brightness else "brighter"
            return f"light: {most}, and it is {than} than any of them"
    return f"wrong product, or another view or light: {most}"


def doubt_batch(anomalous: int, images: int) -> str:
    """What is said where nearly all photographs of a batch are anomalous, a sentence; empty where they are not."""
    if images < _FEWEST or anomalous < 0.9 * images:
        return ""
    return (
        f"{anomalous} of {images} photographs are anomalous: so many defects at once are rarer than another lamp, "
        "camera or product; look at these first"
    )
