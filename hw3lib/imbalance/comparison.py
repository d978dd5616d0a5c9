"""All answers to imbalance on one footing: the same images, features, steps and batches; the same splits and tails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from imblearn.metrics import geometric_mean_score
from sklearn.metrics import f1_score, recall_score
from tqdm.auto import tqdm

from hw3lib.core.kept import Kept
from hw3lib.core.scores import balanced_accuracy
from hw3lib.core.seeds import spawned
from hw3lib.data.groups import GROUP, images_per_product, products
from hw3lib.data.labels import Split, as_labels, class_names, crossed_sets, split_sizes
from hw3lib.data.regions.masks import load_masks
from hw3lib.data.stack import ImageStack
from hw3lib.data.table import digest
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.devices import pick_device, resolve

from .longtail import make_longtail
from .methods.heads import Embedder, Recipe
from .methods.table import METHODS, Method, Part
from .result import ALL_IMAGES, BASELINE, BY_SET, MethodComparison

RATIOS = (5, 10)
ZERO_RECALL = 1e-3  # stands for a recall of 0 in the G-mean, which would otherwise be 0 whatever the other recalls are


def tails(table: pd.DataFrame, n_splits: int, seed: int = 0) -> list[list[str]]:
    """Defect types from head to tail, for each split.

    A random order is turned by one place from split to split, and drawn again after a full turn, so that every type is
    the tail equally often and no method is fitted to one.

    Args:
        table: needs the columns ``defect`` and ``is_defect``.
        n_splits: number of orders.
        seed: 0 or more.
    """
    types = sorted(table.loc[table["is_defect"], "defect"].unique())
    orders = []
    for i in range(n_splits):
        order = np.random.default_rng([seed, i // len(types)]).permutation(types)
        orders.append(np.roll(order, i % len(types)).tolist())
    return orders


def figures(y: np.ndarray, y_pred: np.ndarray, counts: Sequence[int] | np.ndarray) -> dict[str, float]:
    """What counts when every class does: figures of one test part, 0 to 1.

    Args:
        y, y_pred: true and predicted labels, int ``(N,)``.
        counts: training images of each class, ``(C,)``; those with the fewest are the tail.

    Returns:
        ``balanced_accuracy`` (mean recall of the classes), ``g_mean`` (their geometric mean, where a recall of 0 counts
        as 0.001, imbalanced-learn's ``correction``), ``macro_f1`` and ``tail_recall``.
    """
    labels, images = np.arange(len(counts)), np.asarray(counts)
    recalls = recall_score(y, y_pred, labels=labels, average=None, zero_division=0)
    return {
        "balanced_accuracy": balanced_accuracy(y, y_pred),
        "g_mean": float(geometric_mean_score(y, y_pred, labels=labels, correction=ZERO_RECALL)),
        "macro_f1": float(f1_score(y, y_pred, labels=labels, average="macro", zero_division=0)),
        "tail_recall": float(recalls[images == images.min()].mean()),
    }


class ViewFeatures:
    """Images of a category and the features of all their views, computed once and kept.

    Args:
        table: the images.
        embedder: the network and its views.
        image_size: side in pixels.
        keep: folder; None keeps nothing.
        strong: whether strong views are needed too.
    """

    def __init__(
        self, table: pd.DataFrame, embedder: Embedder, image_size: int, *, keep: str | Path | None, strong: bool
    ):
        self.table, self.embedder, self.image_size, self.keep, self.strong = table, embedder, image_size, keep, strong
        self.data = digest(table) if keep is not None else ""
        device = embedder.backbone.mean.device
        self.computed = {"device": device.type, "precision": resolve("auto", device)}

    @cached_property
    def images(self) -> torch.Tensor:
        """uint8 ``(N, 3, H, W)``."""
        return torch.from_numpy(ImageStack.load(self.table, self.image_size).images)

    @cached_property
    def masks(self) -> np.ndarray:
        """bool ``(N, H, W)``, empty where an image has none."""
        return load_masks(self.table, self.image_size)

    @cached_property
    def views(self) -> dict[str, torch.Tensor]:
        """``plain`` float32 ``(N, D)``, ``weak`` and ``strong`` ``(N, V, D)``."""
        e = self.embedder
        what = [e.backbone.name, self.image_size, e.weak, e.strong, e.seed, self.strong]
        kept = Kept(self.keep, "views.npz", "imbalance", **self.computed, data=self.data, settings=what)
        if (found := kept.read()) is not None:
            return {name: torch.from_numpy(value) for name, value in found.items()}
        views = {"plain": e.plain_views(self.images), "weak": e.weak_views(self.images)}
        if self.strong:
            views["strong"] = e.strong_views(self.images)
        kept.write({name: value.numpy() for name, value in views.items()})
        return views


def compare_methods(  # noqa: PLR0913, settings by keyword
    table: pd.DataFrame,
    splits: Sequence[Split],
    *,
    methods: Sequence[str] = tuple(METHODS),
    ratios: Sequence[float] = RATIOS,
    turns: int = 1,
    unlabelled: pd.DataFrame | None = None,
    ceiling: bool = False,
    arch: str = "tf_efficientnet_lite0",
    image_size: int = 224,
    views: int = 4,
    recipe: Recipe = Recipe(),  # noqa: B008, it is frozen
    keep: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> MethodComparison:
    """Train every method on the same long-tailed training parts and test it on the same untouched test parts.

    In each split the defect types of the training part are cut to a long tail by :func:`make_longtail`, good images
    stay, and which type is the tail changes, see :func:`tails`; a single type is the tail of the good images. The
    backbone is frozen; every method trains the same head, from the same first weights, by the same recipe, on the same
    weakly augmented views. Settings are the papers', but for those that ``differs`` of each method in :data:`METHODS`
    names; nothing is chosen on test images. FixMatch and Adsh also see, without labels, the training images that the
    tail cut away, and those of ``unlabelled``.

    Args:
        table: images with their classes, as :func:`hw3lib.data.classification_images` gives them.
        splits: positions ``(train, test)`` in the table, two or more; or sets, see
            :func:`hw3lib.data.redraw`.
        methods: names in :data:`METHODS`; ``plain`` is always among them.
        ratios: largest over smallest defect type, each above 1.
        turns: tails that each split is run with; its figures are their means. As many as there are defect types make
            every type the tail once in each split: the narrowest intervals, at that many times the cost.
        unlabelled: further images without labels, none of them in ``table``; those of its products are left out.
        ceiling: also train plainly on the whole training parts; see :meth:`MethodComparison.ceiling`.
        arch, image_size: backbone and side in pixels.
        views: of each image, weakly augmented to learn from, and strongly for the unlabelled ones.
        recipe: how every head is trained.
        keep: folder for features and finished splits; an interrupted comparison goes on from there.
        seed: of views, tails and training.
        device: see :func:`hw3lib.classify.run_attempt`; heads are trained on the CPU.
        progress: show a bar.

    Raises:
        Hw3Error: an unknown method, fewer than two splits, unlabelled images that are in ``table``, missing weights,
            copy-paste without masks, or a table from which no long tail can be made.
    """
    table = table.reset_index(drop=True)
    chosen = _chosen(methods)
    if ceiling:
        chosen.append(replace(METHODS[BASELINE], name=ALL_IMAGES))
    _check(table, splits, chosen, ratios, turns, unlabelled)
    if unlabelled is not None and GROUP in table and GROUP in unlabelled:
        unlabelled = unlabelled[~unlabelled[GROUP].isin(table[GROUP])]
    every = table if unlabelled is None else pd.concat([table, unlabelled], ignore_index=True)
    embedder = Embedder(backbones.load(arch).to(pick_device(device)), views, views, seed)
    strong = any(method.kind == "unlabelled" for method in chosen)
    features = ViewFeatures(every, embedder, image_size, keep=keep, strong=strong)
    classes = class_names(table)
    labels = as_labels(table["defect"], classes)
    extra = np.arange(len(table), len(every))
    sets = crossed_sets(splits, products(table))
    orders, rows = tails(table, len(splits) * turns, seed), []
    jobs = [(ratio, i, method) for ratio in ratios for i in range(len(orders)) for method in chosen]
    for ratio, i, method in tqdm(jobs, desc="comparison", unit="training", disable=not progress):
        train, test = splits[i // turns]
        tail = make_longtail(table.iloc[train], ratio, by="auto", order=orders[i], random_state=spawned(seed, i))
        learn = tail.index.to_numpy(copy=True)
        counts = np.bincount(labels[learn], minlength=len(classes))
        learn = np.sort(train) if method.name == ALL_IMAGES else learn
        unseen = np.concatenate([np.setdiff1d(train, learn), extra])
        settings = [asdict(recipe), arch, image_size, views, seed, i, method.name]
        parts = [learn.tolist(), unseen.tolist(), test.tolist()]
        kept = Kept(
            keep, "tail.json", "imbalance", **features.computed, data=features.data, settings=settings, parts=parts
        )
        outcome = kept.read()
        if outcome is None:
            part_seed = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
            outcome = _outcome(method, features, labels, learn, unseen, test, classes, recipe, part_seed)
            kept.write(outcome)
        y, y_pred = labels[test], np.array(outcome["y_pred"])
        row = {"method": method.name, "ratio": ratio, "split": i // turns, "tail": orders[i][-1]}
        rows.append(row | figures(y, y_pred, counts) | {"seconds": outcome["seconds"]})
        if sets is not None:
            others = [sets[test] == other for other in range(len(splits))]
            each = [balanced_accuracy(y[part], y_pred[part]) if part.any() else 0.0 for part in others]
            rows[-1][BY_SET] = np.array(each)
    crossed = sets is not None
    return MethodComparison(pd.DataFrame(rows), classes, *split_sizes(splits), crossed, images_per_product(table))


def _outcome(
    method: Method,
    features: ViewFeatures,
    labels: np.ndarray,
    learn: np.ndarray,
    unseen: np.ndarray,
    test: np.ndarray,
    classes: list[str],
    recipe: Recipe,
    seed: int,
) -> dict:
    """Predicted labels of the test images, and seconds of training and predicting."""
    background = classes.index("good") if "good" in classes else None
    views = features.views
    strong = views.get("strong", views["weak"][:, :0])
    part = Part(
        plain=views["plain"][learn],
        views=views["weak"][learn],
        y=torch.from_numpy(labels[learn]),
        num_classes=len(classes),
        images=features.images[learn],
        masks=features.masks[learn],
        background=background,
        unlabelled_weak=views["weak"][unseen],
        unlabelled_strong=strong[unseen],
        embedder=features.embedder,
        recipe=recipe,
        seed=seed,
    )
    started = time.perf_counter()
    scores = method.fit(part)
    with torch.no_grad():
        predicted = scores(views["plain"][test]).argmax(1)
    return {"y_pred": predicted.tolist(), "seconds": time.perf_counter() - started}


def _chosen(methods: Sequence[str]) -> list[Method]:
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise Hw3Error(f"methods: unknown {unknown[0]!r}; expected some of {', '.join(METHODS)}")
    return [METHODS[name] for name in METHODS if name in methods or name == BASELINE]


def _check(
    table: pd.DataFrame,
    splits: Sequence[Split],
    chosen: Sequence[Method],
    ratios: Sequence[float],
    turns: int,
    unlabelled: pd.DataFrame | None,
) -> None:
    if len(splits) < 2:
        raise Hw3Error(f"splits: found {len(splits)}, expected 2 or more, an interval needs their spread")
    if turns < 1:
        raise Hw3Error(f"turns={turns}: expected 1 or more tails for each split")
    if not ratios or min(ratios) <= 1:
        raise Hw3Error(f"ratios={list(ratios)}: expected one or more, each above 1 (5: five to one)")
    if any(method.name == "copy-paste" for method in chosen) and not table["mask"].notna().any():
        raise Hw3Error("methods: copy-paste cuts defects out along their masks, and no image has one; leave it out")
    if unlabelled is not None and unlabelled["image"].isin(table["image"]).any():
        raise Hw3Error(
            "unlabelled: some of these images are among those to classify, and would be seen before the test; take "
            "hw3lib.classify.guided.classifier.good_images(table, images)"
        )
