"""YOLOv8 nano, and what it shares with YOLO-World: ultralytics' networks and losses in this project's loop.

Ultralytics (AGPL-3.0) is optional. Its own trainer is not used: it cannot train class embeddings alone, it needs the
CLIP text encoder for YOLO-World, and it writes and downloads on its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import nn

from hw3lib.annotate import weights
from hw3lib.errors import Hw3Error

from . import ultralytics as quiet_ultralytics
from .base import BoxDetector, Target
from .metrics import MOST

LOWEST_SCORE = 0.001
NMS_IOU = 0.6
BACKBONE_LAYERS = 10  # of YOLOv8 and YOLO-World alike: layers 0 to 9, up to the spatial pyramid pooling
PARTS = ("head", "neck", "all")
GAINS = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)  # ultralytics' defaults, its cfg/default.yaml


@dataclass(kw_only=True)
class Yolo(BoxDetector):
    """Base of both networks.

    Attributes:
        train: what learns: ``head``, ``neck`` (and the head), or ``all``. Running means of batch normalisation stay.
    """

    train: str = "neck"

    weights_file: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = PARTS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train not in self.parts:
            raise Hw3Error(f"{self.name}: train={self.train!r}, expected {' or '.join(self.parts)}")

    def _published(self) -> Any:
        """The published network; its file is a pickle, read only if its SHA-256 is the published one."""
        quiet_ultralytics.module("nn.tasks")  # the classes that the pickle names
        path = weights.find(self.weights_file)
        return torch.load(path, map_location="cpu", weights_only=False)["model"].float()

    def _layers(self) -> Any:
        """Ultralytics' network, whose parts have no types."""
        return self._network

    def _groups(self) -> list[tuple[list[nn.Parameter], float]]:
        layers = self._layers().model
        first = {"embeddings": len(layers), "head": len(layers) - 1, "neck": BACKBONE_LAYERS, "all": 0}[self.train]
        for number, layer in enumerate(layers):
            for name, parameter in layer.named_parameters():
                # The distribution focal loss reads its expected value with fixed weights.
                parameter.requires_grad_(number >= first and not name.startswith("dfl."))
        return [([p for p in layers.parameters() if p.requires_grad], 1.0)]

    def _raw(self, images: torch.Tensor) -> tuple[torch.Tensor, dict]:
        """Decoded boxes and scores ``(n, 4 + classes, anchors)``, and what the loss reads."""
        return self._layers().predict(images / 255)

    def _loss(self, images: torch.Tensor, targets: list[Target]) -> torch.Tensor:
        raw = self._raw(images)  # before the criterion, which asks the network for its number of classes
        criterion = quiet_ultralytics.module("utils.loss").v8DetectionLoss(self._layers())
        of_image = torch.cat([torch.full((len(labels),), i) for i, (_, labels) in enumerate(targets)])
        boxes = torch.cat([boxes for boxes, _ in targets]) / self.size
        centres = torch.cat(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), 1)
        batch = {
            "batch_idx": of_image.to(boxes),
            "cls": torch.cat([labels for _, labels in targets]),
            "bboxes": centres,
        }
        return criterion(raw, batch)[0].sum() / len(images)

    def _detect(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        return [suppressed(image) for image in self._raw(images)[0]]


def suppressed(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, scores and labels after non-maximum suppression in each class, from ``(4 + classes, anchors)``.

    The first four rows are centre, width and height. A box may be kept for several classes.
    """
    from torchvision.ops import batched_nms, box_convert  # slow, see hw3lib.networks.backbones

    boxes, scores = box_convert(raw[:4].T, "cxcywh", "xyxy"), raw[4:].T
    values, order = scores.flatten().topk(min(1000, scores.numel()))
    order = order[values > LOWEST_SCORE]
    values, anchors, labels = values[: len(order)], order // scores.shape[1], order % scores.shape[1]
    kept = batched_nms(boxes[anchors], values, labels, NMS_IOU)[:MOST]
    return boxes[anchors][kept], values[kept], labels[kept]


@dataclass(kw_only=True)
class YoloV8(Yolo):
    """YOLOv8 nano: COCO's weights, a fresh last layer for the classes.

    Before training its class scores are random: what it finds then is random too.
    """

    name: ClassVar[str] = "YOLOv8n"
    weights_file: ClassVar[str] = "yolov8n.pt"

    def _build(self) -> nn.Module:
        network = filled(self._of_coco(), self._published())
        return self._with_classes(network)

    def _empty(self) -> nn.Module:
        return self._with_classes(self._of_coco())

    def _of_coco(self) -> nn.Module:
        return quiet_ultralytics.module("nn.tasks").DetectionModel("yolov8n.yaml", ch=3, verbose=False)

    def _with_classes(self, network: Any) -> nn.Module:
        """Only the last layer is new: one built for fewer classes is narrower before it, and loses what COCO taught."""
        head, classes = network.model[-1], len(self.classes_)
        head.nc, head.no = classes, classes + 4 * head.reg_max
        for branch, stride in zip(head.cv3, head.stride.tolist(), strict=True):
            branch[-1] = nn.Conv2d(branch[-1].in_channels, classes, 1)
            nn.init.constant_(branch[-1].bias, math.log(5 / classes / (640 / stride) ** 2))  # as ultralytics begins
        network.args = GAINS
        return network


def filled(network: nn.Module, published: nn.Module) -> nn.Module:
    """A network of the installed version with published weights, of which some are scalars where it has one number."""
    own = network.state_dict()
    state = {name: value.reshape(own[name].shape) for name, value in published.state_dict().items()}
    network.load_state_dict(state)
    return network
