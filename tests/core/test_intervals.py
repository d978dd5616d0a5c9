"""hw3lib.core.intervals: coverage by counting and by simulation, the ends of the scale, and many comparisons."""

import math

import numpy as np
import pytest
from scipy import stats

from hw3lib.core.intervals import (
    EQUIVALENT,
    MARGIN,
    NOT_ESTIMABLE,
    NOT_SIGNIFICANT,
    Design,
    Interval,
    auroc_difference,
    auroc_interval,
    corrected_interval,
    crossed_interval,
    difference_interval,
    holm,
    share_difference,
    sign_flip_p,
    wilson_interval,
)
from hw3lib.errors import Hw3Error

SIZES, TRUE = (20, 60, 200), (0.5, 0.9, 0.99)


def holds(found: Interval, true: float) -> bool:
    return found.low <= true <= found.high


def test_corrected_interval_by_hand():
    values = [0.5, 0.7, 0.6, 0.8]
    found = corrected_interval(values, n_train=80, n_test=20)
    # variance 1/60; times (1/4 + 1/4); t(0.975, 3) = 3.1824
    half = 3.182446 * np.sqrt(1 / 60 * 0.5)
    assert (found.value, found.low, found.high) == pytest.approx((0.65, 0.65 - half, 0.65 + half), abs=1e-6)


def test_corrected_interval_is_wider_than_the_naive_one():
    values = np.random.default_rng(0).normal(0.8, 0.05, 10)
    found = corrected_interval(values, 80, 20)
    naive = stats.t.interval(0.95, 9, values.mean(), values.std(ddof=1) / np.sqrt(10))
    assert found.high - found.low > 1.5 * (naive[1] - naive[0])


