"""hw3lib.anomaly.metrics.metrics against thresholds tried one by one, scikit-learn, and cases computed by hand."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.peers import aupro
from hw3lib.anomaly.metrics import tally
from hw3lib.anomaly.metrics.metrics import PixelMetrics, image_metrics
from hw3lib.errors import Hw3Error


def measured(masks, maps) -> PixelMetrics:
    result = PixelMetrics()
    for mask, values in zip(masks, maps, strict=True):
        result.update(mask, values)
    return result


def f1_score(y, predicted) -> float:
    """2 TP / (2 TP + FP + FN)."""
    return 2 * (y & predicted).sum() / (y.sum() + predicted.sum())


def brute_aupro(masks, maps, limit: float) -> float:
    """Every distinct value as a threshold, every region's overlap by itself, area piece by piece."""
    regions = []
    for image, mask in enumerate(masks):
        labels, count = label(mask, np.ones((3, 3)))
        regions += [(image, labels == region) for region in range(1, count + 1)]
    curve = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        hit = maps >= threshold
        overlap = np.mean([hit[image][region].mean() for image, region in regions])
        curve.append((hit[~masks].mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in zip(curve, [*curve[1:], (1.0, 1.0)], strict=True):
        end = min(x1, limit)
        if end > x0:
            area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
    return area / limit


def made(seed: int, images: int = 4, size: int = 16, levels: int = 0):
    """Masks with several regions, one image good, and maps; ``levels`` rounds the maps so that values tie."""
    rng = np.random.default_rng(seed)
    masks = rng.random((images, size, size)) < 0.1
    masks[0] = False
    maps = (rng.normal(size=masks.shape) + masks * rng.uniform(0, 2, (images, 1, 1))).astype(np.float32)
    return masks, np.round(maps * levels).astype(np.float32) / np.float32(levels) if levels else maps


@pytest.mark.parametrize("levels", [0, 1, 3])
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_equals_all_thresholds_tried_one_by_one(levels, limit):
    masks, maps = made(1, levels=levels)
    assert measured(masks, maps).aupro(limit) == pytest.approx(brute_aupro(masks, maps, limit), abs=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 2, 20]), st.floats(0.01, 1))
def test_aupro_equals_brute_force_on_any_maps(seed, levels, limit):
    masks, maps = made(seed, images=3, size=8, levels=levels)
    if masks.any():
        assert measured(masks, maps).aupro(limit) == pytest.approx(brute_aupro(masks, maps, limit), abs=1e-9)


def test_aupro_by_hand():
    # Regions: one pixel (9) and two pixels (7, 3). Good pixels: 8, 6, 5, 4, 2 and, in the good image, 1 four times.
    # Descending: 9 -> PRO 1/2; 8 -> FPR 1/9; 7 -> PRO 3/4; 6, 5, 4 -> FPR 4/9; 3 -> PRO 1.
    masks = np.array([[[1, 0, 0, 0], [0, 0, 1, 1]], [[0, 0, 0, 0], [0, 0, 0, 0]]], bool)[:, :, :]
    maps = np.array([[[9, 8, 6, 5], [4, 2, 7, 3]], [[1, 1, 1, 1], [1, 1, 1, 1]]], np.float32)
    goods = 5 + 8
    found = measured(masks, maps)
    # FPR 0.2 lies at 2.6 good pixels of 13: 1 at PRO 1/2, then 1.6 at PRO 3/4.
    assert found.aupro(0.2) == pytest.approx((1 * 0.5 + 1.6 * 0.75) / goods / 0.2, abs=1e-12)
    # The whole range: 1 at 1/2, 3 at 3/4, 9 at 1.
    assert found.aupro(1) == pytest.approx((0.5 + 3 * 0.75 + 9) / goods, abs=1e-12)


def brute_aupimo(masks, maps, low: float, high: float) -> list[float]:
    """Every distinct value as a threshold, each image's own rate and overlap, area piece by piece over log rates."""
    good = ~masks.any((1, 2))
    cuts = np.unique(maps)[::-1]
    rates = np.array([np.mean([(image >= cut).mean() for image in maps[good]]) for cut in cuts])
    found = []
    for mask, values in zip(masks[~good], maps[~good], strict=True):
        overlaps = np.array([(values[mask] >= cut).mean() for cut in cuts])
        none = overlaps[rates == 0].max(initial=0)  # as long as no good pixel passes
        x, y = np.log(rates[rates > 0]), overlaps[rates > 0]
        x, y = np.concatenate([[-99, x[0]], x]), np.concatenate([[none, none], y])
        ends = np.log([low, high])
        inside = (x > ends[0]) & (x < ends[1])
        # At a limit, which may be a step: what is reached just above the lower one and just below the upper one.
        edges = [
            np.interp(end, x[keep], y[keep]) if end not in x else y[x == end][which]
            for end, which, keep in ((ends[0], -1, x > -np.inf), (ends[1], 0, x > -np.inf))
        ]
        x, y = np.concatenate([ends[:1], x[inside], ends[1:]]), np.concatenate([edges[:1], y[inside], edges[1:]])
        found.append(np.trapezoid(y, x) / np.log(high / low))
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 2, 20]), st.floats(1e-3, 0.3), st.floats(1.5, 300))
def test_aupimo_equals_all_thresholds_tried_one_by_one(seed, levels, low, times):
    masks, maps = made(seed, images=4, size=8, levels=levels)
    masks[1] = False
    if masks.any():
        high = min(low * times, 1)
        assert measured(masks, maps).aupimo(low, high) == pytest.approx(brute_aupimo(masks, maps, low, high), abs=1e-9)


