"""The search for nearest vectors agrees with a k-d tree in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from hw3lib.errors import Hw3Error
from hw3lib.networks import nearest
from hw3lib.networks.nearest import NearestNeighbours, RoughDistances, Rounded

tried = nearest._bfloat16_pays.__wrapped__  # without its memory, and before it is replaced below


@pytest.fixture(params=[True, False], ids=["bfloat16", "float32"], autouse=True)
def coarse(request, monkeypatch):
    """The search on processors that are fast with bfloat16, and on all others."""
    monkeypatch.setattr(nearest, "_bfloat16_pays", lambda: request.param)
    return request.param


@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("size", [9, 128, 1500])
@pytest.mark.parametrize("shift", [0, 3000])
def test_distances_and_indices_are_those_of_a_tree_in_double_precision(k, size, shift):
    rng = np.random.default_rng(0)
    bank, x = ((shift + rng.normal(size=(n, 40))).astype(np.float32) for n in (size, 70))
    distances, indices = NearestNeighbours(bank).query(x, k)
    expected, order = cKDTree(bank.astype(np.float64)).query(x.astype(np.float64), [*range(1, k + 1)])
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(indices.numpy(), order)
    assert distances.dtype == torch.float32 and indices.dtype == torch.int64


def test_near_neighbours_far_from_the_mean_are_distinguished():
    # Rough distances around 1e9 are off by tens; that of the nearest is 1e-3, those of the others some units.
    rng = np.random.default_rng(0)
    bank = (rng.choice([-1e4, 1e4], (600, 1)) + rng.normal(size=(600, 8))).astype(np.float32)
    x = bank + (1e-2 * rng.normal(size=bank.shape)).astype(np.float32)
    distances, indices = NearestNeighbours(bank).query(x)
    np.testing.assert_array_equal(indices[:, 0], np.arange(600))
    exact = np.linalg.norm(x.astype(np.float64) - bank, axis=1)
    np.testing.assert_allclose(distances[:, 0], exact, rtol=1e-6)


@settings(max_examples=60)
@given(data=st.data())
def test_of_equally_near_vectors_the_first_comes_first(data):
    count, dim = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 3))
    draw = st.lists(st.integers(-2, 2), min_size=count * dim, max_size=count * dim)
    bank, x = (np.array(data.draw(draw), np.float32).reshape(count, dim) for _ in range(2))
    k = data.draw(st.integers(1, count))
    distances, indices = NearestNeighbours(bank).query(x, k)
    table = cdist(x, bank)
    np.testing.assert_array_equal(indices, np.argsort(table, 1, kind="stable")[:, :k])
    np.testing.assert_allclose(distances, np.sort(table, 1)[:, :k], rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spread", [9, 0.01])
def test_no_vector_that_is_as_near_has_a_rough_value_above_the_limit(dtype, spread):
    rng = np.random.default_rng(0)
    bank = torch.from_numpy((rng.choice([-5, 5], (256, 1)) + spread * rng.normal(size=(256, 300))).astype(np.float32))
    x = bank[:50] + torch.from_numpy((spread / 9 * rng.normal(size=(50, 300))).astype(np.float32))
    distances = RoughDistances(bank, dtype)
    queries = Rounded.to(x, dtype)
    rough, truth = distances(queries)[:256].float(), torch.from_numpy(cdist(x.double(), bank.double())).T
    assert (rough.double() != truth.square()).all()
    for reached, near in zip(rough, truth, strict=True):  # each vector of the bank, and all that are no further
        limit = distances.limit(queries, reached)
        assert (rough <= limit)[truth <= near].all()
    assert limit.isfinite().all() and (limit > rough.amin(0)).all()


def test_what_rounding_the_vectors_turns_round_stays_a_candidate():
    # Steps of bfloat16 are 1/128 here: query and second vector are rounded to the same value.
    bank, x = torch.tensor([[1.0], [1.01170]]), torch.tensor([[1.00392]])
    assert (x - bank[0]).abs() < (x - bank[1]).abs()
    distances = RoughDistances(bank, torch.bfloat16)
    rough = distances(Rounded.to(x, torch.bfloat16))[:2, 0]
    assert rough[1] == 0 < rough[0]
    row, column = distances.candidates(x, 1)
    assert row.tolist() == [0, 0] and sorted(column.tolist()) == [0, 1]


def test_coarse_products_that_the_user_allows_widen_the_bound(monkeypatch):
    length = torch.ones(1)
    fine = nearest.product_slack(length, 1.0, 4)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert nearest.product_slack(length, 1.0, 4) > 100 * fine


def test_where_coarse_values_tell_too_little_apart_fine_ones_are_asked(coarse, monkeypatch):
    # Around a far mean all of them are nearer to each other than bfloat16 can say.
    rng = np.random.default_rng(0)
    bank = (rng.choice([-1e3, 1e3], (2000, 1)) + rng.normal(size=(2000, 8))).astype(np.float32)
    x = (1e3 + rng.normal(size=(20, 8))).astype(np.float32)
    neighbours = NearestNeighbours(bank)
    if coarse:
        assert neighbours._coarse.candidates(torch.from_numpy(x) - neighbours._mean, 1, 32 * 20) is None
    distances, indices = neighbours.query(x)
    assert "_fine" in vars(neighbours)
    expected, order = cKDTree(bank.astype(np.float64)).query(x.astype(np.float64))
    np.testing.assert_allclose(distances[:, 0].numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(indices[:, 0].numpy(), order)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    bank, x = (rng.normal(size=(n, 10)).astype(np.float32) for n in (300, 50))
    whole = NearestNeighbours(bank).query(x, 4)
    monkeypatch.setattr(nearest, "_TILE", 4 * 300 * 16)
    monkeypatch.setattr(nearest, "_ROWS", 7)
    monkeypatch.setattr(nearest, "_PAIRS", 8 * 10 * 13)
    parts = NearestNeighbours(bank).query(x, 4)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_no_query_gives_an_empty_answer():
    distances, indices = NearestNeighbours(np.eye(3)).query(np.zeros((0, 3)), 2)
    assert distances.shape == indices.shape == (0, 2)


@pytest.mark.parametrize(
    "x, k, words",
    [
        (np.zeros((2, 4)), 1, "found 4 dimensions, expected 3"),
        (np.zeros((2, 3)), 0, "k=0"),
        (np.zeros((2, 3)), 4, "k=4: the bank holds 3"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), 1, "1 of 2 .* position 1"),
        (np.zeros(3), 1, r"found the shape \(3,\)"),
    ],
)
def test_queries_that_cannot_be_answered_are_refused(x, k, words):
    with pytest.raises(Hw3Error, match=words):
        NearestNeighbours(np.eye(3)).query(x, k)


@pytest.mark.parametrize("bank", [np.zeros((0, 3)), np.zeros((3, 0)), np.full((2, 2), np.inf)])
def test_a_bank_without_finite_vectors_is_refused(bank):
    with pytest.raises(Hw3Error, match="bank"):
        NearestNeighbours(bank)


@pytest.mark.parametrize("share, pays", [(0.4, True), (0.6, False)])
def test_bfloat16_is_taken_where_it_is_twice_as_fast(share, pays, monkeypatch):
    clock = iter(np.cumsum([0, *[1, 1] * 4, *[share, 1] * 4]))
    monkeypatch.setattr(nearest.time, "perf_counter", lambda: next(clock))
    assert tried() == pays


def test_bfloat16_is_not_taken_where_sums_lose_more_than_the_bound_allows(monkeypatch):
    clock = iter(np.cumsum([0, *[1, 1] * 4, *[0.1, 1] * 4]))
    monkeypatch.setattr(nearest.time, "perf_counter", lambda: next(clock))
    monkeypatch.setitem(nearest._STORED, torch.bfloat16, 2.0**-11)
    assert not tried()
