"""Small layers added to a frozen pretrained network; with them untrained its output is what it was."""

from __future__ import annotations

import re

import torch
from torch import nn

from hw3lib.networks.backbone import Backbone

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


class Adapter(nn.Module):
    """Residual bottleneck of Houlsby et al. (arXiv 1902.00751, figure 2) with 1x1 convolutions in place of linear maps.

    ``x + up(gelu(down(x)))`` on feature maps ``(N, channels, h, w)``; ``up`` is zero at the start.
    """

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.down = nn.Conv2d(channels, size, 1)
        self.up = nn.Conv2d(size, channels, 1)
        # As in the paper's section 2.1: near the identity at the start, here exactly there.
        nn.init.normal_(self.down.weight, std=channels**-0.5)
        assert self.down.bias is not None and self.up.bias is not None
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.up(nn.functional.gelu(self.down(x)))


def add_adapters(backbone: Backbone, size: int) -> list[str]:
    """Freeze a convolutional backbone and put an :class:`Adapter` after each of its blocks, in place.

    What learns is the adapters and, as in the paper, the affine parameters of the normalisation layers.

    Args:
        backbone: with stages, see :meth:`hw3lib.networks.backbone.Backbone.stages`.
        size: channels of the bottleneck.

    Returns:
        Names of the blocks that an adapter follows.

    Raises:
        Hw3Error: a transformer, which has no convolutional blocks.
    """
    network = backbone.network
    names = [block for stage in backbone.stages() for block in _blocks(stage, network.get_submodule(stage))]
    channels = _channels(backbone, names)
    network.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, _NORMS):
            module.requires_grad_(True)
    for name, width in channels.items():
        parent, _, child = name.rpartition(".")
        block = nn.Sequential(network.get_submodule(name), Adapter(width, size).to(backbone.mean.device))
        setattr(network.get_submodule(parent), child, block)
    return list(channels)


def _blocks(name: str, module: nn.Module) -> list[str]:
    """Names of the blocks in a stage: what lies in a sequence of blocks, else the stage itself if it convolves."""
    if isinstance(module, nn.Sequential) and any(len(list(part.children())) for part in module):
        return [block for child, part in module.named_children() for block in _blocks(f"{name}.{child}", part)]
    return [name] if any(isinstance(part, nn.Conv2d) for part in module.modules()) else []


@torch.no_grad()
def _channels(backbone: Backbone, names: list[str]) -> dict[str, int]:
    """Channels of each module's output, found by a run of the network."""
    found: dict[str, int] = {}
    hooks = [
        backbone.network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: found.update({name: out.shape[1]})
        )
        for name in names
    ]
    try:
        backbone.eval()(torch.zeros(1, 3, 128, 128, device=backbone.mean.device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def add_lora(backbone: Backbone, rank: int) -> list[str]:
    """Freeze a backbone and add LoRA (Hu et al., arXiv 2106.09685, equation 3) to its layers, in place, by ``peft``.

    To the plain convolutions and linear layers, that is: of a depthwise convolution each filter has few weights
    already, and TensorFlow's padding (:class:`hw3lib.networks.backbone.SameConv2d`) is not known to ``peft``; both
    stay as they are. The scale ``alpha / r`` is 1, the second matrix zero at the start.

    Args:
        backbone: any.
        rank: of the two matrices.

    Returns:
        Names of the layers that were given one.
    """
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds: it imports transformers

    # Exact types: subclasses may compute something else with the same weights.
    names = [
        name
        for name, module in backbone.network.named_modules()
        if type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)
    ]
    backbone.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, names)))
    backbone.network = inject_adapter_in_model(config, backbone.network)
    return names
