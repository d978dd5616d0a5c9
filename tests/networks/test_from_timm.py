"""hw3lib.networks.from_timm: names, weights and normalisation of timm, and transformers whose tokens are maps."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from hw3lib.anomaly import load, make_detector
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones, patch_layers

IMAGES = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CNN = "resnet10t.c3_in1k"
REGISTERS = "vit_small_patch14_reg4_dinov2.lvd142m"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Random weights where timm's own are looked for."""
    for name in ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", CNN):
        torch.manual_seed(1)
        save_file(timm.create_model(name, pretrained=False).state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv("HW3_WEIGHTS", str(tmp_path))
    return tmp_path


@torch.no_grad()
def test_the_logits_are_timms_of_images_normalised_as_timm_says(weights):
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    torch.manual_seed(1)
    expected = timm.create_model(name, pretrained=False, dynamic_img_size=True).eval()
    backbone = backbones.load(f"timm:{name}")
    assert backbone.pretrained
    torch.testing.assert_close(backbone(IMAGES), expected((IMAGES / 255 - 0.5) / 0.5))
    small = backbones.load(f"timm:{name}", num_classes=4)
    assert small(IMAGES).shape == (2, 4) and small.embed(IMAGES).shape == (2, small.num_features) == (2, 192)


@torch.no_grad()
def test_tokens_of_a_transformer_are_maps_without_class_and_register_tokens():
    images = torch.randint(0, 256, (2, 3, 70, 98), dtype=torch.uint8)
    backbone = backbones.load(f"timm:{REGISTERS}", pretrained=False)
    assert patch_layers(backbone) == ["blocks.11"] and backbone.stages()["blocks.11"] == (384, 14)
    maps = backbone.feature_maps(images, ["blocks.11", "blocks.3"])
    assert list(maps) == ["blocks.11", "blocks.3"] and maps["blocks.3"].shape == (2, 384, 5, 7)
    tokens = backbone.network.forward_features(backbone.normalise(images))[:, 5:]
    torch.testing.assert_close(maps["blocks.11"].flatten(2).mT, tokens)
    output, on_the_way = backbone.forward_with_maps(images, ["blocks.11"])
    assert output.shape == (2, 384) and on_the_way["blocks.11"].shape == (2, 384, 5, 7)


@torch.no_grad()
def test_stages_of_a_convolutional_network_are_its_own(weights):
    backbone = backbones.load(f"timm:{CNN}")
    assert patch_layers(backbone) == ["layer1", "layer2", "layer3"]
    maps = backbone.feature_maps(IMAGES, ["layer2"])
    _, same = backbone.forward_with_maps(IMAGES, ["layer2"])
    torch.testing.assert_close(maps["layer2"], same["layer2"])
    with pytest.raises(Hw3Error, match="has no layer 'layer9'; its stages are act1, layer1"):
        backbone.feature_maps(IMAGES, ["layer9"])


@torch.no_grad()
@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224.ms_in1k", "convnext_atto.d2_in1k"])
def test_maps_are_channels_first_whatever_the_order_that_a_network_computes_in(name):
    backbone = backbones.load(f"timm:{name}", pretrained=False)
    images = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    layers = patch_layers(backbone)
    maps, (_, same) = backbone.feature_maps(images, layers), backbone.forward_with_maps(images, layers)
    for layer, side in zip(layers, (56, 28, 14), strict=True):
        assert maps[layer].shape == (1, backbone.stages()[layer][0], side, side)
        torch.testing.assert_close(maps[layer], same[layer])


@pytest.mark.parametrize(("name", "side"), [("vit_tiny_patch16_224", 100), (REGISTERS, 64)])
def test_a_size_that_a_network_does_not_take_is_named(name, side):
    backbone = backbones.load(f"timm:{name}", pretrained=False)
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    for use in (backbone, lambda x: backbone.feature_maps(x, patch_layers(backbone))):
        with pytest.raises(Hw3Error, match=f"{name} takes no images of {side} x {side} pixels.*another image_size"):
            use(images)


def test_several_classifiers_are_not_exchanged_for_one():
    with pytest.raises(Hw3Error, match="has 2 classifiers at its end"):
        backbones.load("timm:repvit_m0_9.dist_300e_in1k", pretrained=False, num_classes=3)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224.augreg_in21k_ft_in1k", CNN])
@pytest.mark.parametrize("kind", ["patchcore", "padim"])
def test_a_detector_with_it_is_saved_loaded_and_exported(weights, tmp_path, name, kind):
    good = np.random.default_rng(0).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)
    detector = make_detector(kind, {"arch": f"timm:{name}", "image_size": 64}).fit(good, held_out=0)
    scores = detector.decision_function(good)
    detector.save(tmp_path / "saved")
    np.testing.assert_allclose(load(tmp_path / "saved").decision_function(good), scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:resnet10x", "timm has no model 'resnet10x'"),
        ("timm:resnet10t", r"no weights for 'timm:resnet10t'.*resnet10t\.safetensors into a folder.*HW3_WEIGHTS"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, monkeypatch, name, said):
    monkeypatch.setenv("HW3_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Hw3Error, match=said):
        backbones.load(name)


def test_damaged_weights_are_no_weights(weights):
    (weights / f"{CNN}.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(Hw3Error, match=f"no weights for 'timm:{CNN}'"):
        backbones.load(f"timm:{CNN}")
