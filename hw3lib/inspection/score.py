"""Score a folder of photographs with a fitted detector: what ``hw3 detect score`` does."""

from __future__ import annotations

import csv
import heapq
import math
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from hw3lib.anomaly.calibration import ChangedDetector
from hw3lib.anomaly.maps import overlay, tiff_bytes, upsample
from hw3lib.anomaly.onnx.detector import OnnxDetector
from hw3lib.anomaly.registry import load_detector
from hw3lib.anomaly.thresholds import Threshold
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
        false_alarm_rate: sets the threshold again, from the scores of the good images.
        threshold: takes this one instead.
        recursive: score the images of sub-folders too.
        force: replace results at ``out``.
        progress: show a bar.
        echo: receives messages before the images are scored.

    Raises:
        Hw3Error: no detector, no image, a threshold that is not a number, no good images' scores to set one by, maps
            of a detector that has none, or ``out`` exists. An image that cannot be read is no error.
    """
    model = load_model(detector)
    if (overlays or tiff) and not model.has_maps:
        raise Hw3Error(f"{detector}: {model.name} looks at the image as a whole and has no anomaly map to draw or save")
    chosen = threshold_of(model, detector, false_alarm_rate, threshold)
    limit = chosen.value
    if overlays and not len(model.good_peaks_):
        raise Hw3Error(
            f"{detector}: no good image has a map to compare with, so nothing says which values of a map are normal; "
            "--tiff gives the values themselves"
        )
    colours = (model.colours(chosen), model.map_limit(chosen)) if overlays else None
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
                if len(model.good_scores_) and not model.changed_:
                    chances = model.p_values(scores)
                odd = batch.warnings
                if overlays or tiff:
                    assert maps is not None  # of a detector without them they were refused
                    drawn = pool.map(draw, (batch.photographs[at] for at in read), maps)
                    odd = ["; ".join(filter(None, pair)) for pair in zip(odd, drawn, strict=True)]
                rows = dict(zip(read, zip(scores.tolist(), chances.tolist(), odd, strict=True), strict=True))
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
    return Scored(count, anomalous, limit, str(chosen), sorted(top, reverse=True), failed, warned, evaluated)


def _evaluation() -> Evaluation:
    from .evaluation import Evaluation  # what it counts with takes a second to import

    return Evaluation()


def load_model(detector: str | Path) -> Detector | OnnxDetector:
    """A detector's folder or ONNX file; that it is another than the one that was saved, its threshold says."""
    if not Path(detector).is_file():
        return load_detector(detector)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChangedDetector)
        return OnnxDetector(detector)


def threshold_of(
    model: Detector | OnnxDetector, place: str | Path, rate: float | None = None, value: float | None = None
) -> Threshold:
    """As :meth:`.Calibrated.threshold_at`, with the detector's place in errors."""
    try:
        return model.threshold_at(rate, value)
    except Hw3Error as error:
        raise Hw3Error(f"{place}: {error}") from None


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
