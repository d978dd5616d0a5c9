"""hw3lib.anomaly.thresholds: ranks by hand, the guarantee by simulation, and the sentence that explains it."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom, norm

from hw3lib.anomaly.thresholds import (
    FewGoodImages,
    conformal_threshold,
    f1_best_threshold,
    p_values,
    required_good_images,
)
from hw3lib.errors import Hw3Error


@pytest.mark.parametrize(
    ("n", "rate", "rank"),
    [
        (19, 0.05, 19),  # 20 * 0.95 = 19: the highest
        (20, 0.05, 20),  # 21 * 0.95 = 19.95
        (39, 0.05, 38),  # 40 * 0.95 = 38: the second highest
        (99, 0.01, 99),
        (9, 0.3, 7),
        (24, 0.44, 14),  # 25 * 0.56 = 14 exactly; in binary floats a little more
        (124, 0.176, 103),  # 125 * 0.824 = 103, the same
    ],
)
def test_the_threshold_is_the_score_of_the_right_rank(n, rate, rank):
    scores = np.random.default_rng(0).permutation(n) + 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = conformal_threshold(scores, rate)
    assert found.value == rank and found.n == n and found.false_alarm_rate == rate
    assert found.guarantee == pytest.approx((n + 1 - rank) / (n + 1)) and found.guarantee <= rate + 1e-12


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.3, 3), (0.5, 1), (0.001, 999)])
def test_so_many_images_are_enough_and_one_fewer_is_not(rate, needed):
    assert required_good_images(rate) == needed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conformal_threshold(np.arange(float(needed)), rate)
    if needed > 1:
        with pytest.warns(FewGoodImages, match=f"{needed - 1} good images cannot keep .*; {needed} are needed"):
            conformal_threshold(np.arange(float(needed - 1)), rate)


def test_with_too_few_images_the_highest_score_is_taken_and_its_rate_told():
    with pytest.warns(FewGoodImages, match="allows 16.7 %"):
        found = conformal_threshold(np.array([3.0, 1, 4, 1, 5]), 0.01)
    assert found.value == 5 and found.guarantee == pytest.approx(1 / 6) and found.false_alarm_rate == 0.01
    assert "1 % was asked for, which needs more" in str(found) and "at most 16.7 %" in str(found)


@pytest.mark.parametrize("draw", ["normal", "pareto", "tied", "exchangeable"])
@pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (60, 0.1), (25, 0.2)])
def test_the_false_alarm_rate_is_kept_over_random_draws(draw, n, rate):
    rng, draws = np.random.default_rng(1), 1000
    size = (draws, n + 50)  # the held-out images and 50 to come
    scores = {
        "normal": lambda: rng.normal(size=size),
        "pareto": lambda: rng.pareto(0.5, size),
        "tied": lambda: rng.integers(0, 6, size).astype(float),
        # Not independent: each draw has a level and a spread of its own.
        "exchangeable": lambda: rng.normal(size=(draws, 1)) + rng.gamma(1, 1, (draws, 1)) * rng.random(size),
    }[draw]()
    alarms = np.array([(row[n:] > conformal_threshold(row[:n], rate).value).mean() for row in scores])
    guarantee = conformal_threshold(np.arange(float(n)), rate).guarantee
    margin = 4 * alarms.std() / np.sqrt(draws)
    assert guarantee <= rate and alarms.mean() <= guarantee + margin
    # Without ties the guarantee is not only kept but reached.
    assert draw == "tied" or alarms.mean() >= guarantee - margin


def test_the_likely_rate_holds_for_nine_thresholds_of_ten():
    rng, n, rate = np.random.default_rng(2), 40, 0.1
    found = [conformal_threshold(rng.random(n), rate) for _ in range(1500)]
    kept = sum(1 - threshold.value <= threshold.likely_rate for threshold in found)  # uniform: the rate is 1 - value
    low, high = binom.interval(1 - 1e-6, len(found), 0.9)
    assert low <= kept <= high
    assert found[0].likely_rate > found[0].guarantee


def test_the_likely_rate_by_hand():
    # One image, half: the threshold is that image, the rate uniform, Beta(1, 1); its 90 % quantile is 0.9.
    assert conformal_threshold(np.array([2.0]), 0.5).likely_rate == pytest.approx(0.9)
    # The highest of 19: P(rate <= r) = 1 - (1 - r)^19 = 0.9.
    assert conformal_threshold(np.arange(19.0), 0.05).likely_rate == pytest.approx(1 - 0.1 ** (1 / 19))


def test_p_values_by_hand():
    good = np.array([1.0, 2, 2, 3])
    assert p_values(good, np.array([0.0, 1, 2, 2.5, 3, 9])) == pytest.approx(np.array([5, 5, 4, 2, 2, 1]) / 5)


def test_p_values_and_threshold_decide_alike():
    rng = np.random.default_rng(3)
    for rate in (0.05, 0.1, 0.33):
        good, scores = np.round(rng.normal(size=50), 1), np.round(rng.normal(size=200), 1)
        above = scores > conformal_threshold(good, rate).value
        assert np.array_equal(above, p_values(good, scores) <= rate)


def test_float32_scores_at_the_threshold_raise_no_alarm():
    scores = np.random.default_rng(4).random(99, np.float32)
    assert (scores > conformal_threshold(scores, 0.1).value).sum() == 9


def test_the_sentence_says_what_is_promised_and_on_what_condition():
    said = str(conformal_threshold(np.arange(199.0), 0.02))
    assert said == (
        "Scores above 195 are called anomalous: set on 199 held-out good images, each photograph of another product, "
        "so that on average at most 2 % of good products raise a false alarm as long as production looks like those "
        "images; with 90 % confidence this threshold raises at most 3.33 %."
    )


def of_products(rng: np.random.Generator, draws: int, products: int, shots: int, alike: float) -> np.ndarray:
    """Scores ``(draws, products, shots)``: of shots of one product the share ``alike`` of the variance is its own."""
    own, each = rng.normal(size=(draws, products, 1)), rng.normal(size=(draws, products, shots))
    return np.sqrt(alike) * own + np.sqrt(1 - alike) * each


@pytest.mark.parametrize("alike", [0.5, 0.99])
@pytest.mark.parametrize(("products", "rate"), [(8, 0.12), (60, 0.05)])
def test_a_photograph_of_a_new_product_raises_as_few_alarms_as_promised(products, rate, alike):
    scores = of_products(np.random.default_rng(5), 1500, products + 20, 5, alike)
    held, new = scores[:, :products].reshape(1500, -1), scores[:, products:]
    groups = np.repeat(np.arange(products), 5)
    found = [conformal_threshold(row, rate, groups=groups) for row in held]
    alarms = np.array([(row > threshold.value).mean() for row, threshold in zip(new, found, strict=True)])
    margin = 4 * alarms.std() / np.sqrt(len(alarms))
    assert found[0].guarantee <= rate and found[0].n == products and found[0].photographs == 5 * products
    assert alarms.mean() <= found[0].guarantee + margin
    p = np.stack([p_values(row, one[:, 0], groups=groups) for row, one in zip(held, new, strict=True)])
    assert (p <= rate).mean() <= rate + margin
    # The bound that holds with 90 % confidence does, for thresholds whose products are not those it is measured on.
    true = np.array([norm.sf(threshold.value) for threshold in found])
    assert (true <= found[0].likely_rate).mean() >= 0.9
    if alike > 0.9:  # counted as if each photograph showed another product, the bound is broken
        wrong = [conformal_threshold(row, rate) for row in held]
        assert np.mean([norm.sf(threshold.value) <= threshold.likely_rate for threshold in wrong]) < 0.8


def test_products_count_once_by_hand():
    # Three products of one, two and four photographs; n + 1 = 4, so that a rate of 1/2 wants 2 of what they count.
    scores, groups = np.array([5.0, 1, 6, 2, 3, 4, 7]), np.array(list("abbcccc"))
    found = conformal_threshold(scores, 0.5, groups=groups)
    # 1: 1/2, 2: 3/4, 3: 1, 4: 5/4, 5: 9/4: the first that reaches 2; a quarter of c and half of b are above.
    assert found.value == 5 and found.n == 3 and found.photographs == 7
    assert found.guarantee == pytest.approx((4 - 9 / 4) / 4)
    assert p_values(scores, np.array([0, 5, 6.5]), groups=groups) == pytest.approx(np.array([4, 2.75, 1.25]) / 4)
    assert "set on 7 held-out photographs of 3 good products, so that" in str(found)


def test_products_of_one_photograph_count_as_before():
    scores = np.random.default_rng(6).normal(size=30)
    assert conformal_threshold(scores, 0.1, groups=np.arange(30)) == conformal_threshold(scores, 0.1)


def test_too_few_products_warn_and_groups_of_another_length_are_refused():
    scores = np.arange(20.0)
    with pytest.warns(FewGoodImages, match="4 good products cannot keep .*; 9 are needed"):
        assert conformal_threshold(scores, 0.1, groups=np.arange(20) // 5).guarantee == pytest.approx(1 / 5)
    with pytest.raises(Hw3Error, match=r"groups: found shape \(3,\), expected \(20,\)"):
        conformal_threshold(scores, 0.5, groups=np.arange(3))


def test_the_best_f1_says_that_it_used_test_labels():
    # Best: everything above 1.5; 2 of 2 defects and 1 of 3 good images: F1 = 4 / 5.
    y, scores = np.array([True, True, False, False, False]), np.array([5.0, 2, 3, 1, 0])
    found = f1_best_threshold(y, scores)
    assert found.uses_test_labels and found.guarantee is None and found.likely_rate is None
    assert found.value == 1.5 and found.f1 == pytest.approx(0.8) and found.false_alarm_rate == pytest.approx(1 / 3)
    assert "test labels" in str(found) and "no guarantee" in str(found) and "0.800" in str(found)
    assert not conformal_threshold(np.arange(99.0), 0.01).uses_test_labels


@pytest.mark.parametrize("rate", [0, 1, -0.1, 5, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    for call in (lambda: conformal_threshold(np.arange(9.0), rate), lambda: required_good_images(rate)):
        with pytest.raises(Hw3Error, match="false_alarm_rate"):
            call()


@pytest.mark.parametrize(
    ("scores", "words"), [([], r"shape \(0,\)"), ([[1.0]], r"shape \(1, 1\)"), ([1.0, np.nan], "1 of 2 are NaN")]
)
def test_scores_that_set_no_threshold_are_refused(scores, words):
    for call in (lambda: conformal_threshold(np.array(scores), 0.5), lambda: p_values(np.array(scores), np.ones(1))):
        with pytest.raises(Hw3Error, match=f"good_scores.*{words}"):
            call()


def test_a_p_value_of_nan_is_refused():
    with pytest.raises(Hw3Error, match="^scores: 1 of 2 are NaN"):
        p_values(np.ones(3), np.array([1.0, np.nan]))
