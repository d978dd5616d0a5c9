"""How many photographs? Learning curves over what one has: what ``hw3 inspect plan`` does.

Again and again some good photographs are drawn to judge by, and a detector learns from an eighth, a quarter, a half and
all of the others; and types of defects from 1, 2, 4, 8, ... labelled ones of each. Draws share photographs, which the
intervals are widened for (:func:`.corrected_interval`). What twice as many would bring is not measured, so a range:
gains of a curve that flattens shrink from doubling to doubling, so the next is at most the last one, and as much
smaller as that was smaller than the one before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hw3lib.anomaly.detector import FEWEST
from hw3lib.anomaly.metrics.metrics import image_metrics
from hw3lib.anomaly.registry import make_detector
from hw3lib.anomaly.thresholds import required_good_images, silence_few_good_images
from hw3lib.core.files import atomic_path, expanded
from hw3lib.core.intervals import Interval, Kind, corrected_interval
from hw3lib.core.text import counted, listed, percent
from hw3lib.data.folders.find import is_category
from hw3lib.data.groups import GROUP
from hw3lib.data.pixels.reading import PLAIN, Reading, shared_reading
from hw3lib.data.stack import ImageStack
from hw3lib.data.table import load_folder
from hw3lib.errors import Hw3Error

from .inspector import learn_types
from .photographs import good_photographs, with_groups

_PARTS = (8, 4, 2, 1)  # what is learned from: an eighth, ...
_JUDGED = 0.25  # of the good products
_FEWEST = 3  # labelled products of a type: one judges, and the others are one doubling
_RATES = (0.05, 0.02, 0.01, 0.005, 0.001)

FIGURES = {
    "auroc": "image AUROC",
    "recall": "defects found",
    "alarms": "false alarms",
    "good_score": "score of a new good one",
}
Echo = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What came out of :func:`plan`.

    Attributes:
        table: a row a size: ``products`` that were learned from, ``promised`` (the lowest false-alarm rate that all of
            them can promise) and of each of :data:`FIGURES` the mean with its interval; NaN for those of defects
            without any.
        doubling: what the last doubling brought, of ``auroc``, or of ``good_score`` without defects, as a share of it.
        said: sentences.
        types: a row a number of labelled ``products`` of each type, with the balanced ``accuracy`` and its interval; of
            a category with two types or more of three products or more each, or None.
        more_types: what the last doubling of them brought.
    """

    table: pd.DataFrame
    doubling: Interval
    said: list[str]
    types: pd.DataFrame | None = None
    more_types: Interval = Interval()


