"""hw3lib.annotate.imports: what each format's shapes become, against masks and boxes computed by hand."""

import base64
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from hw3lib.annotate.imports import import_category
from hw3lib.annotate.instances import read_instances
from hw3lib.data import load_table
from hw3lib.data.regions.annotations import annotations_of
from hw3lib.errors import Hw3Error
from tests.helpers.annotated import (
    HEIGHT,
    SQUARE,
    WIDTH,
    brush_rle,
    coco,
    cvat,
    cvat_image,
    cvat_points,
    labelme,
    photograph,
    png,
    put,
    region,
    square,
    task,
    voc,
    voc_object,
    yolo,
)


def taken(source, tmp_path, **options):
    """The instances and points of what was imported, and what was said."""
    done = import_category(source, tmp_path / "bolts", **options)
    photograph(tmp_path / "bolts/good/good.png")
    table = load_table(tmp_path, "bolts", strict=False)
    return list(read_instances(table)), [a.points for a in annotations_of(table) if a.points], done.summary()


def only(source, tmp_path, **options):
    (found,), points, _ = taken(source, tmp_path, **options)
    assert not points
    return found


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def circle(x, y, radius):
    """By supersampling: eight by eight points a pixel, of which half lie within."""
    fine = (np.arange(8 * max(WIDTH, HEIGHT)) + 0.5) / 8
    inside = (fine[: 8 * WIDTH] - x) ** 2 + (fine[: 8 * HEIGHT, None] - y) ** 2 <= radius**2
    return inside.reshape(HEIGHT, 8, WIDTH, 8).mean((1, 3)) >= 0.5


# labelme


@pytest.fixture
def folder(tmp_path):
    photograph(tmp_path / "in/a.png")
    return tmp_path / "in"


def test_labelme_polygons_circles_and_masks_are_masks(folder, tmp_path):
    mask = np.zeros((6, 8), bool)
    mask[1:5, 2:7] = True
    labelme(
        folder / "a.json",
        {"points": SQUARE},
        {"label": "hole", "shape_type": "circle", "points": [[45, 20], [45, 28]]},
        {"label": "mask", "shape_type": "mask", "points": [[2, 30], [9, 35]], "mask": png(mask)},
    )
    (first, second, third), _, _ = taken(folder, tmp_path)
    assert first.kind == "mask" and np.array_equal(first.mask, square()) and first.defect == "dent"
    assert second.defect == "hole" and iou(second.mask, circle(45, 20, 8)) > 0.97
    assert third.xywh == (4, 31, 5, 4) and third.area == 20


def test_labelme_rectangles_are_boxes_and_points_and_lines_points(folder, tmp_path):
    labelme(
        folder / "a.json",
        {"shape_type": "rectangle", "points": [[30, 20], [10, 8]]},
        {"shape_type": "point", "points": [[5, 6]]},
        {"shape_type": "linestrip", "points": [[1, 2], [3, 4]]},
        {"shape_type": "points", "points": [[7, 7], [8, 8]], "point_labels": [1, 0]},
        {"shape_type": "sphere", "points": [[7, 7]]},
        {"shape_type": "rotation", "points": [[20, 10], [30, 20], [20, 30], [10, 20]]},
    )
    found, points, said = taken(folder, tmp_path)
    assert [(i.kind, i.xyxy) for i in found] == [("box", (10, 8, 30, 20)), ("box", (10, 10, 30, 30))]
    assert points == [[(5, 6)], [(1, 2), (3, 4)], [(7, 7)]]
    assert "1, lines, taken as points" in said and "kind 'sphere'" in said and "1, turned boxes" in said
    assert not (tmp_path / "bolts/masks").exists()


def test_labelme_shapes_of_a_group_are_one_object(folder, tmp_path):
    away = [(x + 25, y) for x, y in SQUARE]
    labelme(folder / "a.json", {"points": SQUARE, "group_id": 3}, {"points": away, "group_id": 3})
    assert only(folder, tmp_path).xywh == (10, 8, 45, 12)


@pytest.mark.parametrize("path", ["a.png", "..\\photos\\a.png", "../photos/a.png", "C:\\Users\\me\\a.png", "b.png"])
def test_labelme_images_are_found_however_their_path_is_written(path, tmp_path):
    photograph(tmp_path / "in/photos/a.png")
    labelme(tmp_path / "in/json/a.json", {"points": SQUARE}, image=path)
    assert only(tmp_path / "in", tmp_path).area == 240


