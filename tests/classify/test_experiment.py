"""Attempts from end to end on small noise images whose classes differ in something simple."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from hw3lib.classify import Attempt, check_attempt, experiment, fit_splits, run_attempt
from hw3lib.classify.experiment import pick_device, resolve
from hw3lib.data import ImageStack, repeated_splits
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.callbacks import Callback
from hw3lib.networks.trainer import predict, train

LITE = "tf_efficientnet_lite0"


def small(name="small", **changes) -> Attempt:
    return Attempt(name, **{"image_size": 32, "batch_size": 8, "epochs": 25, **changes})


def one_network(attempt, table, splits):
    (fitted,) = fit_splits(attempt, table, splits, only=[0])
    return fitted.model


def test_a_simple_cnn_learns_what_can_be_learnt(bars, bar_splits):
    result = run_attempt(small(), bars, bar_splits)
    assert result.accuracies.mean() > 0.8
    assert result.confusion().sum() == 27 and result.classes == ["good", "lying", "upright"]
    assert all(h["loss"].iloc[-1] < h["loss"].iloc[0] for h in result.histories)


def test_transfer_learns_and_beats_random_features(bars, bar_splits):
    attempt = small("t", arch=LITE, strategy="transfer", image_size=64, batch_size=16, epochs=20)
    assert run_attempt(attempt, bars, bar_splits).accuracies.mean() > 0.8


STAGES = {"strategy": "two-stage", "fine_tune_epochs": 1, "fine_tune_stages": 2}


@pytest.mark.parametrize(
    "attempt",
    [
        small("sgd, cosine, augmented", optimiser="sgd", cosine=True, flip=True, rotation=10, epochs=2),
        small("early stopping", patience=1, epochs=3),
        small("resnet from scratch, not normalised", arch="resnet18", normalise=False, epochs=1),
        small(
            "multi-scale, augmented", arch=LITE, strategy="transfer", head="multi-scale", epochs=3, flip=True, views=3
        ),
        small("two-stage, augmented", arch=LITE, epochs=3, optimiser="adamw", colour_jitter=0.1, views=2, **STAGES),
        small("fine-tune", arch=LITE, strategy="fine-tune", epochs=1, flip=True),
        small("adapters", arch=LITE, strategy="adapters", epochs=1),
        small("lora", arch=LITE, strategy="lora", epochs=1),
    ],
    ids=lambda a: a.name,
)
def test_every_strategy_runs_and_repeats_exactly(bars, bar_splits, attempt):
    first, second = (run_attempt(attempt, bars, bar_splits[:1], seed=5) for _ in range(2))
    assert [p.tolist() for p in first.probabilities] == [p.tolist() for p in second.probabilities]
    pd.testing.assert_frame_equal(first.histories[0], second.histories[0])
    assert len(first.y_pred[0]) == len(bar_splits[0][1])


def test_images_per_class_takes_from_the_training_part_only(bars, bar_splits, monkeypatch):
    seen = []
    real = train

    def spy(model, inputs, labels, *args, **kwargs):
        seen.append(labels.tolist())
        return real(model, inputs, labels, *args, **kwargs)

    monkeypatch.setattr("hw3lib.classify.experiment.train", spy)
    run_attempt(small(images_per_class=3, epochs=1), bars, bar_splits[:1])
    assert sorted(seen[0]) == [0] * 3 + [1] * 3 + [2] * 3


def test_validation_images_come_out_of_the_training_part(bars, bar_splits, monkeypatch):
    """No test image chooses the epoch: training and validation together are the training part, and disjoint."""
    seen = []
    real = train

    def spy(model, inputs, labels, *args, validation=None, **kwargs):
        seen.append((inputs, validation[0]))
        return real(model, inputs, labels, *args, validation=validation, **kwargs)

    monkeypatch.setattr("hw3lib.classify.experiment.train", spy)
    run_attempt(small(patience=1, epochs=1), bars, bar_splits[:1])
    learn, valid = ({x.numpy().tobytes() for x in part} for part in seen[0])
    assert not learn & valid and len(learn | valid) == len(bar_splits[0][0])


def test_interrupted_run_goes_on_and_equals_an_undisturbed_one(bars, bar_splits, tmp_path, monkeypatch):
    attempt = small(epochs=2)
    undisturbed = run_attempt(attempt, bars, bar_splits)
    real, calls = train, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr("hw3lib.classify.experiment.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_attempt(attempt, bars, bar_splits, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    resumed = run_attempt(attempt, bars, bar_splits, keep=tmp_path)
    assert len(calls) == 4
    assert [p.tolist() for p in resumed.y_pred] == [p.tolist() for p in undisturbed.y_pred]


def test_kept_outcomes_are_of_the_same_images_splits_and_settings(bars, bar_splits, tmp_path):
    run_attempt(small(epochs=1), bars, bar_splits, keep=tmp_path)
    run_attempt(small("another name, the same settings", epochs=1), bars, bar_splits, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    run_attempt(small(epochs=1, lr=2e-3), bars, bar_splits, keep=tmp_path)
    run_attempt(small(epochs=1), bars, bar_splits, keep=tmp_path, seed=1)
    run_attempt(small(epochs=1), bars, repeated_splits(bars, 3, 0.3, 1), keep=tmp_path)
    relabelled = bars.assign(defect=bars["defect"].replace({"lying": "zigzag"}))
    run_attempt(small(epochs=1), relabelled, bar_splits, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 15


def test_damaged_kept_outcome_is_made_again(bars, bar_splits, tmp_path):
    run_attempt(small(epochs=1), bars, bar_splits[:1], keep=tmp_path)
    path = next(tmp_path.iterdir())
    path.write_text(path.read_text()[:20])
    run_attempt(small(epochs=1), bars, bar_splits[:1], keep=tmp_path)
    assert json.loads(path.read_text())["probabilities"]


def test_loss_that_is_not_finite_is_reported(bars, bar_splits):
    told = r"attempt 'small': the training loss became (nan|inf) in epoch \d at learning rate 1e\+30; use a lower"
    with pytest.raises(Hw3Error, match=told):
        run_attempt(small(lr=1e30, optimiser="sgd", epochs=5), bars, bar_splits[:1])


def test_training_leaves_torchs_own_generator_alone(bars, bar_splits):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run_attempt(small(epochs=1), bars, bar_splits[:1])
    assert torch.equal(torch.rand(2), expected)


def test_probabilities_are_kept_and_the_largest_is_the_prediction(bars, bar_splits, tmp_path):
    first, again = (run_attempt(small(epochs=2), bars, bar_splits, keep=tmp_path) for _ in range(2))
    for fresh, kept, y_pred in zip(first.probabilities, again.probabilities, again.y_pred, strict=True):
        assert kept.dtype == np.float32 and kept.shape == (9, 3)
        np.testing.assert_array_equal(kept, fresh)
        np.testing.assert_allclose(kept.sum(1), 1, rtol=1e-5)
        np.testing.assert_array_equal(y_pred, kept.argmax(1))
    assert first.calibration().table["count"].sum() == 27


@pytest.mark.parametrize("changes", [{}, {"images_per_class": 5}, {"patience": 2}])
def test_a_batch_larger_than_the_training_images_is_refused(bars, bar_splits, changes):
    left = {"images_per_class": 15, "patience": 16}.get(next(iter(changes), None), 21)
    with pytest.raises(
        Hw3Error, match=f"batch_size={left + 1} is more than the {left} images to train on.*smaller batch"
    ):
        run_attempt(small(batch_size=left + 1, **changes), bars, bar_splits)


@pytest.mark.parametrize(("field", "value"), [("images_per_class", 8), ("patience", 1)])
def test_too_few_images_are_reported_with_the_field_that_asks_for_them(bars, bar_splits, field, value):
    few = bars.groupby("defect").head(3).reset_index(drop=True)
    rows = np.arange(len(few))
    with pytest.raises(Hw3Error, match=f"attempt 'small': {field}={value}: "):
        run_attempt(small(**{field: value}, batch_size=2), few, [(rows[[0, 3, 6]], rows[[1, 4, 7]])])


def test_a_killed_run_goes_on_within_a_split(bars, bar_splits, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "CHECKPOINT_SECONDS", 0.0)
    attempt = small(epochs=4, flip=True, cosine=True, patience=3)
    undisturbed = run_attempt(attempt, bars, bar_splits[:1])

    class Kill(Callback):
        epochs = 0

        def on_epoch(self, training):
            Kill.epochs += 1
            if Kill.epochs == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_attempt(attempt, bars, bar_splits[:1], keep=tmp_path, callbacks=[Kill()])
    assert [p.suffixes for p in tmp_path.iterdir()] == [[".all", ".pt"]]
    resumed = run_attempt(attempt, bars, bar_splits[:1], keep=tmp_path, callbacks=[Kill()])
    assert Kill.epochs == 3 + 2, "epochs 3 and 4 were run again, 1 and 2 were not"
    assert [p.suffix for p in tmp_path.iterdir()] == [".json"]
    np.testing.assert_array_equal(resumed.probabilities[0], undisturbed.probabilities[0])
    pd.testing.assert_frame_equal(resumed.histories[0], undisturbed.histories[0])


@pytest.mark.parametrize(
    "attempt",
    [
        small(epochs=2),
        small("transfer", arch=LITE, strategy="transfer", epochs=2),
        small("two-stage", arch=LITE, epochs=1, **STAGES),
        small("lora", arch=LITE, strategy="lora", epochs=1),
    ],
    ids=lambda a: a.name,
)
def test_the_network_of_one_split_is_whole_and_the_one_that_run_trains(bars, bar_splits, attempt):
    (fitted,) = fit_splits(attempt, bars, bar_splits, only=[1], seed=3, precision="float32")
    result = run_attempt(attempt, bars, bar_splits, seed=3, precision="float32")
    np.testing.assert_array_equal(fitted.probabilities, result.probabilities[1])
    test = bar_splits[1][1]
    logits = predict(fitted.model, fitted.images[torch.from_numpy(test)])
    np.testing.assert_allclose(logits.softmax(1), fitted.probabilities, atol=1e-5)
    assert not fitted.model.training and fitted.labels[test].tolist() == result.y[1].tolist()


def test_a_frozen_part_reads_each_view_once_and_test_images_are_never_changed(bars, bar_splits, monkeypatch):
    """Views are the image itself and random ones; the head learns from all, and is tested on the first alone."""
    seen = []
    real = train

    def spy(model, inputs, labels, *args, augment=None, validation=None, **kwargs):
        seen.append((inputs, augment, validation[0]))
        return real(model, inputs, labels, *args, augment=augment, validation=validation, **kwargs)

    monkeypatch.setattr(experiment, "train", spy)
    base = {"arch": LITE, "strategy": "transfer", "epochs": 1, "patience": 1}
    run_attempt(small(**base), bars, bar_splits[:1])
    run_attempt(small(**base, flip=True, rotation=20, views=3), bars, bar_splits[:1])
    (plain, none, plain_valid), (views, augment, valid) = seen
    assert none is None and augment is not None and views.shape == (len(plain), 3, plain.shape[1])
    torch.testing.assert_close(views[:, 0], plain, rtol=0, atol=0)
    torch.testing.assert_close(valid, plain_valid, rtol=0, atol=0)
    assert all(not torch.allclose(views[:, 0], views[:, v], rtol=0.01, atol=0.01) for v in (1, 2))
    assert not torch.allclose(views[:, 1], views[:, 2], rtol=0.01, atol=0.01)


def test_only_what_a_strategy_lets_learn_is_changed(bars, bar_splits):
    """Running statistics stay ImageNet's and frozen weights stay; what was added has learnt."""
    for strategy in ("adapters", "lora"):
        model = one_network(small(arch=LITE, strategy=strategy, epochs=1), bars, bar_splits)
        state = model.backbone.network.state_dict()
        added = {k: v for k, v in state.items() if "lora_" in k or ".down." in k or ".up." in k}
        # The added layers aside, the order of the tensors is the original network's, its last layer left off.
        kept = [v for k, v in state.items() if k not in added]
        fresh = [v for k, v in backbones.load(LITE).network.state_dict().items() if "classifier" not in k]
        names = [k for k in backbones.load(LITE).network.state_dict() if "classifier" not in k]
        learnt = {k for k, a, b in zip(names, fresh, kept, strict=True) if not torch.equal(a, b)}
        norms = {k for k, v in zip(names, fresh, strict=True) if v.ndim == 1 and k.endswith((".weight", ".bias"))}
        assert learnt == (norms if strategy == "adapters" else set())
        ups = [v for k, v in added.items() if k.endswith(("up.weight", "lora_B.default.weight"))]
        assert len(ups) > 15 and all(v.abs().max() > 0 for v in ups)


