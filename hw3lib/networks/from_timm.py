"""Backbones of timm: convolutional networks and vision transformers, whose patch tokens are maps on their grid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hw3lib.core.places import weights_folder
from hw3lib.core.text import did_you_mean, first_line
from hw3lib.errors import Hw3Error

from .backbone import Backbone

PREFIX = "timm:"


class TimmBackbone(Backbone):
    """A network of timm as a :class:`.Backbone`; its stages are those that timm itself lists (``feature_info``).

    Of a vision transformer every block is a stage, of the stride of its patches. Its maps are the patch tokens after
    the network's last norm; class and register tokens are left out. Images need sides that its patches divide.
    """

    network: Any  # of timm, which comes without types

    def __init__(self, name: str, network: Any, pretrained: bool):
        about = network.pretrained_cfg
        mean, std = ([255 * value for value in about[key]] for key in ("mean", "std"))
        super().__init__(name, network, mean, std, pretrained)
        self._heads = (about["classifier"],) if isinstance(about["classifier"], str) else tuple(about["classifier"])
        self.head_name, self.num_features = self._heads[0], network.head_hidden_size
        self._stages = {stage["module"]: (stage["num_chs"], stage["reduction"]) for stage in network.feature_info}

    def replace_head(self, head: nn.Module) -> None:
        if len(self._heads) > 1:
            raise Hw3Error(
                f"{self.name} has {len(self._heads)} classifiers at its end, which cannot be exchanged for one; choose "
                "another model"
            )
        super().replace_head(head)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with self._sizes(images):
            return super().forward(images)

    @contextmanager
    def _sizes(self, images: torch.Tensor) -> Iterator[None]:
        """Say which parameter it is where timm asserts that images have another size."""
        try:
            yield
        except AssertionError as error:
            height, width = images.shape[-2:]
            raise Hw3Error(
                f"{self.name} takes no images of {width} x {height} pixels ({error}); choose another image_size"
            ) from None

    def feature_maps(self, images: torch.Tensor, layers: list[str]) -> dict[str, torch.Tensor]:
        names = list(self.stages())
        wrong = [layer for layer in layers if layer not in names]
        if wrong:
            raise Hw3Error(f"{self.name} has no layer {wrong[0]!r}; its stages are {', '.join(names)}")
        places = sorted(names.index(layer) for layer in layers)
        norm = hasattr(self.network, "num_prefix_tokens")  # of vision transformers; others refuse it, or need none
        with self._sizes(images):
            found = self.network.forward_intermediates(
                self.normalise(images), indices=places, norm=norm, stop_early=True, intermediates_only=True
            )
        maps = dict(zip((names[i] for i in places), found, strict=True))
        return {layer: maps[layer] for layer in layers}

    def forward_with_maps(
        self, images: torch.Tensor, layers: list[str]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        output, maps = super().forward_with_maps(images, layers)
        return output, {name: self._on_grid(name, found, images) for name, found in maps.items()}

    def _on_grid(self, name: str, found: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """What a layer gives, tokens ``(N, tokens, C)`` or maps ``(N, h, w, C)``, as maps ``(N, C, h, w)``."""
        channels, stride = self.stages()[name]
        if found.ndim == 4:
            return found if found.shape[1] == channels else found.movedim(-1, 1)
        tokens = found[:, getattr(self.network, "num_prefix_tokens", 0) :]
        return tokens.mT.unflatten(2, (images.shape[-2] // stride, -1))


def load(name: str, pretrained: bool) -> TimmBackbone:
    """A network by timm's name after ``timm:``, with the normalisation that it was trained with.

    Its weights are ``NAME.safetensors`` in the folder ``HW3_WEIGHTS``, or what timm finds in the cache of Hugging Face
    or fetches from there.

    Raises:
        Hw3Error: a name that timm does not know, a network whose layers timm does not list, or missing weights.
    """
    import timm  # slow: imports torchvision

    known = name.removeprefix(PREFIX)
    if not timm.is_model(known):
        near = did_you_mean(known, timm.list_models(pretrained=True), 3, str)
        raise Hw3Error(f"timm has no model {known!r}{near} timm.list_models('*{known[:6]}*') lists them")
    options: dict[str, Any] = {}
    if pretrained and (file := _file(known)):
        options["pretrained_cfg_overlay"] = {"file": str(file)}
    try:
        network = _create(known, pretrained, options)
    except Exception as error:  # of Hugging Face's client, of timm (no weights for it) and of damaged files: many kinds
        if not pretrained:
            raise
        raise Hw3Error(
            f"no weights for {name!r} ({first_line(error)}). Ways out: run again with a connection to the internet, or "
            f"put {known}.safetensors into a folder and name that folder in HW3_WEIGHTS"
        ) from None
    if not hasattr(network, "forward_intermediates") or not getattr(network, "feature_info", None):
        raise Hw3Error(f"{name}: timm does not give the outputs of its layers; choose another model")
    return TimmBackbone(name, network, pretrained)


def _create(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    import timm  # as above

    try:  # a transformer takes images of other sizes than it was trained with only if it is told so
        return timm.create_model(name, pretrained=pretrained, dynamic_img_size=True, **options)
    except TypeError:
        return timm.create_model(name, pretrained=pretrained, **options)


def _file(name: str) -> Path | None:
    """The weights in ``HW3_WEIGHTS``; safetensors alone, for other files of weights may execute what they hold."""
    folder = weights_folder()
    path = folder / f"{name}.safetensors" if folder else None
    return path if path and path.is_file() else None
