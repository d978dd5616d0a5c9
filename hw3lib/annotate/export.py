"""Annotate a category and export it: what ``hw3 annotate`` does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hw3lib.anomaly.registry import load_detector
from hw3lib.core.files import atomic_folder, refuse_existing
from hw3lib.core.text import counted, format_table, short_paths
from hw3lib.data.folders.find import refuse_inside_category
from hw3lib.data.overlooked import overlooked
from hw3lib.data.regions.annotations import annotation_kinds
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

from .dataset import SPLITS, Dataset
from .formats.comparison import RoundTrip, round_trip
from .formats.registry import FORMATS, Written, find_format
from .instances import Instances, from_maps, read_instances
from .splitting import split_images

if TYPE_CHECKING:
    from hw3lib.anomaly.detector import Detector

SUMMARY, PREVIEW, TO_DRAW = "summary.json", "preview.png", "to_draw.csv"
MASKS = "ground-truth masks"
_MOST_NAMES = 50  # printed; the file has them all


@dataclass(frozen=True)
class ToDraw:
    """A defective image that is left out, because a person must draw its defect first: its path, class and why."""

    image: str
    defect: str
    reason: str


@dataclass(frozen=True)
class ExportedAnnotations:
    """What :func:`export` wrote.

    Attributes:
        folder: that it is in.
        data: the images with their instances and splits.
        written: one each format.
        trips: what came back when each was read again, in the same order.
        to_draw: defective images without an instance, which are left out.
        origin: where the instances come from, in words.
    """

    folder: Path
    data: Dataset
    written: list[Written]
    trips: list[RoundTrip]
    to_draw: list[ToDraw]
    origin: str

    @property
    def left_out(self) -> dict[str, int]:
        """How many images of which class are in ``to_draw``."""
        return dict(Counter(image.defect for image in self.to_draw))

    def rows(self) -> list[dict[str, Any]]:
        """One each format: ``format, images, instances, files, lost, round_trip, exact, lowest_iou``.

        ``round_trip`` is the mean IoU of the masks (of box formats, the boxes) written and read again.
        """
        return [
            {
                "format": done.format,
                "images": done.images,
                "instances": done.instances,
                "files": done.files,
                "lost": done.lost.as_dict(),
                "round_trip": trip.iou,
                "exact": trip.exact,
                "lowest_iou": trip.lowest_iou,
            }
            for done, trip in zip(self.written, self.trips, strict=True)
        ]


def export(  # noqa: PLR0913, settings by keyword
    table: pd.DataFrame,
    formats: Sequence[str],
    out: str | Path,
    *,
    split: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    no_split: bool = False,
    min_area: int = 1,
    whole: bool = False,
    detector: Detector | str | Path | None = None,
    train_good: bool = False,
    preview: bool = False,
    force: bool = False,
    echo: Callable[[str], None] = print,
) -> ExportedAnnotations:
    """Write a category in several formats, one folder each, with ``summary.json``; all of it or nothing.

    Each format is read again and compared with what was written. Defective images without an instance are left out,
    since a detector would learn from them that the defect is background; ``to_draw.csv`` names them with the reason.

    Args:
        table: see :func:`hw3lib.data.load_table`. Its test split is taken, where the defects are, good images included.
        formats: names, see :data:`.FORMATS`.
        out: folder to make.
        split, seed: see :func:`.split_images`.
        no_split: write the annotations of all images together, of images that stay where they are, under the names that
            they have in the category's folder; of the formats that can.
        min_area: components of fewer pixels are dropped and reported.
        whole: one instance a mask file instead of one for each 8-connected component.
        detector: a fitted detector, or its folder: the instances of images without a mask come from its anomaly maps,
            for a person to correct.
        train_good: take the good images of the training split too.
        preview: draw ``preview.png``.
        force: replace an earlier export.
        echo: receives messages on the way.

    Raises:
        Hw3Error: unknown format, no mask and no detector, no instance, ``out`` exists, or as the parts of it.
    """
    out = Path(out)
    chosen = [find_format(name) for name in dict.fromkeys(formats)]
    _refuse_beside([format_.name for format_ in chosen if no_split and not format_.beside])
    refuse_inside_category(out, table.attrs.get("folder", ""))
    refuse_existing(out, force, SUMMARY, "a folder of annotations")
    if left := overlooked(table, table.attrs["category"]):
        echo(left)
    attrs = dict(table.attrs)
    table = table[(table["split"] == "test") | (train_good & ~table["is_defect"])].reset_index(drop=True)
    table.attrs = attrs
    splits = split_images(table, split, seed)
    if detector is None:
        instances, origin = _of_masks(table, min_area, whole)
    else:
        instances, origin = _filled_in(table, detector, min_area, whole, echo)
    if not len(instances):
        hint = "Lower --min-area?" if instances.dropped else "A person must draw every defect."
        raise Hw3Error(f"no instance: {instances.summary().splitlines()[-1]}; nothing is written. {hint}")
    if to_draw := _to_draw(table, instances, detector is not None):
        left = ~table["image"].isin([image.image for image in to_draw]).to_numpy()
        again = iter(split_images(table[left], split, seed))  # of what is written, in proportion
        splits = [next(again) if stays else old for old, stays in zip(splits, left, strict=True)]
    data = Dataset.of(table, instances, splits)
    images = None
    if no_split:
        images = Path(attrs["root"]) / attrs["category"]
        data = data.with_own_names(images)
    with atomic_folder(out, replace=force) as folder:
        written = [format_.write(folder / format_.name, data, beside=no_split) for format_ in chosen]
        trips = [round_trip(f.held(data), f.read(folder / f.name, images), f.keeps) for f in chosen]
        if preview:
            from .preview import sheet  # matplotlib, for those who ask for a picture

            sheet(data).savefig(folder / PREVIEW, dpi=100)
        done = ExportedAnnotations(out, data, written, trips, to_draw, origin)
        content = _content(done, table, () if no_split else split, seed, min_area, whole)
        (folder / SUMMARY).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        if to_draw:
            listed = pd.DataFrame([asdict(image) for image in to_draw])
            listed.to_csv(folder / TO_DRAW, index=False, encoding="utf-8-sig")
    return done


def _refuse_beside(names: Sequence[str]) -> None:
    if names:
        can = ", ".join(name for name, format_ in FORMATS.items() if format_.beside)
        raise Hw3Error(f"--no-split: {', '.join(names)} has images of its own beside its masks; expected some of {can}")


def _of_masks(table: pd.DataFrame, min_area: int, whole: bool) -> tuple[Instances, str]:
    if not table["is_defect"].any():
        raise Hw3Error(
            f"{table.attrs.get('category', 'this category')} has {len(table)} good images and no defective one, so "
            "there is nothing to annotate"
        )
    known = annotation_kinds(table)
    if not known["boxes"].any():
        raise Hw3Error(
            f"{table.attrs.get('category', 'this category')} has no masks; fit a detector on its good images with "
            "`hw3 detect fit` and repeat with --detector DETECTOR for a first annotation to correct"
        )
    boxed = bool((known["boxes"] & ~known["masks"]).any())
    origin = " and ".join([MASKS] * bool(known["masks"].any()) + ["boxes without a mask"] * boxed)
    return read_instances(table, min_area=min_area, whole=whole), origin


def _filled_in(
    table: pd.DataFrame, detector: Detector | str | Path, min_area: int, whole: bool, echo: Callable[[str], None]
) -> tuple[Instances, str]:
    """Instances of the masks and, of images without one, of the detector's maps."""
    known = annotation_kinds(table)
    rows = np.flatnonzero((table["is_defect"] & ~known["boxes"]).to_numpy(bool))
    masked = int(known["boxes"].sum())
    if masked and not len(rows):
        drawn = "a mask" if known["masks"][known["boxes"]].all() else "a mask or a box"
        echo(f"every defective image has {drawn}; the detector has nothing to draw")
        return _of_masks(table, min_area, whole)
    found, origin = by_detector(table.iloc[rows], detector, min_area=min_area, whole=whole, echo=echo)
    found = found.at(rows)
    if not masked:
        return found, origin
    masks, drawn = _of_masks(table, min_area, whole)
    both = sorted([*masks.found, *found.found], key=lambda instance: instance.row)
    instances = Instances(both, [*masks.dropped, *found.dropped], min_area, masks.smoothed)
    return instances, f"{drawn} of {counted(masked, 'image')}; of {len(rows)} without a mask, {origin}"


