"""Copy-paste: defects cut out along their masks and put onto good images (Ghiasi et al., arXiv 2012.07177)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from .base import Oversampler, OversamplerError, check_number


def paste(image: np.ndarray, mask: np.ndarray, background: np.ndarray, margin: int) -> np.ndarray:
    """A background with the defect of an image, where the image has it.

    What surrounds the defect comes along and is blended out, so that no edge tells that it was pasted: Dwibedi et al.
    2017, arXiv 1708.01642, section 5.2.

    Args:
        image, background: uint8 ``(3, H, W)``.
        mask: of the defect, bool ``(H, W)``.
        margin: pixels around the defect that come along; they are blended by a Gaussian of half that width.

    Returns:
        uint8 ``(3, H, W)``.
    """
    around = binary_dilation(mask, np.ones((3, 3), bool), iterations=margin) if margin else mask
    share = gaussian_filter(around.astype(np.float32), margin / 2)
    return np.rint(share * image + (1 - share) * background.astype(np.float32)).astype(np.uint8)


@dataclass(kw_only=True, repr=False, eq=False)
class CopyPaste(Oversampler):
    """New images of a defect type: the defect of one of its images on a good image, both drawn at random.

    The defect stays where it was in the frame: a product that is not symmetric has its defects where it has its parts.
    An image whose mask is empty is copied as a whole, and so are good images where these are too few.

    Args:
        masks: of the images that are resampled, bool ``(N, H, W)``.
        background: class of the good images.
        margin: what comes along around a defect, as a share of the image's longer side.
        sampling_strategy, random_state: see :class:`Oversampler`.

    Attributes:
        parents_: positions of the image that the defect is of and of the good image, int ``(made, 2)``; of a copy twice
            the image itself.

    Raises:
        Hw3Error: masks of another number or size than the images, no image of the class ``background``; and as
            :class:`Oversampler`.
    """

    takes_vectors = False
    interpolates = False

    masks: np.ndarray | None = None
    background: str | int | None = "good"
    margin: float = 0.02

    def _make(self, X, y, needed, rng):
        check_number("margin", self.margin, 0, whole=False)
        found = None if self.masks is None else np.shape(self.masks)
        if found != (len(X), *X.shape[2:]):
            raise OversamplerError(f"masks: found {found}, expected {(len(X), *X.shape[2:])}, one mask an image")
        masks = np.asarray(self.masks, bool)
        good = np.flatnonzero(y == self.background)
        if not len(good):
            raise OversamplerError(
                f"background={self.background!r}: no image is of this class; the classes are "
                f"{', '.join(map(repr, np.unique(y).tolist()))}"
            )
        margin = round(self.margin * max(X.shape[2:]))
        made, parents = [X[:0]], []
        for name, number in needed.items():
            for row in rng.choice(np.flatnonzero(y == name), number):
                pasted = name != self.background and masks[row].any()
                onto = rng.choice(good) if pasted else row
                made.append((paste(X[row], masks[row], X[onto], margin) if pasted else X[row])[None])
                parents.append((row, onto))
        self.parents_ = np.array(parents, int).reshape(-1, 2)
        return np.concatenate(made)
