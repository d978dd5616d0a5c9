"""Which photographs a person should be asked about: the uncertain ones first, or any, by the labels that it takes.

A few good photographs are learned from; of a pool of others some are labelled, one after the other. Good ones join the
memory bank and the calibration, and the answers place the threshold where a defect is as likely as not. Every order is
judged on the same test images, which nobody labels.
"""

from __future__ import annotations

import numpy as np
import torch

from hw3lib.anomaly import PatchCore, conformal_threshold, silence_few_good_images
from hw3lib.core.intervals import corrected_interval
from hw3lib.data import ImageStack, get, load_table
from hw3lib.data.synthetic import PRODUCTS, picture
from hw3lib.inspection.corrections.review import defect_probability

LABELS = (0, 5, 10, 20, 40)
_SIDE, _FIRST, _RATE, _SHARE = 96, 16, 0.1, 0.2


def images_of(category: str, data: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 ``(N, 3, side, side)``, and which are defective; generated ones are painted for it."""
    if category.startswith("synthetic/"):
        product = PRODUCTS[category.removeprefix("synthetic/")]
        names = ["good"] * 160 + sorted(product.defects) * (60 // len(product.defects))
        painted = [picture(product.name, name, _SIDE, (11, i))[0] for i, name in enumerate(names)]
        return np.ascontiguousarray(np.stack(painted).transpose(0, 3, 1, 2)), np.array(names) != "good"
    table = load_table(get(category, data, progress=False), category)
    table = table.groupby("is_defect").sample(frac=1, random_state=0)
    table = table[table.groupby("is_defect").cumcount() < np.where(table["is_defect"], 60, 160)]
    return ImageStack.load(table, _SIDE).images, table["is_defect"].to_numpy(bool)


def nearest_patches(images: np.ndarray, teach: np.ndarray) -> np.ndarray:
    """Distance of each patch of each image from the nearest of each image that may teach, ``(N, T, patches)``."""
    model = PatchCore(image_size=_SIDE)
    model._start()
    model._whitening = None
    with torch.no_grad():
        features = torch.cat([model._patches(torch.from_numpy(images[i : i + 16])) for i in range(0, len(images), 16)])
        features = features.flatten(1, 2)
        flat = features.flatten(0, 1)
        nearest = [torch.cdist(flat, features[row]).amin(1).view(len(images), -1) for row in teach.tolist()]
        return torch.stack(nearest, 1).numpy()


class Line:
    """What has been learned of one draw: which images are in the bank, and which are answered.

    Attributes:
        nearest: distance of each patch of each image from the bank without the image's own patches, ``(N, patches)``.
    """

    def __init__(self, distance: np.ndarray, column: dict[int, int], first: np.ndarray):
        self.distance, self.column, self.bank = distance, column, first.tolist()
        self.nearest = distance[:, [column[row] for row in self.bank]].min(1)
        self.known: dict[int, bool] = {}

    def position(self, rows: np.ndarray) -> np.ndarray:
        """As of :func:`~hw3lib.inspection.corrections.review.ranked`: threshold at 0, middle good photograph at -1."""
        scores = self.nearest.max(1)
        good = scores[self.bank]
        with silence_few_good_images():
            threshold = conformal_threshold(good, _RATE).value
        return (scores[rows] - threshold) / max(threshold - float(np.median(good)), 1e-9)

    def chance(self, rows: np.ndarray) -> np.ndarray:
        known = np.array(list(self.known), int)
        return defect_probability(self.position(rows), self.position(known), np.array(list(self.known.values()), bool))

    def answer(self, row: int, is_defect: bool) -> None:
        self.known[row] = is_defect
        if not is_defect:
            self.bank.append(row)
            np.minimum(self.nearest, self.distance[:, self.column[row]], out=self.nearest)


def one_draw(distance, column, is_defect, good, bad, seed: int, way: str) -> list[float]:
    """Balanced accuracy on the test images after each number of labels."""
    rng = np.random.default_rng(seed)
    good, bad = rng.permutation(good), rng.permutation(bad)
    half = (len(good) - _FIRST) * 2 // 3
    first, pool_good, test_good = good[:_FIRST], good[_FIRST : _FIRST + half], good[_FIRST + half :]
    few = round(half * _SHARE / (1 - _SHARE))
    pool, test = np.concatenate([pool_good, bad[:few]]), np.concatenate([test_good, bad[few:]])
    line, order, accuracy = Line(distance, column, first), rng.permutation(pool), []
    for asked in range(LABELS[-1] + 1):
        if asked in LABELS:
            called = line.chance(test) > 0.5
            right = called == is_defect[test]
            accuracy.append((right[is_defect[test]].mean() + right[~is_defect[test]].mean()) / 2)
        left = np.array([row for row in order if row not in line.known])
        if not len(left):
            accuracy += [accuracy[-1]] * (len(LABELS) - len(accuracy))
            break
        chance = line.chance(left) if way != "any" else np.zeros(len(left))
        if way == "coverage":
            chance = (1 - chance) * (line.position(left) + 1).clip(0)
        gain = np.minimum(chance, 1 - chance) if way == "uncertain" else chance
        row = int(left[gain.argmax()])
        line.answer(row, bool(is_defect[row]))
    return accuracy


def main(category: str, data: str | None, count: int = 20) -> None:
    """``count`` draws of what is learned, asked and tested; differences are paired, with corrected 95 % intervals."""
    images, is_defect = images_of(category, data)
    good, bad = np.flatnonzero(~is_defect), np.flatnonzero(is_defect)
    distance, column = nearest_patches(images, good), {int(row): i for i, row in enumerate(good)}
    distance[good, np.arange(len(good))] = np.inf  # of each image from its own patches
    print(f"{category}: {len(good)} good and {len(bad)} defective images, {_FIRST} good learned from, {count} draws")
    found = {
        way: np.array([one_draw(distance, column, is_defect, good, bad, seed, way) for seed in range(count)])
        for way in ("uncertain", "highest", "coverage", "any")
    }
    taught = _FIRST + round((len(good) - _FIRST) * 2 // 3 / (1 - _SHARE))
    sizes = (taught, len(images) - taught)
    for i, labels in enumerate(LABELS):
        each = ", ".join(f"{way} {100 * runs[:, i].mean():.1f} %" for way, runs in found.items())
        gain = corrected_interval(found["uncertain"][:, i] - found["any"][:, i], *sizes, kind="difference")
        print(f"  {labels:2} labels: balanced accuracy {each}; uncertain first against any {gain.points()}", flush=True)
    last = found["any"][:, -1].mean()
    needed = next((n for n, mean in zip(LABELS, found["uncertain"].mean(0), strict=True) if mean >= last), None)
    print(f"  what {LABELS[-1]} labels of any give takes {needed or f'more than {LABELS[-1]}'} of the uncertain ones")
