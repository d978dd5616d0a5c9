"""Segment what a prompt points at: SAM behind two verbs, ``embed`` an image once and ``predict`` masks from prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from tqdm.auto import tqdm

from hw3lib.core.files import atomic_path, file_digest
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import PLAIN, Reading
from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import pick_device

from .sam_network import MOBILE_SAM, SamNetwork, from_hub, mobile_sam

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_FORMAT = 2  # Raise it when what is stored changes; older caches are then built anew.


class Embedding(NamedTuple):
    """What the encoder makes of one image.

    Attributes:
        values: float16 ``(C, S / 16, S / 16)``, S the encoder's side; may be mapped from disk.
        size: ``(H, W)`` of the image in pixels.
    """

    values: np.ndarray
    size: tuple[int, int]


class Prediction(NamedTuple):
    """Masks bool ``(N, H, W)``, one a prompt, and the IoUs that the model expects of them, float32 ``(N,)``."""

    masks: np.ndarray
    iou: np.ndarray


class Segmenter:
    """SAM with its preprocessing: photographs and pixels in, masks in the photograph's size out.

    Attributes:
        name: of the weights.
        network: encoder, prompt encoder and decoder.
        multimask: of a single click, which may mean a part or the whole, take the best of three masks (by the IoU
            that the model expects). Published models are made for that; a fine-tuned one knows what is meant.
    """

    def __init__(self, network: SamNetwork, name: str, *, multimask: bool = True, device: str = "auto"):
        self.network = network.to(pick_device(device)).eval().requires_grad_(False)
        self.name, self.multimask = name, multimask

    @classmethod
    def load(cls, name: str = MOBILE_SAM, *, device: str = "auto") -> Segmenter:
        """A published model: ``mobile_sam.pt``, or a SAM on Hugging Face's hub such as ``facebook/sam-vit-base``.

        Raises:
            Hw3Error: weights that are not to be had; the message says what to do.
        """
        return cls(mobile_sam() if name == MOBILE_SAM else from_hub(name), name, device=device)

    @cached_property
    def encoder_digest(self) -> str:
        """SHA-256 of the encoder's weights, in hexadecimal."""
        total = hashlib.sha256()
        for name, tensor in self.network.encoder.state_dict().items():
            total.update(name.encode() + np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
        return total.hexdigest()

    def scale(self, size: tuple[int, int]) -> float:
        """Pixels of the encoder's square for one pixel of an image of ``(H, W)``."""
        return self.network.image_size / max(size)

    def embed(self, image: np.ndarray) -> Embedding:
        """Encode an image, uint8 ``(H, W, 3)``, RGB, 0 to 255.

        Raises:
            Hw3Error: another dtype or shape.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise Hw3Error(f"image: found {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
        size = image.shape[:2]
        geometry = padded(size, self.network.image_size)
        resized = np.asarray(Image.fromarray(image).resize(geometry.frame, Image.Resampling.BILINEAR), np.float32)
        normalised = ((resized - _MEAN) / np.array(_STD, np.float32)).astype(np.float32)
        square = np.ascontiguousarray(geometry.cut(normalised).transpose(0, 3, 1, 2))
        with torch.inference_mode():
            values = self.network.encoder(torch.from_numpy(square).to(self.network.device))[0]
        return Embedding(values.cpu().numpy().astype(np.float16), size)

    def predict(
        self,
        embedding: Embedding,
        *,
        boxes: np.ndarray | None = None,
        points: np.ndarray | None = None,
        labels: np.ndarray | None = None,
    ) -> Prediction:
        """One mask a prompt.

        Args:
            embedding: of the image, see :meth:`embed`.
            boxes: ``(N, 4)``, left, top, right, bottom in pixels of the image.
            points: ``(N, k, 2)``, x and y in pixels, k for each mask; alone or beside the boxes.
            labels: ``(N, k)``: 1 on the object, 0 beside it.

        Raises:
            Hw3Error: no prompt, shapes that do not fit, a label other than 0 and 1, or a prompt outside of the image.
        """
        boxes, points, labels = _checked(embedding, boxes, points, labels)
        network, scale = self.network, self.scale(embedding.size)
        best = self.multimask and boxes is None and points is not None and points.shape[1] == 1
        with torch.inference_mode():
            corners, clicks = (
                None if x is None else torch.from_numpy(x * scale).to(network.device) for x in (boxes, points)
            )
            marks = None if labels is None else torch.from_numpy(labels).to(network.device)
            tokens = network.prompts(corners, clicks, marks)
            values = torch.from_numpy(np.asarray(embedding.values, np.float32))[None].to(network.device)
            masks, iou = [], []
            for some in tokens.split(16):  # bounds the memory
                logits, expected = network.masks(values, some, best)
                chosen = expected.argmax(1)
                rows = torch.arange(len(some), device=chosen.device)
                masks.append(self.enlarge(logits[rows, chosen], embedding.size).cpu().numpy() > 0)
                iou.append(expected[rows, chosen].cpu().numpy())
        return Prediction(np.concatenate(masks), np.concatenate(iou))

    def enlarge(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Logits ``(N, S / 4, S / 4)`` brought to an image of ``size``, ``(N, H, W)``, the padding cut off."""
        side = self.network.image_size
        width, height = padded(size, side).frame
        full = interpolate(logits[:, None], size=(side, side), mode="bilinear", align_corners=False)
        return interpolate(full[..., :height, :width], size=size, mode="bilinear", align_corners=False)[:, 0]


def propose(
    segmenter: Segmenter,
    image: Embedding | np.ndarray,
    points: Sequence[Sequence[float]] | np.ndarray = (),
    labels: Sequence[int] | np.ndarray = (),
    box: Sequence[float] | None = None,
) -> tuple[np.ndarray, float]:
    """The mask that clicks, and a box if there is one, point at.

    Args:
        segmenter: a model.
        image: its embedding, which makes every further click quick; or the image, uint8 ``(H, W, 3)``.
        points: x and y of each click in pixels.
        labels: 1 for a click on the defect, 0 for one beside it.
        box: left, top, right, bottom in pixels.

    Returns:
        The mask, bool ``(H, W)``, and the IoU that the model expects of it.

    Raises:
        Hw3Error: neither click nor box, or as :meth:`Segmenter.predict`.
    """
    embedding = image if isinstance(image, Embedding) else segmenter.embed(image)
    clicks = np.asarray(points, np.float32).reshape(1, -1, 2) if len(points) else None
    marks = None if clicks is None else np.asarray(labels)[None]
    boxes = None if box is None else np.asarray(box, np.float32)[None]
    found = segmenter.predict(embedding, boxes=boxes, points=clicks, labels=marks)
    return found.masks[0], float(found.iou[0])


def embed_files(
    segmenter: Segmenter,
    paths: Sequence[str | Path],
    readings: Sequence[Reading] | None = None,
    *,
    cache: str | Path | None = None,
    progress: bool = False,
) -> list[Embedding]:
    """Encode image files, each once.

    Args:
        paths: image files.
        readings: how each is read, see :func:`hw3lib.data.pixels.reading.readings_of`; None: as by default.
        cache: folder in which each embedding becomes a ``.npy`` file of about 2 MB, named by the bytes of the image,
            how it is read and the encoder's weights, and mapped from there; None keeps them in memory. An interrupted
            run goes on.
        progress: show a bar.

    Raises:
        Hw3Error: an image that cannot be decoded, or a cache that cannot be written.
    """
    return [
        _cached(segmenter, path, reading, Path(cache)) if cache else segmenter.embed(read_image(path, reading=reading))
        for path, reading in tqdm(
            zip(paths, readings or [PLAIN] * len(paths), strict=True),
            desc="embed",
            total=len(paths),
            unit="image",
            disable=not progress,
        )
    ]


def _cached(segmenter: Segmenter, path: str | Path, reading: Reading, cache: Path) -> Embedding:
    image = read_image(path, reading=reading)  # its size as a person sees it, which the embedding does not hold
    what = f"embedding {_FORMAT} {segmenter.encoder_digest} {file_digest(path)} {reading.as_text()}"
    key = hashlib.sha256(what.encode()).hexdigest()
    target = cache / f"{key}.npy"
    values = _map(target)
    if values is None:
        embedding = segmenter.embed(image)
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            # Not numpy.save, which on a full disk raises an error that does not say so.
            whole = np.ascontiguousarray(embedding.values)
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(whole))
            file.write(whole.data)
        values = _map(target)
        if values is None:
            raise Hw3Error(f"{target}: the embedding that was just written is not whole; check the disk")
    return Embedding(values, (image.shape[0], image.shape[1]))


