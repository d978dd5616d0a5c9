"""One inspector: a detector, what it knows of good photographs and of labelled defects, and what it says of others."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw3lib.anomaly.calibration import ChangedDetector
from hw3lib.anomaly.onnx.detector import OnnxDetector
from hw3lib.anomaly.registry import load_detector
from hw3lib.anomaly.thresholds import Threshold
from hw3lib.classify.guided.exported import LOOK, OnnxTypes
from hw3lib.core.files import expanded, file_digest, read_json, write_json
from hw3lib.core.places import project_root
from hw3lib.core.provenance import code_version, versions
from hw3lib.data.overlooked import overlooked
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import Reading
from hw3lib.data.table import digest, load_folder
from hw3lib.errors import Hw3Error

from .photographs import Batch, Photograph, reason
from .plausibility import Plausible, doubt, picture

if TYPE_CHECKING:
    from hw3lib.annotate.instances import Instance
    from hw3lib.anomaly.detector import Detector
    from hw3lib.classify.guided.recognition import Recognition, TypeOf
    from hw3lib.classify.guided.types import DefectTypes

LEARNED = "learned.json"
TYPES, DETECTOR = "types", "detector.onnx"  # in the folder of an inspector, the latter of one that was exported
GOOD, ANOMALOUS, IMPLAUSIBLE = VERDICTS = ("good", "anomalous", "implausible")

Echo = Callable[[str], None]
Read = Callable[[Photograph], np.ndarray]


@dataclass
class Found:
    """What is said of one photograph.

    Attributes:
        photograph: it.
        size: ``(H, W)`` in pixels.
        score, p_value: of the detector; NaN without good images' scores.
        above: whether the score is above the threshold.
        verdict: one of :data:`VERDICTS`.
        anomaly_map: float32 ``(h, w)``, or None.
        warning: what is odd about it; of an implausible one why it is.
        types: of an anomalous one, where labelled defects were learned from.
        regions: what lies above the map's threshold, largest peak first, and the peaks.
        broken: why it could not be read; then nothing else is said.
    """

    photograph: Photograph
    size: tuple[int, int] = (0, 0)
    score: float = math.nan
    p_value: float = math.nan
    above: bool = False
    verdict: str = ""
    anomaly_map: np.ndarray | None = None
    warning: str = ""
    types: TypeOf | None = None
    regions: tuple[tuple[Instance, float], ...] = ()
    broken: str = ""


class Inspector:
    """A detector with its threshold and, where they are known, the types of defects.

    Args:
        place: folder of an inspector, exported or not, or of a detector, or an ONNX file.
        false_alarm_rate, threshold: see :meth:`.Calibrated.threshold_at`.
        types: a category with labelled defects, learned from in place of what the folder holds; False: none.
        progress: show a bar while types are learned.
        echo: receives messages.

    Raises:
        Hw3Error: something is missing or damaged, or there is no threshold.
    """

    def __init__(
        self,
        place: str | Path,
        *,
        false_alarm_rate: float | None = None,
        threshold: float | None = None,
        types: str | Path | bool | None = None,
        progress: bool = False,
        echo: Echo = print,
    ):
        self.place = Path(place)
        self.model: Detector | OnnxDetector = load_model(place)
        self.chosen = threshold_of(self.model, place, false_alarm_rate, threshold)
        self.threshold, self.said = self.chosen.value, str(self.chosen)
        has_limit = self.model.has_maps and len(self.model.good_peaks_) > 0
        self.colours = (self.model.colours(self.chosen), self.model.map_limit(self.chosen)) if has_limit else None
        self.known = Plausible.load(self.place)
        self._learned = learned(self.place)
        self.types: Recognition | None = None
        if isinstance(types, str | Path):
            self.types = kept_types(types, self.model.reading_, progress, echo)
        elif types is None and (self.place / TYPES).is_dir():
            self.types = load_types(self.place / TYPES)

    def look(self, batch: Batch, read: Read | None = None, regions: bool = False) -> Iterator[Found]:
        """What is said of each photograph of a batch, in order.

        Args:
            batch: of :func:`.read_batches`.
            read: gives a photograph's pixels, uint8 ``(H, W, 3)``; by default its file is read again.
            regions: find them.

        A good photograph that was learned from, as after an update, comes back without its label: it judges no more.
        """
        broken = {at: Found(batch.photographs[at], broken=why) for at, why in batch.broken.items()}
        scores, maps = (np.zeros(0), None) if batch.images is None else self.model.score(batch.images)
        chances = np.full(len(scores), np.nan)
        if len(scores) and len(self.model.good_scores_) and not self.model.changed_:
            chances = self.model.p_values(scores)
        row = 0
        for at, photograph in enumerate(batch.photographs):
            if at in broken:
                yield broken[at]
                continue
            width, height = batch.sizes[row]
            found = Found(self._to_judge(photograph), (height, width), float(scores[row]), float(chances[row]))
            found.anomaly_map, found.warning = None if maps is None else maps[row], batch.warnings[row]
            assert batch.images is not None
            self._judge(found, picture(batch.images, row))
            if found.verdict == ANOMALOUS:
                self._explain(found, read or self._read, regions)
            row += 1
            yield found

    def _to_judge(self, photograph: Photograph) -> Photograph:
        """A photograph, without its label if it is a good one that was learned from."""
        label = photograph.label
        if label is None or label.is_defect or not self._learned or file_digest(photograph.path) not in self._learned:
            return photograph
        return photograph._replace(label=None)

    def _judge(self, found: Found, image: np.ndarray) -> None:
        found.above = found.score > self.threshold
        share = None
        if found.above and found.anomaly_map is not None and self.colours is not None:
            # A strong defect, smoothed, may raise all of a small map a little; of another product all is as strange.
            share = float((found.anomaly_map > max(self.colours[1], found.anomaly_map.max() / 2)).mean())
        why = doubt(self.known, image, (found.size[1], found.size[0]), share)
        found.verdict = IMPLAUSIBLE if why else ANOMALOUS if found.above else GOOD
        found.warning = "; ".join(filter(None, (why, found.warning)))

    def _explain(self, found: Found, read: Read, regions: bool) -> None:
        """Regions and types of an anomalous one."""
        if regions and found.anomaly_map is not None and self.colours is not None:
            # Whoever asks for no regions does without.
            from hw3lib.annotate.instances import from_maps
            from hw3lib.anomaly.maps import upsample

            full = upsample(found.anomaly_map, found.size)
            made = from_maps([full], self.colours[1], [found.size])
            peaks = [float(each.within(full)[each.crop].max()) for each in made]
            found.regions = tuple(sorted(zip(made, peaks, strict=True), key=lambda pair: -pair[1]))
        if self.types is not None:
            try:
                found.types = self.types.type_of(read(found.photograph))
            except Hw3Error as error:  # it is gone meanwhile
                why = reason(error, found.photograph.path)
                found.warning = "; ".join(filter(None, (found.warning, f"no type: {why}")))

    def _read(self, photograph: Photograph) -> np.ndarray:
        return read_image(photograph.path, reading=self.model.reading_)


def load_model(detector: str | Path) -> Detector | OnnxDetector:
    """A detector's folder or ONNX file, or what holds one; that it is another than was saved, its threshold says."""
    exported = Path(detector) / DETECTOR
    if exported.is_file():
        detector = exported
    elif not Path(detector).is_file():
        return load_detector(detector)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChangedDetector)
        return OnnxDetector(detector)


