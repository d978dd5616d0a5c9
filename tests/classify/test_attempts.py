"""Attempts are values that make sense."""

import pytest

from hw3lib.classify import Attempt, guided
from hw3lib.errors import Hw3Error

LITE = "tf_efficientnet_lite0"


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
        ({"fine_tune_stages": 2}, "fine_tune_stages"),
        ({"fine_tune_stages": 0, "arch": LITE, "strategy": "two-stage", "fine_tune_epochs": 1}, "fine_tune_stages"),
        ({"arch": LITE, "head": "multi-scale", "strategy": "lora"}, "head"),
        ({"batch_size": 1}, "batch_size"),
        ({"batch_size": 8.0}, "batch_size"),
        ({"epochs": True}, "epochs"),
        ({"rotation": -1}, "rotation"),
        ({"rotation": 181}, "rotation"),
        ({"colour_jitter": 1.1}, "colour_jitter"),
        ({"colour_jitter": "strong"}, "colour_jitter"),
        ({"flip": 1}, "flip"),
        ({"views": 1}, "views"),
        ({"adapter_size": 0}, "adapter_size"),
        ({"patience": 0}, "patience"),
        ({"images_per_class": 0}, "images_per_class"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"fine_tune_lr": 0}, "fine_tune_lr"),
    ],
)
def test_an_attempt_that_makes_no_sense_is_refused(changes, field):
    with pytest.raises(Hw3Error, match=f"attempt 'x': {field}="):
        Attempt("x", **changes)


def test_attempts_compare_by_settings():
    a, b = Attempt("a"), Attempt("b", lr=0.01)
    assert a.key == Attempt("other name").key != b.key
    assert b.differences(a) == {"lr": (1e-3, 0.01)}


@pytest.mark.parametrize("changes", [{"flip": True}, {"rotation": 5}, {"colour_jitter": 0.1}])
@pytest.mark.parametrize("strategy", ["transfer", "fine-tune", "adapters", "lora"])
def test_any_random_change_of_images_goes_with_any_strategy(strategy, changes):
    assert Attempt("x", arch=LITE, strategy=strategy, **changes).augments
    assert not Attempt("x", arch=LITE, strategy=strategy).augments


def test_hyperparameters_are_said_in_a_line():
    two_stage = Attempt("a", arch="mobilenet_v3_small", strategy="two-stage", image_size=224, fine_tune_epochs=4)
    assert two_stage.hyperparameters() == (
        "mobilenet_v3_small, strategy two-stage, 224 px, linear head, adam at rate 0.001, 30 epochs, then 4 at 0.0001, "
        "batches of 32"
    )
    assert "then" not in Attempt("b").hyperparameters()
    assert guided.DefectGuided(parts=("region", "stage")).hyperparameters() == (
        "tf_efficientnet_lite2, strategy guided, 448 px, support vector machines on region, stage"
    )
    assert (
        guided.DefectGuided(parts=guided.WHOLE)
        .hyperparameters()
        .endswith("strategy whole image, 448 px, support vector machines on whole")
    )
