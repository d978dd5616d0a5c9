"""What it takes and costs to tell PatchCore of other light, shifts and small turns: the same test images, disturbed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from hw3lib.anomaly.comparison import ranking
from hw3lib.anomaly.registry import make_detector
from hw3lib.anomaly.robustness import CONDITIONS
from hw3lib.anomaly.variants import TOLERABLE, light, light_from
from hw3lib.core import machine
from hw3lib.data import ImageStack, get, load_table

GENERATED = ("synthetic/bottle", "synthetic/carpet")
RATE = 0.1
MORE = {"20 % brighter": light(1.2, 1.2, 1.2), "lit from above": light_from(90, 0.2)}


def main(category: str, data: str | None, sets: tuple[str, ...] = (), rows: tuple[str, ...] = ()) -> None:
    """Print image AUROC, the share of good and of defective test images above the threshold, and processor seconds.

    Args:
        category, data: not looked at.
        sets: folders of real categories, to try besides the generated bottle and carpet.
        rows: kinds to tolerate, joined by commas; none: nothing, light, and all but colour.
    """
    machine.keep()  # as every command does
    conditions = {name: change for name, change in {**CONDITIONS, **MORE}.items() if "90" not in name}
    tables = {name: load_table(get(name, None, progress=False), name) for name in GENERATED}
    tables |= {Path(folder).name: load_table(Path(folder).parent, Path(folder).name) for folder in sets}
    told = rows or ("", "light", ",".join(kind for kind in TOLERABLE if kind != "colour"))
    for name, table in tables.items():
        test = table[table["split"] == "test"]
        is_defect = test["is_defect"].to_numpy(bool)
        good = ImageStack.load(table[(table["split"] == "train") & ~table["is_defect"]], 224)
        images = ImageStack.load(test, 224).images
        for kinds in told:
            detector = make_detector("patchcore", {"tolerate": kinds.split(",") if kinds else []})
            started = time.process_time()
            detector.fit(good, false_alarm_rate=RATE)
            seconds = time.process_time() - started
            print(f"{name}, told {kinds or 'nothing'}: fit {seconds:.0f} s of CPU, asked for {100 * RATE:.0f} %")
            for condition, change in conditions.items():
                scores = detector.decision_function(change(images))
                above = scores > detector.threshold_
                print(
                    f"  {condition:20} AUROC {100 * ranking(is_defect, scores).auroc:5.1f}, stops "
                    f"{100 * np.mean(above[~is_defect]):5.1f} % of good, {100 * np.mean(above[is_defect]):5.1f} % of "
                    "defective",
                    flush=True,
                )
