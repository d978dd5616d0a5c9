"""Detectors of photographs that are no squares: what they say lies on the image, in its own pixels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hw3lib.anomaly import PatchCore, evaluate, robustness_table
from hw3lib.anomaly.assembly import of_images
from hw3lib.anomaly.maps import upsample
from hw3lib.anomaly.registry import load, make_detector
from hw3lib.anomaly.robustness import CONDITIONS
from hw3lib.data import ImageStack, load_table
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.reading import Reading
from hw3lib.errors import Hw3Error
from tests.helpers.long_photographs import is_on_disc, make_category, split

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")
SIZE = 64
SHAPES = {"pad": (64, 25), "tile": (161, 64), "stretch": (64, 64)}  # of the maps of images of 100x252


def read(root: Path, fit: str, size: tuple[int, int] = (100, 252)):
    folder, places = make_category(root, size, fit=fit)
    good, test = split(load_table(folder.parent, folder.name))
    stacks = [ImageStack.load(part, SIZE, tiles=True) for part in (good, test)]
    return good, test, *stacks, places


@pytest.fixture(scope="module", params=["stretch", "pad", "tile"])
def fitted(request, tmp_path_factory):
    good, test, good_images, test_images, places = read(tmp_path_factory.mktemp("plates"), request.param)
    detector = PatchCore(image_size=SIZE, smoothing=1 / SIZE, seed=0)
    done = evaluate(detector, good_images, test, test_images, held_out=0.3, false_alarm_rate=0.3)
    return request.param, done, test, test_images, places


def peaks_on_discs(maps, test: pd.DataFrame, places: dict) -> list[bool]:
    found = []
    for row, values in zip(test.itertuples(), maps, strict=True):
        if row.is_defect:
            full = upsample(values, (row.height, row.width))
            peak = np.unravel_index(full.argmax(), full.shape)
            found.append(is_on_disc(peak, places[Path(row.image).name]))
    return found


def test_the_map_of_a_defect_peaks_on_it(fitted):
    fit, done, test, _, places = fitted
    assert np.shape(done.maps) == (len(test), *SHAPES[fit])
    assert all(peaks_on_discs(done.maps, test, places))


def test_every_image_has_one_score_and_the_figures_are_of_its_pixels(fitted):
    _, done, test, _, _ = fitted
    assert done.scores.shape == (len(test),)
    assert done.metrics["image_auroc"] == 1 and done.metrics["pixel_auroc"] > 0.95 and done.metrics["aupro"] > 0.8


def test_threshold_and_peaks_are_of_images(fitted):
    _, done, _, _, _ = fitted
    detector = done.detector
    assert len(detector.good_scores_) == len(detector.good_peaks_) == 4 and detector.n_good_ == 8


def test_a_saved_detector_says_the_same(fitted, tmp_path):
    fit, done, _, test_images, _ = fitted
    done.detector.save(tmp_path / "detector")
    again = load(tmp_path / "detector")
    assert again.reading_.fit == fit
    assert np.array_equal(again.score(test_images).maps, done.maps)


def test_conditions_change_the_image_and_not_its_padding(fitted):
    _, done, _, test_images, _ = fitted
    conditions = {name: CONDITIONS[name] for name in ("as photographed", "turned by 90 degrees")}
    table = robustness_table([done], test_images, conditions=conditions)
    assert table["image_auroc"].iloc[0] == done.metrics["image_auroc"]
    assert table["false_alarm_rate"].iloc[0] == done.metrics["false_alarm_rate"]


@pytest.mark.parametrize("name", ["padim", "patchcore"])
def test_padding_raises_no_alarm(name, tmp_path, monkeypatch):
    """What lies beside an image is in no map and no score, whatever a network makes of it."""
    _, _, good_images, _, _ = read(tmp_path, "pad")
    extra = {"neighbours": 0} if name == "patchcore" else {}
    detector = make_detector(name, {"image_size": SIZE, "seed": 0, "smoothing": 0, **extra})
    detector.fit(good_images, held_out=0.3)
    found = type(detector)._score
    beside = torch.ones(SIZE)
    beside[8:56] = 0  # a patch from the image, which lies from 19 to 44

    def alarmed(self, images):
        """Every value beside the image is far above all others."""
        scores, maps = found(self, images)
        return scores, maps + 1000 * beside[4::8]

    if name == "patchcore":
        query = detector._nearest.query
        patches = beside[4::8].repeat(8).repeat(len(good_images))

        def far_beside(vectors, k, without=None):
            distance, index = query(vectors, k, without)
            return distance + 1000 * patches[: len(distance), None].view(distance.shape), index

        monkeypatch.setattr(detector._nearest, "query", far_beside)
    else:
        monkeypatch.setattr(type(detector), "_score", alarmed)
    inside = detector.score(good_images)
    assert np.shape(inside.maps) == (len(good_images), *SHAPES["pad"])
    assert inside.scores.max() < 1000
    if name != "patchcore":  # which has scores of its own
        assert np.array_equal(inside.scores, inside.maps.max((1, 2)))
        assert detector.decision_function(good_images.images).min() > 1000


def test_images_of_several_shapes_have_maps_of_several_shapes(tmp_path):
    folder, places = make_category(tmp_path, (60, 150), fit="pad", bad=3)
    other, others = make_category(tmp_path, (120, 60), fit="pad", bad=3, name="wide")
    table = pd.concat([load_table(tmp_path, "plates"), load_table(tmp_path, "wide")], ignore_index=True)
    good, test = split(table)
    detector = PatchCore(image_size=SIZE, smoothing=1 / SIZE).fit(ImageStack.load(good, SIZE), held_out=0.3)
    maps = detector.score(ImageStack.load(test, SIZE)).maps
    assert {m.shape for m in maps} == {(64, 26), (32, 64)}
    for name, known in (("plates", places), ("wide", others)):
        rows = test["image"].str.contains(f"/{name}/").to_numpy()
        assert all(peaks_on_discs([m for m, own in zip(maps, rows, strict=True) if own], test[rows], known))


def test_images_that_were_read_otherwise_are_refused(fitted):
    fit, done, test, _, _ = fitted
    other = "pad" if fit != "pad" else "stretch"
    images = ImageStack.load(test, SIZE, reading=Reading(fit=other))
    with pytest.raises(Hw3Error, match=f"fit='{fit}'.*fit='{other}'"):
        done.detector.score(images)


def test_scores_of_tiles_become_scores_of_images_whatever_the_batches():
    """The highest of an image's tiles; of None the highest of its maps, where padding does not count."""
    tall, wide = Geometry(20, 50, 8, "tile"), Geometry(50, 20, 8, "tile")
    rng = np.random.default_rng(0)
    scores, maps = rng.random(6).astype(np.float32), rng.random((6, 8, 8)).astype(np.float32)
    assert len(tall) == len(wide) == 3
    wanted = [tall.join(maps[:3]), wide.join(maps[3:])]
    for cuts in ([], [1], [3], [2, 4], [1, 2, 3, 4, 5]):
        for own in (scores, None):
            batches = zip(
                np.split(scores, cuts) if own is not None else [None] * (len(cuts) + 1),
                np.split(maps, cuts),
                strict=True,
            )
            found = list(of_images(batches, [tall, wide]))
            high = (maps.max((1, 2)) if own is None else scores).reshape(2, 3).max(1)
            assert np.array_equal(np.concatenate([s for s, _ in found]), high)
            assert all(
                np.array_equal(a, b) for a, b in zip([m for _, part in found for m in part], wanted, strict=True)
            )
    padded = Geometry(20, 50, 8, "pad")
    maps[:, :, 0] = 9
    ((score, (inside,)),) = of_images([(None, maps[:1])], [padded])
    assert score[0] == inside.max() < 9
