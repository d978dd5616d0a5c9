"""Words of generated sentences."""

import pytest

from hw3lib.core.text import counted, did_you_mean, short_paths


@pytest.mark.parametrize(
    "number, what, words",
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "defect class", "2 defect classes"),
        (1, "class", "1 class"),
    ],
)
def test_one_is_singular_and_all_else_plural(number, what, words):
    assert counted(number, what) == words


def test_the_nearest_names_are_offered():
    known = {"bottle": 1, "battle": 2, "carpet": 3}
    assert did_you_mean("botle", known) == "; did you mean 'bottle'?"
    assert did_you_mean("bottle2", known, 2, str) == "; did you mean bottle or battle?"
    assert did_you_mean("zebra", known) == did_you_mean(None, known) == did_you_mean("x", []) == ""


def test_many_paths_are_shown_by_the_ends_of_the_first():
    assert short_paths(["/a/dent/1.png"]) == "dent/1.png" and short_paths([]) == ""
    assert short_paths((f"/a/dent/{n}.png" for n in range(5)), 2) == "dent/0.png, dent/1.png and 3 more"