def _map(path: Path) -> np.ndarray | None:
    """Map a cached embedding, or None where there is none or it is not whole."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return None
    return values if values.dtype == np.float16 and values.ndim == 3 else None


def padded(size: tuple[int, int], side: int) -> Geometry:
    """Where an image of ``(H, W)`` lies in SAM's square: in the upper left corner, as its weights were trained,
    whatever the ``fit`` of its category."""
    return Geometry(size[1], size[0], side, "pad", centred=False)


def _checked(
    embedding: Embedding, boxes: np.ndarray | None, points: np.ndarray | None, labels: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    height, width = embedding.size
    if boxes is None and points is None:
        raise Hw3Error("no prompt: expected boxes, points, or both")
    if boxes is not None:
        boxes = np.asarray(boxes, np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
            raise Hw3Error(f"boxes: found shape {boxes.shape}, expected (N, 4): left, top, right, bottom")
        bad = ~((boxes[:, :2] < boxes[:, 2:]).all(1) & (boxes >= 0).all(1) & (boxes <= [width, height] * 2).all(1))
        if bad.any():
            raise Hw3Error(
                f"box {boxes[bad.argmax()].tolist()}: expected left < right and top < bottom inside of the image of "
                f"{width}x{height} pixels"
            )
    if points is None:
        return boxes, None, None
    points, labels = np.asarray(points, np.float32), np.asarray(labels)
    if points.ndim != 3 or points.shape[2] != 2 or not points.size or (boxes is not None and len(boxes) != len(points)):
        raise Hw3Error(f"points: found shape {points.shape}, expected (N, k, 2), N as many as there are boxes if any")
    if labels.shape != points.shape[:2] or not np.isin(labels, (0, 1)).all():
        raise Hw3Error(f"labels: found {labels.tolist()}, expected 1 or 0 for each point, shape {points.shape[:2]}")
    bad = ~((points >= 0) & (points <= [width, height])).all(2)
    if bad.any():
        raise Hw3Error(f"point {points[bad][0].tolist()}: expected one inside of the image of {width}x{height} pixels")
    return boxes, points, labels.astype(np.int64)
