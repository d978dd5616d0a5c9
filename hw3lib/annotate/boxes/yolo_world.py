"""YOLO-World small: classes are words, read by CLIP where it can be had, and learned where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, normalize

from hw3lib.data.pixels.images import read_image
from hw3lib.errors import Hw3Error

from . import ultralytics as quiet_ultralytics
from .base import Target
from .metrics import Boxes, mean_average_precision
from .yolo import GAINS, PARTS, Yolo, filled, suppressed


class _World(nn.Module):
    """YOLO-World, an embedding a class, and COCO's 80 text features, which are never changed."""

    yolo: Any  # ultralytics' network, whose parts have no types
    coco: torch.Tensor

    def __init__(self, yolo: nn.Module, coco: torch.Tensor, classes: int):
        super().__init__()
        self.yolo, self.embeddings = yolo, nn.Parameter(torch.zeros(classes, coco.shape[1]))
        self.register_buffer("coco", coco.clone())

    def read(self, images: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, dict]:
        """Raw predictions for rows of text features, ``(classes, 512)``, which are brought to length 1."""
        self.yolo.model[-1].nc = len(text)
        return self.yolo.predict(images / 255, txt_feats=normalize(text, dim=-1)[None])


@dataclass(kw_only=True)
class YoloWorld(Yolo):
    """YOLO-World small (Cheng et al., arXiv 2401.17270): a class is the embedding of its name.

    Names become embeddings by CLIP's text encoder (ViT-B/32). Where that cannot be had, the only texts are the 80
    names of COCO that the published file holds: each class begins as the name whose boxes fit the class best on the
    training images (or as their mean, if none does), and its embedding is learned from there.

    Attributes:
        train: ``embeddings`` alone (the network stays, and with it all it knows of other names), or as in YOLOv8.
        embedding_lr: factor of the embeddings on ``lr``.
        text_encoder: ``auto`` takes CLIP if it can be had, ``clip`` insists, ``learned`` does without.
        clip: name on the Hugging Face hub, or folder, of that encoder.
        category: product in the prompts, see :func:`prompt_of`.
        text: ``clip`` or ``learned``: where the classes' embeddings began. Fitted.
        prompts_: class to what it began with: the prompt, the name of COCO, or None. Fitted.
    """

    name: ClassVar[str] = "YOLO-World-s"
    weights_file: ClassVar[str] = "yolov8s-world.pt"
    parts: ClassVar[tuple[str, ...]] = ("embeddings", *PARTS)

    lr: float = 3e-4  # at 1e-3 what the network learned of words and pictures is lost in the first epochs
    embedding_lr: float = 5.0
    text_encoder: str = "auto"
    clip: str = "openai/clip-vit-base-patch32"
    category: str = ""
    text: str = field(default="", init=False, repr=False)  # type: ignore[misc]
    prompts_: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)
    names_: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text_encoder not in ("auto", "clip", "learned"):
            raise Hw3Error(f"{self.name}: text_encoder={self.text_encoder!r}, expected auto, clip or learned")

    def _settings(self) -> dict:
        return super()._settings() | {"text": self.text, "prompts_": self.prompts_, "names_": self.names_}

    def _build(self) -> nn.Module:
        published = self._published()
        self.names_ = list(published.names.values())
        return _World(filled(self._of_coco(), published), published.txt_feats[0].float(), len(self.classes_))

    def _empty(self) -> nn.Module:
        return _World(self._of_coco(), torch.zeros(len(self.names_), 512), len(self.classes_))

    def _of_coco(self) -> nn.Module:
        yolo = quiet_ultralytics.module("nn.tasks").WorldModel("yolov8s-world.yaml", ch=3, verbose=False)
        yolo.args = GAINS
        return yolo

    @property
    def _world(self) -> _World:
        assert isinstance(self._network, _World)
        return self._network

    def _layers(self) -> Any:
        return self._world.yolo

    def _begin(self, images: torch.Tensor, targets: list[Target]) -> None:
        world, texts = self._world, [prompt_of(name, self.category) for name in self.classes_]
        features = None
        if self.text_encoder != "learned":
            features = self._clip_features(texts)
        if features is not None:
            self.text, self.prompts_ = "clip", dict(zip(self.classes_, texts, strict=True))
        else:
            self.text, chosen = "learned", self._nearest_names(images, targets)
            self.prompts_ = {
                c: None if n is None else self.names_[n] for c, n in zip(self.classes_, chosen, strict=True)
            }
            mean = world.coco.mean(0)
            features = torch.stack([mean if number is None else world.coco[number] for number in chosen])
        with torch.no_grad():
            world.embeddings.copy_(normalize(features, dim=-1))

    def _clip_features(self, texts: Sequence[str]) -> torch.Tensor | None:
        """CLIP's features of texts, or None where it cannot be had and is not insisted on."""
        try:
            features = clip_features([*texts, *self.names_], self.clip).to(self._world.coco)
        except (OSError, ImportError, ValueError) as error:  # huggingface-hub below 1.0: a name that is no repository
            if self.text_encoder == "auto":
                return None
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise Hw3Error(
                f"{self.name}: the text encoder {self.clip} cannot be had ({first}); run again with a connection, give "
                'a folder that holds it as clip, or take text_encoder="learned"'
            ) from None
        ours, own = features[: len(texts)], features[len(texts) :]
        # The published file holds the features of these names: another encoder would speak another language.
        agreement = float((normalize(own, dim=-1) * normalize(self._world.coco, dim=-1)).sum(-1).mean())
        if agreement < 0.9:
            raise Hw3Error(
                f"{self.clip}: not the text encoder that {self.weights_file} was trained with: on COCO's names their "
                f"features have a mean cosine of {agreement:.2f}, expected 1; give CLIP ViT-B/32"
            )
        return ours

    def _nearest_names(self, images: torch.Tensor, targets: list[Target]) -> list[int | None]:
        """For every class the name of COCO whose boxes have the best average precision on the training images."""
        number, found = len(self.names_), []
        with torch.no_grad():
            for image in images:
                raw, _ = self._world.read(image[None].to(self._torch_device).float(), self._world.coco)
                found.append(Boxes(*(value.cpu().numpy() for value in suppressed(raw[0]))))
        chosen: list[int | None] = []
        for label in range(len(self.classes_)):
            boxes = [boxes[labels == label].numpy() for boxes, labels in targets]
            if not sum(map(len, boxes)):
                chosen.append(None)
                continue
            # Every name is asked to find every box of the class.
            truth = [Boxes.of(np.tile(b, (number, 1)), None, np.repeat(np.arange(number), len(b))) for b in boxes]
            scores = mean_average_precision(truth, found, [str(n) for n in range(number)]).per_class
            best = max(scores, key=scores.__getitem__)
            chosen.append(int(best) if scores[best] > 0 else None)
        return chosen

    def _groups(self) -> list[tuple[list[nn.Parameter], float]]:
        groups = [group for group in super()._groups() if group[0]]
        fixed = self.text == "clip" and self.train != "embeddings"  # the network comes to the text, not the text to it
        self._world.embeddings.requires_grad_(not fixed)
        return groups if fixed else [*groups, ([self._world.embeddings], self.embedding_lr)]

    def _raw(self, images: torch.Tensor) -> tuple[torch.Tensor, dict]:
        return self._world.read(images, self._world.embeddings)

    def untrained(self) -> YoloWorld:
        """A copy with the published network, of which only :meth:`find_names` means something."""
        fresh = replace(self, epochs=0)
        fresh.classes_ = self.classes_
        fresh._network = fresh._build().to(fresh._torch_device).eval()
        return fresh

    def find_names(self, image: np.ndarray, size: int = 640) -> Boxes:
        """Boxes of COCO's 80 names, ``names_``, on any photograph: does the network still know them?

        Args:
            image: uint8 ``(H, W, 3)``, RGB.
            size: its longer side is brought to so many pixels.

        Returns:
            boxes in pixels of the image, labels as positions in ``names_``.
        """
        if not self.classes_:
            raise Hw3Error(f"{self.name}: not fitted; call fit or load first")
        height, width = image.shape[:2]
        sides = [max(32, round(side * size / max(height, width) / 32) * 32) for side in (height, width)]
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(self._torch_device).float()
        pixels = interpolate(pixels, sides, mode="bilinear", antialias=True)
        with torch.no_grad():
            raw, _ = self._world.read(pixels, self._world.coco)
        boxes, scores, labels = (value.cpu().numpy() for value in suppressed(raw[0]))
        return Boxes(boxes * np.array([width / sides[1], height / sides[0]] * 2, np.float32), scores, labels)


