"""hw3lib.classify.guided.kernel: what the classifier owes its training images, and that every part has its say."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from hw3lib.classify.guided.kernel import KernelClassifier, PartsKernel
from hw3lib.errors import Hw3Error


def blobs(n: int, classes: int = 3, apart: float = 4.0, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Two parts of 6 and 40 features and the labels of ``n`` images a class, whose means lie ``apart``."""
    rng = np.random.default_rng(seed)
    y = np.arange(classes).repeat(n)
    return [apart * np.eye(classes, width)[y] + rng.normal(0, 1, (len(y), width)) for width in (6, 40)], y


def test_separate_classes_are_distinguished_and_probabilities_sum_to_one():
    (train, y), (test, truth) = blobs(12), blobs(20, seed=1)
    p = KernelClassifier(3).fit(train, y).predict_proba(test)
    assert p.shape == (60, 3) and p.min() >= 0
    assert p.sum(1) == pytest.approx(1)
    assert (p.argmax(1) == truth).mean() > 0.9
    assert p[np.arange(60), truth].mean() > 0.7


def test_where_nothing_is_to_be_learned_no_class_is_sure():
    train, y = blobs(12, apart=0)
    test, _ = blobs(20, apart=0, seed=1)
    p = KernelClassifier(3).fit(train, y).predict_proba(test)
    assert p.max(1).mean() < 0.5


