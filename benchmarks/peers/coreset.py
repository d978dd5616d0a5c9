"""Greedy k-centre coreset: ours against anomalib's ``KCenterGreedy`` on the same vectors, each in a fresh process."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, interpolate

from hw3lib.anomaly.coreset.greedy import memory_estimate
from hw3lib.core.files import human_bytes
from hw3lib.data import get, load_table, read_image
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.patches import stage_names

from ..machine import matmul_rate, say_load
from ..programs import run_program

TARGETS = {(40_000, 0.1): 20.0, (164_000, 0.1): 5.0}  # vectors and ratio, of white noise
TARGET_FEATURES = 100.0
# glibc gives large blocks back to the system at once; anomalib allocates some for every pick.
KEEPS_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
_CHECKED = 50  # picks that are compared with brute force

# Both ways: read the vectors, note the time and the memory, pick, note them again.
_MEASURE = """
import numpy as np
vectors, size = np.load(sys.argv[1]), int(sys.argv[2])
prepare(vectors[:600])
before, started = memory("VmRSS"), time.perf_counter()
indices = select(vectors, size)
seconds = time.perf_counter() - started
indices = [int(i) for i in indices]
print(json.dumps({"seconds": seconds, "memory": memory("VmHWM") - before, "indices": indices, **more}))
"""
_OURS = """
import torch
from hw3lib.anomaly.coreset import selection
from hw3lib.anomaly.coreset.greedy import k_center_greedy
more = {}
def prepare(some):  # compiles, or reads what was compiled
    kept = selection._PRUNE_BELOW
    for selection._PRUNE_BELOW in (2.0, -1.0, kept):
        k_center_greedy(some, len(some) // 2, start=0)
def select(vectors, size):
    torch.manual_seed(0)
    start = int(torch.randint(len(vectors), (1,)))  # as anomalib draws its own
    coreset = k_center_greedy(vectors, size, start=start)
    more.update(compared=coreset.compared, radii=coreset.radii.tolist())
    return coreset.indices
"""
# Its own projection is left out: the vectors are of the dimension in which distances are to be measured.
_PEER = """
import torch
from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy
more = {}
class Same:
    def fit(self, vectors):
        return self
    def transform(self, vectors):
        return vectors
def prepare(some):
    select(some, 20)
def select(vectors, size):
    sampler = KCenterGreedy(embedding=torch.from_numpy(vectors), sampling_ratio=(size + 0.5) / len(vectors))
    sampler.model = Same()
    torch.manual_seed(0)
    return sampler.select_coreset_idxs()
"""


def main(
    category: str,
    data: str | None,
    sizes: Sequence[int] = (10_000, 40_000, 164_000),
    ratios: Sequence[float] = (0.01, 0.1),
    dim: int = 384,
    image_size: int = 224,
    images: int | None = None,
    peer_picks: int = 2000,
    peer: bool = True,
) -> None:
    """Print seconds, memory, covering radius, the ratio, and what this machine could do at most.

    Args:
        category, data: whose training images give features; two stages of EfficientNet-Lite0, as PatchCore reads them.
        sizes, dim: vectors of white noise, on which nothing can be pruned, and their dimension.
        ratios: sizes of the coreset, as shares.
        image_size, images: side of the training images in pixels, and how many of them; None: all.
        peer_picks: anomalib, every pick of which costs the same, is timed on so many and extrapolated.
        peer: install and run anomalib; without it only ours is measured.
    """
    rng = np.random.default_rng(0)
    rate, bandwidth = matmul_rate(torch.float32), memory_rate()
    print(
        f"coreset, {torch.get_num_threads()} threads; matrix products at {rate / 1e9:.0f} GFLOP/s, memory read at "
        f"{bandwidth / 1e9:.0f} GB/s; memory is what is taken on top of the vectors; anomalib with glibc's allocator "
        "as it is (default) and with " + ", ".join(f"{k}={v}" for k, v in KEEPS_BLOCKS.items()) + " (keeps blocks)"
    )
    print("  matrix limit: all N * size distances as one product; memory limit: reading the vectors for each pick")
    say_load()
    python = None
    if peer:
        from .anomalib_env import ensure

        python = ensure()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        for count in sizes:
            np.save(path, rng.standard_normal((count, dim), dtype=np.float32))
            for ratio in ratios:
                _compare("white noise", path, ratio, python, peer_picks, rate, bandwidth, TARGETS.get((count, ratio)))
        np.save(path, features(category, data, image_size, images))
        for ratio in ratios:
            target = TARGET_FEATURES if ratio == 0.1 else None
            _compare(category, path, ratio, python, peer_picks, rate, bandwidth, target)


def features(category: str, data: str | None, image_size: int, images: int | None = None) -> np.ndarray:
    """Patches of the training images as PatchCore reads them, float32 ``(N, channels)``."""
    table = load_table(get(category, data, progress=False), category)
    files = table.loc[table["split"] == "train", "image"].tolist()[:images]
    if not files:
        raise Hw3Error(f"{category}: no training images; choose a category in the layout of MVTec AD")
    backbone = backbones.load("tf_efficientnet_lite0")
    layers = stage_names(backbone)[:2]
    found = []
    for start in range(0, len(files), 8):
        batch = np.stack([read_image(file, image_size).transpose(2, 0, 1) for file in files[start : start + 8]])
        with torch.no_grad():
            maps = backbone.feature_maps(torch.from_numpy(batch), layers)
        fine, coarse = (avg_pool2d(maps[layer], 3, 1, 1) for layer in layers)
        coarse = interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        found.append(torch.cat([fine, coarse], 1).movedim(1, -1).flatten(0, 2).numpy())
    return np.concatenate(found)


def memory_rate(size: int = 2**28) -> float:
    """Bytes a second of reading memory that no cache holds, the best of 5."""
    block = torch.zeros(size // 4)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - started)
    return size / min(seconds[1:])


def covering_radius(vectors: np.ndarray, indices: Sequence[int]) -> float:
    """By its definition, in float64."""
    bank = torch.from_numpy(vectors[list(indices)].astype(np.float64))
    parts = (torch.from_numpy(vectors[i : i + 1024].astype(np.float64)) for i in range(0, len(vectors), 1024))
    return max(float(torch.cdist(part, bank).amin(1).max()) for part in parts)


def brute_force(vectors: np.ndarray, size: int, start: int) -> list[int]:
    """The greedy as it is written, in float64; squared distances rounded to float32."""
    distance, picks = np.full(len(vectors), np.inf, np.float32), [start]
    while True:
        for begin in range(0, len(vectors), 4096):
            rows = slice(begin, begin + 4096)
            difference = vectors[rows].astype(np.float64) - vectors[picks[-1]]
            squared = np.einsum("ij,ij->i", difference, difference).astype(np.float32)
            np.minimum(distance[rows], squared, out=distance[rows])
        if len(picks) == size:
            return picks
        picks.append(int(distance.argmax()))


def _compare(
    name: str,
    path: Path,
    ratio: float,
    python: Path | None,
    peer_picks: int,
    rate: float,
    bandwidth: float,
    target: float | None,
) -> None:
    vectors = np.load(path, mmap_mode="r")
    count, dim = vectors.shape
    size = max(1, int(count * ratio))
    own = run_program(sys.executable, _OURS + _MEASURE, path, size)
    checked = min(size, _CHECKED)
    same = own["indices"][:checked] == brute_force(vectors, checked, own["indices"][0])
    print(f"{name}: {count} x {dim}, {size} picks ({ratio:.0%})")
    print(f"  {'':<26}{'seconds':>9}{'memory, MB':>12}{'radius':>10}{'  at picks':>10}")
    print(f"  {'ours':<26}{own['seconds']:>9.2f}{own['memory'] / 1e6:>12.0f}{own['radii'][-1]:>10.4f}{size:>10}")
    estimate = memory_estimate(count, dim, size) - 4 * count * dim
    print(
        f"  ours: {own['compared']:.0%} of the distances computed; first {checked} picks "
        f"{'equal to' if same else 'DIFFERENT FROM'} brute force; memory estimated {human_bytes(estimate)}; matrix "
        f"limit {2 * count * size * dim / rate:.2f} s, memory limit {4 * count * dim * size / bandwidth:.2f} s"
    )
    if python is None:
        return
    timed = min(size, peer_picks)
    for allocator, environment in (("default", {}), ("keeps blocks", KEEPS_BLOCKS)):
        peer = run_program(python, _PEER + _MEASURE, path, timed, environment=environment)
        seconds, mark = peer["seconds"] * size / timed, "" if timed == size else ", extrapolated"
        radius = covering_radius(vectors, peer["indices"])
        label = f"anomalib, {allocator}"
        print(f"  {label:<26}{seconds:>9.2f}{peer['memory'] / 1e6:>12.0f}{radius:>10.4f}{timed:>10}{mark}")
        expected = f", expected {target:g} or more" if target else ""
        equal = np.cumprod(np.equal(peer["indices"], own["indices"][:timed])).sum()
        print(
            f"  {label} / ours: {seconds / own['seconds']:.1f}{expected}; our radius at {timed} picks "
            f"{own['radii'][timed - 1]:.4f}; the first {equal} picks are the same"
        )
