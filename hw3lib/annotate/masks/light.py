"""A light segmenter without prompts, to compare SAM with: LR-ASPP's head on a frozen backbone, in seconds on a CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate
from torchvision.models.segmentation.lraspp import LRASPPHead

from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.devices import pick_device
from hw3lib.networks.losses import dice_loss_per_image
from hw3lib.networks.patches import stage_names
from hw3lib.networks.steps import Steps


class FrozenFeatures(NamedTuple):
    """Maps of stride 8 and 16, float16 ``(N, channels, h, w)`` each, and where the images lie in their squares.

    ``geometries`` is None where each image fills its square.
    """

    low: np.ndarray
    high: np.ndarray
    geometries: list[Geometry] | None = None

    def of(self, rows: np.ndarray) -> FrozenFeatures:
        """Those of some images."""
        geometries = None if self.geometries is None else [self.geometries[row] for row in rows]
        return FrozenFeatures(self.low[rows], self.high[rows], geometries)

    def geometry(self, row: int) -> Geometry | None:
        """Where an image lies in its square; None if it fills it."""
        return None if self.geometries is None else self.geometries[row]


class _SegmentationHead(LRASPPHead):
    """torchvision's head, which enlarges its 128 channels and then adds them up: here the sum is enlarged.

    Both are linear and bilinear weights sum to one, so this gives the same to rounding, in a third of the time.
    """

    def forward(self, input: dict[str, torch.Tensor]) -> torch.Tensor:
        low, high = input["low"], input["high"]
        rough = self.high_classifier(self.cbr(high) * self.scale(high))
        return self.low_classifier(low) + interpolate(rough, low.shape[-2:], mode="bilinear", align_corners=False)


@dataclass(kw_only=True)
class LightSegmenter:
    """Where a defect is, learned from a few images with masks.

    LR-ASPP: Howard et al. 2019, arXiv 1905.02244, section 6.4, torchvision's head; loss as in :func:`.fine_tune`.

    Attributes:
        arch: backbone with ImageNet weights, frozen.
        image_size: side in pixels that images are brought to.
        num_steps, batch_size, lr: of AdamW along a cosine.
        threshold: a pixel of a higher probability is defective.
        seed: of the head's weights and the order.
    """

    arch: str = "tf_efficientnet_lite0"
    image_size: int = 384
    num_steps: int = 200
    batch_size: int = 8
    lr: float = 3e-3
    threshold: float = 0.5
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, low in (("image_size", 32), ("num_steps", 1), ("batch_size", 2)):
            if not getattr(self, name) >= low:
                raise Hw3Error(f"{name}={getattr(self, name)!r}: expected {low} or more")
        self._device = pick_device(self.device)
        self._backbone = backbones.load(self.arch).requires_grad_(False).to(self._device)
        self._layers = stage_names(self._backbone)[:2]

    @torch.inference_mode()
    def features(self, images: ImageStack | np.ndarray) -> FrozenFeatures:
        """What the backbone makes of uint8 images ``(N, 3, image_size, image_size)``; made once for all splits."""
        geometries = images.geometries if isinstance(images, ImageStack) else None
        images = images.images if isinstance(images, ImageStack) else images
        if images.shape[1:] != (3, self.image_size, self.image_size):
            raise Hw3Error(f"images: found {images.shape}, expected (N, 3, {self.image_size}, {self.image_size})")
        found = []
        for start in range(0, len(images), 8):
            batch = torch.from_numpy(np.array(images[start : start + 8])).to(self._device)
            maps = self._backbone.feature_maps(batch, self._layers)
            found.append([maps[layer].half().cpu().numpy() for layer in self._layers])
        low, high = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return FrozenFeatures(low, high, geometries)

    def fit(self, features: FrozenFeatures, masks: list[np.ndarray]) -> LightSegmenter:
        """Learn from images' features and their masks, bool ``(H, W)`` of the images' sizes.

        Raises:
            Hw3Error: not one mask an image, fewer than two images, or a loss that is no longer finite.
        """
        if len(masks) != len(features.low) or len(masks) < 2:
            raise Hw3Error(f"{len(masks)} masks for {len(features.low)} images: expected one each, of 2 images or more")
        side = features.low.shape[-1]
        squares = [_square(mask, side, features.geometry(row)) for row, mask in enumerate(masks)]
        target = torch.from_numpy(np.stack(squares))
        low, high = (torch.from_numpy(m).float() for m in (features.low, features.high))
        rng = np.random.default_rng(self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            head = _SegmentationHead(low.shape[1], high.shape[1], 1, 128).to(self._device).train()
        optimiser = torch.optim.AdamW(head.parameters(), self.lr)
        update = Steps(optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.num_steps))
        for _ in range(self.num_steps):
            rows = rng.choice(len(masks), min(self.batch_size, len(masks)), replace=False)
            given = {"low": low[rows].to(self._device), "high": high[rows].to(self._device)}
            wanted = target[rows].to(self._device)
            # Maps turn with the image only roughly, but well enough to learn that a defect may lie anywhere.
            flips = [axis for axis in (2, 3) if rng.random() < 0.5]
            logits = head({name: m.flip(flips) for name, m in given.items()})[:, 0]
            wanted = wanted.flip([axis - 1 for axis in flips])
            update(binary_cross_entropy_with_logits(logits, wanted) + dice_loss_per_image(logits, wanted))
        self._head = head.eval()
        return self

    @torch.inference_mode()
    def predict(self, features: FrozenFeatures, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
        """Masks bool ``(H, W)``, one an image, at the sizes given.

        Raises:
            Hw3Error: not fitted.
        """
        if not hasattr(self, "_head"):
            raise Hw3Error("the segmenter has not learned anything yet; call fit first")
        cut = math.log(self.threshold / (1 - self.threshold))
        masks = []
        for row, (low, high, size) in enumerate(zip(features.low, features.high, sizes, strict=True)):
            given = {"low": torch.from_numpy(low)[None].float(), "high": torch.from_numpy(high)[None].float()}
            logits = self._head({name: m.to(self._device) for name, m in given.items()})
            if (geometry := features.geometry(row)) is not None:
                whole = interpolate(logits, size=geometry.size, mode="bilinear", align_corners=False)
                logits = torch.from_numpy(geometry.join(whole[0].cpu().numpy()).copy())[None, None]
            masks.append(interpolate(logits, size=size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy() > cut)
        return masks


def _square(mask: np.ndarray, side: int, geometry: Geometry | None) -> np.ndarray:
    """A mask as its image was brought to a square: float32 ``(side, side)``, the defective share of each pixel."""
    share = Image.fromarray(mask.astype(np.float32))
    if geometry is not None:
        frame = share.resize(geometry.frame, Image.Resampling.BOX)
        share = Image.fromarray(geometry.cut(np.asarray(frame))[0])
    return np.asarray(share.resize((side, side), Image.Resampling.BOX))