def prompt_of(defect: str, category: str = "") -> str:
    """A class as words: ``prompt_of("metal_contamination", "carpet")`` is ``metal contamination on a carpet``."""
    words = defect.replace("_", " ").strip()
    product = category.rpartition("/")[2].replace("_", " ").strip()
    if not product:
        return words
    return f"{words} on {'an' if product[0].lower() in 'aeiou' else 'a'} {product}"


def clip_features(texts: Sequence[str], name: str) -> torch.Tensor:
    """CLIP's features of texts, float32 ``(n, 512)`` of length 1 (Radford et al., arXiv 2103.00020).

    Args:
        texts: any words.
        name: a folder, or a name on the Hugging Face hub, which is asked only if its cache does not hold the encoder.

    Raises:
        OSError: the encoder is neither in the cache nor to be downloaded.
        ImportError: transformers is not installed.
    """
    from transformers import AutoTokenizer, CLIPTextModelWithProjection  # slow; for texts whose features are not kept

    def read(local: bool) -> tuple:
        kinds = (CLIPTextModelWithProjection, AutoTokenizer)
        return tuple(kind.from_pretrained(name, local_files_only=local) for kind in kinds)

    try:
        encoder, tokenizer = read(local=True)
    except (OSError, ValueError):
        _reach_hub()
        encoder, tokenizer = read(local=False)
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        return normalize(encoder.eval()(**tokens).text_embeds, dim=-1)


