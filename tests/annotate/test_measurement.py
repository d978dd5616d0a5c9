"""What chapter 5 measures, and what it says and gives where something is lacking: masks, images, SAM, YOLO."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hw3lib.annotate import describe_annotation
from hw3lib.annotate.boxes.base import BoxDetector
from hw3lib.annotate.boxes.fcos import Fcos
from hw3lib.annotate.boxes.study import BOARD
from hw3lib.annotate.boxes.yolo import YoloV8
from hw3lib.annotate.instances import from_masks
from hw3lib.annotate.masks import sam
from hw3lib.annotate.masks.finetune import FineTuning
from hw3lib.annotate.masks.saved import load
from hw3lib.annotate.masks.study import SCORES
from hw3lib.annotate.measurement import Measurement
from hw3lib.anomaly import PatchCore
from hw3lib.core import optional
from hw3lib.data import ImageStack, load_table
from hw3lib.data.parts import left_out, parts_of
from hw3lib.data.regions.annotations import FILE
from hw3lib.errors import Hw3Error
from hw3lib.runs.contract import ChapterEnds
from hw3lib.views import plots, widgets

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.thresholds.FewGoodImages")


@pytest.fixture
def study(tmp_path, make_category, small_segmenter, monkeypatch):
    """A function that gives the measurement of a category, with a small SAM or none, and what it says."""

    def measurement(masks=True, with_sam=True, train=5, **defects):
        make_category(
            tmp_path / "widget",
            {"train/good": train, "test/good": 4} | {f"test/{name}": count for name, count in defects.items()},
            (64, 48),
        )
        if not masks:
            shutil.rmtree(tmp_path / "widget/ground_truth")
        if not train:
            shutil.rmtree(tmp_path / "widget/train")

        def load(*_, **__):
            if with_sam:
                return small_segmenter
            raise optional.lacking("sam", "weights that this test took away")

        monkeypatch.setattr(sam.Segmenter, "load", load)
        said = []
        made = Measurement(load_table(tmp_path, "widget"), echo=said.append)
        good = made.table[made.table["split"] == "train"]
        if train:
            made.detector = PatchCore(image_size=64, device="cpu").fit(ImageStack.load(good, 64))
        return made, said

    return measurement


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_with_masks_and_sam_all_of_it_is_measured_and_nothing_is_left_out(study):
    made, said = study(dent=4, scratch=3)
    assert said == ["7 defective images with a mask, 9 without"] and made.annotator is None
    found = [(i.row, *i.xyxy) for i in made.annotated]
    assert made.compared(found).endswith("same boxes: True") and made.compared(found[1:]).endswith("same boxes: False")
    masks = made.fine_tune(made.part(6), n_train=10, n_splits=1, settings=FineTuning(num_epochs=1))
    assert set(SCORES) <= set(masks.scores) and masks.evaluation.n_train == 3  # half of the six
    curve = masks.curve((2, 4))
    assert set(curve["n_train"]) == {0, 2, 3}
    looks = masks.looks()
    assert list(looks["found"]) == ["true box, before", "true box, after", "detector's boxes, after"]
    assert plots.masks.segmentations(**looks).axes
    metrics = masks.metrics(curve)
    assert set(metrics["sam"]["method"]) == {"SAM"} and metrics["segmentation_curve"] is curve
    assert made.metrics() == {"origin": "masks", "left_out": {}, "advice": {}}
    assert len(said) == 1


def test_without_good_training_images_no_detector_asks(study):
    made, said = study(dent=4, scratch=3, train=0)
    masks = made.fine_tune(made.part(6), n_train=3, n_splits=1, settings=FineTuning(num_epochs=1))
    assert set(masks.scores["prompt"]) == {"box", "click", "none"} and made.left_out == {}
    assert list(masks.looks()["found"]) == ["true box, before", "true box, after"]
    curve = masks.curve((2,))
    text = describe_annotation(made.annotated, [], masks.scores, None, curve)
    assert "Asked with a true box, SAM reaches" in text and "anomaly detector" not in text
    assert plots.masks.learning_curve(curve, masks.without_curve).axes


def test_the_decoder_that_was_tuned_for_clicks_answers_and_an_image_is_embedded_once(study, monkeypatch, tmp_path):
    made, _ = study(dent=4)
    masks = made.fine_tune(made.part(4), n_train=2, n_splits=1, settings=FineTuning(num_epochs=1))
    saved = {folder.name: load(folder, made.segmenter) for folder in masks.save(tmp_path)}
    assert {f"sam-{prompt}" for prompt in masks.evaluation.tuned[0]} == set(saved)
    embedded = []
    embed = made.segmenter.embed
    monkeypatch.setattr(made.segmenter, "embed", lambda image: embedded.append(1) or embed(image))
    asked = []
    monkeypatch.setattr(
        "hw3lib.annotate.masks.study.propose", lambda model, *_: asked.append(model) or (np.ones((2, 2), bool), 1.0)
    )
    answer = masks.answer
    one, other = np.zeros((48, 64, 3), np.uint8), np.ones((48, 64, 3), np.uint8)
    for image in (one, one, other):
        answer(image, np.array([[3, 3]]), np.array([1]))
    assert len(embedded) == 2 and set(map(id, asked)) == {id(masks.evaluation.tuned[0]["click"])}


def test_without_masks_the_first_annotation_is_shown_and_nothing_is_measured(study, tmp_path):
    made, said = study(masks=False, dent=4)
    assert made.origin == "anomaly maps" and said[1].startswith("Left out below: IoU, Dice and mAP need true masks")
    assert made.annotator is made.detector and made.compared([]).startswith("no mask to make boxes from")
    masks = made.fine_tune(made.part(4), n_train=2, n_splits=1)
    assert said[-1].startswith("Not measured: IoU, Dice") and tuple(masks.scores) == SCORES and not len(masks.scores)
    assert list(masks.looks()["found"]) == ["from anomaly maps", "SAM, asked there"]
    assert plots.masks.segmentations(**masks.looks()).axes
    assert words(plots.masks.learning_curve(masks.curve((4,)), masks.without_curve)) == ["not measured, as said above"]
    boxes = made.detect({"FCOS": Fcos(size=64, epochs=1)}, n_splits=1)
    assert boxes.save(tmp_path) == masks.save(tmp_path) == []
    assert tuple(boxes.board) == BOARD and not len(boxes.board) and said[-1].startswith("Not measured: IoU, Dice")
    assert words(plots.boxes.boxes_on_images(**boxes.looks())) == ["not measured, as said above"]
    assert words(plots.boxes.learning_curves(boxes.curve((2,)), boxes.without)) == ["not measured, as said above"]
    assert boxes.vocabulary() == {} and boxes.describe_vocabulary({}) == "YOLO-World was not trained"
    assert boxes.metrics({}) == {"detection": None, "vocabulary": {}}
    assert masks.metrics(masks.curve((4,))) == dict.fromkeys(("sam", "segmentation", "segmentation_curve"))
    text = describe_annotation(
        made.annotated, [], masks.scores, boxes.board, masks.curve((4,)), origin=made.origin, left_out=made.left_out
    )
    assert text.count("Left out: IoU, Dice") == 1


def test_without_sam_it_is_said_what_brings_it_and_no_model_answers_clicks(study, tmp_path):
    made, said = study(with_sam=False, dent=4)
    assert made.segmenter is None and said[-1].startswith("Left out: SAM needs weights that this test took away")
    masks = made.fine_tune(made.part(4), n_train=2, n_splits=1)
    assert said[-1] == "Not measured: SAM needs weights that this test took away."
    assert len(said) == 3  # once, however often it is asked for
    assert "mobile_sam" in made.metrics()["advice"]["sam"]
    assert words(plots.masks.segmentations(**masks.looks())) == ["SAM is left out, as said above"]
    assert masks.answer is None
    widgets.segment(masks.answer, made.defective, tmp_path / "clicked.json")
    assert not (tmp_path / "clicked.json").exists()


def test_three_images_with_a_mask_are_too_few_to_measure(study):
    made, said = study(dent=3)
    assert said[-1].startswith("Left out below: 3 images have a mask, and 4 or more")
    assert set(made.left_out) == {"sam", "detection"}


def test_defective_images_without_a_mask_are_left_out_and_named(study):
    table, said = study(dent=5)[0].table, []
    table.loc[table["image"].str.endswith("dent/002.png"), "mask"] = None
    made = Measurement(table, echo=said.append)
    assert said == [
        "4 defective images with a mask, 10 without",
        "Left out below, for they have no mask: 1 defective image (dent/002.png).",
    ]
    assert len(made.defective) == 4 and {i.row for i in made.annotated} == {0, 1, 2, 3}


def test_a_curve_needs_fewer_images_than_there_are(study):
    made, _ = study(dent=4)
    masks = made.fine_tune(made.part(4), n_train=2, n_splits=1, settings=FineTuning(num_epochs=1))
    assert not len(masks.curve((4,)))
    assert masks.without_curve == "2 images to learn from are too few for a curve"


def test_without_yolo_the_baseline_alone_is_trained(study, monkeypatch, tmp_path):
    made, said = study(dent=4, hole=1)

    def require(name, **_):
        raise optional.lacking(name, "the package ultralytics, which is not installed")

    monkeypatch.setattr(optional, "require", require)
    models = {"FCOS": Fcos(size=64, epochs=1, device="cpu"), "YOLOv8n": YoloV8(size=64, epochs=1, device="cpu")}
    boxes = made.detect(models, n_splits=1)
    assert said[1] == "left out: 1 hole" and said[2].startswith("Left out: YOLOv8 and YOLO-World need the package")
    assert list(boxes.board["model"]) == ["FCOS"] and set(boxes.fitted) == {"FCOS"}
    (saved,) = boxes.save(tmp_path)
    assert saved.name == "FCOS" and BoxDetector.load(saved, "cpu").classes_ == ["dent"]
    looks = boxes.looks()
    assert len(looks["rows"]) and set(looks["table"].loc[looks["rows"], "defect"]) == {"dent"}
    learned = len(boxes.splits[0][0])
    curve = boxes.curve((2, learned))
    assert sorted(curve["images"]) == [2, learned] and set(curve["model"]) == {"FCOS"}
    assert "ultralytics" in made.left_out["yolo"]


def test_no_class_on_both_sides_of_a_split_is_a_reason(study):
    made, said = study(a=1, b=1, c=1, d=1)
    boxes = made.detect({"FCOS": Fcos(size=64, epochs=1)}, n_splits=1)
    assert made.left_out["detection"] == "no class has images with boxes on both sides of a split"
    assert "Not measured: no class has images" in said[-1] and not boxes.fitted


def test_boxes_alone_train_detectors_and_ask_sam(study):
    made, said = study(dent=5, hole=1)
    folder = Path(made.table.attrs["root"]) / "widget"
    shutil.rmtree(folder / "ground_truth")
    images = [f"test/dent/{at:03d}.png" for at in range(5)]
    content = {
        "images": [{"id": at, "file_name": name, "width": 64, "height": 48} for at, name in enumerate(images)],
        "categories": [{"id": 1, "name": "dent"}],
        "annotations": [{"id": at, "image_id": at, "category_id": 1, "bbox": [4, 6, 20, 10]} for at in range(5)],
    }
    (folder / FILE).write_text(json.dumps(content), encoding="utf-8")
    table, said = load_table(folder.parent, "widget"), []
    made = Measurement(table, echo=said.append)
    assert made.origin == "boxes" and len(made.defective) == 5 and made.annotator is None
    assert {i.xyxy for i in made.annotated} == {(4, 6, 24, 16)} and made.compared([]).endswith("as they were drawn")
    masks = made.fine_tune(made.part(5), n_train=2, n_splits=1)
    assert masks.evaluation is None and "there are boxes alone" in made.left_out["sam"]
    assert list(masks.looks()["found"]) == ["from boxes", "SAM, asked there"]
    boxes = made.detect({"FCOS": Fcos(size=64, epochs=1, device="cpu")}, n_splits=1)
    assert list(boxes.board["model"]) == ["FCOS"] and "detection" not in made.left_out
    text = describe_annotation(made.annotated, [], None, boxes.board, origin=made.origin, left_out=made.left_out)
    assert "Boxes were drawn and masks were not" in text and "1 detector found nothing" in text
    assert left_out(parts_of(table), "05") == {
        "drawn": "1 of 6 defective images have no mask or box and are not annotated",
        "boxes": "5 of 6 defective images have boxes alone: detectors learn from them, SAM does not",
    }


def test_objects_that_were_told_apart_stay_apart(study):
    made, _ = study(dent=4)
    folder = Path(made.table.attrs["root"]) / "widget"
    halves = [[[4, 4, 14, 4, 14, 9, 4, 9]], [[14, 4, 24, 4, 24, 9, 14, 9]]]  # they touch: one component
    content = {
        "images": [{"id": 0, "file_name": "test/dent/000.png", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "dent"}],
        "annotations": [
            {"id": at, "image_id": 0, "category_id": 1, "bbox": [4, 4, 10, 5], "segmentation": half}
            for at, half in enumerate(halves)
        ],
    }
    (folder / FILE).write_text(json.dumps(content), encoding="utf-8")
    made = Measurement(load_table(folder.parent, "widget"), echo=lambda _: None)
    assert len(made.annotated) == 5 and len(made.annotated.of(0)) == 2
    found = [(i.row, *i.xyxy) for i in from_masks(made.defective)]
    assert made.compared(found).startswith("the library finds the same boxes: True; below are the objects that")


def test_nothing_that_is_large_enough_ends_the_chapter(study):
    made, _ = study(dent=4)
    made.min_area = 1000
    with pytest.raises(Hw3Error, match="no mask of 4 defective images marks a region of 1000 pixels or more"):
        _ = made.annotated
    made, _ = study(masks=False, dent=4)
    made.min_area, told = 10_000, []

    def end(why):
        told.append(why)
        raise ChapterEnds

    made.end = end
    with pytest.raises(ChapterEnds):
        _ = made.annotated
    assert told == [
        "without masks a detector annotates, and in 4 defective images it found no region of 10000 pixels or more"
    ]