def test_devices_and_precisions_that_there_are_not_are_refused(bars, bar_splits):
    with pytest.raises(Hw3Error, match="device='gpu' cannot be used"):
        pick_device("gpu")
    with pytest.raises(Hw3Error, match="precision='fp8': expected one of auto, float32, bf16"):
        run_attempt(small(), bars, bar_splits, precision="fp8")


def test_bfloat16_is_another_arithmetic(bars, bar_splits):
    exact, coarse = (run_attempt(small(epochs=2), bars, bar_splits[:1], precision=p) for p in ("float32", "bf16"))
    assert 0 < np.abs(exact.probabilities[0] - coarse.probabilities[0]).max() < 0.1
    assert exact.histories[0]["loss"].tolist() != coarse.histories[0]["loss"].tolist()


def test_a_head_on_frozen_features_learns_in_float32(bars, bar_splits, monkeypatch):
    seen = []
    real = train

    def spy(*args, precision, **kwargs):
        seen.append(precision)
        return real(*args, precision=precision, **kwargs)

    monkeypatch.setattr(experiment, "train", spy)
    run_attempt(small(arch=LITE, epochs=1, **STAGES), bars, bar_splits[:1], precision="bf16")
    assert seen == ["float32", "bf16"]


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"amx_bf16": True}, "bf16"), ({"amx_bf16": False}, "float32"), ({}, "float32")]
)
def test_a_processor_takes_bfloat16_where_it_multiplies_it_and_has_no_grouped_gradient(
    monkeypatch, capabilities, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    cpu = torch.device("cpu")
    grouped = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4))
    assert resolve("auto", cpu) == expected
    assert resolve("auto", cpu, torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3))) == expected
    assert resolve("auto", cpu, grouped) == "float32" and resolve("bf16", cpu, grouped) == "bf16"
    assert resolve("float32", cpu) == "float32"
    assert [resolve("auto", torch.device(d), grouped) for d in ("cuda", "mps")] == ["bf16", "float32"]


