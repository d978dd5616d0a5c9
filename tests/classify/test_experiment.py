"""Attempts from end to end on small noise images whose classes differ in something simple."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hw3lib import backbones
from hw3lib.classify import Attempt, build, leaderboard, run, train
from hw3lib.classify.experiment import Result
from hw3lib.classify.models import Classifier
from hw3lib.classify.trainer import EarlyStopping, random_augment
from hw3lib.data import load_table, repeated_splits
from hw3lib.errors import Hw3Error

LITE = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> pd.DataFrame:
    """30 images of 32x32 pixels in three classes: noise, noise with an upright bar, noise with a lying bar."""
    root, rng = tmp_path_factory.mktemp("bars"), np.random.default_rng(0)
    for name in ("good", "upright", "lying"):
        (root / "bars" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(80, 120, (32, 32, 3), dtype=np.uint8)
            at = rng.integers(6, 24)
            if name == "upright":
                pixels[:, at : at + 4] = 220
            if name == "lying":
                pixels[at : at + 4] = 220
            Image.fromarray(pixels).save(root / "bars" / name / f"{i}.png")
    return load_table(root, "bars")


@pytest.fixture(scope="module")
def splits(images):
    return repeated_splits(images, 3, 0.3, 0)


def small(name="small", **changes) -> Attempt:
    return Attempt(name, image_size=32, batch_size=8, **{"epochs": 25, **changes})


def test_a_simple_cnn_learns_what_can_be_learnt(images, splits):
    result = run(small(), images, splits)
    assert result.accuracies.mean() > 0.8
    assert result.confusion().sum() == 27 and result.classes == ["good", "lying", "upright"]
    assert all(h["loss"].iloc[-1] < h["loss"].iloc[0] for h in result.histories)


def test_transfer_learns_and_beats_random_features(images, splits):
    attempt = Attempt("t", arch=LITE, strategy="transfer", image_size=64, epochs=20)
    assert run(attempt, images, splits).accuracies.mean() > 0.8


@pytest.mark.parametrize(
    "attempt",
    [
        small("sgd, cosine, augmented", optimiser="sgd", cosine=True, augment=True, epochs=2),
        small("early stopping", patience=1, epochs=3),
        small("resnet from scratch, not normalised", arch="resnet18", normalise=False, epochs=1),
        Attempt("multi-scale", arch=LITE, strategy="transfer", head="multi-scale", image_size=32, epochs=3),
        Attempt(
            "two-stage",
            arch=LITE,
            strategy="two-stage",
            image_size=32,
            epochs=3,
            fine_tune_epochs=1,
            fine_tune_stages=2,
            optimiser="adamw",
        ),
        Attempt("fine-tune", arch=LITE, strategy="fine-tune", image_size=32, epochs=1, augment=True),
    ],
    ids=lambda a: a.name,
)
def test_every_strategy_runs_and_repeats_exactly(images, splits, attempt):
    first, second = (run(attempt, images, splits[:2], seed=5) for _ in range(2))
    assert [p.tolist() for p in first.y_pred] == [p.tolist() for p in second.y_pred]
    pd.testing.assert_frame_equal(first.histories[1], second.histories[1])
    assert len(first.y_pred[0]) == len(splits[0][1])


@pytest.mark.parametrize("arch", [LITE, "resnet18", "mobilenet_v3_small"])
@torch.no_grad()
def test_the_tail_continues_where_the_frozen_stages_end(arch):
    """Frozen stages, then the tail, are the whole network; only the last stages and the head are left to learn."""
    torch.manual_seed(0)
    backbone = backbones.load(arch, pretrained=arch == LITE)
    model = Classifier(backbone, 3, "linear").eval()
    x = torch.randint(0, 256, (2, 3, 64, 64))
    expected = model(x)
    stage = model.frozen_stage(2)
    maps = backbone.feature_maps(x, [stage])[stage]
    tail = model.tail(2).eval()
    torch.testing.assert_close(tail(maps), expected)
    assert (
        0
        < sum(p.numel() for p in tail.parameters())
        < sum(p.numel() for p in backbones.load(arch, pretrained=False).parameters())
    )


def test_more_stages_than_there_are_are_refused():
    model = build(Attempt("t", arch=LITE, strategy="two-stage", fine_tune_epochs=1, fine_tune_stages=99), 3)
    with pytest.raises(Hw3Error, match="fine_tune_stages=99: .* has 9 stages, expected 1 to 8"):
        model.frozen_stage(99)


def test_multi_scale_head_keeps_the_largest_response():
    model = build(Attempt("m", arch=LITE, strategy="transfer", head="multi-scale"), 3).eval()
    x = torch.randint(0, 256, (2, 3, 64, 64))
    with torch.no_grad():
        features = model.features(x)
        maps = model.backbone.feature_maps(x, model.layers)
    assert features.shape[1] == 1280 + sum(2 * m.shape[1] for m in maps.values())
    last = maps[model.layers[-1]]
    torch.testing.assert_close(features[:, -last.shape[1] :], last.amax((2, 3)))


def test_images_per_class_takes_from_the_training_part_only(images, splits, monkeypatch):
    seen = []
    real = train

    def spy(model, inputs, labels, *args, **kwargs):
        seen.append(labels.tolist())
        return real(model, inputs, labels, *args, **kwargs)

    monkeypatch.setattr("hw3lib.classify.experiment.train", spy)
    run(small(images_per_class=3, epochs=1), images, splits[:1])
    assert sorted(seen[0]) == [0] * 3 + [1] * 3 + [2] * 3


def test_validation_images_come_out_of_the_training_part(images, splits, monkeypatch):
    """No test image chooses the epoch: training and validation together are the training part, and disjoint."""
    seen = []
    real = train

    def spy(model, inputs, labels, *args, validation=None, **kwargs):
        seen.append((inputs, validation[0]))
        return real(model, inputs, labels, *args, validation=validation, **kwargs)

    monkeypatch.setattr("hw3lib.classify.experiment.train", spy)
    run(small(patience=1, epochs=1), images, splits[:1])
    learn, valid = ({x.numpy().tobytes() for x in part} for part in seen[0])
    assert not learn & valid and len(learn | valid) == len(splits[0][0])


def test_interrupted_run_goes_on_and_equals_an_undisturbed_one(images, splits, tmp_path, monkeypatch):
    attempt = small(epochs=2)
    undisturbed = run(attempt, images, splits)
    real, calls = train, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr("hw3lib.classify.experiment.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(attempt, images, splits, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    resumed = run(attempt, images, splits, keep=tmp_path)
    assert len(calls) == 4
    assert [p.tolist() for p in resumed.y_pred] == [p.tolist() for p in undisturbed.y_pred]


def test_kept_outcomes_are_of_the_same_images_splits_and_settings(images, splits, tmp_path):
    run(small(epochs=1), images, splits, keep=tmp_path)
    run(small("another name, the same settings", epochs=1), images, splits, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    run(small(epochs=1, lr=2e-3), images, splits, keep=tmp_path)
    run(small(epochs=1), images, splits, keep=tmp_path, seed=1)
    run(small(epochs=1), images, repeated_splits(images, 3, 0.3, 1), keep=tmp_path)
    relabelled = images.assign(defect=images["defect"].replace({"lying": "zigzag"}))
    run(small(epochs=1), relabelled, splits, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 15


def test_damaged_kept_outcome_is_made_again(images, splits, tmp_path):
    run(small(epochs=1), images, splits[:1], keep=tmp_path)
    path = next(tmp_path.iterdir())
    path.write_text(path.read_text()[:20])
    run(small(epochs=1), images, splits[:1], keep=tmp_path)
    assert json.loads(path.read_text())["y_pred"]


def result(name: str, right: list[list[bool]]) -> Result:
    y = [np.zeros(len(r), int) for r in right]
    return Result(
        Attempt(name),
        ["good", "dent"],
        80,
        20,
        y,
        [1 - np.array(r, int) for r in right],
        [np.arange(len(r)) for r in right],
        [],
        [1.0] * len(right),
    )


def test_leaderboard_ranks_and_pairs():
    weak = result("weak", [[True, False, False, False], [True, True, False, False]])
    strong = result("strong", [[True, True, True, False], [True, True, True, True]])
    table = leaderboard([weak, strong])
    assert list(table["attempt"]) == ["strong", "weak"]
    assert table["accuracy"].tolist() == [0.875, 0.375]
    row = table.iloc[0]
    # The difference is the same on both splits, so its interval has no width although the accuracies' own have.
    assert (row["gain"], row["gain_low"], row["gain_high"]) == (0.5, 0.5, 0.5)
    assert row["ci_high"] == 1 and 0 <= row["ci_low"] < row["accuracy"]
    assert np.isnan(table.iloc[1]["gain"])


def test_results_of_different_splits_are_not_compared():
    a, b = result("a", [[True], [True]]), result("b", [[True], [True]])
    b.test[1] = np.array([5])
    with pytest.raises(Hw3Error, match="different splits"):
        a.gain(b)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"strategy": "magic"}, "strategy"),
        ({"optimiser": "lbfgs"}, "optimiser"),
        ({"epochs": 0}, "epochs"),
        ({"lr": -1}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"strategy": "transfer"}, "arch"),
        ({"image_size": 0}, "image_size"),
        ({"arch": LITE, "strategy": "two-stage"}, "fine_tune_epochs"),
        ({"arch": LITE, "strategy": "transfer", "augment": True}, "augment"),
        ({"fine_tune_stages": 2}, "fine_tune_stages"),
    ],
)
def test_an_attempt_that_makes_no_sense_is_refused(changes, field):
    with pytest.raises(Hw3Error, match=f"attempt 'x': {field}="):
        Attempt("x", **changes)


def test_attempts_compare_by_settings():
    a, b = Attempt("a"), Attempt("b", lr=0.01)
    assert a.key == Attempt("other name").key != b.key
    assert b.differences(a) == {"lr": (1e-3, 0.01)}


def test_loss_that_is_not_finite_is_told(images, splits):
    with pytest.raises(Hw3Error, match="loss became .* lower learning rate"):
        run(small(lr=1e30, optimiser="sgd", epochs=5), images, splits[:1])


def test_early_stopping_goes_back_to_the_best():
    model = torch.nn.Linear(1, 1)
    stopping, losses = EarlyStopping(2), [1.0, 0.5, 0.7, 0.6]
    answers = []
    for loss in losses:
        torch.nn.init.constant_(model.weight, loss)
        answers.append(stopping(model, {"val_loss": loss}))
    assert answers == [False, False, False, True]
    stopping.restore(model)
    assert model.weight.item() == 0.5


def test_augmentation_draws_for_each_image_and_keeps_the_range():
    images = torch.randint(0, 256, (6, 3, 20, 20), dtype=torch.uint8)
    images[1:] = images[0]
    out = random_augment(images, torch.Generator().manual_seed(0))
    assert out.shape == images.shape and out.min() >= 0 and out.max() <= 255
    assert len({x.numpy().tobytes() for x in out}) == 6


def test_training_leaves_torchs_own_generator_alone(images, splits):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run(small(epochs=1), images, splits[:1])
    assert torch.equal(torch.rand(2), expected)
