"""What a comparison of answers to imbalance found: tables with paired intervals, verdicts, and a paragraph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hw3lib.core.intervals import EQUIVALENT, NOT_ESTIMABLE, NOT_SIGNIFICANT, Design, Interval, holm
from hw3lib.core.text import listed
from hw3lib.errors import Hw3Error

BASELINE = "plain"
ALL_IMAGES = "all images"  # plain training with the images that the tail cut away: no method, but a ceiling for them
HELPS, HURTS = "helps", "hurts"
MOST_NAMED = 5  # methods of a verdict that the paragraph names; of more it says how many
COSTLY = 10.0  # times the baseline's seconds from which the paragraph speaks of the cost
BY_SET = "by_set"
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
        crossed: each split learns from a set of its own and is tested on all others; ``figures`` then has the balanced
            accuracy on each of these as an array, ``by_set``.
        per_product: images of a product; intervals count products.

    Raises:
        Hw3Error: the baseline is missing, or figures of some method, ratio and split are.
    """

    figures: pd.DataFrame
    classes: list[str]
    n_train: int
    n_test: int
    crossed: bool = False
    per_product: float = 1.0

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
    def design(self) -> Design:
        """What the intervals rest on."""
        return Design(self.n_train, self.n_test, self.n_splits, self.crossed, self.per_product)

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
        return pd.Series(self._rows([(ALL_IMAGES, ratio)], confidence)[0]).drop("ratio")

    def table(self, confidence: float = 0.95) -> pd.DataFrame:
        """One row a method and ratio, the best balanced accuracy of each ratio first.

        Args:
            confidence: of the intervals, each by itself.

        Returns:
            ``method``, ``ratio``, ``balanced_accuracy``, ``ci_low``, ``ci_high``, ``gain``, ``gain_low``,
            ``gain_high``, ``gain_p`` (of balanced accuracy, paired with plain training; missing for itself; the p-value
            for all rows together, :func:`hw3lib.core.holm`), ``g_mean``, ``macro_f1``, ``tail_recall``, ``seconds``
            (mean of a split), ``verdict`` (``helps`` or ``hurts`` by the p-value, ``equivalent`` where the gain is
            significantly smaller than 5 points either way, else ``not significant``), ``needed`` (images with which a
            gain of 5 points would be significant in four of five such comparisons).
        """
        cells = [(method, ratio) for method in self.methods for ratio in self.figures["ratio"].unique()]
        order = ["ratio", "balanced_accuracy"]
        rows = pd.DataFrame(self._rows(cells, confidence))
        return rows.sort_values(order, ascending=[True, False], ignore_index=True)

    def ranking(self, confidence: float = 0.95) -> pd.DataFrame:
        """One row a method over all ratios, the best balanced accuracy first.

        A split's figure is the mean of its ratios, so that the interval has as many values as there are splits.

        Returns:
            As :meth:`table` without ``ratio``, with ``rank`` from 1 first and ``cost`` last: seconds as a multiple of
            plain training's.
        """
        rows = pd.DataFrame(self._rows([(method, None) for method in self.methods], confidence)).drop(columns="ratio")
        rows["cost"] = rows["seconds"] / self._splits(BASELINE)["seconds"].mean()
        result = rows.sort_values("balanced_accuracy", ascending=False, ignore_index=True, kind="stable")
        result.insert(0, "rank", np.arange(1, len(result) + 1))
        return result

    def text(self) -> str:
        """About 150 words on what was measured; every statement is taken from the figures."""
        ranked = self.ranking()
        base = ranked[ranked["method"] == BASELINE].iloc[0]
        others = ranked[ranked["method"] != BASELINE]
        ratios = listed([f"1:{r:g}" for r in sorted(self.figures["ratio"].unique())])
        cut = (
            f"the defect types to train on were cut to a long tail ({ratios}; the tail is another type in each split)."
        )
        if self.figures["tail"].nunique() == 1:
            cut = f"the images of the only defect type to train on were cut to a tail of the good ones ({ratios})."
        said = [
            f"On {self.design}, {cut}",
            f"{_number(len(others), 'method')} compared with plain training on the same frozen features, steps and "
            f"batches. Plain training recognises {Interval.read(base, 'balanced_accuracy', 'ci').percent()} of a class "
            f"on average (in brackets, 95 % intervals) and {base['tail_recall']:.0%} of the rarest defect type.",
        ]
        if len(others):
            best = others.iloc[0]
            said.append(
                f"The highest balanced accuracy of the others is that of {best['method']}: "
                f"{best['balanced_accuracy']:.0%}, {Interval.read(best, 'gain', kind='difference').points()} against "
                f"plain; rarest defect type {best['tail_recall']:.0%}."
            )
            for verdicts, words in (
                ([HELPS], "Statistically significant gains"),
                ([HURTS], "Significantly worse"),
                ([EQUIVALENT], "Equivalent to plain training within 5 points"),
                ([NOT_SIGNIFICANT, NOT_ESTIMABLE], "No significant difference"),
            ):
                names = others.loc[others["verdict"].isin(verdicts), "method"].tolist()
                few = listed(names) if names else "none"
                said.append(f"{words}: {few if len(names) <= MOST_NAMED else f'{len(names)} methods'}.")
            costly = others[others["cost"] >= COSTLY].sort_values("cost", ascending=False)
            if len(costly):
                first = costly.iloc[0]
                also = "" if len(costly) == 1 else f"; {len(costly)} methods take {COSTLY:g} times as long or more"
                said.append(f"The most expensive, {first['method']}, takes {first['cost']:.0f} times as long{also}.")
            else:
                said.append(f"No method takes {COSTLY:g} times as long as plain training.")
        if (ceiling := self.ceiling()) is not None:
            worth = (
                "With the images that the tail cut away, plain training gains "
                f"{Interval.read(ceiling, 'gain', kind='difference').points()}"
            )
            if ceiling["verdict"] == HELPS:
                said.append(f"{worth}: so much could be won back.")
            else:
                said.append(f"{worth}: nothing to win back can be shown on these splits.")
        if len(others):
            said.append("Intervals are each by itself, significance is that of all methods together (Holm).")
            said.append(self.design.power(others["needed"]))
        return " ".join(filter(None, said))

    def _splits(self, method: str, ratio: float | None = None) -> pd.DataFrame:
        """A method's figures of each split: means over its tails, and over the ratios where none is given."""
        return self._rows_of(method, ratio).groupby("split")[list(FIGURES)].mean()

    def _rows(self, cells: Sequence[tuple[str, float | None]], confidence: float) -> list[dict[str, Any]]:
        """A row for each method and ratio; the gains of all of them are tested together."""
        rows = []
        gains = holm(self._gain(method, ratio, confidence) for method, ratio in cells)
        tests = max(1, sum(not math.isnan(gain.p) for gain in gains))
        for (method, ratio), gain in zip(cells, gains, strict=True):
            own = self._splits(method, ratio)
            reached = self.design.interval(self._accuracies(method, ratio), confidence, "share")
            row = {"method": method, "ratio": ratio} | reached.columns("balanced_accuracy", "ci") | gain.columns("gain")
            means = {name: own[name].mean() for name in FIGURES[1:]}
            needed = self.design.images_needed(gain, tests)
            rows.append(row | means | {"verdict": gain.verdict(HELPS, HURTS, EQUIVALENT), "needed": needed})
        return rows

    def _gain(self, method: str, ratio: float | None, confidence: float) -> Interval:
        if method == BASELINE:
            return Interval(kind="difference")
        own, base = (self._accuracies(name, ratio) for name in (method, BASELINE))
        return self.design.interval(own - base, confidence, "difference")

    def _accuracies(self, method: str, ratio: float | None) -> np.ndarray:
        """Balanced accuracy of each split, or of each split on each set."""
        if not self.crossed:
            return self._splits(method, ratio)["balanced_accuracy"].to_numpy()
        return np.stack(
            self._rows_of(method, ratio).groupby("split")[BY_SET].apply(lambda sets: np.mean(list(sets), 0))
        )

    def _rows_of(self, method: str, ratio: float | None) -> pd.DataFrame:
        own = self.figures[self.figures["method"] == method]
        return own if ratio is None else own[own["ratio"] == ratio]


def _number(n: int, what: str) -> str:
    return f"{n} {what} was" if n == 1 else f"{n} {what}s were"
