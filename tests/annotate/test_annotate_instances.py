"""hw3lib.annotate.instances: what is one defect, where it is, and what was left out."""

import numpy as np
import pytest
from PIL import Image

from hw3lib.annotate import Instance, Instances, from_maps, from_masks
from hw3lib.annotate.instances import components, union
from hw3lib.data import load_table
from hw3lib.errors import Hw3Error

PICTURE = """
..........
.##....#..
.#.#..#...
.###......
..........
.......###
"""


def drawn(picture: str = PICTURE) -> np.ndarray:
    return np.array([[mark == "#" for mark in line] for line in picture.split()])


def test_components_touch_by_corners_and_have_tight_boxes():
    found = components([(3, "dent", drawn())])
    # By hand: the ring with its hole (8 pixels less the corner), the two pixels on a diagonal, and the bar at the edge.
    assert [i.xywh for i in found] == [(1, 1, 3, 3), (6, 1, 2, 2), (7, 5, 3, 1)]
    assert [i.area for i in found] == [7, 2, 3]
    assert found[0].xyxy == (1, 1, 4, 4) and not found[0].crop[1, 1]
    assert all(i.row == 3 and i.defect == "dent" and i.size == (6, 10) for i in found)
    assert np.array_equal(np.logical_or.reduce([i.mask for i in found]), drawn())
    assert np.array_equal(union(found), drawn())


def test_small_components_are_dropped_and_told():
    found = components([(0, "dent", drawn())], min_area=3)
    assert [i.area for i in found] == [7, 3]
    assert [(d.row, d.defect, d.area) for d in found.dropped] == [(0, "dent", 2)]
    assert "1 components below 3 pixels dropped, 2 pixels in all" in found.summary()
    assert "images are left" not in found.summary()
    nothing = components([(0, "dent", drawn())], min_area=99)
    assert len(nothing) == 0 and "1 images are left without any" in nothing.summary()


def test_a_whole_mask_is_one_instance_without_what_was_dropped():
    (found,) = components([(0, "dent", drawn())], min_area=3, whole=True)
    assert found.xyxy == (1, 1, 10, 6) and found.area == 10
    assert not found.mask[1, 7] and not found.mask[2, 6]


def test_a_crop_is_not_another_components_pixels():
    # The dot lies in the ring's box and is not part of it.
    mask = drawn("##### #...# #.#.# #...# #####".replace(" ", "\n"))
    ring, dot = components([(0, "a", mask)])
    assert ring.area == 16 and dot.xywh == (2, 2, 1, 1) and not ring.crop[2, 2]


def test_masks_of_a_table_give_the_squares_that_were_painted(category):
    table = load_table(category.parent, "widget")
    found = from_masks(table)
    assert found.classes == ["dent", "scratch"] and len(found) == 7
    for instance in found:
        with Image.open(table["mask"].iloc[instance.row]) as image:
            assert np.array_equal(np.asarray(image) > 0, instance.mask)
        assert instance.xywh[2:] == (8, 6) and instance.defect == table["defect"].iloc[instance.row]
    assert found.of(found[0].row) == [found[0]]


def test_empty_and_mismatched_masks_are_refused_by_name(category):
    table = load_table(category.parent, "widget")
    mask = next(m for m in table["mask"] if isinstance(m, str))
    Image.new("L", (40, 32)).save(mask)
    with pytest.raises(Hw3Error, match=r"000_mask.png: the mask is empty"):
        from_masks(table)
    Image.new("L", (41, 32), 255).save(mask)
    with pytest.raises(Hw3Error, match="mask is 41x32, its image is 40x32"):
        from_masks(table)


@pytest.mark.parametrize("mask", [np.zeros((4, 4)), np.ones(4), np.zeros((0, 3))])
def test_an_instance_of_nothing_is_refused(mask):
    with pytest.raises(Hw3Error, match="image 0"):
        Instance.from_mask(0, "dent", mask)


def test_a_smallest_area_below_one_pixel_is_refused():
    with pytest.raises(Hw3Error, match="min_area=0"):
        components([], min_area=0)


def test_maps_become_instances_where_they_exceed_the_threshold():
    values = np.zeros((8, 8), np.float32)
    values[2:4, 1:5] = 1
    found = from_maps(
        [values, values, values], 0.5, [(8, 8)] * 3, anomalous=[True, False, True], defect=["a", "b", "c"]
    )
    assert [(i.row, i.defect, i.xywh) for i in found] == [(0, "a", (1, 2, 4, 2)), (2, "c", (1, 2, 4, 2))]
    # At twice the size (bilinear, pixel centres) an edge from 0 to 1 is at 0.25 and 0.75: half is where it was.
    (large,) = from_maps([values], 0.5, [(16, 16)])
    assert large.xywh == (2, 4, 8, 4) and large.defect == "defect"
    assert len(from_maps([values, values], [0.5, 2.0], [(8, 8)] * 2)) == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        (([np.zeros((4, 4))], [0.5, 0.5], [(4, 4)]), "1 maps, 2 thresholds"),
        (([np.full((4, 4), np.nan)], 0.5, [(4, 4)]), "not finite"),
        (([np.zeros((4, 4))], np.inf, [(4, 4)]), "not finite"),
    ],
)
def test_maps_that_do_not_fit_are_refused(arguments, said):
    with pytest.raises(Hw3Error, match=said):
        from_maps(*arguments)


def test_instances_move_to_other_rows():
    found = components([(0, "a", drawn()), (1, "b", drawn())], min_area=3).at([5, 9])
    assert [i.row for i in found] == [5, 5, 9, 9] and [d.row for d in found.dropped] == [5, 9]
    assert isinstance(found, Instances) and found.min_area == 3
