"""The contract that every oversampler keeps, on feature vectors and on images; then what is particular to each."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE
from imblearn.utils.estimator_checks import estimator_checks_generator
from sklearn.base import clone

from hw3lib.errors import Hw3Error
from hw3lib.imbalance import CopyPaste, DeepSmote, LroStyle, RandomOversampler, SmoteOversampler

TINY = {"steps": 3, "width": 2, "latent_dim": 5, "batch_size": 4, "image_size": 32}


class CopyPasteOnA(CopyPaste):
    """Class a is good, and all others have a defect in the middle: the contract's samples come without masks."""

    def _make(self, X, y, needed, rng):
        self.masks = np.zeros((len(X), *X.shape[2:]), bool)
        self.masks[y != "a", 8:16, 4:12] = True
        return super()._make(X, y, needed, rng)


VECTORS = {
    "random": RandomOversampler(),
    "smote": SmoteOversampler(),
    "borderline": SmoteOversampler(kind="borderline"),
    "svm": SmoteOversampler(kind="svm"),
}
IMAGES = {
    **VECTORS,
    "deepsmote": DeepSmote(**TINY),
    "deepsmote official": DeepSmote(variant="official", **TINY),
    "lro": LroStyle(**TINY),
    "copy-paste": CopyPasteOnA(background="a"),
}
# Which of the kinds finds a border in so few samples is not the contract's matter.
pytestmark = pytest.mark.filterwarnings("ignore:no border found")
on_vectors = pytest.mark.parametrize("name", VECTORS)
on_images = pytest.mark.parametrize("name", IMAGES)


