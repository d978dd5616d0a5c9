"""Figures of photographs that are no squares show them as they are, and what was found lies on them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hw3lib.anomaly.calibration import ColourScale
from hw3lib.data import load_table
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.reading import Reading
from hw3lib.errors import Hw3Error
from hw3lib.views.plots import anomaly, dataset, explain
from hw3lib.views.plots.style import draw_image
from tests.helpers.long_photographs import make_category

FITS = ("stretch", "pad", "tile")
SCALE = ColourScale(0, 1)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def table_of(folder):
    table = load_table(folder.parent, folder.name)
    return table[table["split"] == "test"].reset_index(drop=True)


def aspects(figure) -> list[float]:
    return [axes.get_aspect() for axes in figure.axes if axes.images]


@pytest.mark.parametrize("fit", FITS)
def test_heat_maps_keep_the_photograph_s_shape(fit, tmp_path):
    table = table_of(make_category(tmp_path, fit=fit)[0])
    width, height = Geometry(100, 252, 64, fit).frame
    maps = [np.random.default_rng(row).random((height, width)).astype(np.float32) for row in range(len(table))]
    scores = np.linspace(0, 1, len(table))
    for figure in (
        anomaly.heat_maps(table, maps, SCALE, 0.5, scores),
        anomaly.most_and_least(table, maps, scores, scores, SCALE),
    ):
        assert set(aspects(figure)) == {2.52}
    assert 2.52 in aspects(anomaly.threshold_page(table, scores, 0.5, maps, SCALE))


def test_of_a_square_photograph_nothing_changes(tmp_path):
    table = table_of(make_category(tmp_path, (80, 80))[0])
    maps = np.zeros((len(table), 64, 64), np.float32)
    assert set(aspects(anomaly.heat_maps(table, maps, SCALE, 0.5))) == {1.0}


def test_maps_of_several_shapes_are_drawn_and_too_few_are_refused(tmp_path):
    table = table_of(make_category(tmp_path)[0])
    maps = [np.zeros((20 + row, 30), np.float32) for row in range(len(table))]
    assert len(anomaly.heat_maps(table, maps, SCALE, 0.5).axes)
    with pytest.raises(Hw3Error, match=f"{len(table) - 1} maps of .20, 30. for {len(table)} images"):
        anomaly.heat_maps(table, maps[:-1], SCALE, 0.5)


@pytest.mark.parametrize("fit", FITS)
def test_an_image_is_drawn_whole_with_its_mask_whatever_the_fit(fit, tmp_path):
    table = table_of(make_category(tmp_path, fit=fit)[0])
    row = table[table["is_defect"]].iloc[0]
    _, axes = plt.subplots()
    draw_image(axes, row, row["mask"])
    pixels = axes.images[0].get_array()
    assert axes.get_aspect() == 2.52 and (pixels[0] != pixels[0, 0]).any()


@pytest.mark.parametrize("fit", FITS)
def test_working_sizes_show_what_a_network_sees(fit, tmp_path):
    table = table_of(make_category(tmp_path, fit=fit)[0])
    shown = dataset.working_sizes(list(table.head(1).itertuples()), [64]).axes[0].images[0].get_array()
    assert shown.shape == (64, 64, 3)
    assert (shown[:, 0] == shown[0, 0]).all() == (fit == "pad")


def test_a_region_of_a_padded_square_lies_on_its_image(tmp_path):
    row = table_of(make_category(tmp_path, fit="pad")[0]).iloc[0]
    assert row["reading"] == Reading(fit="pad")
    geometry = Geometry(100, 252, 512, "pad")
    wanted = np.array([0.2, 0.3, 0.6, 0.5])
    box = geometry.to_square(wanted * np.array([100, 252] * 2)) / 512
    found, inside = explain._on_image(box, np.ones((32, 32), np.float32), row)
    assert np.allclose(found, wanted) and inside.shape == geometry.frame[::-1]
