"""Fine-tune SAM's mask decoder on a few masks, on a CPU in minutes: the encoder never runs again."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm.auto import tqdm

from hw3lib.annotate.instances import Instance
from hw3lib.annotate.prompts import BOX, CLICK, DETECTOR, PROMPTS, interior_click, jittered_box, random_clicks
from hw3lib.errors import Hw3Error
from hw3lib.networks.losses import dice_loss_per_image
from hw3lib.networks.schedules import warm_up_then_cosine
from hw3lib.networks.steps import Steps

from .sam import Embedding, Segmenter, padded

# Of the decoder: what turns its tokens into masks. The attention, which finds the object, stays as it was.
_HEADS = ("upscale_", "output_hypernetworks_mlps.0.", "iou_prediction_head")


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How a mask decoder is fine-tuned.

    Attributes:
        num_epochs: most passes over the training instances.
        lr: learning rate of AdamW, after a warm-up of one epoch; it falls to zero along a cosine.
        weight_decay: of AdamW, towards the published weights, not towards zero (L2-SP: Li et al. 2018,
            arXiv 1802.01483).
        batch_size: instances of a step.
        trained: ``decoder``, all of it, or ``heads``: its tokens, the layers that enlarge, and what makes the mask.
        prompt: how the model will be asked, and so how it is asked while it learns: with a ``box``, jittered as a
            person's is, with a ``click``, or with a ``detector``'s boxes. A decoder that is to learn all three at once
            from few images forgets how to follow a good box.
        validation: share of the training images that are held out to stop early; 0 learns from all, to the end.
        patience: epochs that are clearly worse than the best one before training ends.
        seed: of the held-out images, the order and the prompts.
    """

    num_epochs: int = 12
    lr: float = 1e-4
    weight_decay: float = 0.1
    batch_size: int = 4
    trained: str = "decoder"
    prompt: str = BOX
    validation: float = 0.15
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("num_epochs", 1), ("batch_size", 1), ("patience", 1), ("weight_decay", 0)):
            if not getattr(self, name) >= low:
                raise Hw3Error(f"{name}={getattr(self, name)!r}: expected {low} or more")
        if not 0 < self.lr < math.inf:
            raise Hw3Error(f"lr={self.lr!r}: expected a number above 0")
        if self.prompt not in PROMPTS:
            raise Hw3Error(f"prompt={self.prompt!r}: expected {', '.join(PROMPTS)}")
        if not 0 <= self.validation < 1:
            raise Hw3Error(f"validation={self.validation!r}: expected a share from 0 to below 1")
        if self.trained not in ("decoder", "heads"):
            raise Hw3Error(f"trained={self.trained!r}: expected decoder or heads")


@dataclass
class FineTuningHistory:
    """How a fine-tuning went.

    Attributes:
        epochs: one row an epoch, ``epoch`` (0 is before training), ``loss`` (missing in row 0) and ``iou``, the mean
            IoU of held-out instances at the decoder's resolution (missing where none is held out).
        kept: the epoch whose decoder was kept: the last one, or the best one where later ones were clearly worse.
        train, validation: rows of the table that were learned from, and that were held out.
    """

    epochs: pd.DataFrame
    kept: int
    train: list[int] = field(default_factory=list)
    validation: list[int] = field(default_factory=list)