def test_aupimo_by_hand():
    # Good images: 8, 6 and six lower values of 8 pixels. Defects: (9, 7) in the second image, (5, 1) in the third.
    masks = np.array([[[0, 0, 0, 0]], [[0, 0, 0, 0]], [[1, 1, 0, 0]], [[0, 1, 0, 1]]], bool)
    maps = np.array([[[8, 6, 2, 2]], [[2, 2, 2, 2]], [[9, 7, 99, 99]], [[0, 5, 0, 1]]], np.float32)
    found = measured(masks, maps)
    # Rates 1/16 to 1/4 are two octaves. Below 1/8 no good pixel passes: only 9 does. From 1/8 on 9 and 7 do; 5 does
    # from 1/4 on, outside. High values on good pixels of defective images are no one's concern.
    assert found.aupimo(1 / 16, 1 / 4).tolist() == pytest.approx([(0.5 + 1) / 2, 0])
    # To 1/2 one octave more, in which 5 passes; then the other good pixels would, all with 2.
    assert found.aupimo(1 / 16, 1 / 2).tolist() == pytest.approx([(0.5 + 1 + 1) / 3, 0.5 / 3 * (1)])


def test_aupimo_is_of_the_image_and_not_of_its_regions():
    # Regions of one and of three pixels, of which the large one is found.
    mask = np.array([[1, 0, 1, 1, 1]], bool)
    values = np.array([[0, 0, 9, 9, 9]], np.float32)
    found = measured([mask, np.zeros_like(mask)], [values, np.ones_like(values)])
    assert found.aupimo().tolist() == [0.75]
    assert [own.tolist() for own in found.region_overlaps()] == [[0, 1]]
    assert found.aupro() == 0.5


def test_tied_pixels_pass_together():
    # One value for all: the curve is the diagonal, whose area up to 0.3 is 0.3^2 / 2.
    mask = np.eye(4, dtype=bool)
    constant = measured([mask], [np.ones((4, 4), np.float32)])
    assert constant.aupro(0.3) == pytest.approx(0.3 / 2, abs=1e-12)
    assert constant.auroc() == 0.5
    # 2 on the defect and on 3 of 12 good pixels, 1 elsewhere: a slanted line to (1/4, 1), then flat.
    values = np.where(mask, 2, 1).astype(np.float32)
    values[0, 1:] = 2
    assert measured([mask], [values]).aupro(0.5) == pytest.approx((0.25 / 2 + 0.25) / 0.5, abs=1e-12)


def test_regions_touch_over_corners():
    # The diagonal is one region of 3 pixels, the pixel apart another: 9 found alone is PRO 1/6, not 1/4 or 1/3.
    mask = np.zeros((5, 5), bool)
    mask[[0, 1, 2, 4], [0, 1, 2, 4]] = True
    values = np.zeros((5, 5), np.float32)
    values[0, 0] = 9
    # Then everything ties at 0: from (0, 1/6) straight to (1, 1).
    assert measured([mask], [values]).aupro(1) == pytest.approx((1 / 6 + 1) / 2, abs=1e-12)


def test_regions_of_one_image_do_not_touch_those_of_the_next():
    mask = np.zeros((2, 6), bool)
    mask[:, :3] = True
    maps = np.zeros((2, 2, 6), np.float32)
    maps[0][mask] = 1
    # One of two regions is found at no false alarm, the other ties with all good pixels.
    assert measured([mask, mask], maps).aupro(1) == pytest.approx((0.5 + 1) / 2, abs=1e-12)


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("shift", [0.0, -50.0, 3e4])
def test_pixel_auroc_and_average_precision_equal_scikit_learn(levels, shift):
    masks, maps = made(3, levels=levels)
    maps += np.float32(shift)
    found, y, scores = measured(masks, maps), masks.ravel(), maps.ravel()
    assert found.auroc() == pytest.approx(roc_auc_score(y, scores), abs=1e-12)
    assert found.average_precision() == pytest.approx(average_precision_score(y, scores), abs=1e-12)


