"""How soon a drift is noticed, and how seldom one is that is none: simulated scores, and a lamp that ages."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hw3lib.anomaly import PatchCore
from hw3lib.anomaly.variants import light
from hw3lib.data import ImageStack, get, load_table
from hw3lib.data.synthetic import picture
from hw3lib.inspection.monitor import MEAN_TIME, Monitor

SHIFTS = ((0.25, 1.0), (0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (0.0, 1.5))  # of scores: mean, deviation
DARKER = (0.02, 0.05, 0.1, 0.2)
_MOST = 4000  # photographs after a change
_SIDE = 128


def first(watch: Monitor, scores: Iterable[float], limit: float = MEAN_TIME) -> int:
    """Photographs until the alarm; infinite without one."""
    return next((t for t, score in enumerate(scores, 1) if watch.add(score) >= limit), np.iinfo(np.int64).max)


def said(delays: list[int]) -> str:
    """Median with the range of the middle 80 %."""
    low, middle, high = ("more" if d > _MOST else f"{d:.0f}" for d in np.quantile(delays, (0.1, 0.5, 0.9)))
    return f"{middle} ({low} to {high})"


def main(category: str, data: str | None, count: int = 40) -> None:
    """``count`` runs of each; 2 % of the photographs are defects that are stopped. No setting is chosen here."""
    for good in (50, 200):
        runs = [np.random.default_rng(seed) for seed in range(count)]
        times = []
        for seed, rng in enumerate(runs):
            scores = rng.normal(size=good)
            stream = (rng.normal() + 9 * (rng.uniform() < 0.02) for _ in range(20_000))
            times.append(first(Monitor(scores, np.sort(scores)[int(0.95 * good)], seed=seed), stream, 1000))
        print(
            f"{good} good photographs, alarm at 1,000: one in {np.minimum(times, 20_000).mean():,.0f} without a change"
        )
        for mean, deviation in SHIFTS:
            delays = []
            for seed, rng in enumerate(runs):
                scores = rng.normal(size=good)
                watch = Monitor(scores, np.sort(scores)[int(0.95 * good)], seed=seed)
                for score in rng.normal(size=200):
                    watch.add(score)
                delays.append(first(watch, rng.normal(mean, deviation, _MOST)))
            print(
                f"  mean {mean:+.2f} and deviation {deviation:.1f}: {said(delays)} photographs, alarm at {MEAN_TIME:,}"
            )
    if category.startswith("synthetic/"):
        painted = [picture(category.removeprefix("synthetic/"), "good", _SIDE, (9, i))[0] for i in range(240)]
        images = np.ascontiguousarray(np.stack(painted).transpose(0, 3, 1, 2))
    else:
        table = load_table(get(category, data, progress=False), category)
        images = ImageStack.load(table[~table["is_defect"]], _SIDE).images
    learned = len(images) // 4
    model = PatchCore(image_size=_SIDE, ratio=0.1).fit(images[:learned])
    rest = images[learned:]
    scores = {share: model.decision_function(light(1 - share, 1 - share, 1 - share)(rest)) for share in (0.0, *DARKER)}
    low = float((scores[0.0] > model.threshold_).mean())
    print(
        f"{category}: {learned} good photographs learned from, {len(rest)} new ones, {100 * low:.1f} % above threshold"
    )
    alarms, delays = 0, {share: [] for share in DARKER}
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(rest))
        before = order[: len(rest) // 2]
        watch = Monitor(model.good_scores_, model.threshold_, seed=seed)
        alarms += max(watch.add(float(score)) for score in scores[0.0][order]) >= MEAN_TIME
        for share in DARKER:
            watch = Monitor(model.good_scores_, model.threshold_, seed=seed)
            for row in before:
                watch.add(float(scores[0.0][row]))
            delays[share].append(first(watch, map(float, scores[share][order[len(before) :]])))
    print(f"  as photographed: an alarm in {alarms} of {count} orders of {len(rest)} photographs")
    for share, found in delays.items():
        stopped = float((scores[share] > model.threshold_).mean())
        missed = sum(d > _MOST for d in found)
        print(
            f"  {100 * share:.0f} % darker, {100 * stopped:.0f} % above threshold: {said(found)} photographs"
            f"{f', none in {missed} of {count} orders' if missed else ''}"
        )