def fine_tune(
    segmenter: Segmenter,
    embeddings: dict[int, Embedding],
    instances: Sequence[Instance],
    settings: FineTuning | None = None,
    *,
    detected: Sequence[Instance] = (),
    groups: Mapping[int, int] | None = None,
    progress: bool = False,
) -> tuple[Segmenter, FineTuningHistory]:
    """Train a copy of the mask decoder on instances of training images.

    Loss: Dice and cross-entropy at a quarter of the encoder's side, and the squared error of the IoU that the model
    expects. Prompts are freshly drawn in each step. The learning rate ends at zero, so the last decoder is kept: which
    epoch is best on a handful of held-out images is mostly chance. They stop training only where it clearly harms:
    where their IoUs lie below those of the best epoch, the untrained one among them, by more than twice the standard
    error of the mean paired difference. That epoch is kept then.

    Args:
        segmenter: the model to begin with; it is not changed.
        embeddings: of each image that has instances, by its row in the table, see :func:`.embed_files`.
        instances: of training images alone.
        settings: see :class:`FineTuning`.
        detected: what a detector found in the same images, where it is to ask. Its boxes are wider than a person's, and
            what is to be found is all that is defective inside; half of the prompts are the true boxes still.
        groups: the product that each image shows, by its row; all images of one are held out together. None: another
            one each.
        progress: show a bar.

    Returns:
        The fine-tuned segmenter, which shares the encoder, and the history. On a CPU with the same number of threads
        the same seed gives the same weights.

    Raises:
        Hw3Error: instances of fewer than two images (one, if none is held out), an instance whose image has no
            embedding, or a loss that is no longer finite.
    """
    settings = settings or FineTuning()
    rows = sorted({i.row for i in instances})
    if len(rows) < (fewest := 2 if settings.validation else 1):
        raise Hw3Error(
            f"instances of {len(rows)} image(s): expected {fewest} or more"
            + (", one of them held out" if settings.validation else "")
        )
    if missing := [row for row in rows if row not in embeddings]:
        raise Hw3Error(f"embeddings: none for image {missing[0]}; expected one for each image that has an instance")
    rng = np.random.default_rng(settings.seed)
    held_out = set(_hold_out(instances, settings, rng, groups) if settings.validation else ())
    train, validation = (
        _Samples(segmenter, embeddings, [i for i in instances if (i.row in held_out) == out], settings.prompt, detected)
        for out in (False, True)
    )

    network = segmenter.network.with_own_decoder()
    decoder = network.mask_decoder
    tuned = Segmenter(network, segmenter.name, multimask=False, device=str(segmenter.network.device))
    parameters = [
        p.requires_grad_(True)
        for name, p in decoder.named_parameters()
        if settings.trained == "decoder" or name.startswith(_HEADS)
    ]
    start = [p.detach().clone() for p in parameters]
    optimiser = torch.optim.AdamW(parameters, settings.lr, weight_decay=0)
    per_epoch = math.ceil(len(train) / settings.batch_size)
    steps = settings.num_epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_up_then_cosine(step, steps, per_epoch))
    update = Steps(optimiser, schedule, name=segmenter.name, clip=1.0)

    reached = highest = validation.ious(tuned)
    found = [{"epoch": 0, "loss": np.nan, "iou": _mean(reached)}]
    best, worse, best_decoder = 0, 0, copy.deepcopy(decoder.state_dict())
    with tqdm(total=settings.num_epochs, desc="fine-tune", unit="epoch", disable=not progress) as bar:
        for epoch in range(1, settings.num_epochs + 1):
            losses = []
            for chosen in np.array_split(rng.permutation(len(train)), per_epoch):
                pull = optimiser.param_groups[0]["lr"] * settings.weight_decay
                losses.append(update(train.loss(tuned, chosen, rng)))
                with torch.no_grad():
                    for parameter, origin in zip(parameters, start, strict=True):
                        parameter.lerp_(origin, min(pull, 1.0))
            reached = validation.ious(tuned)
            found.append({"epoch": epoch, "loss": float(np.mean(losses)), "iou": _mean(reached)})
            bar.set_postfix(loss=f"{found[-1]['loss']:.3f}", iou=f"{found[-1]['iou']:.3f}", refresh=False)
            bar.update()
            worse = worse + 1 if _clearly_worse(reached - highest) else 0
            if worse >= settings.patience:
                break
            if len(reached) and reached.mean() > highest.mean():
                best, highest, best_decoder = epoch, reached, copy.deepcopy(decoder.state_dict())
    kept = best if worse else epoch
    if worse:
        decoder.load_state_dict(best_decoder)
    decoder.requires_grad_(False)
    learned = [row for row in rows if row not in held_out]
    return tuned, FineTuningHistory(pd.DataFrame(found), kept, learned, sorted(held_out))


def _hold_out(
    instances: Sequence[Instance],
    settings: FineTuning,
    rng: np.random.Generator,
    groups: Mapping[int, int] | None = None,
) -> list[int]:
    """Rows of the images that are held out, from each class as equally as may be, by whole products."""
    product = {i.row: i.row if groups is None else groups[i.row] for i in instances}
    classes = {product[i.row]: i.defect for i in instances}
    wanted = min(max(1, round(settings.validation * len(classes))), len(classes) - 1)
    order = rng.permutation(sorted(classes))
    turn: dict[str, int] = {}
    place = {}
    for row in order:
        place[row] = turn[classes[row]] = turn.get(classes[row], -1) + 1
    chosen = sorted(order, key=lambda row: place[row])[:wanted]
    return chosen if groups is None else [row for row in product if product[row] in chosen]


def _mean(ious: np.ndarray) -> float:
    return float(ious.mean()) if len(ious) else np.nan


def _clearly_worse(gains: np.ndarray) -> bool:
    """Whether the mean of paired differences is below zero by more than twice its standard error; needs two of them."""
    if len(gains) < 2:
        return False
    return bool(gains.mean() < -2 * gains.std(ddof=1) / math.sqrt(len(gains)))


