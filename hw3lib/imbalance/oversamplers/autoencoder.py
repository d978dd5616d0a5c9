"""The convolutional autoencoder under the oversamplers that work in a latent space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from hw3lib.networks.steps import Steps, shuffled_batches

from .base import Oversampler, OversamplerError, check_number

# An extra loss of a step: (autoencoder, images of one class, generator) -> a scalar.
Penalty = Callable[["LatentAutoencoder", torch.Tensor, torch.Generator], torch.Tensor]


class LatentAutoencoder(nn.Module):
    """Encoder and decoder of DCGAN's kind, as in Dablain et al., arXiv 2105.02340, section IV.

    Four convolutions (kernel 4, stride 2, batch normalisation but in the first, LeakyReLU 0.2) and a linear layer give
    the latent vector; the decoder mirrors them with ReLU and ends in tanh. Unlike there, the encoder is shown how
    images differ from the mean image, and the decoder starts at it: a short training is spent on differences alone. The
    width is a parameter (64 in the paper).

    Args:
        image_size: side in pixels, a multiple of 16, 32 or more.
        latent_dim: length of the latent vector.
        width: channels of the first convolution; the others have 2, 4 and 8 times as many.
        mean: mean of the training images, float32 ``(3, image_size, image_size)`` in -1 to 1.
        spread: standard deviation of their differences from it.
    """

    mean: torch.Tensor
    start: torch.Tensor

    def __init__(self, image_size: int, latent_dim: int, width: int, mean: torch.Tensor, spread: float):
        super().__init__()
        channels = [width, 2 * width, 4 * width, 8 * width]
        side = image_size // 16
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip([3, *channels], channels, strict=False)):
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=i == 0))
            layers += [nn.BatchNorm2d(after)] if i else []
            layers.append(nn.LeakyReLU(0.2))
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * side**2, latent_dim))
        layers = [nn.Linear(latent_dim, channels[-1] * side**2), nn.Unflatten(1, (channels[-1], side, side))]
        layers += [nn.BatchNorm2d(channels[-1]), nn.ReLU()]
        for before, after in zip(channels[:0:-1], channels[-2::-1], strict=True):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1))
        self.spread = spread
        self.register_buffer("mean", mean)
        self.register_buffer("start", torch.atanh(mean.clamp(-0.99, 0.99)))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latent vectors, float32 ``(N, latent_dim)``, of images, float32 ``(N, 3, S, S)`` in -1 to 1."""
        return self.encoder((images - self.mean) / self.spread)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images, float32 ``(N, 3, S, S)`` in -1 to 1, of latent vectors ``(N, latent_dim)``."""
        return torch.tanh(self.decoder(latents) + self.start)


def train_autoencoder(
    images: torch.Tensor,
    labels: np.ndarray,
    *,
    latent_dim: int,
    width: int,
    steps: int,
    batch_size: int,
    lr: float,
    penalty: Penalty | None,
    seed: int,
) -> tuple[LatentAutoencoder, pd.DataFrame]:
    """Train by mean squared error, plus a penalty on images of one class, freshly drawn at each step, if there is one.

    Args:
        images: float32 ``(N, 3, S, S)`` in -1 to 1, on the device that trains.
        labels: ``(N,)``.
        penalty: added to the reconstruction loss with weight 1.
        seed: of weights, batches and classes; the global generators are left as they were.

    Returns:
        The network in evaluation mode, and its history: one row a step, ``reconstruction`` and ``penalty``.
    """
    device = images.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        mean = images.mean(0)
        spread = float((images - mean).std()) or 1.0
        network = LatentAutoencoder(images.shape[-1], latent_dim, width, mean, spread).to(device)
    generator = torch.Generator().manual_seed(seed)
    # DCGAN's momentum (Radford et al., arXiv 1511.06434): 0.9 needs more than twice the steps on so few images.
    fused = device.type in ("cpu", "cuda")
    update = Steps(torch.optim.Adam(network.parameters(), lr, betas=(0.5, 0.999), fused=fused))
    members = [torch.from_numpy(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    history = []
    network.train()
    batches = shuffled_batches(len(images), min(batch_size, len(images)), generator)
    for _ in range(steps):
        batch = images[next(batches).to(device)]
        reconstruction = F.mse_loss(network.decode(network.encode(batch)), batch)
        extra = reconstruction.new_zeros(())
        if penalty is not None:
            rows = members[int(torch.randint(len(members), (), generator=generator))]
            rows = rows[torch.randperm(len(rows), generator=generator)[:batch_size]]
            extra = penalty(network, images[rows.to(device)], generator)
        update(reconstruction + extra)
        history.append((float(reconstruction.detach()), float(extra.detach())))
    return network.eval(), pd.DataFrame(history, columns=["reconstruction", "penalty"])


@dataclass(kw_only=True, repr=False, eq=False)
class LatentOversampler(Oversampler):
    """Base of the oversamplers that train an autoencoder and make images between latent vectors.

    Args:
        image_size: side in pixels at which the autoencoder works, a multiple of 16, 32 or more. Images are resized
            to it, and what is made is resized back. A defect that is lost at this size cannot be drawn: reduced to 32
            pixels, even most real defective bottles are taken for others.
        latent_dim: length of the latent vector.
        width: channels of the first convolution.
        steps: batches to train on.
        batch_size: images in a batch.
        lr: learning rate of Adam.
        device: where to train, such as ``cpu`` or ``cuda``.
        sampling_strategy, random_state: see :class:`Oversampler`.

    Attributes:
        autoencoder_: the network, or None where nothing was needed.
        history_: losses, one row a step.
        latents_: of the real images, float32 ``(N, latent_dim)``.
        generated_latents_: of the new ones, float32 ``(made, latent_dim)``.
        parents_: positions ``(i, j)`` of the two real images a new one lies between, int ``(made, 2)``; the same image
            twice where a class has one.
        gaps_: where between them, float32 ``(made,)``: 0 is the first, 1 the second.
    """

    takes_vectors = False

    image_size: int = 64
    latent_dim: int = 64
    width: int = 16
    steps: int = 1000
    batch_size: int = 8
    lr: float = 3e-3
    device: str = "cpu"

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Latent vectors, float32 ``(N, latent_dim)``, of images, uint8 ``(N, 3, H, W)``."""
        self._check_fitted()
        return self._encode(self._small(images))

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Images of the size of the training images, uint8 ``(N, 3, H, W)``, of latents ``(N, latent_dim)``."""
        self._check_fitted()
        small = self._decode(np.asarray(latents, np.float32))
        large = F.interpolate(small, self._shape, mode="bilinear", align_corners=False, antialias=True)
        return ((large + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()

    def _check_fitted(self) -> None:
        if getattr(self, "autoencoder_", None) is None:
            raise OversamplerError(f"{type(self).__name__} has no autoencoder yet: fit_resample made no image")

    def _small(self, images: np.ndarray) -> torch.Tensor:
        """Images in -1 to 1 at the working size, on the device."""
        size = (self.image_size, self.image_size)
        parts = [
            F.interpolate(torch.from_numpy(part.astype(np.float32)), size, mode="bilinear", antialias=True)
            for part in np.array_split(images, -(-len(images) // 64))
        ]
        return torch.cat(parts).to(self.device) / 127.5 - 1

    @torch.no_grad()
    def _encode(self, small: torch.Tensor) -> np.ndarray:
        assert self.autoencoder_ is not None
        return torch.cat([self.autoencoder_.encode(part) for part in small.split(64)]).cpu().numpy()

    @torch.no_grad()
    def _decode(self, latents: np.ndarray) -> torch.Tensor:
        assert self.autoencoder_ is not None
        parts = torch.from_numpy(latents).to(self.device).split(64)
        return torch.cat([self.autoencoder_.decode(part) for part in parts])

    def _penalty(self) -> Penalty | None:
        return None

    def _fit_resample(self, X, y):
        # At 16 pixels the innermost map is one pixel, which batch normalisation refuses for a class of one image.
        check_number("image_size", self.image_size, 32)
        if self.image_size % 16:
            raise OversamplerError(f"image_size={self.image_size}: expected a multiple of 16, such as 32 or 64")
        for name in ("latent_dim", "width", "steps"):
            check_number(name, getattr(self, name), 1)
        check_number("batch_size", self.batch_size, 2)
        check_number("lr", self.lr, 0, whole=False, excluded=True)
        return super()._fit_resample(X, y)

    def _make(self, X, y, needed, rng):
        self._shape = X.shape[2:]
        self.autoencoder_ = None
        self.history_ = pd.DataFrame(columns=["reconstruction", "penalty"], dtype=float)
        self.latents_ = self.generated_latents_ = np.empty((0, self.latent_dim), np.float32)
        self.parents_, self.gaps_ = np.empty((0, 2), int), np.empty(0, np.float32)
        if not needed:
            return X[:0]
        small = self._small(X)
        self.autoencoder_, self.history_ = train_autoencoder(
            small,
            y,
            latent_dim=self.latent_dim,
            width=self.width,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            penalty=self._penalty(),
            seed=int(rng.randint(2**31)),
        )
        self.latents_ = self._encode(small)
        self.generated_latents_, self.parents_, self.gaps_ = self._sample(small, y, needed, rng)
        made = self.decode(self.generated_latents_)
        # A class of one image is copied itself: its reconstruction would only be a worse copy.
        copied = np.isin(np.repeat(list(needed), list(needed.values())), [c for c in needed if (y == c).sum() == 1])
        made[copied] = X[self.parents_[copied, 0]]
        return made

    def _sample(self, small: torch.Tensor, y: np.ndarray, needed: dict, rng: np.random.RandomState):
        """New latents, parents and gaps, class by class in the order of ``needed``."""
        raise NotImplementedError