def test_a_torch_that_does_not_say_what_the_processor_can_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve("auto", torch.device("cpu")) == "float32"


def test_a_training_and_its_test_are_in_the_same_precision(bars, bar_splits, monkeypatch):
    """Depthwise gradients are left in float32; what reads the images once before is not."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    asked = []
    for name, real in (("train", train), ("predict", predict)):
        monkeypatch.setattr(experiment, name, lambda *a, real=real, **k: asked.append(k["precision"]) or real(*a, **k))
    run_attempt(small(epochs=1), bars, bar_splits[:1])
    run_attempt(small(arch=LITE, epochs=1, **STAGES), bars, bar_splits[:1])
    assert asked == ["bf16", "bf16", "float32", "float32", "float32"]


WHOLE = [
    {"strategy": "scratch"},
    {"strategy": "fine-tune"},
    {"strategy": "two-stage", "fine_tune_epochs": 1},
]
PART = [{"strategy": "transfer"}, STAGES, {"strategy": "adapters"}, {"strategy": "lora"}]


@pytest.mark.parametrize("changes", WHOLE + PART, ids=lambda c: "-".join(map(str, c.values())))
def test_batch_normalisation_learns_exactly_where_every_weight_does(bars, bar_splits, changes):
    """Statistics of what learns as a whole follow its weights; those of a frozen part stay as they were trained."""
    model = one_network(small(arch=LITE, epochs=1, **changes), bars, bar_splits)
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    fresh = [m for m in backbones.load(LITE).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    moved = {not torch.equal(a.running_var, b.running_var) for a, b in zip(norms, fresh, strict=True)}
    assert moved == {changes in WHOLE} and {m.momentum for m in norms} == {0.1 if changes in WHOLE else 0.01}


def test_splits_share_images_and_frozen_features(bars, bar_splits, monkeypatch):
    decoded, read = [], []
    monkeypatch.setattr("hw3lib.classify.inputs.ImageStack.load", spied(ImageStack.load, decoded))
    monkeypatch.setattr(experiment.Inputs, "_read", spied(experiment.Inputs._read, read))
    networks = list(fit_splits(small(arch=LITE, strategy="transfer", epochs=1), bars, bar_splits))
    assert len(networks) == 3 and len(decoded) == 1 and len(read) == 1


def spied(function, calls):
    return lambda *args, **options: calls.append(args) or function(*args, **options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 22}, "batch_size=22 is more than the 21 images"),
        ({"images_per_class": 8}, "images_per_class=8: "),
        ({"arch": LITE, **STAGES, "fine_tune_stages": 9}, "fine_tune_stages=9: .* has 9 stages"),
        ({"arch": "vit_b_16"}, "attempt 'small': vit_b_16 does not take images of image_size=32: .*another size"),
        ({"arch": "alexnet", "image_size": 16}, "attempt 'small': alexnet does not take images of image_size=16: "),
        ({"arch": "resnet19"}, "unknown architecture 'resnet19'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_run_is_refused_beforehand(bars, bar_splits, changes, said, monkeypatch):
    monkeypatch.setattr(experiment, "train", None)
    with pytest.raises(Hw3Error, match=said):
        check_attempt(small(**changes), bars, bar_splits)


def test_a_check_draws_nothing_and_passes_what_runs(bars, bar_splits):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_attempt(small(arch="resnet18"), bars, bar_splits)
    check_attempt(small(arch=LITE, **STAGES), bars, bar_splits)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("cosine", [False, True])
def test_the_rate_falls_along_a_cosine_if_it_is_to(cosine, bars, bar_splits, rates):
    run_attempt(small(epochs=4, cosine=cosine, lr=0.01, weight_decay=0.1), bars, bar_splits[:1])
    steps = len(rates) // 4
    shares = [(1 + np.cos(np.pi * epoch / 4)) / 2 if cosine else 1 for epoch in range(4)]
    assert steps > 1 and rates == pytest.approx([0.01 * share for share in shares for _ in range(steps)])
    assert rates.groups[0]["weight_decay"] == 0.1
