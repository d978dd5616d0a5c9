"""Boxes and masks of photographs that are no squares come back in the photographs' own pixels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hw3lib.annotate.available import annotate, fit_detector
from hw3lib.annotate.boxes.base import BoxDetector
from hw3lib.annotate.instances import from_masks
from hw3lib.annotate.masks.finetune import low_resolution
from hw3lib.annotate.masks.light import LightSegmenter
from hw3lib.annotate.masks.sam import Segmenter, padded
from hw3lib.data import ImageStack, load_table
from hw3lib.errors import Hw3Error
from tests.helpers.long_photographs import make_category

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


def defective(folder):
    table = load_table(folder.parent, folder.name)
    return table[table["is_defect"]].reset_index(drop=True)


@dataclass(kw_only=True)
class Seeing(BoxDetector):
    """Finds what is red, as a network would, in pixels of its square; and a box in the padding."""

    name: ClassVar[str] = "Seeing"
    epochs: int = 0

    def _build(self) -> nn.Module:
        return nn.Identity()

    def _groups(self):
        return []

    def _loss(self, images, targets):
        raise NotImplementedError

    def _begin(self, images, targets) -> None:
        self.seen = images, targets

    def _detect(self, images):
        found = []
        for image in images:
            rows, columns = torch.nonzero((image[0] - image[1]) > 80, as_tuple=True)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            boxes = torch.tensor([[float(v) for v in box], [0.0, 0.0, 5.0, 5.0]])
            found.append((boxes, torch.tensor([0.9, 0.5]), torch.tensor([0, 0])))
        return found


@pytest.mark.parametrize("size", [(100, 252), (252, 100), (120, 120)])
@pytest.mark.parametrize("fit", [None, "pad"])
def test_boxes_go_to_the_square_and_come_back(size, fit, tmp_path):
    folder, places = make_category(tmp_path, size, fit=fit)
    table = defective(folder)
    detector = Seeing(size=320).fit(table, from_masks(table), range(len(table)))
    images, targets = detector.seen
    for image, (boxes, _) in zip(images, targets, strict=True):
        left, top, right, bottom = boxes[0].round().int().tolist()
        red = (image[0].int() - image[1].int()) > 80
        assert red[top:bottom, left:right].sum() > 0.95 * red.sum()
        assert fit is None or abs((right - left) - (bottom - top)) <= 3  # the disc is round
    for boxes, (x, y, radius) in zip(detector.predict(table), places.values(), strict=True):
        wanted = [x - radius, y - radius, x + radius + 1, y + radius + 1]
        assert np.abs(boxes.boxes[0] - wanted).max() < 1.5
        assert boxes.boxes.min() >= 0 and (boxes.boxes.max(0) <= [*size, *size]).all()
        assert len(boxes.boxes) == (1 if fit and size[0] != size[1] else 2)  # what lies in the padding is left out


def test_tiles_are_refused_with_the_remedy(tmp_path):
    folder, _ = make_category(tmp_path, fit="tile")
    table = defective(folder)
    with pytest.raises(Hw3Error, match="fit=tile cuts it into 3 squares.*--fit pad"):
        Seeing(size=320).fit(table, from_masks(table), range(len(table)))


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_the_light_segmenter_finds_discs_where_they_are(fit, tmp_path):
    folder, _ = make_category(tmp_path, fit=fit, bad=8)
    table = defective(folder)
    light = LightSegmenter(image_size=128, num_steps=60, batch_size=4)
    features = light.features(ImageStack.load(table, 128))
    masks = [i.mask for i in from_masks(table)]
    light.fit(features.of(np.arange(6)), masks[:6])
    for found, mask in zip(light.predict(features.of(np.array([6, 7])), [(252, 100)] * 2), masks[6:], strict=True):
        assert found.shape == mask.shape and (found & mask).sum() / (found | mask).sum() > 0.4


@pytest.mark.parametrize("fit", ["stretch", "pad", "tile"])
def test_a_first_annotation_lies_on_the_defect(fit, tmp_path):
    folder, places = make_category(tmp_path, fit=fit, good=20)
    table = load_table(folder.parent, folder.name)
    found = annotate(defective(folder), fit_detector(table), min_area=4)
    for row, (x, y, _) in enumerate(places.values()):
        assert any(i.mask[y, x] for i in found.of(row))


@pytest.mark.parametrize("size", [(100, 252), (252, 100), (90, 90)])
def test_sam_pads_by_the_same_geometry(size):
    """Its longer side is the square's, the rest lies at the right or below and is zero after normalising."""
    seen = []

    class Network(nn.Module):
        image_size, device = 64, torch.device("cpu")

        def encoder(self, images):
            seen.append(images)
            return images[:, :, ::16, ::16]

    image = np.asarray(Image.new("RGB", size, (200, 30, 30)))
    segmenter = Segmenter(Network(), "none", device="cpu")
    assert segmenter.embed(image).size == image.shape[:2]
    width, height = padded(image.shape[:2], 64).frame
    assert max(width, height) == 64 and abs(width / height - size[0] / size[1]) < 0.1
    assert (seen[0][0, :, :height, :width] != 0).all()
    assert (seen[0][0, :, height:] == 0).all() and (seen[0][0, :, :, width:] == 0).all()
    mask = low_resolution(np.ones(image.shape[:2], bool), 16)
    assert mask.sum() == np.prod(padded(image.shape[:2], 16).frame)
