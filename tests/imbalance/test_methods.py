"""What each method computes, one step at a time, against its formula worked out by hand: no plain training passes."""

import math

import numpy as np
import pytest
import torch

from hw3lib.imbalance.methods import training
from hw3lib.imbalance.methods.heads import Head, Recipe
from hw3lib.imbalance.methods.table import METHODS
from hw3lib.imbalance.methods.training import Part

COUNTS = (5, 3, 2)
X = torch.tensor([[2.0, 0.5, -1.0], [0.3, 0.1, 0.4], [-0.2, 1.5, 0.0]])
Y = torch.tensor([0, 1, 2])
P = np.exp(X.double().numpy()) / np.exp(X.double().numpy()).sum(1, keepdims=True)
OWN = P[np.arange(3), Y]


def part(weak=(0.0, 0.0, 0.0), strong=(0.0, 0.0, 0.0), unlabelled: int = 4, **settings) -> Part:
    """Ten images of three features and two views; all unlabelled ones have these logits."""
    y = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    views = torch.randn(10, 2, 3, generator=torch.Generator().manual_seed(0)) + 3 * torch.eye(3)[y][:, None]
    weak, strong = (torch.tensor(logits).repeat(unlabelled, 2, 1) for logits in (weak, strong))
    images, masks = torch.zeros(10, 3, 8, 8, dtype=torch.uint8), np.zeros((10, 8, 8), bool)
    recipe = Recipe(**{"steps": 30, "batch_size": 4, "lr": 0.05} | settings)
    return Part(views[:, 0], views, y, 3, images, masks, 0, weak, strong, None, recipe, seed=0)


def loss_of(name: str, **settings):
    """The loss that a method trains with, as a function of head, features, labels and step; and what else it sets."""
    own, seen = part(**settings), []

    def train(loss=None, **more):
        seen.append((loss, more))
        return Head(own.plain, 3)

    own.train = train
    METHODS[name].fit(own)
    return seen[0]


def as_they_are(x: torch.Tensor) -> torch.Tensor:
    """Stands for a head: features are logits."""
    return x


def value(name: str, step: int = 0, **settings) -> float:
    return float(loss_of(name, **settings)[0](as_they_are, X, Y, step))


# With beta = 0.9 the effective numbers of 5, 3 and 2 images are (1 - 0.9^n) / 0.1.
EFFECTIVE = np.array([(1 - 0.9**n) / 0.1 for n in COUNTS])


@pytest.mark.parametrize(
    ("name", "weights"),
    [("class weights", np.array([10 / (3 * n) for n in COUNTS])), ("class-balanced loss", 1 / EFFECTIVE)],
)
def test_a_weighted_loss_is_the_weighted_mean_of_the_images_own(name, weights):
    assert value(name) == pytest.approx((weights * -np.log(OWN)).sum() / weights.sum())
    assert value(name) != pytest.approx(-np.log(OWN).mean(), rel=0.02)


def test_focal_loss_sums_sigmoids_that_count_less_the_better_they_are():
    p, target = 1 / (1 + np.exp(-X.double().numpy())), np.eye(3)
    right, weight = np.where(target == 1, p, 1 - p), np.where(target == 1, 0.25, 0.75)
    assert value("focal loss") == pytest.approx((weight * (1 - right) ** 2 * -np.log(right)).sum() / 3)


def test_the_logit_adjusted_loss_is_cross_entropy_of_logits_raised_by_the_classes_shares():
    raised = np.exp(X.double().numpy()) * np.array(COUNTS) / 10
    expected = -np.log(raised[np.arange(3), Y] / raised.sum(1)).mean()
    assert value("logit-adjusted loss") == pytest.approx(expected)


def test_post_hoc_adjustment_takes_the_shares_off_a_plainly_trained_head():
    plain, adjusted = METHODS["plain"].fit(part())(X), METHODS["post-hoc logit adjustment"].fit(part())(X)
    expected = plain.detach() - torch.tensor([math.log(n / 10) for n in COUNTS])
    assert torch.allclose(adjusted, expected, atol=1e-5)


