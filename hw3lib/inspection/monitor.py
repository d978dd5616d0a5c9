"""Whether production is still what it was: light, lens and product; what ``hw3 inspect monitor`` does.

As long as nothing changes photographs that pass are exchangeable, and the smoothed rank of each new one among all
before it is uniform and independent of the others: of its score, its brightness, its colour, its sharpness (Vovk,
Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, theorem 8.2). Ranks among the good photographs
alone would depend on each other through that one small sample, and a long enough run would call the sample's own chance
a drift: so each photograph that passed joins those that the next is compared with.

The evidence of a change at photograph s is the likelihood ratio of all ranks since: how much likelier they are under a
normal distribution of their normal scores z that is shifted or wider than under the standard one (:data:`SHAPES`, a
conformal test martingale each). Its sum over s is the Shiryaev-Roberts statistic R, and while nothing changes ``R - t``
is a martingale: the mean number of photographs until R reaches c is at least c, and so it is for a mean of several R
(Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman, "Retrain or not retrain: conformal test martingales for
change-point detection", 2021, arXiv 2102.10439, section 3).

Scores of held-out good photographs are what the first photographs are compared with. Where each was scored without its
own patches (leave-one-out) or by another fit, good ones score higher than new ones (see
:mod:`hw3lib.anomaly.thresholds`): they show only whether new ones score higher still, and all else is compared with the
first photographs of production.

Defects are stopped and so change nothing of this. What stops everything (no light) shows in the share that is stopped,
which is watched by the same statistic for larger shares than are usual.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hw3lib.core.files import SPREADSHEET, atomic_path, expanded
from hw3lib.core.text import counted, listed, percent
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import Reading
from hw3lib.errors import Hw3Error

from .inspector import load_model, threshold_of
from .score import RESULTS

if TYPE_CHECKING:
    import pandas as pd

    from hw3lib.anomaly.detector import Detector
    from hw3lib.anomaly.onnx.detector import OnnxDetector

MEAN_TIME = 10_000  # photographs between false alarms
# Mean and standard deviation of z after a change; before it they are 0 and 1.
SHAPES = (*((sign * shift, 1.0) for shift in (0.25, 0.5, 1.0, 2.0) for sign in (1, -1)), (0.0, 1.5), (1.0, 1.5))
_SHARES = (1.5, 2.0, 4.0)  # how often more is stopped after a change, in odds
_USUAL = 0.1  # share that may be stopped at least: a promise of 1 % is broken by every defect
_FEWEST = 20  # good photographs; a rank among fewer says little
_NORMAL = NormalDist()
_LARGEST = 1e250
_KEPT = 100_000  # photographs that others are compared with: what chance moves their median is far below any of SHAPES
_SIDE = 256  # pixels at which a photograph's properties are measured


class _Chart:
    """One quantity: what was seen of it, and the evidence that it has changed, or that it is ``higher``: of shifts up
    alone, whose likelihood ratio rises with z, so that values lower than expected are no evidence."""

    def __init__(self, before: Sequence[float] = (), higher: bool = False):
        self.before = sorted(before)
        self.means, self.widths = np.array([s for s in SHAPES if not higher or s[0] > 0 and s[1] == 1]).T
        self.sums = np.zeros(len(self.means))

    def add(self, value: float, uniform: float) -> None:
        low, high = bisect_left(self.before, value), bisect_right(self.before, value)
        rank = (low + uniform * (high - low + 1)) / (len(self.before) + 1)
        if len(self.before) < _KEPT:
            self.before.insert(high, value)
        z = _NORMAL.inv_cdf(min(max(rank, 1e-9), 1 - 1e-9))
        factors = np.exp((z**2 - ((z - self.means) / self.widths) ** 2) / 2) / self.widths
        self.sums = np.minimum((1 + self.sums) * factors, _LARGEST)

    def way(self) -> str:
        mean = self.means[self.sums.argmax()]
        return "higher" if mean > 0 else "lower" if mean < 0 else "more scattered"


class Monitor:
    """Watches photographs for a change, one after the other, in constant time but for sorted lists.

    Args:
        good_scores: of good photographs, as of ones that were not learned from, ``(n,)``; fewer than 20 that pass are
            not compared with.
        threshold: scores above it are stopped.
        exchangeable: the good photographs were held out, so that new ones score alike.
        groups: the product that each good photograph shows; one of each is taken. None: another one each.
        usual: share of the photographs, above 0 and below 1, that may be stopped without anything being wrong.
        seed: of the smoothing of ranks, which makes them continuous.

    Raises:
        Hw3Error: a share out of range.
    """

    def __init__(
        self,
        good_scores: np.ndarray,
        threshold: float,
        *,
        exchangeable: bool = True,
        groups: np.ndarray | None = None,
        usual: float = _USUAL,
        seed: int = 0,
    ):
        if not 0 < usual < 1:
            raise Hw3Error(f"usual share of anomalous photographs: {usual!r}, expected above 0 and below 1")
        self._rng, scores = np.random.default_rng(seed), np.asarray(good_scores, float)
        if groups is not None:
            order = self._rng.permutation(len(scores))
            scores = scores[order[np.unique(np.asarray(groups)[order], return_index=True)[1]]]
        # Of a threshold that is a good score itself: given it, those below are a sample of what passes, and it is not.
        passed = scores[scores < threshold].tolist()
        self.threshold, self.usual = threshold, usual
        enough = len(passed) >= _FEWEST
        self._charts = {"score": _Chart(passed if exchangeable and enough else ())}
        if enough and not exchangeable:
            self._charts["score beside the good photographs"] = _Chart(passed, higher=True)
        odds = usual / (1 - usual) * np.array(_SHARES)
        self._more, self._shares = odds / (1 + odds), np.zeros(len(_SHARES))

    @classmethod
    def of(cls, model: Detector | OnnxDetector, threshold: float, usual: float | None = None, seed: int = 0) -> Monitor:
        """For what a detector scores; its arguments are those of :func:`monitor`."""
        scores, held_out = model.good_scores_, model.calibration_ == "held-out"
        if usual is None:
            usual = min(0.9, max(_USUAL, 2 * int((scores > threshold).sum()) / max(len(scores), 1)))
        return cls(scores, threshold, exchangeable=held_out, groups=model.good_groups_, usual=usual, seed=seed)

    @property
    def level(self) -> float:
        """The statistic R: at ``c`` the mean time between false alarms is at least ``c`` photographs."""
        each = [chart.sums.mean() for chart in self._charts.values()]
        return float(np.mean([*each, self._shares.mean()]))

    @property
    def sign(self) -> tuple[str, str]:
        """The quantity of which there is most evidence that it has changed, and how: ``higher``, ``lower`` or ``more
        scattered``; ``share`` is that of what is stopped."""
        name = max(self._charts, key=lambda name: self._charts[name].sums.mean())
        if self._shares.mean() > self._charts[name].sums.mean():
            return "share", "higher"
        return name, self._charts[name].way()

    def add(self, score: float, properties: Mapping[str, float] | None = None) -> float:
        """Count one photograph and give the :attr:`level`.

        Args:
            score: NaN of one that was not read, which counts not.
            properties: see :func:`properties_of`; each is compared with those of the photographs before.
        """
        if math.isnan(score):
            return self.level
        stopped = score > self.threshold
        factors = self._more / self.usual if stopped else (1 - self._more) / (1 - self.usual)
        self._shares = np.minimum((1 + self._shares) * factors, _LARGEST)
        if not stopped:
            for name, value in (properties or {}).items():
                self._charts.setdefault(name, _Chart()).add(value, self._rng.uniform())
            for name in self._charts:
                if name.startswith("score"):
                    self._charts[name].add(score, self._rng.uniform())
        return self.level


def properties_of(image: np.ndarray) -> dict[str, float]:
    """Brightness (mean, 0 to 1), colour (log of mean red over mean blue) and sharpness of a photograph.

    Sharpness is the log of the mean absolute second difference, at a longer side of 256 pixels at most.

    Args:
        image: uint8 ``(H, W, 3)``.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, np.float32) / 255
    grey = pixels.mean(2)
    rough = np.abs(np.diff(grey, 2, 0)).mean() + np.abs(np.diff(grey, 2, 1)).mean()
    red, _, blue = pixels.mean((0, 1)).tolist()
    return {
        "brightness": float(grey.mean()),
        "colour": math.log((red + 1e-3) / (blue + 1e-3)),
        "sharpness": math.log(float(rough) + 1e-6),
    }


