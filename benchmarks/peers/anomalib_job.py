"""From PNG files to scored heat maps: our PatchCore against anomalib's with the same backbone, in fresh processes."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from hw3lib.anomaly import image_metrics
from hw3lib.core.saved import save_tensors
from hw3lib.data import get, load_table
from hw3lib.networks import backbones
from hw3lib.networks.patches import stage_names

from ..machine import say_load
from ..programs import run_program

TARGET = 10.0  # anomalib's time by ours
EACH = 40.0  # milliseconds to score an image
ARCH = "tf_efficientnet_lite0"

# Both ways: what is imported does not count, reading the files does.
_MEASURE = """
job = json.load(open(sys.argv[1]))
began = time.perf_counter()
score = fit(job)
fitted = time.perf_counter()
scores, maps = score()
scored = time.perf_counter()
found = {"fit": fitted - began, "score": scored - fitted, "scores": scores, "maps": maps, "memory": memory("VmHWM")}
print(json.dumps(found))
"""
_OURS = """
from hw3lib.anomaly import PatchCore
from hw3lib.core import machine
from hw3lib.data import ImageStack, get, load_table
import hw3lib.anomaly.coreset.kernels
machine.keep()  # as every command does
def fit(job):
    table = load_table(get(job["category"], job["data"], progress=False), job["category"]).sort_values("image")
    good = table[(table["split"] == "train") & ~table["is_defect"]]
    detector = PatchCore(arch=job["arch"], image_size=job["size"])
    detector.fit(ImageStack.load(good, job["size"]), held_out=0)
    def score():
        scores, maps = detector.score(ImageStack.load(table[table["split"] == "test"], job["size"]))
        return scores.tolist(), list(maps.shape)
    return score
"""
# As its own example, without what would only take time: validation on the test images, and pictures of each result.
_PEER = """
import logging, os, torch, warnings
warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
from anomalib.data import MVTecAD
from anomalib.engine import Engine
from anomalib.models import Patchcore
from hw3lib.networks import backbones
from safetensors.torch import load_file
def fit(job):
    network = backbones.load(job["arch"], pretrained=False).network
    network.load_state_dict(load_file(job["weights"]))
    model = Patchcore(
        backbone=network.eval(), layers=job["layers"], visualizer=False, evaluator=False,
        pre_processor=Patchcore.configure_pre_processor((job["size"], job["size"])),
    )
    images = MVTecAD(root=job["root"], category=job["category"], num_workers=job["workers"])
    engine = Engine(
        default_root_dir=job["folder"], accelerator="cpu", limit_val_batches=0, logger=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    engine.fit(model=model, datamodule=images)
    def score():
        batches = engine.predict(model=model, datamodule=images, return_predictions=True)
        found = {path: float(s) for b in batches for path, s in zip(b.image_path, b.pred_score.flatten())}
        shapes = [tuple(b.anomaly_map.squeeze(1).shape) for b in batches]
        maps = [sum(shape[0] for shape in shapes), *shapes[0][1:]]
        return [found[path] for path in sorted(found)], maps
    return score
"""


def main(category: str, data: str | None, size: int = 224, repeats: int = 3, peer_repeats: int = 1) -> None:
    """Print seconds, peak memory, AUROC and the ratio.

    anomalib reads two stages of the network, ours three, both on the grid of the stage of stride 8, and both keep a
    tenth of the patches. With glibc set to keep blocks, see :mod:`.coreset`, anomalib would be faster, but it
    takes over 20 GB then.

    Args:
        category, data: in the layout of MVTec AD.
        size: side of the images in pixels.
        repeats, peer_repeats: of ours and of anomalib, whose coreset takes minutes; with 0 it is not installed. The
            median counts.
    """
    root = get(category, data, progress=False)
    table = load_table(root, category)
    test = table[table["split"] == "test"].sort_values("image")
    print(f"{category}: {(table['split'] == 'train').sum()} images to learn from, {len(test)} to score, {size} px")
    say_load()
    ways = {"ours": (sys.executable, _OURS, repeats)}
    if peer_repeats:
        from .anomalib_env import ensure

        ways["anomalib"] = ensure(), _PEER, peer_repeats
    backbone = backbones.load(ARCH)
    with tempfile.TemporaryDirectory() as folder:
        weights, job_file = Path(folder) / "weights.safetensors", Path(folder) / "job.json"
        save_tensors(backbone.network.state_dict(), weights)
        job = {"category": category, "data": data, "size": size, "arch": ARCH, "layers": stage_names(backbone)[:2]}
        job |= {"root": str(Path(root).resolve()), "weights": str(weights)}
        job |= {"workers": os.cpu_count(), "folder": folder}
        job_file.write_text(json.dumps(job), encoding="utf-8")
        found = {
            name: [run_program(python, way + _MEASURE, job_file) for _ in range(times)]
            for name, (python, way, times) in ways.items()
        }
    print(f"  {'':<10}{'fit, s':>9}{'score, s':>10}{'ms an image':>13}{'peak, MB':>10}{'AUROC, %':>10}  maps")
    whole = {}
    for name, runs in found.items():
        fit, score = (statistics.median(run[key] for run in runs) for key in ("fit", "score"))
        whole[name] = statistics.median(run["fit"] + run["score"] for run in runs)
        auroc = 100 * image_metrics(test["is_defect"].to_numpy(bool), np.array(runs[0]["scores"])).auroc
        memory = max(run["memory"] for run in runs) / 1e6
        print(
            f"  {name:<10}{fit:>9.1f}{score:>10.1f}{1000 * score / len(test):>13.1f}{memory:>10.0f}{auroc:>10.2f}"
            f"  {runs[0]['maps']}"
        )
    if peer_repeats:
        print(f"  anomalib / ours: {whole['anomalib'] / whole['ours']:.1f}, expected {TARGET:g} or more")
    each = 1000 * statistics.median(run["score"] for run in found["ours"]) / len(test)
    print(
        f"  files to scores {each:.0f} ms an image, expected {EACH:g} or less, reading the files included; "
        f"{torch.get_num_threads()} threads"
    )
