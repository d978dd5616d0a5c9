"""Whether production is still like the good photographs that were learned from: what ``hw3 inspect monitor`` does.

As long as it is, the scores of photographs that pass are exchangeable with those of the good photographs that are not
above the threshold, and the smoothed rank of each new one among all before it is uniform and independent of the others
(Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, theorem 8.2). Ranks among the good
photographs alone would depend on each other through that one small sample: a long enough run would call the sample's
own chance a drift. So each photograph that passed joins those that the next is compared with.

The evidence of a change at photograph s is the likelihood ratio of all p-values since: how much likelier they are
under a normal distribution of the ranks' scores z that is shifted or wider than under the standard one
(:data:`SHAPES`, a conformal test martingale each). Its sum over s is the Shiryaev-Roberts statistic R, and while
nothing changes ``R - t`` is a martingale: the mean number of photographs until R reaches c is at least c, of a mean of
several such R too (Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman, "Retrain or not retrain: conformal test
martingales for change-point detection", 2021, arXiv 2102.10439, section 3).

Defects are stopped and so change nothing of this. What stops everything (no light) shows in the share that is stopped,
which is watched by the same statistic for larger shares than are usual.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from hw3lib.core.files import SPREADSHEET, atomic_path, expanded
from hw3lib.core.text import counted, percent
from hw3lib.errors import Hw3Error

from .score import RESULTS, load_model, threshold_of

MEAN_TIME = 10_000  # photographs between false alarms
# Mean and standard deviation of z after a change; before it they are 0 and 1. Higher is more anomalous.
SHAPES = (*((sign * shift, 1.0) for shift in (0.25, 0.5, 1.0, 2.0) for sign in (1, -1)), (0.0, 1.5), (1.0, 1.5))
_SHARES = (1.5, 2.0, 4.0)  # how often more is stopped after a change, in odds
_USUAL = 0.1  # share that may be stopped at least: a promise of 1 % is broken by every defect
_FEWEST = 20  # good photographs; a rank among fewer says little
_LARGEST = 1e250


class Monitor:
    """Watches scores for a change, one photograph after the other, in constant time but for a sorted list.

    Args:
        good_scores: of good photographs, as of ones that were not learned from, ``(n,)``.
        threshold: scores above it are stopped.
        groups: the product that each good photograph shows; one of each is taken. None: another one each.
        usual: share of the photographs, above 0 and below 1, that may be stopped without anything being wrong.
        seed: of the smoothing of ranks, which makes them continuous.

    Raises:
        Hw3Error: fewer than 20 good photographs below the threshold, or a share out of range.
    """

    def __init__(
        self,
        good_scores: np.ndarray,
        threshold: float,
        *,
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
        self._before = sorted(scores[scores < threshold].tolist())
        if len(self._before) < _FEWEST:
            raise Hw3Error(
                f"{counted(len(self._before), 'good photograph')} below the threshold to compare with, expected at "
                f"least {_FEWEST}; fit on more"
            )
        self.threshold, self.usual = threshold, usual
        self._means, self._widths = np.array(SHAPES).T
        odds = usual / (1 - usual) * np.array(_SHARES)
        self._more = odds / (1 + odds)
        self._sums = np.zeros(len(SHAPES) + len(_SHARES))

    @property
    def level(self) -> float:
        """The statistic R: at ``c`` the mean time between false alarms is at least ``c`` photographs."""
        return float(self._sums.mean())

    @property
    def signs(self) -> np.ndarray:
        """How much each of :data:`SHAPES`, and at the end a larger share that is stopped, has of the evidence."""
        return np.append(self._sums[: len(SHAPES)], self._sums[len(SHAPES) :].sum())

    def add(self, score: float) -> float:
        """Count one photograph and give the :attr:`level`; a score that is NaN (not read) counts not."""
        if math.isnan(score):
            return self.level
        stopped = score > self.threshold
        factors = np.ones(len(self._sums))
        factors[len(SHAPES) :] = self._more / self.usual if stopped else (1 - self._more) / (1 - self.usual)
        if not stopped:
            low, high = bisect_left(self._before, score), bisect_right(self._before, score)
            rank = low + self._rng.uniform() * (high - low + 1)
            z = ndtri(np.clip(rank / (len(self._before) + 1), 1e-9, 1 - 1e-9))
            self._before.insert(high, score)
            factors[: len(SHAPES)] = np.exp((z**2 - ((z - self._means) / self._widths) ** 2) / 2) / self._widths
        self._sums = np.minimum((1 + self._sums) * factors, _LARGEST)
        return self.level


@dataclass(frozen=True)
class Monitored:
    """What came out of :func:`monitor`.

    Attributes:
        levels: of each photograph that was read, float64 ``(n,)``, see :attr:`Monitor.level`.
        scores: theirs, float32.
        limit: the level at which there is an alarm.
        alarm: number of the photograph, from 1, at which there was the first; None without any.
        said: what was found, in sentences.
        anomalous: of those that were read, bool.
        file: that of the alarm; empty without any.
    """

    levels: np.ndarray
    scores: np.ndarray
    anomalous: np.ndarray
    limit: float
    alarm: int | None
    said: str
    file: str


def monitor(
    inspector: str | Path,
    results: Sequence[str | Path],
    *,
    plot: str | Path | None = None,
    mean_time: float = MEAN_TIME,
    usual: float | None = None,
    seed: int = 0,
    echo: Callable[[str], None] = print,
) -> Monitored:
    """Say whether production has drifted away from the good photographs, from the results of scoring it.

    Args:
        inspector: the folder, or an ONNX file, that scored.
        results: folders or files of results, in the order in which the photographs were taken; within each the rows
            are taken to be in that order. Photographs of one product one after the other are not independent.
        plot: file of a figure, by its suffix.
        mean_time: photographs between false alarms, at least, 10 or more.
        usual: see :class:`Monitor`; None: 10 %, or twice the false-alarm rate if that is more.
        seed: likewise.
        echo: receives messages.

    Raises:
        Hw3Error: no inspector, no results or none of this inspector's, no score, or as :class:`Monitor`.
    """
    if not mean_time >= 10:
        raise Hw3Error(f"--mean-time {mean_time:g}: expected 10 photographs or more between false alarms")
    model = load_model(inspector)
    threshold_of(model, inspector)  # says at once if there is none
    rows = pd.concat([read_results(place) for place in results], ignore_index=True)
    rows = rows[rows["score"].notna()]
    limits = rows["threshold"].unique()
    if not len(rows):
        raise Hw3Error(f"{results[0]}: no photograph has a score; score some with `hw3 inspect score`")
    if len(limits) > 1:
        raise Hw3Error(
            f"{', '.join(map(str, results))}: scored with the thresholds {', '.join(f'{x:.6g}' for x in limits)}; "
            "monitor those of one inspector and one threshold"
        )
    rate = float((model.good_scores_ > limits[0]).mean())
    watch = Monitor(
        model.good_scores_,
        float(limits[0]),
        groups=model.good_groups_,
        usual=min(0.9, max(_USUAL, 2 * rate)) if usual is None else usual,
        seed=seed,
    )
    levels = np.empty(len(rows))
    signs = None
    for at, score in enumerate(rows["score"]):
        levels[at] = watch.add(score)
        if signs is None and levels[at] >= mean_time:
            signs = watch.signs
    scores, anomalous = rows["score"].to_numpy(np.float32), rows["anomalous"].to_numpy(bool)
    first = int(np.argmax(levels >= mean_time)) if signs is not None else None
    said = (
        f"{counted(len(rows), 'photograph')}, {int(anomalous.sum())} of them anomalous: "
        f"nothing says that production has drifted (evidence {levels.max():.3g} at most; {mean_time:g} is an alarm, "
        f"which comes once in {mean_time:g} photographs or more seldom where nothing has changed)"
    )
    if first is not None and signs is not None:
        said = _describe(signs, scores, anomalous, model.good_scores_, first, mean_time)
    if plot is not None:
        from hw3lib.views.plots.inspection import drift  # matplotlib is needed for it alone

        with atomic_path(expanded(plot)) as file:
            drift(scores, levels, mean_time, float(limits[0]), first).savefig(file, dpi=100)
        echo(f"plot: {plot}")
    return Monitored(
        levels, scores, anomalous, mean_time, None if first is None else first + 1, said,
        "" if first is None else str(rows["file"].iloc[first]),
    )  # fmt: skip


def read_results(place: str | Path) -> pd.DataFrame:
    """The rows of a folder of results or of its CSV file: ``file, score, anomalous, threshold`` and what else there is.

    Raises:
        Hw3Error: no such file, or it is no table of results.
    """
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


def _describe(
    signs: np.ndarray, scores: np.ndarray, anomalous: np.ndarray, good: np.ndarray, at: int, mean_time: float
) -> str:
    """What has changed, in sentences: of which change there is most evidence."""
    said = f"Production has drifted: an alarm at photograph {at + 1} of {len(scores)}. "
    recent = slice(max(0, at - 49), at + 1)
    share = float(anomalous[recent].mean())
    best = int(signs.argmax())
    if best == len(SHAPES):
        said += f"Of the last {len(scores[recent])} photographs {percent(share)} were anomalous, more than is usual. "
    else:
        passed = scores[recent][~anomalous[recent]]
        way = {1: "higher than", -1: "lower than", 0: "more spread than"}[int(np.sign(SHAPES[best][0]))]
        said += (
            f"Scores of photographs that pass are {way} those of the good photographs: median {np.median(passed):.4g} "
            f"of the last {len(passed)}, where it was {np.median(good):.4g}. "
        )
    return said + (
        "Look at light, lens and position, and whether it is the same product; where all is as it should be, let the "
        "inspector learn from such photographs with `hw3 inspect update`. Without a change such an alarm comes once in "
        f"{mean_time:g} photographs or more seldom."
    )