def test_labelme_embedded_images_are_taken_where_there_is_no_file(folder, tmp_path):
    data = base64.b64encode((folder / "a.png").read_bytes()).decode()
    (folder / "a.png").unlink()
    labelme(folder / "b.json", {"points": SQUARE}, image="..\\x\\photo.bmp", imageData=data)
    assert only(folder / "b.json", tmp_path).area == 240
    assert (tmp_path / "bolts/dent/photo.png").read_bytes() == base64.b64decode(data)


def test_labelme_shapes_without_a_label_are_left_out_and_make_no_good_product(folder, tmp_path):
    photograph(folder / "b.png")
    labelme(folder / "a.json", {"points": SQUARE}, {"points": SQUARE, "label": " "})
    labelme(folder / "b.json", {"points": SQUARE, "label": ""})
    (found,), _, said = taken(folder, tmp_path)
    assert found.area == 240 and "left out: 2, shapes without a label: " in said
    assert "1, images of whose annotations nothing is left: b.png" in said
    assert not list((tmp_path / "bolts").rglob("b.png"))


def test_labelme_flags_are_the_class_of_an_image_without_shapes(folder, tmp_path):
    labelme(folder / "a.json", flags={"scratch": True, "hole": False})
    taken(folder, tmp_path)
    assert [p.parent.name for p in (tmp_path / "bolts").rglob("a.png")] == ["scratch"]


# CVAT


def test_cvat_polygons_ellipses_and_masks_are_masks(folder, tmp_path):
    runs = "3, 4, 1, 5, 2"  # 15 pixels, 5 x 3, zeros first: ...####.#####..
    cvat(
        folder / "annotations.xml",
        cvat_image(
            "a.png",
            f'<polygon label="dent" occluded="0" points="{cvat_points(SQUARE)}" z_order="1"/>',
            '<ellipse label="hole" cx="45" cy="20" rx="8" ry="8" z_order="0"/>',
            f'<mask label="dent" rle="{runs}" left="40" top="30" width="5" height="3" z_order="2"/>',
        ),
    )
    (hole, dent, mask), _, _ = taken(folder, tmp_path)
    assert hole.defect == "hole" and iou(hole.mask, circle(45, 20, 8)) > 0.97
    assert np.array_equal(dent.mask, square())
    assert np.array_equal(mask.mask[30:33, 40:45].ravel(), [c == "#" for c in "...####.#####.."]) and mask.area == 9


def test_cvat_turned_ellipses_are_turned_clockwise(folder, tmp_path):
    cvat(folder / "a.xml", cvat_image("a.png", '<ellipse label="d" cx="30" cy="20" rx="16" ry="3" rotation="45"/>'))
    found = only(folder, tmp_path)
    assert found.mask[28, 38] and found.mask[12, 22] and not found.mask[12, 38] and not found.mask[28, 22]
    assert abs(found.area - np.pi * 16 * 3) < 8


def test_cvat_boxes_points_lines_and_skeletons_make_no_masks(folder, tmp_path):
    joints = '<points label="a" points="9,9"/><points label="b" outside="1" points="1,1"/>'
    cvat(
        folder / "annotations.xml",
        cvat_image(
            "a.png",
            '<box label="dent" xtl="10" ytl="8" xbr="30" ybr="20" z_order="0"/>',
            '<box label="dent" xtl="10" ytl="18" xbr="30" ybr="22" rotation="90" z_order="0"/>',
            '<points label="dent" points="1,2;3,4"/><polyline label="dent" points="5,6;7,8"/>',
            f'<skeleton label="dent">{joints}</skeleton>',
            '<cuboid label="dent" xtl1="1"/>',
        ),
    )
    found, points, said = taken(folder, tmp_path)
    # The second, 20 x 4 around (20, 20), stands upright after a quarter turn.
    assert [(i.kind, i.xyxy) for i in found] == [("box", (10, 8, 30, 20)), ("box", (18, 10, 22, 30))]
    assert points == [[(1, 2), (3, 4)], [(5, 6), (7, 8)], [(9, 9)]]
    assert "<cuboid>" in said and "skeletons" in said and "lines" in said


