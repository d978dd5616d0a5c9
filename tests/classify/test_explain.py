"""hw3lib.classify.explain: maps whose answer is known beforehand, and the game that is played with them."""

import numpy as np
import pytest
import torch
from torch import nn

from hw3lib.classify import Attempt, SimpleCNN, build, experiment, run_attempt
from hw3lib.classify.explain import explain_attempt, grad_cam, peaks, pointing_game
from hw3lib.core.intervals import wilson_interval
from hw3lib.data import load_masks, load_table
from hw3lib.errors import Hw3Error

SIDE = 48


class Watcher(nn.Module):
    """Class 0 is the brighter the image's channel is somewhere, class 1 the darker."""

    def __init__(self, channel: int):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1, bias=False)
        self.conv.weight.data.zero_()[0, channel] = 1 / 9
        self.head = nn.Linear(1, 2, bias=False)
        self.head.weight.data = torch.tensor([[1.0], [-1.0]])

    def forward(self, images):
        return self.head(self.conv(images.float()).mean((2, 3)))


@pytest.fixture
def marked():
    """Six black images with a red defect, its mask, and a green mark in the opposite half."""
    images, masks = torch.zeros(6, 3, SIDE, SIDE, dtype=torch.uint8), np.zeros((6, SIDE, SIDE), bool)
    for i in range(6):
        masks[i, 4 + 5 * i : 12 + 5 * i, 6:14] = True
        images[i, 0][torch.from_numpy(masks[i])] = 200
        images[i, 1, 4 + 3 * i : 10 + 3 * i, 30:36] = 200
    return images, masks


@pytest.fixture
def tested(category):
    table = load_table(category.parent, "widget")
    return table[table["split"] == "test"].reset_index(drop=True)


def folds(n, parts):
    return [(np.setdiff1d(np.arange(n), rows), rows) for rows in (np.arange(k, n, parts) for k in range(parts))]


def test_a_network_that_looks_at_the_defect_points_at_it(marked):
    images, masks = marked
    maps = grad_cam(Watcher(0), images, np.zeros(6, int), "conv")
    assert maps.shape == (6, SIDE, SIDE) and maps.dtype == np.float32
    assert maps.min() == 0 and (maps.max((1, 2)) == 1).all()
    assert all(mask[tuple(peak)] for mask, peak in zip(masks, peaks(maps), strict=True))
    assert pointing_game(maps, masks, np.ones(6, bool))["share"].tolist() == [1]


def test_a_network_that_looks_at_a_mark_elsewhere_never_points_at_the_defect(marked):
    images, masks = marked
    maps = grad_cam(Watcher(1), images, np.zeros(6, int), "conv")
    assert (maps.max((1, 2)) == 1).all()
    assert pointing_game(maps, masks, np.ones(6, bool))["share"].tolist() == [0]


def test_grad_cam_is_of_the_class_asked_for_and_flat_where_nothing_speaks_for_it(marked):
    images, _ = marked
    maps = grad_cam(Watcher(0), images, np.array([0, 1, 0, 1, 0, 1]), "conv")
    assert maps.max((1, 2)).tolist() == [1, 0, 1, 0, 1, 0]


def test_grad_cam_equals_the_papers_equations_written_out():
    torch.manual_seed(0)
    model = SimpleCNN(3).eval()
    images, targets = torch.randint(0, 256, (5, 3, 40, 40), dtype=torch.uint8), np.array([0, 1, 2, 1, 0])
    kept = []
    hook = model.features[-2].register_forward_hook(lambda _, __, output: kept.append(output))
    score = model(images)[torch.arange(5), torch.from_numpy(targets)].sum()
    hook.remove()
    gradient = torch.autograd.grad(score, kept[0])[0]
    by_hand = torch.relu((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True))
    by_hand = nn.functional.interpolate(by_hand, size=(40, 40), mode="bilinear")[:, 0].detach().numpy()
    by_hand /= by_hand.max((1, 2), keepdims=True)
    assert grad_cam(model, images, targets, "features.14", batch_size=2) == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize(
    ("arch", "size", "layer", "coarser"),
    [
        ("resnet18", 224, "backbone.network.layer3", "backbone.network.layer4"),
        ("resnet18", 64, "backbone.network.layer1", "backbone.network.layer2"),
        ("resnet18", 20, "backbone.network.relu", "backbone.network.layer1"),  # 10x10: the finest that there is
        ("simple_cnn", 64, "features.10", "features.14"),
    ],
)
def test_the_last_layer_of_14x14_or_more_is_read_unless_one_is_named(arch, size, layer, coarser):
    torch.manual_seed(0)
    model = build(Attempt("r", arch=arch), 3)
    images, targets = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8), np.array([0, 1])
    maps = grad_cam(model, images, targets)
    assert maps == pytest.approx(grad_cam(model, images, targets, layer), abs=1e-6)
    assert maps != pytest.approx(grad_cam(model, images, targets, coarser), abs=1e-2)