def plan(
    place: str | Path,
    detector: str = "patchcore",
    settings: dict[str, Any] | None = None,
    *,
    groups: str | None = None,
    draws: int = 5,
    false_alarm_rate: float = 0.05,
    types: bool = True,
    out: str | Path | None = None,
    plot: str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
    echo: Echo = print,
) -> Plan:
    """Say what the photographs at hand can promise, and what more of them would bring.

    Args:
        place: a category, whose defects judge and teach nothing; or a folder of good photographs.
        detector, settings: as of :func:`hw3lib.inspection.fit.fit`.
        groups: which photographs show the same product, likewise.
        draws: of photographs that judge, 2 or more.
        false_alarm_rate: at which defects are counted as found.
        types: learn types of labelled defects, too.
        out: CSV file of the table; that of the types lies beside it, ``NAME-types.csv``.
        plot: file of a figure, by its suffix, likewise.
        seed: of the draws.
        progress: show a bar.
        echo: receives messages.

    Raises:
        Hw3Error: no images, fewer than 32 good products, or as :func:`hw3lib.inspection.fit.fit`.
    """
    if draws < 2:
        raise Hw3Error(f"--draws {draws}: expected 2 or more; the spread between them is the interval's")
    required_good_images(false_alarm_rate)  # refuses a wrong rate before the work
    images, is_defect = _load(Path(place), make_detector(detector, settings or {}).image_size, groups, echo)
    own = np.arange(len(images)) if images.groups is None else images.groups
    products = np.unique(own[~is_defect])
    apart = round(_JUDGED * len(products))
    if (least := (len(products) - apart) // _PARTS[0]) < FEWEST:
        raise Hw3Error(
            f"{place}: found {counted(len(products), 'good product')}, expected at least "
            f"{-(-FEWEST * _PARTS[0] * 4 // 3)} for a curve of four points; take photographs of more"
        )
    sizes = [least * _PARTS[0] // part for part in _PARTS]
    bad = np.flatnonzero(is_defect)
    found = {name: np.full((draws, len(sizes)), np.nan) for name in FIGURES}
    with tqdm(total=draws * len(sizes), desc="plan", unit="fit", disable=not progress) as bar:
        for draw in range(draws):
            order = np.random.default_rng([seed, draw]).permutation(products)
            judged = np.flatnonzero(np.isin(own, order[:apart]) & ~is_defect)
            shown = images.part(np.concatenate([judged, bad]))
            for at, size in enumerate(sizes):
                rows = np.flatnonzero(np.isin(own, order[apart : apart + size]) & ~is_defect)
                model = make_detector(detector, {"seed": draw, **(settings or {})})
                with silence_few_good_images():
                    model.fit(images.part(rows), false_alarm_rate=false_alarm_rate)
                scores = model.decision_function(shown)
                good = scores[: len(judged)]
                found["alarms"][draw, at] = (good > model.threshold_).mean()
                found["good_score"][draw, at] = np.median(good)
                if len(bad):
                    found["recall"][draw, at] = (scores[len(judged) :] > model.threshold_).mean()
                    found["auroc"][draw, at] = image_metrics(np.arange(len(scores)) >= len(judged), scores).auroc
                bar.update()
    sizes_judged = apart + len(np.unique(own[bad]))
    lines = []
    for at, size in enumerate(sizes):
        line: dict[str, float] = {"products": size, "promised": 1 / (size + 1)}
        for name, values in found.items():
            interval = Interval()
            if not np.isnan(values[:, at]).any():
                kind: Kind = "share" if name in ("recall", "alarms") else "figure"
                interval = corrected_interval(values[:, at], sizes[-1], sizes_judged, kind=kind)
            line |= interval.columns(name)
        lines.append(line)
    table = pd.DataFrame(lines)
    name = "auroc" if len(bad) else "good_score"
    curve = found[name] if len(bad) else found[name] / found[name][:, -1:]
    gains = np.diff(curve, axis=1)
    doubling = corrected_interval(gains[:, -1], sizes[-1], sizes_judged, kind="difference")
    said = _say(table, gains.mean(0), doubling, len(products), draws, bool(len(bad)), false_alarm_rate)
    _write(table, name, FIGURES[name], "good products learned from", out, plot, echo)
    curve_of_types, more = None, Interval()
    if types and len(bad):
        curve_of_types, more, words = _types(expanded(place), images.reading or PLAIN, draws, seed, progress, echo)
        said += words
    if curve_of_types is not None:
        places = [path and expanded(path).with_stem(f"{expanded(path).stem}-types") for path in (out, plot)]
        what = "labelled products of each type"
        _write(curve_of_types, "accuracy", "balanced accuracy", what, places[0], places[1], echo)
    return Plan(table, doubling, said, curve_of_types, more)


def _write(
    table: pd.DataFrame, name: str, label: str, what: str, out: str | Path | None, plot: str | Path | None, echo: Echo
) -> None:
    """Table and figure, where they are asked for."""
    if out is not None:
        with atomic_path(expanded(out)) as file:
            table.to_csv(file, index=False)
        echo(f"table: {out}")
    if plot is not None:
        from hw3lib.views.plots.inspection import learning_curve  # matplotlib is needed for it alone

        with atomic_path(expanded(plot)) as file:
            learning_curve(table, name, label, what).savefig(file, dpi=100)
        echo(f"plot: {plot}")


def _types(
    place: str | Path, reading: Reading, draws: int, seed: int, progress: bool, echo: Echo
) -> tuple[pd.DataFrame | None, Interval, list[str]]:
    """The curve over labelled defects, what its last doubling brought, and both in sentences."""
    table = load_folder(place, find_range=False)
    defects = table[table["is_defect"]]
    counts = (defects[GROUP] if GROUP in defects else defects["image"]).groupby(defects["defect"]).nunique()
    if (counts > 1).sum() < 2 or counts[counts > 1].min() < _FEWEST:  # those of one alone are left out
        found = listed([f"{name} {count}" for name, count in counts.items()])
        return None, Interval(), [f"No curve over labelled defects: found {found}; expected {_FEWEST} of 2 types each."]
    known = learn_types(place, reading, seed, progress, echo)
    sizes, right, judged = known.learning_curve(draws, seed, progress)
    shares = [corrected_interval(right[:, at], *judged, kind="share") for at in range(len(sizes))]
    curve = pd.DataFrame([{"products": n, **share.columns("accuracy")} for n, share in zip(sizes, shares, strict=True)])
    gains = np.diff(right, axis=1)
    last = corrected_interval(gains[:, -1], *judged, kind="difference")
    said = [f"{n} labelled of each type: types recognised {s.percent()}" for n, s in zip(sizes, shares, strict=True)]
    return curve, last, [*said, _more("the recognition of types", gains.mean(0), last, last.points(), "points", draws)]


def _more(what: str, gains: np.ndarray, last: Interval, text: str, unit: str, draws: int) -> str:
    """What the last doubling changed, and what twice as many would, in sentences."""
    shrinks = float(np.clip(gains[-1] / gains[-2], 0, 1)) if len(gains) > 1 and gains[-2] else 0.0
    low, high = shrinks * last.value, last.value
    return (
        f"The last doubling changed {what} by {text} in {draws} draws: {last.verdict('an increase', 'a decrease')}. "
        f"Twice as many again can be expected to change it by {100 * min(low, high):+.1f} to "
        f"{100 * max(low, high):+.1f} {unit}."
    )


def _load(place: Path, side: int, groups: str | None, echo: Echo) -> tuple[ImageStack, np.ndarray]:
    """Good images, and a category's defects, as squares; and which are defects."""
    place = expanded(place)
    if is_category(place):
        table = load_folder(place)
        table = table[~((table["split"] == "train") & table["is_defect"])]
        reading, is_defect = shared_reading(table, tiles=True), table["is_defect"].to_numpy(bool)
    else:
        files, sizes, reading = good_photographs(place, echo=echo)
        table, is_defect = with_groups(place, files, sizes, groups), np.zeros(len(files), bool)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = ImageStack.load(table, side, reading=reading, tiles=True)
    for warning in caught:
        echo(f"warning: {warning.message}")
    return images, is_defect


def _say(
    table: pd.DataFrame, gains: np.ndarray, last: Interval, products: int, draws: int, defects: bool, rate: float
) -> list[str]:
    """The curve, what twice as many would bring, and which rates can be promised, in sentences."""
    said = []
    for row in table.to_dict("records"):
        words = [f"{int(row['products'])} good products:"]
        if defects:
            words.append(f"image AUROC {Interval.read(row, 'auroc').text()},")
            words.append(f"{Interval.read(row, 'recall').percent()} of the defects found at {percent(rate)},")
        words.append(f"false alarms {Interval.read(row, 'alarms').percent()},")
        words.append(f"median score of a new good photograph {Interval.read(row, 'good_score').text('.4g')}")
        said.append(" ".join(words))
    if defects:
        said.append(_more("image AUROC", gains, last, last.points(), "points", draws))
    else:
        text = last.text(".1f", 100, " %")
        said.append(_more("the score of a new good photograph", gains, last, text, "%", draws))
    needs = [(rate, required_good_images(rate)) for rate in _RATES]
    each = [
        f"{percent(rate)} takes {need} ({'enough' if need <= products else f'{need - products} more'})"
        for rate, need in needs
    ]
    said.append(
        f"All {products} good products can promise a false-alarm rate of {percent(1 / (products + 1))} at the least, "
        f"twice as many {percent(1 / (2 * products + 1))}: {', '.join(each)}. Where some are held out to set the "
        "threshold, only those count."
    )
    return said