@pytest.mark.parametrize("levels", [0, 2])
def test_the_best_f1_of_pixels_is_reached_above_its_threshold_and_nowhere_surpassed(levels):
    masks, maps = made(4, levels=levels)
    f1, threshold = measured(masks, maps).f1_max()
    y, scores = masks.ravel(), maps.ravel()
    assert f1 == pytest.approx(f1_score(y, scores > threshold), abs=1e-12)
    assert f1 == pytest.approx(max(f1_score(y, scores >= cut) for cut in np.unique(scores)), abs=1e-12)


def test_minus_zero_ties_with_zero():
    mask = np.array([[True, False]])
    assert measured([mask], [np.array([[-0.0, 0.0]], np.float32)]).auroc() == 0.5
    assert measured([mask], [np.array([[0.0, -0.0]], np.float32)]).auroc() == 0.5


def test_neighbouring_floats_are_distinguished_over_the_whole_range():
    for value in (-3e38, -1.0, -1e-45, 0.0, 1e-38, 0.1, 65535.996, 3e38):
        value = np.float32(value)
        pair = np.array([[np.nextafter(value, np.float32(np.inf)), value]], np.float32)
        assert measured([np.array([[True, False]])], [pair]).auroc() == 1, value
        assert measured([np.array([[False, True]])], [pair]).auroc() == 0, value


@pytest.mark.parametrize(
    "limits, counters",
    [
        ({}, set()),
        ({"_CHUNKS": 3}, {np.dtype(np.uint32)}),
        ({"KEPT": 450}, {np.dtype(np.uint32)}),
        ({"KEPT": 450, "MOST": 700}, {np.dtype(np.int64)}),
        ({"_THREADS": 1}, set()),
    ],
    ids=["all kept", "few chunks", "counters", "long counters", "one thread"],
)
def test_nothing_changes_where_pixels_are_counted_in_parts_and_counters_grow(limits, counters, monkeypatch):
    masks, maps = made(5, levels=20)
    whole = measured(masks, maps)
    monkeypatch.setattr(tally, "_CHUNK", 100)  # less than an image, no divisor of it
    for name, limit in limits.items():
        monkeypatch.setattr(tally, name, limit)
    parts = measured(masks, maps)
    for name in ("auroc", "average_precision", "aupro", "f1_max"):
        assert getattr(parts, name)() == getattr(whole, name)()
    assert parts.aupimo(0.01, 0.5).tolist() == whole.aupimo(0.01, 0.5).tolist()
    assert {counts.dtype for counts in parts._others._pages.values()} == counters


def test_an_answer_after_every_image_takes_no_memory_for_nothing():
    found = measured(*made(5))
    kept = len(found._others._starts)
    for _ in range(3):
        found.auroc()
        found._steps = None
    assert kept == 0 and len(found._others._starts) == 1


def test_images_may_differ_in_size_and_come_after_a_first_answer():
    masks, maps = made(6)
    other_mask, other_map = np.tile([True, False], (10, 1)), np.full((10, 2), 0.1, np.float32)
    found = measured(masks, maps)
    before = found.auroc()
    found.update(other_mask, other_map)
    y = np.concatenate([masks.ravel(), other_mask.ravel()])
    scores = np.concatenate([maps.ravel(), other_map.ravel()])
    assert found.auroc() == pytest.approx(roc_auc_score(y, scores), abs=1e-12) and found.auroc() != before


def test_maps_and_masks_are_left_as_they_were():
    masks, maps = made(7)
    kept = maps.copy(), masks.copy()
    measured(masks, maps).aupro()
    assert np.array_equal(kept[0], maps) and np.array_equal(kept[1], masks)


GOOD, DEFECT = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
MAP = np.arange(16, dtype=np.float32).reshape(4, 4)


@pytest.mark.parametrize(
    ("mask", "values", "words"),
    [
        (DEFECT, np.where(DEFECT, np.nan, MAP).astype(np.float32), "4 of 16 pixels are NaN"),
        (DEFECT, np.where(DEFECT, np.inf, MAP).astype(np.float32), "4 of 16 pixels are NaN"),
        (DEFECT, np.where(DEFECT, -np.inf, MAP).astype(np.float32), "4 of 16 pixels are NaN"),
        (DEFECT, MAP[:2], r"anomaly_map \(2, 4\) and mask \(4, 4\) differ"),
        (DEFECT, MAP.astype(float), "found float64, expected float32"),
        (DEFECT.astype(np.uint8), MAP, "found uint8"),
        (DEFECT[0], MAP[0], r"found bool \(4,\)"),
        (np.zeros((0, 4), bool), MAP[:0], r"found bool \(0, 4\)"),
    ],
)
def test_a_wrong_image_is_refused_and_named(mask, values, words):
    found = PixelMetrics()
    found.update(GOOD, MAP)
    with pytest.raises(Hw3Error, match=f"image 1.*{words}"):
        found.update(mask, values)


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([], "0 images with 0 defective and 0 good pixels"),
        ([GOOD], "1 images with 0 defective and 16 good pixels"),
        ([~GOOD, ~GOOD], "2 images with 32 defective and 0 good pixels"),
    ],
)
@pytest.mark.parametrize("name", ["auroc", "average_precision", "f1_max", "aupro", "aupimo"])
def test_pixels_of_one_kind_only_are_refused(masks, words, name):
    with pytest.raises(Hw3Error, match=words):
        getattr(measured(masks, [MAP] * len(masks)), name)()