@dataclass(frozen=True)
class Monitored:
    """What came out of :func:`monitor`.

    Attributes:
        levels: after each photograph that was read, float64 ``(n,)``, see :attr:`Monitor.level`.
        alarm: number of the photograph, from 1, at which there was the first alarm; None without any.
        file: that photograph; empty without an alarm.
        said: what was found, in sentences.
    """

    levels: np.ndarray
    alarm: int | None
    file: str
    said: str


def monitor(
    inspector: str | Path,
    results: Sequence[str | Path],
    *,
    plot: str | Path | None = None,
    mean_time: float = MEAN_TIME,
    usual: float | None = None,
    scores_only: bool = False,
    seed: int = 0,
    echo: Callable[[str], None] = print,
) -> Monitored:
    """Say whether production has drifted, from the results of scoring it and from the photographs themselves.

    Args:
        inspector: the folder, or an ONNX file, that scored.
        results: folders or files of results, in the order in which the photographs were taken; within each the rows
            are taken to be in that order. Photographs of one product one after the other are not independent.
        plot: file of a figure, by its suffix.
        mean_time: photographs between false alarms, at least, 10 or more.
        usual: see :class:`Monitor`; None: 10 %, or twice the share of good photographs above the threshold.
        scores_only: do not read the photographs.
        seed: see :class:`Monitor`.
        echo: receives messages.

    Raises:
        Hw3Error: no inspector, no results, thresholds that differ, no score, or as :class:`Monitor`.
    """
    if not mean_time >= 10:
        raise Hw3Error(f"--mean-time {mean_time:g}: expected 10 photographs or more between false alarms")
    model = load_model(inspector)
    threshold_of(model, inspector)  # says at once if there is none
    import pandas as pd  # who watches as photographs come does without

    rows = pd.concat([read_results(place) for place in results], ignore_index=True)
    rows = rows[rows["score"].notna()]
    if not len(rows):
        raise Hw3Error(f"{results[0]}: no photograph has a score; score some with `hw3 inspect score`")
    limits = rows["threshold"].unique()
    if len(limits) > 1:
        raise Hw3Error(
            f"{listed(map(str, results))}: scored with the thresholds {', '.join(f'{x:.6g}' for x in limits)}; monitor "
            "those of one inspector and one threshold"
        )
    watch = Monitor.of(model, float(limits[0]), usual, seed)
    seen: list[dict[str, float]] = [{}] * len(rows)
    if not scores_only:
        try:
            with ThreadPoolExecutor() as pool:
                seen = list(pool.map(partial(_read_properties, reading=model.reading_), rows["file"]))
        except Hw3Error as error:
            echo(f"light and lens are judged by scores alone, for not all photographs can be read again: {error}")
    levels, alarm, sign = np.empty(len(rows)), None, ("", "")
    for at, (score, properties) in enumerate(zip(rows["score"], seen, strict=True)):
        levels[at] = watch.add(float(score), properties)
        if alarm is None and levels[at] >= mean_time:
            alarm, sign = at, watch.sign
    said = (
        f"{counted(len(rows), 'photograph')}, {int(rows['anomalous'].sum())} of them anomalous: nothing says that "
        f"production has drifted (evidence {levels.max():.3g} at most; an alarm is at {mean_time:g})"
    )
    if alarm is not None:
        said = _describe(*sign, alarm, rows["anomalous"].to_numpy(bool))
    said += f"\nWhere nothing changes there is one alarm in {mean_time:g} photographs, or fewer."
    if plot is not None:
        from hw3lib.views.plots.inspection import drift  # matplotlib is needed for it alone

        with atomic_path(expanded(plot)) as file:
            drift(rows["score"].to_numpy(float), levels, mean_time, float(limits[0]), alarm).savefig(file, dpi=100)
        echo(f"plot: {plot}")
    if alarm is None:
        return Monitored(levels, None, "", said)
    return Monitored(levels, alarm + 1, rows["file"].iloc[alarm], said)


