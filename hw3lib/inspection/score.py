"""Score photographs with an inspector: what ``hw3 inspect score`` and ``hw3 detect score`` do."""

from __future__ import annotations

import csv
import heapq
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from hw3lib.anomaly.maps import overlay, tiff_bytes, upsample
from hw3lib.core.files import SPREADSHEET, atomic_folder, expanded, refuse_existing
from hw3lib.core.text import counted, printable
from hw3lib.data.folders.find import is_category, refuse_inside_category
from hw3lib.data.pixels.geometry import say_fit
from hw3lib.data.pixels.images import read_image
from hw3lib.errors import Hw3Error

from .inspector import IMPLAUSIBLE, Found, Inspector
from .photographs import find_photographs, read_batches, reason
from .plausibility import doubt_batch

if TYPE_CHECKING:
    from hw3lib.annotate.instances import Instance

    from .evaluation import Evaluation

RESULTS, REGIONS, FAILED = "results.csv", "regions", "failed.csv"
COLUMNS = ("file", "score", "p_value", "anomalous", "threshold", "warning", "reason", "verdict", "types")
REGION_COLUMNS = ("file", "region", "x", "y", "width", "height", "area", "peak", "types", "segmentation")
FORMATS = ("csv", "jsonl", "coco")
Format = Literal["csv", "jsonl", "coco"]
STDOUT = "-"
_TOP = 5  # most anomalous images that are named
_SEPARATOR = "|"  # of types
UNKNOWN, NEW = "defect", "new"  # in the place of a type: where none is learned, and of a defect that is of none