def images(counts, size=(24, 16), seed=0):
    """Noise of another brightness for each class, classes mixed."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(list(counts), list(counts.values())))
    level = {name: 40 + 50 * i for i, name in enumerate(sorted(counts))}
    X = np.stack([rng.integers(level[name], level[name] + 40, (3, *size), dtype=np.uint8) for name in y])
    return X, y


def vectors(counts, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(list(counts), list(counts.values())))
    return (rng.normal(size=(len(y), 6)) + (y == max(counts))[:, None]).astype(dtype), y


def data(kind, counts, **options):
    return images(counts, **options) if kind == "images" else vectors(counts, **options)


CASES = [*(("vectors", name) for name in VECTORS), *(("images", name) for name in IMAGES)]
contract = pytest.mark.parametrize("kind, name", CASES, ids=[" ".join(case) for case in CASES])


def counts_of(y):
    return dict(zip(*(a.tolist() for a in np.unique(y, return_counts=True)), strict=True))


@contract
def test_every_class_reaches_the_size_of_the_largest(kind, name):
    X, y = data(kind, {"a": 9, "b": 5, "c": 2})
    X_new, y_new = clone(IMAGES[name]).set_params(random_state=0).fit_resample(X, y)
    assert counts_of(y_new) == {"a": 9, "b": 9, "c": 9} and len(X_new) == 27


@contract
def test_originals_come_first_and_unchanged_with_dtype_and_shape_kept(kind, name):
    X, y = data(kind, {"a": 8, "b": 5, "c": 3})
    before = X.copy(), y.copy()
    X_new, y_new = clone(IMAGES[name]).set_params(random_state=0).fit_resample(X, y)
    assert np.array_equal(X_new[: len(X)], before[0]) and np.array_equal(y_new[: len(y)], before[1])
    assert np.array_equal(X, before[0]) and np.array_equal(y, before[1])
    assert X_new.dtype == X.dtype and X_new.shape[1:] == X.shape[1:] and y_new.dtype == y.dtype


@contract
def test_a_seed_gives_the_same_samples_and_another_seed_others(kind, name):
    X, y = data(kind, {"a": 12, "b": 4})
    sampler = clone(IMAGES[name]).set_params(random_state=5)
    one, again = sampler.fit_resample(X, y)[0], clone(sampler).fit_resample(X, y)[0]
    assert np.array_equal(one, again)
    assert not np.array_equal(one, sampler.set_params(random_state=6).fit_resample(X, y)[0])


@contract
def test_sampling_strategy_gives_the_wanted_sizes(kind, name):
    X, y = data(kind, {"a": 9, "b": 5, "c": 3})
    sampler = clone(IMAGES[name]).set_params(random_state=0, sampling_strategy={"b": 6, "c": 3})
    assert counts_of(sampler.fit_resample(X, y)[1]) == {"a": 9, "b": 6, "c": 3}
    X, y = data(kind, {"a": 10, "b": 4})
    sampler.set_params(sampling_strategy=0.8)
    assert counts_of(sampler.fit_resample(X, y)[1]) == {"a": 10, "b": 8}


@contract
def test_nothing_is_made_where_all_classes_are_equal(kind, name):
    X, y = data(kind, {"a": 4, "b": 4})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X_new, y_new = clone(IMAGES[name]).fit_resample(X, y)
    assert np.array_equal(X_new, X) and np.array_equal(y_new, y)


@pytest.mark.parametrize("kind, name", [case for case in CASES if case[1] != "copy-paste"])  # it makes many of one
def test_a_class_of_one_is_copied_with_a_warning(kind, name):
    X, y = data(kind, {"a": 6, "b": 4, "c": 1})
    with pytest.warns(UserWarning, match="one sample only in c"):
        X_new, y_new = clone(IMAGES[name]).set_params(random_state=0).fit_resample(X, y)
    assert counts_of(y_new) == {"a": 6, "b": 6, "c": 6}
    assert (X_new[y_new == "c"] == X[y == "c"]).all()


@contract
def test_an_unknown_class_in_sampling_strategy_is_named_with_the_known_ones(kind, name):
    X, y = data(kind, {"a": 5, "b": 3})
    sampler = clone(IMAGES[name]).set_params(sampling_strategy={"dent": 9})
    with pytest.raises(Hw3Error, match="sampling_strategy.*'dent'.*'a', 'b'"):
        sampler.fit_resample(X, y)


@contract
def test_fewer_than_there_are_is_refused(kind, name):
    X, y = data(kind, {"a": 5, "b": 3})
    with pytest.raises(Hw3Error, match="greater or equal"):
        clone(IMAGES[name]).set_params(sampling_strategy={"b": 2}).fit_resample(X, y)


@contract
def test_labels_of_another_number_are_refused(kind, name):
    X, y = data(kind, {"a": 5, "b": 3})
    with pytest.raises(Hw3Error):
        clone(IMAGES[name]).fit_resample(X, y[:-1])


@on_vectors
def test_missing_values_are_refused(name):
    X, y = vectors({"a": 5, "b": 3})
    X[2, 1] = np.nan
    with pytest.raises(Hw3Error, match="NaN"):
        clone(VECTORS[name]).fit_resample(X, y)


@on_images
def test_images_that_are_not_uint8_are_refused(name):
    X, y = images({"a": 5, "b": 3})
    with pytest.raises(Hw3Error, match="found float32.*uint8"):
        clone(IMAGES[name]).fit_resample(X.astype(np.float32), y)


@on_images
def test_images_of_mixed_sizes_are_refused(name):
    X, y = images({"a": 5, "b": 3})
    mixed = [*X[:-1], X[-1, :, :20]]
    with pytest.raises(Hw3Error, match="mixed sizes.*20, 16.*24, 16"):
        clone(IMAGES[name]).fit_resample(mixed, y)


@pytest.mark.parametrize("name", ["deepsmote", "lro", "copy-paste"])
def test_feature_vectors_are_refused_where_images_are_needed(name):
    with pytest.raises(Hw3Error, match="expected images"):
        clone(IMAGES[name]).fit_resample(*vectors({"a": 5, "b": 3}))


@pytest.mark.parametrize("name", ["deepsmote", "lro"])
@pytest.mark.parametrize(
    "wrong",
    [{"image_size": 40}, {"image_size": 16}, {"latent_dim": 0}, {"steps": 2.5}, {"batch_size": 1}, {"lr": 0.0}],
    ids=str,
)
def test_a_bad_parameter_is_named(name, wrong):
    with pytest.raises(Hw3Error, match=next(iter(wrong))):
        clone(IMAGES[name]).set_params(**wrong).fit_resample(*images({"a": 4, "b": 2}))


@pytest.mark.parametrize(
    "estimator, check",
    [
        pytest.param(estimator, check, id=f"{name} {getattr(check, 'func', check).__name__}")
        for name, sampler in VECTORS.items()
        for estimator, check in estimator_checks_generator(clone(sampler).set_params(random_state=0))
    ],
)
def test_imbalanced_learns_own_checks_hold(estimator, check):
    check(estimator)


def test_sample_indices_say_where_random_copies_come_from():
    X, y = images({"a": 7, "b": 3})
    sampler = RandomOversampler(random_state=0)
    X_new, y_new = sampler.fit_resample(X, y)
    assert np.array_equal(X[sampler.sample_indices_], X_new)
    assert np.array_equal(y[sampler.sample_indices_], y_new)
    assert len(np.unique(sampler.sample_indices_[len(X) :])) > 1


def test_smote_is_imbalanced_learns_where_every_class_is_large_enough():
    X, y = vectors({"a": 20, "b": 9}, dtype=float)
    ours = SmoteOversampler(k_neighbors=3, random_state=4).fit_resample(X, y)[0]
    theirs = SMOTE(k_neighbors=3, random_state=np.random.RandomState(4)).fit_resample(X, y)[0]
    assert np.array_equal(ours, theirs)


def test_smote_takes_as_many_neighbours_as_a_tiny_class_has():
    sampler = SmoteOversampler(random_state=0)
    sampler.fit_resample(*vectors({"a": 12, "b": 8, "c": 3, "d": 2}))
    assert sampler.k_neighbors_ == {"b": 5, "c": 2, "d": 1}


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_smote_between_two_samples_stays_on_their_segment(seed):
    X, y = vectors({"a": 9, "b": 2}, seed=seed, dtype=float)
    made = SmoteOversampler(random_state=seed).fit_resample(X, y)[0][len(X) :]
    first, second = X[y == "b"]
    share = (made - first) @ (second - first) / ((second - first) ** 2).sum()
    assert share.min() > -1e-9 and share.max() < 1 + 1e-9
    assert made == pytest.approx(first + share[:, None] * (second - first))


def test_pixels_are_rounded_not_cut():
    X = np.zeros((8, 3, 1, 1), np.uint8)
    X[:2, 0] = [[[0]], [[1]]]
    made = SmoteOversampler(random_state=0, sampling_strategy={"b": 402}).fit_resample(
        X, np.array(["b", "b"] + ["a"] * 6)
    )[0][8:, 0]
    assert 0.4 < made.mean() < 0.6


def test_a_class_without_a_border_is_made_by_plain_smote_with_a_warning():
    X, y = vectors({"a": 30, "b": 12})
    X[y == "b"] += 100
    with pytest.warns(UserWarning, match="no border found for class b"):
        y_new = SmoteOversampler(kind="borderline", random_state=0).fit_resample(X, y)[1]
    assert counts_of(y_new) == {"a": 30, "b": 30}


@pytest.mark.parametrize("wrong", [{"kind": "adasyn"}, {"k_neighbors": 0}], ids=str)
def test_a_bad_parameter_of_smote_is_named(wrong):
    with pytest.raises(Hw3Error, match=next(iter(wrong))):
        SmoteOversampler(**wrong).fit_resample(*vectors({"a": 5, "b": 3}))
