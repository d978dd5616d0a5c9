"""Saved detectors, weights, checkpoints and outcomes that are kept."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from hw3lib.errors import Hw3Error
from tests.robustness.fuzzing.mutations import Files
from tests.robustness.fuzzing.reader import Reader, only_file, put, sane

SIDE = 32


def _detectors(folder: Path) -> None:
    from hw3lib.anomaly import Autoencoder, DeepSVDD

    images = np.random.default_rng(0).integers(0, 255, (10, 3, SIDE, SIDE), dtype=np.uint8)
    small = dict(image_size=SIDE, num_steps=1, latent_size=2, device="cpu")
    DeepSVDD(arch=None, **small).fit(images).save(folder / "0")
    Autoencoder(working_size=SIDE, **small).fit(images).save(folder / "1")


def _sign(files: Files, rng: Random) -> None:
    """Make the checksums right again, as somebody who means harm would."""
    from hw3lib.anomaly.detector import _digest

    settings, state = files.get("detector.json"), files.get("state.safetensors")
    if not (isinstance(settings, bytes) and isinstance(state, bytes)) or rng.random() < 0.2:
        return
    try:
        found = json.loads(settings)
        found.pop("settings_sha256", None)
        found["sha256"] = hashlib.sha256(state).hexdigest()
        found["settings_sha256"] = _digest(found)
        files["detector.json"] = json.dumps(found).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):  # no settings any more
        return


def _read_detector(folder: Path) -> None:
    from hw3lib.anomaly.registry import load

    found = load(folder)
    sane(found.good_scores_.ndim == 1 and bool(np.isfinite(found.good_scores_).all()), "scores that are none")
    if found.thresholds_ is not None:
        sane(found.threshold_ == found.threshold_, "a threshold that is NaN")


def _tiny() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def _box_detectors(folder: Path) -> None:
    from hw3lib.annotate.boxes.fcos import Fcos

    (folder / "0").mkdir(parents=True)
    known = {"size": 64, "epochs": 1, "batch_size": 2, "lr": 1e-3, "patience": None, "validation": 0.2, "flips": True}
    facts = {"format": 1, "detector": Fcos.name, "fields": known | {"seed": 0, "device": "cpu"}}
    facts["fitted"] = {"classes_": ["dent"], "seconds_": 1.0}
    put(folder / "0/detector.json", json.dumps(facts))
    save_file(_tiny().state_dict(), folder / "0/weights.safetensors")


def _read_boxes(folder: Path) -> None:
    from hw3lib.annotate.boxes.base import BoxDetector
    from hw3lib.annotate.boxes.fcos import Fcos

    with mock.patch.object(Fcos, "_empty", lambda self: _tiny()):
        BoxDetector.load(folder, "cpu")


def _trainings(folder: Path) -> None:
    (folder / "0").mkdir(parents=True)
    torch.save(_training().state_dict(), folder / "0" / "kept.pt")


def _training():
    from hw3lib.networks.callbacks import EarlyStopping, Training

    model, generator = _tiny(), torch.Generator()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    model(torch.zeros(4, 3)).sum().backward()
    optimiser.step()
    return Training("a training", model, optimiser, None, generator, [EarlyStopping(3)], 3)


def _read_training(folder: Path) -> None:
    from hw3lib.networks.callbacks import Checkpoint

    path, before = only_file(folder), torch.get_rng_state()
    if not path.is_file():
        raise Hw3Error(f"{path}: begun anew")
    try:
        Checkpoint(path).on_start(_training())
    finally:
        torch.set_rng_state(before)


def _weights(folder: Path) -> None:
    for number, old in enumerate((False, True)):
        (folder / str(number)).mkdir(parents=True)
        torch.save(_tiny().state_dict(), folder / f"{number}/w.pt", _use_new_zipfile_serialization=not old)


def _read_weights(folder: Path) -> None:
    from hw3lib.annotate.masks.sam_network import SamNetwork, mobile_sam
    from hw3lib.networks.backbones import _read_weights as read_weights

    read_weights(only_file(folder))
    with mock.patch.object(SamNetwork, "build", staticmethod(_tiny)):
        mobile_sam(only_file(folder))


def _kept(folder: Path) -> None:
    outcome = {"probabilities": [[0.25, 0.75], [0.5, 0.5]], "history": {"epoch": [1], "loss": [0.5]}, "seconds": 1.5}
    put(folder / "0/kept.json", json.dumps(outcome))
    put(folder / "1/kept.json", json.dumps({"y_pred": [0, 1], "seconds": 1.5}))


def _read_kept(folder: Path) -> None:
    from hw3lib.core.kept import read_kept

    found = read_kept(only_file(folder))
    if found is None:
        raise Hw3Error(f"{folder}: computed again")
    sane(isinstance(found, dict), f"an outcome that is a {type(found).__name__}")


def _arrays(folder: Path) -> None:
    (folder / "0").mkdir(parents=True)
    np.savez(folder / "0/kept.npz", plain=np.ones((2, 3), np.float32), weak=np.zeros((2, 2, 3), np.float32))


def _read_arrays(folder: Path) -> None:
    from hw3lib.classify.guided.classifier import _read_kept
    from hw3lib.imbalance.comparison import _read_views

    results = [_read_kept(only_file(folder)), _read_views(only_file(folder))]
    if None in [None if found is None else 1 for found in results]:
        raise Hw3Error(f"{folder}: computed again")


@cache
def _model() -> bytes:
    """An ONNX file with a detector's metadata that means the brightness of an image."""
    from onnx import TensorProto, helper

    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 3, SIDE, SIDE])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"])
    cast = helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)
    mean = helper.make_node("ReduceMean", ["floats"], ["scores"], axes=[1, 2, 3], keepdims=0)
    graph = helper.make_graph([cast, mean], "g", [images], [scores])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    kept = {
        "format": 2,
        "detector": "x",
        "image_size": SIDE,
        "batch_size": 2,
        "reading": {},
    }
    promise = {"good_scores_": [1.0, 2.0], "good_peaks_": [], "bad_scores_": [3.0], "probe_": [127.0, 127.0, 127.0]}
    promise |= {"good_groups_": None, "peak_groups_": None, "good_level_": None, "calibration_": "held-out"}
    kept["promise"] = promise | {"proven_": True, "false_alarm_rate": 0.05, "costs": None}
    for key, value in kept.items():
        model.metadata_props.add(key=f"hw3.{key}", value=json.dumps(value))
    return model.SerializeToString()


