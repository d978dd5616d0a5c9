"""A simulated line: who comes along it, in which light, and what is known before."""

import numpy as np
import pytest
from PIL import Image

from hw3lib.data import load_table, production_line, read_image, synthetic
from hw3lib.data.synthetic import make
from hw3lib.data.synthetic.line import aged, retaken
from hw3lib.errors import Hw3Error


@pytest.fixture
def bottle(monkeypatch, tmp_path):
    """The table of a generated bottle, of small pictures that are painted at once: no two alike."""

    def picture(product, defect, size, seed):
        rng = np.random.default_rng(seed)
        return rng.integers(0, 256, (size, size, 3), np.uint8), np.full((size, size), defect != "good")

    monkeypatch.setattr(synthetic, "PROFILES", {"quick": {"size": 16, "train_good": 3, "test": 4}, "full": None})
    monkeypatch.setattr(synthetic, "picture", picture)
    monkeypatch.setattr(synthetic, "usable_cores", lambda: 1)
    make("bottle", tmp_path)
    return load_table(tmp_path, "synthetic/bottle")


def pictures(files):
    return {read_image(file).tobytes() for file in files}


def test_products_of_a_generated_line_are_new_and_the_unseen_type_is_not_known(bottle, tmp_path):
    line = production_line(bottle, tmp_path / "run", length=60, ages_from=60, defects=0.5, seed=1)
    shown = line.photographs
    assert line.unseen == "contamination" and set(shown["defect"]) == {"good", *bottle["defect"]}
    assert len(pictures(shown["file"])) == 60 and not pictures(shown["file"]) & pictures(bottle["image"])
    assert (shown["is_defect"] == (shown["defect"] != "good")).all() and 15 < shown["is_defect"].sum() < 45
    known = load_table(line.known.parent, line.known.name)
    assert set(known["defect"]) == {"good", "broken_large", "broken_small"}
    assert known.groupby(["split", "defect"]).size().to_dict() == {
        ("train", "good"): 3, ("test", "good"): 4, ("test", "broken_large"): 4, ("test", "broken_small"): 4,
    }  # fmt: skip
    again = production_line(bottle, tmp_path / "other", length=60, ages_from=60, defects=0.5, seed=1)
    assert again.photographs["defect"].tolist() == shown["defect"].tolist()
    assert [read_image(f).tobytes() for f in again.photographs["file"]] == [
        read_image(f).tobytes() for f in shown["file"]
    ]
    other = production_line(
        bottle, tmp_path / "third", length=60, ages_from=60, defects=0.5, seed=2, unseen="broken_small"
    )
    assert other.unseen == "broken_small" and not pictures(other.photographs["file"]) & pictures(shown["file"])


def test_the_lamp_loses_light_evenly_and_blue_first(bottle, tmp_path):
    new, old = (
        production_line(bottle, tmp_path / str(dimmest), length=10, ages_from=6, dimmest=dimmest, defects=0)
        for dimmest in (1.0, 0.6)
    )
    np.testing.assert_allclose(old.photographs["light"], [1, 1, 1, 1, 1, 1, 0.9, 0.8, 0.7, 0.6])
    assert (new.photographs["light"] == 1).all() and not old.photographs["is_defect"].any()
    before, after = ([read_image(f).astype(float).mean((0, 1)) for f in one.photographs["file"]] for one in (new, old))
    for at, (one, other) in enumerate(zip(before, after, strict=True)):
        assert (one == other).all() if at < 6 else (other < one).all() and other[2] / one[2] < other[0] / one[0]
    red = after[9][0] / before[9][0]
    assert red == pytest.approx(0.6 ** (1 / 2.2), abs=0.01)  # as the gamma of a camera shows 60 % of the light


def test_a_lamp_and_a_camera_change_pixels_as_they_are_said_to():
    grey = np.full((8, 8, 3), 200, np.uint8)
    assert (aged(grey, 1.0) == grey).all() and aged(grey, 0.5)[0, 0].tolist() == [146, 141, 129]
    picture = np.random.default_rng(0).integers(60, 180, (32, 32, 3), np.uint8)
    made = [retaken(picture, np.random.default_rng(seed)).astype(float) for seed in range(40)]
    assert all(one.shape == picture.shape for one in made)
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]

    def apart(one, by):
        return abs(np.roll(picture, by, (0, 1))[4:-4, 4:-4] - one[4:-4, 4:-4]).mean()

    shifts = {min(moves, key=lambda by: apart(one, by)) for one in made}
    assert len(shifts) > 10  # of 25
    assert 0.005 < np.std([one.mean() / picture.mean() for one in made]) < 0.02


def test_a_real_line_takes_half_of_the_defects_and_whole_products(tmp_path, make_category):
    make_category(tmp_path / "bolts", {"train/good": 4, "test/good": 3, "test/bent": 6, "test/cut": 5, "test/rust": 1})
    table = load_table(tmp_path, "bolts")
    table["group"] = [f"p{number // 2}" for number in range(len(table))]
    line = production_line(table, tmp_path / "run", length=80, ages_from=40, defects=0.6, unseen="cut")
    known = load_table(line.known.parent, line.known.name)
    counts = known["defect"].value_counts()
    assert counts["good"] == 7 and counts["rust"] == 1 and "cut" not in counts and 3 <= counts["bent"] <= 4
    shown = set(line.photographs["defect"])
    assert shown == {"good", "bent", "cut"}  # the only rust is known
    assert known.groupby("group").ngroups < len(known)
    assert len(pictures(line.photographs["file"])) == 80  # the same ones, but taken again


def test_without_defects_the_line_is_good_and_large_photographs_come_smaller(tmp_path):
    for number, split in enumerate(["train"] * 4 + ["test"]):
        (tmp_path / "bolts" / split / "good").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2048, 1000), (9 * number, 80, 90)).save(tmp_path / f"bolts/{split}/good/{number}.png")
    line = production_line(load_table(tmp_path, "bolts"), tmp_path / "run", length=4, ages_from=2)
    assert line.unseen is None and not line.photographs["is_defect"].any()
    assert read_image(line.photographs["file"][0]).shape == (500, 1024, 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ages_from": 11}, "ages_from=11"),
        ({"dimmest": 0.0}, "dimmest=0"),
        ({"defects": 1.0}, "defects=1"),
        ({"unseen": "rust"}, "no type of defect; there are broken_large, broken_small, contamination"),
    ],
)
def test_a_wrong_value_is_named(bottle, tmp_path, values, said):
    with pytest.raises(Hw3Error, match=said):
        production_line(bottle, tmp_path / "run", **{"length": 10, "ages_from": 5, **values})


def test_without_a_good_test_image_there_is_no_line(bottle, tmp_path):
    with pytest.raises(Hw3Error, match="0 good test images"):
        production_line(bottle[bottle["is_defect"]], tmp_path / "run")