def test_interval_needs_two_splits():
    with pytest.raises(Hw3Error, match="at least 2"):
        corrected_interval([0.5], 80, 20)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(20, 22, 0.72, 0.97), (18, 26, 0.50, 0.83), (18, 24, 0.55, 0.88), (7, 8, 0.53, 0.98)],
)
def test_wilson_of_the_four_reports(correct, total, low, high):
    found = wilson_interval(correct, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    exact = stats.binomtest(correct, total).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_wilson_refuses_what_is_no_share():
    for correct, total in ((3, 2), (0, 0), (-1, 4)):
        with pytest.raises(Hw3Error, match="expected 0 <= correct <= total"):
            wilson_interval(correct, total)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("true", [*TRUE, 1.0])
def test_coverage_of_a_share_counted_over_all_outcomes(n, true):
    chances = stats.binom.pmf(np.arange(n + 1), n, true)
    covered = sum(p for k, p in enumerate(chances) if holds(wilson_interval(k, n), true))
    if true == 1:  # one outcome alone
        assert covered == 1 and 1 - 4 / n < wilson_interval(n, n).low < 1 - 3 / n
    else:  # 20 images at 0.99 leave 81.8 or 98.3 %, nothing between
        assert 0.93 < covered < (0.984 if (n, true) == (20, 0.99) else 0.98)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("true", [*TRUE, 1.0])
def test_coverage_of_a_share_over_repeated_splits(n, true):
    """Every image is right or wrong, whichever split it is tested in: the splits share what they share."""
    rng, covered = np.random.default_rng(n), 0
    for right in rng.random((400, n)) < true:
        splits = [rng.choice(right, n // 5, replace=False).mean() for _ in range(10)]
        found = corrected_interval(splits, n - n // 5, n // 5, kind="share")
        assert 0 <= found.low < found.high <= 1
        covered += holds(found, true)
    # Of one error in a hundred images 20 mostly show none: then the interval errs to the safe side.
    assert covered == 400 if true == 1 else 0.92 < covered / 400 < (1.0 if true == 0.99 else 0.985)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("true", TRUE)
def test_coverage_of_an_auroc(n, true):
    rng, times = np.random.default_rng(n), {20: 800, 60: 500, 200: 250}[n]
    shift = math.sqrt(2) * stats.norm.ppf(true)
    is_defect = np.arange(2 * n) < n
    found = [auroc_interval(is_defect, rng.normal(shift * is_defect, 1)) for _ in range(times)]
    assert 0.93 < np.mean([holds(one, true) for one in found]) < 0.985
    assert all(one.low < one.high for one in found)


def test_a_perfect_detector_has_an_interval():
    is_defect = np.arange(63) < 42
    found = auroc_interval(is_defect, is_defect.astype(float))
    assert found.value == found.high == 1 and 0.9 < found.low < 0.95
    assert "1.000 (0.93" in found.text() and found.sign == 1
    # Of few images less can be said, and of products with three images each no more than of a third as many.
    few = auroc_interval(is_defect[::3], is_defect[::3].astype(float))
    grouped = auroc_interval(is_defect, is_defect.astype(float), np.arange(63) // 3)
    assert few.low < found.low and grouped.low == pytest.approx(few.low)
    assert math.isnan(auroc_interval(np.ones(5, bool), np.arange(5.0)).value)


def misplaced(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """63 images, a perfect detector, and one with so many defective images among the good ones."""
    rng, is_defect = np.random.default_rng(seed), np.arange(63) < 42
    perfect = is_defect + rng.random(63) / 2
    other = perfect.copy()
    other[:number] = rng.random(number) / 2
    return is_defect, perfect, other


@pytest.mark.parametrize("seed", range(3))
def test_four_misplaced_images_are_four_throws_of_a_coin(seed):
    found = auroc_difference(*misplaced(4, seed))
    assert found.p >= 0.125 and found.low < 0 < found.high and found.verdict() == NOT_SIGNIFICANT
    assert auroc_difference(*misplaced(16, seed)).sign == 1
    y, a, b = misplaced(16, seed)
    assert auroc_difference(y, b, a).sign == -1 and auroc_difference(y, b, a).value == -auroc_difference(y, a, b).value


def test_two_detectors_that_are_alike_are_seldom_told_apart():
    rng, is_defect, found = np.random.default_rng(0), np.arange(60) < 30, []
    for _ in range(120):
        common = rng.normal(1.5 * is_defect, 1)
        a, b = (common + rng.normal(0, 0.7, 60) for _ in range(2))
        found.append(auroc_difference(is_defect, a, b))
    assert np.mean([one.p <= 0.05 for one in found]) <= 0.06
    assert 0.93 < np.mean([holds(one, 0) for one in found]) <= 0.99


def test_the_same_scores_twice_leave_an_interval():
    is_defect, scores, _ = misplaced(4, 0)
    for same in (scores, np.random.default_rng(0).random(63)):
        found = auroc_difference(is_defect, same, same)
        assert found.value == 0 and found.low < -0.02 and found.high > 0.02 and found.p == 1


def test_products_change_sign_as_a_whole():
    """Three photographs of each product say no more than one."""
    y, a, b = misplaced(7, 1)
    one = auroc_difference(y, a, b)
    three = auroc_difference(*(np.repeat(x, 3) for x in (y, a, b)), groups=np.repeat(np.arange(63), 3))
    assert three.p == pytest.approx(one.p, abs=0.01)
    assert auroc_difference(*(np.repeat(x, 3) for x in (y, a, b))).p < one.p / 5


def test_sign_flips_by_hand_and_at_random():
    assert sign_flip_p(np.array([1.0, 1, 1, 1]), 4) == 2 / 16
    assert sign_flip_p(np.array([1.0, 1, 1, -1, 0]), 2) == 10 / 16
    assert sign_flip_p(np.zeros(3), 0) == 1
    terms = np.r_[np.ones(14), -np.ones(2)]
    assert sign_flip_p(terms, 12) == pytest.approx(2 * stats.binom.cdf(2, 16, 0.5), abs=0.002)


def test_equal_splits_have_a_width_or_say_that_they_have_none():
    for values in ([1.0] * 5, [0.8] * 5, [0.0] * 5):
        found = corrected_interval(values, 80, 20, kind="share")
        assert 0 <= found.low < found.high <= 1 and found.high - found.low > 0.05
    gain = corrected_interval([0.0] * 5, 80, 20, kind="difference", counted=True)
    assert gain.low < 0 < gain.high and gain.p == 1
    # One image more in every split, of five, is no proof; a third of all images in every split is.
    for gains, sign in (([0.05] * 5, 0), ([0.05] * 4 + [0.1], 0), ([0.3] * 5, 1)):
        assert corrected_interval(gains, 80, 20, kind="difference", counted=True).sign == sign
    iou = corrected_interval([0.7] * 5, 80, 20, kind="difference")
    assert not iou.estimable and iou.verdict() == NOT_ESTIMABLE and iou.text() == "+0.700 (interval not estimable)"


def test_a_difference_of_runs_holds_at_the_end_of_the_scale():
    """Of two independent test sets, by Newcombe's method: both perfect leaves what their sizes leave."""
    a = b = wilson_interval(30, 30)
    found = difference_interval(a, b)
    assert found.value == 0 and found.low == pytest.approx(-(1 - a.low)) and found.high == pytest.approx(1 - a.low)
    assert difference_interval(a, Interval(0.5)).verdict() == NOT_ESTIMABLE
    rng, covered = np.random.default_rng(0), 0
    for x, y in zip(rng.binomial(60, 0.99, 500), rng.binomial(60, 0.9, 500), strict=True):
        covered += holds(difference_interval(wilson_interval(x, 60), wilson_interval(y, 60)), -0.09)
    assert 0.93 < covered / 500 < 0.98


def test_holm_by_hand():
    ps = [0.01, math.nan, 0.04, 0.03, 0.005]
    found = holm(Interval(0.1, p=p, kind="difference") for p in ps)
    assert [one.p for one in found] == pytest.approx([0.03, math.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert [one.verdict("helps", "hurts") for one in found[2:]] == [NOT_SIGNIFICANT, NOT_SIGNIFICANT, "helps"]


def test_the_best_of_eighteen_without_effect_is_seldom_called_significant():
    """Eighteen methods on ten independent draws, all compared with one baseline that they share."""
    rng, best_alone, best_of_all, times = np.random.default_rng(0), 0, 0, 400
    for draws in rng.normal(0, 0.02, (times, 10, 19)):
        gains = draws[:, 1:] - draws[:, :1]
        alone = [corrected_interval(gain, math.inf, 70, kind="difference") for gain in gains.T]
        best_alone += max(one.sign for one in alone)
        best_of_all += max(one.sign for one in holm(alone))
    assert best_alone / times > 0.15 and best_of_all / times < 0.05


def test_equivalence_by_hand_and_among_many():
    values = [-0.01, 0.0, 0.01, 0.02]
    found = corrected_interval(values, math.inf, 20, kind="difference")
    error = np.std(values, ddof=1) / 2
    assert found.p_equivalent == pytest.approx(stats.t.sf((0.05 - 0.005) / error, 3))
    assert found.verdict(equal=EQUIVALENT) == EQUIVALENT and found.verdict() == NOT_SIGNIFICANT
    assert holm([found] * 18)[0].verdict(equal=EQUIVALENT) == NOT_SIGNIFICANT  # eighteen times 0.003
    small = Interval(0.02, 0.01, 0.03, kind="difference", p=0.001, p_equivalent=0.001)
    assert small.verdict(equal=EQUIVALENT) == "significantly better"
    assert corrected_interval([0.06, 0.07, 0.08], math.inf, 20, kind="difference").p_equivalent == 1
    few = corrected_interval([0.0, 0.0, 0.0], math.inf, 20, kind="difference", counted=True)
    assert few.verdict(equal=EQUIVALENT) == NOT_SIGNIFICANT  # splits that agree on sixty images


def test_a_difference_that_matters_is_seldom_called_equivalent_and_none_more_often():
    rng, times = np.random.default_rng(5), 1000
    called = {}
    for true in (MARGIN, -MARGIN, 0.0):
        found = [crossed_interval(crossed(rng, 12, 16, true, 0.02), 192, kind="difference") for _ in range(times)]
        called[true] = np.mean([one.verdict("", "", EQUIVALENT) == EQUIVALENT for one in found])
    assert max(called[MARGIN], called[-MARGIN]) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / times) and called[0.0] > 0.15


def test_how_an_interval_is_said_and_stored():
    gain = Interval(0.071, 0.002, 0.139, kind="difference", p=0.04)
    assert gain.points() == "+7.1 points (+0.2 to +13.9)" and gain.verdict() == "significantly better"
    assert Interval(0.514, 0.41, 0.62, kind="share").percent() == "51 % (41 to 62)"
    assert Interval(-0.0004, -0.1, 0.1, kind="difference").text(".1f", 1) == "+0.0 (-0.1 to +0.1)"
    assert gain.columns("gain") == {"gain": 0.071, "gain_low": 0.002, "gain_high": 0.139, "gain_p": 0.04}
    assert list(Interval(0.5, 0.4, 0.6, kind="share").columns("accuracy", "ci")) == ["accuracy", "ci_low", "ci_high"]
    assert list(gain.columns("difference", "")) == ["difference", "low", "high", "p"]
    assert Interval.read(gain.columns("gain"), "gain", kind="difference") == gain
    missing = Interval.read({"gain": None}, "gain", kind="difference")
    assert missing.verdict() == "" and missing.text() == "-"
    # Without a p-value, as in older runs, the limits decide; with one, it does, for it may be that of many.
    assert Interval(0.1, 0.05, 0.2, kind="difference").sign == 1
    assert Interval(0.1, 0.05, 0.2, kind="difference", p=0.3).sign == 0


def test_the_difference_of_two_shares_of_the_same_images():
    less = np.array([True] * 10 + [False] * 10)
    right = less.copy()
    right[10:19], right[0] = True, False  # 9 won, 1 lost
    found = share_difference(right, less)
    assert (found.value, found.p) == (pytest.approx(0.4), pytest.approx(2 * 11 / 1024)) and found.sign == 1
    other = share_difference(less, right)
    assert (other.value, other.low, other.high) == pytest.approx((-0.4, -found.high, -found.low)) and other.sign == -1
    assert share_difference(less, less).p == 1 and share_difference(less, less).sign == 0
    all_right = share_difference(np.ones(20, bool), np.ones(20, bool))
    assert all_right.low < 0 < all_right.high and all_right.sign == 0
    apart = difference_interval(wilson_interval(10, 20), wilson_interval(18, 20))
    assert (found.low, found.high) == pytest.approx((apart.low, apart.high))  # these two happen not to be correlated
    right = less | (np.arange(20) < 14)
    paired, apart = share_difference(right, less), difference_interval(wilson_interval(10, 20), wilson_interval(14, 20))
    assert apart.low < paired.low < paired.value < paired.high < apart.high


def test_of_paired_shares_the_interval_holds_the_difference_and_the_test_its_level():
    rng = np.random.default_rng(0)
    held = refused = 0
    for _ in range(400):
        hard = rng.random(60)
        less, right = hard + 0.2 * rng.normal(size=60) < 0.6, hard + 0.2 * rng.normal(size=60) < 0.6
        found = share_difference(right, less)
        held, refused = held + (found.low <= 0 <= found.high), refused + (found.sign != 0)
    assert held / 400 > 0.92 and refused / 400 < 0.07


def crossed(rng: np.random.Generator, sets: int, images: int, gain: float, within: float = 0.1) -> np.ndarray:
    """Differences of accuracy of each set's models on each other set: what sets teach and images ask is random."""
    taught = gain + rng.normal(0, within, (sets, 1))  # of models, on whatever images
    asked = rng.normal(0, 0.3, (sets, images))  # of images, to whatever models
    each = rng.normal(taught[:, :, None] + asked, 0.4, (sets, sets, images)).mean(2)
    return np.where(np.eye(sets, dtype=bool), np.nan, each)


def test_the_crossed_interval_is_the_jackknife_over_sets():
    values = crossed(np.random.default_rng(0), 5, 4, 0.1)
    kept = [np.delete(np.delete(values, i, 0), i, 1) for i in range(5)]
    without = np.array([np.nanmean(part) for part in kept])
    error = math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
    found = crossed_interval(values, 20, kind="difference")
    assert found.value == pytest.approx(np.nanmean(values))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 4) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.value) / error, 4))
    with pytest.raises(Hw3Error, match="2 sets: expected at least 3"):
        crossed_interval(values[:2, :2], 8)


@pytest.mark.parametrize("sets", [6, 12])
@pytest.mark.parametrize("within", [0.0, 0.2])
def test_coverage_of_a_crossed_difference(sets, within):
    rng = np.random.default_rng(sets)
    found = [crossed_interval(crossed(rng, sets, 8, 0.05, within), 8 * sets, kind="difference") for _ in range(600)]
    assert 0.93 < np.mean([holds(one, 0.05) for one in found]) <= 0.99


@pytest.mark.parametrize("true", [*TRUE, 1.0])
def test_coverage_of_a_crossed_share(true):
    """Every image is right or wrong, whichever set was learned from: the sets that test share what they share."""
    rng, covered = np.random.default_rng(3), 0
    for right in rng.random((400, 10, 10)) < true:
        found = crossed_interval(np.tile(right.mean(1), (10, 1)), 100, kind="share")
        assert 0 <= found.low < found.high <= 1
        covered += holds(found, true)
    assert covered == 400 if true == 1 else 0.92 < covered / 400 <= 1.0


@pytest.mark.parametrize("design", [Design(57, 15, 10), Design(16, 176, 12, crossed=True)])
def test_so_many_images_as_are_said_show_a_gain_of_five_points(design):
    """Four of five experiments with as many find it, alone or among seven (the smallest p times seven)."""
    rng = np.random.default_rng(1)

    def gain(images: int) -> Interval:
        """Of methods that differ by 5 points: on splits of so many images, or on so many more sets of the same size."""
        if design.crossed:
            sets = round(images / 16)
            values = crossed(rng, sets, 16, 0.05, 0.05)
            return Design(16, 16 * sets - 16, sets, crossed=True).interval(values, kind="difference")
        each, n_test = rng.normal(0.05, 0.5, images), round(images * 0.2)
        values = np.array([rng.choice(each, n_test, replace=False).mean() for _ in range(design.n_splits)])
        return Design(images - n_test, n_test, design.n_splits).interval(values, kind="difference")

    for tests in (1, 7):
        asked = [design.images_needed(gain(design.images), tests) for _ in range(40)]
        found = [gain(round(float(np.mean(asked)))).p * tests <= 0.05 for _ in range(80)]
        assert 0.65 < np.mean(found) < 0.95
    assert math.isnan(design.images_needed(Interval(0.1, kind="difference")))
