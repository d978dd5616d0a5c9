"""How well scores and anomaly maps find defects, equal to the official evaluation to the last tie.

:class:`PixelMetrics` counts every float32 value instead of sorting all pixels, see :mod:`.tally`. Nothing is rounded,
and memory is two bytes a pixel and ends at four bytes for each float32 in the range of the maps (at most 34 MB for each
doubling of the score, of good and of defective images) and eight for each defective pixel, however many images come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from hw3lib.errors import Hw3Error

from .tally import Tally, keys_of, values_of

_EIGHT = np.ones((3, 3), bool)


class ImageMetrics(NamedTuple):
    """How well image scores separate defective from good images.

    Attributes:
        auroc: area under the ROC curve, 0 to 1.
        average_precision: sum of precision times the recall gained over all thresholds, 0 to 1.
        f1_max: the highest F1 of the defective class over all thresholds, 0 to 1.
        threshold_at_f1_max: where it is reached by ``score > threshold``; the highest such one, half-way to the next
            lower score. It uses the labels of the images it is measured on.
    """

    auroc: float
    average_precision: float
    f1_max: float
    threshold_at_f1_max: float


class BestF1(NamedTuple):
    """The highest F1 over all thresholds, and the threshold: ``value > threshold`` reaches it."""

    f1: float
    threshold: float


def image_metrics(is_defect: np.ndarray, scores: np.ndarray) -> ImageMetrics:
    """AUROC, average precision and best F1 of image scores (scikit-learn's).

    Args:
        is_defect: bool ``(N,)``.
        scores: float ``(N,)``, higher is more anomalous.

    Raises:
        Hw3Error: lengths differ, a score is NaN or infinite, or only good or only defective images.

    Example:
        >>> import numpy as np
        >>> metrics = image_metrics(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.3, 0.9]))
        >>> metrics.auroc, metrics.f1_max
        (0.75, 0.8)
    """
    is_defect, scores = check_scores(is_defect, scores)
    precision, recall, cuts = precision_recall_curve(is_defect, scores)
    f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], 1e-300)
    best = int(np.flatnonzero(f1 >= f1.max() * (1 - 1e-12))[-1])
    return ImageMetrics(
        float(roc_auc_score(is_defect, scores)),
        float(average_precision_score(is_defect, scores)),
        float(f1[best]),
        _just_below(cuts[best], scores),
    )


def check_scores(is_defect: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as bool and scores as floats, both ``(N,)``, or ``Hw3Error`` as :func:`image_metrics` says."""
    is_defect, scores = np.asarray(is_defect), np.asarray(scores)
    if is_defect.dtype != bool or is_defect.ndim != 1 or is_defect.shape != scores.shape:
        raise Hw3Error(
            f"is_defect: {is_defect.dtype} {is_defect.shape} and scores: {scores.shape}; "
            "expected bool (N,) and one score for each"
        )
    scores = scores if np.issubdtype(scores.dtype, np.floating) else scores.astype(float)
    if bad := int((~np.isfinite(scores)).sum()):
        raise Hw3Error(f"scores: {bad} of {len(scores)} are NaN or infinite; expected numbers")
    defective = int(is_defect.sum())
    if defective in (0, len(is_defect)):
        raise Hw3Error(
            f"is_defect: {defective} defective and {len(is_defect) - defective} good images; expected both, "
            "a ranking needs both"
        )
    return is_defect, scores


def _just_below(cut: float, scores: np.ndarray) -> float:
    """A threshold for ``score > threshold`` that holds exactly the scores from ``cut`` up, in the scores' precision."""
    cut = scores.dtype.type(cut)
    lower = scores[scores < cut]
    if not len(lower):
        return float(np.nextafter(cut, -np.inf, dtype=scores.dtype))
    lower = lower.max()
    middle = lower + (cut - lower) / 2
    return float(middle if middle < cut else lower)


