"""hw3lib.annotate.masks.evaluation: figures by hand, paired differences, test images that choose nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.models.segmentation.lraspp import LRASPPHead

from hw3lib.annotate.masks import evaluation as segmentation
from hw3lib.annotate.masks import light as light_segmenter
from hw3lib.annotate.masks.evaluation import (
    SegmentationEvaluation,
    curve,
    dice,
    evaluate,
    few_image_splits,
    iou,
    prepare,
    spread,
)
from hw3lib.annotate.masks.finetune import FineTuning
from hw3lib.annotate.masks.light import LightSegmenter
from hw3lib.anomaly import PatchCore
from hw3lib.core.intervals import corrected_interval
from hw3lib.data import ImageStack, load_table
from hw3lib.errors import Hw3Error

ONCE = FineTuning(num_epochs=1, lr=1e-3)


@pytest.fixture
def table(tmp_path, make_category):
    counts = {"train/good": 8, "test/good": 2, "test/dent": 6, "test/scratch": 6}
    make_category(tmp_path / "widget", counts, (64, 48))
    return load_table(tmp_path, "widget")


pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.thresholds.FewGoodImages")


@pytest.fixture
def material(small_segmenter, table):
    light = LightSegmenter(image_size=64, num_steps=2, device="cpu")
    return prepare(small_segmenter, table, detector=PatchCore(image_size=64, device="cpu"), light=light)


def test_without_good_images_sam_is_asked_with_boxes_and_clicks_alone(small_segmenter, table):
    light = LightSegmenter(image_size=64, num_steps=2, device="cpu")
    material = prepare(small_segmenter, table[table["is_defect"]], detect=False, light=light)
    assert material.maps is None and not len(material.detected) and material.prompts == ("box", "click")
    splits = few_image_splits(material.table, 2, 4)
    measured = evaluate(material, splits, ONCE)
    scores = measured.table().set_index(["method", "prompt"])
    assert set(scores.index) == {("SAM", "box"), ("SAM", "click"), ("LR-ASPP", "none")}
    assert scores["iou_after"].notna().all() and set(measured.tuned[0]) == {"box", "click"}
    assert set(curve(material, splits, (2,), ONCE, whole=measured)["prompt"]) == {"box", "click", "none"}


def test_iou_and_dice_are_those_counted_by_hand():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[0, :3], b[0, 1:] = True, True  # 2 of 4 pixels in common
    assert iou(a, b) == 0.5 and dice(a, b) == pytest.approx(4 / 6)
    nothing = np.zeros((4, 4), bool)
    assert iou(a, nothing) == dice(a, nothing) == 0 and iou(nothing, nothing) == dice(nothing, nothing) == 1


def test_material_holds_the_defective_images_and_a_threshold_from_good_ones(material, table):
    assert len(material.table) == len(material.embeddings) == len(material.maps) == 12
    assert material.table["is_defect"].all() and len(material.instances) == 12
    good = table[(table["split"] == "train")]
    detector = PatchCore(image_size=64, device="cpu").fit(ImageStack.load(good, 64))
    assert material.map_threshold == detector.map_threshold_


def test_every_method_and_prompt_is_measured_on_the_same_test_images(material):
    splits = few_image_splits(material.table, 2, 6)
    evaluation = evaluate(material, splits, ONCE)
    found = evaluation.per_image
    assert set(zip(found["method"], found["prompt"], strict=True)) == {
        *(("SAM", prompt) for prompt in ("box", "click", "detector")),
        *((method, "none") for method in ("anomaly map", "LR-ASPP")),
    }
    for number, (train, test) in enumerate(splits):
        part = found[found["split"] == number]
        assert {tuple(rows) for rows in part.groupby(["method", "prompt"])["row"].agg(tuple)} == {tuple(test)}
        for history in evaluation.histories[number].values():
            assert sorted(history.train + history.validation) == sorted(train)
        assert set(evaluation.tuned[number]) == {"box", "click", "detector"}
    assert found["iou_before"].isna().eq(found["method"] == "LR-ASPP").all()
    assert found["iou_after"].isna().eq(found["method"] == "anomaly map").all()
    again = evaluate(material, splits, ONCE).per_image
    pd.testing.assert_frame_equal(found, again)


def test_the_figure_of_an_image_is_that_of_its_instances_or_of_the_union(material, monkeypatch):
    def segment(segmenter, embedding, instances, prompt="box"):
        half = [i.mask & (np.arange(i.size[1]) < i.x + i.crop.shape[1] // 2) for i in instances]  # the left half
        return half if prompt == "box" else [i.mask for i in instances]

    monkeypatch.setattr(segmentation, "segment", segment)
    monkeypatch.setattr(segmentation, "fine_tune", lambda segmenter, *_, **__: (segmenter, None))
    train, test = few_image_splits(material.table, 1, 6)[0]
    blind = int(test[0])
    material.detected.found[:] = [i for i in material.instances if i.row != blind]  # the detector misses one image
    figures = evaluate(material, [(train, test)]).per_image.set_index(["method", "prompt", "row"]).sort_index()
    assert figures.loc[("SAM", "box"), "iou_before"].eq(0.5).all()
    assert figures.loc[("SAM", "box"), "dice_after"].to_numpy() == pytest.approx(2 / 3)
    assert figures.loc[("SAM", "click"), "iou_after"].eq(1).all()
    assert figures.loc[("SAM", "detector", blind), "iou_before"] == 0
    assert figures.loc[("SAM", "detector", int(test[1])), "iou_after"] == 0.5


def test_gains_are_paired_and_their_interval_is_the_corrected_one():
    rows = []
    for split, values in enumerate([[(0.2, 0.5), (0.4, 0.5)], [(0.6, 0.9), (0.0, 0.3)]]):
        for row, (before, after) in enumerate(values):
            figures = {"iou_before": before, "iou_after": after, "dice_before": before, "dice_after": before}
            rows.append({"split": split, "row": row, "method": "SAM", "prompt": "box", **figures})
    line = SegmentationEvaluation(pd.DataFrame(rows), 20, 2).table().iloc[0]
    wanted = corrected_interval(np.array([0.2, 0.3]), 20, 2)
    assert (line["iou_before"], line["iou_after"]) == pytest.approx((0.3, 0.55))
    assert (line["gain"], line["gain_low"], line["gain_high"]) == pytest.approx((wanted.value, wanted.low, wanted.high))
    assert (line["dice_gain"], line["n_splits"], line["n_train"], line["n_test"]) == (0, 2, 20, 2)
    one = SegmentationEvaluation(pd.DataFrame(rows)[:2], 20, 2).table().iloc[0]
    assert one["gain"] == pytest.approx(0.2) and np.isnan(one["gain_low"])


def test_a_curve_uses_more_of_the_same_training_images_and_the_same_test_images(material, monkeypatch):
    splits = few_image_splits(material.table, 2, 8)
    seen = []
    plain = segmentation.evaluate

    def note(material, fewer, *rest, **settings):
        seen.append(fewer)
        return plain(material, fewer, *rest, **settings)

    monkeypatch.setattr(segmentation, "evaluate", note)
    table = curve(material, splits, (8, 2), ONCE)
    assert [[len(train) for train, _ in fewer] for fewer in seen] == [[2, 2], [8, 8]]
    for (small, test), (large, same) in zip(*seen, strict=True):
        assert set(small) < set(large) and np.array_equal(test, same)
        assert set(material.table["defect"].iloc[small]) == {"dent", "scratch"}
    assert set(table["n_train"]) == {0, 2, 8}
    assert len(table) == 3 + 1 + 2 * (3 + 1) and table["iou"].between(0, 1).all()
    whole = plain(material, splits, ONCE)
    seen.clear()
    again = curve(material, splits, (2,), ONCE, whole=whole)
    assert len(seen) == 1, "what is known is not computed again"
    pd.testing.assert_frame_equal(again[again["n_train"] < 8], table[table["n_train"] < 8])
    assert set(again["n_train"]) == {0, 2, 8}
    with pytest.raises(Hw3Error, match=r"sizes=\(9,\)"):
        curve(material, splits, (9,), ONCE)


def test_the_first_of_spread_rows_are_one_of_each_class():
    images = pd.DataFrame({"defect": ["a"] * 6 + ["b"] * 2 + ["c"]})
    order = spread(images, np.arange(9))
    assert sorted(order) == list(range(9))
    assert sorted(images["defect"].iloc[order[:3]]) == ["a", "b", "c"]
    assert sorted(images["defect"].iloc[order[:5]]) == ["a", "a", "b", "b", "c"]


def test_splits_with_common_images_no_masks_and_no_good_images_are_refused(material, small_segmenter, table):
    with pytest.raises(Hw3Error, match="split 0: 1 images are on both sides"):
        evaluate(material, [(np.arange(4), np.arange(3, 8))])
    with pytest.raises(Hw3Error, match="no defective image with a mask"):
        prepare(small_segmenter, table[~table["is_defect"]])
    with pytest.raises(Hw3Error, match="no good training image"):
        prepare(small_segmenter, table[table["is_defect"]])
    with pytest.raises(Hw3Error, match="n_train=12: expected 2 to 11 of 12 images"):
        few_image_splits(material.table, 2, 12)


@pytest.fixture
def light():
    return LightSegmenter(image_size=64, num_steps=4, device="cpu")


def test_the_light_segmenter_learns_where_a_bright_patch_is(light):
    rng = np.random.default_rng(0)
    masks = np.zeros((12, 128, 128), bool)
    for mask, (y, x) in zip(masks, rng.integers(0, 80, (12, 2)), strict=True):
        mask[y : y + 48, x : x + 48] = True
    images = np.where(np.repeat(masks[:, None], 3, 1), 250, 60).astype(np.uint8)
    light = replace(light, image_size=128, num_steps=60)
    features, seen = light.features(images), np.arange(8)
    light.fit(features.of(seen), list(masks[:8]))
    found = light.predict(features.of(np.arange(8, 12)), [(128, 128)] * 4)
    assert np.mean([iou(a, b) for a, b in zip(found, masks[8:], strict=True)]) > 0.6  # everything would have 0.14
    again = replace(light).fit(features.of(seen), list(masks[:8]))
    other = replace(light, seed=1).fit(features.of(seen), list(masks[:8]))
    first, second, third = (s.predict(features, [(96, 128)] * 12) for s in (light, again, other))
    assert np.array_equal(first, second) and not np.array_equal(first, third)


def test_the_light_segmenters_head_answers_as_torchvisions():
    torch.manual_seed(0)
    head = light_segmenter._SegmentationHead(4, 6, 1, 8).eval()
    given = {"low": torch.randn(2, 4, 9, 7), "high": torch.randn(2, 6, 5, 4)}
    assert torch.allclose(head(given), LRASPPHead.forward(head, given), atol=1e-6)


def test_the_light_segmenter_refuses_what_it_cannot_use(light):
    with pytest.raises(Hw3Error, match="expected \\(N, 3, 64, 64\\)"):
        light.features(np.zeros((2, 3, 32, 32), np.uint8))
    features = light.features(np.zeros((2, 3, 64, 64), np.uint8))
    with pytest.raises(Hw3Error, match="not learned"):
        light.predict(features, [(64, 64)] * 2)
    with pytest.raises(Hw3Error, match="1 masks for 2 images"):
        light.fit(features, [np.zeros((64, 64), bool)])
    with pytest.raises(Hw3Error, match="num_steps=0"):
        LightSegmenter(num_steps=0)


def test_the_light_segmenter_learns_by_cross_entropy_and_dice_at_a_rate_that_falls(light, rates, monkeypatch):
    features = light.features(np.random.default_rng(0).integers(0, 255, (2, 3, 64, 64), np.uint8))
    masks, heads = [np.eye(64, dtype=bool)] * 2, []
    for left_out in ((), "dice_loss_per_image", "binary_cross_entropy_with_logits"):
        with monkeypatch.context() as patch:
            if left_out:
                patch.setattr(light_segmenter, left_out, lambda logits, target: 0 * logits.sum())
            heads.append(replace(light).fit(features, masks)._head.low_classifier.weight)
    assert rates[:4] == pytest.approx([light.lr * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)])
    assert not torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
