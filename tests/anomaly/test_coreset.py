"""The greedy coreset picks what brute force picks, whatever it spares; its radii and bounds are true."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from benchmarks.peers import coreset as benchmark
from hw3lib.anomaly.coreset import kernels
from hw3lib.anomaly.coreset import selection as coreset_selection
from hw3lib.anomaly.coreset.greedy import k_center_greedy, memory_estimate, streaming_coreset
from hw3lib.errors import Hw3Error

PRUNE = (coreset_selection._PRUNE_BELOW, np.inf, -1.0)  # where it pays, always, never


def brute_force(vectors: np.ndarray, size: int, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1 as it is written, on squared distances in float64 rounded to float32, and the radius at each pick."""
    wide = vectors.astype(np.float64)
    distance, picks, radii = np.full(len(vectors), np.inf, np.float32), [start], []
    for _ in range(size):
        distance = np.minimum(distance, ((wide - wide[picks[-1]]) ** 2).sum(1).astype(np.float32))
        radii.append(np.sqrt(float(distance.max())))
        left = distance.copy()
        left[picks] = -1
        picks.append(int(left.argmax()))
    return np.array(picks[:size]), np.array(radii)


def textured(rng: np.random.Generator) -> np.ndarray:
    """Overlapping patches of one smooth texture: neighbours are alike and nothing forms a cluster."""
    y, x = np.mgrid[:40, :40]
    picture = np.sin(x / 3) + np.cos(y / 4 + x / 9) + 0.2 * rng.normal(size=(40, 40))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (6, 6))
    return windows.reshape(-1, 36).astype(np.float32)


def clustered(rng: np.random.Generator) -> np.ndarray:
    centres = rng.normal(size=(25, 70))
    return (centres[rng.integers(25, size=1200)] + 0.03 * rng.normal(size=(1200, 70))).astype(np.float32)


SETS = {
    "clustered": clustered,
    "textured": textured,
    "noise": lambda rng: rng.normal(size=(700, 130)).astype(np.float32),
    "far from the origin": lambda rng: (1000 + rng.normal(size=(600, 16))).astype(np.float32),
    "each four times": lambda rng: np.repeat(rng.normal(size=(150, 5)), 4, 0).astype(np.float32),
    "a grid full of ties": lambda rng: rng.integers(0, 3, (900, 4)).astype(np.float32),
    "all as far from each other": lambda rng: np.eye(300, dtype=np.float32),
    "tiny numbers": lambda rng: (1e-19 * rng.normal(size=(500, 8))).astype(np.float32),
}


@pytest.mark.parametrize("below", PRUNE)
@pytest.mark.parametrize("name", SETS)
def test_the_picks_and_radii_are_those_of_brute_force(name, below, monkeypatch):
    monkeypatch.setattr(coreset_selection, "_PRUNE_BELOW", below)
    vectors = SETS[name](np.random.default_rng(1))
    size = len(vectors) // 3
    coreset = k_center_greedy(vectors, size, start=7)
    picks, radii = brute_force(vectors, size, 7)
    np.testing.assert_array_equal(coreset.indices, picks)
    np.testing.assert_allclose(coreset.radii, radii, rtol=1e-7)
    assert coreset.indices.dtype == np.int64


@settings(max_examples=60)
@given(data=st.data())
def test_any_small_set_is_picked_as_by_brute_force(data):
    count, dim = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 4))
    values = data.draw(st.sampled_from([st.integers(-2, 2), st.floats(-1e6, 1e6, width=32)]))
    flat = data.draw(st.lists(values, min_size=count * dim, max_size=count * dim))
    vectors = np.array(flat, np.float32).reshape(count, dim)
    size, start = data.draw(st.integers(1, count)), data.draw(st.integers(0, count - 1))
    picks, radii = brute_force(vectors, size, start)
    for below in PRUNE:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coreset_selection, "_LEAST", 3)  # so that a small set takes many rounds
            patch.setattr(coreset_selection, "_PRUNE_BELOW", below)
            coreset = k_center_greedy(vectors, size, start=start)
        np.testing.assert_array_equal(coreset.indices, picks)
        np.testing.assert_allclose(coreset.radii, radii, rtol=1e-7)


