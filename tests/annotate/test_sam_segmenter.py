"""hw3lib.annotate.masks.sam: prompts in its pixels, masks in its size, embeddings kept by content."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from hw3lib.annotate.masks import sam
from hw3lib.annotate.masks.sam import Embedding, Segmenter, embed_files, propose
from hw3lib.data import read_image
from hw3lib.errors import Hw3Error

BOX = np.array([[10.0, 8, 40, 30]])


def test_masks_have_the_size_of_the_image_and_one_is_given_a_prompt(small_segmenter, squares):
    embedding = small_segmenter.embed(squares[0][0])
    found = small_segmenter.predict(embedding, boxes=np.repeat(BOX, 20, 0))
    assert found.masks.shape == (20, 48, 64) and found.masks.dtype == bool and found.iou.shape == (20,)
    assert (found.masks == found.masks[0]).all()


def test_the_image_is_scaled_padded_and_normalised_as_sam_expects(small_segmenter, monkeypatch):
    seen = []
    monkeypatch.setattr(
        small_segmenter.network.encoder, "forward", lambda x: seen.append(x) or torch.zeros(1, 32, 4, 4)
    )
    small_segmenter.embed(np.full((16, 32, 3), (255, 0, 128), np.uint8))
    square = seen[0][0].numpy()
    wanted = [(255 - 123.675) / 58.395, -116.28 / 57.12, (128 - 103.53) / 57.375]
    assert square.shape == (3, 64, 64)
    assert np.allclose(square[:, :32], np.reshape(wanted, (3, 1, 1)), atol=1e-5) and (square[:, 32:] == 0).all()


def test_prompts_reach_the_network_in_pixels_of_its_square(small_segmenter, monkeypatch):
    seen = []
    prompts = small_segmenter.network.prompts
    monkeypatch.setattr(small_segmenter.network, "prompts", lambda *given: seen.append(given) or prompts(*given))
    embedding = small_segmenter.embed(np.zeros((100, 128, 3), np.uint8))
    small_segmenter.predict(embedding, boxes=BOX, points=np.array([[[20, 100]]]), labels=np.array([[0]]))
    boxes, points, labels = seen[0]
    assert boxes.tolist() == (BOX / 2).tolist() and points.tolist() == [[[10, 50]]] and labels.tolist() == [[0]]


def test_logits_are_enlarged_without_the_padding(small_segmenter):
    logits = torch.full((1, 16, 16), -1.0)
    logits[:, :8] = 1.0  # the upper half of the square: all of an image that is twice as wide as high
    assert (small_segmenter.enlarge(logits, (20, 40))[0, :18] > 0).all()
    assert small_segmenter.enlarge(logits, (20, 40)).shape == (1, 20, 40)
    tall = small_segmenter.enlarge(logits, (40, 20))[0]
    assert (tall[:19] > 0).all() and (tall[21:] < 0).all()


def test_of_one_click_the_best_of_three_masks_is_taken_and_of_a_box_the_first(small_segmenter, monkeypatch):
    asked = []

    def masks(embeddings, tokens, multimask=False):
        asked.append(multimask)
        logits = torch.full((len(tokens), 3 if multimask else 1, 16, 16), -1.0)
        logits[:, -1] = 1.0
        return logits, torch.tensor([[0.1, 0.2, 0.9]] if multimask else [[0.3]]).expand(len(tokens), -1)

    monkeypatch.setattr(small_segmenter.network, "masks", masks)
    embedding = Embedding(np.zeros((32, 4, 4), np.float16), (64, 64))
    mask, expected = propose(small_segmenter, embedding, [(5, 5)], [1])
    assert mask.all() and expected == pytest.approx(0.9)
    propose(small_segmenter, embedding, [(5, 5), (9, 9)], [1, 0])
    propose(small_segmenter, embedding, box=BOX[0])
    small_segmenter.multimask = False
    propose(small_segmenter, embedding, [(5, 5)], [1])
    assert asked == [True, False, False, False]


def test_a_proposal_from_the_image_is_that_from_its_embedding(small_segmenter, squares):
    image = squares[0][0]
    embedding = small_segmenter.embed(image)
    for given in (([(20, 20)], [1]), ([(20, 20), (3, 3)], [1, 0], BOX[0])):
        mask, expected = propose(small_segmenter, image, *given)
        again, same = propose(small_segmenter, embedding, *given)
        assert mask.shape == (48, 64) and np.array_equal(mask, again) and expected == same
    with pytest.raises(Hw3Error, match="no prompt"):
        propose(small_segmenter, embedding)


def test_prompts_that_do_not_fit_are_refused_with_their_values(small_segmenter):
    embedding = Embedding(np.zeros((32, 4, 4), np.float16), (48, 64))
    one = np.array([[1]])
    for given, said in (
        ({"boxes": np.array([[40, 8, 10, 30]])}, r"box \[40.0, 8.0, 10.0, 30.0\]: expected left < right"),
        ({"boxes": np.array([[0, 0, 65, 30]])}, "64x48 pixels"),
        ({"boxes": np.array([0, 0, 5, 5])}, r"shape \(4,\)"),
        ({"points": np.array([[[5, 49]]]), "labels": one}, r"point \[5.0, 49.0\]"),
        ({"points": np.array([[[5, 5]]]), "labels": one * 2}, r"labels: found \[\[2\]\]"),
        ({"points": np.array([[[5, 5]]])}, "labels: found None"),
        ({"points": np.array([[[np.nan, 5]]]), "labels": one}, "point"),
        ({"points": np.array([[5, 5]]), "labels": one}, "expected \\(N, k, 2\\)"),
        ({"points": np.zeros((2, 1, 2)), "labels": np.ones((2, 1)), "boxes": BOX}, "as there are boxes"),
    ):
        with pytest.raises(Hw3Error, match=said):
            small_segmenter.predict(embedding, **given)
    for image in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(Hw3Error, match="expected uint8"):
            small_segmenter.embed(image)


@pytest.fixture
def files(tmp_path, squares):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, squares[0], strict=False):
        Image.fromarray(image).save(path)
    return paths


def test_an_image_is_encoded_once_and_mapped_from_disk_afterwards(small_segmenter, files, tmp_path, monkeypatch):
    first = embed_files(small_segmenter, files, cache=tmp_path / "cache")
    plain = embed_files(small_segmenter, files)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    monkeypatch.setattr(Segmenter, "embed", lambda *_: pytest.fail("encoded again"))
    files[0].rename(tmp_path / "elsewhere.png")  # what counts is the content
    second = embed_files(small_segmenter, [tmp_path / "elsewhere.png", *files[1:]], cache=tmp_path / "cache")
    for a, b, c in zip(first, second, plain, strict=True):
        assert isinstance(b.values, np.memmap) and a.size == b.size == c.size == (48, 64)
        assert np.array_equal(a.values, b.values) and np.array_equal(a.values, c.values)


def test_another_image_another_encoder_and_a_damaged_file_are_encoded_anew(small_segmenter, files, tmp_path):
    cache = tmp_path / "cache"
    wanted = embed_files(small_segmenter, files[:1], cache=cache)[0].values.copy()
    stored = next(cache.iterdir())
    stored.write_bytes(stored.read_bytes()[:100])
    assert np.array_equal(embed_files(small_segmenter, files[:1], cache=cache)[0].values, wanted)
    Image.fromarray(255 - read_image(files[0])).save(files[0])
    assert not np.array_equal(embed_files(small_segmenter, files[:1], cache=cache)[0].values, wanted)
    assert len(os.listdir(cache)) == 2
    with torch.no_grad():
        small_segmenter.network.encoder.neck[0].weight.mul_(2)
    del small_segmenter.encoder_digest
    embed_files(small_segmenter, files[:1], cache=cache)
    assert len(os.listdir(cache)) == 3


def test_an_unknown_device_is_refused(small_network):
    with pytest.raises(Hw3Error, match="device='abacus'"):
        Segmenter(small_network, "small", device="abacus")


def test_a_click_on_the_real_bottle_is_answered_at_once_and_finds_the_defect(real_data, published_weights, monkeypatch):
    import time

    from hw3lib.data import read_mask

    monkeypatch.setenv("HW3_WEIGHTS", str(published_weights))
    segmenter = Segmenter.load(device="cpu")
    folder = real_data / "bottle"
    truth = read_mask(folder / "ground_truth/contamination/000_mask.png")
    embedding = segmenter.embed(read_image(folder / "test/contamination/000.png"))
    y, x = np.argwhere(truth).mean(0)
    started = time.process_time()
    mask, expected = propose(segmenter, embedding, [(x, y)], [1])
    assert time.process_time() - started < 2  # 0.2 s where nothing else runs
    assert (mask & truth).sum() / (mask | truth).sum() > 0.5 and 0 < expected < 1.1
    assert segmenter.name == sam.MOBILE_SAM
