"""YOLOv8 and YOLO-World: fine-tuning, learned embeddings, CLIP, the open vocabulary, and a quiet import."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from hw3lib.annotate.boxes import ultralytics as quiet_ultralytics
from hw3lib.annotate.boxes import yolo_world
from hw3lib.annotate.boxes.base import BoxDetector
from hw3lib.annotate.boxes.yolo import YoloV8, suppressed
from hw3lib.annotate.boxes.yolo_world import YoloWorld, kept_vocabulary, prompt_of
from hw3lib.annotate.instances import from_masks
from hw3lib.annotate.weights import find
from hw3lib.data import load_table
from hw3lib.errors import Hw3Error


@pytest.fixture
def widget(tmp_path, make_category):
    """Table and instances of 2 dented, 2 scratched and 1 good image."""
    make_category(tmp_path / "widget", {"train/good": 1, "test/good": 1, "test/dent": 2, "test/scratch": 2})
    table = load_table(tmp_path, "widget")
    table = table[table["split"] == "test"].reset_index(drop=True)
    return table, from_masks(table)


@pytest.fixture
def weights(published_weights, ultralytics, monkeypatch):
    """The published files are found, and ultralytics is installed."""
    monkeypatch.setenv("HW3_WEIGHTS", str(published_weights))


def equal(one, two):
    return all(np.array_equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))


def test_prompts_are_words():
    assert prompt_of("metal_contamination", "carpet") == "metal contamination on a carpet"
    assert prompt_of("crack", "synthetic/apple_tree") == "crack on an apple tree"
    assert prompt_of("broken_large") == "broken large"


def test_the_better_of_two_boxes_on_one_thing_is_kept():
    #                 centre x, y, width, height, then the scores of two classes
    anchors = [[10, 10, 8, 8, 0.9, 0.0], [11, 10, 8, 8, 0.7, 0.6], [40, 40, 10, 20, 0.2, 0.3]]
    boxes, scores, labels = suppressed(torch.tensor(anchors).T)
    assert scores.tolist() == pytest.approx([0.9, 0.6, 0.3, 0.2])
    assert labels.tolist() == [0, 1, 1, 0]
    assert boxes.tolist() == [[6, 6, 14, 14], [7, 6, 15, 14], [35, 30, 45, 50], [35, 30, 45, 50]]


def test_a_missing_extra_names_its_licence_before_the_command(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "ultralytics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(Hw3Error) as caught:
        quiet_ultralytics.module("nn.tasks")
    message = str(caught.value)
    assert 0 < message.index("AGPL-3.0") < message.index("pip install")


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (YoloV8, {"train": "embeddings"}, "train='embeddings', expected head or neck or all"),
        (YoloWorld, {"text_encoder": "bert"}, "text_encoder='bert'"),
    ],
)
def test_a_wrong_setting_of_a_yolo_is_refused_by_name(kind, wrong, message):
    with pytest.raises(Hw3Error, match=message):
        kind(**wrong)


def test_the_import_leaves_nothing_behind(weights, tmp_path):
    program = """
import json, os, sys
import cv2, numpy as np, torch
from PIL import Image
def state():
    printing = np.get_printoptions(), dict(vars(torch._tensor_str.PRINT_OPTS))
    return dict(os.environ), torch.save, Image.open, cv2.getNumThreads(), *printing
