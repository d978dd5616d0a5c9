"""Sets that are larger than memory: what is read at once, what is held at once, and a bank that does not grow."""

import weakref

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from hw3lib.anomaly import PatchCore, calibration
from hw3lib.anomaly.coreset.greedy import _Part, memory_estimate, streaming_coreset
from hw3lib.anomaly.detectors.patchcore import _join, chunk_length
from hw3lib.errors import Hw3Error
from hw3lib.inspection import fit as detect

SMALL = {"image_size": 32, "batch_size": 4, "smoothing": 0.0, "device": "cpu", "layers": ("features.2", "features.3")}
PLACES, CHANNELS = 16, 24 + 40  # of these layers


class Watched(np.ndarray):
    """An array that notes how many images are copied at once."""

    def __getitem__(self, rows):
        found = super().__getitem__(rows)
        if found.ndim == 4 and not np.may_share_memory(found, self):
            reads.append(len(found))
        return found


reads: list[int] = []


@pytest.mark.parametrize("waiting", [1, 2, 3])
def test_a_stream_holds_no_more_than_it_may(waiting, monkeypatch):
    length, size, made, most_alive = 40, 10, [], []
    make = _Part.__init__

    def noted(self, *values):
        make(self, *values)
        made.append(weakref.ref(self))

    def chunks():
        rng = np.random.default_rng(0)
        for _ in range(21):
            most_alive.append(sum(len(part().vectors) for part in made if part() is not None))
            yield rng.normal(size=(length, 3)).astype(np.float32)

    monkeypatch.setattr(_Part, "__init__", noted)
    most = length + (waiting + 1) * size
    streamed = streaming_coreset(chunks(), size, most_held=most)
    assert len(streamed.vectors) == size and streamed.seen == 21 * length
    # When a chunk is asked for there is room for it, and for what is picked from it; and the room is used.
    assert max(most_alive) + length + size == most


def test_the_bound_of_a_stream_holds_where_there_is_room_for_one_coreset_alone():
    vectors = np.random.default_rng(1).normal(size=(900, 4)).astype(np.float32)
    for length in (7, 45):  # shorter and longer than the coreset
        parts = np.array_split(vectors, len(vectors) // length)
        streamed = streaming_coreset(parts, 20, most_held=max(map(len, parts)) + 40)
        np.testing.assert_array_equal(streamed.vectors, vectors[streamed.indices])
        assert cKDTree(streamed.vectors.astype(float)).query(vectors)[0].max() <= streamed.radius


def test_coresets_that_wait_count_for_the_limit_in_bytes():
    chunks = [np.random.default_rng(i).normal(size=(40, 3)) for i in range(8)]
    enough = memory_estimate(40, 3, 10) + 4 * 3 * 10
    limited = streaming_coreset(chunks, 10, memory_limit=enough)
    assert limited.seen == 320 and limited.radius >= streaming_coreset(chunks, 10).radius / 2
    with pytest.raises(Hw3Error, match="memory_limit="):
        streaming_coreset(chunks, 10, memory_limit=enough - 1)


def test_a_chunk_may_be_overwritten_when_the_next_is_asked_for():
    vectors = np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32)

    def overwritten():
        chunk = np.empty((5, 3), np.float32)
        for start in range(0, 60, 5):
            chunk[:] = vectors[start : start + 5]
            yield chunk

    streamed = streaming_coreset(overwritten(), 12)
    np.testing.assert_array_equal(streamed.vectors, vectors[streamed.indices])


def test_the_chunk_leaves_room_for_all_coresets_that_wait():
    for patches in (100, 10_000, 10**6, 10**9):
        for size in (1, 50, 1000):
            for most in (2 * size + 1, 3 * size, 5 * size, 100 * size, 10_000 * size):
                length = chunk_length(patches, size, most)
                waiting = int(np.log2(np.ceil(patches / length)))
                roomy = length >= size and length + (waiting + 1) * size <= most
                assert length >= 1 and (roomy or length == most - 2 * size)


def test_parts_are_joined_to_chunks_of_one_length():
    parts = [np.full((n, 2), i, np.float32) for i, n in enumerate((3, 1, 9, 2))]
    chunks = list(_join(iter(parts), 4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(chunks), np.concatenate(parts))


def test_the_bank_has_the_size_that_was_allowed_whatever_the_ratio(plates):
    images = plates(8, 0, side=32)
    limited = PatchCore(**SMALL, bank_limit=5).fit(images, held_out=0)
    assert limited.memory_bank == limited.plan(8)["memory_bank"] == limited.plan(10**7)["memory_bank"] == 5
    free, loose = (PatchCore(**SMALL, bank_limit=limit).fit(images, held_out=0) for limit in (None, 1000))
    assert free.memory_bank == loose.memory_bank == round(0.1 * 8 * PLACES)
    with pytest.raises(Hw3Error, match="bank_limit=0, expected 1 or more, or None"):
        PatchCore(bank_limit=0)


def test_images_are_read_a_batch_at_a_time_also_to_set_the_threshold(plates):
    images = plates(100, 0, side=32)
    limit = 4 * CHANNELS * 100
    plain = PatchCore(**SMALL, bank_limit=10, memory_limit=limit).fit(images)
    reads.clear()
    watched = PatchCore(**SMALL, bank_limit=10, memory_limit=limit).fit(images.view(Watched))
    assert reads == [4] * 50  # all are learned from, and all are scored
    np.testing.assert_array_equal(watched.good_scores_, plain.good_scores_)
    np.testing.assert_array_equal(watched.decision_function(images), plain.score(images).scores)


def test_of_many_held_out_images_some_tell_the_level_and_all_the_threshold(plates, monkeypatch):
    images = plates(12, 0, side=32)
    whole = PatchCore(**SMALL, bank_limit=10).fit(images, held_out=0.5, false_alarm_rate=0.5)
    monkeypatch.setattr(calibration, "_LEVEL", 3)
    some = PatchCore(**SMALL, bank_limit=10).fit(images, held_out=0.5, false_alarm_rate=0.5)
    held = np.sort(np.random.default_rng(0).permutation(12)[:6])
    assert whole.good_level_ == np.median(whole.anomaly_map(images[held]))
    assert some.good_level_ == np.median(some.anomaly_map(images[held[[0, 2, 5]]]))
    np.testing.assert_array_equal(some.good_peaks_, whole.good_peaks_)
    assert some.threshold_ == whole.threshold_


def test_a_detector_fitted_from_decoded_images_on_disk_is_the_same(plates, tmp_path):
    (tmp_path / "good").mkdir()
    for i, image in enumerate(plates(8, 0, side=32)):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"good/{i}.png")
    settings = {**SMALL, "bank_limit": 10}
    told = {"false_alarm_rate": 0.5, "echo": lambda _: None}
    plain = detect.fit(tmp_path / "good", tmp_path / "a", "patchcore", settings, **told)
    cached = detect.fit(tmp_path / "good", tmp_path / "b", "patchcore", settings, cache=tmp_path / "cache", **told)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    assert np.array_equal(plain._bank, cached._bank) and plain.threshold_ == cached.threshold_
