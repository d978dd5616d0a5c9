"""GANomaly: encode, decode, encode again; an adversary keeps the decoded image real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss

from hw3lib.anomaly.detector import Rows
from hw3lib.errors import Hw3Error
from hw3lib.networks.steps import Steps

from .trained import Trained, as_input


@dataclass(kw_only=True)
class GANomaly(Trained[nn.ModuleDict]):
    """Distance between the code of an image and the code of its reconstruction.

    Learns to reproduce good images and their codes. Made for X-ray baggage, where the anomaly is a large foreign
    object; fails on small defects, which an image's code of a hundred numbers hardly notices, and on defects that make
    an image plainer: those are reconstructed better than good ones, so that the order turns round and AUROC falls
    below one half (anomalib reports a mean of 0.42 on MVTec AD). Adversarial training on a few dozen images is also
    unstable: seeds differ much.

    It has no map: the score compares two codes, which have no places. Images are reduced to ``working_size``.
    The paper rescales scores by the extremes of the test set (its last equation), which no inspection may do; left out.

    Attributes:
        latent_size: numbers of a code.
        channels: of the first layer; each later one doubles them.
        working_size: side in pixels, a power of two; never more than ``image_size``.
        w_adv, w_con, w_enc: weights of the generator's losses.
        beta: Adam's first momentum.
    """

    name: ClassVar[str] = "GANomaly"
    source: ClassVar[str] = (
        "Akcay et al. 2018, arXiv 1805.06725, section 3: L_adv, L_con and L_enc weighted 1, 50 and 1; score A(x), the "
        "L1 norm of the difference of the codes"
    )

    num_steps: int = 150
    lr: float = 2e-4
    latent_size: int = 100
    channels: int = 32
    working_size: int = 64
    w_adv: float = 1.0
    w_con: float = 50.0
    w_enc: float = 1.0
    beta: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(latent_size=1, channels=1, working_size=32, w_adv=0, w_con=0, w_enc=0, beta=0)
        if self.working_size & (self.working_size - 1):
            raise Hw3Error(f"{self.name}: working_size={self.working_size!r}, expected a power of two")

    @property
    def has_maps(self) -> bool:
        return False

    @property
    def _side(self) -> int:
        return min(self.working_size, 1 << (self.image_size.bit_length() - 1))

    def _build(self) -> nn.ModuleDict:
        parts: dict[str, nn.Module] = {
            "encoder": nn.Sequential(*_encoder(self._side, self.channels, self.latent_size)),
            "decoder": _decoder(self._side, self.channels, self.latent_size),
            "second": nn.Sequential(*_encoder(self._side, self.channels, self.latent_size)),
        }
        return nn.ModuleDict(parts).apply(_initialise)

    def _fit(self, images: Rows, progress: bool) -> None:
        network = self._network = self._new(self._build).train()
        critic = self._new(lambda: _Critic(self._side, self.channels).apply(_initialise)).train()
        betas = (self.beta, 0.999)
        generate, judge = (
            Steps(torch.optim.Adam(part.parameters(), lr=self.lr, betas=betas), name=self.name)
            for part in (network, critic)
        )

        def step(batch: np.ndarray) -> float:
            real = self._inputs(torch.from_numpy(batch).to(self._torch_device))
            fake, code, second = self._codes(real)
            critic.requires_grad_(False)
            adv, con, enc = generator_losses(real, fake, code, second, critic(real)[1], critic(fake)[1])
            loss = generate(self.w_adv * adv + self.w_con * con + self.w_enc * enc)

            critic.requires_grad_(True)
            verdict = torch.cat([critic(real)[0], critic(fake.detach())[0]])
            truth = torch.cat([torch.ones(len(real)), torch.zeros(len(real))]).to(verdict.device)
            judge(binary_cross_entropy_with_logits(verdict, truth))
            return loss

        self._learn(images, step, progress)
        network.eval()

    def _inputs(self, images: torch.Tensor) -> torch.Tensor:
        return as_input(images, self._side) * 2 - 1

    def _codes(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The reconstruction, the code of the input, and the code of the reconstruction."""
        code = self._network["encoder"](inputs)
        fake = self._network["decoder"](code)
        return fake, code.flatten(1), self._network["second"](fake).flatten(1)

    def _score(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        _, code, second = self._codes(self._inputs(images))
        return (code - second).abs().sum(1), None


def generator_losses(
    real: torch.Tensor,
    fake: torch.Tensor,
    code: torch.Tensor,
    second: torch.Tensor,
    features_real: torch.Tensor,
    features_fake: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Adversarial (feature matching), contextual and encoder loss, each a mean over all elements.

    The paper's norms are taken as means, as the authors' program does; its weights 1, 50 and 1 belong to means.
    """
    return mse_loss(features_fake, features_real), l1_loss(fake, real), mse_loss(second, code)


class _Critic(nn.Module):
    """Says real or not as a logit ``(n,)``, and gives the features before the last layer, which are matched."""

    def __init__(self, side: int, channels: int):
        super().__init__()
        *layers, self.last = _encoder(side, channels, 1)
        self.features = nn.Sequential(*layers)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(inputs)
        return self.last(features).flatten(), features


def _encoder(side: int, channels: int, outputs: int) -> list[nn.Module]:
    layers = [nn.Conv2d(3, channels, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    side //= 2
    while side > 4:
        layers += [nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * channels)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        side, channels = side // 2, 2 * channels
    return [*layers, nn.Conv2d(channels, outputs, 4, bias=False)]


def _decoder(side: int, channels: int, inputs: int) -> nn.Sequential:
    width = channels * side // 8  # of the 4x4 maps next to the code
    layers = [nn.ConvTranspose2d(inputs, width, 4, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    while width > channels:
        layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width // 2)]
        layers += [nn.ReLU(inplace=True)]
        width //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def _initialise(module: nn.Module) -> None:
    """DCGAN's: Radford et al. 2016, arXiv 1511.06434, section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
