"""hw3lib.networks.schedules: where the rate begins, where it is highest and where it ends, by hand."""

import math

import pytest

from hw3lib.networks.schedules import tenth_then_cosine, warm_up_then_cosine


def test_the_rate_rises_in_a_line_and_falls_as_half_a_cosine():
    shares = [warm_up_then_cosine(step, 8, 4) for step in range(10)]
    assert shares[:5] == [0.25, 0.5, 0.75, 1, 1] and shares[6] == pytest.approx(0.5)
    assert shares[5] == pytest.approx((1 + 0.5**0.5) / 2) and shares[8] == shares[9] == 0


@pytest.mark.parametrize("steps", [1, 9, 20, 137])
def test_a_tenth_of_the_steps_warms_up(steps):
    shares = [tenth_then_cosine(step, steps) for step in range(steps + 1)]
    assert shares == pytest.approx([warm_up_then_cosine(s, steps, max(1, steps // 10)) for s in range(steps + 1)])
    assert max(shares) == 1 == shares[max(1, steps // 10) - 1]


def test_the_order_of_the_operations_is_that_of_published_figures():
    assert tenth_then_cosine(12, 15) == 0.5 * (1 + math.cos(math.pi * 11 / 14))
    assert warm_up_then_cosine(12, 15, 1) == 0.5 * (1 + math.cos(math.pi * (11 / 14)))