class PixelMetrics:
    """Pixel AUROC, average precision, best F1, AUPRO and AUPIMO over images that come one at a time, exact, with ties.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((4, 4), bool)
        >>> mask[1:3, 1:3] = True
        >>> metrics = PixelMetrics()
        >>> metrics.update(mask, mask.astype(np.float32))
        >>> metrics.auroc()
        1.0
    """

    def __init__(self) -> None:
        self.images = 0
        self._good, self._others = Tally(), Tally()  # pixels of good and of defective images
        self._defects: list[np.ndarray] = []
        self._sizes: list[np.ndarray] = []  # of the regions of each defective image, in pixels
        self._regions = 0
        self._steps: _Steps | None = None

    def update(self, mask: np.ndarray, anomaly_map: np.ndarray) -> None:
        """Count one image.

        Args:
            mask: bool ``(H, W)`` at full resolution, True on the defect; all False for a good image.
            anomaly_map: float32 (or float16) ``(H, W)``, higher is more anomalous, any finite range.

        Raises:
            Hw3Error: another dtype or shape, an empty image, NaN or infinity.
        """
        mask, anomaly_map = np.asarray(mask), np.asarray(anomaly_map)
        name = f"image {self.images}"
        if mask.dtype != bool or mask.ndim != 2 or not mask.size:
            raise Hw3Error(f"{name}, mask: found {mask.dtype} {mask.shape}, expected bool (H, W) with H, W > 0")
        if anomaly_map.dtype not in (np.float16, np.float32):
            raise Hw3Error(
                f"{name}, anomaly_map: found {anomaly_map.dtype}, expected float32 (rounding it here could make ties; "
                "use .astype(np.float32) if that is meant)"
            )
        if anomaly_map.shape != mask.shape:
            raise Hw3Error(
                f"{name}: anomaly_map {anomaly_map.shape} and mask {mask.shape} differ; bring the map to the mask's "
                "size with hw3lib.anomaly.maps.upsample"
            )
        values = np.ascontiguousarray(anomaly_map, np.float32)
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            bad = int((~np.isfinite(values)).sum())
            raise Hw3Error(f"{name}, anomaly_map: {bad} of {values.size} pixels are NaN or infinite; expected numbers")
        self._steps = None
        self.images += 1
        lines = np.flatnonzero(mask.any(1))
        (self._others if len(lines) else self._good).add(values.ravel())
        if len(lines):
            columns = np.flatnonzero(mask.any(0))
            box = slice(lines[0], lines[-1] + 1), slice(columns[0], columns[-1] + 1)
            inside = mask[box]
            labels, count = label(inside, _EIGHT)
            labels = labels[inside] - 1
            # Value and region in one integer, so that one plain sort brings both into order.
            keys = keys_of(values[box][inside]).astype(np.uint64)
            self._defects.append(keys << np.uint64(32) | (labels + self._regions).astype(np.uint64))
            self._sizes.append(np.bincount(labels))
            self._regions += count

    def auroc(self) -> float:
        """Probability that a defective pixel scores higher than a good one, ties counted half, 0 to 1."""
        steps = self._count()
        below = steps.goods - steps.good_above - steps.good_equal
        return float(steps.defect @ (below + steps.good_equal / 2) / (steps.defect.sum() * steps.goods))

    def average_precision(self) -> float:
        """Average precision over all pixels, 0 to 1, as scikit-learn defines it."""
        steps = self._count()
        found = np.cumsum(steps.defect)
        precision = found / (found + steps.good_above + steps.good_equal)
        return float(steps.defect @ precision / found[-1])

    def f1_max(self) -> BestF1:
        """The highest F1 of defective pixels over all thresholds; the highest threshold if several reach it."""
        steps = self._count()
        found = np.cumsum(steps.defect)
        f1 = 2 * found / (found + steps.good_above + steps.good_equal + found[-1])
        best = int(f1.argmax())
        return BestF1(float(f1[best]), float(np.nextafter(steps.value[best], np.float32(-np.inf))))

    def aupro(self, limit: float = 0.3) -> float:
        """Area under the per-region overlap curve up to a false-positive rate, divided by it: 0 to 1.

        Per-region overlap is the share of a defect region that scores at or above a threshold, averaged over the
        regions of all images (8-connected components); the false-positive rate is that of the good pixels of all
        images, good images included (Bergmann et al., "Uninformed Students", CVPR 2020, arXiv 1911.02357;
        details as in the official evaluation of MVTec AD: tied pixels pass together, linear interpolation at the
        limit).

        Raises:
            Hw3Error: ``limit`` not above 0 and up to 1; no defective or no good pixel.
        """
        return float(np.concatenate(self.region_overlaps(limit)).mean())

    def region_overlaps(self, limit: float = 0.3) -> list[np.ndarray]:
        """The same area under the overlap curve of each region by itself, float64, one array a defective image.

        Raises:
            Hw3Error: as :meth:`aupro`, which is their mean.
        """
        if not 0 < limit <= 1:
            raise Hw3Error(f"limit={limit}: expected a false-positive rate above 0 and up to 1")
        steps = self._count()
        start, end = steps.good_above / steps.goods, (steps.good_above + steps.good_equal) / steps.goods
        sums = self._sums(_heights(start, end, 0, limit))
        return [own / sizes for own, sizes in zip(sums, self._sizes, strict=True)]

    def aupimo(self, low: float = 1e-5, high: float = 1e-4) -> np.ndarray:
        """AUPIMO of each defective image, 0 to 1, float64 ``(defective images,)``: what it shows at next to no alarm.

        That is the share of its defective pixels that score at or above a threshold, averaged over the thresholds at
        which the good images' pixels pass at a rate of ``low`` to ``high``, evenly in the rate's logarithm (Bertoldo
        et al. 2024, arXiv 2401.01984; the figure of a detector is the mean). Tied pixels pass together. A
        rate below that of a single pixel of all good images counts as none. Good images of several sizes are taken
        together, pixel by pixel; the paper knows one size.

        Raises:
            Hw3Error: not ``0 < low < high <= 1``; no defective or no good image.
        """
        if not 0 < low < high <= 1:
            raise Hw3Error(f"low={low}, high={high}: expected rates, 0 < low < high <= 1")
        steps, total = self._count(), self._good.total
        if not total:
            raise Hw3Error(f"{self.images} images, none of them good: expected one at least, AUPIMO's rate is theirs")
        tops = int(np.searchsorted(steps.above_in_good, high * total))  # no lower value counts
        start, end = steps.above_in_good[:tops], steps.above_in_good[:tops] + steps.equal_in_good[:tops]
        end = np.log(np.maximum(end / total, low))
        start = np.where(start > 0, np.log(np.maximum(start, 1) / total), end)
        heights = np.zeros(len(steps.value))
        heights[:tops] = _heights(start, end, np.log(low), np.log(high))
        return np.array([own.sum() / sizes.sum() for own, sizes in zip(self._sums(heights), self._sizes, strict=True)])

    def _sums(self, heights: np.ndarray) -> list[np.ndarray]:
        """Sums over the pixels of each region of the heights of their values, one array a defective image."""
        sums = _by_region(self._count().pixels, heights[::-1], self._regions)
        return np.split(sums, np.cumsum([len(sizes) for sizes in self._sizes])[:-1])

    def _count(self) -> _Steps:
        if self._steps is None:
            defective, total = sum(map(len, self._defects)), self._good.total + self._others.total
            if not 0 < defective < total:
                raise Hw3Error(
                    f"{self.images} images with {defective} defective and {total - defective} good pixels: expected at "
                    "least one of each; update() takes good and anomalous images with their masks"
                )
            pixels = np.concatenate(self._defects)
            pixels.sort()
            keys, defect = _distinct(pixels)
            good_images = self._good.above_and_equal(keys)
            above, equal = (a + b for a, b in zip(good_images, self._others.above_and_equal(keys), strict=True))
            columns = values_of(keys), defect, above - (defective - defect.cumsum()), equal - defect, *good_images
            self._steps = _Steps(pixels, total - defective, *(column[::-1] for column in columns))
        return self._steps


