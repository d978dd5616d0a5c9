"""Large categories: how time and memory of each stage grow with the number of images, and what 10 million would take.

Generated thumbnails go through the table, the check, the decoded cache, a backbone's features, PatchCore's fit and
scoring, each stage in a process of its own, so that its peak is its own. Peaks are two: anonymous memory (RssAnon,
sampled) is what a process cannot give back. The whole resident set (``ru_maxrss``) adds the pages of files that are
mapped, the libraries and the decoded cache: the system takes those back when it needs room, and they may grow as far
as there is room.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIZES = (10_000, 31_623, 100_000)
SIDE = 32  # pixels
ARCH, LAYERS = "tf_efficientnet_lite0", ("features.3",)  # 16 patches of 40 channels an image
MEMORY_LIMIT, BANK_LIMIT, BATCH = 16_000_000, 1000, 256  # of PatchCore: bytes, vectors, images
TARGET, GOAL = 0.2, 10_000_000  # growth of the peak from the smallest to the largest set; images on paper
_SAMPLING = 0.005  # seconds
_GROUP = 1000  # images that share a generator
_MB = 1e6


def main(category: str, data: str | None, sizes: Sequence[int] = SIZES, out: str | Path = "runs/scale") -> None:
    """Print a table of all stages and sizes, the exponents and the expectation; write CSV and PNG.

    Args:
        category, data: not used; the images are generated.
        sizes: numbers of images, each 20 or more.
        out: folder of ``scale.csv`` and ``scale.png``.
    """
    import pandas as pd

    from hw3lib.core.files import atomic_path

    sizes = sorted(sizes)
    print(
        f"{SIDE} px, {ARCH} to {LAYERS[-1]}; PatchCore: memory_limit={MEMORY_LIMIT:,} bytes, bank_limit={BANK_LIMIT:,} "
        f"vectors; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}"
    )
    rows = []
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="hw3-scale-"))
        try:
            for stage in STAGES:
                row = {"images": size, "stage": stage, **_in_fresh_process(stage, folder, size)}
                rows.append(row)
                with atomic_path(Path(out) / "scale.csv") as path:
                    pd.DataFrame(rows).to_csv(path, index=False)
                print(
                    f"{size:9,} {stage:9} {row['seconds']:8.1f} s ({row['processor_seconds']:.1f} s of processor), "
                    f"peak {row['peak_anonymous'] / _MB:7.1f} MB anonymous"
                    f" (before it began: {row['before'] / _MB:.1f}), {row['peak_resident'] / _MB:7.1f} MB resident",
                    flush=True,
                )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    table = pd.DataFrame(rows)
    if len(sizes) > 1:
        print(f"\n{growth(table).to_string(index=False)}\n\n{verdict(table)}")
    with atomic_path(Path(out) / "scale.png") as path:
        draw(table, path)
    print(f"\n{Path(out) / 'scale.csv'}, {Path(out) / 'scale.png'}")


def growth(table):
    """Exponents by least squares on logarithms, what an image adds, and what :data:`GOAL` images would take.

    Args:
        table: one row a stage and size: ``images``, ``stage``, ``processor_seconds`` (which others on the machine
            disturb less than the clock), ``peak_anonymous`` (bytes).

    Returns:
        A table, one row a stage and one for all of them: ``time_exponent``, ``memory_exponent``,
        ``bytes_per_image`` (of the straight line through the smallest and the largest set), ``hours_at_goal`` (with
        the exponent), ``gb_at_goal`` (with the straight line).
    """
    import pandas as pd

    rows = []
    whole = table.groupby("images", as_index=False).agg(
        processor_seconds=("processor_seconds", "sum"), peak_anonymous=("peak_anonymous", "max")
    )
    for stage, part in [*table.groupby("stage", sort=False), ("all", whole)]:
        part = part.sort_values("images")
        n, seconds, peak = (part[name].to_numpy(float) for name in ("images", "processor_seconds", "peak_anonymous"))
        time_exponent, memory_exponent = (np.polyfit(np.log(n), np.log(y), 1)[0] for y in (seconds, peak))
        per_image = (peak[-1] - peak[0]) / (n[-1] - n[0])
        rows.append(
            {
                "stage": stage,
                "time_exponent": round(time_exponent, 3),
                "memory_exponent": round(memory_exponent, 3),
                "bytes_per_image": round(per_image),
                "hours_at_goal": round(seconds[-1] * (GOAL / n[-1]) ** time_exponent / 3600, 2),
                "gb_at_goal": round((peak[-1] + max(per_image, 0) * (GOAL - n[-1])) / 1e9, 2),
            }
        )
    # Stages run one after the other: time adds up, and the largest peak is the peak.
    rows[-1]["hours_at_goal"] = round(sum(row["hours_at_goal"] for row in rows[:-1]), 2)
    rows[-1]["gb_at_goal"] = max(row["gb_at_goal"] for row in rows[:-1])
    return pd.DataFrame(rows)


def verdict(table) -> str:
    """Growth of the peaks from the smallest to the largest set, beside what is expected."""
    low, high = table["images"].min(), table["images"].max()
    peaks = table.pivot(index="images", columns="stage", values="peak_anonymous")
    change = peaks.loc[high].max() / peaks.loc[low].max() - 1
    stages = ", ".join(f"{stage} {peaks.loc[high, stage] / peaks.loc[low, stage] - 1:+.1%}" for stage in STAGES)
    said = "holds" if change < TARGET else "is missed"
    return (
        f"from {low:,} to {high:,} images the peak of anonymous memory of the whole pipeline grows by {change:.1%}, "
        f"expected below {TARGET:.0%}: {said}\nby stage: {stages}"
    )


def draw(table, path: Path) -> None:
    """Time and memory against the number of images, on logarithmic axes, with the fitted exponents."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from hw3lib.core.fonts import BLUE, GREEN, GREY, ORANGE, PURPLE

    styles = [(GREY, "x"), (BLUE, "o"), (ORANGE, "s"), (GREEN, "D"), (PURPLE, "^"), ("black", "v"), ("#D55E00", "P")]
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    time_axes, memory_axes = figure.subplots(1, 2)
    fitted = growth(table).set_index("stage") if table["images"].nunique() > 1 else None
    for number, (stage, part) in enumerate(table.groupby("stage", sort=False)):
        for axes, column, exponent, scale in (
            (time_axes, "processor_seconds", "time_exponent", 1),
            (memory_axes, "peak_anonymous", "memory_exponent", _MB),
        ):
            label = stage if fitted is None else f"{stage}: N^{fitted.loc[stage, exponent]:.2f}"
            colour, marker = styles[number]
            axes.loglog(part["images"], part[column] / scale, f"{marker}-", ms=5, color=colour, label=label)
    time_axes.set_ylabel("Seconds of processor")
    memory_axes.set_ylabel("Peak of anonymous memory (MB)")
    memory_axes.set_ylim(bottom=min(100, table["peak_anonymous"].min() / _MB / 2))
    for axes in (time_axes, memory_axes):
        axes.set_xlabel("Images")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    figure.savefig(path, dpi=90)