def test_mixup_mixes_labels_in_the_share_in_which_it_mixes_features():
    loss, seen = loss_of("mixup")[0], []

    def head(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x

    torch.manual_seed(0)
    # Where features are the labels as zeros and ones, the mixed features are the mixed labels.
    values = [loss(head, torch.eye(3), Y, step) for step in range(60)]
    for found, mixed in zip(values, seen, strict=True):
        assert torch.allclose(mixed.sum(1), torch.ones(3))
        assert float(found) == pytest.approx(float(-(mixed * mixed.log_softmax(1)).sum(1).mean()), rel=1e-5)
    shares = torch.stack([mixed.diagonal() for mixed in seen])[:, 0]
    # Beta(0.2, 0.2): mean 1/2, variance 1 / (4 (2 alpha + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.1) and shares.var() == pytest.approx(1 / 5.6, rel=0.2)


def cross_entropy(logits: tuple[float, ...], label: int) -> float:
    return math.log(sum(map(math.exp, logits))) - logits[label]


def test_fixmatch_takes_the_label_of_the_weak_view_for_the_strong_one():
    weak, strong = (8.0, 0.0, 0.0), (0.0, 4.0, 1.0)
    expected = -np.log(OWN).mean() + cross_entropy(strong, 0)
    assert value("FixMatch", weak=weak, strong=strong) == pytest.approx(expected)
    unsure = (2.0, 0.0, 0.0)  # a probability of 0.79, below 0.95
    assert value("FixMatch", weak=unsure, strong=strong) == pytest.approx(-np.log(OWN).mean())


def test_adsh_moves_the_thresholds_every_25_steps_after_the_first_50():
    """Of a class that is not the largest the best prediction counts, below 0.95 too."""
    loss, _ = loss_of("Adsh", weak=(0.0, 0.0, 2.0), strong=(0.0, 4.0, 1.0))
    plain, more = -np.log(OWN).mean(), cross_entropy((0.0, 4.0, 1.0), 2)
    for step, extra in ((25, 0), (49, 0), (51, 0), (50, more), (51, more)):
        assert float(loss(as_they_are, X, Y, step)) == pytest.approx(plain + extra), step


ANGLE = 0.2


@pytest.mark.parametrize(
    ("name", "form", "rule"),
    [
        ("CosFace", "cosface", None),
        ("ArcFace", "arcface", None),
        ("LEAP-CosFace", "cosface", "fixed"),
        ("LEAP-ArcFace", "arcface", "fixed"),
        ("flexible LEAP-ArcFace", "arcface", "flexible"),
    ],
)
def test_margins_move_the_angle_of_the_own_class(name, form, rule, monkeypatch):
    made, cosines = [], X / 3

    class Cloud(training.FeatureCloud):
        def __init__(self, counts, rule):
            super().__init__(counts, rule)
            self.calls = []
            made.append(self)

        def update(self, features, y):
            self.calls.append(("update", features.shape))

        def refresh(self, features, y):
            self.calls.append(("refresh", features.shape))

        def draw(self, y, generator):
            return torch.full((len(y),), ANGLE)

    monkeypatch.setattr(training, "FeatureCloud", Cloud)
    loss, more = loss_of(name)
    assert more == {"cosine": True}

    def head(x: torch.Tensor) -> torch.Tensor:
        return x / 3

    head.norm = as_they_are
    angle = np.arccos(cosines.double().numpy()[np.arange(3), Y])
    moved = np.cos(angle + ANGLE) - 0.35 if form == "cosface" else np.cos(angle + 0.5 + ANGLE)
    logits = cosines.double().numpy().copy()
    logits[np.arange(3), Y] = moved
    logits = 16 * logits
    expected = (np.log(np.exp(logits).sum(1)) - logits[np.arange(3), Y]).mean()
    assert float(loss(head, X, Y, 0)) == pytest.approx(expected, rel=1e-5)
    # Ten images in batches of four are three batches an epoch; a fifth of the 30 steps warms up.
    for step in range(1, 13):
        loss(head, X, Y, step)
    assert [call for call, _ in made[0].calls].count("update") == (13 if rule else 0)
    measured = [shape for call, shape in made[0].calls if call == "refresh"]
    assert measured == ([(10, 3)] * 3 if rule else [])  # in steps 6, 9 and 12
    if rule:
        assert made[0].rule == rule


def test_borderline_smote_begins_near_other_classes_alone():
    """Of a rare class four images lie beside the large class and eight far away: only the four are beginnings."""
    own = part()
    own.y = torch.tensor([0] * 20 + [1] * 12)
    places = 0.1 * torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    places[20:24, 0] += 1
    places[24:, 0] += 50
    own.views, own.plain, own.num_classes = places[:, None], places, 2
    seen = {}
    for name in ("SMOTE", "borderline SMOTE"):
        own.train = lambda views, y, name=name: seen.update({name: views[32:, 0, 0]})
        METHODS[name].fit(own)
    assert len(seen["SMOTE"]) == len(seen["borderline SMOTE"]) == 8
    assert (seen["SMOTE"] > 49.5).any() and (seen["borderline SMOTE"] < 49.5).all()
