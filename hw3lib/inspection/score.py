"""Score a folder of photographs with a fitted detector: what ``hw3 detect score`` does."""

from __future__ import annotations

import csv
import heapq
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from hw3lib.anomaly.maps import ColourScale, overlay, tiff_bytes, upsample
from hw3lib.anomaly.onnx.detector import OnnxDetector
from hw3lib.anomaly.registry import load_detector
from hw3lib.anomaly.thresholds import conformal_threshold, p_values, silence_few_good_images
from hw3lib.core.files import SPREADSHEET, atomic_folder, expanded, refuse_existing
from hw3lib.core.text import counted, printable
from hw3lib.data.folders.find import is_category, refuse_inside_category
from hw3lib.data.pixels.geometry import say_fit
from hw3lib.data.pixels.images import read_image
from hw3lib.errors import Hw3Error

from .photographs import Photograph, find_photographs, read_batches, reason

if TYPE_CHECKING:
    from hw3lib.anomaly.detector import Detector

    from .evaluation import Evaluation

RESULTS, FAILED = "results.csv", "failed.csv"
COLUMNS = ("file", "score", "p_value", "anomalous", "threshold", "warning", "reason")
_TOP = 5  # most anomalous images that are named


@dataclass(frozen=True)
class Scored:
    """What came out of :func:`score`.

    Attributes:
        images: number of images scored.
        anomalous: how many of them are called anomalous.
        threshold: the threshold of the scores.
        said: where the threshold comes from, a sentence.
        top: the highest scores with their p-values (NaN where there are none) and files, highest first.
        failed: ``(file, reason)`` of each image, and each folder, that could not be read.
        warnings: ``(file, what is odd about its values)``, such as values beyond the range of the good images.
        evaluated: how well the labels and masks of a category are found, a sentence each, see :class:`.Evaluation`;
            empty where no labels are known.
    """

    images: int
    anomalous: int
    threshold: float
    said: str
    top: list[tuple[float, float, str]]
    failed: list[tuple[str, str]]
    warnings: list[tuple[str, str]]
    evaluated: list[str]


def score(
    detector: str | Path,
    places: Sequence[str | Path],
    out: str | Path,
    *,
    overlays: bool = False,
    tiff: bool = False,
    false_alarm_rate: float | None = None,
    threshold: float | None = None,
    recursive: bool = False,
    force: bool = False,
    progress: bool = False,
    echo: Callable[[str], None] = print,
) -> Scored:
    """Score photographs; memory does not grow with their number, but for defective pixels that a category's masks know.

    Writes one folder, whole or not at all: ``results.csv`` with one row a photograph (file, score, p_value, anomalous,
    threshold, warning, reason); on request ``overlays/NAME.png`` and ``maps/NAME.tiff`` (32-bit floats) at each image's
    own resolution. The row of an image or folder that cannot be read has the reason, and neither score nor verdict; if
    there is any, ``failed.csv`` (file, reason) lists them once more. For the warning see :attr:`Scored.warnings`.

    Args:
        detector: a detector's folder, or an ONNX file.
        places: images, folders of images, and categories, of which the test images are scored. Each image comes to
            the detector's size as the good ones did, whatever a category says.
        out: folder of the results.
        overlays: heat map and outline of what is above the map's threshold, over the image.
        tiff: the maps' values.
        false_alarm_rate: sets the threshold again, from the scores of the held-out good images.
        threshold: takes this one instead.
        recursive: score the images of sub-folders too.
        force: replace results at ``out``.
        progress: show a bar.
        echo: receives messages before the images are scored.

    Raises:
        Hw3Error: no detector, no image, a threshold that is not a number, no held-out good images to set one by, maps
            of a detector that has none, or ``out`` exists. An image that cannot be read is no error.
    """
    model = OnnxDetector(detector) if Path(detector).is_file() else load_detector(detector)
    if (overlays or tiff) and not model.has_maps:
        raise Hw3Error(f"{detector}: {model.name} looks at the image as a whole and has no anomaly map to draw or save")
    limit, said = threshold_and_promise(model, detector, false_alarm_rate, threshold)
    colours = map_colours(model, detector, false_alarm_rate, threshold) if overlays else None
    refuse_inside_category(out, *filter(is_category, map(expanded, places)))
    refuse_existing(Path(out), force, RESULTS, "a folder of results")
    photographs = find_photographs([expanded(place) for place in places], echo, recursive)
    side = model.image_size
    images = counted(len(photographs) - photographs.folders, "image")
    echo(f"{images} for {model.name}; each is {say_fit(model.reading_.fit, side)}")

    count, anomalous = 0, 0
    failed: list[tuple[str, str]] = []
    warned: list[tuple[str, str]] = []
    evaluation: Evaluation | None = None
    top: list[tuple[float, float, str]] = []
    with (
        atomic_folder(out, replace=force) as folder,
        (folder / RESULTS).open("w", newline="", encoding=SPREADSHEET) as file,
        ThreadPoolExecutor() as pool,
        tqdm(total=len(photographs), desc=f"{model.name}: score", unit="image", disable=not progress) as bar,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)

        def draw(photograph: Photograph, values: np.ndarray) -> str:
            try:
                image = read_image(photograph.path, reading=model.reading_)
            except Hw3Error as error:
                return f"not drawn: {reason(error, photograph.path)}"
            if colours is not None:
                _save(overlay(image, values, *colours), folder / "overlays" / f"{photograph.name}.png")
            if tiff:
                _save(upsample(values, image.shape[:2]), folder / "maps" / f"{photograph.name}.tiff")
            return ""

        for batch in read_batches(photographs, side, model.batch_size, pool, model.reading_):
            bar.update(len(batch.photographs))
            rows: dict[int, tuple[float, float, str]] = {}
            if batch.images is not None:
                scores, maps = model.score(batch.images)
                read = [at for at in range(len(batch.photographs)) if at not in batch.broken]
                shown = {} if maps is None else dict(zip(read, maps, strict=True))
                chances = np.full(len(read), np.nan)
                if len(model.good_scores_):
                    chances = p_values(model.good_scores_, scores, groups=model.good_groups_)
                warnings = batch.warnings
                if overlays or tiff:
                    assert maps is not None  # of a detector without them they were refused
                    drawn = pool.map(draw, (batch.photographs[at] for at in read), maps)
                    warnings = ["; ".join(filter(None, pair)) for pair in zip(warnings, drawn, strict=True)]
                rows = dict(zip(read, zip(scores.tolist(), chances.tolist(), warnings, strict=True), strict=True))
            for at, photograph in enumerate(batch.photographs):
                if at in batch.broken:
                    failed.append((str(photograph.path), batch.broken[at]))
                    table.writerow(
                        [printable(str(photograph.path)), "", "", "", f"{limit:.9g}", "", printable(batch.broken[at])]
                    )
                    continue
                value, chance, warning = rows[at]
                above = value > limit
                anomalous += above
                _row(table, photograph, value, chance, above, limit, warning)
                if warning:
                    warned.append((str(photograph.path), warning))
                heapq.heappush(top, (value, chance, str(photograph.path)))
                if len(top) > _TOP:
                    heapq.heappop(top)
                if photograph.label is not None:
                    evaluation = evaluation or _evaluation()
                    evaluation.add(photograph.label, value, shown.get(at))
            count += len(rows)
        if failed:
            _write_failed(folder / FAILED, failed)
    evaluated = evaluation.say(limit) if evaluation else []
    return Scored(count, anomalous, limit, said, sorted(top, reverse=True), failed, warned, evaluated)