def _to_draw(table: pd.DataFrame, instances: Instances, detected: bool) -> list[ToDraw]:
    """The defective images of a table that have no instance."""
    annotated, dropped = {i.row for i in instances}, {d.row for d in instances.dropped}
    small, missing = f"nothing of {counted(instances.min_area, 'pixel')} or more", "no mask"
    missing = "the detector found nothing" if detected else missing
    return [
        ToDraw(str(row.image), str(row.defect), small if at in dropped else missing)
        for at, row in enumerate(table.itertuples())
        if row.is_defect and at not in annotated
    ]


def by_detector(
    table: pd.DataFrame,
    detector: Detector | str | Path,
    *,
    min_area: int = 1,
    whole: bool = False,
    echo: Callable[[str], None] = print,
) -> tuple[Instances, str]:
    """Instances of a table's defective images from a detector's anomaly maps, and a sentence on where they come from.

    Pixels above the detector's ``map_threshold_`` are annotated in images that it calls anomalous; their class is that
    of the image. Good images are known to be good and get none.

    Raises:
        Hw3Error: no such detector, one without maps or without thresholds, or an image that cannot be read.
    """
    model = load_detector(detector) if isinstance(detector, str | Path) else detector
    if not model.has_maps:
        where = f"{detector}: " if isinstance(detector, str | Path) else ""
        raise Hw3Error(f"{where}{model.name} looks at the image as a whole and has no anomaly map to annotate by")
    limit, level = model.threshold_, model.map_threshold_
    rows = np.flatnonzero(table["is_defect"].to_numpy(bool))
    if not len(rows):
        raise Hw3Error("no image of a defect; expected a folder of defective images beside the good ones")
    echo(f"{model.name}: scoring {len(rows)} defective images")
    scores: list[np.ndarray] = []
    maps: list[np.ndarray] = []
    for start in range(0, len(rows), 64):
        part = table.iloc[rows[start : start + 64]]
        stack = ImageStack.load(part, model.image_size, reading=model.reading_, tiles=True, look=False)
        for file, warning in stack.warnings:
            echo(f"warning: {file}: {warning}")
        found = model.score(stack)
        assert found.maps is not None
        scores.append(found.scores)
        maps.extend(found.maps)
    part = table.iloc[rows]
    instances = from_maps(
        maps,
        level,
        list(zip(part["height"], part["width"], strict=True)),
        anomalous=np.concatenate(scores) > limit,
        min_area=min_area,
        whole=whole,
        defect=part["defect"].tolist(),
    )
    return instances.at(rows), f"anomaly maps of {model.name} above {level:.4g}: a first annotation, to be corrected"


