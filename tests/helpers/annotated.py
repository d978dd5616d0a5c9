"""Small annotated photographs in the forms that annotation tools write, made here from the tools' documentation."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 60, 40
SQUARE = [(10, 8), (30, 8), (30, 20), (10, 20)]  # 20 x 12 pixels


def photograph(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Path:
    """Noise; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path


def square(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The mask of ``SQUARE``."""
    mask = np.zeros((height, width), bool)
    mask[8:20, 10:30] = True
    return mask


def png(mask: np.ndarray) -> str:
    """A mask as base64 PNG."""
    made = io.BytesIO()
    Image.fromarray(mask).save(made, "PNG")
    return base64.b64encode(made.getvalue()).decode()


def labelme(path: Path, *shapes: dict[str, Any], image: str | None = None, **other: Any) -> Path:
    """A JSON of labelme; each shape as it stands there."""
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": [{"group_id": None, "flags": {}, "shape_type": "polygon", "label": "dent"} | s for s in shapes],
        "imagePath": image or f"{path.stem}.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | other), encoding="utf-8")
    return path


def cvat(path: Path, *images: str) -> Path:
    """An XML of CVAT for images, of its ``<image>`` elements."""
    head = "<annotations><version>1.1</version><meta><task><name>bolts</name></task></meta>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{head}{"".join(images)}</annotations>', encoding="utf-8")
    return path


def cvat_image(name: str, *shapes: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    return f'<image id="0" name="{name}" width="{width}" height="{height}">{"".join(shapes)}</image>'


def cvat_points(points: list[tuple[float, float]]) -> str:
    return ";".join(f"{x},{y}" for x, y in points)


def region(kind: str, label: str = "dent", key: str | None = None, **value: Any) -> dict[str, Any]:
    """A result of Label Studio; ``kind`` such as ``rectangle``."""
    return {
        "id": key or f"{kind}-{sorted(value.items())}"[:40],
        "type": f"{kind}labels",
        "from_name": "label",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": value | {f"{kind}labels": [label]},
    }


def task(image: str, *results: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": [{"id": 1, "result": list(results)}]} | other


def put(path: Path, content: Any) -> Path:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def coco(
    path: Path, names: list[str], *annotations: dict[str, Any], classes: tuple[str, ...] = ("dent", "hole")
) -> Path:
    """A COCO file; annotations are numbered, and of image 0 and category 0 if they do not say."""
    sized = {"width": WIDTH, "height": HEIGHT}
    return put(
        path,
        {
            "images": [sized | {"id": at, "file_name": name} for at, name in enumerate(names)],
            "categories": [{"id": at, "name": name} for at, name in enumerate(classes)],
            "annotations": [
                {"id": at, "image_id": 0, "category_id": 0, "iscrowd": 0} | record
                for at, record in enumerate(annotations)
            ],
        },
    )


def voc(path: Path, *objects: str, name: str | None = None, size: tuple[int, int] | None = (WIDTH, HEIGHT)) -> Path:
    """An XML of Pascal VOC."""
    sized = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = f"<filename>{name or path.stem + '.png'}</filename>"
    path.write_text(f"<annotation>{named}{sized}{''.join(objects)}</annotation>", encoding="utf-8")
    return path


def voc_object(xmin: float, ymin: float, xmax: float, ymax: float, name: str = "dent") -> str:
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def yolo(folder: Path, labels: dict[str, str], names: list[str] | None = None) -> Path:
    """Images with their rows in the layout of ultralytics; None of names writes no ``data.yaml``."""
    for stem, rows in labels.items():
        photograph(folder / f"images/train/{stem}.png")
        path = folder / f"labels/train/{stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rows, encoding="utf-8")
    if names:
        (folder / "data.yaml").write_text(json.dumps({"train": "images/train", "names": names}), encoding="utf-8")
    return folder


def brush_rle(mask: np.ndarray) -> list[int]:
    """Bits as Label Studio packs them, all in runs of at most 16 bytes, written from the description of the format."""
    values = np.repeat((mask * 255).astype(np.uint8)[..., None], 4, 2).ravel()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    at = 0
    while at < len(values):
        run = 1
        while at + run < len(values) and values[at + run] == values[at] and run < 2**16:
            run += 1
        if run == 1:
            bits += f"000{0:03b}{values[at]:08b}"
        else:
            kind, width = next((k, w) for k, w in enumerate((3, 4, 8, 16)) if run <= 2**w)
            bits += f"1{kind:02b}{run - 1:0{width}b}{values[at]:08b}"
        at += run
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def example(place: Path, kind: str) -> None:
    """A small export of a tool or in a format, with every kind of shape that it has."""
    _, b = (photograph(place / f"{stem}.png") for stem in "ab")
    ring, marked = [value for point in SQUARE for value in point], square()
    if kind == "labelme":
        shapes = [{"shape_type": name, "points": SQUARE[:2]} for name in ("rectangle", "circle", "line", "point")]
        mask = {"shape_type": "mask", "points": [[10, 8], [29, 19]], "mask": png(marked[8:20, 10:30])}
        labelme(place / "a.json", {"points": SQUARE, "group_id": 1}, *shapes, mask)
        packed = base64.b64encode(b.read_bytes()).decode()
        labelme(place / "c.json", {"points": SQUARE, "label": "hole"}, image="d\\e.png", imageData=packed)
    elif kind == "cvat":
        drawn = (
            f'<polygon label="dent" points="{cvat_points(SQUARE)}" z_order="1" group_id="1"/>',
            '<box label="dent" xtl="1" ytl="2" xbr="30" ybr="20.5" rotation="12" z_order="0"/>',
            '<ellipse label="hole" cx="30" cy="20" rx="8" ry="4" rotation="30"/>',
            '<points label="dent" points="1,2"/>',
            '<mask label="dent" rle="3, 4, 1, 5, 2" left="40" top="30" width="5" height="3"/><tag label="bad"/>',
        )
        cvat(place / "annotations.xml", cvat_image("a.png", *drawn), cvat_image("b.png"))
    elif kind == "labelstudio":
        results = (
            region("brush", format="rle", rle=brush_rle(marked)),
            region("polygon", "hole", points=[(x * 100 / WIDTH, y * 100 / HEIGHT) for x, y in SQUARE]),
            region("ellipse", x=50, y=50, radiusX=10, radiusY=20, rotation=5),
            region("rectangle", x=10, y=10, width=30, height=30, rotation=45),
            region("keypoint", x=10, y=10, width=1),
        )
        tasks = [task("/data/upload/1/1a2b3c4d-a.png", *results), task("b.png", predictions=[])]
        put(place / "p.json", tasks)
    elif kind == "coco":
        crowd = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [400, 1000, 1000]}, "iscrowd": 1}
        pose = {"bbox": [1, 2, 3, 4], "keypoints": [1, 2, 2]}
        coco(place / "a.json", ["a.png", "b.png"], {"segmentation": [ring]}, crowd, pose)
    elif kind == "voc":
        voc(place / "Annotations/a.xml", voc_object(11, 9, 30, 20), voc_object(1, 1, 4, 4, "hole"))
        values = Image.fromarray(marked.astype(np.uint8))
        values.putpalette([0, 0, 0, 9, 8, 7])
        for name in ("SegmentationObject", "SegmentationClass"):
            (place / name).mkdir()
            values.save(place / name / "a.png")
        (place / "labelmap.txt").write_text("background:0,0,0::\ndent:9,8,7::\n")
    else:
        yolo(place, {"c": "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.9 0.1 0.5 0.9\n", "d": ""}, ["dent", "hole"])