def test_cvat_tags_are_classes_and_images_in_folders_are_found(tmp_path):
    photograph(tmp_path / "in/images/day1/a.png")
    photograph(tmp_path / "in/images/day2/a.png", (WIDTH + 1, HEIGHT))
    box = '<box label="dent" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    cvat(
        tmp_path / "in/annotations.xml",
        cvat_image("day2/a.png", '<tag label="scratch"/>', width=WIDTH + 1),
        cvat_image("day1/a.png", box),
    )
    taken(tmp_path / "in", tmp_path)
    assert Image.open(tmp_path / "bolts/scratch/a.png").width == WIDTH + 1
    assert Image.open(tmp_path / "bolts/dent/a.png").width == WIDTH


def test_cvat_masks_that_are_larger_than_their_image_are_never_decoded(folder, tmp_path):
    mask = '<mask label="d" rle="1,899999999" left="0" top="0" width="30000" height="30000"/>'
    box = '<box label="d" xtl="1" ytl="1" xbr="5" ybr="5"/>'
    cvat(folder / "a.xml", cvat_image("a.png", mask, box))
    (found,), _, said = taken(folder, tmp_path)
    assert found.kind == "box" and "masks that are larger than their image" in said


def test_cvat_for_video_is_refused_with_what_to_do(folder, tmp_path):
    cvat(folder / "a.xml", '<track id="0" label="dent"><box frame="0" xtl="1" ytl="1" xbr="9" ybr="9"/></track>')
    with pytest.raises(Hw3Error, match="CVAT for video; expected CVAT for images 1.1"):
        import_category(folder, tmp_path / "bolts")


# Label Studio


def test_label_studio_brushes_polygons_and_ellipses_are_masks(folder, tmp_path):
    mask = square()
    mask[20, 11] = mask[5, 50] = True
    percent = [(x * 100 / WIDTH, y * 100 / HEIGHT) for x, y in SQUARE]
    put(
        folder / "project.json",
        [
            task(
                "/data/upload/1/1a2b3c4d-a.png",
                region("brush", "hole", format="rle", rle=brush_rle(mask)),
                region("polygon", points=percent),
                region("ellipse", "hole", x=75, y=50, radiusX=8 * 100 / WIDTH, radiusY=8 * 100 / HEIGHT, rotation=30),
                region("bitmask", imageDataURL=f"data:image/png;base64,{png(square())}"),
            )
        ],
    )
    (brush, polygon, ellipse, bitmask), _, _ = taken(folder, tmp_path)
    assert brush.defect == "hole" and np.array_equal(brush.mask, mask)
    assert polygon.defect == "dent" and np.array_equal(polygon.mask, square())
    assert iou(ellipse.mask, circle(45, 20, 8)) > 0.97
    assert np.array_equal(bitmask.mask, square())


def test_label_studio_rectangles_turn_about_their_corner(folder, tmp_path):
    rectangle = {"x": 10 * 100 / WIDTH, "y": 8 * 100 / HEIGHT, "width": 20 * 100 / WIDTH, "height": 30}
    put(
        folder / "project.json",
        [task("a.png", region("rectangle", **rectangle), region("rectangle", **rectangle | {"x": 50, "rotation": 90}))],
    )
    found, _, _ = taken(folder, tmp_path)
    # 20 x 12 pixels from (30, 8): a quarter turn clockwise about that corner takes it to the left of and below it.
    assert [(i.kind, i.xyxy) for i in found] == [("box", (10, 8, 30, 20)), ("box", (18, 8, 30, 28))]


def test_label_studio_points_and_labels_apart_from_what_was_drawn(folder, tmp_path):
    drawn = region("rectangle", x=0, y=0, width=50, height=50, key="r")
    drawn = drawn | {"type": "rectangle", "value": {k: v for k, v in drawn["value"].items() if k[-6:] != "labels"}}
    named = drawn | {"type": "labels", "value": drawn["value"] | {"labels": ["hole"]}}
    relation = {"type": "relation", "from_id": "r", "to_id": "r"}
    put(folder / "p.json", [task("a.png", drawn, named, region("keypoint", x=50, y=50, width=1), relation)])
    found, points, _ = taken(folder, tmp_path)
    assert [(i.defect, i.xyxy) for i in found] == [("hole", (0, 0, 30, 20))]
    assert points[0] == [(30, 20)]


def test_label_studio_choices_are_the_class_of_an_image(folder, tmp_path):
    choice = {"id": "c", "type": "choices", "value": {"choices": ["scratch"]}}
    photograph(folder / "b.png")
    put(folder / "p.json", [task("a.png", choice), task("b.png", choice | {"value": {"choices": ["OK"]}})])
    taken(folder, tmp_path)
    assert [p.parent.name for p in (tmp_path / "bolts").rglob("[ab].png")] == ["good", "scratch"]