def load_types(folder: Path) -> Recognition:
    """The types of an inspector's folder, exported or not."""
    if (folder / LOOK).is_file():
        return OnnxTypes.load(folder)
    from hw3lib.classify.guided.types import DefectTypes  # brings PyTorch

    return DefectTypes.load(folder)


def threshold_of(
    model: Detector | OnnxDetector, place: str | Path, rate: float | None = None, value: float | None = None
) -> Threshold:
    """As :meth:`.Calibrated.threshold_at`, with the detector's place in errors."""
    try:
        return model.threshold_at(rate, value)
    except Hw3Error as error:
        raise Hw3Error(f"{place}: {error}") from None


def learn_types(
    place: str | Path, reading: Reading, seed: int = 0, progress: bool = False, echo: Echo = print
) -> DefectTypes:
    """Learn the types of a category's labelled defects, see :class:`.DefectTypes`.

    Raises:
        Hw3Error: no category, or no type with two photographs or more.
    """
    # These bring PyTorch, and an inspector may know no types.
    from hw3lib.classify.guided.classifier import good_images

    # As above.
    from hw3lib.classify.guided.types import DefectTypes

    table = load_folder(place, find_range=False)
    if left := overlooked(table, place):
        echo(left)
    defects = table[table["is_defect"]].reset_index(drop=True)
    try:
        return DefectTypes.learned(
            defects, good_images(table, defects), reading=reading, seed=seed, progress=progress, echo=echo
        )
    except Hw3Error as error:
        raise Hw3Error(f"--types {place}: {str(error).removeprefix(f'{place}: ')}") from None


def labelled(place: str | Path, types: DefectTypes) -> list[str]:
    """The photographs of a category that taught these types."""
    table = load_folder(expanded(place), find_range=False)
    return table.loc[table["is_defect"] & table["defect"].isin(types.classes), "image"].tolist()


def digests(files: Iterable[str]) -> set[str]:
    """Of the bytes of files, see :func:`.file_digest`."""
    with ThreadPoolExecutor() as pool:
        return set(pool.map(file_digest, files))


def keep_learned(folder: Path, photographs: Iterable[str]) -> None:
    """Write down which photographs an inspector has learned from, by :func:`.file_digest`: they judge no version."""
    write_json(folder / LEARNED, {"photographs": sorted(photographs)})


def learned(folder: Path) -> set[str]:
    """Digests of the photographs that an inspector has learned from, see :func:`.file_digest`."""
    return set(read_json(folder / LEARNED).get("photographs", ()))


def kept_types(place: str | Path, reading: Reading, progress: bool = False, echo: Echo = print) -> DefectTypes:
    """As :func:`learn_types`, or what was learned of the same photographs before.

    It lies in ``runs/types`` of the project, by what it depends on: the photographs, how they are read, the code, the
    versions of packages.
    """
    # As above.
    from hw3lib.classify.guided.types import DefectTypes

    table = load_folder(place, find_range=False)
    depends = [digest(table), reading.as_text(), code_version(), sorted(versions().items())]
    name = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
    folder = project_root() / "runs" / "types" / name
    try:
        return DefectTypes.load(folder)
    except Hw3Error:
        echo(f"types of defects are learned from {place}, once: {folder}")
    types = learn_types(place, reading, progress=progress, echo=echo)
    try:
        types.save(folder)
    except Hw3Error as error:  # a place that may not be written
        echo(f"{error} The types will be learned again at the next start.")
    return types