def test_the_layers_of_a_multi_scale_head_can_be_read():
    torch.manual_seed(0)
    model = build(Attempt("m", arch="resnet18", head="multi-scale"), 3).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    maps = [grad_cam(model, images, np.array([0, 1]), f"backbone.network.{name}") for name in ("layer3", "layer4")]
    assert [each.max((1, 2)).tolist() for each in maps] == [[1, 1]] * 2
    assert not any(part._forward_hooks for part in model.modules())


def test_the_network_is_left_as_it_was(marked):
    images, _ = marked
    model = Watcher(0)
    model.head.requires_grad_(False)
    before = grad_cam(model, images, np.zeros(6, int), "conv")
    assert model.conv.weight.requires_grad and not model.head.weight.requires_grad
    assert model.conv.weight.grad is None and not model.conv._forward_hooks
    assert (grad_cam(model.requires_grad_(False), images.float(), np.zeros(6, int), "conv") == before).all()


def test_grad_cam_refuses_what_it_cannot_read(marked):
    images, _ = marked
    model, targets = Watcher(0), np.zeros(6, int)
    with pytest.raises(Hw3Error, match="'convolution': the network has no such layer; its parts are .'conv', 'head'"):
        grad_cam(model, images, targets, "convolution")
    with pytest.raises(Hw3Error, match="Watcher: name the layer"):
        grad_cam(model, images, targets)
    with pytest.raises(Hw3Error, match=r"the layer gives \(6, 1\).*expected feature maps"):
        grad_cam(model, images, targets, "head")
    assert model.conv.weight.requires_grad
    with pytest.raises(Hw3Error, match=r"targets \(5,\): expected"):
        grad_cam(model, images, targets[:5], "conv")


def test_a_vision_transformer_has_no_feature_maps():
    with pytest.raises(Hw3Error, match="vit_b_16 is a transformer and has no stages"):
        grad_cam(build(Attempt("v", arch="vit_b_16"), 2), torch.zeros(1, 3, 224, 224), np.zeros(1, int))


def test_the_peak_of_a_plateau_is_its_middle_and_a_flat_map_has_none():
    maps = np.zeros((3, 9, 9), np.float32)
    maps[0, 2:7, 0:3] = 0.5
    maps[1, 8, 3] = 1
    maps[2] = 0.7
    assert peaks(maps).tolist() == [[4, 1], [8, 3], [-1, -1]]


@pytest.fixture
def game():
    """Peaks on the defect, 2 px beside it, on it though the decision is wrong, flat, and of a good image."""
    maps, masks = np.zeros((5, 10, 10)), np.zeros((5, 10, 10), bool)
    masks[:4, 4:6, 4:6] = True
    masks[1] = np.roll(masks[1], -4, 0)
    maps[0, 5, 4] = maps[1, 3, 4] = maps[2, 4, 4] = maps[4, 5, 5] = 1
    return maps, masks, np.array([True, True, False, True, True])


def test_pointing_game_counts_correct_decisions_on_defective_images(game):
    table = pointing_game(*game).set_index("defect")
    assert table.loc["all", ["images", "hits"]].tolist() == [3, 1]
    assert table.loc["all", "share"] == pytest.approx(1 / 3)
    assert tuple(table.loc["all", ["ci_low", "ci_high"]]) == (wilson_interval(1, 3).low, wilson_interval(1, 3).high)


def test_a_flat_map_is_a_miss_even_on_a_defect_that_fills_the_image():
    table = pointing_game(np.full((1, 5, 5), 0.3), np.ones((1, 5, 5), bool), np.ones(1, bool))
    assert table["share"].tolist() == [0] and table["random"].tolist() == table["centre"].tolist() == [1]