def test_label_studio_takes_the_last_annotation_and_predictions_where_there_is_none(tmp_path):
    for name in ("a", "b", "c", "d"):
        photograph(tmp_path / f"in/{name}.png")

    def result(x, **other):
        return {"result": [region("rectangle", x=x, y=0, width=10, height=10)]} | other

    late, early = result(50, updated_at="2026-02-01T00:00:00Z"), result(10, updated_at="2026-01-01T00:00:00Z")
    cancelled = result(90, was_cancelled=True, updated_at="2026-03-01T00:00:00Z")
    put(
        tmp_path / "in/p.json",
        [
            task("a.png", annotations=[late, early, cancelled], predictions=[result(0)]),
            task("b.png", annotations=[], predictions=[result(20)]),
            task("c.png", annotations=[cancelled]),
            task("d.png", annotations=[early | {"ground_truth": True}, late]),
        ],
    )
    found, _, said = taken(tmp_path / "in", tmp_path)
    assert [i.x for i in found] == [30, 12, 6]
    assert "1, images whose annotations were all cancelled: c.png" in said
    assert "2, images with several annotations" in said and "prediction is taken: b.png" in said
    assert not list((tmp_path / "bolts").rglob("c.png"))


def test_label_studio_tasks_that_nobody_looked_at_are_good_only_on_request(tmp_path):
    for name in ("a", "b", "c", "d"):
        photograph(tmp_path / f"in/{name}.png")
    box = region("rectangle", x=0, y=0, width=50, height=50)
    put(tmp_path / "in/p.json", [task("a.png", box), task("b.png"), task("c.png", annotations=[])])
    said = import_category(tmp_path / "in", tmp_path / "one").summary()
    assert sorted(p.name for p in (tmp_path / "one/good").iterdir()) == ["b.png", "d.png"]
    assert "left out: 1, images that nobody has looked at (--unlabelled good takes them as good): c.png" in said
    assert "2 images without annotation, taken as good; --unlabelled leave leaves them out" in said
    import_category(tmp_path / "in", tmp_path / "two", unlabelled="good")
    assert sorted(p.name for p in (tmp_path / "two/good").iterdir()) == ["b.png", "c.png", "d.png"]


@pytest.mark.parametrize("scheme", ["https://photos.example/a.png?key=1", "s3://bucket/day/a.png"])
def test_label_studio_never_fetches_but_finds_what_was_downloaded(scheme, tmp_path):
    put(tmp_path / "in/p.json", [task(scheme, region("rectangle", x=0, y=0, width=50, height=50))])
    photograph(tmp_path / "photos/b.png")
    with pytest.raises(Hw3Error, match="at a URL, which is not fetched.*--images"):
        import_category(tmp_path / "in", tmp_path / "bolts", images=tmp_path / "photos")
    photograph(tmp_path / "photos/a.png")
    assert only(tmp_path / "in", tmp_path, images=tmp_path / "photos").xyxy == (0, 0, 30, 20)


def test_label_studio_local_files_and_data_of_another_name_are_found(folder, tmp_path):
    content = task("", region("rectangle", x=0, y=0, width=50, height=50))
    put(folder / "p.json", [content | {"data": {"text": "a bolt", "photo": "/data/local-files/?d=sets/a.png"}}])
    assert only(folder, tmp_path).area == 600


def test_label_studio_in_its_short_form_is_refused_with_what_to_do(folder, tmp_path):
    put(folder / "p.json", [{"image": "a.png", "label": [{"x": 1}]}])
    with pytest.raises(Hw3Error, match="not JSON-MIN"):
        import_category(folder / "p.json", tmp_path / "bolts", format="labelstudio")


# COCO


