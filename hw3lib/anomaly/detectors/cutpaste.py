"""CutPaste: a network learns to tell good images from good images with a piece in the wrong place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR
from tqdm.auto import tqdm

from hw3lib.anomaly.detector import Rows
from hw3lib.networks import backbones
from hw3lib.networks.patches import stage_names
from hw3lib.networks.steps import Steps

from .painted_defects import paste_patch, paste_scar
from .trained import Trained


@dataclass(kw_only=True)
class CutPaste(Trained[backbones.Backbone]):
    """Mahalanobis distance of an image's features, after these have learned to notice pasted patches and scars.

    A pretrained network is trained to say for each image whether it is as it was, has a patch pasted (CutPaste) or a
    thin strip (CutPaste-scar): the paper's 3-way classification. Then the classifier is dropped, and a Gaussian with
    Ledoit and Wolf's covariance is fitted to the features of good images, averaged over the places.

    The map says which places make the distance: with ``z`` the mean of the features ``f(p)`` of all places, ``mu`` and
    ``P`` the Gaussian's mean and precision, place ``p`` contributes ``(z - mu)' P (f(p) - mu)``, whose mean over the
    places is the squared distance itself. (Grad-CAM of the distance, by which the paper shows such places, weighs the
    features alike but leaves out ``mu``.) The map is as coarse as the last stage, 32 pixels a place in most networks.

    Learns what breaks the regularity of a product. Fails where a defect resembles no paste (a change of colour, a
    missing part), where pieces may lie anywhere, as on random textures, and on defects so small that the mean over the
    places hides them.

    The paper trains ResNet-18 from random weights for 256 epochs, or EfficientNet-B4 from ImageNet's. Here only the
    last stages learn, from ImageNet's weights and for few steps, with batch normalisation as it was.

    Attributes:
        train_batch_size: good images of a batch; each comes three times, as it is, with a patch and with a scar.
        arch: backbone with ImageNet weights.
        fine_tune_stages: how many of its last stages learn; 0 trains the classifier alone, which changes no score.
    """

    name: ClassVar[str] = "CutPaste"
    source: ClassVar[str] = "Li et al. 2021, arXiv 2104.04015: equation 1, 3-way; Gaussian density, equation 2"

    num_steps: int = 60
    train_batch_size: int = 8
    arch: str = "tf_efficientnet_lite0"
    fine_tune_stages: int = 2
    lr: float = 3e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(fine_tune_stages=0)

    def _build(self, pretrained: bool = True) -> backbones.Backbone:
        backbone = backbones.load(self.arch, pretrained=pretrained).requires_grad_(False)
        self._layer = stage_names(backbone)[-1]
        stages = list(backbone.stages())
        stages = stages[: stages.index(self._layer) + 1]
        for stage in stages[len(stages) - min(self.fine_tune_stages, len(stages)) :]:
            backbone.network.get_submodule(stage).requires_grad_(True)
        return backbone

    def _fit(self, images: Rows, progress: bool) -> None:
        backbone = self._network = self._new(self._build)
        channels = backbone.stages()[self._layer][0]
        head = self._new(lambda: nn.Linear(channels, 3))
        parameters = [p for p in backbone.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": parameters},
            {"params": head.parameters(), "lr": 10 * self.lr},
        ]
        optimiser = torch.optim.Adam(groups, self.lr)
        update = Steps(optimiser, CosineAnnealingLR(optimiser, self.num_steps), name=self.name)
        rng = np.random.default_rng([self.seed, 1])

        def step(batch: np.ndarray) -> float:
            changed = [paste(image, rng)[0] for paste in (paste_patch, paste_scar) for image in batch]
            inputs = torch.from_numpy(np.concatenate([batch, changed])).to(self._torch_device)
            labels = torch.arange(3, device=self._torch_device).repeat_interleave(len(batch))
            return update(cross_entropy(head(self._features(inputs).mean((2, 3))), labels))

        self._learn(images, step, progress)
        backbone.requires_grad_(False)
        embeddings = []
        for i in tqdm(range(0, len(images), self.batch_size), f"{self.name}: read", unit="batch", disable=not progress):
            batch = torch.from_numpy(images[i : i + self.batch_size]).to(self._torch_device)
            embeddings.append(self._features(batch).mean((2, 3)).cpu().double().numpy())
        density = LedoitWolf().fit(np.concatenate(embeddings))
        self._mean = torch.from_numpy(density.location_).float().to(self._torch_device)
        self._precision = torch.from_numpy(density.precision_).float().to(self._torch_device)

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        return self._network.feature_maps(images, [self._layer])[self._layer]

    def _score(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        deviations = self._features(images) - self._mean[:, None, None]
        mean = deviations.mean((2, 3))
        weights = mean @ self._precision
        squared = (weights * mean).sum(1)
        return squared.clamp_min(0).sqrt(), (weights[:, :, None, None] * deviations).sum(1)

    def _state(self) -> dict[str, torch.Tensor]:
        return self._network.network.state_dict() | {"mean": self._mean, "precision": self._precision}

    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        # All weights are in the folder: ImageNet's need not be at hand.
        self._network = self._new(lambda: self._build(pretrained=False)).requires_grad_(False)
        self._mean, self._precision = (state.pop(key).to(self._torch_device) for key in ("mean", "precision"))
        self._network.network.load_state_dict(state)
