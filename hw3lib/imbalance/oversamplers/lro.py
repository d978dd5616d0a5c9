"""LRO-style oversampling: rare patterns of a class first. A reconstruction, not the authors' method.

Kim et al., Computers & Industrial Engineering 162:107767 (2021), cluster each minority class by DBSCAN, learn an
autoencoder, and sample by label-wise reconstruction loss. The full text was not at hand: how these three fit together
here, and every number, is this project's own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional as F

from .autoencoder import LatentOversampler
from .base import check_number
from .deepsmote import between

RETRIES = 10


def rare_patterns(latents: np.ndarray, *, min_samples: int = 2) -> np.ndarray:
    """Clusters of one class by DBSCAN; what it calls noise becomes clusters of one, for no image may be lost.

    ``eps`` is the median distance to the k-th neighbour, k = min(4, n - 1), on standardised coordinates.

    Args:
        latents: of one class, ``(n, D)``.
        min_samples: DBSCAN's: images, itself counted, that make a core.

    Returns:
        Cluster of each image, int ``(n,)``, numbered from 0.
    """
    if len(latents) == 1:
        return np.zeros(1, int)
    spread = latents.std(0)
    scaled = (latents - latents.mean(0)) / np.where(spread > 0, spread, 1)
    k = min(4, len(latents) - 1)
    eps = float(np.median(NearestNeighbors(n_neighbors=k).fit(scaled).kneighbors()[0][:, -1]))
    # All equal: any positive eps joins them.
    labels = DBSCAN(eps=eps or 1.0, min_samples=min_samples).fit_predict(scaled)
    noise = labels == -1
    labels[noise] = labels.max() + 1 + np.arange(noise.sum())
    return labels


def allot(clusters: np.ndarray, number: int) -> np.ndarray:
    """Share new samples out over clusters in proportion to 1 / size, by largest remainders; ties go to the smaller one.

    Args:
        clusters: of each image, numbered from 0, ``(n,)``.
        number: of new samples.

    Returns:
        Number for each cluster, int ``(clusters,)``; a smaller cluster never gets less than a larger one.
    """
    sizes = np.bincount(clusters)
    quota = number / sizes / (1 / sizes).sum()
    result = np.floor(quota).astype(int)
    rest = np.round(quota - result, 9)
    result[np.lexsort((sizes, -rest))[: number - result.sum()]] += 1
    return result


@dataclass(kw_only=True, repr=False, eq=False)
class LroStyle(LatentOversampler):
    """LRO-style oversampling, this project's reconstruction of Kim et al. 2021 (see the module).

    An autoencoder is trained on all classes by reconstruction alone. The latent vectors of each class are clustered
    (:func:`rare_patterns`), new samples are shared out in proportion to 1 / cluster size (:func:`allot`), seeds are
    drawn in proportion to their reconstruction loss (hard images first), and each is interpolated with another image of
    its cluster, or, in a cluster of one, moved by noise. A decoded image is kept if its own reconstruction loss is at
    most mean + 2 standard deviations of its class's (the label-wise loss); else it is drawn again, ten times at most,
    and then the best of them is kept.

    Args:
        noise: standard deviation of the noise in a cluster of one, as a share of the class's latent one.
        image_size, latent_dim, width, steps, batch_size, lr, device: see :class:`LatentOversampler`.
        sampling_strategy, random_state: see :class:`Oversampler`.

    Attributes:
        clusters_: of each real image, int ``(N,)``, numbered from 0 in each class; -1 in classes that need nothing.
        class_losses_: mean reconstruction loss of each class, in units of the scale -1 to 1.
        generated_clusters_: cluster each new image was made from, int ``(made,)``.
        rejected_: new images that no draw brought below the limit of their class.
    """

    noise: float = 0.1

    def _fit_resample(self, X, y):
        check_number("noise", self.noise, 0, whole=False)
        self.clusters_, self.class_losses_ = np.full(len(y), -1), {}
        self.generated_clusters_, self.rejected_ = np.empty(0, int), 0
        return super()._fit_resample(X, y)

    def _losses(self, small: torch.Tensor) -> np.ndarray:
        """Reconstruction loss of each image, mean squared error, ``(N,)``."""
        again = self._decode(self._encode(small))
        return F.mse_loss(again, small, reduction="none").mean((1, 2, 3)).cpu().numpy()

    def _sample(self, small, y, needed, rng):
        losses = self._losses(small)
        self.class_losses_ = {c: float(losses[y == c].mean()) for c in np.unique(y)}
        made = []
        for name, number in needed.items():
            rows = np.flatnonzero(y == name)
            self.clusters_[rows] = rare_patterns(self.latents_[rows])
            numbers = allot(self.clusters_[rows], number)
            origin = np.repeat(np.arange(len(numbers)), numbers)
            limit = losses[rows].mean() + 2 * losses[rows].std()
            made.append((*self._draw_class(rows, origin, losses, limit, rng), origin))
        latents, parents, gaps, self.generated_clusters_ = (np.concatenate(part) for part in zip(*made, strict=True))
        return latents, parents, gaps

    def _draw_class(self, rows, origin, losses, limit, rng):
        """Latents, parents and gaps of one class; what is above the limit is drawn again, the best draw kept."""
        latents, parents, gaps = self._draw(rows, origin, losses, rng)
        own = self._losses(self._decode(latents))
        for _ in range(RETRIES):
            bad = np.flatnonzero(own > limit)
            if len(rows) == 1 or not len(bad):
                break
            again = self._draw(rows, origin[bad], losses, rng)
            loss = self._losses(self._decode(again[0]))
            better = loss < own[bad]
            for old, new in zip((latents, parents, gaps, own), (*again, loss), strict=True):
                old[bad[better]] = new[better]
        self.rejected_ += int((own > limit).sum()) if len(rows) > 1 else 0
        return latents, parents, gaps

    def _draw(self, rows, origin, losses, rng):
        parents, noise = np.empty((len(origin), 2), int), np.zeros((len(origin), self.latent_dim), np.float32)
        gaps = rng.uniform(size=len(origin)).astype(np.float32)
        spread = self.latents_[rows].std(0)
        for i, cluster in enumerate(origin):
            members = rows[self.clusters_[rows] == cluster]
            weights = losses[members].astype(float)
            seed = rng.choice(members, p=weights / weights.sum() if weights.sum() > 0 else None)
            others = members[members != seed]
            parents[i] = seed, rng.choice(others) if len(others) else seed
            if not len(others):
                gaps[i] = 0
                noise[i] = self.noise * spread * rng.normal(size=self.latent_dim)
        return between(self.latents_, parents, gaps) + noise, parents, gaps
