"""Words of generated sentences."""

import pytest

from hw3lib.core.text import counted


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