@dataclass
class Scored:
    """What came out of :func:`score`.

    Attributes:
        threshold: the threshold of the scores.
        said: where the threshold comes from, a sentence.
        images: number of images scored.
        anomalous: how many of them are above the threshold.
        implausible: how many photographs, above or not, are none that can be judged.
        top: the highest scores with their p-values (NaN where there are none) and files, highest first.
        failed: ``(file, reason)`` of each image, and each folder, that could not be read.
        warnings: ``(file, what is odd about it)``, such as values beyond the range of the good images.
        evaluated: how well the labels and masks of a category are found, a sentence each, see :class:`.Evaluation`;
            empty where no labels are known.
        batch: what is odd about all of them together, a sentence, or empty.
    """

    threshold: float
    said: str
    images: int = 0
    anomalous: int = 0
    implausible: int = 0
    top: list[tuple[float, float, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    evaluated: list[str] = field(default_factory=list)
    batch: str = ""

    def add(self, found: Found) -> None:
        """Count a photograph."""
        file = str(found.photograph.path)
        if found.broken:
            self.failed.append((file, found.broken))
            return
        self.images += 1
        self.anomalous += found.above
        self.implausible += found.verdict == IMPLAUSIBLE
        if found.warning:
            self.warnings.append((file, found.warning))
        heapq.heappush(self.top, (found.score, found.p_value, file))
        if len(self.top) > _TOP:
            heapq.heappop(self.top)


def score(  # noqa: PLR0913, settings by keyword
    place: str | Path,
    places: Sequence[str | Path],
    out: str | Path,
    *,
    regions: Format | None = None,
    overlays: bool = False,
    tiff: bool = False,
    false_alarm_rate: float | None = None,
    threshold: float | None = None,
    recursive: bool = False,
    force: bool = False,
    progress: bool = False,
    echo: Callable[[str], None] = print,
    stdout: IO[str] | None = None,
) -> Scored:
    """Score photographs; memory does not grow with their number, but for defective pixels that a category's masks know.

    Writes one folder, whole or not at all: ``results.csv`` with one row a photograph (:data:`COLUMNS`); on request
    ``regions.csv``, ``regions.jsonl`` or, as COCO, ``regions.json`` with one a region; ``overlays/NAME.png`` and
    ``maps/NAME.tiff`` (32-bit floats) at each image's own resolution. The row of an image or folder that cannot be read
    has the reason, and neither score nor verdict; if there is any, ``failed.csv`` (file, reason) lists them once more.
    For the warning see :attr:`.Found.warning`.

    Args:
        place: folder of an inspector or a detector, or an ONNX file.
        places: images, folders of images, and categories, of which the test images are scored. Each image comes to
            the detector's size as the good ones did, whatever a category says.
        out: folder of the results; ``-``: rows go to ``stdout`` and no folder is written.
        regions: find regions, and types where the inspector knows them, and write them so. None: neither.
        overlays: heat map and outline of what is above the map's threshold, over the image.
        tiff: the maps' values.
        false_alarm_rate: sets the threshold again, from the scores of the good images.
        threshold: takes this one instead.
        recursive: score the images of sub-folders too.
        force: replace results at ``out``.
        progress: show a bar.
        echo: receives messages before the images are scored.
        stdout: for ``-``: rows of ``results.csv``, objects a line that hold their regions, or one of COCO.

    Raises:
        Hw3Error: no detector, no image, a threshold that is not a number, no good images' scores to set one by, maps
            of a detector that has none, or ``out`` exists. An image that cannot be read is no error.
    """
    inspector = Inspector(
        place, false_alarm_rate=false_alarm_rate, threshold=threshold, types=None if regions else False, echo=echo
    )
    model = inspector.model
    if (overlays or tiff) and not model.has_maps:
        raise Hw3Error(f"{place}: {model.name} looks at the image as a whole and has no anomaly map to draw or save")
    if overlays and inspector.colours is None:
        raise Hw3Error(
            f"{place}: no good image has a map to compare with, so nothing says which values of a map are normal; "
            "--tiff gives the values themselves"
        )
    if str(out) == STDOUT and (overlays or tiff):
        raise Hw3Error("--out -: overlays and maps need a folder; give one")
    if str(out) != STDOUT:
        refuse_inside_category(out, *filter(is_category, map(expanded, places)))
        refuse_existing(Path(out), force, RESULTS, "a folder of results")
    photographs = find_photographs([expanded(place) for place in places], echo, recursive)
    side = model.image_size
    images = counted(len(photographs) - photographs.folders, "image")
    echo(f"{images} for {model.name}; each is {say_fit(model.reading_.fit, side)}")

    done, evaluation = Scored(inspector.threshold, inspector.said), None
    with (
        atomic_folder(out, replace=force) if str(out) != STDOUT else nullcontext() as folder,
        _writers(folder, regions, stdout, inspector) as writers,
        ThreadPoolExecutor() as pool,
        tqdm(total=len(photographs), desc=f"{model.name}: score", unit="image", disable=not progress) as bar,
    ):
        for batch in read_batches(photographs, side, model.batch_size, pool, model.reading_):
            bar.update(len(batch.photographs))
            some = list(inspector.look(batch, regions=regions is not None and (folder is not None or regions != "csv")))
            if folder is not None and (overlays or tiff):
                list(pool.map(lambda found: _draw(inspector, found, folder, overlays, tiff), some))
            for found in some:
                done.add(found)
                for write in writers:
                    write(found)
                label = found.photograph.label
                if label is not None and not found.broken:
                    evaluation = evaluation or _evaluation()
                    evaluation.add(label, found.score, found.anomaly_map)
        if done.failed and folder is not None:
            _write_failed(folder / FAILED, done.failed)
    done.evaluated = evaluation.say(inspector.threshold) if evaluation else []
    done.batch = "" if evaluation else doubt_batch(done.anomalous, done.images)
    done.top.sort(reverse=True)
    return done


def _draw(inspector: Inspector, found: Found, folder: Path, overlays: bool, tiff: bool) -> None:
    """Save its pictures; why it cannot be drawn, its warning says."""
    if found.broken or found.anomaly_map is None:
        return
    path, name = found.photograph.path, found.photograph.name
    try:
        image = read_image(path, reading=inspector.model.reading_)
    except Hw3Error as error:
        found.warning = "; ".join(filter(None, (found.warning, f"not drawn: {reason(error, path)}")))
        return
    if overlays:
        assert inspector.colours is not None  # or it was refused
        _save(overlay(image, found.anomaly_map, *inspector.colours), folder / "overlays" / f"{name}.png")
    if tiff:
        _save(upsample(found.anomaly_map, image.shape[:2]), folder / "maps" / f"{name}.tiff")


Writer = Callable[[Found], object]


@contextmanager
def _writers(
    folder: Path | None, regions: Format | None, stdout: IO[str] | None, inspector: Inspector
) -> Iterator[list[Writer]]:
    """What writes each photograph where it belongs, and what is left at the end."""
    limit = inspector.threshold
    coco = _Coco() if regions == "coco" else None
    if folder is None:
        assert stdout is not None
        yield [coco.add if coco else _lines(stdout, limit) if regions == "jsonl" else _rows(stdout, limit)]
        if coco:
            stdout.write(json.dumps(coco.content(inspector), ensure_ascii=False) + "\n")
        return
    with (
        (folder / RESULTS).open("w", newline="", encoding=SPREADSHEET) as results,
        (folder / f"{REGIONS}.{regions}").open("w", newline="", encoding=SPREADSHEET if regions == "csv" else "utf-8")
        if regions in ("csv", "jsonl")
        else nullcontext(io.StringIO()) as beside,
    ):
        writers: list[Writer] = [_rows(results, limit)]
        if regions:
            writers.append(coco.add if coco else _region_rows(beside) if regions == "csv" else _region_lines(beside))
        yield writers
        if coco:
            text = json.dumps(coco.content(inspector), ensure_ascii=False)
            (folder / f"{REGIONS}.json").write_text(text, encoding="utf-8")


def row_of(found: Found, limit: float) -> dict[str, Any]:
    """A photograph's row of ``results.csv``, by :data:`COLUMNS`, of plain values; None where nothing is said."""
    values: tuple[Any, ...]
    if found.broken:
        values = (None, None, None, limit, None, printable(found.broken), None, None)
    else:
        p = None if math.isnan(found.p_value) else found.p_value
        types = None if found.types is None else found.types.names
        values = (found.score, p, found.above, limit, printable(found.warning) or None, None, found.verdict, types)
    return dict(zip(COLUMNS, (printable(str(found.photograph.path)), *values), strict=True))


def region_rows(found: Found) -> Iterator[dict[str, Any]]:
    """A photograph's regions, by :data:`REGION_COLUMNS`, the largest peak first: boxes and areas in its own pixels.

    ``segmentation`` is COCO's: a polygon, or run lengths where one polygon is not the same pixels. ``types`` are the
    photograph's, for what is said of its most anomalous place.
    """
    # Most scoring asks for no regions.
    from hw3lib.annotate.formats.coco import segmentation

    types = None if found.types is None else found.types.names
    for number, (region, peak) in enumerate(found.regions, 1):
        values = (number, *region.xywh, region.area, peak, types, segmentation(region))
        yield dict(zip(REGION_COLUMNS, (printable(str(found.photograph.path)), *values), strict=True))


def cell(value: Any) -> Any:
    """A value as a spreadsheet holds it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, dict) or isinstance(value, list) and not all(isinstance(each, str) for each in value):
        return json.dumps(value)
    if isinstance(value, list):
        return _SEPARATOR.join(value) or NEW
    return value


def _table(file: IO[str], columns: Sequence[str]) -> Callable[[dict[str, Any]], object]:
    writer = csv.writer(file)
    writer.writerow(columns)
    return lambda row: writer.writerow([cell(row[column]) for column in columns])


def _rows(file: IO[str], limit: float) -> Writer:
    write = _table(file, COLUMNS)
    return lambda found: write(row_of(found, limit))


def _region_rows(file: IO[str]) -> Writer:
    write = _table(file, REGION_COLUMNS)
    return lambda found: [write(row) for row in region_rows(found)]


def _lines(file: IO[str], limit: float) -> Writer:
    def write(found: Found) -> None:
        told = row_of(found, limit) | {"regions": list(region_rows(found))}
        if found.types is not None:
            told |= {"probabilities": found.types.probabilities, "type_p_values": found.types.p_values}
        file.write(json.dumps(told, ensure_ascii=False) + "\n")
        file.flush()

    return write


def _region_lines(file: IO[str]) -> Writer:
    return lambda found: file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in region_rows(found))


class _Coco:
    """Photographs and their regions as one COCO object: the class is the most probable type of a photograph's set."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.found: list[Instance] = []

    def add(self, found: Found) -> None:
        if found.broken:
            return
        types = None if found.types is None else found.types.names
        name = UNKNOWN if types is None else types[0] if types else NEW
        self.found += [replace(region, row=len(self.names), defect=name) for region, _ in found.regions]
        self.names.append(printable(str(found.photograph.path)))
        self.sizes.append(found.size)

    def content(self, inspector: Inspector) -> dict[str, Any]:
        # As above.
        from hw3lib.annotate.dataset import Dataset
        from hw3lib.annotate.formats.coco import to_coco
        from hw3lib.annotate.instances import Instances

        classes = [*inspector.types.classes, NEW] if inspector.types else [UNKNOWN]
        splits = ["test"] * len(self.names)
        return to_coco(Dataset(self.names, self.names, self.sizes, splits, Instances(self.found), classes))


def _evaluation() -> Evaluation:
    from .evaluation import Evaluation  # what it counts with takes a second to import

    return Evaluation()


def _write_failed(path: Path, failed: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding=SPREADSHEET) as file:
        csv.writer(file).writerows([("file", "reason"), *((printable(name), printable(why)) for name, why in failed)])


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tiff":
        path.write_bytes(tiff_bytes(pixels))
    else:
        Image.fromarray(pixels).save(path)