def on_a_sphere(count: int, dim: int) -> np.ndarray:
    """The origin, then vectors whose squared distances from it are one but for some rounding errors of float32."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, dim))
    directions *= (1 + 2e-7 * rng.random((count, 1))) / np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([np.zeros((1, dim)), directions]).astype(np.float32)


def test_the_furthest_of_almost_equals_is_decided_in_float64():
    vectors = on_a_sphere(400, 3000)
    for some in np.split(vectors[1:], 20):
        some = np.concatenate([vectors[:1], some])
        picks, _ = brute_force(some, 2, 0)
        assert k_center_greedy(some, 2, start=0).indices.tolist() == picks.tolist()


def test_the_nearest_of_almost_equals_is_decided_in_float64():
    vectors = on_a_sphere(400, 3000)
    truth = (vectors.astype(np.float64) ** 2).sum(1).astype(np.float32)
    relative = kernels.rounding_bound(3000)
    for some in np.split(np.arange(1, 401), 20):
        squared, nearest, exact = np.full(1, np.inf, np.float32), np.zeros(1, np.int32), np.zeros(1, bool)
        for slot in range(len(some)):
            kernels._offer(vectors, 0, some, slot, squared, nearest, exact, relative)
        assert truth[some[nearest[0]]] == truth[some].min()


def test_rounding_stays_within_its_bound():
    rng = np.random.default_rng(0)
    for dim in (1, 63, 64, 65, 384):
        vectors = (rng.normal(size=(40, dim)) * 10.0 ** rng.integers(-3, 4, (40, 1))).astype(np.float32)
        truth = cdist(vectors[:1].astype(np.float64), vectors[1:].astype(np.float64), "sqeuclidean")[0]
        rough = [kernels._distance(vectors, 0, i, np.float32(np.inf)) for i in range(1, 40)]
        assert np.abs(rough / truth - 1).max() < kernels.rounding_bound(dim)
        assert [kernels.exact_distance(vectors, 0, i) for i in range(1, 40)] == truth.astype(np.float32).tolist()


def test_the_triangle_inequality_spares_clusters_and_is_left_alone_on_noise(monkeypatch):
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(60, 20))
    clusters = (centres[rng.integers(60, size=6000)] + 0.01 * rng.normal(size=(6000, 20))).astype(np.float32)
    noise = rng.normal(size=(6000, 60)).astype(np.float32)
    asked, free = (k_center_greedy(vectors, 600, start=0) for vectors in (clusters, noise))
    assert asked.compared < 0.25
    monkeypatch.setattr(coreset_selection, "_PRUNE_BELOW", -1.0)
    assert k_center_greedy(clusters, 600, start=0).compared > 1
    forced = k_center_greedy(noise, 600, start=0)
    assert free.compared == forced.compared
    np.testing.assert_array_equal(free.indices, forced.indices)


def test_threads_and_repetition_change_nothing():
    vectors = clustered(np.random.default_rng(3))
    first = k_center_greedy(vectors, 200, generator=torch.Generator().manual_seed(5), threads=1)
    for threads in (1, 3):
        again = k_center_greedy(vectors, 200, generator=torch.Generator().manual_seed(5), threads=threads)
        np.testing.assert_array_equal(first.indices, again.indices)
    other = k_center_greedy(vectors, 200, generator=torch.Generator().manual_seed(6))
    assert other.indices[0] != first.indices[0]


def test_a_tensor_gives_the_picks_of_its_array():
    vectors = clustered(np.random.default_rng(0))
    ours = k_center_greedy(torch.from_numpy(vectors).double(), 30, start=2).indices
    np.testing.assert_array_equal(ours, k_center_greedy(vectors, 30, start=2).indices)


def test_one_pick_has_the_distance_of_the_furthest_as_its_radius():
    vectors = np.array([[0, 0], [3, 4], [1, 1]], np.float32)
    coreset = k_center_greedy(vectors, 1, start=0)
    assert coreset.indices.tolist() == [0] and coreset.radius == 5


@pytest.mark.parametrize("vectors", [np.ones((20, 3)), np.random.default_rng(0).normal(size=(20, 3))])
def test_a_coreset_of_everything_holds_each_vector_once(vectors):
    coreset = k_center_greedy(vectors, 20, start=4)
    assert sorted(coreset.indices) == list(range(20)) and coreset.radius == 0


def test_equal_vectors_are_taken_in_their_order():
    assert k_center_greedy(np.full((6, 4), 0.3), 4, start=2).indices.tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"size": 31}, "size=31"),
        ({"size": 0}, "size=0"),
        ({"start": 30}, "start=30"),
        ({"start": -1}, "start=-1"),
        ({"memory_limit": 1000}, "memory_limit=1.0 kB"),
        ({"vectors": np.zeros((0, 5))}, r"\(0, 5\)"),
        ({"vectors": np.zeros(5)}, r"\(5,\)"),
    ],
)
def test_what_cannot_be_done_is_said(change, words):
    arguments = {"vectors": np.random.default_rng(0).normal(size=(30, 5)), "size": 3} | change
    with pytest.raises(Hw3Error, match=words):
        k_center_greedy(**arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e16])
def test_values_that_are_no_features_are_refused_with_their_position(value):
    vectors = np.zeros((30, 5), np.float32)
    vectors[17, 3] = value
    with pytest.raises(Hw3Error, match="1 of 30 .* position 17"):
        k_center_greedy(vectors, 3)


@pytest.mark.parametrize("count, dim, size", [(8000, 100, 800), (3000, 40, 30), (10000, 12, 1000)])
def test_the_memory_estimate_is_not_exceeded(count, dim, size):
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(count, 3)) @ rng.normal(size=(3, dim))).astype(np.float32)
    own = 4 * count * dim + 4 * size * dim  # the vectors and the bank
    k_center_greedy(vectors[:500], 20)  # compiles
    tracemalloc.start()
    try:
        k_center_greedy(vectors, size, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory_estimate(count, dim, size) - own
    assert k_center_greedy(vectors, 10, memory_limit=memory_estimate(count, dim, 10)).indices.size == 10


def test_the_bar_ends_at_the_number_of_picks(capsys):
    k_center_greedy(np.repeat(np.eye(9), 2, 0), 15, progress=True)
    assert "15/15" in capsys.readouterr().err
    k_center_greedy(np.eye(30), 25, progress=True)
    assert "25/25" in capsys.readouterr().err
    k_center_greedy(np.eye(30), 25)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("chunks", [1, 2, 5, 11])
def test_the_radius_of_a_stream_is_never_above_its_bound(chunks):
    for name in ("clustered", "textured", "noise"):
        vectors = SETS[name](np.random.default_rng(2))
        streamed = streaming_coreset(iter(np.array_split(vectors, chunks)), 50)
        np.testing.assert_array_equal(streamed.vectors, vectors[streamed.indices])
        assert len(set(streamed.indices)) == 50 and streamed.seen == len(vectors)
        true = cKDTree(streamed.vectors.astype(np.float64)).query(vectors)[0].max()
        assert true <= streamed.radius
        # Not an empty promise: every level adds at most the radius of one reduction of what it merges.
        assert streamed.radius <= (np.ceil(np.log2(chunks)) + 2) * 2.5 * k_center_greedy(vectors, 50).radius


def test_a_stream_of_one_chunk_loses_nothing():
    vectors = textured(np.random.default_rng(0))
    streamed = streaming_coreset([vectors], 60, generator=torch.Generator().manual_seed(4))
    whole = k_center_greedy(vectors, 60, generator=torch.Generator().manual_seed(4))
    np.testing.assert_array_equal(streamed.indices, whole.indices)
    assert streamed.radius == pytest.approx(whole.radius, rel=1e-4)


def test_the_bound_of_a_stream_is_the_sum_of_what_its_levels_move():
    # On a line, one vector kept of each chunk and then of both.
    chunks = [np.array([[0.0], [2.0]]), np.array([[10.0], [13.0]])]
    for seed in range(8):
        streamed = streaming_coreset(chunks, 1, generator=torch.Generator().manual_seed(seed))
        kept = float(streamed.vectors[0, 0])
        first, second = (0, 2), (10, 13)
        near, far, step = (first, second, 3) if kept in first else (second, first, 2)
        # The other coreset was either end of its chunk; what it stood for is as far again as its chunk is long.
        possible = [max(abs(near[0] - near[1]), abs(kept - end) + step) for end in far]
        assert min(abs(streamed.radius - value) for value in possible) < 1e-4


def test_a_stream_shorter_than_the_coreset_is_refused():
    with pytest.raises(Hw3Error, match="size=9: the chunks hold 8"):
        streaming_coreset([np.eye(4), np.eye(4)], 9)


def test_chunks_of_different_dimensions_and_broken_chunks_are_refused_by_number():
    with pytest.raises(Hw3Error, match="chunk 1: found 3 dimensions, expected 4"):
        streaming_coreset([np.eye(4), np.eye(3)], 2)
    with pytest.raises(Hw3Error, match="chunk 1: 1 of 4 hold NaN"):
        streaming_coreset([np.eye(4), np.diag([1, 1, 1, np.nan]) + 0], 2)
    with pytest.raises(Hw3Error, match="memory_limit=10 bytes"):
        streaming_coreset([np.eye(4)], 2, memory_limit=10)


def test_the_benchmark_runs_from_files_to_table(tmp_path, make_category, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "matmul_rate", lambda dtype: 1e11)
    monkeypatch.setattr(benchmark, "memory_rate", lambda: 1e10)
    make_category(tmp_path / "widget", {"train/good": 3, "test/good": 1})
    benchmark.main("widget", str(tmp_path), sizes=[700], ratios=[0.1], dim=8, image_size=64, peer=False)
    out = capsys.readouterr().out
    assert "white noise: 700 x 8, 70 picks (10%)" in out and "widget: 192 x 152, 19 picks (10%)" in out
    assert out.count("equal to brute force") == 2


def test_the_benchmark_counts_a_radius_and_picks_by_their_definition():
    vectors = clustered(np.random.default_rng(0))
    picks, radii = brute_force(vectors, 20, 3)
    assert benchmark.brute_force(vectors, 20, 3) == picks.tolist()
    assert benchmark.covering_radius(vectors, picks) == pytest.approx(radii[-1], rel=1e-6)
