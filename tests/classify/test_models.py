"""The networks that attempts name, and what is added to frozen ones."""

import pytest
import torch

from hw3lib.classify import Attempt, SimpleCNN, build
from hw3lib.classify.adapters import Adapter, add_adapters, add_lora
from hw3lib.classify.models import Classifier
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

LITE = "tf_efficientnet_lite0"


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
    torch.testing.assert_close(model(x), expected, msg="the classifier is still whole")
    own = {id(p) for p in model.parameters()}
    assert all(id(p) in own for p in tail.parameters()), "what the tail learns, the classifier knows"
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


@pytest.mark.parametrize("add", [add_adapters, add_lora])
@pytest.mark.parametrize("arch", [LITE, "resnet18", "mobilenet_v3_small", "convnext_tiny", "regnet_y_400mf"])
def test_added_layers_change_nothing_before_they_have_learnt(arch, add):
    torch.manual_seed(0)
    backbone = backbones.load(arch, pretrained=arch == LITE)
    x = torch.randint(0, 256, (2, 3, 64, 64))
    with torch.no_grad():
        expected = backbone(x)
        names = add(backbone, 4)
        assert torch.equal(backbone.eval()(x), expected)
    assert len(names) > 8
    backbone(x).sum().backward()
    learn = {name: p for name, p in backbone.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in learn.values())
    last = [p for name, p in learn.items() if name.endswith(("up.weight", "lora_B.default.weight"))]
    assert len(last) == len(names) and all(p.grad.abs().max() > 0 for p in last)


def test_adapters_follow_each_block_and_leave_the_stages_where_they_were():
    backbone = backbones.load("resnet18", pretrained=False)
    stages = backbone.stages()
    names = add_adapters(backbone, 4)
    assert names == ["conv1", *(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1))]
    backbone._stages = None
    assert backbone.stages() == stages
    norms = sum(p.numel() for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters())
    adapters = sum(2 * 4 * width + 4 + width for width in [64] + [w for w in (64, 128, 256, 512) for _ in range(2)])
    assert sum(p.numel() for p in backbone.parameters() if p.requires_grad) == norms + adapters


def test_an_adapter_is_a_bottleneck_beside_the_identity():
    adapter, x = Adapter(6, 2), torch.randn(3, 6, 5, 5)
    torch.nn.init.normal_(adapter.up.weight)
    down = torch.einsum("oi,nihw->nohw", adapter.down.weight[..., 0, 0], x)
    up = torch.einsum("oi,nihw->nohw", adapter.up.weight[..., 0, 0], torch.nn.functional.gelu(down))
    torch.testing.assert_close(adapter(x), x + up)


def test_lora_leaves_depthwise_convolutions_and_tensorflow_padding_alone():
    backbone = backbones.load(LITE)
    names = add_lora(backbone, 4)
    layers = dict(backbone.network.named_modules())
    assert names and all(getattr(layers[name].base_layer, "groups", 1) == 1 for name in names)
    strided = [m for m in layers.values() if isinstance(m, backbones.SameConv2d)]
    assert len(strided) == 5 and not any(p.requires_grad for m in strided for p in m.parameters())


def test_adapters_for_a_transformer_are_refused():
    with pytest.raises(Hw3Error, match="swin_t is a transformer"):
        add_adapters(backbones.load("swin_t", pretrained=False), 4)


@pytest.mark.parametrize("arch", ["resnet18", "efficientnet_v2_s", "googlenet"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_small_images_train_a_torchvision_network_from_scratch(arch):
    model = build(Attempt("x", arch=arch, image_size=32), 4).train()
    logits = model(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert logits.shape == (2, 4) and logits.isfinite().all()
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_simple_cnn_takes_images_as_they_are():
    model = SimpleCNN(2).eval()
    x = torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8)
    torch.testing.assert_close(model(x), model(x.float()))
    assert not torch.allclose(model(x), model(x // 2))