def _heights(start: np.ndarray, end: np.ndarray, low: float, high: float) -> np.ndarray:
    """Mean height between ``low`` and ``high`` of curves that rise from 0 at ``start`` in a line to 1 at ``end``.

    A value of defective pixels raises a curve over the rates of the good pixels that tie with it, or all at once.
    """
    rise = np.maximum(end - start, 1e-300)
    areas = [
        np.where(limit < end, np.maximum(limit - start, 0) ** 2 / (2 * rise), limit - (start + end) / 2)
        for limit in (low, high)
    ]
    return (areas[1] - areas[0]) / (high - low)


@njit(cache=True)
def _by_region(pixels: np.ndarray, heights: np.ndarray, regions: int) -> np.ndarray:
    """Sums over the pixels of each region of the heights of distinct values, ascending: float64 ``(regions,)``."""
    sums, last = np.zeros(regions), -1
    before = np.uint64(0)
    for pixel in pixels:
        key = pixel >> np.uint64(32)
        if last < 0 or key != before:
            last += 1
            before = key
        sums[pixel & np.uint64(0xFFFFFFFF)] += heights[last]
    return sums


@njit(cache=True)
def _distinct(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys of defective pixels, ascending, and their numbers of pixels.

    Args:
        pixels: uint64 ``(n,)``, ascending: the key of the value in the upper half, the region in the lower.
    """
    keys, defect = np.empty(len(pixels), np.uint32), np.zeros(len(pixels), np.int64)
    last = -1
    for pixel in pixels:
        key = np.uint32(pixel >> np.uint64(32))
        if last < 0 or keys[last] != key:
            last += 1
            keys[last] = key
        defect[last] += 1
    return keys[: last + 1], defect[: last + 1]


class _Steps(NamedTuple):
    """Every distinct value of the defective pixels, descending, ``(K,)`` each but the first two.

    Attributes:
        pixels: all defective pixels, see :func:`_distinct`.
        goods: good pixels in all.
        value: float32.
        defect: defective pixels of that value.
        good_above, good_equal: good pixels of a higher value, and of that value.
        above_in_good, equal_in_good: those of good images alone.
    """

    pixels: np.ndarray
    goods: int
    value: np.ndarray
    defect: np.ndarray
    good_above: np.ndarray
    good_equal: np.ndarray
    above_in_good: np.ndarray
    equal_in_good: np.ndarray