def test_the_same_seed_gives_the_same_probabilities_and_another_gives_others():
    (train, y), (test, _) = blobs(8, apart=1), blobs(5, apart=1, seed=1)
    first, again, other = (KernelClassifier(3, seed).fit(train, y).predict_proba(test) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_part_whose_columns_stand_there_ten_times_has_no_more_say():
    (train, y), (test, _) = blobs(8, apart=2), blobs(5, apart=2, seed=1)
    plain = KernelClassifier(3).fit(train, y).predict_proba(test)
    wide = KernelClassifier(3).fit([train[0], np.tile(train[1], 10)], y)
    assert wide.predict_proba([test[0], np.tile(test[1], 10)]) == pytest.approx(plain, abs=1e-3)


def test_units_of_a_feature_change_nothing():
    (train, y), (test, _) = blobs(8, apart=2), blobs(5, apart=2, seed=1)
    units, zero = np.logspace(-2, 3, 6), np.linspace(-5, 100, 6)
    plain = KernelClassifier(3).fit(train, y).predict_proba(test)
    moved = KernelClassifier(3).fit([train[0] * units + zero, train[1]], y)
    assert moved.predict_proba([test[0] * units + zero, test[1]]) == pytest.approx(plain, abs=1e-3)


def test_a_few_features_that_tell_are_heard_beside_many_that_do_not():
    def parts(seed):
        (tells, _), y = blobs(15, apart=4, seed=seed)
        return [tells, np.random.default_rng(seed + 10).normal(0, 1, (len(y), 2000))], y

    (train, y), (test, truth) = parts(0), parts(1)
    apart = KernelClassifier(3).fit(train, y).predict_proba(test).argmax(1)
    joined = KernelClassifier(3).fit([np.hstack(train)], y).predict_proba([np.hstack(test)]).argmax(1)
    assert (apart == truth).mean() > 0.85 > (joined == truth).mean() + 0.1


def test_an_image_gets_the_same_probabilities_alone_and_beside_others():
    (train, y), (test, _) = blobs(8, apart=2), blobs(5, apart=2, seed=1)
    model = KernelClassifier(3).fit(train, y)
    together = model.predict_proba(test)
    alone = np.concatenate([model.predict_proba([part[[i]] for part in test]) for i in range(15)])
    assert alone == pytest.approx(together, abs=1e-9)
    assert model.predict_proba([1e3 * part for part in test]).sum(1) == pytest.approx(1)
    assert np.array_equal(model.predict_proba(test), together)


def test_photographs_that_are_there_twice_lie_apart_and_the_machine_comes_to_an_end():
    train, y = blobs(12, classes=2, apart=1.5, seed=48)
    rng = np.random.default_rng(48)  # the last digits of float32; among these copies the optimiser never ended
    copies = [np.concatenate([p, p * (1 + 1e-6 * rng.normal(size=p.shape))]).astype(np.float32) for p in train]
    kernel = PartsKernel(copies)
    project, x = kernel.explicit()
    assert x @ x.T == pytest.approx(kernel.own, abs=1e-4)
    assert ((x[:24] - x[24:]) ** 2).sum(1).min() > 1e-4
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        machine = SVC(kernel="linear", C=10, max_iter=10_000).fit(x, np.tile(y, 2))
    assert kernel(copies) @ project @ machine.coef_[0] == pytest.approx(x @ machine.coef_[0], abs=1e-2)


@pytest.mark.parametrize(
    ("num_classes", "labels"), [(2, [0, 1]), (2, [1, 0]), (3, [1, 2]), (4, [1, 2, 3]), (3, [0, 2])]
)
def test_two_classes_and_absent_classes_work(num_classes, labels):
    (train, y), (test, truth) = blobs(8, len(labels), apart=7), blobs(5, len(labels), apart=7, seed=1)
    y, truth = np.array(labels)[y], np.array(labels)[truth]
    p = KernelClassifier(num_classes).fit(train, y).predict_proba(test)
    assert p.shape == (len(truth), num_classes)
    assert p.sum(1) == pytest.approx(1)
    assert (p.argmax(1) == truth).mean() > 0.9
    assert (p[:, [c for c in range(num_classes) if c not in labels]] == 0).all()


def test_good_is_decided_once_among_all_classes_and_once_against_all_defects():
    (train, y), (test, _) = blobs(12, apart=2), blobs(5, apart=2, seed=1)
    both = KernelClassifier(3).fit(train, y).predict_proba(test)
    among = KernelClassifier(4).fit(train, y + 1).predict_proba(test)[:, 1:]  # no label is good's
    against = KernelClassifier(2).fit(train, np.minimum(y, 1)).predict_proba(test)
    assert both[:, 0] == pytest.approx((among[:, 0] + against[:, 0]) / 2, abs=1e-3)
    assert np.abs(among[:, 0] - against[:, 0]).max() > 0.02


def test_two_images_a_class_are_enough():
    (train, y), (test, truth) = blobs(2, apart=12), blobs(5, apart=12, seed=1)
    p = KernelClassifier(3).fit(train, y).predict_proba(test)
    assert p.sum(1) == pytest.approx(1)
    assert (p.argmax(1) == truth).mean() > 0.5  # of three; two images calibrate badly


def test_features_that_are_the_same_in_all_training_images_do_no_harm():
    (train, y), (test, truth) = blobs(8), blobs(5, seed=1)
    train, test = ([*parts, np.ones((len(parts[0]), 3))] for parts in (train, test))
    p = KernelClassifier(3).fit(train, y).predict_proba(test)
    assert np.isfinite(p).all() and (p.argmax(1) == truth).mean() > 0.9


@pytest.mark.parametrize(("labels", "found"), [([0, 0, 1, 1, 2], "1 of class 2"), ([1, 1, 1, 1, 1], "5 of class 1")])
def test_a_class_of_one_image_and_a_single_class_are_refused(labels, found):
    with pytest.raises(Hw3Error, match=found):
        KernelClassifier(3).fit([np.random.default_rng(0).normal(0, 1, (5, 4))], np.array(labels))


def test_inner_splits_keep_products_together(monkeypatch):
    seen, (train, y) = [], blobs(12, apart=1)
    groups = np.arange(36) // 3
    search = GridSearchCV

    def watched(*arguments, cv, **settings):
        seen.extend(cv)
        return search(*arguments, cv=cv, **settings)

    monkeypatch.setattr("sklearn.model_selection.GridSearchCV", watched)  # which is imported where it is used
    KernelClassifier(3).fit(train, y, groups)
    assert len(seen) == 3 * 2 * 4  # machines, repetitions, and folds: each class has four products
    for inner, tested in seen[:8]:
        assert not set(groups[inner]) & set(groups[tested])


def test_each_image_another_product_is_as_before():
    (train, y), (test, _) = blobs(8, apart=1), blobs(5, apart=1, seed=1)
    plain = KernelClassifier(3).fit(train, y).predict_proba(test)
    assert np.array_equal(KernelClassifier(3).fit(train, y, None).predict_proba(test), plain)