def test_coco_polygons_run_lengths_boxes_and_keypoints(folder, tmp_path):
    from pycocotools import mask as coco_mask

    packed = coco_mask.encode(np.asfortranarray(square(), np.uint8))
    packed = {"size": list(packed["size"]), "counts": packed["counts"].decode()}
    flat = np.concatenate([[0], square().ravel(order="F").astype(int), [0]])
    counts = np.diff([0, *np.flatnonzero(np.diff(flat)), HEIGHT * WIDTH]).tolist()
    coco(
        folder / "a.json",
        ["a.png"],
        {"segmentation": [np.ravel(SQUARE).tolist(), [40, 30, 50, 30, 50, 35, 40, 35]]},
        {"segmentation": packed, "category_id": 1},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}},
        {"segmentation": [], "bbox": [10, 8, 20, 12]},
        {"bbox": [10.4, 8, 20, 12], "keypoints": [1, 2, 2, 3, 4, 0]},
    )
    found, points, _ = taken(folder, tmp_path)
    assert [i.kind for i in found] == ["mask"] * 3  # of an image with masks the boxes stay in annotations.json
    assert found[0].area == 240 + 50 and found[0].xywh == (10, 8, 40, 27)
    assert found[1].defect == "hole" and all(np.array_equal(i.mask, square()) for i in found[1:])
    assert points[0] == [(1, 2)]


@pytest.mark.parametrize("said", [True, False])
def test_coco_run_lengths_of_another_size_are_left_out(said, folder, tmp_path):
    other = {"size": [WIDTH, HEIGHT], "counts": [400, 1000, 1000]}
    path = coco(folder / "a.json", ["a.png"], {"segmentation": other}, {"bbox": [1, 1, 4, 4]})
    if not said:
        content = json.loads(path.read_text())
        put(path, content | {"images": [{"id": 0, "file_name": "a.png"}]})
        with pytest.raises(Hw3Error, match="annotated with 40x60 pixels, their files have 60x40"):
            import_category(path, tmp_path / "bolts")
        return
    found, _, told = taken(path, tmp_path)
    assert [i.kind for i in found] == ["box"] and "run lengths of another size" in told


def test_coco_crowds_are_their_connected_regions(folder, tmp_path):
    rings = [np.ravel(SQUARE).tolist(), [40, 30, 50, 30, 50, 35, 40, 35]]
    coco(folder / "a.json", ["a.png"], {"segmentation": rings, "iscrowd": 1})
    found, _, said = taken(folder, tmp_path)
    assert [i.area for i in found] == [240, 50] and "crowds" in said


def test_coco_files_of_splits_are_one_category_and_doubled_annotations_one(tmp_path):
    photograph(tmp_path / "in/train/a.png")
    photograph(tmp_path / "in/val/b.png")
    box = {"bbox": [10, 8, 20, 12]}
    coco(tmp_path / "in/annotations/instances_train.json", ["a.png"], box)
    coco(tmp_path / "in/annotations/person_keypoints_train.json", ["a.png"], box, {"bbox": [1, 1, 5, 5]})
    coco(tmp_path / "in/annotations/instances_val.json", ["b.png"], box)
    found, _, said = taken(tmp_path / "in", tmp_path)
    assert [i.xyxy for i in found] == [(10, 8, 30, 20), (1, 1, 6, 6), (10, 8, 30, 20)] and "named twice" in said


def test_coco_files_of_splits_name_the_folder_of_their_images(tmp_path):
    for at, split in enumerate(("train", "val")):
        photograph(tmp_path / f"in/images/{split}/a.png", (WIDTH + at, HEIGHT))
        path = coco(tmp_path / f"in/annotations/instances_{split}.json", ["a.png"], {"bbox": [at, 1, 5, 5]})
        content = json.loads(path.read_text())
        put(path, content | {"images": [{"id": 0, "file_name": "a.png", "width": WIDTH + at, "height": HEIGHT}]})
    found, _, said = taken(tmp_path / "in", tmp_path)
    assert sorted((i.size, i.xyxy) for i in found) == [
        ((HEIGHT, WIDTH), (0, 1, 5, 6)),
        ((HEIGHT, WIDTH + 1), (1, 1, 6, 6)),
    ]
    assert "left out" not in said
    (tmp_path / "in/annotations/instances_val.json").unlink()
    path = tmp_path / "in/annotations/all.json"
    (tmp_path / "in/annotations/instances_train.json").rename(path)
    with pytest.raises(Hw3Error, match="several images of this name.*--images"):
        import_category(path, tmp_path / "two")
    done = import_category(path, tmp_path / "two", images=tmp_path / "in/images/train")
    assert sum(done.counts["dent"].values()) and "good" not in done.counts


