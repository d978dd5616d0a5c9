"""Accuracy, not speed: whether generated images are recognised by classifiers that have not seen their parents.

Several long tails of one category, at several sizes in pixels: what the oversamplers' own size is chosen by.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch

from hw3lib.data import ImageStack, classification_images, get, load_masks, load_table, products
from hw3lib.imbalance import CopyPaste, DeepSmote, LroStyle, Made, SmoteOversampler, make_longtail, recognised
from hw3lib.networks import backbones


def main(category: str, data: str | None, count: int = 5, sizes: tuple[int, ...] = (32, 64, 96)) -> None:
    """Print for each size the share assigned to its class, mean of the rare classes and the tails, and its spread.

    Args:
        category, data: where the images are; copy-paste needs masks.
        count: tails of 1:10, the first as in notebook 03.
        sizes: sides in pixels, of images and autoencoders.
    """
    images = classification_images(load_table(get(category, data, progress=False), category), random_state=0)
    labels, network = images["defect"].to_numpy(), backbones.load("tf_efficientnet_lite0")

    @torch.no_grad()
    def features(batch: np.ndarray) -> np.ndarray:
        large = torch.nn.functional.interpolate(torch.from_numpy(batch).float(), 224, mode="bilinear", antialias=True)
        return torch.cat([network.embed(part) for part in large.split(16)]).numpy()

    for size in sizes:
        stack, found = ImageStack.load(images, size).images, []
        real, masks = features(stack), load_masks(images, size)
        for seed in range(count):
            given = make_longtail(images, 10, by="auto", random_state=seed).index.to_numpy()
            generators = {
                "DeepSMOTE": DeepSmote(image_size=size, random_state=seed),
                "DeepSMOTE, official program": DeepSmote(variant="official", image_size=size, random_state=seed),
                "LRO-style": LroStyle(image_size=size, random_state=seed),
                "SMOTE between pixels": SmoteOversampler(random_state=seed),
                "copy-paste": CopyPaste(masks=masks[given], random_state=seed),
            }
            made = {}
            for name, generator in generators.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # classes with one image are copied
                    new, classes = generator.fit_resample(stack[given], labels[given])
                onto = given[generator.parents_[:, 1]] if isinstance(generator, CopyPaste) else None
                made[name] = Made(features(new[len(given) :]), classes[len(given) :], onto)
            found.append(recognised(real, labels, given, made, groups=products(images), seed=seed).shares)
        shares = pd.DataFrame(found)
        print(f"{category}, {size} px, {count} tails of 1:10")
        for name in shares:
            print(
                f"  {name:30} {shares[name].mean():.0%} ({shares[name].min():.0%} to {shares[name].max():.0%})",
                flush=True,
            )
