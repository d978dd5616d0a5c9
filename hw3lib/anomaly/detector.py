"""What every anomaly detector has in common: scikit-learn's manners, a threshold from good images alone, one folder."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate
from tqdm.auto import tqdm

from hw3lib import __version__
from hw3lib.core.saved import Saved
from hw3lib.core.text import counted
from hw3lib.data.groups import as_numbers, joined_groups, pixel_twins
from hw3lib.data.pixels.reading import PLAIN, Reading
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import pick_device

from .assembly import Maps, of_images, stacked
from .calibration import Calibrated, ChangedDetector, probe_images
from .thresholds import Calibration, required_good_images
from .variants import check_tolerated, with_variants

SAVED = Saved(
    "detector", "detector.json", "state.safetensors", 2, "save it again, or fit a new one with `hw3 detect fit`"
)
Images = ImageStack | np.ndarray | Sequence[np.ndarray]

# Of the small networks with ImageNet weights the one that is best on seven sets, and on each left out: docs/results.md.
BACKBONE = "tf_efficientnet_lite1"
FEWEST = 4  # good images; with fewer nothing says what is normal and what is chance
_MOST = 2000  # good images that are scored once more where all could be: they show rates down to 0.05 %


class Scores(NamedTuple):
    """Scores ``(N,)`` and, of detectors that have them, maps; float32, higher is more anomalous.

    A map covers its image at the resolution that the detector saw it at: ``(N, image_size, image_size)`` of images that
    were stretched to squares. Of padded or tiled ones it has the image's aspect ratio, and where not all have the same
    the maps are a list; see :class:`hw3lib.data.pixels.geometry.Geometry`.
    """

    scores: np.ndarray
    maps: Maps | None


@dataclass(kw_only=True)
class Detector(Calibrated):
    """A detector that learns from good images alone.

    A subclass is a dataclass whose fields are its hyperparameters. It gives :meth:`_fit`, :meth:`_score` and what
    :meth:`save` needs: :meth:`_state` and :meth:`_restore`. One that can also score a good image without what it
    learned of it gives :meth:`_leave_out`, and says so by ``leaves_out``.

    Attributes:
        image_size: side in pixels of the square images that it takes.
        smoothing: standard deviation of the Gaussian that smooths the maps, as a share of ``image_size``, 0 to 0.25: a
            map smoothed alike shows the same at any size. 4 of 224 pixels in PaDiM and PatchCore.
        tolerate: what good products may do beyond what the good images show, of :data:`.variants.TOLERABLE`: each good
            image teaches, and sets the threshold, in variants too, as photographs of one product.
        batch_size: images scored at once.
        seed: of everything that is drawn.
        device: ``auto``, ``cpu``, ``cuda``, ...
        reading_: how the good images became pixels, which others must become in the same way.
    """

    name: ClassVar[str]  # in tables, and in the saved folder
    source: ClassVar[str]  # paper and equation
    leaves_out: ClassVar[bool] = False
    no_graph: ClassVar[str] = "it has no graph"  # why there is no ONNX file of it

    image_size: int = 224
    smoothing: float = 4 / 224
    tolerate: tuple[str, ...] = ()
    batch_size: int = 16
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for field, low in (("image_size", 32), ("batch_size", 1)):
            if not getattr(self, field) >= low:
                raise Hw3Error(f"{self.name}: {field}={getattr(self, field)!r}, expected {low} or more")
        if not 0 <= self.smoothing <= 0.25:
            raise Hw3Error(f"{self.name}: smoothing={self.smoothing!r}, expected a share of image_size, 0 to 0.25")
        check_tolerated(self.tolerate, self.name)

    @property
    def sigma(self) -> float:
        """:attr:`smoothing` in pixels."""
        return self.smoothing * self.image_size

    @property
    def has_maps(self) -> bool:
        """Whether it has anomaly maps; False for one that looks at the image as a whole."""
        return True

    def fit(
        self,
        good: Images,
        *,
        groups: Sequence | np.ndarray | None = None,
        held_out: float | None = None,
        folds: int | None = None,
        false_alarm_rate: float = 0.05,
        progress: bool = False,
    ) -> Detector:
        """Learn from good images, which also set the threshold: by scores as of images that were not learned from.

        There are three ways to these scores, see :mod:`hw3lib.anomaly.thresholds` for what each of them promises:
        *leave-one-out* (PatchCore, by default), where all images teach and each is scored without its own patches;
        *held-out* (the others, by default), where some of them do not teach; *cross-validation*, where all images teach
        and each is scored by a detector that learned from the other folds.

        Where several images show one product, whole products are left out, and the threshold counts products: one set
        on photographs of products that were learned from would promise what no new product keeps. Images of the same
        pixels show one product.

        Args:
            good: uint8 ``(N, 3, image_size, image_size)``, 0 to 255, RGB; an array or a list of images, or an
                ImageStack, which knows how photographs that are no squares lie in them.
            groups: the product that each image shows, ``(N,)``, anything that can be compared; None takes those of the
                ImageStack, which has them of its table, or else each image shows another product.
            held_out: share of them that is not learned from, or of the products. 0 learns from all and scores none:
                then there is no threshold and no p-value. None: 0.25, or none is held out where the detector can leave
                out what it learned of an image, or where there are ``folds``.
            folds: number of parts for cross-validation, which takes as many fits more; None: no cross-validation.
            false_alarm_rate: share of good images that may be called anomalous, see
                :func:`hw3lib.anomaly.conformal_threshold`.
            progress: show bars.

        Returns:
            The detector.

        Raises:
            Hw3Error: too few images, images of another size or of several, NaN, or images that are all the same; all
                of one product; not one group each; a share or a rate out of range. What was learned before is kept
                then, but not if learning itself fails.
        """
        required_good_images(false_alarm_rate)  # refuses a wrong rate before the work, not after
        reading = good.reading if isinstance(good, ImageStack) else PLAIN
        if reading is None:
            raise Hw3Error(f"{self.name}: good images that are not all read alike; expected those of one category")
        images = self._check(good)
        _refuse_constant(images.images, self.name)
        calibration, share = self.calibration_for(held_out, folds)
        own = self._products(good, groups, images)
        if self.tolerate:
            images, shown = with_variants(images, self.tolerate, self.seed)
            own = shown if own is None else own[shown]
        learned, apart_rows = self.divide(len(images), own, share)
        parts = self._folds(len(images), own, folds) if folds is not None else []
        apart = len(apart_rows)
        if len(learned) < FEWEST - 1:
            raise Hw3Error(
                f"{self.name}: found {len(images)} good images, of which {apart} are held out; expected at least "
                f"{FEWEST} in all and {FEWEST - 1} to learn from. Add good images"
            )
        self._torch_device, self.reading_ = pick_device(self.device), reading
        vars(self).pop("n_good_", None)  # a failure from here on leaves a detector that says it is not fitted
        self._fit(Rows(images.images, images.squares_of(learned)), progress)
        self._forget()
        if calibration == "leave-one-out":
            rows = self._drawn(len(images), own)
            products = np.arange(len(images)) if own is None else own
            squares = [1] * len(images) if images.geometries is None else [len(g) for g in images.geometries]
            proven = self._leave_out(np.repeat(products, squares))
            scored = self._score_batches(images, rows, progress, products)
        else:
            rows = np.concatenate(parts) if parts else apart_rows
            proven = not parts
            scored = self._of_folds(images, parts, progress) if parts else self._score_batches(images, rows, progress)
        if calibration is not None:
            self._calibrate(scored, len(rows), None if own is None else own[rows], calibration, proven)
        self.n_good_ = len(learned)
        self.probe_ = self.decision_function(probe_images(self.image_size))
        self.set_false_alarm_rate(false_alarm_rate)
        return self

    def extend(self, good: Images, *, progress: bool = False) -> None:
        """Learn from more good images, each of another product than those before, in time in proportion to them alone.

        They join what is remembered and what sets the threshold, whose rate or costs stay. Good images from before keep
        their scores, which what is new could only lower: the threshold is so rather too high than too low, and no
        theorem gives its rate. Nothing may use what was learned meanwhile.

        Args:
            good: as in :meth:`fit`. Where good images are held out, as large a share of these is.

        Raises:
            Hw3Error: not fitted, a detector that cannot go on learning, one of cross-validation, or images as in
                :meth:`decision_function`.
        """
        images = self._check_reading(good)
        if type(self)._extend is Detector._extend or self.calibration_ == "cross-validation":
            raise Hw3Error(
                f"{self.name}, threshold set by {self.calibration_}: cannot learn from more good images alone; fit it "
                "again on all of them. PatchCore can, without folds"
            )
        own = self._products(good, None, images)
        if self.tolerate:
            images, shown = with_variants(images, self.tolerate, self.seed + self.n_good_)
            own = shown if own is None else own[shown]
        scores, peaks = (self.good_scores_, self.good_groups_), (self.good_peaks_, self.peak_groups_)
        calibration, scored, threshold = self.calibration_, len(self.good_scores_), self.thresholds_
        level = self.good_level_
        own = np.arange(len(images)) if own is None else own
        if calibration == "held-out":
            units = np.random.default_rng(self.seed + self.n_good_).permutation(int(own.max()) + 1)
            apart = np.isin(own, units[: round(len(units) * scored / (self.n_good_ + scored))])
        else:
            apart = np.zeros(len(images), bool)
        squares = images.squares_of(np.flatnonzero(~apart))
        each = [1] * len(images) if images.geometries is None else [len(g) for g in images.geometries]
        if len(squares):
            self._extend(Rows(images.images, squares), np.repeat(own, each)[squares], progress)
        leaves = calibration == "leave-one-out"
        rows = np.arange(len(images)) if leaves else np.flatnonzero(apart)
        if scored and len(rows):
            found = self._score_batches(images, rows, progress, own if leaves else None)
            self._calibrate(found, len(rows), own[rows], calibration, proven=False)
            self.good_level_ = level
            self.good_scores_, self.good_groups_ = _joined(*scores, self.good_scores_, self.good_groups_)
            self.good_peaks_, self.peak_groups_ = _joined(*peaks, self.good_peaks_, self.peak_groups_)
        self.n_good_ += int((~apart).sum())
        self.probe_ = self.decision_function(probe_images(self.image_size))
        if threshold is not None and threshold.costs is not None:
            self.set_costs(threshold.costs)
        elif threshold is not None:
            self.set_false_alarm_rate(threshold.false_alarm_rate)

    def _extend(self, images: Rows, products: np.ndarray, progress: bool) -> None:
        """Learn from more squares, which show these products, int64 ``(n,)``, from 0, all of them new, and be ready to
        score them without what was learned of their own."""
        raise NotImplementedError(self.name)

    def calibration_for(self, held_out: float | None, folds: int | None) -> tuple[Calibration | None, float]:
        """How :meth:`fit` comes to a threshold, None if there will be none, and the share of images it holds out.

        Raises:
            Hw3Error: a share out of range, or both a share and folds.
        """
        if held_out is not None and not 0 <= held_out <= 0.9:
            raise Hw3Error(f"{self.name}: held_out={held_out!r}, expected a share of the good images, 0 to 0.9")
        if folds is not None:
            if held_out is not None:
                raise Hw3Error(f"{self.name}: held_out={held_out!r} and folds={folds!r}; expected one of them")
            return "cross-validation", 0.0
        if held_out is None and self.leaves_out:
            return "leave-one-out", 0.0
        share = 0.25 if held_out is None else held_out
        return "held-out" if share else None, share

    def _folds(self, n: int, groups: np.ndarray | None, folds: int) -> list[np.ndarray]:
        """Positions of the images of each fold, ascending, drawn with the seed; no product in two of them."""
        units = n if groups is None else int(groups.max()) + 1
        if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= units:
            raise Hw3Error(f"{self.name}: folds={folds!r}, expected 2 to {units}, the number of good products")
        own = np.arange(n) if groups is None else groups
        parts = np.array_split(np.random.default_rng(self.seed).permutation(units), folds)
        rows = [np.flatnonzero(np.isin(own, part)) for part in parts]
        if (fewest := n - max(map(len, rows))) < FEWEST - 1:
            raise Hw3Error(f"{self.name}: folds={folds}: {fewest} images would be left to learn from; add good images")
        return rows

    def _of_folds(self, images: ImageStack, parts: Sequence[np.ndarray], progress: bool) -> Iterator[Scores]:
        """Of the images of each fold, by a detector that learned from the others."""
        for rows in parts:
            fold = replace(self)
            fold._torch_device, fold.reading_ = self._torch_device, self.reading_
            others = np.setdiff1d(np.arange(len(images)), rows)
            fold._fit(Rows(images.images, images.squares_of(others)), progress)
            yield from fold._score_batches(images, rows, progress)

    def _drawn(self, n: int, groups: np.ndarray | None) -> np.ndarray:
        """Positions of the images to score, ascending: all, or about :data:`_MOST` of whole products."""
        if n <= _MOST:
            return np.arange(n)
        own = np.arange(n) if groups is None else groups
        order = np.random.default_rng(self.seed).permutation(int(own.max()) + 1)
        return np.flatnonzero(np.isin(own, order[: max(1, len(order) * _MOST // n)]))

    def _leave_out(self, products: np.ndarray) -> bool:
        """Prepare :meth:`_score` to leave out what was learned of a product.

        Args:
            products: that each square shows that was learned from, int64 ``(squares,)``.

        Returns:
            Whether the theorem of :mod:`hw3lib.anomaly.thresholds` covers it.
        """
        raise NotImplementedError(self.name)

    def _products(self, good: Images, groups: Sequence | np.ndarray | None, images: ImageStack) -> np.ndarray | None:
        """The product of each image as a number, int64 ``(N,)``; None where each shows another."""
        if groups is None and isinstance(good, ImageStack):
            return good.groups
        if groups is not None and np.shape(groups) != (len(images),):
            raise Hw3Error(f"{self.name}: groups of shape {np.shape(groups)}, expected one for each of {len(images)}")
        return joined_groups(None if groups is None else as_numbers(groups), pixel_twins(images.squares()), len(images))

    def divide(self, n: int, groups: np.ndarray | None, held_out: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions of images that :meth:`fit` learns from and of those it holds out, ascending; no product in both.

        Args:
            n: good images.
            groups: numbers of the products that they show, from 0, int64 ``(n,)``; None: another one each.
            held_out: see :meth:`fit`.

        Raises:
            Hw3Error: no product would be left to learn from.
        """
        units = n if groups is None else int(groups.max()) + 1
        order = np.random.default_rng(self.seed).permutation(units)
        apart = max(1, round(held_out * units)) if held_out else 0
        if groups is None:
            return np.sort(order[apart:]), np.sort(order[:apart])
        if apart >= units:
            raise Hw3Error(
                f"{self.name}: found {n} good images of {counted(units, 'product')}, of which {apart} would be held "
                "out; expected one or more to learn from as well. Add photographs of other products, or fit with "
                "held_out=0, which sets no threshold"
            )
        held = np.isin(groups, order[:apart])
        return np.flatnonzero(~held), np.flatnonzero(held)

    def score(self, images: Images, *, progress: bool = False) -> Scores:
        """Scores and anomaly maps in one pass; see :meth:`decision_function` and :meth:`anomaly_map`."""
        scores, maps = [], []
        for score, map_ in self._score_batches(self._check_reading(images), progress=progress):
            scores.append(score)
            maps += [] if map_ is None else [*map_]
        return Scores(np.concatenate(scores), stacked(maps) if self.has_maps else None)

    def _score_batches(
        self,
        images: ImageStack,
        rows: np.ndarray | None = None,
        progress: bool = False,
        products: np.ndarray | None = None,
    ) -> Iterator[Scores]:
        """Of the images at these positions, or of all, a batch at a time; without what was learned of their products,
        int64 ``(N,)``, if these are given."""
        squares: np.ndarray | Rows = images.images
        geometries = images.geometries
        if rows is not None:
            squares = Rows(images.images, images.squares_of(rows))
            geometries = None if geometries is None else [geometries[row] for row in rows]
            products = None if products is None else products[rows]
        if products is not None and geometries is not None:
            products = np.repeat(products, [len(geometry) for geometry in geometries])
        return (Scores(*found) for found in of_images(self._score_squares(squares, progress, products), geometries))

    def _score_squares(
        self, images: np.ndarray | Rows, progress: bool, products: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
        starts = range(0, len(images), self.batch_size)
        for start in tqdm(starts, desc=f"{self.name}: score", unit="batch", disable=not progress):
            batch = torch.from_numpy(np.array(images[start : start + self.batch_size], order="C"))
            without = () if products is None else (torch.from_numpy(products[start : start + self.batch_size]),)
            with torch.no_grad():
                score, map_ = self._score(*(part.to(self._torch_device) for part in (batch, *without)))
            maps = None if map_ is None else self._finish(map_)
            yield None if score is None else score.float().cpu().numpy(), maps

    def decision_function(self, images: Images) -> np.ndarray:
        """Scores, float32 ``(N,)``, of uint8 images ``(N, 3, image_size, image_size)``; higher is more anomalous.

        Raises:
            Hw3Error: not fitted, or images of another size or fit, or NaN.
        """
        return np.concatenate([batch.scores for batch in self._score_batches(self._check_reading(images))])

    def anomaly_map(self, images: Images) -> Maps:
        """Anomaly maps, float32, see :class:`Scores`; higher is more anomalous.

        Raises:
            Hw3Error: as :meth:`decision_function`, and where the detector looks at the image as a whole.
        """
        if not self.has_maps:
            raise Hw3Error(f"{self.name} looks at the image as a whole and has no anomaly map; take PatchCore or PaDiM")
        maps = self.score(images).maps
        assert maps is not None
        return maps

    def save(self, folder: str | Path) -> None:
        """Write the detector into one folder, whole or not at all: ``detector.json`` and ``state.safetensors``.

        A detector that is there is replaced.

        Raises:
            Hw3Error: not fitted, the folder holds something else, or it cannot be written.
        """
        self._require_fit()
        settings = {
            "detector": self.name,
            "parameters": asdict(self),
            "n_good": self.n_good_,
            "promise": self.promise(),
            "backbone_sha256": self._backbone_digest(),
            "reading": asdict(self.reading_),
            "hw3lib": __version__,
            "torch": torch.__version__,
        }
        SAVED.write(folder, settings, self._state())

    @classmethod
    def _load(cls, parameters: dict[str, Any], settings: dict[str, Any], state: dict[str, torch.Tensor]) -> Detector:
        known = {f.name for f in fields(cls)}
        own: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items() if k in known}
        detector = cls(**own)
        detector._torch_device = pick_device(detector.device)
        detector.reading_ = Reading(**settings["reading"])
        detector.keep_promise(settings["promise"])
        detector._restore(state)
        detector.n_good_ = settings["n_good"]
        other = settings["backbone_sha256"] != detector._backbone_digest()
        detector.compare_probe(probe_images(detector.image_size), "its backbone has other weights" if other else "")
        if detector.changed_:
            warnings.warn(detector.changed_, ChangedDetector, stacklevel=3)
        return detector

    def _backbone_digest(self) -> str | None:
        """SHA-256 of the pretrained network's weights; None for a detector without one."""
        backbone = getattr(self, "_backbone", None)
        return None if backbone is None else backbone.digest()

    def graph(self) -> torch.nn.Module:
        """What :meth:`_score` does as a module of torch's own operators, for ONNX, with the number of images left open.

        Raises:
            Hw3Error: it is no chain of network and matrix products.
        """
        raise Hw3Error(
            f"{self.name} cannot be exported to ONNX: {self.no_graph}; take PatchCore or PaDiM, or use its folder"
        )

    @abstractmethod
    def _fit(self, images: Rows, progress: bool) -> None:
        """Learn from uint8 ``(n, 3, image_size, image_size)``; rows are read when they are asked for."""

    @abstractmethod
    def _score(self, images: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Scores ``(n,)`` and maps ``(n, h, w)`` of any resolution; scores None: the maximum of the finished map.

        Where ``leaves_out``, it also takes the product that each image shows, int64 ``(n,)``, and then leaves out what
        was learned of it.
        """

    @abstractmethod
    def _state(self) -> dict[str, torch.Tensor]:
        """What was learned, as tensors."""

    @abstractmethod
    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of :meth:`_state`; tensors are on the CPU, ``self._torch_device`` is set."""

    @property
    def memory_bank(self) -> int:
        """Vectors that are kept to compare with; 0 for detectors without such a memory."""
        return 0

    def _finish(self, maps: torch.Tensor) -> np.ndarray:
        side = (self.image_size, self.image_size)
        large = interpolate(maps[:, None].float(), size=side, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
        return gaussian_filter(large, (0, self.sigma, self.sigma)) if self.sigma else large

    def _check(self, images: Images) -> ImageStack:
        squares = as_images(images)
        if squares.shape[2:] != (self.image_size, self.image_size):
            raise Hw3Error(
                f"{self.name}: images of {squares.shape[3]}x{squares.shape[2]} pixels, expected "
                f"{self.image_size}x{self.image_size}; load them at that size or set image_size"
            )
        return images if isinstance(images, ImageStack) else ImageStack(squares)

    def _check_reading(self, images: Images) -> ImageStack:
        """Images to score, which must lie in their squares as the good ones did, and should have become pixels as they
        did."""
        self._require_fit()
        if isinstance(images, ImageStack) and images.reading != self.reading_:
            said = (
                f"{self.name} learned from images read as {self.reading_}, and these were read as {images.reading}; "
                "load them with ImageStack.load(table, size, reading=detector.reading_)"
            )
            if {geometry.fit for geometry in images.geometries or ()} | {"stretch"} != {self.reading_.fit, "stretch"}:
                raise Hw3Error(said)
            warnings.warn(said, stacklevel=3)
        return self._check(images)

    def _require_fit(self) -> None:
        if not hasattr(self, "n_good_"):
            raise Hw3Error(f"{self.name} has not learned anything yet; call fit(good_images) first")


def _joined(
    old: np.ndarray, old_groups: np.ndarray | None, new: np.ndarray, new_groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores and products of two sets of images, no product in both, ascending; None where each shows another."""
    first = np.arange(len(old)) if old_groups is None else old_groups
    second = np.arange(len(new)) if new_groups is None else new_groups
    groups = np.concatenate([first, second + int(first.max(initial=-1)) + 1])
    order = np.argsort(joined := np.concatenate([old, new]), kind="stable")
    alone = old_groups is None and len(np.unique(second)) == len(second)
    return joined[order], None if alone else groups[order]


def as_images(images: Images) -> np.ndarray:
    """Images as uint8 ``(N, 3, H, W)``; a mapped array stays on disk.

    Raises:
        Hw3Error: no image, mixed sizes, another shape, NaN or values outside 0 to 255.
    """
    if isinstance(images, ImageStack):
        images = images.images
    if not isinstance(images, np.ndarray):
        images = list(images)
        sizes = sorted({np.shape(image) for image in images})
        if len(sizes) > 1:
            found = ", ".join(map(str, sizes[:4]))
            raise Hw3Error(f"images of mixed sizes: found {found}; load them with ImageStack.load(table, size)")
        images = np.stack(images) if images else np.zeros((0, 3, 1, 1), np.uint8)
    if images.ndim != 4 or images.shape[1] != 3:
        raise Hw3Error(f"images: found shape {images.shape}, expected (N, 3, H, W)")
    if len(images) == 0:
        raise Hw3Error("images: found none, expected at least one")
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.number):
        raise Hw3Error(f"images: found {images.dtype}, expected uint8, 0 to 255")
    wrong = ~np.isfinite(images).all((1, 2, 3))
    if wrong.any():
        raise Hw3Error(f"images: NaN or infinite pixels in image {int(wrong.argmax())}, expected values of 0 to 255")
    if images.min() < 0 or images.max() > 255 or images.max() <= 1 < images.size:
        raise Hw3Error(
            f"images: values of {images.min():g} to {images.max():g}, expected 0 to 255 (multiply by 255 if they are "
            "in 0 to 1)"
        )
    return np.rint(images).astype(np.uint8)


def _refuse_constant(images: np.ndarray, name: str) -> None:
    first = images[0]
    if all(np.array_equal(first, image) for image in images[1:]) and len(images) > 1:
        raise Hw3Error(
            f"{name}: all {len(images)} good images are the same, pixel by pixel, so nothing shows how good ones vary; "
            "give different photographs"
        )


class Rows:
    """Chosen images of an array that may be mapped from disk; indexing reads no more than what is asked for.

    Args:
        images: uint8 ``(N, 3, H, W)``.
        rows: positions, int64 ``(n,)``.

    Attributes:
        shape: ``(n, 3, H, W)``.
    """

    def __init__(self, images: np.ndarray, rows: np.ndarray):
        self._images, self._rows = images, rows
        self.shape = (len(rows), *images.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Images at these positions, uint8, ``(3, H, W)`` for one and ``(m, 3, H, W)`` for several."""
        return np.asarray(self._images[self._rows[rows]])
