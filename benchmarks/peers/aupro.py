"""AUPRO at full mask resolution: ours against anomalib's, each in processes of its own that read the same arrays."""

from __future__ import annotations

import statistics
import sys
import tempfile

import numpy as np
from scipy.ndimage import gaussian_filter, label, zoom

from hw3lib.anomaly import PixelMetrics
from hw3lib.data import get, load_masks, load_table
from hw3lib.errors import Hw3Error

from ..machine import say_load
from ..programs import run_program

TARGET, TOLERANCE = 20.0, 1e-6
LIMIT = 0.3
BRUTE_IMAGES, BRUTE_SIZE = 6, 30  # what every distinct value as a threshold can be tried on

# Both ways: read the arrays, call once on small ones (compiled code is loaded then), note the memory, call twice,
# note it again. The first call also waits for the system to find so much memory.
_MEASURE = """
import numpy as np
masks, maps = (np.load(f"{sys.argv[1]}/{name}.npy") for name in ("masks", "maps"))
aupro(np.tri(8, dtype=bool)[None], np.arange(64, dtype=np.float32).reshape(1, 8, 8))
before, seconds = memory("VmRSS"), []
for call in range(2):
    started = time.perf_counter()
    value = aupro(masks, maps)
    seconds.append(time.perf_counter() - started)
print(json.dumps({"value": float(value), "seconds": seconds, "memory": memory("VmHWM") - before}))
"""
_OURS = f"""
from hw3lib.anomaly import PixelMetrics
def aupro(masks, maps):
    metrics = PixelMetrics()
    for mask, anomaly_map in zip(masks, maps, strict=True):
        metrics.update(mask, anomaly_map)
    return metrics.aupro({LIMIT})
"""
# _AUPRO takes tensors; the public AUPRO is the same behind fields of a batch.
_PEER = f"""
import torch
from anomalib.metrics.aupro import _AUPRO
def aupro(masks, maps):
    metric = _AUPRO(fpr_limit={LIMIT})
    for mask, anomaly_map in zip(masks, maps, strict=True):
        metric.update(torch.from_numpy(anomaly_map)[None], torch.from_numpy(mask)[None].int())
    return metric.compute()
"""


def main(
    category: str, data: str | None, images: int = 100, size: int = 900, repeats: int = 3, peer: bool = True
) -> None:
    """Print seconds, memory, values, the ratio, and the distance from the brute force on a reduced set.

    Args:
        category, data: where the masks are; the test images, over again if they are fewer than ``images``. The maps
            are made: smooth noise, raised on the defects.
        images, size: how many maps, and their side in pixels.
        repeats: of each way, in turns.
        peer: install and run anomalib; without it only ours is measured.
    """
    masks, maps = make(category, data, images, size)
    print(
        f"{category}: AUPRO up to a false-positive rate of {LIMIT} of {images} maps of {size}x{size} pixels, "
        f"{masks.mean():.1%} of them defective; memory is what is taken on top of the arrays"
    )
    say_load()
    ways = {"ours": (sys.executable, _OURS)}
    if peer:
        from .anomalib_env import ensure

        ways["anomalib"] = (ensure(), _PEER)
    found: dict[str, list[dict]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/masks.npy", masks)
        np.save(f"{folder}/maps.npy", maps)
        for repeat in range(repeats):
            for name in list(ways) if repeat % 2 == 0 else reversed(ways):
                found[name].append(run_program(ways[name][0], ways[name][1] + _MEASURE, folder))
    print(f"  {'':<10}{'1st call, s':>12}{'2nd call, s':>12}{'(min to max)':>19}{'memory, MB':>12}  value")
    for name, runs in found.items():
        first, second = ([run["seconds"][call] for run in runs] for call in range(2))
        spread = f"({min(second):.2f} to {max(second):.2f})"
        memory = max(run["memory"] for run in runs) / 1e6
        medians = f"{statistics.median(first):>12.2f}{statistics.median(second):>12.2f}"
        print(f"  {name:<10}{medians}{spread:>19}{memory:>12.0f}  {runs[0]['value']:.8f}")
    if peer:
        apart = abs(found["anomalib"][0]["value"] - found["ours"][0]["value"])
        for call, which in enumerate(("first", "second")):
            pairs = zip(found["anomalib"], found["ours"], strict=True)
            ratios = [a["seconds"][call] / b["seconds"][call] for a, b in pairs]
            middle = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
            print(f"  anomalib / ours, {which} call: {middle}, expected {TARGET:g} or more")
        print(f"  the values are {apart:.1e} apart (anomalib sums in float32)")
    masks, maps = make(category, data, BRUTE_IMAGES, BRUTE_SIZE)
    small = PixelMetrics()
    for mask, anomaly_map in zip(masks, maps, strict=True):
        small.update(mask, anomaly_map)
    apart = abs(small.aupro(LIMIT) - brute_force(masks, maps))
    print(
        f"  {BRUTE_IMAGES} maps of {BRUTE_SIZE}x{BRUTE_SIZE}: ours {small.aupro(LIMIT):.8f}, {apart:.1e} from all "
        f"thresholds tried one by one, expected {TOLERANCE:g} or less"
    )


def make(category: str, data: str | None, images: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a category's test images, bool ``(N, size, size)``, and made-up maps, float32 of the same shape."""
    table = load_table(get(category, data, progress=False), category)
    table = table[table["split"] == "test"]
    if not table["mask"].notna().any():
        raise Hw3Error(f"{category}: none of the {len(table)} test images has a mask; choose a category with masks")
    # Spread over all classes, so that a few images are of several.
    chosen = np.round(np.linspace(0, len(table) - 1, min(images, len(table)))).astype(int)
    masks = load_masks(table.iloc[np.resize(chosen, images)], size)
    rng = np.random.default_rng(0)
    maps = np.empty(masks.shape, np.float32)
    small = max(4, size // 16)
    for mask, anomaly_map in zip(masks, maps, strict=True):
        noise = gaussian_filter(rng.gamma(2, 0.5, (small, small)), 1)
        noise = zoom(noise, size / small, order=1, grid_mode=True, mode="nearest")
        anomaly_map[:] = noise + rng.uniform(0.2, 1.5) * gaussian_filter(mask.astype(float), size / 100)
    return masks, maps


def brute_force(masks: np.ndarray, maps: np.ndarray) -> float:
    """AUPRO by its definition: every distinct value as a threshold, the overlap of every region by itself."""
    regions = []
    for image, mask in enumerate(masks):
        labels, count = label(mask, np.ones((3, 3)))
        regions += [maps[image][labels == region] for region in range(1, count + 1)]
    thresholds = np.unique(maps)[::-1]
    good = maps[~masks]
    rate = np.array([0, *[(good >= t).mean() for t in thresholds]])
    overlap = np.array([0, *[np.mean([(region >= t).mean() for region in regions]) for t in thresholds]])
    below = rate <= LIMIT
    x = np.append(rate[below], LIMIT)
    y = np.append(overlap[below], np.interp(LIMIT, rate, overlap))
    return float(np.trapezoid(y, x) / LIMIT)
