"""Which stages describe patches, and locally aware features beside those worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.backbone import Backbone
from hw3lib.networks.patches import locally_aware, patch_layers, stage_names


def strided(*strides: int) -> Backbone:
    """A network whose stages halve the image as told."""
    layers = [nn.Conv2d(3 if i == 0 else 4, 4, 3, stride, 1) for i, stride in enumerate(strides)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return Backbone("strided", network, [0.0] * 3, [1.0] * 3, False)


def test_the_patches_of_efficientnet_lite0_are_read_at_strides_4_8_and_16():
    backbone = backbones.load("tf_efficientnet_lite0", pretrained=False)
    assert patch_layers(backbone) == ["features.2", "features.3", "features.5"]
    assert [backbone.stages()[layer] for layer in patch_layers(backbone)] == [(24, 4), (40, 8), (112, 16)]


def test_the_patches_of_a_resnet_are_read_at_the_three_layers_of_the_papers():
    assert patch_layers(backbones.load("resnet18", pretrained=False)) == ["layer1", "layer2", "layer3"]


def test_the_last_of_strides_4_8_and_16_are_taken():
    assert patch_layers(strided(4, 1, 2, 1, 2, 1, 2)) == ["1", "3", "5"]


def test_the_convolution_that_only_widens_the_features_is_no_stage_to_read():
    assert stage_names(backbones.load("tf_efficientnet_lite0", pretrained=False)) == [
        "features.3",
        "features.5",
        "features.7",
    ]
    assert stage_names(backbones.load("resnet18", pretrained=False)) == ["layer2", "layer3", "layer4"]


@pytest.mark.parametrize(
    ("choose", "strides", "said"),
    [
        (patch_layers, (2, 4, 2), r"strides \[2, 8, 16\], expected 4, 8 and 16"),
        (stage_names, (4, 4), r"strides \[4, 16\], expected 8 and 16"),
    ],
)
def test_a_network_without_the_strides_is_refused_with_those_that_it_has(choose, strides, said):
    with pytest.raises(Hw3Error, match=f"strided: its stages have {said}"):
        choose(strided(*strides))


# One channel, 4x4: 3x3 means with zeros outside, worked out by hand from sums over rows 0-1, 0-2, 1-3 and 2-3.
FINE = np.arange(16.0).reshape(4, 4)
FINE_MEANS = np.array([[10, 18, 24, 18], [27, 45, 54, 39], [51, 81, 90, 63], [42, 66, 72, 50]]) / 9
COARSE = np.array([[9.0, 18.0], [27.0, 36.0]])  # each window holds all four


def both() -> list[torch.Tensor]:
    return [torch.from_numpy(m).float()[None, None] for m in (FINE, COARSE)]


def test_on_the_grid_of_the_fine_map_the_coarse_one_is_interpolated_after_averaging():
    corner = torch.tensor([[[[0.0, 0.0], [0.0, 36.0]]]])
    found = locally_aware([both()[0], corner], 0)[0]
    np.testing.assert_allclose(found[0], FINE_MEANS, rtol=1e-6)
    np.testing.assert_allclose(found[1], np.full((4, 4), 4.0), rtol=1e-6)  # 36 / 9 in every window
    wide = torch.zeros(1, 1, 4, 4)
    wide[0, 0, 0, 0] = 9.0  # means 1 in the 2x2 corner of it, 0 elsewhere
    row = np.array([1, 1, 1, 0.75, 0.25, 0, 0, 0])  # centres at -0.25, 0.25, 0.75, 1.25, 1.75, ...
    np.testing.assert_allclose(locally_aware([torch.zeros(1, 1, 8, 8), wide], 0)[0, 1], np.outer(row, row), atol=1e-6)


def test_on_the_grid_of_the_coarse_map_the_fine_one_is_averaged():
    found = locally_aware(both(), 1)[0]
    # Of the four means in each quarter: (10 + 18 + 27 + 45) / 36 and so on.
    np.testing.assert_allclose(found[0], np.array([[100, 135], [240, 275]]) / 36, rtol=1e-6)
    np.testing.assert_allclose(found[1], np.full((2, 2), 10.0), rtol=1e-6)  # (9 + 18 + 27 + 36) / 9


def test_channels_come_in_the_order_of_the_maps():
    maps = [torch.full((2, channels, 6, 6), float(channels)) for channels in (1, 2, 3)]
    centre = locally_aware(maps, 1)[:, :, 3, 3]  # away from the border the mean of a constant is itself
    assert centre.tolist() == [[1, 2, 2, 3, 3, 3]] * 2


def test_a_grid_finer_than_allowed_is_averaged_to_as_many_patches():
    found = locally_aware(both(), 0, 2)[0]
    np.testing.assert_allclose(found, locally_aware(both(), 1)[0], rtol=1e-6)
    assert torch.equal(locally_aware(both(), 0, 4), locally_aware(both(), 0))
