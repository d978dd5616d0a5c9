"""What a comparison of answers to imbalance found: tables with paired intervals, verdicts, and a paragraph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hw3lib.core.intervals import corrected_interval
from hw3lib.core.text import listed
from hw3lib.errors import Hw3Error

BASELINE = "plain"
ALL_IMAGES = "all images"  # plain training with the images that the tail cut away: no method, but a ceiling for them
HELPS, HURTS, NOT_SIGNIFICANT = "helps", "hurts", "not significant"
MOST_NAMED = 5  # methods of a verdict that the paragraph names; of more it says how many
COSTLY = 10.0  # times the baseline's seconds from which the paragraph speaks of the cost
FIGURES = ("balanced_accuracy", "g_mean", "macro_f1", "tail_recall", "seconds")


@dataclass
class MethodComparison:
    """Figures of every method, ratio, split and tail; a split's figure is the mean over its tails.

    Attributes:
        figures: one row each: ``method``, ``ratio``, ``split``, ``tail`` (the rarest type), ``balanced_accuracy``,
            ``g_mean``, ``macro_f1``, ``tail_recall`` (0 to 1) and ``seconds`` (training and predicting, without the
            features that all share).
        classes: class names.
        n_train: images of a split's training part before its tail is cut, from which the intervals are corrected: how
            often two splits share test images depends on all images that are drawn from.
        n_test: images of a split's test part.
        independent: no two splits share an image, so that intervals need no correction.

    Raises:
        Hw3Error: the baseline is missing, or figures of some method, ratio and split are.
    """

    figures: pd.DataFrame
    classes: list[str]
    n_train: int
    n_test: int
    independent: bool = False

    def __post_init__(self) -> None:
        if BASELINE not in set(self.figures["method"]):
            raise Hw3Error(f"the comparison has no method {BASELINE!r} to compare with")
        cells = self.figures.groupby(["method", "ratio"])[["split", "tail"]].apply(
            lambda part: tuple(sorted(part.itertuples(index=False, name=None)))
        )
        if cells.nunique() != 1 or len(cells) != self.figures["method"].nunique() * self.figures["ratio"].nunique():
            raise Hw3Error("the methods were not all run on the same ratios, splits and tails; a pairing needs that")

    @property
    def n_splits(self) -> int:
        """Number of splits."""
        return self.figures["split"].nunique()

    @property
    def methods(self) -> list[str]:
        """Names of what is compared, without the ceiling."""
        return [name for name in self.figures["method"].unique() if name != ALL_IMAGES]

    def ceiling(self, ratio: float | None = None, confidence: float = 0.95) -> pd.Series | None:
        """What the images that the tail cut away are worth: plain training with them, against plain training without.

        An answer to imbalance makes up for missing images; it has won all there is to win where it does as well as if
        they were there. Where even this gain is not statistically significant, no such answer's can be on these splits.

        Args:
            ratio: one of those compared; None takes each split's mean over all of them.
            confidence: of the intervals.

        Returns:
            Columns of :meth:`ranking` without ``rank`` and ``cost``; None if the comparison was made without it.
        """
        if ALL_IMAGES not in set(self.figures["method"]):
            return None
        return pd.Series({"method": ALL_IMAGES} | self._summary(ALL_IMAGES, ratio, confidence))

    def table(self, confidence: float = 0.95) -> pd.DataFrame:
        """One row a method and ratio, the best balanced accuracy of each ratio first.

        Args:
            confidence: of the intervals, each by itself: they are not widened for the number of methods.

        Returns:
            ``method``, ``ratio``, ``balanced_accuracy``, ``ci_low``, ``ci_high`` (kept within 0 to 1), ``gain``,
            ``gain_low``, ``gain_high`` (of balanced accuracy, paired with plain training; missing for itself),
            ``g_mean``, ``macro_f1``, ``tail_recall``, ``seconds`` (mean of a split), ``verdict``.
        """
        rows = [
            {"method": method, "ratio": ratio} | self._summary(method, ratio, confidence)
            for method in self.methods
            for ratio in self.figures["ratio"].unique()
        ]
        columns = ["method", "ratio", "balanced_accuracy", "ci_low", "ci_high", "gain", "gain_low", "gain_high"]
        columns += [*FIGURES[1:], "verdict"]
        order = ["ratio", "balanced_accuracy"]
        return pd.DataFrame(rows)[columns].sort_values(order, ascending=[True, False], ignore_index=True)

    def ranking(self, confidence: float = 0.95) -> pd.DataFrame:
        """One row a method over all ratios, the best balanced accuracy first.

        A split's figure is the mean of its ratios, so that the interval has as many values as there are splits.

        Returns:
            As :meth:`table` without ``ratio``, with ``rank`` from 1 first and ``cost`` last: seconds as a multiple of
            plain training's.
        """
        base = self._splits(BASELINE)["seconds"].mean()
        rows = []
        for method in self.methods:
            row = {"method": method} | self._summary(method, None, confidence)
            rows.append(row | {"cost": row["seconds"] / base})
        result = pd.DataFrame(rows).sort_values("balanced_accuracy", ascending=False, ignore_index=True, kind="stable")
        result.insert(0, "rank", np.arange(1, len(result) + 1))
        return result

    def text(self) -> str:
        """About 150 words on what was measured; every statement is taken from the figures."""
        ranked = self.ranking()
        base = ranked[ranked["method"] == BASELINE].iloc[0]
        others = ranked[ranked["method"] != BASELINE]
        ratios = listed([f"1:{r:g}" for r in sorted(self.figures["ratio"].unique())])
        cut = (
            f"the defect types to train on were cut to a long tail ({ratios}; the tail is another type in each split). "
        )
        if self.figures["tail"].nunique() == 1:
            cut = f"the images of the only defect type to train on were cut to a tail of the good ones ({ratios}). "
        said = [
            f"On {self.n_splits} splits with {self.n_test} test images each, {cut}"
            f"{_number(len(others), 'method')} compared with plain training on the same frozen features, steps and "
            f"batches. Plain training recognises {base['balanced_accuracy']:.0%} of a class on average (95 % interval "
            f"{base['ci_low']:.0%} to {base['ci_high']:.0%}) and {base['tail_recall']:.0%} of the rarest defect type."
        ]
        if len(others):
            best = others.iloc[0]
            said.append(
                f"The highest balanced accuracy of the others is that of {best['method']}: "
                f"{best['balanced_accuracy']:.0%}, {_points(best['gain'])} points ({_points(best['gain_low'])} to "
                f"{_points(best['gain_high'])}) against plain; rarest defect type {best['tail_recall']:.0%}."
            )
            for verdict, words in (
                (HELPS, "Statistically significant gains: "),
                (HURTS, "Significantly worse: "),
                (NOT_SIGNIFICANT, "No significant difference: "),
            ):
                names = others.loc[others["verdict"] == verdict, "method"].tolist()
                few = listed(names) if names else "none"
                said.append(words + (few if len(names) <= MOST_NAMED else f"{len(names)} methods") + ".")
            costly = others[others["cost"] >= COSTLY].sort_values("cost", ascending=False)
            if len(costly):
                first = costly.iloc[0]
                also = "" if len(costly) == 1 else f"; {len(costly)} methods take {COSTLY:g} times as long or more"
                said.append(f"The most expensive, {first['method']}, takes {first['cost']:.0f} times as long{also}.")
            else:
                said.append(f"No method takes {COSTLY:g} times as long as plain training.")
        if (ceiling := self.ceiling()) is not None:
            worth = (
                f"With the images that the tail cut away, plain training gains {_points(ceiling['gain'])} points "
                f"({_points(ceiling['gain_low'])} to {_points(ceiling['gain_high'])}): "
            )
            if ceiling["verdict"] == HELPS:
                said.append(worth + "so much could be won back.")
            else:
                said.append(worth + "nothing to win back can be shown on these splits.")
        if len(others):
            said.append(
                "No interval is widened for the number of methods: of twenty without effect, one seems to have one."
            )
        return " ".join(said)

    def _splits(self, method: str, ratio: float | None = None) -> pd.DataFrame:
        """A method's figures of each split: means over its tails, and over the ratios where none is given."""
        own = self.figures[self.figures["method"] == method]
        own = own if ratio is None else own[own["ratio"] == ratio]
        return own.groupby("split")[list(FIGURES)].mean()

    def _summary(self, method: str, ratio: float | None, confidence: float) -> dict[str, float | str]:
        own = self._splits(method, ratio)
        values = own["balanced_accuracy"]
        parts = self.n_train, 0 if self.independent else self.n_test
        mean, low, high = corrected_interval(values.to_numpy(), *parts, confidence)
        row = {"balanced_accuracy": mean, "ci_low": max(0.0, low), "ci_high": min(1.0, high)}
        gain = (np.nan,) * 3
        if method != BASELINE:
            difference = (values - self._splits(BASELINE, ratio)["balanced_accuracy"]).to_numpy()
            gain = corrected_interval(difference, *parts, confidence)
        row |= dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
        return row | {name: own[name].mean() for name in FIGURES[1:]} | {"verdict": verdict(*gain[1:])}


def verdict(low: float, high: float) -> str:
    """What an interval of the gain says: ``helps``, ``hurts`` or ``not significant``; empty where there is no gain."""
    if np.isnan(low):
        return ""
    return HELPS if low > 0 else HURTS if high < 0 else NOT_SIGNIFICANT


def _points(gain: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * gain:+.0f}" if abs(gain) >= 0.0995 else f"{100 * gain:+.1f}"


def _number(n: int, what: str) -> str:
    return f"{n} {what} was" if n == 1 else f"{n} {what}s were"
