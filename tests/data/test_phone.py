"""Photographs as a telephone takes them: what a file says, and what the picture shows."""

import io

import numpy as np
from PIL import Image, ImageOps

from hw3lib.data import load_table, phone_category, read_image, synthetic
from hw3lib.data.synthetic.phone import phone_photograph


def opened(file):
    return Image.open(io.BytesIO(file))


def upright(file):
    return np.asarray(ImageOps.exif_transpose(opened(file)), float)


def test_it_is_a_jpeg_of_four_to_three_that_is_turned_in_its_exif_alone():
    x = np.linspace(60, 200, 128)
    image = np.stack([np.tile(x, (128, 1)), np.tile(x[:, None], (1, 128)), np.full((128, 128), 120)], 2).astype(
        np.uint8
    )
    seen = set()
    for seed in range(24):
        file = phone_photograph(image, np.random.default_rng(seed), 160)
        turned = opened(file).getexif()[0x0112]
        seen.add(turned)
        assert opened(file).format == "JPEG" and opened(file).size == ((160, 120) if turned in (1, 3) else (120, 160))
        shown = upright(file)
        assert shown.shape == (120, 160, 3)
        assert shown[:, 100:140, 0].mean() > shown[:, 20:60, 0].mean() + 20  # red to the right
        assert shown[80:100, :, 1].mean() > shown[20:40, :, 1].mean() + 20  # green below
    assert seen == {1, 3, 6, 8}


def test_corners_are_dark_and_no_two_are_lit_or_placed_alike():
    shown = [
        upright(phone_photograph(np.full((64, 64, 3), 150, np.uint8), np.random.default_rng(s), 160)) for s in range(12)
    ]
    for one in shown:
        assert one[50:70, 70:90].mean() > 1.1 * one[:10, :10].mean()
        assert 0.6 < one[50:70, 70:90, 1].std() < 5  # noise
    warmth = [one[..., 0].mean() / one[..., 2].mean() for one in shown]
    assert 0.01 < np.std(warmth) < 0.06
    edge = np.zeros((200, 200, 3), np.uint8)
    edge[:, 100:] = 200
    at = [
        np.argmax(upright(phone_photograph(edge, np.random.default_rng(s), 160)).mean((0, 2)) > 100) for s in range(12)
    ]
    assert len(set(at)) > 3 and max(at) - min(at) < 12


def test_the_part_with_the_defect_is_shown(tmp_path, monkeypatch):
    def picture(product, defect, size, seed):
        image, mask = np.full((size, size, 3), 90, np.uint8), np.zeros((size, size), bool)
        if defect != "good":
            mask[:6, :] = True
            image[mask] = 250
        return image, mask

    monkeypatch.setattr(synthetic.phone, "picture", picture)
    monkeypatch.setattr(synthetic.phone, "usable_cores", lambda: 1)
    folder = phone_category(tmp_path / "phone", {"train/good": 2, "test/good": 1, "test/cut": 2}, width=160)
    table = load_table(folder.parent, folder.name)
    assert table.groupby(["split", "defect"]).size().to_dict() == {
        ("train", "good"): 2, ("test", "good"): 1, ("test", "cut"): 2
    }  # fmt: skip
    for row in table.itertuples():
        image = read_image(row.image)
        assert image.shape == (120, 160, 3) and (image[:4].mean() > 150) == row.is_defect
