"""The search for nearest vectors agrees with a k-d tree in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from hw3lib.anomaly import nearest
from hw3lib.anomaly.nearest import NearestNeighbours
from hw3lib.errors import Hw3Error


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


def test_near_neighbours_far_from_the_mean_are_told_apart():
    # Rough distances around 1e9 are off by tens; that of the nearest is 1e-3, those of the others some units.
    rng = np.random.default_rng(0)
    bank = (rng.choice([-1e4, 1e4], (600, 1)) + rng.normal(size=(600, 8))).astype(np.float32)
    x = bank + (1e-2 * rng.normal(size=bank.shape)).astype(np.float32)
    distances, indices = NearestNeighbours(bank).query(x)
    np.testing.assert_array_equal(indices[:, 0], np.arange(600))
    exact = np.linalg.norm(x.astype(np.float64) - bank, axis=1)
    np.testing.assert_allclose(distances[:, 0], exact, rtol=1e-6)


@settings(max_examples=60, deadline=None)
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


def test_the_error_of_rough_distances_is_within_its_bound():
    rng = np.random.default_rng(0)
    bank, x = (torch.from_numpy((5 + rng.normal(size=(n, 300)) * 9).astype(np.float32)) for n in (256, 50))
    neighbours = NearestNeighbours(bank)
    centred = x - neighbours._mean
    rough = torch.mm(torch.cat([centred, torch.ones(50, 1)], 1), neighbours._factors).double()
    rough += centred.double().square().sum(1, True)
    truth = torch.from_numpy(cdist(x.double(), bank.double(), "sqeuclidean"))
    error = (rough - truth).abs().amax(1)
    assert (error > 0).all() and (error < neighbours._slack(centred)).all()


def test_coarse_products_that_the_user_allows_widen_the_bound(monkeypatch):
    neighbours, x = NearestNeighbours(np.eye(4)), torch.ones(1, 4)
    fine = neighbours._slack(x)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert neighbours._slack(x) > 100 * fine


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    bank, x = (rng.normal(size=(n, 10)).astype(np.float32) for n in (300, 50))
    whole = NearestNeighbours(bank).query(x, 4)
    monkeypatch.setattr(nearest, "_TILE", 4 * 384 * 7)
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