def _content(done: ExportedAnnotations, table, split, seed, min_area, whole) -> dict[str, Any]:
    data = done.data
    return {
        "category": table.attrs.get("category", ""),
        "origin": done.origin,
        "licence": asdict(data.licence),
        "split": list(split),
        "seed": seed,
        "min_area": min_area,
        "whole": whole,
        "classes": data.classes,
        "images": {name: len(data.rows(name)) for name in SPLITS if name in data.splits},
        "instances": {name: {k: int(v) for k, v in row.items()} for name, row in data.counts().T.to_dict().items()},
        "left_out": done.left_out,
        "to_draw": [asdict(image) for image in done.to_draw],
        "dropped": [asdict(d) | {"image": str(table["image"].iloc[d.row])} for d in data.instances.dropped],
        "formats": done.rows(),
    }


def summary_text(done: ExportedAnnotations) -> str:
    """What was written, for a terminal: instances by class and split, what each format lost, what was dropped."""
    data, counts = done.data, done.data.counts()
    rows = [("instances", *counts.columns, "all")]
    rows += [
        (name, *map(str, line), str(line.sum())) for name, line in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    rows.append(("images", *(str(len(data.rows(s))) for s in counts.columns), str(len(data))))
    lines = [f"from {done.origin}; licence: {data.licence.name}", "", format_table(rows), ""]
    formats = [("format", "images", "instances", "read again", "lost")]
    for row, written in zip(done.rows(), done.written, strict=True):
        again = "equal" if row["exact"] else f"IoU {row['round_trip']:.4f}"
        formats.append((row["format"], str(row["images"]), str(row["instances"]), again, str(written.lost)))
    lines.append(format_table(formats))
    if smoothed := data.instances.smoothed:
        lines.append(f"{counted(len(smoothed), 'mask')} with a smooth border: what is above half is defect")
    shares: dict[int, float] = {}
    for instance in data.instances:
        if instance.kind == "mask":
            share = instance.area / (instance.size[0] * instance.size[1])
            shares[instance.row] = shares.get(instance.row, 0.0) + share
    large = [data.names[row] for row, share in shares.items() if share > 0.5]
    if large:
        lines.append(
            f"{counted(len(large), 'image')} with more than half of it marked; if the background is what is marked, "
            f"invert the masks: {', '.join(large[:_MOST_NAMES])}"
        )
    if dropped := data.instances.dropped:
        lines.append(
            f"{len(dropped)} components below {data.instances.min_area} pixels dropped, "
            f"{sum(d.area for d in dropped)} pixels in all"
        )
    if done.left_out:
        said = ", ".join(f"{name} {count}" for name, count in sorted(done.left_out.items()))
        lines.append(f"left out, for they are defective and have no instance: {said}. To be drawn, see {TO_DRAW}:")
        lines += [f"  {short_paths([i.image])}: {i.reason}" for i in done.to_draw[:_MOST_NAMES]]
        lines += [f"  and {len(done.to_draw) - _MOST_NAMES} more"] if len(done.to_draw) > _MOST_NAMES else []
    small = [name for name, row in counts.iterrows() if (row == 0).any()]
    if small:
        lines.append(f"not in every split, for there are too few images: {', '.join(small)}")
    return "\n".join(lines)
