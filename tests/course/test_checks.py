"""Each check takes a right answer, and distinguishes the usual mistakes without giving the answer away."""

import numpy as np
import pandas as pd
import pytest

from hw3lib.course import checks
from hw3lib.course.checks import CheckFailed


def unanswered(*_):
    raise NotImplementedError("a hint")


def wilson(correct, n, z=1.96):
    p = correct / n
    centre = (p + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
    return centre - half, centre + half


def wald(correct, n):
    p = correct / n
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return p - half, p + half


def runs(mask, order="F"):
    values, counts, expected = mask.ravel(order=order), [], False
    place = 0
    while place < len(values):
        length = 0
        while place < len(values) and values[place] == expected:
            place, length = place + 1, length + 1
        counts.append(length)
        expected = not expected
    return counts


def greedy(vectors, size):
    kept = [0]
    while len(kept) < size:
        distance = np.linalg.norm(vectors[:, None] - vectors[kept][None], axis=-1).min(1)
        kept.append(int(distance.argmax()))
    return kept


def threshold(scores, rate):
    rank = int(np.ceil(round((1 - rate) * (len(scores) + 1), 9)))
    return sorted(scores)[rank - 1] if rank <= len(scores) else float("inf")


def box(mask):
    rows, columns = np.nonzero(mask)
    return columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1


def counted(labels):
    return pd.Series(labels).value_counts()


def balanced(counts, beta):
    weights = 1 / (1 - beta**counts)
    return weights / weights.mean()


def head(model, num_classes):
    from torch import nn

    model.requires_grad_(False)
    model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, num_classes)
    return model


def frozen_head(model, num_classes):
    return head(model, num_classes).requires_grad_(False)


def everything_learns(model, num_classes):
    return head(model, num_classes).requires_grad_(True)


def no_new_head(model, num_classes):
    return model.requires_grad_(False)


def split(table, seed):
    train = table.groupby("defect").sample(frac=0.5, random_state=seed)
    return train, table.drop(train.index)


def leaky(table, seed):
    return table.sample(frac=0.5, random_state=seed), table.sample(frac=0.5, random_state=seed + 1)


