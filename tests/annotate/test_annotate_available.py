"""Categories that lack something for chapter 5: masks, images of a type, defects at all."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hw3lib.annotate.available import (
    MAPS,
    MASKS,
    annotate,
    defective_images,
    detectable,
    fit_detector,
    without_measurement,
)
from hw3lib.annotate.export import export
from hw3lib.annotate.formats.registry import FORMATS
from hw3lib.annotate.instances import from_masks
from hw3lib.annotate.masks.evaluation import curve, evaluate, few_image_splits, prepare
from hw3lib.annotate.masks.finetune import FineTuning
from hw3lib.annotate.masks.light import LightSegmenter
from hw3lib.annotate.summary import describe_annotation
from hw3lib.anomaly import PatchCore
from hw3lib.data import ImageStack, classification_images, load_table
from hw3lib.errors import Hw3Error
from hw3lib.views.plots import masks as annotate_plots

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.thresholds.FewGoodImages")


@pytest.fixture
def made(tmp_path, make_category):
    """A function that writes a category and loads its table."""

    def table(masks: bool = True, good: int = 5, **defects: int):
        counts = {"train/good": good, "test/good": 4} | {f"test/{name}": count for name, count in defects.items()}
        make_category(tmp_path / "widget", counts, (64, 48))
        if not masks:
            shutil.rmtree(tmp_path / "widget" / "ground_truth", ignore_errors=True)
        return load_table(tmp_path, "widget")

    return table


def test_images_with_a_mask_are_annotated_by_it(made):
    table = made(dent=3, scratch=2)
    table.loc[table["defect"] == "scratch", "mask"] = None
    defective, origin = defective_images(table)
    assert origin == MASKS and defective["defect"].tolist() == ["dent"] * 3
    assert [i.row for i in annotate(defective)] == [0, 1, 2]


def test_a_category_without_masks_gets_a_first_annotation_in_every_format(made, tmp_path):
    table = made(masks=False, dent=3, scratch=1)
    defective, origin = defective_images(table)
    assert origin == MAPS and len(defective) == 4
    good = table[table["split"] == "train"]
    detector = PatchCore(image_size=64, device="cpu").fit(ImageStack.load(good, 64))
    instances = annotate(defective, detector)
    assert set(instances.classes) <= {"dent", "scratch"} and len(instances)
    done = export(table, list(FORMATS), tmp_path / "out", detector=detector, echo=lambda text: None)
    assert {row["instances"] for row in done.rows()} == {len(instances)} and all(row["exact"] for row in done.rows())
    assert json.loads((tmp_path / "out/summary.json").read_text())["origin"].startswith("anomaly maps of PatchCore")


def test_what_cannot_be_measured_is_said_with_its_reason(made):
    table = made(dent=4)
    assert without_measurement(*defective_images(table)) is None
    assert without_measurement(table[table["is_defect"]].iloc[:3], MASKS).startswith("3 images have a mask, and 4 or")
    why = without_measurement(table[table["is_defect"]], MAPS)
    assert "need true masks" in why
    text = describe_annotation(from_masks(table), [], None, None, origin=MAPS, left_out={"sam": why, "detection": why})
    assert text.count(f"Left out: {why}.") == 1 and "anomaly maps gave a first annotation" in text
    assert "made from the masks" not in text and "made from the masks" in describe_annotation(
        from_masks(table), [], None, None
    )


def test_that_fine_tuning_pays_is_said_where_it_does(made):
    table = made(dent=4)
    row = {"method": "SAM", "prompt": "box", "n_train": 3, "iou_before": 0.7, "iou_after": 0.8}

    def said(low, high, after=(0.2, 0.1)):
        gain = {"gain": (low + high) / 2, "gain_low": low, "gain_high": high}
        board = pd.DataFrame({"model": ["A", "B"], "map50_before": 0.0, "map50_after": after})
        return describe_annotation(from_masks(table), [], pd.DataFrame([row | gain]), board)

    assert "suit fine-tuning because" in said(0.05, 0.15)
    for low, high in ((-0.05, 0.15), (-0.2, -0.1)):
        assert "that this pays is not shown on these images" in said(low, high)
        assert "suit fine-tuning" not in said(low, high)
    assert "Of 2 detectors A finds most, mAP50 0.20" in said(0, 1)
    assert "2 detectors found nothing" in said(0, 1, (0.0, 0.0)) and "finds most" not in said(0, 1, (0.0, 0.0))


def test_a_category_without_defects_or_without_good_images_is_refused(made):
    with pytest.raises(Hw3Error, match="widget has 9 good images and no defective one.*test/<defect>"):
        defective_images(made())
    table = made(dent=2)
    nothing_good = table[table["is_defect"]]
    nothing_good.attrs = table.attrs
    with pytest.raises(Hw3Error, match="widget has no good training image"):
        fit_detector(nothing_good)


@pytest.mark.parametrize(
    "counts", [{"dent": 4}, {"dent": 3, "hole": 1}, {"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 9, "b": 2}]
)
def test_classes_too_small_for_both_sides_are_split_together(counts):
    images = pd.DataFrame({"defect": [name for name, count in counts.items() for _ in range(count)]})
    for train, test in few_image_splits(images, 3, len(images) // 2):
        assert len(train) == len(images) // 2 and sorted([*train, *test]) == list(range(len(images)))


def test_four_images_of_which_one_is_alone_in_its_class_are_enough_to_measure_sam(made, small_segmenter):
    table = made(dent=3, hole=1)
    assert without_measurement(*defective_images(table)) is None
    light = LightSegmenter(image_size=64, num_steps=2, device="cpu")
    material = prepare(small_segmenter, table, detector=PatchCore(image_size=64, device="cpu"), light=light)
    splits = few_image_splits(material.table, 2, 2)
    settings = FineTuning(num_epochs=1)
    evaluation = evaluate(material, splits, settings)
    measured = evaluation.table().set_index(["method", "prompt"])
    assert measured.loc[("SAM", "box"), ["iou_before", "iou_after", "gain_low"]].notna().all()
    assert set(curve(material, splits, (2,), settings, whole=evaluation)["n_train"]) == {0, 2}


def test_splits_of_large_classes_are_stratified_as_before():
    images = pd.DataFrame({"defect": ["dent"] * 6 + ["hole"] * 6})
    for train, _ in few_image_splits(images, 3, 4):
        assert (images["defect"].iloc[train] == "dent").sum() == 2


def test_a_detector_learns_from_no_defect_without_a_box_and_from_no_class_of_one_image(made):
    table = made(dent=4, scratch=3, hole=1)
    table.loc[(table["defect"] == "dent") & (table["image"].str.endswith("003.png")), "mask"] = None
    images = classification_images(table)
    boxes = from_masks(images)
    part, moved, splits, left_out = detectable(images, boxes, 2)
    assert left_out == {"dent": 1, "hole": 1} and part["defect"].value_counts().to_dict() == {
        "good": 4,
        "dent": 3,
        "scratch": 3,
    }
    assert len(splits) == 2 and len(moved) == 6
    for instance in moved:  # each box is still at its image
        mask = from_masks(part.iloc[[instance.row]])[0]
        assert part["defect"][instance.row] == instance.defect and np.array_equal(mask.crop, instance.crop)


def test_nothing_is_left_where_no_class_can_be_split(made):
    images = classification_images(made(dent=1, scratch=1))
    part, moved, splits, left_out = detectable(images, from_masks(images), 1)
    assert len(part) == len(moved) == len(splits) == 0 and left_out == {"dent": 1, "scratch": 1}


def test_masks_without_a_truth_are_drawn_without_an_iou():
    image, mask = np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=bool)
    figure = annotate_plots.segmentations([image], None, {"found": [mask]}, ["dent"], [[(1, 1, 5, 5)]])
    assert [axes.get_title() for axes in figure.axes] == ["image", "found"]
