"""Generated categories: the layout, the masks, the same seed the same pictures, and no shortcut to the class."""

import json
import os
import shutil

import numpy as np
import pytest
from joblib import Parallel, delayed
from PIL import Image
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from hw3lib.anomaly import NearestImages, PaDiM, PatchCore, image_metrics
from hw3lib.data import ImageStack, check_category, class_counts, load_table, read_image, read_mask
from hw3lib.data.synthetic import PRODUCTS, make, picture
from hw3lib.errors import Hw3Error

ALL = [(name, defect) for name, product in PRODUCTS.items() for defect in product.defects]


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    """Every category in the quick profile, made once for this file."""
    root = tmp_path_factory.mktemp("generated")
    for name in PRODUCTS:
        make(name, root)
    return root


@pytest.mark.parametrize("name", PRODUCTS)
def test_layout_counts_and_soundness(generated, name):
    table = load_table(generated, f"synthetic/{name}")
    counts = class_counts(table)
    assert counts.loc["good"].to_dict() == {"train": 40, "test": 18, "total": 58}
    assert set(counts.index) == {"good", *PRODUCTS[name].defects}
    assert (counts.drop(index="good")["test"] == 18).all()
    assert (table["width"] == 256).all() and (table["height"] == 256).all()
    report = check_category(table)
    assert report.ok and report.problems.empty, report.summary()
    with Image.open(table["mask"].dropna().iloc[0]) as mask:
        assert mask.mode == "L" and set(np.unique(np.asarray(mask))) == {0, 255}


def test_official_defect_types():
    assert {name: sorted(p.defects) for name, p in PRODUCTS.items()} == {
        "carpet": ["color", "cut", "hole", "metal_contamination", "thread"],
        "wood": ["color", "combined", "hole", "liquid", "scratch"],
        "bottle": ["broken_large", "broken_small", "contamination"],
        "capsule": ["crack", "faulty_imprint", "poke", "scratch", "squeeze"],
    }


@pytest.mark.parametrize(("name", "defect"), ALL)
def test_mask_is_where_the_picture_differs_from_its_good_twin(name, defect):
    """Same seed without the defect: the same picture outside the mask, another one inside, at two sizes."""
    for number in range(2):
        image, mask = picture(name, defect, 256, (9, number))
        twin, empty = picture(name, "good", 256, (9, number))
        assert not empty.any() and mask.any()
        difference = np.abs(image.astype(int) - twin).max(2)
        # The lens blurs the border of the defect by a pixel or two.
        assert difference[~ndimage.binary_dilation(mask, iterations=2)].max(initial=0) <= 6
        assert difference[mask].mean() > 1


@pytest.mark.parametrize("name", PRODUCTS)
def test_same_seed_same_picture(name):
    first, again, other = (picture(name, "good", 256, (4, n)) for n in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert np.abs(first[0].astype(int) - other[0]).mean() > 2


@pytest.mark.parametrize("name", PRODUCTS)
def test_same_product_at_every_size(name):
    """The full size shows the picture that the quick size shows, only finer."""
    defect = next(iter(PRODUCTS[name].defects))
    small, small_mask = picture(name, defect, 256, (5, 0))
    large, large_mask = picture(name, defect, 1024, (5, 0))
    reduced = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BOX), float)
    coarse = np.asarray(Image.fromarray(small).resize((64, 64), Image.Resampling.BOX), float)
    assert np.abs(reduced - coarse).mean() < 8
    assert large_mask.mean() == pytest.approx(small_mask.mean(), rel=0.5, abs=0.002)


def thumbnail_difference(name, defect, seed):
    """Largest change that the defect makes to a thumbnail of 32 pixels, in levels of 255."""
    pair = [picture(name, d, 256, seed)[0] for d in (defect, "good")]
    small = [np.asarray(Image.fromarray(p).resize((32, 32), Image.Resampling.BOX), float) for p in pair]
    return np.abs(small[0] - small[1]).max()


@pytest.mark.parametrize("name", PRODUCTS)
def test_defects_reach_from_obvious_to_barely_visible(name):
    """At 32 pixels some defects are all but lost (less than 12 levels of 255), and others stand out."""
    defects = list(PRODUCTS[name].defects)
    jobs = (delayed(thumbnail_difference)(name, defects[i % len(defects)], (6, i)) for i in range(20))
    change = np.array(Parallel(2)(jobs))
    assert 0.05 <= (change < 12).mean() <= 0.6
    assert (change > 30).mean() > 0.25