def unstratified(table, seed):
    return table.iloc[: len(table) // 2], table.iloc[len(table) // 2 :]


def losing(table, seed):
    train, test = split(table, seed)
    return train, test.iloc[1:]


def prepare(x, y, train, test, oversample):
    return *oversample(x[train], y[train]), x[test], y[test]


def early(x, y, train, test, oversample):
    x, y = oversample(x, y)
    return x[train], y[train], x[test], y[test]


def copies(x, y, train, test, oversample):
    return *oversample(x, y), x[test], y[test]


def untouched(x, y, train, test, oversample):
    return x[train], y[train], x[test], y[test]


RIGHT = [
    (checks.imbalance_ratio, lambda labels: counted(labels).max() / counted(labels).min()),
    (checks.fair_split, split),
    (checks.wilson, wilson),
    (checks.exchange_head, head),
    (checks.best_epoch, lambda h: h["epoch"][h["val_loss"].idxmin()]),
    (checks.smote_point, lambda x, z, u: (1 - u) * x + u * z),
    (checks.class_balanced_weights, balanced),
    (checks.logit_adjustment, lambda logits, counts: logits - np.log(counts)),
    (checks.oversample_after_split, prepare),
    (checks.greedy_coreset, greedy),
    (checks.conformal_threshold, threshold),
    (checks.p_value, lambda s, good: (1 + sum(g >= s for g in good)) / (len(good) + 1)),
    (checks.run_lengths, runs),
    (checks.mask_iou, lambda a, b: (a & b).sum() / (a | b).sum()),
    (checks.voc_box, box),
    (checks.intervals_agree, lambda a, b, c, d: max(a, c) <= min(b, d)),
    (checks.honest_summary, np.mean),
]

WRONG = [
    (checks.imbalance_ratio, lambda labels: counted(labels).min() / counted(labels).max(), "upside down"),
    (checks.imbalance_ratio, lambda labels: counted(labels).max() / counted(labels).mean(), "mean class"),
    (checks.imbalance_ratio, lambda labels: counted(labels).max() / len(labels), "share of the largest"),
    (checks.imbalance_ratio, lambda labels: "many", "expected one number, found 'many'"),
    (checks.imbalance_ratio, lambda labels: None, "is there a return statement"),
    (checks.imbalance_ratio, lambda labels: 1 / 0, "raised ZeroDivisionError"),
    (checks.imbalance_ratio, 3.0, "expected your function, found 3.0"),
    (checks.fair_split, leaky, "in both parts"),
    (checks.fair_split, unstratified, "split each class"),
    (checks.fair_split, losing, "in neither part"),
    (checks.wilson, wald, "which nobody believes"),
    (checks.wilson, lambda k, n: (0.0, 1.0), "centre first"),
    (checks.exchange_head, frozen_head, "nothing learns any more"),
    (checks.exchange_head, everything_learns, "other tensors learn too"),
    (checks.exchange_head, no_new_head, "expected (2, 3)"),
    (checks.best_epoch, lambda h: h["epoch"][h["test_accuracy"].idxmax()], "changes when only test_accuracy"),
    (checks.best_epoch, lambda h: h["epoch"][h["train_loss"].idxmin()], "only ever falls"),
    (checks.best_epoch, lambda h: h["val_loss"].idxmin(), "count from 1"),
    (checks.smote_point, lambda x, z, u: u * x + (1 - u) * z, "exchanged"),
    (checks.smote_point, lambda x, z, u: x + u * z, "part of the way"),
    (checks.class_balanced_weights, lambda n, beta: (1 - beta) / (1 - beta**n), "mean to 1"),
    (checks.class_balanced_weights, lambda n, beta: (1 - beta**n) / (1 - beta**n).mean(), "favour the head"),
    (checks.class_balanced_weights, lambda n, beta: (1 / n) / (1 / n).mean(), "inverse frequency"),
    (checks.logit_adjustment, lambda logits, counts: logits + np.log(counts), "sign is the other one"),
    (checks.logit_adjustment, lambda logits, counts: logits / (counts / counts.sum()), "difference here"),
    (checks.oversample_after_split, early, "copies of test rows"),
    (checks.oversample_after_split, copies, "copies of test rows"),
    (checks.oversample_after_split, untouched, "nothing was oversampled"),
    (checks.greedy_coreset, lambda v, k: [0] * k, "kept twice"),
    (checks.greedy_coreset, lambda v, k: [1, *[i for i in range(80) if i != 1][: k - 1]], "expected row 0"),
    (checks.greedy_coreset, lambda v, k: [0, *np.argsort(-np.linalg.norm(v - v[0], axis=1))[: k - 1]], "nearest kept"),
    (checks.conformal_threshold, lambda s, rate: np.quantile(s, 1 - rate), "neither interpolate nor round down"),
    (checks.conformal_threshold, lambda s, rate: max(s) + 1, "misses more defects"),
    (checks.conformal_threshold, lambda s, rate: np.nan_to_num(threshold(s, rate), posinf=max(s)), "infinity"),
    (checks.p_value, lambda s, good: (good > s).mean(), "never happens"),
    (checks.p_value, lambda s, good: ((good > s).sum() + 1) / 10, "same score is as high"),
    (checks.p_value, lambda s, good: ((good <= s).sum() + 1) / 10, "other tail"),
    (checks.run_lengths, lambda m: runs(m, "C"), "down the columns"),
    (checks.run_lengths, lambda m: [v for v in runs(m) if v], "counts zeros"),
    (checks.run_lengths, lambda m: runs(m)[:-1], "they add up to"),
    (checks.mask_iou, lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum()), "Dice"),
    (checks.mask_iou, lambda a, b: (a == b).mean(), "neither"),
    (checks.mask_iou, lambda a, b: (a & b).sum() / max(a.sum(), 1), "one of the two masks"),
    (checks.voc_box, lambda m: np.array(box(m)) - 1, "Pascal VOC's is 1"),
    (checks.voc_box, lambda m: np.array(box(m))[[1, 0, 3, 2]], "exchanged"),
    (checks.voc_box, lambda m: np.array(box(m)) + [0, 0, 1, 1], "last pixel"),
    (checks.voc_box, lambda m: np.array(box(m)) - [1, 1, 0, 0], "very first pixel"),
    (checks.intervals_agree, lambda a, b, c, d: a <= c <= b, "one inside the other"),
    (checks.intervals_agree, lambda a, b, c, d: True, "gap"),
    (checks.honest_summary, np.max, "best split"),
    (checks.honest_summary, np.median, "median"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT, ids=lambda value: getattr(value, "__name__", "answer"))
def test_a_right_answer_passes_with_one_line(check, answer, capsys):
    check(answer)
    out = capsys.readouterr().out
    assert out.startswith("correct: ") and out.count("\n") == 1


@pytest.mark.parametrize(("check", "answer", "hint"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_a_usual_mistake_is_recognised(check, answer, hint, capsys):
    with pytest.raises(CheckFailed) as caught:
        check(answer)
    assert hint in str(caught.value)
    assert "correct" not in capsys.readouterr().out


@pytest.mark.parametrize("check", [check for check, _ in RIGHT], ids=lambda check: check.__name__)
def test_no_answer_stays_not_implemented(check):
    with pytest.raises(NotImplementedError, match="a hint"):
        check(unanswered)


def test_a_failed_check_is_shown_without_a_traceback():
    assert CheckFailed("so and so")._render_traceback_() == ["not yet: so and so"]


def test_the_farthest_type_is_that_of_the_mean_position():
    # The ring's regions are far out, but on average it is in the middle.
    defects = pd.DataFrame(
        {"defect": ["ring", "ring", "spot", "spot"], "x": [0.05, 0.95, 0.6, 0.7], "y": [0.5, 0.5, 0.5, 0.5]}
    )
    checks.farthest_type("ring", "spot", defects)
    with pytest.raises(CheckFailed, match="mean of the distances"):
        checks.farthest_type("ring", "ring", defects)
    with pytest.raises(CheckFailed, match="expected one of ring, spot, found 'hole'"):
        checks.farthest_type("hole", "spot", defects)


def test_a_better_classifier_beats_the_nearest_mean_and_a_worse_one_does_not():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 40)
    # The second feature is noise that a mean cannot ignore.
    features = np.stack([(labels == "b") + 0.2 * rng.normal(size=80), 30 * rng.normal(size=80)], 1)
    checks.beats_nearest_mean(lambda x, y, t: np.where(t[:, 0] > 0.5, "b", "a"), features, labels)
    with pytest.raises(CheckFailed, match="against the nearest class mean"):
        checks.beats_nearest_mean(lambda x, y, t: np.full(len(t), "a"), features, labels)
    with pytest.raises(CheckFailed, match="'c' is no class"):
        checks.beats_nearest_mean(lambda x, y, t: np.full(len(t), "c"), features, labels)
    with pytest.raises(CheckFailed, match="expected 20 labels"):
        checks.beats_nearest_mean(lambda x, y, t: y, features, labels)


def test_patches_beat_their_mean_and_the_labels_are_not_given():
    rng = np.random.default_rng(0)
    good, test = rng.normal(size=(10, 16, 3)), rng.normal(size=(20, 16, 3))
    good += 3 * rng.normal(size=(10, 1, 3))  # light, say: it moves all patches of an image
    test += 3 * rng.normal(size=(20, 1, 3))
    is_defect = np.arange(20) % 2 == 0
    test[is_defect, 3] += 30

    def nearest(good, test):
        return np.linalg.norm(test[:, :, None] - good.reshape(1, 1, -1, 3), axis=-1).min(-1).max(-1)

    checks.beats_pooled_features(nearest, good, test, is_defect)
    with pytest.raises(CheckFailed, match="worse than guessing"):
        checks.beats_pooled_features(lambda g, t: -nearest(g, t), good, test, is_defect)
    with pytest.raises(CheckFailed, match="expected the shape"):
        checks.beats_pooled_features(lambda g, t: nearest(g, t)[:3], good, test, is_defect)
    test[is_defect, 4:8] += 30  # so large that the mean sees it too
    with pytest.raises(CheckFailed, match="that of the mean vectors"):
        pooled = lambda g, t: np.linalg.norm(t.mean(1)[:, None] - g.mean(1), axis=-1).min(1)  # noqa: E731
        checks.beats_pooled_features(pooled, good, test, is_defect)


def test_dropped_components_are_counted_anew(category):
    from hw3lib.data import load_table

    table = load_table(category.parent, category.name)  # every defect is one square of 48 pixels
    checks.dropped_components(3, 7, table, min_area=49)
    checks.dropped_components(3, 0, table, min_area=48)
    with pytest.raises(CheckFailed, match="exactly 48 stays"):
        checks.dropped_components(3, 7, table, min_area=48)
    with pytest.raises(CheckFailed, match="found 'many'"):
        checks.dropped_components("many", 0, table, min_area=48)


def test_points_an_image_are_a_hundred_over_the_number_of_test_images():
    right = {"carpet": 100 / 22, "wood": 100 / 26, "bottle": 12.5, "capsule": 100 / 24}
    guess = dict.fromkeys(right, 5)
    checks.points_an_image(guess, right)
    with pytest.raises(CheckFailed, match="one image of how many"):
        checks.points_an_image(guess, right | {"wood": 5})
    with pytest.raises(CheckFailed, match="not as a fraction"):
        checks.points_an_image(guess, {name: value / 100 for name, value in right.items()})
    with pytest.raises(CheckFailed, match="prediction: expected a number for each"):
        checks.points_an_image({}, right)
