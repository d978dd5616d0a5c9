"""Checks of chapter 3: weights, logit adjustment, the leak, costs, copy-paste."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import CheckFailed, call, check, compare, short


def _scaled(weights: np.ndarray) -> np.ndarray:
    return weights / weights.mean()


@check
def class_balanced_weights(rng: np.random.Generator, function: Any) -> str:
    """Weights by the effective number of images, with the mean 1 (Cui et al. 2019, arXiv 1901.05555, equation 4)."""
    cases = []
    for beta in rng.uniform(0.8, 0.999, 5).round(3):
        counts = np.sort(rng.permutation(np.arange(1, 200))[: rng.integers(2, 6)])[::-1].copy()
        cases.append((f"counts {counts.tolist()}, beta={beta}", (counts, float(beta))))
    compare(
        function,
        cases,
        lambda n, beta: _scaled(1 / (1 - beta**n)),
        "the effective number of n images is (1 - beta^n) / (1 - beta); a weight is one over it",
        [
            (lambda n, beta: (1 - beta) / (1 - beta**n), "right before scaling: bring their mean to 1"),
            (lambda n, beta: _scaled(1 / (1 - beta**n)) / len(n), "their sum is 1; it is their mean that should be"),
            (lambda n, beta: (1 - beta**n) / (1 - beta), "these are the effective numbers; a weight is one over it"),
            (
                lambda n, beta: _scaled(1 - beta**n),
                "these favour the head: the weight is one over the effective number",
            ),
            (
                lambda n, beta: _scaled(1 / n),
                "that is inverse frequency, as for beta towards 1; images overlap: count the effective number",
            ),
            (lambda n, beta: _scaled(n), "these favour the head, by frequency"),
            (lambda n, beta: np.ones(len(n)), "all weights are alike, whatever the counts"),
            (
                lambda n, beta: _scaled(1 / np.sqrt(n)),
                "that is one over the root of the count; it does not ask for beta",
            ),
            (lambda n, beta: _scaled(1 / (1 - beta ** (n - 1))), "the power is n, not n - 1"),
            (lambda n, beta: _scaled(1 / (1 - beta * n)), "beta to the power of n (**), not times n"),
            (lambda n, beta: _scaled(1 / (1 + beta**n)), "the sign: 1 minus beta^n"),
            (lambda n, beta: (w := 1 / (1 - beta**n)) / w.max(), "their largest is 1; it is their mean that should be"),
            (
                lambda n, beta: (w := 1 / (1 - beta**n)) / w.min(),
                "their smallest is 1; it is their mean that should be",
            ),
        ],
        what="the weights",
    )
    return "beta = 0 weighs all classes alike, beta towards 1 by inverse frequency"


def _centred(logits: np.ndarray, *_: Any) -> np.ndarray:
    """A constant for all classes of an image changes no decision."""
    return logits - logits.mean(1, keepdims=True)


@check
def logit_adjustment(rng: np.random.Generator, function: Any) -> str:
    """Logits after the training prior is taken out (Menon et al. 2021, arXiv 2007.07314, section 4.1)."""
    cases = []
    for _ in range(5):
        counts = rng.permutation(np.arange(2, 120))[: rng.integers(3, 7)]
        logits = rng.normal(size=(int(rng.integers(3, 6)), len(counts)))
        cases.append((f"logits of {len(logits)} images, training counts {counts.tolist()}", (logits, counts)))
    power = "logits are logarithms of probabilities: what divides there is a difference here"
    compare(
        function,
        cases,
        lambda logits, n: logits - np.log(n / n.sum()),
        "what a class gains from being frequent is the logarithm of its share",
        [
            (lambda logits, n: logits + np.log(n), "this rewards the head once more: the sign is the other one"),
            (lambda logits, n: logits / (n / n.sum()), power),
            (lambda logits, n: logits - n / n.sum(), f"the share was subtracted, not its logarithm; {power}"),
            (lambda logits, n: logits * (n / n.sum()), power),
            (lambda logits, n: logits / n, power),
            (lambda logits, n: logits, "nothing has changed"),
            (lambda logits, n: logits - n, "the counts were subtracted, not the logarithm of the share"),
            (lambda logits, n: logits - np.log2(n), "the natural logarithm: the softmax has the base e"),
            (lambda logits, n: logits - np.log10(n), "the natural logarithm: the softmax has the base e"),
            (lambda logits, n: logits - np.log1p(n), "take the counts as they are: log(n), not log(n + 1)"),
            (lambda logits, n: logits - 1 / n, "one over the count is not the logarithm of the share"),
            (lambda logits, n: np.exp(logits) / n, "these are probabilities (up to a factor); return logits"),
            (lambda logits, n: logits - 2 * np.log(n), "the prior is in them once, and it was taken out twice"),
            (lambda logits, n: logits / np.log(n), power),
        ],
        what="the logits, less the mean of each image",
        judged=_centred,
    )
    return "the decision changes, the network does not"


@check
def oversample_after_split(rng: np.random.Generator, function: Any) -> str:
    """``f(X, y, train, test, oversample) -> X_train, y_train, X_test, y_test``; only training rows are multiplied."""
    for _ in range(3):
        sizes = rng.permutation([15, 9, 6]) + 3 * int(rng.integers(0, 3))
        y = rng.permutation(np.repeat(["good", "dent", "hole"], sizes))
        x = rng.normal(size=(len(y), int(rng.integers(2, 6))))
        by_class = [rng.permutation(np.flatnonzero(y == name)) for name in np.unique(y)]
        test = rng.permutation(np.concatenate([rows[: len(rows) // 3] for rows in by_class]))  # as unbalanced as all
        train = rng.permutation(np.setdiff1d(np.arange(len(y)), test))
        _judge_parts(function, x, y, train, test, f"{len(train)} training and {len(test)} test rows")
    return "split first, oversample afterwards"


def _judge_parts(function: Any, x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, given: str) -> None:
    seen: list[set[tuple]] = []
    made: list[list[tuple]] = []

    def oversample(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Repeat the rows of each class until all are as large as the largest."""
        rows, labels = np.asarray(rows), np.asarray(labels)
        if rows.ndim != 2 or len(rows) != len(labels):
            raise CheckFailed(
                f"{given}: oversample was given {rows.shape} and {labels.shape}; expected rows and labels"
            )
        seen.append(set(map(tuple, rows)))
        size = max(np.unique(labels, return_counts=True)[1])
        take = np.concatenate([np.resize(np.flatnonzero(labels == name), size) for name in np.unique(labels)])
        made.append(_rows(rows[take], labels[take]))
        return rows[take], labels[take]

    value = call(function, x, y, train, test, oversample, given=given)
    if not isinstance(value, tuple | list) or len(value) != 4:
        raise CheckFailed(f"{given}: expected X_train, y_train, X_test, y_test")
    x_train, y_train, x_test, y_test = map(np.asarray, value)
    if len(x_train) != len(y_train) or len(x_test) != len(y_test):
        raise CheckFailed(
            f"{given}: {len(x_train)} and {len(x_test)} rows have {len(y_train)} and {len(y_test)} labels"
        )
    questions = set(map(tuple, x[test]))
    if copies := sum(tuple(row) in questions for row in x_train):
        raise CheckFailed(
            f"{given}: {copies} rows to train on are copies of test rows; whoever has seen the question knows the "
            "answer. What may the oversampler be given?"
        )
    if len(x_test) > len(test) and set(map(tuple, x_test)) == questions:
        raise CheckFailed(f"{given}: the test part was oversampled too, to {len(x_test)} rows; it stays as it is")
    if sorted(map(tuple, x_test)) != sorted(map(tuple, x[test])):
        raise CheckFailed(f"{given}: the test part is not the {len(test)} test rows; it stays as it is")
    if _rows(x_test, y_test) != _rows(x[test], y[test]):
        raise CheckFailed(f"{given}: y_test does not belong to X_test; take both by the same rows")
    if not seen:
        raise CheckFailed(f"{given}: nothing was oversampled; the training part is to be balanced by oversample(X, y)")
    if any(rows & questions for rows in seen):
        raise CheckFailed(
            f"{given}: oversample was given test rows; one that blends rows would carry them into training"
        )
    if _rows(x_train, y_train) not in made:
        raise CheckFailed(f"{given}: what is trained on is not what oversample gave for the training rows")
    if seen[made.index(_rows(x_train, y_train))] != set(map(tuple, x[train])):
        raise CheckFailed(f"{given}: not all of the training rows were given to oversample")


