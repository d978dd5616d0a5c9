"""A training as a student writes it: files in class folders, decoded and resized on every epoch by two workers.

The network, its initial weights, the optimiser, the batches' size and the number of epochs are the attempt's, so that
only the way to train differs from :func:`hw3lib.classify.run_attempt`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from hw3lib.classify import Attempt, build

Split = tuple[list[int], list[int]]
OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
WORKERS = 2


def write_folders(table: pd.DataFrame, split: Split, folder: Path) -> Path:
    """Copy the images of a split's two parts to ``train/<class>/`` and ``test/<class>/``, as ``ImageFolder`` reads."""
    for part, rows in zip(("train", "test"), split, strict=True):
        for i, (image, defect) in enumerate(table.iloc[rows][["image", "defect"]].itertuples(index=False)):
            target = folder / part / defect / f"{i:04d}{Path(image).suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, target)
    return folder


def train(attempt: Attempt, folder: Path, seed: int, device: str = "cpu", epochs: int | None = None) -> dict:
    """Train on ``folder/train`` in float32 and evaluate ``folder/test`` after every epoch, to draw the curve.

    Args:
        attempt: of strategy ``scratch`` or ``transfer`` (the frozen network runs on every batch of every epoch).
        folder: as :func:`write_folders` leaves it.
        seed: of weights and batches.
        device: a torch device.
        epochs: fewer than the attempt's, where the whole is extrapolated.

    Returns:
        ``seconds`` in all; ``epochs``: seconds of each, evaluation included; ``evaluation``: mean seconds of one
        evaluation; ``correct`` of ``tested`` images; ``device_bytes``: peak on a GPU.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    model = build(attempt, sum(path.is_dir() for path in (folder / "train").iterdir()))
    network, head = model.backbone.network.to(device), model.head.to(device)
    frozen = attempt.strategy == "transfer"
    network.requires_grad_(not frozen)
    mean, std = ((v / 255).flatten().tolist() for v in (model.backbone.mean, model.backbone.std))

    size = [transforms.Resize((attempt.image_size, attempt.image_size))]
    tensor = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    change = []
    if attempt.rotation:
        change.append(transforms.RandomRotation(attempt.rotation))
    if attempt.colour_jitter:
        change.append(transforms.ColorJitter(*[attempt.colour_jitter] * 3))
    learn_set = ImageFolder(folder / "train", transforms.Compose(size + change + tensor))
    test_set = ImageFolder(folder / "test", transforms.Compose(size + tensor))
    learn = DataLoader(learn_set, attempt.batch_size, shuffle=True, num_workers=WORKERS)
    test = DataLoader(test_set, attempt.batch_size, num_workers=WORKERS)

    parameters = [p for p in nn.Sequential(network, head).parameters() if p.requires_grad]
    optimiser = OPTIMISERS[attempt.optimiser](parameters, lr=attempt.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, attempt.epochs) if attempt.cosine else None
    criterion = nn.CrossEntropyLoss()
    losses, each, evaluations, correct = [], [], [], 0
    for _ in range(epochs or attempt.epochs):
        began = time.perf_counter()
        network.train(not frozen)
        head.train()
        running = 0.0
        for images, labels in learn:
            images, labels = images.to(device), labels.to(device)
            optimiser.zero_grad()
            loss = criterion(head(network(images)), labels)
            loss.backward()
            optimiser.step()
            running += loss.item()
        losses.append(running / len(learn))
        if scheduler is not None:
            scheduler.step()

        evaluating = time.perf_counter()
        network.eval()
        head.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in test:
                images, labels = images.to(device), labels.to(device)
                correct += (head(network(images)).argmax(1) == labels).sum().item()
        ended = time.perf_counter()
        evaluations.append(ended - evaluating)
        each.append(ended - began)
    return {
        "seconds": time.perf_counter() - started,
        "epochs": each,
        "evaluation": sum(evaluations) / len(evaluations),
        "correct": correct,
        "tested": len(test_set),
        "device_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else 0,
    }
