"""How soon a drift is noticed, and how seldom one is that is none: simulated scores, and a lamp that ages."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageFilter

from hw3lib.anomaly import PatchCore, silence_few_good_images
from hw3lib.anomaly.variants import light
from hw3lib.data import ImageStack, get, load_table
from hw3lib.data.synthetic import picture
from hw3lib.inspection.monitor import MEAN_TIME, Monitor, properties_of

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
        images = ImageStack.load(table[(table["split"] == "train") & ~table["is_defect"]], _SIDE).images
    images = images[np.random.default_rng(0).permutation(len(images))]
    learned, new = np.split(images, [len(images) // 4])
    half = len(new) // 2
    for way, held_out in (("leave-one-out", None), ("held out", 0.4)):
        with silence_few_good_images():
            model = PatchCore(image_size=_SIDE, ratio=0.1).fit(learned, held_out=held_out)
        seen = {share: watched(model, light(1 - share, 1 - share, 1 - share)(new)) for share in (0.0, *DARKER)}
        seen |= {"blurred": watched(model, np.stack([blurred(image) for image in new]))}
        print(f"{category}: {len(learned)} good photographs ({way}), {len(new)} new ones, alarm at {MEAN_TIME:,}")
        for what, properties in (("scores alone", False), ("scores and photographs", True)):
            for change, after in seen.items():
                delays = []
                for seed in range(count):
                    order = np.random.default_rng(seed).permutation(len(new))
                    exchangeable = model.calibration_ == "held-out"
                    watch = Monitor(model.good_scores_, np.inf, exchangeable=exchangeable, seed=seed)
                    both = [seen[0.0][row] for row in order[:half]] + [after[row] for row in order[half:]]
                    found = (watch.add(score, told if properties else None) for score, told in both)
                    delays.append(next((t for t, level in enumerate(found, 1 - half) if level >= MEAN_TIME), _MOST + 1))
                stopped = 100 * np.mean([score > model.threshold_ for score, _ in after])
                name = "no change" if change == 0 else change if change == "blurred" else f"{100 * change:.0f} % darker"
                none = sum(delay > _MOST for delay in delays)
                early = sum(delay <= 0 for delay in delays)
                print(
                    f"  {what}, {name} ({stopped:.0f} % above threshold): {said(delays)} photographs; no alarm in "
                    f"{none}, one before the change in {early} of {count} orders"
                )


def watched(model: PatchCore, images: np.ndarray) -> list[tuple[float, dict[str, float]]]:
    """Score and properties of each image."""
    scores = model.decision_function(images).tolist()
    return [(score, properties_of(image.transpose(1, 2, 0))) for score, image in zip(scores, images, strict=True)]


def blurred(image: np.ndarray) -> np.ndarray:
    """A lens a little out of focus: a Gaussian of 0.6 pixels."""
    picture = Image.fromarray(image.transpose(1, 2, 0)).filter(ImageFilter.GaussianBlur(0.6))
    return np.asarray(picture).transpose(2, 0, 1)