def _onnx_files(folder: Path) -> None:
    put(folder / "0/detector.onnx", _model())


def _break_metadata(files: Files, rng: Random) -> None:
    """Half of the files are sound models whose metadata say something else."""
    import onnx

    from tests.robustness.fuzzing.mutations import change

    if rng.random() < 0.5:
        return
    model = onnx.ModelProto.FromString(_model())
    entry = rng.choice(model.metadata_props)
    entry.value = change("a.json", entry.value.encode(), [], rng).decode("utf-8", "replace")
    files["detector.onnx"] = model.SerializeToString()


def _read_onnx(folder: Path) -> None:
    from hw3lib.anomaly.onnx.detector import OnnxDetector

    found = OnnxDetector(folder / "detector.onnx", threads=1)
    sane(isinstance(found.image_size, int) and isinstance(found.batch_size, int), "an image size that is no integer")


READERS = (
    Reader("saved detectors", _detectors, _read_detector, 0.3, _sign),
    Reader("saved box detectors", _box_detectors, _read_boxes, 2),
    Reader("checkpoints", _trainings, _read_training),
    Reader("weights", _weights, _read_weights, 2),
    Reader("kept outcomes", _kept, _read_kept, 3),
    Reader("kept arrays", _arrays, _read_arrays, 4),
    Reader("ONNX detectors", _onnx_files, _read_onnx, 1, _break_metadata),
)
