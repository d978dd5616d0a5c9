"""Epochs over a category: files decoded on every epoch, as a DataLoader does, against a stack decoded once."""

import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from hw3lib.data import ImageStack, get, load_table, read_image


class Files(Dataset):
    """The usual way: open, decode and resize a file each time it is asked for."""

    def __init__(self, paths: list[str], size: int):
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.from_numpy(read_image(self.paths[i], self.size).transpose(2, 0, 1).copy())


def main(category: str, data: str | None, epochs: int = 20, size: int = 128, batch_size: int = 32) -> None:
    """Print seconds, images per second and the ratio; both ways deliver the same batches of uint8 images."""
    table = load_table(get(category, data, progress=False), category)
    paths = list(table["image"])

    started = time.perf_counter()
    loader = DataLoader(Files(paths, size), batch_size, shuffle=True, num_workers=2)
    total = sum(int(batch.sum()) for _ in range(epochs) for batch in loader)
    usual = time.perf_counter() - started

    started = time.perf_counter()
    images = torch.from_numpy(ImageStack.load(table, size).images)
    order = (torch.randperm(len(images)).split(batch_size) for _ in range(epochs))
    once = sum(int(images[rows].sum()) for epoch in order for rows in epoch)
    stacked = time.perf_counter() - started

    assert total == once, "the two ways did not see the same pixels"
    count = epochs * len(paths)
    print(f"{category}: {len(paths)} images, {size} px, {epochs} epochs, {torch.get_num_threads()} threads")
    print(f"  files decoded on every epoch, 2 workers: {usual:7.2f} s  {count / usual:8.0f} images/s")
    print(f"  stack decoded once:                      {stacked:7.2f} s  {count / stacked:8.0f} images/s")
    print(f"  ratio: {usual / stacked:.1f}   memory of the stack: {np.prod(images.shape) / 1e6:.0f} MB")