def _rows(x: np.ndarray, y: np.ndarray) -> list[tuple]:
    return sorted((*row, str(label)) for row, label in zip(x.tolist(), y.tolist(), strict=True))


def _cost(threshold: Any, scores: np.ndarray, defect: np.ndarray, miss: float, alarm: float, rate: float) -> float:
    """Mean cost of a product at a threshold, where the share ``rate`` of all products is defective."""
    stopped = scores >= threshold
    return float(rate * miss * (~stopped)[defect].mean() + (1 - rate) * alarm * stopped[~defect].mean())


def _cheapest(cost: Any) -> Any:
    """A threshold among the scores and infinity, by a cost of it and the arguments."""

    def threshold(scores: np.ndarray, *arguments: Any) -> float:
        return min([*np.unique(scores), np.inf], key=lambda t: cost(t, scores, *arguments))

    return threshold


@check
def cheapest_threshold(rng: np.random.Generator, function: Any) -> str:
    """The threshold with the lowest mean cost of a product (Elkan 2001, IJCAI, section 1).

    Args:
        function: ``f(scores, is_defect, miss, alarm, defect_rate) -> threshold``; from it on a product is stopped. Of
            several that cost the same each is right.
    """
    cases = []
    for miss, alarm, rate in rng.permutation(
        [(400, 2, 0.02), (50, 5, 0.1), (3, 8, 0.02), (60, 9, 0.1), (6, 4, 0.1), (5, 5, 0.25), (4, 3, 0.5), (2, 3, 0.3)]
    ).tolist():
        good, bad = map(int, rng.permutation(rng.integers((20, 45), (30, 60))))
        # Close to each other where they are low: thresholds at equal distances leave some out.
        scores = np.exp(2.5 * np.concatenate([rng.normal(0, 1, good), rng.normal(1.6, 1.2, bad)]).round(3))
        order = rng.permutation(good + bad)
        given = f"a miss costs {miss:g}, a false alarm {alarm:g}, {rate:.0%} of the products are defective"
        cases.append((given, (scores[order], (np.arange(good + bad) >= good)[order], miss, alarm, rate)))

    def counted(t: float, s: np.ndarray, d: np.ndarray, miss: float, alarm: float, rate: float) -> float:
        return miss * (s[d] < t).sum() + alarm * (s[~d] >= t).sum()

    def f1(t: float, s: np.ndarray, d: np.ndarray, *_: float) -> float:
        return -2 * ((s >= t) & d).sum() / max((s >= t).sum() + d.sum(), 1)

    compare(
        function,
        cases,
        _cheapest(_cost),
        "for each threshold: the share of defects missed, times what a miss costs and how many products are "
        "defective, plus the same of false alarms; no alarm at all (infinity) is a choice, too",
        [
            (lambda s, d, *_: s[d].min(), "that misses nothing, whatever an alarm costs"),
            (lambda s, d, *_: s.max(), "that is the highest score, whatever a miss costs"),
            (
                _cheapest(counted),
                "that counts these images, and there are far more defects among them than on the line: use defect_rate",
            ),
            (
                _cheapest(lambda t, s, d, miss, alarm, rate: _cost(t, s, d, miss, alarm, 0.5)),
                "that is for a line on which every second product is defective: use defect_rate",
            ),
            (
                _cheapest(lambda t, s, d, miss, alarm, rate: _cost(t, s, d, miss, alarm, 1 - rate)),
                "good and defective products are exchanged: defect_rate is the share of defective ones",
            ),
            (
                _cheapest(lambda t, s, d, miss, alarm, rate: _cost(t, s, d, alarm, miss, rate)),
                "the two costs are exchanged",
            ),
            (
                _cheapest(lambda t, s, d, *_: _cost(t, s, d, 1, 1, 0.5)),
                "the best balanced accuracy knows no costs",
            ),
            (
                _cheapest(lambda t, s, d, *_: ((s >= t) != d).mean()),
                "that counts mistakes alike; they cost differently",
            ),
            (
                _cheapest(lambda t, s, d, m, a, rate: _cost(t, s, d, 1, 1, rate)),
                "that counts mistakes on the line alike; they cost differently",
            ),
            (_cheapest(f1), "that is the best F1, which knows no costs"),
            (
                _cheapest(lambda *a: -_cost(*a)),
                "that is the dearest one",
            ),
            (lambda s, d, *_: np.inf, "that never stops a product; it pays only where misses are cheap"),
            (lambda s, d, *_: 0.5, "that is 0.5, whatever the scores are"),
            (lambda s, d, *_: (s[d].mean() + s[~d].mean()) / 2, "that is half-way between the means, at no cost"),
            (
                lambda s, d, miss, alarm, rate: alarm / (alarm + miss),
                "that is for calibrated probabilities; these are scores: try each of them",
            ),
            (
                lambda *a: _cost(_cheapest(_cost)(*a), *a),
                "that is the lowest cost; which threshold has it?",
            ),
        ],
        what="the cost of a product",
        judged=_cost,
    )
    return "the same detector, another threshold: what is best depends on what mistakes cost, and how rare defects are"