def _read_properties(file: str, reading: Reading) -> dict[str, float]:
    return properties_of(read_image(file, reading=reading))


def read_results(place: str | Path) -> pd.DataFrame:
    """The rows of a folder of results or of its CSV file: ``file, score, anomalous, threshold`` and what else there is.

    Raises:
        Hw3Error: no such file, or it is no table of results.
    """
    import pandas as pd  # as above

    path = expanded(place)
    path = path / RESULTS if path.is_dir() else path
    if not path.is_file():
        raise Hw3Error(f"{place}: no results, {path.name} is missing; make them with `hw3 inspect score`")
    try:
        rows = pd.read_csv(path, encoding=SPREADSHEET, dtype={"file": str}, keep_default_na=False, na_values=[""])
        return rows.assign(
            score=rows["score"].astype(np.float32),
            threshold=rows["threshold"].astype(float),
            anomalous=rows["anomalous"].astype(str) == "True",
            file=rows["file"].astype(str),
        )
    except (ValueError, KeyError, UnicodeError) as error:
        raise Hw3Error(f"{path}: is no table of results ({error}); make one with `hw3 inspect score`") from None


def _describe(name: str, way: str, at: int, anomalous: np.ndarray) -> str:
    """What has changed, in sentences: that of which there is most evidence."""
    what = f"the {name} of photographs that pass is {way} than it was"
    if name == "share":
        recent = anomalous[max(0, at - 49) : at + 1]
        what = (
            f"{percent(float(recent.mean()))} of the last {len(recent)} photographs are anomalous, more than is usual"
        )
    return (
        f"Production has drifted: an alarm at photograph {at + 1} of {len(anomalous)}; {what}. Look at light, lens and "
        "position, and whether it is the same product; where all is as it should be, let the inspector learn from such "
        "photographs with `hw3 inspect update`."
    )