def _reach_hub() -> None:
    """Find out at once whether the hub can be reached: its own client tries again and again for minutes.

    Raises:
        OSError: it cannot.
    """
    import requests  # only where a text encoder is fetched
    from huggingface_hub.constants import ENDPOINT

    requests.head(ENDPOINT, timeout=5)  # its errors are OSErrors


def kept_vocabulary(
    model: YoloWorld, photographs: Sequence[np.ndarray], score: float = 0.25
) -> dict[str, float | bool | list[str]]:
    """How far a fine-tuned YOLO-World still finds COCO's names where the published network finds them.

    Args:
        model: fitted.
        photographs: of everyday things, uint8 ``(H, W, 3)``, see :func:`example_photographs`.
        score: lowest score of a box that counts as found.

    Returns:
        ``agreement``: mAP50 of its boxes with those of the published network as the truth, 0 to 1; ``before, after``:
        names found by the published network and by this one; ``boxes_before, boxes_after``: numbers of boxes;
        ``identical``: whether all boxes and scores are equal to the last bit.

    Raises:
        Hw3Error: the model is not fitted, or the published network finds nothing on these photographs.
    """
    published = model.untrained()
    old, new = ([network.find_names(image) for image in photographs] for network in (published, model))
    shown = [[boxes.above(score) for boxes in found] for found in (old, new)]
    names = [sorted({model.names_[label] for boxes in found for label in boxes.labels}) for found in shown]
    counts = [sum(len(boxes.labels) for boxes in found) for found in shown]
    same = all(np.array_equal(a, b) for x, y in zip(old, new, strict=True) for a, b in zip(x, y, strict=True))
    return {
        "agreement": mean_average_precision(shown[0], shown[1], model.names_).map50,
        "before": names[0],
        "after": names[1],
        "boxes_before": counts[0],
        "boxes_after": counts[1],
        "identical": same,
    }


def example_photographs() -> list[np.ndarray]:
    """Two everyday photographs that ultralytics brings along, with persons, a bus and ties: uint8 ``(H, W, 3)``."""
    folder = quiet_ultralytics.module("utils").ASSETS
    return [read_image(folder / name) for name in ("bus.jpg", "zidane.jpg")]
