"""Fit a detector on a folder of good photographs, and export it to ONNX: what ``hw3 detect fit|export`` does."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hw3lib.anomaly import DETECTORS, Detector, FewGoodImages, load, required_good_images
from hw3lib.anomaly.detector import FEWEST
from hw3lib.anomaly.onnx_export import Agreement
from hw3lib.anomaly.onnx_export import export as export_onnx
from hw3lib.data import ImageStack, read_image
from hw3lib.errors import Hw3Error
from hw3lib.paths import expanded, human_bytes
from hw3lib.photographs import find_photographs, good_photographs, say_sizes
from hw3lib.words import counted

_RATES = (0.05, 0.02, 0.01, 0.005, 0.001)  # false-alarm rates that a user may wish for
_KEPT = "detector.json"  # tells a detector's folder

Echo = Callable[[str], None]


def fit(
    folder: str | Path,
    out: str | Path,
    detector: str = "patchcore",
    settings: dict[str, Any] | None = None,
    *,
    held_out: float = 0.2,
    false_alarm_rate: float = 0.05,
    cache: str | Path | None = None,
    force: bool = False,
    progress: bool = False,
    echo: Echo = print,
) -> Detector:
    """Fit a detector on a folder of good photographs and save it.

    Args:
        folder: images of good products, of any sizes, not looked for in sub-folders; or a category, whose good
            training images are taken.
        out: folder of the detector.
        detector: one of :data:`hw3lib.anomaly.DETECTORS`.
        settings: its hyperparameters, such as ``image_size``.
        held_out, false_alarm_rate: see :meth:`.Detector.fit`.
        cache: folder where the decoded images are kept and mapped from, for more of them than fit into memory; None
            decodes them into memory.
        force: replace a detector at ``out``.
        progress: show bars.
        echo: receives what is told.

    Raises:
        Hw3Error: unknown detector or hyperparameter, no image, too few or unreadable ones, ``out`` exists, or as
            :meth:`.Detector.fit`.
    """
    model = make_detector(detector, settings or {})
    refuse_existing(Path(out), _KEPT, "a detector", force)
    required_good_images(false_alarm_rate)  # refuses a wrong rate before any image is read
    if not 0 <= held_out <= 0.9:
        raise Hw3Error(f"--held-out {held_out:g}: expected a share of the good images, 0 to 0.9")
    files, sizes = good_photographs(Path(folder))
    n, side = len(files), model.image_size
    held = 0 if held_out == 0 else max(1, round(held_out * n))
    echo(f"{n} good images in {folder}, {say_sizes(sizes)}; each is resized to {side}x{side}")
    if n < FEWEST:
        raise Hw3Error(
            f"{folder}: found {counted(n, 'good image')}, expected at least {FEWEST}; add photographs of good products"
        )
    aside = f"{held} are held out to set the threshold" if held else "none is held out, so there will be no threshold"
    echo(f"{model.name} learns from {n - held} of them, {aside}")
    if hasattr(model, "plan") and not progress:  # the detector tells it beside its bars
        plan = model.plan(n - held)
        echo(
            f"memory bank: {plan['memory_bank']:,} of {plan['patches']:,} patches, {plan['channels']} numbers each: "
            f"{human_bytes(plan['memory_bank_bytes'])}; all patches, while it is made: "
            f"{human_bytes(plan['patches_bytes'])}"
        )
    images = ImageStack.load(pd.DataFrame({"image": files}), side, cache=cache, progress=progress)
    with few_good_images_are_told():
        model.fit(images, held_out=held_out, false_alarm_rate=false_alarm_rate, progress=progress)
    model.device = "auto"  # where it was fitted; it may be used elsewhere
    model.save(out)
    if threshold := model.thresholds_:
        echo(str(threshold))
        assert threshold.guarantee is not None
        if more := _more_images(threshold.guarantee, false_alarm_rate, held_out):
            echo(more)
    echo(f"detector: {out} ({human_bytes(sum(f.stat().st_size for f in Path(out).iterdir()))})")
    return model


def export(
    detector: str | Path,
    file: str | Path,
    *,
    check: str | Path | None = None,
    force: bool = False,
    echo: Echo = print,
) -> Agreement:
    """Export a detector's folder to one ONNX file, see :func:`hw3lib.anomaly.onnx_export.export`.

    Args:
        detector: the folder.
        file: ends in ``.onnx``.
        check: a folder of images, or a category, of which up to 16 are scored both ways; by default generated images.
        force: replace ``file``.

    Raises:
        Hw3Error: as :func:`hw3lib.anomaly.onnx_export.export`, another suffix, or ``file`` exists.
    """
    if Path(file).suffix != ".onnx":
        raise Hw3Error(f"--out {file}: expected a file name that ends in .onnx")
    if Path(file).exists() and not force:
        raise Hw3Error(f"{file} exists already and is not replaced; choose another name, or --force")
    model, images = load_detector(detector), None
    if check is not None:
        photographs, _ = find_photographs([expanded(check)], lambda _: None)
        images = np.stack([read_image(p.path, model.image_size).transpose(2, 0, 1) for p in photographs[:16]])
    done = export_onnx(model, file, images=images)
    maps = "" if done.maps is None else f", maps by {done.maps:.1g}"
    kind = "generated images" if check is None else f"images of {check}"
    echo(
        f"{file}: {model.name}, opset {done.opset}, {human_bytes(done.size)}; on {done.images} {kind} onnxruntime's "
        f"scores differ by {done.scores:.1g}{maps}, as a share of their size"
    )
    return done


def make_detector(name: str, settings: dict[str, Any]) -> Detector:
    """An unfitted detector by its name in :data:`hw3lib.anomaly.DETECTORS`; lists become tuples.

    Raises:
        Hw3Error: an unknown name or parameter, or a value that it cannot have.
    """
    if name not in DETECTORS:
        near = get_close_matches(name, DETECTORS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise Hw3Error(f"unknown detector {name!r}; {hint}Known: {', '.join(DETECTORS)}")
    kind = DETECTORS[name]
    known = [field.name for field in fields(kind)]
    for setting in settings:
        if setting not in known:
            raise Hw3Error(f"{name} has no parameter {setting!r}; it has {', '.join(known)}")
    try:
        given: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in settings.items()}
        return kind(**given)
    except TypeError as error:  # a text where a number was expected
        said = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        raise Hw3Error(f"{kind.name}: {said}: a value is of the wrong kind ({error})") from None


def load_detector(folder: str | Path) -> Detector:
    """As :func:`hw3lib.anomaly.load`, without warnings."""
    with few_good_images_are_told():
        return load(folder)


@contextmanager
def few_good_images_are_told() -> Iterator[None]:
    """The threshold's sentence says it; the warning would say it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewGoodImages)
        yield


def refuse_existing(out: Path, mark: str, what: str, force: bool) -> None:
    """An existing folder is replaced only on request, and only if it is what it would be replaced by."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / mark).is_file():
        raise Hw3Error(f"--out {out}: exists and is not {what} (no {mark} in it), so it stays; choose another name")
    if not force:
        raise Hw3Error(f"--out {out}: is {what} already, and stays; choose another name, or --force to replace it")


def _more_images(guarantee: float, asked: float, held_out: float) -> str:
    """How many good images a lower false-alarm rate takes."""
    wanted = sorted(
        {*([asked] if guarantee > asked else []), *(rate for rate in _RATES if rate < min(guarantee, asked))}
    )
    parts = []
    for rate in reversed(wanted[-3:]):
        needed = required_good_images(rate)
        parts.append(f"{100 * rate:.3g} % takes {needed:,} held out, {math.ceil(needed / held_out - 1e-9):,} in all")
    return f"Good images for a lower false-alarm rate: {'; '.join(parts)}" if parts else ""
