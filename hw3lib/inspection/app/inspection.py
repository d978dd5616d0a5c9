"""What a fitted detector says of one photograph."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hw3lib.anomaly.maps import overlay
from hw3lib.core.text import percent
from hw3lib.data.pixels.decoding import BROKEN, FORMATS, NoPlugIn, open_image
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.images import Decoded, Squares, decode_image
from hw3lib.data.pixels.reading import PLAIN, Reading
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error
from hw3lib.inspection import inspector
from hw3lib.inspection.inspector import ANOMALOUS, GOOD, IMPLAUSIBLE, Found
from hw3lib.inspection.monitor import MEAN_TIME, Monitor, properties_of
from hw3lib.inspection.photographs import Batch, Photograph
from hw3lib.inspection.score import REGION_COLUMNS, region_rows

from .description import LARGEST

NO_TYPES = (
    "Type of defect: not known, for no labelled defects were learned from. Fit with `hw3 inspect fit`, or start the "
    "app with --types FOLDER, a category with one folder of photographs for each type of defect."
)
_SAID = {GOOD: "Good", ANOMALOUS: "Anomalous", IMPLAUSIBLE: "Not to be judged, see the warning"}
_REGION = [column for column in REGION_COLUMNS if column not in ("file", "region", "types")]
_SIDE = 800  # pixels of the longer side of the pictures on the page


def decode(content: bytes, name: str, reading: Reading = PLAIN) -> Decoded:
    """An uploaded photograph, uint8 ``(H, W, 3)``, upright, and what is odd about its values.

    Size, kind and number of pixels are checked before anything is decoded.

    Raises:
        Hw3Error: empty, larger than 30 MB, no photograph of a known kind, more than 100 million pixels, or damaged.
    """
    if not content:
        raise Hw3Error(f"{name} is empty (0 bytes); expected a photograph.")
    if len(content) > LARGEST:
        raise Hw3Error(f"{name} has {len(content) / 1e6:.1f} MB; at most {LARGEST / 1e6:.0f} MB are taken.")
    kinds = ", ".join(FORMATS)
    try:
        open_image(io.BytesIO(content), FORMATS).close()
    except NoPlugIn as error:
        raise Hw3Error(f"{name} {error}.") from None
    except Image.DecompressionBombError as error:
        raise Hw3Error(f"{name} {str(error).removeprefix('it ')}.") from None
    except BROKEN:
        raise Hw3Error(f"{name} is not a photograph that can be read; expected one of {kinds}.") from None
    try:
        return decode_image(io.BytesIO(content), reading=reading)
    except Hw3Error as error:
        reason = str(error.__context__ or "it ends too early")
        raise Hw3Error(f"{name} is damaged and cannot be read ({reason}). Copy it again.") from None


class Inspector(inspector.Inspector):
    """An inspector of photographs that come as bytes.

    Attributes:
        monitor: watches what is inspected, once it was started.
    """

    monitor: Monitor | None = None

    def start(self) -> None:
        """Inspect from now on what production sends: watch it for a drift, and be as fast at once as later."""
        blank = io.BytesIO()
        Image.new("RGB", (64, 64)).save(blank, "PNG")
        self.inspect(blank.getvalue(), "")
        if self.types is not None:
            self.types.type_of(np.zeros((64, 64, 3), np.uint8))
        self.monitor = Monitor.of(self.model, self.threshold)

    def inspect(self, content: bytes, name: str, pictures: bool = True) -> dict[str, Any]:
        """Everything that the page shows; strings, numbers and the bytes of two JPEG pictures.

        Returns:
            ``name, width, height, score, threshold, anomalous, p_value``; ``verdict`` (one of :data:`VERDICTS`);
            ``regions`` (box, area, peak and outline of each); ``drift`` (see :attr:`.Monitor.level`); ``judgement,
            chance, limit, warning`` and ``type`` (sentences); ``types`` (probability by type, or None); ``type_set``
            (those that it may be of, or None); ``photograph`` and ``heat_map`` (JPEG of the same size, or None where
            they are not asked for or the detector has no maps).
            ``p_value`` is None where the detector is another than the one that was fitted.

        Raises:
            Hw3Error: as :func:`decode`.
        """
        image, warning = decode(content, name, self.model.reading_)
        reading = self.model.reading_
        geometry = Geometry(image.shape[1], image.shape[0], self.model.image_size, reading.fit)
        squares = Squares(geometry.squares(Image.fromarray(image)), geometry, "")
        size = (geometry.width, geometry.height)
        batch = Batch([Photograph(Path(name), name, None)], ImageStack.of([squares], reading), [warning], {}, [size])
        (found,) = self.look(batch, lambda _: image, regions=True)
        drift = self._drift(found, image)
        score, map_, anomalous = found.score, found.anomaly_map, found.above
        p, chance = None, self.model.changed_
        if not chance:
            groups = self.model.good_groups_
            n = len(self.model.good_scores_) if groups is None else len(np.unique(groups))
            p = found.p_value
            chance = say_p_value(p, n)
        shown = _reduced(image) if pictures else None
        heat_map = None
        if shown is not None and map_ is not None and self.colours is not None:
            heat_map = _jpeg(overlay(shown, map_, *self.colours))
        return {
            "name": name,
            "width": image.shape[1],
            "height": image.shape[0],
            "score": score,
            "threshold": self.threshold,
            "anomalous": anomalous,
            "p_value": p,
            "verdict": found.verdict,
            "regions": [{key: row[key] for key in _REGION} for row in region_rows(found)],
            "drift": drift,
            "judgement": f"{_SAID[found.verdict]}: the score {score:.4g} is "
            f"{'above' if anomalous else 'not above'} the threshold {self.threshold:.4g}.",
            "chance": chance,
            "limit": self.said,
            "warning": f"{name}: {found.warning}." if found.warning else "",
            "type": self._say_type(found),
            "types": found.types and found.types.probabilities,
            "type_set": found.types and found.types.names,
            "photograph": None if shown is None else _jpeg(shown),
            "heat_map": heat_map,
        }

    def _drift(self, found: Found, image: np.ndarray) -> float:
        """Evidence of a drift with this photograph; where there is enough its warning says so."""
        if self.monitor is None:
            return 0.0
        level = self.monitor.add(found.score, properties_of(image))
        if level >= MEAN_TIME:
            said = "production has drifted since the start: {} of photographs {}".format(*self.monitor.sign)
            found.warning = "; ".join(filter(None, (found.warning, said)))
        return level

    def _say_type(self, found: Found) -> str:
        """The types that it may be of in a sentence, and how much that is worth."""
        if found.verdict != ANOMALOUS:
            return ""
        if self.types is None:
            return NO_TYPES
        if found.types is None:
            return ""
        right, of = self.types.right
        held = self.types.coverage().percent()
        return (
            f"Type of defect: {found.types.say()}. In cross-validation on the labelled photographs the most probable "
            f"type was right for {right} of {of}, and the right one was among those that are named for {held}."
        )


def say_p_value(p: float, n: int) -> str:
    """A conformal p-value in words; ``n`` is the number of good products it comes from."""
    least = p <= 1 / (n + 1) + 1e-12
    if least:
        start = f"None of the {n} good products that set the threshold looked as unusual as this one"
    else:
        alike = round(p * (n + 1) - 1, 1)  # a product of which some photographs look so counts their share
        start = f"{alike:g} of the {n} good products that set the threshold looked at least as unusual as this one"
    return f"p = {p:.3g}: {start}; among good products at most {percent(p)} look so on average."


def _reduced(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    picture.thumbnail((_SIDE, _SIDE))
    return np.asarray(picture)


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
