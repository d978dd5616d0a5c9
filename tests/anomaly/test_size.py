"""The size that photographs fill and that a time allows."""

from __future__ import annotations

import numpy as np
import pytest

from hw3lib.anomaly import Autoencoder, PatchCore, size
from hw3lib.data.stack import ImageStack


@pytest.mark.parametrize(
    ("shapes", "fit", "filled"),
    [
        ([(900, 900)], "stretch", list(size.SIZES)),
        ([(100, 80)], "stretch", [224]),
        ([(320, 300)], "stretch", [224, 256]),  # 320 would enlarge the shorter side
        ([(320, 300)], "pad", [224, 256, 320]),  # whose longer side fills the square
        ([(1600, 400)], "tile", [224, 256, 320, 384]),  # tiles are as high as the photograph
        ([(900, 900), (900, 900), (100, 100)], "stretch", list(size.SIZES)),  # most of them
        ([(900, 900), (100, 100)], "stretch", [224]),  # not most
    ],
)
def test_photographs_are_not_enlarged(shapes, fit, filled):
    assert size.filled_by(shapes, fit) == filled


@pytest.mark.parametrize(("allowed", "chosen"), [(1e9, 96), (70, 64), (65, 64), (64, 64), (20, 32)])
def test_the_largest_size_within_the_time_is_taken_or_the_smallest(monkeypatch, allowed, chosen):
    tried = []
    monkeypatch.setattr(size, "_trial", lambda model, images, number: tried.append(model) or float(model.image_size))
    model = Autoencoder(image_size=224)
    assert size.within(model, [32, 64, 96], allowed, lambda side: None, 9) == (chosen, float(chosen))
    assert tried[0].image_size == 32 and model.image_size == 224


def test_a_trial_has_a_memory_bank_as_large_as_the_real_one_and_trains_one_step(monkeypatch):
    images = np.random.default_rng(0).integers(0, 255, (8, 3, 64, 64), np.uint8)
    fitted = []
    fit = PatchCore.fit
    monkeypatch.setattr(PatchCore, "fit", lambda self, *a, **k: fitted.append(self) or fit(self, *a, **k))
    chosen, taken = size.within(PatchCore(), [64], 1e9, lambda side: ImageStack(images), 40)
    assert chosen == 64 and taken > 0 and fitted[0].ratio == 0.5 and fitted[0].memory_bank == 256  # of 8 x 64 patches
    trained = []
    monkeypatch.setattr(Autoencoder, "fit", lambda self, *a, **k: trained.append(self.num_steps) or self)
    monkeypatch.setattr(Autoencoder, "score", lambda self, images: None)
    size.within(Autoencoder(), [64], 1e9, lambda side: ImageStack(images), 40)
    assert trained == [1]