def _places(mask: np.ndarray, allowed: np.ndarray) -> list[tuple[int, int]]:
    """Shifts by which a mask lies wholly where it is allowed."""
    rows, columns = mask.nonzero()
    found = []
    for down in range(-rows.min(), mask.shape[0] - rows.max()):
        for right in range(-columns.min(), mask.shape[1] - columns.max()):
            if allowed[rows + down, columns + right].all():
                found.append((int(down), int(right)))
    return found


@check
def copy_paste(rng: np.random.Generator, function: Any) -> str:
    """A defect cut out along its mask, and put somewhere on the product of a good image (arXiv 2012.07177).

    Args:
        function: ``f(image, mask, good, product, rng) -> new image, new mask``.
    """
    height, width = map(int, rng.integers(15, 19, 2))
    image, good = (rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(2))
    mask, product = np.zeros((height, width), bool), np.zeros((height, width), bool)
    top, left = int(rng.integers(5, 9)), int(rng.integers(6, 9))
    mask[top : top + 3, left : left + 4] = rng.random((3, 4)) < 0.6
    mask[top, left] = mask[top + 2, left + 3] = True
    mask[top, left + 3] = False
    product[:4, :5] = product[-3:, -5:] = True  # four places, and two
    product[-2:, :5] = product[:4, -3:] = True  # too narrow, unless a shift goes over the edge
    given = f"a defect of {mask.sum()} pixels and a product of {product.sum()}"
    fits = _places(mask, product)
    used = []
    seeds = rng.integers(1 << 30, size=60).tolist()
    for seed in [*seeds, *seeds[:9]]:
        made = call(function, image, mask, good, product, np.random.default_rng(seed), given=given)
        used.append(_judge_paste(made, image, mask, good, product, given))
    if used[60:] != used[:9]:
        raise CheckFailed(f"{given}: one state of rng gives two places; draw by the rng that is given")
    if len(set(used)) < len(fits):
        raise CheckFailed(
            f"{given}: {len(set(used))} places in {len(used)} calls, and there are {len(fits)}; a network would "
            "learn the place by heart: draw it among all that are allowed"
        )
    return "a real defect, a real product; that defects occur there and look like this is an assumption of yours"


