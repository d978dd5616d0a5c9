"""hw3lib.classify.guided.memory: patches by brute force, the square's symmetries, and a product's own."""

import numpy as np
import pytest
import torch

from hw3lib.classify.guided.memory import GoodPatches, symmetry_test
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.patches import stage_names
from hw3lib.networks.symmetries import SYMMETRIES, mirrored_then_turned

SIDE = 64


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("tf_efficientnet_lite0")


@pytest.fixture(scope="module")
def photographs():
    """Six images of a chequered plate, each in another light and place, uint8 ``(6, 3, 64, 64)``."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    images = []
    for _ in range(6):
        fields = ((y + rng.integers(16)) // 8 + (x + rng.integers(16)) // 8) % 2
        images.append(fields * 60 + rng.normal(90, 4, (3, SIDE, SIDE)))
    return torch.from_numpy(np.stack(images).astype(np.uint8))


@pytest.fixture(scope="module")
def memory(backbone, photographs):
    return GoodPatches(backbone, photographs[:4], 10_000, torch.Generator().manual_seed(0))


def described(memory, images):
    """Standardised patches, ``(n, h, w, channels)``, one image at a time and without the memory's own comparison."""
    with torch.no_grad():
        maps = memory.backbone.feature_maps(images, memory.layers[:2])
    fine, coarse = (torch.nn.functional.avg_pool2d(maps[layer], 3, 1, 1) for layer in memory.layers[:2])
    coarse = torch.nn.functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
    return ((torch.cat([fine, coarse], 1) - memory.mean) / memory.std).movedim(1, -1)


def test_patches_that_are_remembered_have_no_distance_and_no_residual(memory, photographs):
    compared = memory.compare(photographs[:4])
    assert memory.bank.shape[0] == 4 * 8 * 8
    assert compared.distance.shape == (4, 8, 8) and compared.distance.max() < 1e-3
    assert compared.residual.abs().max() < 1e-3
    assert memory.compare(photographs[4:]).distance.median() > 1


def test_distances_and_residuals_are_those_of_brute_force(memory, photographs):
    compared = memory.compare(photographs[4:])
    patches = described(memory, photographs[4:])
    table = torch.cdist(patches.flatten(0, 2).double(), memory.bank.double())
    nearest, index = table.min(1)
    assert torch.allclose(compared.distance.flatten().double(), nearest, rtol=1e-3, atol=1e-2)
    residual = patches.flatten(0, 2) - memory.bank[index]
    assert torch.allclose(compared.residual.movedim(1, -1).flatten(0, 2), residual, atol=1e-3)
    assert torch.allclose(compared.residual.norm(dim=1), compared.distance, rtol=1e-3, atol=1e-2)


def test_an_image_is_compared_the_same_alone_and_in_a_batch(memory, photographs):
    together, alone = memory.compare(photographs[4:]), memory.compare(photographs[5:])
    assert torch.allclose(together.distance[1:], alone.distance, atol=1e-3)
    assert torch.allclose(together.residual[1:], alone.residual, atol=1e-3)
    assert torch.allclose(together.embedding[1:], alone.embedding, atol=1e-3)


def test_the_memory_is_standardised_and_a_draw_of_its_size(backbone, memory, photographs):
    assert memory.bank.mean(0).abs().max() < 1e-3
    assert memory.bank.std(0).median() == pytest.approx(1, abs=1e-3)
    drawn = [GoodPatches(backbone, photographs[:4], 50, torch.Generator().manual_seed(s)).bank for s in (0, 0, 1)]
    assert drawn[0].shape == (50, memory.bank.shape[1])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.cdist(drawn[2], memory.bank).min(1).values.max() < 0.1


def test_a_defect_is_further_from_the_memory_than_anything_good(memory, photographs):
    marked = photographs[4:].clone()
    marked[0, :, 40:48, 16:24] = 255
    distance = memory.compare(marked).distance
    y, x = np.unravel_index(int(distance[0].argmax()), (8, 8))
    assert abs(y - 5) <= 1 and abs(x - 2) <= 1
    assert distance[0].max() > 1.5 * memory.compare(photographs[4:]).distance.max()


def test_the_embedding_is_what_the_networks_last_layer_would_receive(memory, photographs):
    with torch.no_grad():
        assert torch.allclose(memory.compare(photographs).embedding, memory.backbone.embed(photographs), atol=1e-4)


def test_patches_are_described_by_stages_of_8_16_and_32_pixels_and_not_by_the_widening_at_the_end(backbone):
    stages = backbone.stages()
    names = stage_names(backbone)
    assert [stages[name] for name in names] == [(40, 8), (112, 16), (320, 32)]
    assert list(stages)[-1] not in names and stages[list(stages)[-1]] == (1280, 32)