def test_aupimo_without_a_good_image_or_with_no_rates_is_refused():
    with pytest.raises(Hw3Error, match="2 images, none of them good"):
        measured([DEFECT, DEFECT], [MAP, MAP]).aupimo()
    for low, high in ((0, 1), (0.1, 0.1), (0.1, 1.1)):
        with pytest.raises(Hw3Error, match=f"low={low}, high={high}: expected rates"):
            measured([GOOD, DEFECT], [MAP, MAP]).aupimo(low, high)


@pytest.mark.parametrize("limit", [0, -0.1, 1.1])
def test_a_limit_that_is_no_rate_is_refused(limit):
    with pytest.raises(Hw3Error, match="limit="):
        measured([DEFECT], [MAP]).aupro(limit)


def test_image_metrics_by_hand():
    # Defective: 4, 3, 1; good: 2, 0. Pairs won: 2 + 2 + 1 of 6.
    # AP: the first two at precision 1, the third at 3/4. F1 at > 2.5: 2 * 2 / (2 + 3) = 0.8; at > 0.5: 6 / 7.
    found = image_metrics(np.array([True, True, False, True, False]), np.array([4.0, 3, 2, 1, 0]))
    assert found.auroc == pytest.approx(5 / 6)
    assert found.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found.f1_max == pytest.approx(6 / 7)
    assert found.threshold_at_f1_max == 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e6])
def test_predictions_above_the_threshold_reach_the_best_f1(dtype, scale):
    rng = np.random.default_rng(0)
    for _ in range(20):
        y = rng.random(30) < 0.4
        scores = (np.round(rng.normal(size=30) + y, 1) * scale).astype(dtype)
        found = image_metrics(y, scores)
        assert f1_score(y, scores > found.threshold_at_f1_max) == pytest.approx(found.f1_max)
        assert found.f1_max == pytest.approx(max(f1_score(y, scores >= cut) for cut in scores))


def test_scores_that_differ_by_one_rounding_step_are_distinguished():
    low = np.float32(0.1)
    scores = np.array([low, np.nextafter(low, np.float32(1))])
    found = image_metrics(np.array([False, True]), scores)
    assert found.f1_max == 1 and (scores > found.threshold_at_f1_max).tolist() == [False, True]


def test_where_all_images_are_best_called_anomalous_the_threshold_is_below_all():
    scores = np.array([1.0, 1.0, 1.0], np.float32)
    found = image_metrics(np.array([True, True, False]), scores)
    assert found.f1_max == pytest.approx(0.8) and (scores > found.threshold_at_f1_max).all()


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([True, True], [1.0, 2.0], "2 defective and 0 good"),
        ([False, False], [1.0, 2.0], "0 defective and 2 good"),
        ([True, False], [1.0, np.nan], "1 of 2 are NaN"),
        ([True, False], [1.0, 2.0, 3.0], "one score for each"),
        ([1, 0], [1.0, 2.0], "is_defect: int64"),
        ([], [], "is_defect"),
    ],
)
def test_scores_without_an_answer_are_refused(labels, scores, words):
    with pytest.raises(Hw3Error, match=words):
        image_metrics(np.array(labels), np.array(scores))


def test_the_benchmark_runs_small_and_without_the_peer(make_category, tmp_path, capsys):
    make_category(tmp_path / "widget", {"train/good": 1, "test/good": 2, "test/dent": 3})
    aupro.main("widget", str(tmp_path), images=7, size=700, repeats=1, peer=False)
    out = capsys.readouterr().out
    assert "7 maps of 700x700" in out and re.search(r"^  ours +\d+\.\d\d .* 0\.\d{8}$", out, re.M)
    assert float(re.search(r"^  ours +\S+ +\S+ +\(.*\) +(\d+) ", out, re.M)[1]) > 10  # MB: it did count
    apart = re.search(r"ours 0\.\d+, (\S+) from all thresholds", out)
    assert apart and float(apart[1]) < 1e-6
