"""DeepSMOTE: SMOTE in the latent space of an autoencoder trained for it (Dablain et al., arXiv 2105.02340)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional as F

from .autoencoder import LatentAutoencoder, LatentOversampler, Penalty
from .base import OversamplerError, check_number

VARIANTS = ("paper", "official")


def permuted_penalty(network: LatentAutoencoder, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Penalty of the paper (Algorithm 1): codes of one class in a random order, against its images in their own.

    Encoder and decoder both get its gradient.

    Args:
        images: of one class, float32 ``(n, 3, S, S)`` in -1 to 1.
        generator: draws the order, on the CPU.

    Returns:
        Mean squared error, a scalar.
    """
    order = torch.randperm(len(images), generator=generator).to(images.device)
    return F.mse_loss(network.decode(network.encode(images)[order]), images)


def official_penalty(network: LatentAutoencoder, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Penalty as the authors' program has it: codes and images are moved together, so that it is a plain reconstruction
    of one class, and the codes carry no gradient, so that it trains the decoder alone."""
    codes = network.encode(images).detach()
    return F.mse_loss(network.decode(codes.roll(-1, 0)), images.roll(-1, 0))


PENALTIES: dict[str, Penalty] = {"paper": permuted_penalty, "official": official_penalty}


def smote_between(
    latents: np.ndarray, number: int, k_neighbors: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Which two vectors of one class each new one lies between, and where: SMOTE (arXiv 1106.1813).

    Args:
        latents: of one class, ``(n, D)``.
        number: of new vectors.
        k_neighbors: the second is one of so many nearest of the first, or of ``n - 1`` if that is less.

    Returns:
        ``parents``, int ``(number, 2)``, and ``gaps``, float32 ``(number,)``, 0 to 1. One vector alone is its own pair.
    """
    first = rng.randint(len(latents), size=number)
    k = min(k_neighbors, len(latents) - 1)
    if k == 0:
        return np.stack([first, first], 1), np.zeros(number, np.float32)
    # Asked without data, each vector is not among its own neighbours, even where two are equal.
    neighbours = NearestNeighbors(n_neighbors=k).fit(latents).kneighbors(return_distance=False)
    second = neighbours[first, rng.randint(k, size=number)]
    return np.stack([first, second], 1), rng.uniform(size=number).astype(np.float32)


def between(latents: np.ndarray, parents: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Points on the segments: ``z_i + gap (z_j - z_i)``, float32 ``(made, D)``."""
    first, second = latents[parents[:, 0]], latents[parents[:, 1]]
    return first + gaps[:, None] * (second - first)


@dataclass(kw_only=True, repr=False, eq=False)
class DeepSmote(LatentOversampler):
    """DeepSMOTE (Dablain, Krawczyk and Chawla, arXiv 2105.02340, Algorithm 1).

    Each step minimises the reconstruction loss of a batch plus a penalty on one class, drawn at random; images are then
    made by SMOTE between the latent vectors of each class, and decoded.

    Args:
        variant: ``paper`` is :func:`permuted_penalty`, ``official`` is :func:`official_penalty`. Codes in another
            order than their images ask the decoder for the class's mean. Of N images in C classes, one of a class of n
            enters the reconstruction loss with weight 1/N and the paper's penalty with 1/(C n) a step, so that the best
            decoder mixes its image with the class mean as 1/N to 1/(C n): the rarer a class, the more blurred it is.
        k_neighbors: neighbours among which a partner is drawn.
        image_size, latent_dim, width, steps, batch_size, lr, device: see :class:`LatentOversampler`.
        sampling_strategy, random_state: see :class:`Oversampler`.
    """

    variant: str = "paper"
    k_neighbors: int = 5

    def _fit_resample(self, X, y):
        if self.variant not in VARIANTS:
            raise OversamplerError(f"variant={self.variant!r}: expected one of {', '.join(VARIANTS)}")
        check_number("k_neighbors", self.k_neighbors, 1)
        return super()._fit_resample(X, y)

    def _penalty(self) -> Penalty:
        return PENALTIES[self.variant]

    def _sample(self, small, y, needed, rng):
        chosen, shares = [], []
        for name, number in needed.items():
            rows = np.flatnonzero(y == name)
            pairs, gap = smote_between(self.latents_[rows], number, self.k_neighbors, rng)
            chosen.append(rows[pairs])
            shares.append(gap)
        parents, gaps = np.concatenate(chosen), np.concatenate(shares)
        return between(self.latents_, parents, gaps), parents, gaps