def make(root: Path, count: int) -> None:
    """A category of ``count`` images below ``root``: 80 % to train, 10 % good and 10 % defective to test, with masks.

    Stripes of a random phase, noise, and in a defective one a bright square. No two images are the same.
    """
    from PIL import Image

    good, defective = count - count // 5, count // 10
    folders = [("train/good", good), ("test/good", count - good - defective), ("test/square", defective)]
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, (place, images) in enumerate(folders):
        folder = root / "thumbnails" / place
        folder.mkdir(parents=True)
        masks = root / "thumbnails/ground_truth/square"
        if place == "test/square":
            masks.mkdir(parents=True)
        for first in range(0, images, _GROUP):
            rng = np.random.default_rng([number, first])
            group = min(_GROUP, images - first)
            phase = rng.uniform(0, 2 * np.pi, (group, 1, 1))
            stripes = (128 + 60 * np.sin((x + y) / 2.5 + phase)).astype(np.uint8)
            pixels = stripes[..., None] + rng.integers(0, 25, (group, SIDE, SIDE, 3), np.uint8)
            for i in range(first, first + group):
                image = pixels[i - first]
                if place == "test/square":
                    top, left = rng.integers(4, SIDE - 12, 2)
                    mask = np.zeros((SIDE, SIDE), np.uint8)
                    mask[top : top + 8, left : left + 8] = 255
                    image[mask > 0] = image[mask > 0] // 4 + 190
                    Image.fromarray(mask).save(masks / f"{i:07d}_mask.png", compress_level=1)
                Image.fromarray(image).save(folder / f"{i:07d}.png", compress_level=1)