def _judge_paste(
    value: Any, image: np.ndarray, mask: np.ndarray, good: np.ndarray, product: np.ndarray, given: str
) -> tuple[int, int]:
    """By how much the defect was moved, after all was seen to."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise CheckFailed(f"{given}: expected a new image and its mask, found {short(value)}")
    made, where = (np.asarray(part) for part in value)
    if made.shape != image.shape or where.shape != mask.shape:
        raise CheckFailed(
            f"{given}: expected an image {image.shape} and a mask {mask.shape}, found {made.shape} and {where.shape}"
        )
    if made.dtype != np.uint8 or where.dtype != bool:
        raise CheckFailed(f"{given}: expected uint8 and bool, found {made.dtype} and {where.dtype}")
    if not where.any():
        raise CheckFailed(f"{given}: the new mask is empty; it says where the defect is now")
    if (where == mask).all():
        raise CheckFailed(f"{given}: the defect lies where it was, beside the product; move it, and its mask with it")
    rows, columns = mask.nonzero()
    shift = int(where.nonzero()[0].min() - rows.min()), int(where.nonzero()[1].min() - columns.min())
    if where.sum() != mask.sum() or not where[rows + shift[0], columns + shift[1]].all():
        raise CheckFailed(f"{given}: the new mask has another shape than the old one; it is to be moved as it is")
    if not product[where].all():
        raise CheckFailed(
            f"{given}: {int((~product)[where].sum())} pixels of the defect hang in the air; all of it is to lie on the "
            "product (a defect beside it is none)"
        )
    if (made[~where] != good[~where]).any():
        changed = int((made != good).any(-1)[~where].sum())
        raise CheckFailed(
            f"{given}: {changed} pixels outside the new mask are not those of the good image; cut along the mask, "
            "not along its box, and leave the rest alone"
        )
    if (made[rows + shift[0], columns + shift[1]] != image[rows, columns]).any():
        raise CheckFailed(f"{given}: the pixels under the new mask are not those of the defect, each in its place")
    return shift