@pytest.mark.parametrize("name", ["carpet", "wood", "capsule"])
def test_detectors_of_patches_lead_that_of_whole_images_as_published(generated, name):
    """By 20 points on the real categories; CutPaste, which is trained, is in the benchmark ``painters``."""
    table = load_table(generated, f"synthetic/{name}")
    good = ImageStack.load(table[table["split"] == "train"], 160)
    test = table[table["split"] == "test"]
    images, is_defect = ImageStack.load(test, 160), test["is_defect"].to_numpy()
    auroc = {
        kind: image_metrics(
            is_defect, kind(image_size=160, device="cpu").fit(good, held_out=0).decision_function(images)
        ).auroc
        for kind in (PatchCore, PaDiM, NearestImages)
    }
    assert auroc[PatchCore] > auroc[NearestImages] + 0.02 and auroc[PaDiM] > auroc[NearestImages], auroc


# ---- No shortcut: what is not the defect does not tell the class. -----------------------------------------------


def mean_colour(row, image):
    return image.reshape(-1, 3).mean(0)


def file_size(row, image):
    return [os.path.getsize(row.image)]


def border(row, image):
    """Colours of the outermost pixels, those of the defect taken out."""
    width = len(image) // 10
    frame = np.ones(image.shape[:2], bool)
    frame[width:-width, width:-width] = False
    if isinstance(row.mask, str):
        frame &= ~ndimage.binary_dilation(read_mask(row.mask), iterations=3)
    return [*image[frame].mean(0), *image[frame].std(0)]


@pytest.mark.parametrize("shortcut", [mean_colour, file_size, border])
@pytest.mark.parametrize("name", PRODUCTS)
def test_no_shortcut_gives_the_class_away(generated, name, shortcut):
    table = load_table(generated, f"synthetic/{name}")
    table = table[table["split"] == "test"]
    labels = table["defect"].to_numpy()
    features = [shortcut(row, read_image(row.image)) for row in table.itertuples()]
    model = RandomForestClassifier(200, min_samples_leaf=2, random_state=0)
    folds = StratifiedKFold(6, shuffle=True, random_state=0)
    accuracy = (cross_val_predict(model, np.array(features), labels, cv=folds) == labels).mean()
    classes, n = len(set(labels)), len(labels)
    # Three standard deviations above guessing.
    assert accuracy < 1 / classes + 3 * np.sqrt((1 / classes) * (1 - 1 / classes) / n)


# ---- make ---------------------------------------------------------------------------------------------------------


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def tiny(monkeypatch):
    """A quick profile of a few small pictures."""
    monkeypatch.setattr(
        "hw3lib.data.synthetic.PROFILES", {"quick": {"size": 64, "train_good": 2, "test": 1}, "full": None}
    )


def test_same_seed_same_files_whatever_the_number_of_workers(tiny, tmp_path):
    first = tree(make("bottle", tmp_path / "a", workers=1))
    assert tree(make("synthetic/bottle", tmp_path / "b", workers=2)) == first
    other = tree(make("bottle", tmp_path / "c", seed=1))
    assert other.keys() == first.keys() and other["train/good/000.png"] != first["train/good/000.png"]


def test_made_once_and_again_only_when_something_changed(tiny, tmp_path):
    folder = make("bottle", tmp_path)
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    make("bottle", tmp_path)
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp
    (folder / "test/good/000.png").unlink()
    make("bottle", tmp_path)
    assert (folder / "test/good/000.png").is_file()
    make("bottle", tmp_path, seed=3)
    assert json.loads((folder / "manifest.json").read_text())["seed"] == 3


def test_a_folder_of_somebody_elses_is_not_replaced(tiny, tmp_path):
    mine = tmp_path / "synthetic/bottle/good"
    mine.mkdir(parents=True)
    (mine / "photo.png").write_bytes(b"precious")
    with pytest.raises(Hw3Error, match="in the way and was not generated"):
        make("bottle", tmp_path)
    assert (mine / "photo.png").read_bytes() == b"precious"


def test_full_disk_leaves_the_old_category(tiny, tmp_path, monkeypatch):
    before = tree(make("bottle", tmp_path, workers=1))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hw3lib.data.synthetic.Image.Image.save", full)
    with pytest.raises(Hw3Error, match="disk is full"):
        make("bottle", tmp_path, seed=1, workers=1)
    assert tree(tmp_path / "synthetic/bottle") == before
    assert [p.name for p in (tmp_path / "synthetic").iterdir()] == ["bottle"]
    shutil.rmtree(tmp_path / "synthetic")


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(Hw3Error, match="did you mean 'synthetic/carpet'"):
        make("synthetic/carpt", tmp_path)
    with pytest.raises(Hw3Error, match="profile='slow': expected one of quick, full"):
        make("bottle", tmp_path, profile="slow")
    for name in PRODUCTS:
        with pytest.raises(ValueError, match="rust"):
            picture(name, "rust", 64, (0,))