def _generate(folder: Path, size: int) -> None:
    make(folder / "data", size)


def _table(folder: Path, size: int) -> None:
    from hw3lib.data import load_table

    assert len(load_table(folder / "data", "thumbnails")) == size


def _check(folder: Path, size: int) -> None:
    from hw3lib.data import check_category, load_table

    report = check_category(load_table(folder / "data", "thumbnails"))
    assert report.ok and report.problems.empty, report.summary()


def _stack(folder: Path):
    from hw3lib.data import ImageStack, load_table

    table = load_table(folder / "data", "thumbnails")
    return table, ImageStack.load(table, SIDE, cache=folder / "cache")


def _cache(folder: Path, size: int) -> None:
    _, stack = _stack(folder)
    assert len(stack) == size


def _features(folder: Path, size: int) -> None:
    """Mean features of every image, written as they come."""
    import torch

    from hw3lib.networks import backbones

    _, stack = _stack(folder)
    backbone = backbones.load(ARCH)
    with (folder / "features.f32").open("wb") as file, torch.no_grad():
        for start in range(0, size, BATCH):
            images = torch.from_numpy(np.array(stack[start : start + BATCH]))
            maps = backbone.feature_maps(images, list(LAYERS))
            file.write(torch.cat([m.mean((2, 3)) for m in maps.values()], 1).numpy().tobytes())
    channels = sum(backbone.stages()[layer][0] for layer in LAYERS)
    assert (folder / "features.f32").stat().st_size == 4 * channels * size


def _fit(folder: Path, size: int) -> None:
    from hw3lib.anomaly import PatchCore

    table, stack = _stack(folder)
    good = int(((table["split"] == "train") & ~table["is_defect"]).sum())  # they come first in the table
    detector = PatchCore(
        arch=ARCH, layers=LAYERS, image_size=SIDE, batch_size=BATCH, smoothing=0, device="cpu",
        memory_limit=MEMORY_LIMIT, bank_limit=BANK_LIMIT,
    )  # fmt: skip
    detector.fit(stack.images[:good])
    detector.save(folder / "detector")


def _score(folder: Path, size: int) -> None:
    """All images, those that were learned from too."""
    from hw3lib.inspection.score import score

    category = folder / "data/thumbnails"
    done = score(folder / "detector", [category / "train/good", category], folder / "results", echo=lambda _: None)
    ranked = re.match(r"image AUROC ([\d.]+) %", " ".join(done.evaluated))
    assert done.images == size and ranked and float(ranked[1]) > 90, done


STAGES = {
    "generate": _generate,
    "table": _table,
    "check": _check,
    "cache": _cache,
    "features": _features,
    "fit": _fit,
    "score": _score,
}
IMPORTS = {
    "generate": ["PIL.Image"],
    **dict.fromkeys(("table", "check", "cache"), ["hw3lib.data"]),
    **dict.fromkeys(("features", "fit"), ["hw3lib.data", "hw3lib.anomaly"]),
    "score": ["hw3lib.inspection.score"],
}


def _in_fresh_process(stage: str, folder: Path, size: int) -> dict[str, float]:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.scale", stage, str(folder), str(size)],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"stage {stage} of {size} images failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(stage: str, folder: Path, size: int) -> dict[str, float]:
    """Seconds of a stage in this process, on the clock and of its processor, and peaks in bytes.

    What a stage imports is part of the peaks, as everything is, but not of the seconds.
    """
    for module in IMPORTS[stage]:
        importlib.import_module(module)
    before = anonymous_memory()
    peak, stop = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(_SAMPLING):
            peak = max(peak, anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, worked = time.perf_counter(), time.process_time()
    try:
        STAGES[stage](folder, size)
    finally:
        seconds, processor = time.perf_counter() - started, time.process_time() - worked
        stop.set()
        watcher.join()
    peaks = {"before": before, "peak_anonymous": peak, "peak_resident": _resident_peak()}
    return {"seconds": seconds, "processor_seconds": processor, **peaks}


def anonymous_memory() -> int:
    """Resident bytes of this process that no file stands behind; where the system does not tell, its peak of all."""
    status = Path("/proc/self/status")
    if not status.exists():
        return _resident_peak()
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def _resident_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    from hw3lib.core import machine

    machine.keep()  # as every command does
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
