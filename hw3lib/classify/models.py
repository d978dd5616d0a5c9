"""The networks that attempts name: a simple CNN, and torchvision classifiers with their last layer exchanged."""

from __future__ import annotations

import copy

import torch
from torch import nn

from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

from .adapters import add_adapters, add_lora
from .attempts import Attempt

# PyTorch's default. The 0.01 of the Lite and MobileNet families is for epochs of thousands of batches: after a hundred,
# more than a third of the statistics would still be those of the weights that the training began with.
MOMENTUM = 0.1


class SimpleCNN(nn.Module):
    """Four blocks of 3x3 convolution, batch normalisation, ReLU and 2x2 pooling; global mean; one linear layer.

    Takes images in 0 to 255, ``(N, 3, H, W)``, and gives logits ``(N, num_classes)``. About 100,000 parameters.
    """

    def __init__(self, num_classes: int, widths: tuple[int, ...] = (16, 32, 64, 128)):
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 3
        for width in widths:
            blocks += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images.float() / 127.5 - 1).mean((2, 3)))


class Classifier(nn.Module):
    """A backbone and a fresh head, split so that frozen features are computed once and the head learns from them.

    ``features(images)`` gives ``(N, num_features)``; ``head`` turns them into logits ``(N, num_classes)``.
    """

    def __init__(self, backbone: backbones.Backbone, num_classes: int, head: str):
        super().__init__()
        self.backbone = backbone
        self.layers: list[str] = []
        backbone.replace_head(nn.Identity())
        width = backbone.num_features
        if head == "multi-scale":
            # The last stage of each stride of 8 or more: mean and maximum of each of its channels.
            last = {stride: (name, channels) for name, (channels, stride) in backbone.stages().items() if stride >= 8}
            self.layers = [name for name, _ in last.values()]
            width += sum(2 * channels for _, channels in last.values())
        # Features differ in scale by orders of magnitude; without learned shift and scale this costs no parameter.
        self.head = nn.Sequential(nn.BatchNorm1d(width, affine=False), nn.Linear(width, num_classes))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Embedding, and for a multi-scale head pooled feature maps too, float32 ``(N, num_features)``."""
        embedding, maps = self.backbone.forward_with_maps(images, self.layers)
        pooled = [pool for each in maps.values() for pool in (each.mean((2, 3)), each.amax((2, 3)))]
        return torch.cat([embedding, *pooled], 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))

    def frozen_stage(self, last_stages: int) -> str:
        """Name of the last stage that stays frozen when only as many of the backbone's last stages learn.

        Raises:
            Hw3Error: the backbone has no more stages than that.
        """
        stages = list(self.backbone.stages())
        if not 0 < last_stages < len(stages):
            raise Hw3Error(
                f"fine_tune_stages={last_stages}: {self.backbone.name} has {len(stages)} stages, expected 1 to "
                f"{len(stages) - 1}, or None to let everything learn"
            )
        return stages[-1 - last_stages]

    def tail(self, last_stages: int) -> nn.Module:
        """Only the last stages and the head; reads the output of :meth:`frozen_stage` instead of images.

        It shares its weights with this classifier, which stays whole. Frozen stages give the same output each epoch: to
        run them once is the whole saving.
        """
        last = self.frozen_stage(last_stages)
        stages = list(self.backbone.stages())
        network = self.backbone.network
        shared = {id(value): value for value in (*network.parameters(), *network.buffers())}
        network = copy.deepcopy(network, shared)
        for name in stages[: stages.index(last) + 1]:
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, nn.Identity())
        return nn.Sequential(network, self.head)


def build(attempt: Attempt, num_classes: int) -> SimpleCNN | Classifier:
    """The network of an attempt with a head for ``num_classes``; draws its random weights from torch's generator.

    Where every weight learns, the running statistics of batch normalisation take in a tenth of each batch, whatever
    the architecture's own momentum.

    Raises:
        Hw3Error: unknown architecture or missing weights, see :func:`hw3lib.networks.backbones.load`.
    """
    if attempt.arch == "simple_cnn":
        return SimpleCNN(num_classes)
    backbone = backbones.load(attempt.arch, pretrained=attempt.strategy != "scratch")
    _drop_auxiliary_heads(backbone.network)
    if not attempt.normalise:
        backbone.mean.zero_()
        backbone.std.fill_(255)
    model = Classifier(backbone, num_classes, attempt.head)
    if attempt.strategy == "adapters":
        add_adapters(backbone, attempt.adapter_size)
    elif attempt.strategy == "lora":
        add_lora(backbone, attempt.adapter_size)
    if learns_whole(attempt):
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM
    return model


def learns_whole(attempt: Attempt) -> bool:
    """Whether every weight learns, in the second stage if there are two; batch normalisation then learns as well."""
    last_stages_only = attempt.fine_tune_stages is not None
    return attempt.strategy in ("scratch", "fine-tune") or attempt.strategy == "two-stage" and not last_stages_only


def _drop_auxiliary_heads(network: nn.Module) -> None:
    """GoogLeNet and Inception answer with a tuple while they train as long as they have these."""
    if getattr(network, "aux_logits", False):
        network.aux_logits = False  # type: ignore[assignment]  # a plain attribute of these two, which no stub knows
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, name):
                setattr(network, name, None)
