"""A network that takes photographs as they are, with its embedding, its feature maps and its head."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import nn

from hw3lib.errors import Hw3Error

_TRANSFORMERS = ("vision_transformer", "swin_transformer", "maxvit")  # torchvision's modules


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's ``SAME`` does: more on the right and below where the padding is odd."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads = []
        for length, kernel, stride in zip(
            reversed(x.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        return self._conv_forward(nn.functional.pad(x, pads), self.weight, self.bias)


class Backbone(nn.Module):
    """A torchvision classifier that takes photographs as they are, uint8 or float in 0 to 255, and normalises them.

    Attributes:
        name: the architecture.
        network: the torchvision model.
        pretrained: whether it holds ImageNet weights.
        num_features: length of the embedding, the input of the last linear layer.
        head_name: name of the last linear layer in ``network``.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str, network: nn.Module, mean: list[float], std: list[float], pretrained: bool):
        super().__init__()
        self.name, self.network, self.pretrained = name, network, pretrained
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        linear = [(n, m.in_features) for n, m in network.named_modules() if isinstance(m, nn.Linear)]
        if not linear:
            raise Hw3Error(f"architecture {name!r} has no linear layer at its end; choose another classifier")
        self.head_name, self.num_features = linear[-1]
        self._extractors: dict[tuple[str, ...], nn.Module] = {}
        self._stages: dict[str, tuple[int, int]] | None = None  # found by a run of the network, once

    @property
    def head(self) -> nn.Module:
        """The last layer, which :meth:`replace_head` changes."""
        return self.network.get_submodule(self.head_name)

    def replace_head(self, head: nn.Module) -> None:
        """Put another module in place of the last linear layer; its input is ``(N, num_features)``."""
        parent, _, child = self.head_name.rpartition(".")
        setattr(self.network.get_submodule(parent), child, head)

    def digest(self) -> str:
        """SHA-256 of all weights and statistics, in the order of their names."""
        total = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            total.update(f"{name} {tuple(value.shape)}".encode())
            total.update(value.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Images in 0 to 255, ``(N, 3, H, W)``, as float32 in the range that the network was trained with."""
        # Convolutions follow the order of their input; on a CPU they take a quarter less time with channels last to
        # read, and two fifths less to learn.
        return (images.float().contiguous(memory_format=torch.channels_last) - self.mean) / self.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores (logits), float32 ``(N, classes)``, of images in 0 to 255, ``(N, 3, H, W)``."""
        return self.network(self.normalise(images))

    def forward_with_maps(
        self, images: torch.Tensor, layers: list[str]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What :meth:`forward` gives, and the outputs of chosen layers on the way, in the order of ``layers``.

        Unlike :meth:`feature_maps` it runs the network itself, whose layers may carry hooks of others.
        """
        kept: dict[str, torch.Tensor] = {}
        hooks = [
            self.network.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: kept.update({name: output})
            )
            for name in layers
        ]
        try:
            output = self(images)
        finally:
            for hook in hooks:
                hook.remove()
        return output, {name: kept[name] for name in layers}

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings, float32 ``(N, num_features)``: what the last linear layer would receive."""
        kept: list[torch.Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        try:
            self(images)
        finally:
            hook.remove()
        return kept[0]

    def feature_maps(self, images: torch.Tensor, layers: list[str]) -> dict[str, torch.Tensor]:
        """Outputs of chosen layers, float32 ``(N, channels, h, w)`` each; what comes after the last of them is not run.

        Raises:
            Hw3Error: a layer that the network does not have.
        """
        from torchvision.models.feature_extraction import create_feature_extractor  # slow

        key = tuple(layers)
        if key not in self._extractors:
            known = dict(self.network.named_modules())
            wrong = [layer for layer in layers if layer not in known]
            if wrong:
                raise Hw3Error(f"{self.name} has no layer {wrong[0]!r}; its stages are {', '.join(self.stages())}")
            # The extractor shares the parameters; kept outside the module tree so that they are not listed twice.
            extractor = create_feature_extractor(
                self.network, return_nodes=list(layers), tracer_kwargs={"leaf_modules": [SameConv2d]}
            )
            self._extractors[key] = extractor
        return self._extractors[key].train(self.training)(self.normalise(images))

    def stages(self) -> dict[str, tuple[int, int]]:
        """Layers whose output is a feature map, one a stage: ``{name: (channels, stride)}``, in the order they run.

        Raises:
            Hw3Error: a transformer; what its layers give are no maps ``(N, channels, h, w)``.
        """
        if self._stages is not None:
            return self._stages
        if type(self.network).__module__.rpartition(".")[2] in _TRANSFORMERS:
            raise Hw3Error(
                f"{self.name} is a transformer and has no stages with feature maps; choose a convolutional architecture"
            )
        found: dict[str, tuple[int, int]] = {}
        inside = "features." if hasattr(self.network, "features") else ""
        candidates = {
            n: m for n, m in self.network.named_modules() if n.startswith(inside) and n.count(".") == bool(inside)
        }
        hooks = [
            m.register_forward_hook(
                lambda _, __, out, n=n: (
                    found.update({n: tuple(out.shape)})
                    if torch.is_tensor(out) and out.ndim == 4 and out.shape[-1] > 1
                    else None
                )
            )
            for n, m in candidates.items()
            if n
        ]
        training = self.training
        try:
            with torch.no_grad():
                self.eval()(torch.zeros(1, 3, 128, 128, device=self.mean.device))
        finally:
            self.train(training)
            for hook in hooks:
                hook.remove()
        self._stages = {n: (shape[1], 128 // shape[-1]) for n, shape in found.items()}
        return self._stages
