"""What each way to a threshold stops: good and defective test images, beside the false-alarm rate that it promises."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from hw3lib.anomaly import DETECTORS, silence_few_good_images
from hw3lib.core import machine
from hw3lib.data import ImageStack, get, load_table

WAYS: dict[str, dict[str, Any]] = {"held out 25 %": {"held_out": 0.25}, "5 folds": {"folds": 5}, "by default": {}}
CHEAP = ("patchcore", "padim", "knn", "mahalanobis", "ocsvm")  # to fit; the others learn for minutes
RATES = (0.05, 0.1)


def main(category: str, data: str | None, count: int = 3) -> None:
    """Means over ``count`` seeds, which draw what is held out, the folds and the coreset; 224 px. PatchCore leaves one
    out by default, the others hold out 25 %. Test images choose nothing."""
    machine.keep()  # as every command does
    table = load_table(get(category, data, progress=False), category)
    test = table[table["split"] == "test"]
    good, images = (ImageStack.load(part, 224) for part in (table[table["split"] == "train"], test))
    is_defect = test["is_defect"].to_numpy(bool)
    print(f"{category}: {len(good)} good images, {(~is_defect).sum()} good and {is_defect.sum()} defective to test on")
    for name in CHEAP:
        for way, settings in WAYS.items():
            if settings == ({"folds": 5} if name == "patchcore" else {}):
                continue  # what the other lines say
            found, seconds = [], []
            for seed in range(count):
                detector, started = DETECTORS[name](seed=seed), time.process_time()
                with silence_few_good_images():
                    detector.fit(good, **settings)
                    seconds.append(time.process_time() - started)
                    scores = detector.decision_function(images)
                    for rate in RATES:
                        detector.set_false_alarm_rate(rate)
                        above, promise = scores > detector.threshold_, detector.thresholds_
                        found.append([promise.guarantee, above[~is_defect].mean(), above[is_defect].mean()])
            for rate, (promised, alarms, stopped) in zip(
                RATES, 100 * np.reshape(found, (count, len(RATES), 3)).mean(0), strict=True
            ):
                print(
                    f"  {name:<12} {way:<14} asked {100 * rate:2.0f} %, promised {promised:4.1f} %; stops "
                    f"{alarms:4.1f} % of good, {stopped:5.1f} % of defective; fit {np.mean(seconds):.1f} s of CPU",
                    flush=True,
                )