class _Samples:
    """Instances with the embeddings of their images, and their masks at the decoder's resolution."""

    def __init__(
        self,
        segmenter: Segmenter,
        embeddings: dict[int, Embedding],
        instances: list[Instance],
        prompt: str,
        detected: Sequence[Instance] = (),
    ):
        self.prompt = prompt
        self.instances, self.embeddings = instances, embeddings
        self.side = segmenter.network.image_size
        self.targets = [self._target(i.mask) for i in instances]
        self.defective: dict[int, np.ndarray] = {}
        for i in instances:
            self.defective[i.row] = self.defective.get(i.row, False) | i.mask
        self.detected: dict[int, list[tuple[Instance, torch.Tensor]]] = {}
        for found in detected if prompt == DETECTOR else ():
            if found.row in self.defective:
                left, top, right, bottom = found.xyxy
                inside = np.zeros(found.size, bool)
                inside[top:bottom, left:right] = self.defective[found.row][top:bottom, left:right]
                self.detected.setdefault(found.row, []).append((found, self._target(inside)))

    def __len__(self) -> int:
        return len(self.instances)

    def _target(self, mask: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(low_resolution(mask, self.side // 4))

    def _logits(
        self,
        segmenter: Segmenter,
        rows: Sequence[int],
        boxes: Sequence[np.ndarray] | None,
        clicks: Sequence[tuple[np.ndarray, np.ndarray]] | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        network = segmenter.network
        device = network.device
        scales = torch.tensor([segmenter.scale(self.embeddings[row].size) for row in rows], dtype=torch.float32)
        given: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]
        if boxes is not None:
            given = ((torch.from_numpy(np.stack(boxes)) * scales[:, None]).to(device), None, None)
        else:
            assert clicks is not None
            points = torch.from_numpy(np.stack([p for p, _ in clicks])) * scales[:, None, None]
            given = (None, points.to(device), torch.from_numpy(np.stack([m for _, m in clicks])).to(device))
        with torch.no_grad():
            tokens = network.prompts(*given)
        values = np.stack([self.embeddings[row].values for row in rows]).astype(np.float32)
        logits, expected = network.masks(torch.from_numpy(values).to(device), tokens)
        return logits[:, 0], expected[:, 0]

    def loss(self, segmenter: Segmenter, chosen: Sequence[int] | np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """Loss of one batch, its prompts freshly drawn."""
        rows, targets = [self.instances[k].row for k in chosen], [self.targets[k] for k in chosen]
        boxes = clicks = None
        if self.prompt != CLICK:
            boxes = []
            for n, k in enumerate(chosen):
                instance = self.instances[k]
                found = self.detected.get(instance.row)
                if found and rng.random() < 0.5:
                    instance, targets[n] = found[rng.integers(len(found))]
                scale = 1024 / max(instance.size)
                boxes.append(jittered_box(instance, scale, rng))
        else:
            negatives = int(rng.integers(2))
            clicks = [
                random_clicks(self.instances[k], self.defective[self.instances[k].row], negatives, rng) for k in chosen
            ]
        logits, expected = self._logits(segmenter, rows, boxes, clicks)
        target = torch.stack(targets).to(logits.device)
        entropy = binary_cross_entropy_with_logits(logits, target)
        reached = _iou(logits.detach() > 0, target > 0.5)
        return entropy + dice_loss_per_image(logits, target) + (expected - reached).square().mean()

    @torch.no_grad()
    def ious(self, segmenter: Segmenter) -> np.ndarray:
        """IoU of each sample, ``(N,)``, asked as the model will be; with the detector's boxes where it found any."""
        samples = list(zip(self.instances, self.targets, strict=True))
        if self.detected:
            samples = [sample for several in self.detected.values() for sample in several]
        reached = []
        for start in range(0, len(samples), 8):
            found, targets = zip(*samples[start : start + 8], strict=True)
            boxes = clicks = None
            if self.prompt == CLICK:
                clicks = [(np.array([interior_click(i)], np.float32), np.array([1])) for i in found]
            else:
                boxes = [np.array(i.xyxy, np.float32) for i in found]
            logits, _ = self._logits(segmenter, [i.row for i in found], boxes, clicks)
            reached.append(_iou(logits > 0, torch.stack(targets).to(logits.device) > 0.5))
        return torch.cat(reached).cpu().numpy() if reached else np.zeros(0)


def _iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """IoU of masks ``(N, h, w)``; two empty ones agree."""
    both, either = (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1)
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)


def low_resolution(mask: np.ndarray, side: int) -> np.ndarray:
    """A mask, bool ``(H, W)``, as the decoder sees it: float32 ``(side, side)``, the defective share of each pixel."""
    geometry = padded((mask.shape[0], mask.shape[1]), side)
    small = Image.fromarray(mask.astype(np.float32)).resize(geometry.frame, Image.Resampling.BOX)
    return geometry.cut(np.array(small))[0]