def test_a_network_without_stages_of_8_and_16_pixels_is_refused():
    flat = backbones.Backbone(
        "flat", torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 4), torch.nn.Flatten(), torch.nn.Linear(4 * 32 * 32, 2)),
        [0.0] * 3, [1.0] * 3, False)  # fmt: skip
    with pytest.raises(Hw3Error, match="flat: its stages have strides .4., expected 8 and 16"):
        stage_names(flat)


def test_moves_are_the_eight_symmetries_of_the_square():
    square = torch.arange(2 * 25).view(2, 5, 5)
    moved = [mirrored_then_turned(square, s) for s in range(len(SYMMETRIES))]
    assert len(SYMMETRIES) == 8 and torch.equal(moved[0], square)
    assert len({tuple(m.flatten().tolist()) for m in moved}) == 8
    for m in moved:
        assert sorted(m[0].flatten().tolist()) == list(range(25))  # nothing lost, nothing twice
        assert torch.equal(m[1] - m[0], torch.full((5, 5), 25))  # channels stay together
        assert m[0, 2, 2] == 12  # about the centre
        neighbours = (m[0, 1:] - m[0, :-1]).abs()
        assert (neighbours == neighbours[0, 0]).all() and int(neighbours[0, 0]) in (1, 5)  # no shear
    row = torch.arange(3)[None, None].expand(1, 3, 3)
    assert torch.equal(mirrored_then_turned(row, 4)[0, 0], torch.tensor([2, 1, 0]))


def test_moves_are_named_for_what_they_do():
    square = torch.arange(25).view(5, 5)
    for s, name in enumerate(SYMMETRIES):
        turned = {a: k for k, a in enumerate(("90", "180", "270"), 1)}.get(name.split()[-1], 0)
        expected = np.rot90(np.fliplr(square) if "mirrored" in name else square, turned)
        assert np.array_equal(mirrored_then_turned(square, s), expected), name


def test_symmetries_that_raise_no_score_are_accepted():
    good = np.full((8, 5), 3.0) + np.linspace(-1, 1, 5)
    tested = symmetry_test(good, np.array([9.0, 10.0, 11.0]))
    assert tested["symmetry"].tolist() == list(SYMMETRIES)
    assert tested["accepted"].all()
    assert (tested["moved"] == 3).all() and (tested["good"] == 3).all() and (tested["defect"] == 10).all()


def test_a_symmetry_is_refused_from_half_the_way_to_the_defects():
    good = np.repeat([[2.0], [5.9], [6.1], [10.0], [1.0], [2.0], [6.0], [30.0]], 3, 1)
    tested = symmetry_test(good, np.full(4, 10.0))
    assert tested["accepted"].tolist() == [True, True, False, False, True, True, False, False]


def test_one_wild_image_decides_nothing():
    good = np.full((8, 5), 2.0)
    good[1, 0], good[2, :3] = 1000, 1000
    accepted = symmetry_test(good, np.array([10.0, 10, 10, 1000, 0]))["accepted"]
    assert accepted[1] and not accepted[2]


@pytest.mark.parametrize("defects", [[], [1.0], [2.0]])
def test_without_defects_that_stand_out_only_the_image_as_it_is_remains(defects):
    accepted = symmetry_test(np.full((8, 5), 2.0), np.array(defects))["accepted"]
    assert accepted.tolist() == [True] + 7 * [False]


def test_a_product_with_a_mark_at_one_place_keeps_no_symmetry_and_a_plain_one_keeps_all(backbone):
    rng = np.random.default_rng(0)
    plain = torch.from_numpy(rng.normal(128, 6, (12, 3, SIDE, SIDE)).astype(np.uint8))
    marked = plain.clone()
    marked[:, :, 4:16, 16:22] = 250  # on no axis of the square

    def accepted(images):
        memory = GoodPatches(backbone, images[:8], 10_000, torch.Generator().manual_seed(0))
        defective = images[8:].clone()
        defective[:, 0, 40:44, 44:48] = 190
        defects = memory.compare(defective).distance.amax((1, 2)).numpy()
        good = [memory.compare(mirrored_then_turned(images[8:], s)).distance.amax((1, 2)).numpy() for s in range(8)]
        return symmetry_test(np.stack(good), defects)["accepted"].tolist()

    assert accepted(plain) == 8 * [True]
    assert accepted(marked) == [True] + 7 * [False]
