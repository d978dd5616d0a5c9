"""hw3lib.annotate.imports: the category that is made, its classes, names and masks, what is told, what is refused."""

import base64
import json
import os

import numpy as np
import pytest
from PIL import Image

from hw3lib.annotate import FORMATS, Dataset
from hw3lib.annotate.imports import SOURCES, import_category
from hw3lib.annotate.instances import Instance, Instances, read_instances, union
from hw3lib.cli.main import main
from hw3lib.data import load_table, read_mask
from hw3lib.data.regions.annotations import names_below
from hw3lib.errors import Hw3Error
from tests.helpers.annotated import (
    HEIGHT,
    SQUARE,
    WIDTH,
    coco,
    cvat,
    cvat_image,
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

BOX = {"shape_type": "rectangle", "points": [[1, 1], [5, 5]]}


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def folder(tmp_path):
    """Two annotated photographs and one that is not."""
    for name in ("a", "b", "c"):
        photograph(tmp_path / f"in/{name}.png")
    labelme(tmp_path / "in/a.json", {"points": SQUARE}, {"label": "hole", **BOX})
    labelme(tmp_path / "in/b.json", {"label": "hole", **BOX})
    return tmp_path / "in"


def test_a_category_has_its_classes_its_masks_and_its_annotations(folder, tmp_path, capsys):
    before = {name: (folder / name).read_bytes() for name in tree(folder)}
    assert main(["data", "import", str(folder), "--out", str(tmp_path / "bolts")]) == 0
    said = capsys.readouterr().out
    names = ["annotations.json", "dent/a.png", "good/c.png", "hole/b.png", "masks/dent/a_mask.png"]
    assert tree(tmp_path / "bolts") == names
    for name in ("dent/a.png", "good/c.png", "hole/b.png"):
        assert (tmp_path / "bolts" / name).read_bytes() == before[name[-5:]]
    assert np.array_equal(read_mask(tmp_path / "bolts/masks/dent/a_mask.png"), square())
    rows = [line.split() for line in said.splitlines()]
    assert ["dent", "1", "1", "0", "0", "2"] in rows and ["hole", "1", "0", "1", "0", "1"] in rows
    assert "several labels, of the class of the largest area: a.png" in said and "from labelme" in said
    assert {name: (folder / name).read_bytes() for name in tree(folder)} == before
    content = json.loads((tmp_path / "bolts/annotations.json").read_text())
    assert [c["name"] for c in content["categories"]] == ["dent", "hole"] and len(content["annotations"]) == 3
    assert content["info"]["changed"] and content["images"][0]["source"] == "a.png"


def test_an_image_of_several_labels_may_have_a_class_of_its_own(folder, tmp_path):
    import_category(folder, tmp_path / "bolts", several="combined")
    assert "combined/a.png" in tree(tmp_path / "bolts")
    table = load_table(tmp_path, "bolts", strict=False)
    first = read_instances(table).of(names_below(table).index("combined/a.png"))
    assert [i.defect for i in first] == ["dent"]


def test_images_without_annotation_may_be_left_out(folder, tmp_path):
    labelme(folder / "d.json")
    photograph(folder / "d.png")
    done = import_category(folder, tmp_path / "bolts", unlabelled="leave")
    assert not [name for name in tree(tmp_path / "bolts") if "good" in name]
    assert "2, images without annotation: d.png, c.png" in done.summary()


def test_links_lead_to_the_photographs(folder, tmp_path):
    import_category(folder, tmp_path / "bolts", link=True)
    assert (tmp_path / "bolts/dent/a.png").is_symlink()
    assert (tmp_path / "bolts/dent/a.png").resolve() == (folder / "a.png").resolve()


def test_two_images_of_one_name_stay_two_and_masks_with_their_own(tmp_path):
    for place, shape in (("one", {"points": SQUARE}), ("two", BOX), ("three", {"points": [(1, 1), (9, 1), (9, 9)]})):
        photograph(tmp_path / f"in/{place}/a.png")
        labelme(tmp_path / f"in/{place}/a.json", shape)
    photograph(tmp_path / "in/a_mask.png")
    labelme(tmp_path / "in/a_mask.json", BOX)
    done = import_category(tmp_path / "in", tmp_path / "bolts")
    photograph(tmp_path / "bolts/good/good.png")
    images = [name for name in tree(tmp_path / "bolts") if name.startswith("dent/")]
    assert len(images) == 4 and "renamed" in done.summary()
    table = load_table(tmp_path, "bolts", strict=False)
    masks = table.set_index([names_below(table)])["mask"].dropna()
    assert sorted(int(read_mask(path).sum()) for path in masks) == sorted({int(read_mask(p).sum()) for p in masks})
    assert len(masks) == 2 and max(int(read_mask(p).sum()) for p in masks) == 240


def test_odd_labels_become_folders_that_can_be(tmp_path):
    labels = ["../up", "a/b", "Dent", "dent", "masks", "CON", ".hidden", "x" * 400, "凹痕", "good", "<b>"]
    for at, label in enumerate(labels):
        photograph(tmp_path / f"in/{at}.png")
        labelme(tmp_path / f"in/{at}.json", {"label": label, "points": SQUARE})
    done = import_category(tmp_path / "in", tmp_path / "bolts")
    made = {p.name for p in (tmp_path / "bolts").iterdir() if p.is_dir()}
    assert {name.casefold() for name in made} >= {"dent", "dent_2", "凹痕", "good", "masks", "con_", "hidden"}
    assert len({name.casefold() for name in made}) == len(made) == len(labels) + 1  # that of the masks
    assert tree(tmp_path / "bolts/good") == ["9.png"] and "labelled as good" in done.summary()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bolts", "in"]


def test_formats_are_told_apart_by_what_is_in_them(tmp_path):
    photograph(tmp_path / "labelme/a.png")
    labelme(tmp_path / "labelme/a.json", BOX)
    cvat(tmp_path / "cvat/annotations.xml", cvat_image("a.png"))
    put(tmp_path / "labelstudio/p.json", [task("a.png")])
    coco(tmp_path / "coco/annotations/x.json", ["a.png"])
    voc(tmp_path / "voc/Annotations/a.xml", voc_object(1, 1, 5, 5))
    yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.1 0.1"})
    from hw3lib.annotate.imports import find_source

    for name in SOURCES:
        assert find_source(None, tmp_path / name).name == name
    with pytest.raises(Hw3Error, match=r"files of coco and of cvat .*--from coco\|cvat"):
        find_source(None, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Hw3Error, match="no annotation of a format"):
        find_source(None, tmp_path / "empty")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("drawn", ["as seen", "as stored"])
def test_shapes_meet_images_that_lie_on_their_side(orientation, drawn, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph(tmp_path / "in/a.jpg", exif=exif)
    turned = orientation > 4
    size = (HEIGHT, WIDTH) if turned and drawn == "as seen" else (WIDTH, HEIGHT)
    triangle = [(2, 3), (20, 3), (2, 30)]
    shape = {"points": triangle}, {"shape_type": "point", "points": [(5.0, 6.0)]}
    labelme(tmp_path / "in/a.json", *shape, image="a.jpg", imageWidth=size[0], imageHeight=size[1])
    import_category(tmp_path / "in", tmp_path / "bolts")
    photograph(tmp_path / "bolts/good/good.png")
    table = load_table(tmp_path, "bolts", strict=False)
    (found,) = read_instances(table)
    from PIL import ImageDraw, ImageOps

    canvas = Image.new("L", size)
    ImageDraw.Draw(canvas).polygon(triangle, fill=255)
    if drawn == "as stored" and turned:
        canvas.getexif()[0x0112] = orientation
        canvas = ImageOps.exif_transpose(canvas)
    expected = np.asarray(canvas) > 0
    assert found.size == expected.shape
    assert (found.mask & expected).sum() / (found.mask | expected).sum() > 0.85


def test_an_image_of_another_size_is_left_out_by_name(folder, tmp_path):
    labelme(folder / "b.json", BOX, imageWidth=WIDTH * 2, imageHeight=HEIGHT * 2)
    said = import_category(folder, tmp_path / "bolts").summary()
    assert "annotated with 120x80 pixels, their files have 60x40: b.png" in said
    assert not [name for name in tree(tmp_path / "bolts") if name.endswith("b.png")]


def test_what_cannot_be_taken_is_named_and_the_rest_is_taken(folder, tmp_path):
    labelme(folder / "gone.json", BOX, image="../elsewhere/gone.png")
    labelme(folder / "broken.json", BOX)
    huge = {"shape_type": "mask", "points": [[0, 0], [10**8, 10**8]], "mask": png(np.ones((9, 9), bool))}
    labelme(folder / "a.json", {"points": SQUARE}, huge)
    (folder / "broken.png").write_bytes(b"no image")
    put(folder / "package.json", {"name": "x"})
    said = import_category(folder, tmp_path / "bolts", format="labelme").summary()
    assert "1, images that are missing: ../elsewhere/gone.png (gone.json)" in said
    assert "1, images that cannot be taken: is not an image" in said and "broken.png" in said
    assert "1, JSON files that are not labelme's: package.json" in said
    assert "1, masks that are larger than their image: a.png" in said
    assert "dent/a.png" in tree(tmp_path / "bolts")


def test_photographs_of_other_kinds_are_told_of_and_taken_where_they_are_annotated(folder, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(folder / "d.dib", "BMP")
    labelme(folder / "d.json", {"points": SQUARE}, image="d.dib")
    (folder / "e.psd").write_bytes(b"x")
    (folder / "f.dib").write_bytes((folder / "d.dib").read_bytes()[:-20])
    labelme(folder / "f.json", {"points": SQUARE, "label": "crack"}, image="f.dib")
    said = import_category(folder, tmp_path / "bolts").summary()
    assert "another format, made PNG: d.dib" in said and "of a kind that is not read: e.psd" in said
    assert Image.open(tmp_path / "bolts/dent/d.png").getpixel((0, 0)) == (255, 0, 0)
    assert "images that cannot be decoded: f.dib" in said and not (tmp_path / "bolts/crack").exists()


def test_what_is_made_is_a_category_without_a_fault(folder, tmp_path, capsys):
    import_category(folder, tmp_path / "bolts")
    assert main(["data", "check", "bolts", "--data", str(tmp_path)]) == 0
    assert "ERROR" not in capsys.readouterr().out
    import_category(folder, tmp_path / "alone", unlabelled="leave")
    table = load_table(tmp_path, "alone")
    assert sorted(table["defect"]) == ["dent", "hole"] and len(read_instances(table)) == 2


def test_images_that_a_list_does_not_name_are_good_in_a_folder_and_told_of_beside_a_file(tmp_path):
    photograph(tmp_path / "in/a.png")
    photograph(tmp_path / "in/b.png")
    coco(tmp_path / "in/x.json", ["a.png"], {"bbox": [1, 1, 5, 5]})
    done = import_category(tmp_path / "in/x.json", tmp_path / "one")
    assert "good/b.png" not in tree(tmp_path / "one") and "do not name: b.png" in done.summary()
    import_category(tmp_path / "in", tmp_path / "two")
    assert "good/b.png" in tree(tmp_path / "two")


def annotated(folder, name):
    """A photograph with a box in a format, and what names it."""
    photograph(folder / ("images/train/a.png" if name == "yolo" else "a.png"))
    if name == "labelme":
        return labelme(folder / "a.json", BOX)
    if name == "cvat":
        return cvat(folder / "x.xml", cvat_image("a.png", "<box label='dent' xtl='1' ytl='1' xbr='5' ybr='5'/>"))
    if name == "labelstudio":
        return put(folder / "x.json", [task("a.png", region("rectangle", "dent", x=10, y=10, width=20, height=20))])
    if name == "coco":
        return coco(folder / "x.json", ["a.png"], {"bbox": [1, 1, 4, 4]})
    if name == "voc":
        return voc(folder / "a.xml", voc_object(1, 1, 5, 5))
    return yolo(folder, {"a": "0 0.5 0.5 0.1 0.1"}, ["dent"]) / "data.yaml"


@pytest.mark.parametrize("way", ["folder", ".", "file", "link"])
@pytest.mark.parametrize("name", SOURCES)
def test_relative_paths_and_links_are_read_as_absolute_ones(name, way, tmp_path, monkeypatch):
    path = annotated(tmp_path / "in", name)
    monkeypatch.chdir(tmp_path / "in" if way in (".", "file") else tmp_path)
    (tmp_path / "link").symlink_to("in")
    source = {"folder": "in", ".": ".", "file": path.name, "link": tmp_path / "link"}[way]
    import_category(source, "../bolts" if way in (".", "file") else "bolts", link=True)
    assert tree(tmp_path / "bolts") == ["annotations.json", "dent/a.png"]
    assert len(json.loads((tmp_path / "bolts/annotations.json").read_text())["annotations"]) == 1


def test_the_image_beside_an_annotation_goes_before_others_with_a_relative_path_too(tmp_path, monkeypatch):
    for at, place in enumerate(("one", "two")):
        photograph(tmp_path / f"in/{place}/a.png", (WIDTH + at, HEIGHT))
        labelme(tmp_path / f"in/{place}/a.json", BOX, image="IMG_1.png", imageWidth=WIDTH + at)
    monkeypatch.chdir(tmp_path)
    assert import_category("in", "bolts").counts["dent"]["images"] == 2


def test_images_of_a_file_in_the_folder_of_annotations_one_stands_in_are_found(tmp_path, monkeypatch):
    coco(tmp_path / "in/annotations/x.json", ["a.png"], {"bbox": [1, 1, 4, 4]})
    photograph(tmp_path / "in/images/a.png")
    monkeypatch.chdir(tmp_path / "in/annotations")
    import_category("x.json", tmp_path / "bolts")
    assert "dent/a.png" in tree(tmp_path / "bolts")


@pytest.mark.parametrize("name", SOURCES)
def test_masks_beside_the_images_are_no_good_products(name, tmp_path):
    annotated(tmp_path / "in", name)
    photograph(tmp_path / "photos/good/b.png")
    for place in ("in/Masks/a.png", "photos/masks/dent/a_mask.png", "photos/ground_truth/x/a.png"):
        photograph(tmp_path / place)
    said = import_category(tmp_path / "in", tmp_path / "bolts", images=tmp_path / "photos").summary()
    assert tree(tmp_path / "bolts") == ["annotations.json", "dent/a.png", "good/b.png"]
    assert "left out: 3, images in folders for masks: " in said
    assert "1 image without annotation, taken as good; --unlabelled leave leaves them out" in said


def test_images_in_a_folder_for_masks_that_are_annotated_are_taken(tmp_path):
    annotated(tmp_path / "in/gt", "labelme")
    photograph(tmp_path / "in/gt/mask.png")
    said = import_category(tmp_path / "in", tmp_path / "one").summary()
    assert tree(tmp_path / "one") == ["annotations.json", "dent/a.png"] and "for masks: mask.png" in said
    coco(tmp_path / "two/x.json", ["masks/a.png"], {"bbox": [1, 1, 4, 4]})
    photograph(tmp_path / "two/masks/a.png")
    import_category(tmp_path / "two", tmp_path / "three")
    assert "dent/a.png" in tree(tmp_path / "three")


def test_of_a_file_and_a_folder_of_images_those_beside_the_file_are_not_good(tmp_path):
    path = coco(tmp_path / "in/x.json", ["a.png"], {"bbox": [1, 1, 5, 5]})
    for name in ("in/b.png", "photos/a.png", "photos/c.png"):
        photograph(tmp_path / name)
    done = import_category(path, tmp_path / "bolts", images=tmp_path / "photos")
    assert tree(tmp_path / "bolts") == ["annotations.json", "dent/a.png", "good/c.png"]
    assert "do not name: b.png" in done.summary()


@pytest.mark.parametrize(
    "name, shapes",
    [
        ("labelme", lambda folder: labelme(folder / "b.json", {"shape_type": "sphere", "points": SQUARE})),
        ("cvat", lambda folder: cvat(folder / "y.xml", cvat_image("b.png", "<cuboid label='dent'/>"))),
        ("coco", lambda folder: coco(folder / "y.json", ["b.png"], {"bbox": []})),
        ("voc", lambda folder: voc(folder / "b.xml", "<object><name>dent</name></object>")),
        (
            "labelstudio",
            lambda folder: put(
                folder / "y.json",
                [task("b.png", region("rectangle", x=0, y=0, width=50, height=50) | {"image_rotation": 90})],
            ),
        ),
    ],
)
def test_an_image_whose_shapes_were_all_left_out_is_no_good_product(name, shapes, tmp_path):
    annotated(tmp_path / "in", name)
    photograph(tmp_path / "in/b.png")
    shapes(tmp_path / "in")
    said = import_category(tmp_path / "in", tmp_path / "bolts").summary()
    assert tree(tmp_path / "bolts") == ["annotations.json", "dent/a.png"]
    assert "images of whose annotations nothing is left: b.png" in said


# What is refused


def refused(said, source, out, **options):
    before = tree(source if source.is_dir() else source.parent)
    with pytest.raises(Hw3Error, match=said):
        import_category(source, out, **options)
    assert tree(source if source.is_dir() else source.parent) == before


def test_an_out_that_is_there_or_in_what_is_read_is_refused(folder, tmp_path):
    (tmp_path / "bolts").mkdir()
    (tmp_path / "bolts/mine.txt").write_text("x")
    refused("exists already", folder, tmp_path / "bolts")
    assert (tmp_path / "bolts/mine.txt").read_text() == "x"
    refused("--out .* lies in", folder, folder / "bolts")
    (tmp_path / "link").symlink_to(folder)
    refused("--out .* lies in", folder, tmp_path / "link/bolts")
    photograph(tmp_path / "photos/a.png")
    refused("--out .* lies in", folder, tmp_path / "photos/bolts", images=tmp_path / "photos")


@pytest.mark.parametrize(
    "options, said",
    [
        ({"format": "via"}, "unknown format 'via'; known: labelme"),
        ({"images": "nowhere"}, "--images nowhere: no such folder"),
        ({"several": "first"}, "several='first'"),
        ({"unlabelled": "bad"}, "unlabelled='bad'"),
        ({"format": "coco"}, "no annotated image is left: 2, JSON files that are not COCO's"),
        ({"format": "cvat"}, "no annotated image is left"),
    ],
)
def test_what_is_not_there_or_unknown_is_refused(options, said, folder, tmp_path):
    refused(said, folder, tmp_path / "bolts", **options)
    assert not (tmp_path / "bolts").exists()


def test_no_source_an_archive_and_no_annotation_at_all_are_refused(tmp_path):
    with pytest.raises(Hw3Error, match="no such file or folder"):
        import_category(tmp_path / "nowhere", tmp_path / "bolts")
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(Hw3Error, match="is an archive; unpack it"):
        import_category(tmp_path / "x.zip", tmp_path / "bolts")
    photograph(tmp_path / "in/a.png")
    labelme(tmp_path / "in/a.json")
    refused("every image would be good", tmp_path / "in", tmp_path / "bolts")
    assert not (tmp_path / "bolts").exists()


HOSTILE = {
    "NaN": ({"points": [[1, 1], [float("nan"), 5], [9, 9]]}, "shape 0: point: found 'nan'"),
    "infinity": ({"points": [[1, 1], [float("inf"), 5], [9, 9]]}, "shape 0: point: found 'inf'"),
    "a text": ({"points": [["1", 1], [2, 5], [9, 9]]}, "shape 0: point: found '1'"),
    "points that are none": ({"points": {"x": 1}}, "shape 0: points"),
    "a point of one number": ({"points": [[1], [2], [3]]}, "fewer than two numbers"),
    "no label": ({"points": SQUARE, "label": None}, "shape 0: label"),
    "a mask that is none": ({"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": "!"}, "mask cannot be decoded"),
    "a mask of another size": (
        {"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": png(np.ones((9, 9), bool))},
        "its mask is 9x9 pixels, expected 4x4",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_damaged_labelme_file_is_refused_by_name(what, folder, tmp_path):
    shape, said = HOSTILE[what]
    path = labelme(folder / "a.json", shape)
    with pytest.raises(Hw3Error, match=said) as caught:
        import_category(folder, tmp_path / "bolts")
    assert str(path) in str(caught.value) and not (tmp_path / "bolts").exists()


CVAT = {
    "<polygon label='d' points='1,2;3'/>": "points: found",
    "<polygon label='d' points='1,2;3,nan;5,6'/>": "points: found 'nan'",
    "<box label='d' xtl='1' ytl='1' xbr='1e999' ybr='4'/>": "xbr: found '1e999'",
    "<box label='d' xtl='1' ytl='1' xbr='4'/>": "ybr: found 'None'",
    "<box xtl='1' ytl='1' xbr='4' ybr='4'/>": "label: found 'None'",
    "<mask label='d' rle='3,4' left='0' top='0' width='2' height='2'/>": "run length.* its box has 4",
    "<mask label='d' rle='-3,7' left='0' top='0' width='2' height='2'/>": "found '-3'",
    "<mask label='d' rle='1,3' left='0' top='0' width='99999' height='99999'/>": "a mask of 99999x99999",
}


@pytest.mark.parametrize("element", CVAT)
def test_a_damaged_cvat_file_is_refused_by_name(element, folder, tmp_path):
    path = cvat(folder / "x.xml", cvat_image("a.png", element))
    with pytest.raises(Hw3Error, match=CVAT[element]) as caught:
        import_category(path, tmp_path / "bolts")
    assert str(path) in str(caught.value)


def test_an_xml_with_entities_is_refused(folder, tmp_path):
    (folder / "x.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>')
    refused("DTD or entities", folder / "x.xml", tmp_path / "bolts")


BRUSHES = {
    "no bytes": (["a", 1], "list of bytes, 0 to 255"),
    "numbers beyond a byte": ([0, 256], "list of bytes, 0 to 255"),
    "another size": ([0, 0, 0, 4, 57, 0, 0], "4 bytes, expected 9600 of 60x40"),
    "a size of billions": ([255, 255, 255, 255, 57, 0, 0], "4294967295 bytes, expected 9600"),
    "an end too early": ([0, 0, 0x25, 0x80, 57, 0, 0, 0], "ends before the last"),
    "nothing": ([], "ends before the last"),
}


@pytest.mark.parametrize("what", BRUSHES)
def test_a_damaged_brush_is_refused_by_name(what, folder, tmp_path):
    rle, said = BRUSHES[what]
    path = put(folder / "p.json", [task("a.png", region("brush", format="rle", rle=rle))])
    with pytest.raises(Hw3Error, match=said) as caught:
        import_category(path, tmp_path / "bolts")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "link.png", "folder/secret.png"])
def test_an_image_outside_of_the_folder_is_never_read(name, tmp_path):
    secret = photograph(tmp_path / "secret.png")
    photograph(tmp_path / "in/json/a.png")
    (tmp_path / "in/json/link.png").symlink_to(secret)
    (tmp_path / "in/json/folder").symlink_to(tmp_path)
    labelme(tmp_path / "in/json/a.json", BOX)
    labelme(tmp_path / "in/json/b.json", BOX, image=name)
    said = import_category(tmp_path / "in", tmp_path / "out/bolts").summary()
    assert "left out: 1, images that are" in said
    assert [n for n in tree(tmp_path / "out/bolts") if n.endswith(".png")] == ["dent/a.png"]


def test_a_label_or_a_name_leads_out_of_no_folder(tmp_path):
    data = base64.b64encode(photograph(tmp_path / "x.png").read_bytes()).decode()
    labelme(tmp_path / "in/a.json", BOX | {"label": "../../up"}, image="../../../etc/a.png", imageData=data)
    import_category(tmp_path / "in", tmp_path / "out/bolts")
    assert tree(tmp_path / "out") == ["bolts/_.._up/a.png", "bolts/annotations.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out", "x.png"]


def test_a_hundred_thousand_shapes_over_a_large_image_are_refused_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("hw3lib.annotate.imports.objects._MOST_DRAWN", 3 * WIDTH * HEIGHT)
    whole = [(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)]
    labelme(folder / "a.json", *[{"points": whole}] * 4)
    refused("pixels in all; expected fewer", folder, tmp_path / "bolts")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_not_waited_for(folder, tmp_path):
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "x.json")
    with pytest.raises(Hw3Error, match="x.json: is no regular file"):
        import_category(folder, tmp_path / "bolts", format="labelme")
    (folder / "x.json").unlink()
    import_category(folder, tmp_path / "bolts", format="labelme")
    assert "dent/a.png" in tree(tmp_path / "bolts")


# What hw3 annotate writes comes back


def exported(tmp_path, boxes=False):
    ring, dot = square(), np.zeros((HEIGHT, WIDTH), bool)
    ring[12:15, 14:20] = False
    dot[25:31, 40:52] = dot[30:34, 44:46] = True
    shown = [photograph(tmp_path / f"from/{name}.png") for name in ("a", "b", "c")]
    found = [
        Instance.from_mask(0, "dent", square()),
        Instance.from_mask(0, "hole", dot),
        Instance.from_mask(1, "hole", square() if boxes else ring),
        Instance(1, "dent", 2, 3, np.ones((4, 5), bool), (HEIGHT, WIDTH), "box" if boxes else "mask"),
    ]
    splits = ["train", "val", "train"]
    names = [path.name for path in shown]
    return Dataset(names, [str(p) for p in shown], [(HEIGHT, WIDTH)] * 3, splits, Instances(found), ["dent", "hole"])


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "yolo-seg"])
def test_what_was_exported_comes_back(name, tmp_path):
    data = exported(tmp_path)
    FORMATS[name].write(tmp_path / "out", data)
    import_category(tmp_path / "out", tmp_path / "bolts")
    table = load_table(tmp_path, "bolts", strict=False)
    back = read_instances(table)
    assert {n.split("/")[-1] for n in names_below(table)} == set(data.names)
    for row, path in enumerate(names_below(table)):
        theirs = [i for i in data.instances if data.names[i.row] == path.split("/")[-1]]
        ours = back.of(row)
        if name == "coco":
            assert [(i.defect, i.kind) for i in ours] == [(i.defect, i.kind) for i in theirs]
            assert all(np.array_equal(a.mask, b.mask) for a, b in zip(ours, theirs, strict=True))
        elif name == "yolo-seg":  # holes are filled, as yolo-seg says
            assert sorted(i.xyxy for i in ours) == sorted(i.xyxy for i in theirs)
            for one in theirs:
                (other,) = [i for i in ours if i.xyxy == one.xyxy]
                assert (one.mask & ~other.mask).sum() == 0 and other.area - one.area in (0, 18)
        else:
            assert all(i.kind == "box" for i in ours)
            assert sorted((i.defect, i.xyxy) for i in ours) == sorted((i.defect, i.xyxy) for i in theirs)
    assert (len(back) == 0) == (len(data.instances) == 0)
    if name == "coco":
        first = names_below(table).index("dent/a.png")
        assert np.array_equal(read_mask(table["mask"].iloc[first]), union([i for i in data.instances if i.row == 0]))


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "yolo-seg"])
def test_what_was_exported_of_images_that_stay_comes_back(name, tmp_path):
    """As of ``hw3 annotate --no-split``: the annotations alone, of images in their class folders."""
    category = tmp_path / "screws"
    for label in ("dent", "hole"):
        photograph(category / f"{label}/a.png")
        (category / f"masks/{label}").mkdir(parents=True)
        Image.fromarray(square()).save(category / f"masks/{label}/a_mask.png")
    photograph(category / "good/a.png")
    names = ["dent/a.png", "good/a.png", "hole/a.png"]
    found = Instances([Instance.from_mask(0, "dent", square()), Instance.from_mask(2, "hole", square())])
    sizes = [(HEIGHT, WIDTH)] * 3
    data = Dataset(names, [str(category / n) for n in names], sizes, ["train"] * 3, found, ["dent", "hole"])
    FORMATS[name].write(tmp_path / "out", data, beside=True)
    done = import_category(tmp_path / "out", tmp_path / "bolts", images=category)
    assert {label: counts["images"] for label, counts in done.counts.items()} == {"dent": 1, "good": 1, "hole": 1}
    assert list(done.told.left_out) == ["images in folders for masks"] and not done.told.changed
    back = read_instances(load_table(tmp_path, "bolts", strict=False))
    assert [(i.defect, i.xyxy) for i in back] == [("dent", (10, 8, 30, 20)), ("hole", (10, 8, 30, 20))]


@pytest.mark.parametrize("name", ["coco", "voc", "yolo"])
def test_boxes_alone_go_to_a_format_and_back(name, tmp_path):
    data = exported(tmp_path, boxes=True)
    written = FORMATS[name].write(tmp_path / "out", data)
    assert not written.lost.boxes
    import_category(tmp_path / "out", tmp_path / "bolts")
    content = json.loads((tmp_path / "bolts/annotations.json").read_text())
    found = sorted(record["bbox"] for record in content["annotations"])
    assert np.allclose(found, sorted(i.xywh for i in data.instances), atol=1e-5)


def test_formats_of_masks_leave_boxes_out_and_say_so(tmp_path):
    data = exported(tmp_path, boxes=True)
    for name in ("yolo-seg", "indexed-png", "sam"):
        written = FORMATS[name].write(tmp_path / name, data)
        assert written.lost.boxes == 1 and "1 boxes without a mask left out" in str(written.lost)
        assert len(FORMATS[name].read(tmp_path / name).instances) == 3