def test_coco_annotations_of_deleted_images_are_left_out_and_unknown_categories_named(folder, tmp_path):
    box = {"bbox": [10, 8, 20, 12]}
    path = coco(folder / "a.json", ["a.png"], box, box | {"image_id": 999})
    found, _, said = taken(path, tmp_path)
    assert [i.xyxy for i in found] == [(10, 8, 30, 20)]
    assert "left out: 1, annotations of an image that their file does not list: " in said and "image 999" in said
    coco(path, ["a.png"], box | {"category_id": 17})
    with pytest.raises(Hw3Error, match="annotation 0: category 17 is unknown, expected one of 0, 1"):
        import_category(path, tmp_path / "two")


# Pascal VOC


def test_voc_boxes_count_from_one_and_include_the_last_pixel(tmp_path):
    photograph(tmp_path / "in/JPEGImages/a.png")
    voc(tmp_path / "in/Annotations/a.xml", voc_object(11, 9, 30, 20))
    found = only(tmp_path / "in", tmp_path)
    assert found.kind == "box" and found.xyxy == (10, 8, 30, 20)


def test_voc_polygons_and_turned_boxes_of_other_tools(folder, tmp_path):
    corners = "".join(f"<x{i}>{x + 1}</x{i}><y{i}>{y + 1}</y{i}>" for i, (x, y) in enumerate(SQUARE, 1))
    turned = "<cx>40</cx><cy>20</cy><w>20</w><h>4</h><angle>1.5707963267948966</angle>"
    voc(
        folder / "a.xml",
        f"<object><name>dent</name><polygon>{corners}</polygon></object>",
        f"<object><name>hole</name><robndbox>{turned}</robndbox></object>",
        size=None,
    )
    (mask,), _, _ = taken(folder, tmp_path)
    assert np.array_equal(mask.mask, square())
    voc(tmp_path / "other/b.xml", f"<object><name>hole</name><robndbox>{turned}</robndbox></object>")
    photograph(tmp_path / "other/b.png")
    (tmp_path / "second").mkdir()
    assert only(tmp_path / "other/b.xml", tmp_path / "second").xyxy == (38, 10, 42, 30)


