"""Apple's MPS played on the CPU: tensors that say they are on ``mps:0``, and what that device refuses is refused.

A tensor of the emulated device wraps one of the CPU, which computes for it. As on the device itself, float64 cannot be
made there, nor moved there, nor come out of a computation; tensors of two devices cannot be computed with, numbers
aside; numpy cannot read them; and an operator that PyTorch does not have for MPS is an error, unless its fallback to
the CPU is switched on. Which ones those are is read from PyTorch's own table of operators.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchgen
import yaml
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("mps:0")
_WIDE = (torch.float64, torch.complex128)
# Operators that take indices or a source from the CPU.
_ACROSS = {"index", "index_put", "index_put_", "_index_put_impl_", "copy_", "_to_copy"}


class OnMps(torch.Tensor):
    """A tensor of the emulated device; ``inner`` is the one of the CPU behind it."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnMps:
        if inner.dtype in _WIDE:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. Please use "
                "float32 instead."
            )
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device="meta",
        )  # fmt: skip
        made.inner = inner
        return made

    # PyTorch's core has no support for MPS on this machine, and so must believe that it is another device without data.
    device = property(lambda self: DEVICE)
    is_meta = property(lambda self: False)
    is_mps = property(lambda self: True)

    def __repr__(self) -> str:
        return f"OnMps({self.inner})"

    def numpy(self, **_: Any):
        raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() to copy it to host first.")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __deepcopy__(self, memo: dict) -> torch.Tensor:
        return self.detach().clone().requires_grad_(self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _compute(func, args, kwargs or {})


class _Named(TorchFunctionMode):
    """Where a program names the device, PyTorch's core hears of the one without data."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.device:
            return func(*args, **kwargs)
        args, kwargs = tree_map(_without_data, (args, kwargs))
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **kwargs | {"device": None}).to(kwargs["device"])
        if func is torch.Tensor.new_tensor and isinstance(args[0], OnMps):
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype} | kwargs).to(torch.device("meta"))
        return func(*args, **kwargs)


def _without_data(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == "mps" or isinstance(value, str) and value in ("mps", "mps:0"):
        return torch.device("meta")
    return value


class _Made(TorchDispatchMode):
    """Sees what is made on the device or moved to it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _compute(func, args, kwargs or {})


@contextmanager
def emulated_mps(monkeypatch) -> Iterator[set[str]]:
    """This machine has the emulated device; yields the operators that fell back to the CPU."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    # PyTorch keeps no count of changes in inference mode, and a tensor that wraps another needs one.
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    _FELL_BACK.clear()
    with _Named(), _Made():
        yield _FELL_BACK


_FELL_BACK: set[str] = set()


def _compute(func, args: tuple, kwargs: dict[str, Any]):
    flat, _ = tree_flatten((args, kwargs))
    name = func._schema.name.partition("::")[2]
    asked = kwargs.get("device")
    if asked is not None and asked.type == "meta":  # it was taken from one of ours
        asked = DEVICE
    here = [t for t in flat if isinstance(t, OnMps)]
    if asked is None and not here or asked is not None and asked.type != "mps" and not here:
        return func(*args, **kwargs)
    to_mps = asked.type == "mps" if asked is not None else True
    if to_mps and kwargs.get("dtype") in _WIDE:
        OnMps(torch.empty(0, dtype=torch.float64))
    others = [t for t in flat if isinstance(t, torch.Tensor) and not isinstance(t, OnMps)]
    if name not in _ACROSS and here and any(t.dim() for t in others):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found cpu and mps:0")
    if here and not implemented(func):
        _fall_back(name)
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    wrapped = {id(t.inner): t for t in here}
    result = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if name == "copy_":
        return args[0]

    def wrap(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not to_mps:
            return value
        return wrapped.get(id(value)) if id(value) in wrapped else OnMps(value)

    return tree_map(wrap, result)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnMps) else value


def _fall_back(name: str) -> None:
    if os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK") != "1":
        raise NotImplementedError(f"The operator 'aten::{name}' is not currently implemented for the MPS device.")
    _FELL_BACK.add(name)


@cache
def _table() -> dict[str, dict]:
    file = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
    rows = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return {row["func"].partition("(")[0]: row for row in rows}


def implemented(func) -> bool:
    """Whether PyTorch has an operator for MPS, by its table; of other libraries, such as torchvision, all."""
    space, _, name = func._schema.name.partition("::")
    full = f"{name}.{func._overloadname}" if func._overloadname not in ("", "default") else name
    row = _table().get(full) if space == "aten" else None
    if row is None:
        return True
    row = _table()[row["structured_delegate"]] if "structured_delegate" in row else row
    keys = {key.strip() for names in row.get("dispatch", {"CompositeImplicitAutograd": ""}) for key in names.split(",")}
    return "MPS" in keys or any(key.startswith("Composite") for key in keys)
