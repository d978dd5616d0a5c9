"""What a fitted detector promises, whoever computes its scores: thresholds, p-values, colours; without PyTorch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hw3lib.errors import Hw3Error

from .assembly import Maps
from .thresholds import (
    Calibration,
    Costs,
    Errors,
    Threshold,
    conformal_threshold,
    cost_threshold,
    error_curve,
    errors_at,
    p_values,
    silence_few_good_images,
)

_LARGEST = 4096  # side of images that a detector takes; a stranger's file may say any number
_LEVEL = 256  # good images whose maps tell the level of good ones


class ColourScale(NamedTuple):
    """Which values the darkest and the brightest colour of a map stand for, the same for all images."""

    low: float
    high: float

    @classmethod
    def anchored(cls, level: float, threshold: float) -> ColourScale:
        """Darkest at ``level``, half-way at ``threshold``."""
        return cls(level, level + 2 * (threshold - level))

    def share(self, anomaly_map: np.ndarray) -> np.ndarray:
        """The map with ``low`` at 0 and ``high`` at 1, clipped, float32."""
        return np.clip((anomaly_map - np.float32(self.low)) / np.float32(self.high - self.low), 0, 1)


class ChangedDetector(UserWarning):
    """A loaded detector gives other scores than the one that was saved."""


class Calibrated(ABC):
    """Base of all that scores images: the good images' scores, and what follows from them.

    Attributes:
        good_scores_: scores of good images as of ones that were not learned from, ascending, float32 ``(n,)``; empty
            if there are none.
        good_peaks_: highest value of each of their maps, ascending, float32 ``(n,)``; empty without maps.
        good_groups_, peak_groups_: the products that they show, int64 ``(n,)``, in the order of the scores and in that
            of the peaks; None where each shows another.
        good_level_: median pixel of their maps, of 256 of them evenly spaced if there are more; NaN without maps.
        calibration_: how they came to such scores.
        proven_: whether a theorem gives what thresholds promise, see :mod:`hw3lib.anomaly.thresholds`.
        bad_scores_: scores of known defects, ascending, float32 ``(m,)``; empty if there are none.
        thresholds_: how :attr:`threshold_` came about, and what it promises; None without good images' scores.
        probe_: scores of :func:`probe_images` when it was fitted, float32.
        changed_: why this is not the detector that was saved, a sentence; empty where it is.
    """

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

    good_scores_: np.ndarray
    good_peaks_: np.ndarray
    good_level_: float
    good_groups_: np.ndarray | None
    peak_groups_: np.ndarray | None
    calibration_: Calibration
    proven_: bool
    bad_scores_: np.ndarray
    thresholds_: Threshold | None
    probe_: np.ndarray
    changed_: str = ""

    @abstractmethod
    def decision_function(self, images: Any) -> np.ndarray:
        """Scores, float32 ``(N,)``; higher is more anomalous."""

    def _require_fit(self) -> None:  # noqa: B027, by default it is fitted
        """Raise if nothing was learned yet."""

    def _forget(self) -> None:
        """No good image has a score."""
        self.good_scores_ = self.good_peaks_ = self.bad_scores_ = np.zeros(0, np.float32)
        self.good_level_, self.good_groups_, self.peak_groups_ = math.nan, None, None
        self.calibration_, self.proven_, self.thresholds_, self.changed_ = "held-out", True, None, ""

    def _calibrate(
        self,
        scored: Iterable[tuple[np.ndarray, Maps | None]],
        n: int,
        groups: np.ndarray | None,
        calibration: Calibration,
        proven: bool = True,
    ) -> None:
        """Keep scores and peaks of good images; of the maps, which may be larger than memory, some tell the level.

        Args:
            scored: scores and maps, a batch at a time.
            n: number of images.
            groups: the products that they show, in the same order.
            calibration, proven: see :class:`Calibrated`.
        """
        level_rows = {*np.linspace(0, n - 1, min(n, _LEVEL)).astype(int).tolist()}
        scores, peaks, kept, done = [], [], [], 0
        for score, maps in scored:
            scores.append(score)
            if maps is not None:
                peaks += [m.max() for m in maps]
                kept += [m.ravel() for row, m in enumerate(maps, done) if row in level_rows]
            done += len(score)
        self.calibration_, self.proven_ = calibration, proven
        self.good_scores_, self.good_groups_ = _ascending(np.concatenate(scores), groups)
        if peaks:
            self.good_peaks_, self.peak_groups_ = _ascending(np.array(peaks), groups)
            self.good_level_ = float(np.median(np.concatenate(kept)))

    def set_false_alarm_rate(self, false_alarm_rate: float) -> None:
        """Choose the threshold again, from the scores of the good images; nothing is learned again."""
        self.thresholds_ = self._conformal(false_alarm_rate) if len(self.good_scores_) else None

    def set_costs(self, costs: Costs) -> None:
        """Choose the threshold by what errors cost, on the good images and the known defects.

        Raises:
            Hw3Error: there are no scores of good images, or none of defects, see :meth:`know_defects`.
        """
        self._threshold()
        if not len(self.bad_scores_):
            raise Hw3Error(f"{self.name}: knows no defects to weigh costs by; call know_defects(images) first")
        self.thresholds_ = self._by_costs(costs)

    def know_defects(self, images: Any) -> list[Errors]:
        """Score known defects, of which nothing is learned; gives false alarms and misses at every threshold.

        Raises:
            Hw3Error: as :meth:`decision_function`; there are no scores of good images.
        """
        self._threshold()
        self.bad_scores_ = np.sort(self.decision_function(images))
        return error_curve(self.good_scores_, self.bad_scores_, groups=self.good_groups_)

    def errors_at(self, threshold: float) -> Errors:
        """False alarms and misses of a threshold, on the good images and the known defects."""
        return errors_at(threshold, self.good_scores_, self.bad_scores_, groups=self.good_groups_)

    @property
    def threshold_(self) -> float:
        return self._threshold().value

    @property
    def map_threshold_(self) -> float:
        return self.map_limit(self._threshold())

    @property
    def scale_(self) -> ColourScale:
        """Colours for maps: darkest at the median pixel of good images, half-way at ``map_threshold_``."""
        return self.colours(self._threshold())

    def threshold_at(self, rate: float | None = None, value: float | None = None) -> Threshold:
        """The threshold that was chosen, one for another false-alarm rate, or one that is given.

        Raises:
            Hw3Error: there are no scores of good images, and no value is given; a value that is not finite.
        """
        if value is not None:
            if not math.isfinite(value):
                raise Hw3Error(f"threshold {value}: expected a finite number, in the unit of the scores")
            above = float((self.good_scores_ > value).mean()) if len(self.good_scores_) else 0.0
            threshold = Threshold(value, len(self.good_scores_), above, calibration=self.calibration_)
        else:
            threshold = self._threshold()
            if rate is not None:
                with silence_few_good_images():
                    threshold = self._conformal(rate)
        return replace(threshold, note=self.changed_) if self.changed_ else threshold

    def map_limit(self, threshold: Threshold) -> float:
        """The value of a map's pixel that goes with a threshold: as many good images have a pixel above it.

        Raises:
            Hw3Error: a detector without maps, or without scores of good images.
        """
        if not self.has_maps:
            raise Hw3Error(f"{self.name} looks at the image as a whole and has no anomaly map")
        self._threshold()
        if np.array_equal(self.good_peaks_, self.good_scores_):
            return threshold.value  # each score is its map's maximum
        rate = threshold.false_alarm_rate
        if threshold.guarantee is None:  # the share that is above: a rank, not a rate that was asked for
            n = len(self.good_peaks_) if self.peak_groups_ is None else len(np.unique(self.peak_groups_))
            rate = min((rate * n + 1) / (n + 1), n / (n + 1))
        with silence_few_good_images():  # said when the threshold was set
            return self._conformal(rate, maps=True).value

    def colours(self, threshold: Threshold) -> ColourScale:
        """As :attr:`scale_`, for another threshold."""
        limit = self.map_limit(threshold)
        return ColourScale.anchored(min(self.good_level_, limit - 1e-6 * max(abs(limit), 1.0)), limit)

    def predict(self, images: Any) -> np.ndarray:
        """True for each image whose score is above :attr:`threshold_`, bool ``(N,)``."""
        threshold = self.threshold_  # says at once if there is none
        return self.decision_function(images) > threshold

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Conformal p-values of scores ``(N,)`` against the good images, see :func:`.thresholds.p_values`.

        Raises:
            Hw3Error: there are no scores of good images, or this is not the detector that gave them.
        """
        self._threshold()
        if self.changed_:
            raise Hw3Error(f"{self.name} has no p-values: {self.changed_}")
        return p_values(self.good_scores_, scores, groups=self.good_groups_)

    @property
    @abstractmethod
    def has_maps(self) -> bool:
        """Whether it has anomaly maps; False for one that looks at the image as a whole."""

    def promise(self) -> dict[str, Any]:
        """All of this as JSON can hold it; :meth:`keep_promise` reads it."""
        arrays = ("good_scores_", "good_peaks_", "good_groups_", "peak_groups_", "bad_scores_", "probe_")
        threshold = self.thresholds_
        return {
            **{name: None if (kept := getattr(self, name)) is None else kept.tolist() for name in arrays},
            "good_level_": None if math.isnan(self.good_level_) else self.good_level_,
            "calibration_": self.calibration_,
            "proven_": self.proven_,
            "false_alarm_rate": None if threshold is None or threshold.costs else threshold.false_alarm_rate,
            "costs": asdict(threshold.costs) if threshold and threshold.costs else None,
        }

    def keep_promise(self, promise: dict[str, Any]) -> None:
        """The inverse of :meth:`promise`.

        Raises:
            KeyError, TypeError, ValueError, Hw3Error: it is none.
        """
        self._forget()
        for name in ("good_scores_", "good_peaks_", "bad_scores_", "probe_"):
            values = np.array(promise[name], np.float32).reshape(-1)
            if not np.isfinite(values).all() or (np.diff(values) < 0).any() and name != "probe_":
                raise ValueError(f"{name}: expected finite numbers in ascending order")
            setattr(self, name, values)
        for name, scores in (("good_groups_", self.good_scores_), ("peak_groups_", self.good_peaks_)):
            if promise[name] is not None:
                setattr(self, name, np.array(promise[name], np.int64).reshape(scores.shape))
        level = promise["good_level_"]
        self.good_level_ = math.nan if level is None else float(level)
        self.calibration_, self.proven_ = promise["calibration_"], bool(promise["proven_"])
        if self.calibration_ not in ("held-out", "leave-one-out", "cross-validation"):
            raise ValueError(f"calibration_: found {self.calibration_!r}")
        if promise["false_alarm_rate"] is not None:
            self.set_false_alarm_rate(promise["false_alarm_rate"])
        if promise["costs"] is not None:
            self.thresholds_ = self._by_costs(Costs(**promise["costs"]))

    def compare_probe(self, images: np.ndarray, why: str = "") -> None:
        """Score :func:`probe_images` again; other scores make this a :attr:`changed_` detector.

        Scores may differ by what processors differ by: a thousandth, or a hundredth of the range of the good images'.

        Args:
            images: of :func:`probe_images`.
            why: another reason to call it changed, a clause; empty where there is none.
        """
        found = self.decision_function(images)
        spread = float(np.ptp(self.good_scores_)) if len(self.good_scores_) else 0.0
        allowed = 1e-3 * np.abs(self.probe_) + 0.01 * spread
        if self.probe_.shape != found.shape or not (np.abs(found - self.probe_) <= allowed).all():
            then, now = (", ".join(f"{score:.4g}" for score in scores) for scores in (self.probe_, found))
            why = why or f"images that scored {then} now score {now}"
        if why:
            self.changed_ = (
                f"This is no longer the detector that was fitted: {why}. Threshold and p-values were of the other one: "
                "fit it again, or use the versions of the packages that it was fitted with."
            )

    def _conformal(self, rate: float, maps: bool = False) -> Threshold:
        values, groups = (self.good_peaks_, self.peak_groups_) if maps else (self.good_scores_, self.good_groups_)
        return conformal_threshold(values, rate, groups=groups, calibration=self.calibration_, proven=self.proven_)

    def _by_costs(self, costs: Costs) -> Threshold:
        return cost_threshold(
            self.good_scores_, self.bad_scores_, costs, groups=self.good_groups_, calibration=self.calibration_
        )

    def _threshold(self) -> Threshold:
        self._require_fit()
        if self.thresholds_ is None:
            raise Hw3Error(
                f"{self.name} was fitted with held_out=0, so no good image sets a threshold or a p-value; fit it "
                "without that, or give a threshold to score with (--threshold)"
            )
        return self.thresholds_


def _ascending(values: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Values in order, and the groups they belong to in the same."""
    order = np.argsort(values, kind="stable")
    return values[order], None if groups is None else groups[order]


def probe_images(side: int, count: int = 3) -> np.ndarray:
    """Images of all roughnesses, from smooth ones to noise, the same ever again: uint8 ``(count, 3, side, side)``.

    Raises:
        Hw3Error: a side above 4096.
    """
    if side > _LARGEST:
        raise Hw3Error(f"image_size={side}: expected {_LARGEST} at most")
    rng = np.random.default_rng(0)
    images = []
    for cells in np.unique(np.geomspace(4, side, count).astype(int)):
        values = rng.uniform(0, 255, (3, cells, cells))
        at = np.arange(side) * ((cells - 1) / (side - 1))  # corners stay corners
        first = np.minimum(at.astype(int), cells - 2)
        for axis in (1, 2):
            lines = np.moveaxis(values, axis, -1)
            lines = lines[..., first] * (1 - at + first) + lines[..., first + 1] * (at - first)
            values = np.moveaxis(lines, -1, axis)
        images.append(values)
    return np.stack(images).clip(0, 255).astype(np.uint8)