before = state()
from hw3lib.annotate.boxes import ultralytics as quiet_ultralytics
quiet_ultralytics.module("nn.tasks")
print(json.dumps([a == b for a, b in zip(before, state())] + [sys.modules["ultralytics.utils"].ONLINE]))
"""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "YOLO_", "MPL"))}
    clean |= {"HOME": str(home), "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout) == [True] * 6 + [False]
    ours = [path for path in (*home.rglob("*"), *temporary.iterdir()) if "ltralytics" in path.name]
    assert ours == []


def test_a_fine_tuned_yolo_is_the_same_again_and_after_loading(weights, widget, tmp_path):
    table, instances = widget
    detector = YoloV8(size=64, epochs=1, batch_size=2)
    first, second = (replace(detector).fit(table, instances, range(4)) for _ in range(2))
    loaded = BoxDetector.load(first.save(tmp_path / "saved"))
    boxes = [each.predict(table, [0, 4]) for each in (first, second, loaded)]
    assert equal(boxes[0], boxes[1]) and equal(boxes[0], boxes[2])
    assert first.classes_ == ["dent", "scratch"] and loaded.text == ""
    assert all(set(found.labels) <= {0, 1} for found in boxes[0])


def test_only_the_chosen_part_of_a_yolo_learns(weights, widget):
    table, instances = widget
    start = YoloV8(size=64, epochs=0).fit(table, instances, range(4))._network.state_dict()
    for part, first in (("head", 22), ("neck", 12), ("all", 0)):
        fitted = YoloV8(size=64, epochs=1, train=part).fit(table, instances, range(4))._network.state_dict()
        changed = {int(name.split(".")[1]) for name, value in fitted.items() if not torch.equal(value, start[name])}
        assert min(changed) == first
        assert not any("running" in name and not torch.equal(fitted[name], start[name]) for name in fitted)


@pytest.mark.parametrize("part", ["embeddings", "neck"])
def test_embeddings_alone_leave_the_open_vocabulary_as_it_was(weights, widget, part):
    table, instances = widget
    model = YoloWorld(size=64, epochs=1, batch_size=2, train=part, text_encoder="learned")
    embeddings = []
    after = replace(model).fit(
        table, instances, range(4), each_epoch=lambda _, d: embeddings.append(d._network.embeddings.detach().clone())
    )
    assert after.text == "learned"
    assert not torch.equal(*embeddings)
    kept = kept_vocabulary(after, yolo_world.example_photographs())
    assert {"person", "bus"} <= set(kept["before"])
    if part == "embeddings":
        assert kept["identical"] and kept["agreement"] == pytest.approx(1)
        assert kept["after"] == kept["before"] and kept["boxes_after"] == kept["boxes_before"] > 3
    else:
        assert not kept["identical"]


def test_a_saved_yolo_world_knows_its_classes_and_the_names_of_coco(weights, widget, tmp_path):
    table, instances = widget
    model = YoloWorld(size=64, epochs=0, text_encoder="learned").fit(table, instances, range(4))
    loaded = BoxDetector.load(model.save(tmp_path / "saved"))
    assert equal(model.predict(table, [0]), loaded.predict(table, [0]))
    photograph = yolo_world.example_photographs()[0]
    found = loaded.find_names(photograph, 320)
    assert equal([model.find_names(photograph, 320)], [found])
    # ultralytics' example shows a bus across the whole width, and people in front of it.
    assert "bus" in {loaded.names_[label] for label in found.above(0.5).labels}
    best = found.boxes[found.labels == loaded.names_.index("bus")][0]
    assert best[2] - best[0] > 0.8 * photograph.shape[1]
    assert loaded.prompts_ == model.prompts_ and set(loaded.prompts_) == {"dent", "scratch"}


def test_classes_begin_as_the_name_that_fits_them_on_training_images(weights, tmp_path):
    """Where the defect is a bus, the name is bus, and zero-shot detection finds it."""
    from PIL import Image

    photograph = yolo_world.example_photographs()[0]
    Image.fromarray(photograph).save(tmp_path / "bus.png")
    height, width = photograph.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[230:745, 15:800] = 255  # the bus
    Image.fromarray(mask).save(tmp_path / "mask.png")
    row = (str(tmp_path / "bus.png"), "scrap", True, str(tmp_path / "mask.png"), width, height)
    table = pd.DataFrame([row], columns=["image", "defect", "is_defect", "mask", "width", "height"])
    model = YoloWorld(size=320, epochs=0, text_encoder="learned").fit(table, from_masks(table), [0])
    assert model.prompts_ == {"scrap": "bus"}
    found = model.predict(table)[0]
    assert found.scores[0] > 0.25 and np.abs(found.boxes[0] - [15, 230, 800, 745]).max() < 60


def test_clip_gives_the_prompts_features_if_it_is_the_right_one(weights, widget, monkeypatch):
    table, instances = widget
    coco = torch.load(find("yolov8s-world.pt"), weights_only=False)["model"].txt_feats[0].float()
    asked = []

    def encoder(texts, name):
        asked.append(list(texts))
        return torch.cat((torch.eye(512)[:2], coco))

    monkeypatch.setattr(yolo_world, "clip_features", encoder)
    model = YoloWorld(size=64, epochs=1, category="synthetic/carpet").fit(table, instances, range(4))
    assert model.text == "clip"
    assert asked[0][:3] == ["dent on a carpet", "scratch on a carpet", "person"]
    # The network comes to the text: with CLIP, embeddings learn only where they learn alone.
    assert torch.equal(model._network.embeddings, torch.eye(512)[:2])
    tuned = replace(model, train="embeddings").fit(table, instances, range(4))
    assert not torch.equal(tuned._network.embeddings, torch.eye(512)[:2])
    monkeypatch.setattr(yolo_world, "clip_features", lambda texts, name: torch.eye(512)[: len(texts)])
    with pytest.raises(Hw3Error, match="not the text encoder that yolov8s-world.pt was trained with"):
        replace(model).fit(table, instances, range(4))


def test_a_clip_that_cannot_be_had_is_said_or_done_without(weights, widget, monkeypatch):
    table, instances = widget

    def missing(texts, name):
        raise OSError("no connection\nand a long story")

    monkeypatch.setattr(yolo_world, "clip_features", missing)
    assert YoloWorld(size=64, epochs=0).fit(table, instances, range(4)).text == "learned"
    with pytest.raises(Hw3Error, match=r"cannot be had \(no connection\); .*text_encoder=\"learned\""):
        YoloWorld(size=64, epochs=0, text_encoder="clip").fit(table, instances, range(4))


def test_clip_features_are_those_of_transformers_and_have_length_one(tmp_path):
    transformers = pytest.importorskip("transformers")
    words = ["<|startoftext|>", "<|endoftext|>", *"abcdehilnorstu", *(c + "</w>" for c in "abcdehilnorstu")]
    (tmp_path / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    tokenizer.save_pretrained(tmp_path / "clip")
    config = transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=8, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    encoder = transformers.CLIPTextModelWithProjection(config).eval()
    encoder.save_pretrained(tmp_path / "clip")
    found = yolo_world.clip_features(["dent", "a scratch"], str(tmp_path / "clip"))
    assert found.shape == (2, 8)
    assert found.norm(dim=1).tolist() == pytest.approx([1, 1])
    # One text alone, without padding, gives the same.
    alone = encoder(**tokenizer(["dent"], return_tensors="pt")).text_embeds[0].detach()
    assert torch.allclose(found[0], alone / alone.norm(), atol=1e-5)
    with pytest.raises(OSError):
        yolo_world.clip_features(["dent"], str(tmp_path / "nothing"))
