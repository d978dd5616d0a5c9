"""hw3lib.annotate.masks.finetune: what is trained learns, what is frozen stays, one seed gives one result."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hw3lib.annotate.instances import Instance
from hw3lib.annotate.masks.finetune import FineTuning, _Samples, fine_tune, low_resolution
from hw3lib.annotate.masks.saved import load, save
from hw3lib.core.saved import settings_digest
from hw3lib.errors import Hw3Error
from hw3lib.networks.losses import dice_loss_per_image


@pytest.fixture
def material(small_segmenter, squares):
    images, instances = squares
    return small_segmenter, {row: small_segmenter.embed(image) for row, image in enumerate(images)}, instances


def decoder(segmenter):
    return {name: tensor.clone() for name, tensor in segmenter.network.mask_decoder.state_dict().items()}


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_training_raises_the_iou_and_changes_the_decoder_alone(small_segmenter, squares):
    # One image twice: with a random encoder nothing else can be recognised again.
    segmenter, image, one = small_segmenter, squares[0][0], squares[1][0]
    embedding = segmenter.embed(image)
    material = segmenter, {0: embedding, 1: embedding}, [one, replace(one, row=1)]
    before = {name: tensor.clone() for name, tensor in segmenter.network.state_dict().items()}
    tuned, history = fine_tune(*material, FineTuning(num_epochs=40, lr=5e-3, weight_decay=0))
    assert history.kept == 40 and len(history.epochs) == 41
    assert history.epochs["loss"].iloc[-1] < history.epochs["loss"].iloc[1]
    assert history.epochs["iou"].iloc[-1] > history.epochs["iou"][0] + 0.3
    assert same(before, segmenter.network.state_dict())
    changed = {n.split(".")[0] for n, t in tuned.network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"mask_decoder"}
    assert tuned.network.encoder is segmenter.network.encoder
    assert not tuned.multimask and not any(p.requires_grad for p in tuned.network.parameters())


def with_ious(monkeypatch, *means, spread=0.0):
    """Let two held-out samples have these mean IoUs, epoch for epoch; returns the decoders that were asked.

    They lie ``spread`` below and above the mean, after the first epoch the other way round.
    """
    each, seen = iter(means), []

    def ious(samples, segmenter):
        seen.append(decoder(segmenter))
        turn = {1: 0, 2: 1}.get(len(seen), -1)
        return next(each) + turn * np.array([-spread, spread])

    monkeypatch.setattr("hw3lib.annotate.masks.finetune._Samples.ious", ious)
    return seen


def test_the_last_epoch_is_kept_even_if_an_earlier_one_looked_better(material, monkeypatch):
    seen = with_ious(monkeypatch, 0.5, 0.9, 0.4, 0.6, spread=0.2)
    tuned, history = fine_tune(*material, FineTuning(num_epochs=3))
    assert history.kept == 3 and history.epochs["iou"].tolist() == pytest.approx([0.5, 0.9, 0.4, 0.6])
    assert same(decoder(tuned), seen[3]) and not same(seen[1], seen[3])


def test_training_that_clearly_harms_ends_early_and_the_best_epoch_is_kept(material, monkeypatch):
    # From the best epoch on gains of -0.1 -+ 0.04: the standard error of their mean is 0.04.
    seen = with_ious(monkeypatch, 0.5, 0.6, 0.5, 0.6, 0.5, 0.5, spread=0.02)
    tuned, history = fine_tune(*material, FineTuning(num_epochs=9, patience=2))
    assert len(history.epochs) == 6 and history.kept == 1 and same(decoder(tuned), seen[1])


@pytest.mark.parametrize(("spread", "kept"), [(0.04, 0), (0.06, 2)])
def test_harm_within_twice_its_standard_error_changes_nothing(material, monkeypatch, spread, kept):
    # Two samples that lose 0.1 on average: with gains of -0.1 -+ spread the standard error of the mean is the spread.
    with_ious(monkeypatch, 0.5, 0.4, 0.4, spread=spread)
    tuned, history = fine_tune(*material, FineTuning(num_epochs=2))
    assert history.kept == kept and same(decoder(tuned), decoder(material[0])) == (kept == 0)


def test_without_held_out_images_all_are_learned_from(material, tmp_path):
    segmenter, embeddings, instances = material
    tuned, history = fine_tune(segmenter, embeddings, instances, FineTuning(num_epochs=1, validation=0))
    assert history.train == list(range(6)) and history.validation == [] and history.kept == 1
    assert history.epochs["iou"].isna().all() and not same(decoder(tuned), decoder(segmenter))
    save(tuned, tmp_path / "sam", history)
    assert json.loads((tmp_path / "sam/sam.json").read_text())["history"] == {"kept": 1, "iou": [None, None]}
    fine_tune(segmenter, embeddings, instances[:1], FineTuning(num_epochs=1, validation=0))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(material):
    settings = {"num_epochs": 2, "lr": 1e-3}
    state = torch.random.get_rng_state()
    one, first = fine_tune(*material, FineTuning(**settings))
    torch.rand(3)  # the global generator has no say
    two, second = fine_tune(*material, FineTuning(**settings))
    three, _ = fine_tune(*material, FineTuning(**settings, seed=1))
    assert same(decoder(one), decoder(two)) and first.epochs.equals(second.epochs)
    assert not same(decoder(one), decoder(three))
    torch.random.set_rng_state(state)


def test_heads_leave_the_attention_as_it_was(material):
    tuned, _ = fine_tune(*material, FineTuning(num_epochs=2, lr=1e-2, trained="heads", validation=0))
    before, after = decoder(material[0]), decoder(tuned)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in changed if name.startswith(("transformer", "mask_tokens", "iou_token"))]


def test_weight_decay_pulls_towards_the_published_weights(material):
    free, held = (
        fine_tune(*material, FineTuning(num_epochs=2, lr=1e-3, weight_decay=pull, validation=0))[0] for pull in (0, 500)
    )
    start = decoder(material[0])
    moved = [sum(float((d[n] - start[n]).abs().sum()) for n in d) for d in (decoder(free), decoder(held))]
    assert moved[1] < 0.7 * moved[0]


def test_held_out_images_are_not_learned_from_and_come_from_each_class(material):
    _, history = fine_tune(*material, FineTuning(num_epochs=1, validation=0.34))
    assert sorted(history.train + history.validation) == list(range(6)) and len(history.validation) == 2
    assert {row % 2 for row in history.validation} == {0, 1}  # rows alternate between the classes


def test_boxes_of_a_detector_ask_for_all_that_is_defective_inside(material, monkeypatch):
    segmenter, embeddings, instances = material
    one = instances[0]
    left, top, right, bottom = one.xyxy
    inside = np.zeros(one.size, bool)
    inside[top:bottom, : (left + right) // 2] = True  # a box that holds the left half of the defect and more
    found = Instance.from_mask(0, "defect", inside)
    samples = _Samples(segmenter, embeddings, instances[:2], "detector", [found, replace(found, row=5)])
    assert list(samples.detected) == [0]
    assert not _Samples(segmenter, embeddings, instances[:2], "box", [found]).detected, "a person's boxes are tight"
    ((same_one, target),) = samples.detected[0]
    assert same_one is found and np.array_equal(target.numpy(), low_resolution(one.mask & found.mask, 16))
    boxes = []
    logits = samples._logits
    monkeypatch.setattr(
        samples, "_logits", lambda s, rows, b, c: boxes.extend(zip(rows, b, strict=True)) or logits(s, rows, b, c)
    )
    rng = np.random.default_rng(0)
    for _ in range(40):
        samples.loss(segmenter, [0, 1], rng)
    wide = [box[0] < left / 2 for row, box in boxes if row == 0]
    assert 8 <= sum(wide) <= 32 and not any(abs(b - instances[1].xyxy).max() > 20 for row, b in boxes if row == 1)


def test_dice_and_low_resolution_are_those_worked_out_by_hand():
    target = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    # p = 1/2 everywhere: 1 - (2 * 1 + 1) / (2 + 2 + 1)
    assert float(dice_loss_per_image(torch.zeros(1, 2, 2), target)) == pytest.approx(1 - 3 / 5)
    assert float(dice_loss_per_image(40 * (target - 0.5), target)) == pytest.approx(0, abs=1e-6)
    mask = np.zeros((4, 8), bool)
    mask[:2, :3] = True  # twice as wide as high: the lower half of the square is padding
    wanted = np.zeros((4, 4))
    wanted[0, 0], wanted[0, 1] = 1, 0.5
    assert np.allclose(low_resolution(mask, 4), wanted)


def test_what_is_saved_is_the_decoder_alone_and_loads_back(material, tmp_path):
    tuned, history = fine_tune(*material, FineTuning(num_epochs=1))
    save(tuned, tmp_path / "sam", history)
    assert sorted(p.name for p in (tmp_path / "sam").iterdir()) == ["decoder.safetensors", "sam.json"]
    loaded = load(tmp_path / "sam", material[0])
    assert same(decoder(loaded), decoder(tuned)) and loaded.multimask is False
    box = np.array([[5.0, 5, 40, 40]])
    wanted, found = (s.predict(material[1][0], boxes=box) for s in (tuned, loaded))
    assert np.array_equal(wanted.masks, found.masks) and np.array_equal(wanted.iou, found.iou)
    with pytest.raises(Hw3Error, match="exists already"):
        save(tuned, tmp_path / "sam")


def test_damaged_and_foreign_folders_are_refused(material, tmp_path):
    save(material[0], tmp_path / "sam")
    with pytest.raises(Hw3Error, match="no saved fine-tuned SAM"):
        load(tmp_path / "nowhere", material[0])
    settings = json.loads((tmp_path / "sam/sam.json").read_text())
    (tmp_path / "sam/sam.json").write_text(json.dumps(settings | {"format": 99}))
    with pytest.raises(Hw3Error, match="found format 99, expected 2"):
        load(tmp_path / "sam", material[0])
    other = {name: value for name, value in settings.items() if name != "settings_sha256"} | {"encoder": "0" * 64}
    (tmp_path / "sam/sam.json").write_text(json.dumps(other | {"settings_sha256": settings_digest(other)}))
    with pytest.raises(Hw3Error, match="another small"):
        load(tmp_path / "sam", material[0])
    (tmp_path / "sam/sam.json").write_text(json.dumps(settings))
    (tmp_path / "sam/decoder.safetensors").write_bytes(b"short")
    with pytest.raises(Hw3Error, match="decoder.safetensors: is damaged"):
        load(tmp_path / "sam", material[0])


def test_wrong_settings_and_too_few_images_are_refused(material):
    segmenter, embeddings, instances = material
    wrong = {"num_epochs": 0, "lr": 0, "batch_size": 0, "trained": "encoder", "prompt": "text", "validation": 1.0}
    for name, value in wrong.items():
        with pytest.raises(Hw3Error, match=f"{name}={value!r}"):
            FineTuning(**{name: value})
    with pytest.raises(Hw3Error, match=r"1 image\(s\)"):
        fine_tune(segmenter, embeddings, instances[:1])
    with pytest.raises(Hw3Error, match="none for image 9"):
        stranger = Instance.from_mask(9, "dent", np.ones((8, 8), bool))
        fine_tune(segmenter, embeddings, [*instances, stranger])
    broken = embeddings | {row: embeddings[row]._replace(values=embeddings[row].values * np.nan) for row in range(6)}
    with pytest.raises(Hw3Error, match="became nan in step 1 at lr=0.5; use a lower"):
        fine_tune(segmenter, broken, instances, FineTuning(lr=0.5))


def test_whole_products_are_held_out(material):
    groups = {0: 0, 2: 0, 1: 1, 3: 1, 4: 2, 5: 3}
    _, history = fine_tune(*material, FineTuning(num_epochs=1, validation=0.5), groups=groups)
    assert len(history.validation) >= 2
    assert not {groups[row] for row in history.validation} & {groups[row] for row in history.train}


def test_the_loss_is_cross_entropy_dice_and_the_error_of_the_expected_iou(material, monkeypatch):
    segmenter, embeddings, instances = material
    samples = _Samples(segmenter, embeddings, instances[:2], "box")
    logits = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([0.9, 0.2])
    monkeypatch.setattr(samples, "_logits", lambda *_: (logits, expected))
    loss = samples.loss(segmenter, [0, 1], np.random.default_rng(0))
    p, t = 1 / (1 + np.exp(-logits.double().numpy())), np.stack([t.numpy() for t in samples.targets]).astype(float)
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    dice = np.mean([1 - (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1) for a, b in zip(p, t, strict=True)])
    found, wanted = p > 0.5, t > 0.5
    reached = [(a & b).sum() / (a | b).sum() for a, b in zip(found, wanted, strict=True)]
    assert loss.item() == pytest.approx(entropy + dice + np.mean((expected.numpy() - reached) ** 2), rel=1e-5)


def test_the_rate_warms_up_for_an_epoch_and_falls_to_zero_along_a_cosine(material, rates):
    fine_tune(*material, FineTuning(num_epochs=3, lr=1e-3, validation=0, batch_size=3))
    # Two steps an epoch: 1/2, 1, then half a cosine of four steps.
    cosine = [(1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
    assert rates == pytest.approx([1e-3 * share for share in (0.5, 1, *cosine)])