def test_pointing_game_has_a_random_pixel_and_the_centre_beside_it(game):
    table = pointing_game(*game)
    assert table["random"].tolist() == pytest.approx([0.04])
    assert table["centre"].tolist() == pytest.approx([2 / 3])


def test_a_tolerance_widens_the_defect_for_the_baselines_too(game):
    table = pointing_game(*game, tolerance=2)
    assert table["hits"].tolist() == [2] and pointing_game(*game, tolerance=1.9)["hits"].tolist() == [1]
    # 2x2 pixels and all within 2 of them are 24, and 18 at the border.
    assert table["random"].tolist() == pytest.approx([(0.24 + 0.18 + 0.24) / 3])


def test_pointing_game_of_each_class_and_of_one_without_correct_decision(game):
    table = pointing_game(*game, defects=["dent", "hole", "crack", "dent", "good"]).set_index("defect")
    assert table.index.tolist() == ["all", "crack", "dent", "hole"]
    assert table["images"].tolist() == [3, 0, 2, 1] and table["hits"].tolist() == [1, 0, 1, 0]
    assert table.loc["crack", ["share", "ci_low", "ci_high", "random", "centre"]].isna().all()


def test_pointing_game_refuses_what_does_not_fit(game):
    maps, masks, correct = game
    with pytest.raises(Hw3Error, match=r"masks \(4, 10, 10\)"):
        pointing_game(maps, masks[:4], correct)
    with pytest.raises(Hw3Error, match="tolerance=-1"):
        pointing_game(maps, masks, correct, -1)


def test_explanations_are_of_the_networks_that_were_tested_and_of_every_image_once(tested):
    attempt, splits = Attempt("tiny", image_size=32, batch_size=4, epochs=2), folds(len(tested), 3)
    explanation = explain_attempt(attempt, tested, splits, seed=5)
    result = run_attempt(attempt, tested, splits, seed=5)
    order = np.argsort(np.concatenate(result.test))
    assert explanation.rows.tolist() == list(range(len(tested)))
    assert (explanation.y == np.concatenate(result.y)[order]).all()
    assert explanation.probabilities == pytest.approx(np.concatenate(result.probabilities)[order], abs=1e-5)
    assert (explanation.y_pred == explanation.probabilities.argmax(1)).all()
    assert explanation.maps.shape == (len(tested), 32, 32) and explanation.maps.max() == 1
    assert (explanation.masks == load_masks(tested, 32)).all() and explanation.masks.any()


def test_an_image_is_explained_by_the_first_network_that_has_not_seen_it(tested, monkeypatch):
    attempt, (first, second, third) = Attempt("tiny", image_size=32, batch_size=4, epochs=1), folds(len(tested), 3)
    trained = []
    real = experiment._fit
    monkeypatch.setattr(
        experiment, "_fit", lambda a, shared, split, *rest: trained.append(split) or real(a, shared, split, *rest)
    )
    once = explain_attempt(attempt, tested, [first, second])
    both = explain_attempt(attempt, tested, [first, first, second, second])
    assert [[s is t for t in (first, second, third)].index(True) for s in trained] == [0, 1, 0, 1]
    assert both.rows.tolist() == once.rows.tolist() == sorted([*first[1], *second[1]])
    of_first = np.isin(once.rows, first[1])
    assert (both.maps[of_first] == once.maps[of_first]).all()


def test_explain_wants_a_split(tested):
    with pytest.raises(Hw3Error, match="splits is empty"):
        explain_attempt(Attempt("tiny"), tested, [])


def test_an_explanation_plays_the_game_with_its_own_decisions(tested):
    explanation = explain_attempt(Attempt("tiny", image_size=32, batch_size=4, epochs=1), tested, folds(len(tested), 3))
    explanation.maps = explanation.masks.astype(np.float32)
    assert explanation.hits().tolist() == tested["is_defect"].tolist()
    table = explanation.pointing().set_index("defect")
    defective = tested["is_defect"].to_numpy()
    assert table.loc["all", "images"] == table.loc["all", "hits"] == (explanation.correct & defective).sum()
    assert table.index.tolist() == ["all", "dent", "scratch"]
    assert explanation.confidence == pytest.approx(explanation.probabilities.max(1))
