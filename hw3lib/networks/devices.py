"""Which device computes and at which precision; double precision, and what else Apple's MPS lacks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from hw3lib.core.text import first_line
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = ("auto", "float32", "bf16")


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64; Apple's MPS does not."""
    return device.type != "mps"


def double(values: torch.Tensor) -> torch.Tensor:
    """``values`` in float64: where they are, or on the CPU if their device has no float64."""
    return (values if has_float64(values.device) else values.cpu()).double()


def pooled_mean(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps ``(n, channels, h, w)`` averaged down to ``size``, on the device where they are.

    MPS can do this only where the sides divide; the CPU does the rest of it.
    """
    divides = all(have % want == 0 for have, want in zip(maps.shape[-2:], size, strict=True))
    if divides or maps.device.type != "mps":
        return adaptive_avg_pool2d(maps, size)
    return adaptive_avg_pool2d(maps.cpu(), size).to(maps.device)


def pick_device(device: str = "auto") -> torch.device:
    """``auto``: CUDA, else Apple's MPS, else the CPU; of several processes each takes its own.

    Raises:
        Hw3Error: a device that torch does not know or this machine does not have.
    """
    if device == "auto":
        return default_accelerator().device
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise Hw3Error(
            f"device={device!r} cannot be used: {reason} Take 'auto', or one that this machine has"
        ) from None


def default_accelerator() -> Accelerator:
    """What :func:`train` runs under where nothing else is given; leaves models where they are."""
    from accelerate import Accelerator  # a fifth of a second that importing this package should not cost

    # Without being told, accelerate takes each of several processes without a GPU for the only one.
    cpu = not (torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available())
    return Accelerator(cpu=cpu, device_placement=False, mixed_precision="no")


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a network computes in ``float32`` or ``bf16``, as :func:`resolve` gives them."""
    if precision != "bf16" and not torch.amp.is_autocast_available(device.type):
        return nullcontext()  # torch 2.4 refuses to make a context for MPS even where it is to do nothing
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def resolve(precision: str, device: torch.device, learns: nn.Module | None = None) -> str:
    """What a precision is on a device, ``float32`` or ``bf16``.

    ``auto`` is bf16 on CUDA, and on processors with instructions for its matrix products (AMX). There a network with
    grouped convolutions, as the EfficientNet and MobileNet families have, learns in float32 all the same: their
    gradients take longer in bfloat16 (measured: the last three stages of Lite0, a third).

    Args:
        precision: ``auto``, ``float32`` or ``bf16``.
        device: where the network is.
        learns: the network if it is to learn; None if it is to be read alone.

    Raises:
        Hw3Error: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise Hw3Error(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.type != "cpu":
        return "bf16" if device.type == "cuda" else "float32"
    grouped = learns is not None and any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in learns.modules())
    return "bf16" if multiplies_bf16() and not grouped else "float32"


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for matrix products of bfloat16 (x86's AMX), and torch can use them."""
    found: dict = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not say
    return bool(found.get("amx_bf16", False))