def _evaluation() -> Evaluation:
    from .evaluation import Evaluation  # what it counts with takes a second to import

    return Evaluation()


def threshold_and_promise(
    model: Detector | OnnxDetector, place: str | Path, rate: float | None, value: float | None
) -> tuple[float, str]:
    """The threshold and the sentence that says where it comes from."""
    n = len(model.good_scores_)
    if value is not None:
        if not math.isfinite(value):
            raise Hw3Error(f"--threshold {value}: expected a finite number, in the unit of the scores")
        false_alarms = f"; {int((model.good_scores_ > value).sum())} of {n} held-out good images are above" if n else ""
        return value, f"Scores above {value:.4g} are called anomalous: the threshold was given{false_alarms}."
    if not n:
        raise Hw3Error(
            f"{place}: fitted without held-out good images, so it has no threshold; give one with --threshold"
        )
    with silence_few_good_images():
        rate = _rate(model) if rate is None else rate
        threshold = conformal_threshold(model.good_scores_, rate, groups=model.good_groups_)
    return threshold.value, str(threshold)


def _rate(model: Detector | OnnxDetector) -> float:
    """That the detector was fitted for; there is one where good images were held out."""
    asked = model if isinstance(model, OnnxDetector) else model.thresholds_
    assert asked is not None and asked.false_alarm_rate is not None
    return asked.false_alarm_rate


def map_colours(
    model: Detector | OnnxDetector, place: str | Path, rate: float | None, value: float | None
) -> tuple[ColourScale, float]:
    """Colours and outline of the overlays, from the maps of the held-out good images.

    A threshold that is given holds for scores. It is that of the maps only if each score is its map's maximum.
    """
    if not len(model.good_peaks_):
        raise Hw3Error(
            f"{place}: fitted without held-out good images, so nothing says which values of a map are normal; --tiff "
            "gives the values themselves"
        )
    if value is not None and np.array_equal(model.good_peaks_, model.good_scores_):
        limit = value
    else:
        with silence_few_good_images():
            rate = _rate(model) if rate is None else rate
            limit = conformal_threshold(model.good_peaks_, rate, groups=model.peak_groups_).value
    level = min(model.good_level_, limit - 1e-6 * max(abs(limit), 1.0))
    return ColourScale.anchored(level, limit), limit


def _row(
    table: Any, photograph: Photograph, value: float, chance: float, above: bool, limit: float, warning: str
) -> None:
    p = "" if math.isnan(chance) else f"{chance:.6g}"
    table.writerow([printable(str(photograph.path)), f"{value:.9g}", p, above, f"{limit:.9g}", printable(warning), ""])


def _write_failed(path: Path, failed: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding=SPREADSHEET) as file:
        csv.writer(file).writerows([("file", "reason"), *((printable(name), printable(why)) for name, why in failed)])


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tiff":
        path.write_bytes(tiff_bytes(pixels))
    else:
        Image.fromarray(pixels).save(path)