def palette(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette([v for i in range(256) for v in (i, 255 - i, i // 2)])
    image.save(path)


@pytest.mark.parametrize("named", [True, False], ids=["in colours", "in numbers"])
def test_voc_masks_are_the_pixels_of_their_boxes(named, tmp_path):
    folder = tmp_path / "in"
    photograph(folder / "JPEGImages/a.png")
    values = np.zeros((HEIGHT, WIDTH))
    values[8:20, 10:30], values[25:35, 40:50], values[24, 40:50] = 1, 2, 255
    palette(folder / "SegmentationObject/a.png", values)
    if named:
        colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        colours[values == 1], colours[values == 2] = (9, 8, 7), (1, 2, 3)
        (folder / "SegmentationClass").mkdir()
        Image.fromarray(colours).save(folder / "SegmentationClass/a.png")
        (folder / "labelmap.txt").write_text("# label:color\nbackground:0,0,0::\ndent:9,8,7::\nhole:1,2,3::\n")
        voc(folder / "Annotations/a.xml")
    else:
        voc(
            folder / "Annotations/a.xml",
            voc_object(41, 25, 50, 35, "hole"),
            voc_object(11, 9, 30, 20),
            voc_object(1, 1, 4, 4),
        )
    (dent, hole), _, _ = taken(folder, tmp_path)
    assert dent.defect == "dent" and np.array_equal(dent.mask, square())
    assert hole.defect == "hole" and hole.xywh == (40, 25, 10, 10)
    content = (tmp_path / "bolts/annotations.json").read_text()
    assert content.count('"image_id"') == (2 if named else 3)  # the box without a mask is kept


def test_voc_classes_alone_are_their_connected_regions(tmp_path):
    folder = tmp_path / "in"
    photograph(folder / "JPEGImages/a.png")
    values = np.zeros((HEIGHT, WIDTH))
    values[8:20, 10:30] = values[25:35, 40:50] = 7
    palette(folder / "SegmentationClass/a.png", values)
    (folder / "labelmap.txt").write_text("dent:7,248,3::\n")
    found, _, _ = taken(folder, tmp_path, format="voc")
    assert [(i.defect, i.area) for i in found] == [("dent", 240), ("dent", 100)]


# YOLO

BOX = f"0 {20 / WIDTH} {14 / HEIGHT} {20 / WIDTH} {12 / HEIGHT}"


def shares(points):
    return " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in points)


def test_yolo_boxes_and_polygons(tmp_path):
    triangle = [(40, 20), (58, 20), (40, 38)]
    yolo(tmp_path / "in", {"a": BOX, "b": f"1 {shares(triangle)}\n{BOX} 0.9\n", "c": ""}, ["dent", "hole"])
    found, _, _ = taken(tmp_path / "in", tmp_path)
    assert [(i.defect, i.kind) for i in found] == [("dent", "box"), ("hole", "mask")]
    assert found[0].xyxy == (10, 8, 30, 20) and abs(found[1].area - 18 * 18 / 2) < 20
    assert (tmp_path / "bolts/good/c.png").is_file()


def test_yolo_rows_that_are_all_turned_boxes_make_no_masks(tmp_path):
    yolo(tmp_path / "in", {"a": f"0 {shares([(20, 10), (30, 20), (20, 30), (10, 20)])}"}, ["dent"])
    found = only(tmp_path / "in", tmp_path)
    assert (found.kind, found.xyxy) == ("box", (10, 10, 30, 30))


def test_yolo_keypoints_are_points(tmp_path):
    yolo(tmp_path / "in", {"a": f"{BOX} 0.5 0.5 2 0.1 0.1 0"}, ["dent"])
    (tmp_path / "in/data.yaml").write_text("names: [dent]\nkpt_shape: [2, 3]\n")
    found, points, _ = taken(tmp_path / "in", tmp_path)
    assert found[0].xyxy == (10, 8, 30, 20) and points[0] == [(30, 20)]


def test_yolo_images_that_share_a_stem_share_their_label(tmp_path):
    yolo(tmp_path / "in", {"a": BOX}, ["dent"])
    photograph(tmp_path / "in/images/train/a.jpg")
    found, _, _ = taken(tmp_path / "in", tmp_path)
    assert len(found) == 2 and not list((tmp_path / "bolts/good").glob("a*"))


@pytest.mark.parametrize("layout", ["beside", "roboflow", "by list", "nameless"])
def test_yolo_layouts_of_other_tools(layout, tmp_path):
    folder = tmp_path / "in"
    image, label = {"roboflow": ("train/images/a.png", "train/labels/a.txt")}.get(layout, ("a.png", "a.txt"))
    photograph(folder / image)
    (folder / label).parent.mkdir(parents=True, exist_ok=True)
    (folder / label).write_text(BOX)
    if layout == "roboflow":
        (folder / "data.yaml").write_text("names:\n  0: dent\ntrain: ../train/images\n")
    elif layout != "nameless":
        (folder / ("classes.txt" if layout == "beside" else "obj.names")).write_text("dent\nhole\n")
    found, _, said = taken(folder, tmp_path)
    assert [(i.defect, i.xyxy) for i in found] == [("class 0" if layout == "nameless" else "dent", (10, 8, 30, 20))]
    assert ("called by their number" in said) == (layout == "nameless")


def test_yolo_classes_may_be_called_by_numbers(tmp_path):
    yolo(tmp_path / "in", {"a": f"1{BOX[1:]}"}, ["bent"])
    (tmp_path / "in/data.yaml").write_text("names: [bent, 3]\n")
    assert only(tmp_path / "in", tmp_path).defect == "3"


def test_yolo_labels_are_found_by_the_path_in_the_folder_of_the_images(tmp_path):
    for name in ("dent/a", "hole/a", "good/b"):
        photograph(tmp_path / f"photos/{name}.png")
    for at, name in enumerate(("dent", "hole")):
        (tmp_path / f"in/labels/{name}").mkdir(parents=True)
        (tmp_path / f"in/labels/{name}/a.txt").write_text(f"{at}{BOX[1:]}")
    (tmp_path / "in/data.yaml").write_text("names: [dent, hole]\n")
    found, _, _ = taken(tmp_path / "in", tmp_path, images=tmp_path / "photos")
    assert [(i.defect, i.xyxy) for i in found] == [("dent", (10, 8, 30, 20)), ("hole", (10, 8, 30, 20))]
    assert (tmp_path / "bolts/good/b.png").is_file()


# A library that reads three of the formats, and what is lost in it


def test_supervision_takes_boxes_for_masks_and_drops_points(tmp_path):
    sv = pytest.importorskip("supervision")
    photograph(tmp_path / "in/a.png")
    box = {"bbox": [1, 2, 3, 4], "area": 12, "segmentation": []}
    drawn = {"segmentation": [np.ravel(SQUARE).tolist()], "bbox": [10, 8, 20, 12], "area": 240}
    path = coco(tmp_path / "in/a.json", ["a.png"], drawn, box | {"keypoints": [2, 3, 2]})
    ((_, _, theirs),) = sv.DetectionDataset.from_coco(str(path.parent), str(path))
    assert theirs.mask.shape[0] == 2 and not theirs.mask[1].any() and "keypoints" not in theirs.data
    done = import_category(path, tmp_path / "bolts")
    assert done.counts["dent"]["instances"] == 2
    content = json.loads((tmp_path / "bolts/annotations.json").read_text())
    assert content["annotations"][1]["segmentation"] == [] and content["annotations"][1]["keypoints"] == [2, 3, 2]
    yolo(tmp_path / "y", {"a": f"{BOX}\n1 {shares([(40, 20), (58, 20), (40, 38)])}\n"}, ["dent", "hole"])
    places = tmp_path / "y/images/train", tmp_path / "y/labels/train", tmp_path / "y/data.yaml"
    ((_, _, theirs),) = sv.DetectionDataset.from_yolo(*map(str, places))
    assert theirs.mask[0].any()  # the box is a mask there
    import_category(tmp_path / "y", tmp_path / "bars")
    content = json.loads((tmp_path / "bars/annotations.json").read_text())
    assert [bool(record["segmentation"]) for record in content["annotations"]] == [False, True]


# All


def test_a_polygon_thinner_than_a_pixel_is_no_smaller_than_one(folder, tmp_path):
    labelme(folder / "a.json", {"points": [(5, 10.1), (40, 10.1), (40, 10.3), (5, 10.3)]})
    found = only(folder, tmp_path)
    assert found.xywh[3] == 1 and found.area >= 35


def test_outlines_of_opencv_hold_their_border(folder, tmp_path):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    blobs = [ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 3) > 0.06 for _ in range(4)]
    labels = [ndimage.label(blob) for blob in blobs]
    masks = [found == at for found, count in labels for at in range(1, count + 1)]
    masks = [ndimage.binary_fill_holes(m) for m in masks if m.sum() > 20]
    lines = [
        cv2.findContours(m.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0][0][:, 0] for m in masks
    ]
    labelme(folder / "a.json", *({"points": line.tolist()} for line in lines))
    found, _, said = taken(folder, tmp_path)
    assert len(found) == len(masks) > 10 and "as of OpenCV" in said
    ious = [iou(instance.mask, mask) for instance, mask in zip(found, masks, strict=True)]
    assert np.mean([value == 1 for value in ious]) > 0.8, ious


def test_polygons_are_filled_as_scikit_image_fills_them(folder, tmp_path):
    from skimage.draw import polygon2mask

    rng = np.random.default_rng(0)
    stars = []
    for _ in range(20):
        angles, radii = np.sort(rng.uniform(0, 2 * np.pi, 12)), rng.uniform(6, 18, 12)
        stars.append(np.stack([30 + radii * np.cos(angles), 20 + radii * np.sin(angles)], 1))
    labelme(folder / "a.json", *({"points": star.tolist()} for star in stars))
    found, _, _ = taken(folder, tmp_path)
    for instance, star in zip(found, stars, strict=True):
        expected = polygon2mask((HEIGHT, WIDTH), star[:, ::-1] - 0.5)  # its pixels' centres are whole numbers
        assert iou(instance.mask, expected) > 0.9, (instance.area, expected.sum())


def test_a_clipped_polygon_is_what_is_left_of_it(folder, tmp_path):
    canvas = Image.new("L", (3 * WIDTH, 3 * HEIGHT))
    far = [(-30, -20), (50, 10), (90, 30), (30, 70), (20, 10)]
    ImageDraw.Draw(canvas).polygon([(x + WIDTH, y + HEIGHT) for x, y in far], fill=1)
    labelme(
        folder / "a.json",
        {"points": far},
        {"points": [(100, 100), (120, 100), (120, 120)]},
        {"points": [(1, 1), (5, 5)]},
    )
    (found,), _, said = taken(folder, tmp_path)
    assert iou(found.mask, np.asarray(canvas)[HEIGHT : 2 * HEIGHT, WIDTH : 2 * WIDTH] > 0) > 0.95
    assert "1, shapes that reach out of their image, and were cut" in said
    assert "1, shapes that lie outside of their image" in said and "1, shapes without an area" in said
