"""Work by threads in order: what is taken ahead, and what happens to an error."""

import pytest

from hw3lib.data.pixels.threads import in_order


def test_results_come_in_the_order_of_the_items():
    assert list(in_order(lambda x: x * x, range(100), workers=3)) == [x * x for x in range(100)]
    assert list(in_order(str, [])) == []


def test_no_more_than_a_few_items_are_taken_ahead():
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = in_order(str, items(), workers=2)
    for i in range(300):
        assert next(results) == str(i)
        assert len(taken) <= i + 1 + 4 * 2
    results.close()
    assert len(taken) <= 300 + 4 * 2


def test_an_error_is_raised_when_its_turn_comes():
    results = in_order(lambda x: 1 // x, [2, 1, 0, 1], workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
