"""What hw3lib can do without: what each part is for, its licence where that matters, and what brings it.

Whatever needs such a part asks here. A part that is not there, or is there and broken, is left out by a sentence.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pkgutil import resolve_name
from types import ModuleType

from hw3lib.errors import Hw3Error

from .places import checkout
from .text import listed

# Named as texts, since the rooms that hold them stand above this one.
_FIND, _WEIGHTS = "hw3lib.annotate.weights:find", "hw3lib.annotate.weights:WEIGHTS"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Part:
    """Something that hw3lib can do without.

    Attributes:
        needs: beginning of the sentence that says what is left out, ``SAM needs``.
        why: one might want it, a sentence without its full stop.
        modules: that are imported.
        extra: of hw3lib that installs them.
        weights: published files, see :mod:`hw3lib.annotate.weights`.
        licence: a sentence without its full stop, where it matters.
        how: to have it, where no extra brings it.
        around: the context manager in which it is imported, as ``package.module:name``.
        look: what says what else of it was found, or raises :class:`Missing`, as ``package.module:name``.
    """

    needs: str
    why: str
    modules: tuple[str, ...] = ()
    extra: str = ""
    weights: tuple[str, ...] = ()
    licence: str = ""
    how: str = ""
    around: str = ""
    look: str = ""


class Missing(Hw3Error):
    """An optional part that is not here.

    Attributes:
        reason: what is left out and why, a sentence without its full stop.
        advice: why one might want it, its licence where that matters, what brings it; sentences without the last stop.
    """

    def __init__(self, message: str, reason: str = "", advice: str = ""):
        super().__init__(message)
        self.reason, self.advice = reason, advice


def lacking(name: str, lack: str, detail: str = "") -> Missing:
    """The error for a part.

    Args:
        name: a key of :data:`PARTS`.
        lack: what it needs and does not have, ``the package onnx, which is not installed``.
        detail: of this machine, a sentence without its full stop: where it was looked for, what went wrong.
    """
    part = PARTS[name]
    reason = f"{part.needs} {lack}"
    brings = _install(part.extra) if part.extra else _fetch(part.weights) if part.weights else part.how
    advice = ". ".join(said for said in (part.why, part.licence, f"To have it: {brings}") if said)
    return Missing(". ".join(said for said in (reason, detail, advice) if said), reason, advice)


def missing(name: str) -> str | None:
    """Why a part is left out and what brings it, or None if it is here. Nothing is downloaded."""
    try:
        require(name, fetch=False)
    except Missing as error:
        return str(error)
    return None


def require(name: str, *, fetch: bool = True) -> str:
    """What was found of a part.

    Args:
        name: a key of :data:`PARTS`.
        fetch: download published weights that are not on this machine.

    Raises:
        Missing: it is not here, or is broken.
    """
    part = PARTS[name]
    found = [_named(load(name, module)) for module in part.modules]
    if part.weights:
        found += [str(resolve_name(_FIND)(file, fetch=fetch)) for file in part.weights]
    return ", ".join([*found, *([resolve_name(part.look)()] if part.look else [])])


def load(name: str, module: str) -> ModuleType:
    """Import a module of a part's packages.

    Raises:
        Missing: its package is not installed, or it or what it imports itself cannot be imported.
    """
    package = module.partition(".")[0]
    said = package.replace("_", "-")
    if not _is_there(package):
        raise lacking(name, f"the package {said}, which is not installed")
    try:
        with resolve_name(PARTS[name].around)() if PARTS[name].around else nullcontext():
            return importlib.import_module(module)
    except Exception as error:  # a broken package raises what it likes: ImportError, AttributeError, RuntimeError, ...
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise lacking(name, f"the package {said}, which is installed but cannot be imported ({what})") from error


def _is_there(package: str) -> bool:
    """Whether a package is installed; a bare folder of that name, such as a leftover or one of the user's, is none."""
    if sys.modules.get(package) is not None:
        return True
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def _install(extra: str) -> str:
    """The command that brings an extra: the checkout's, or that for an installed package."""
    if checkout() is not None:
        return f'make course EXTRAS={extra}, or pip install -e ".[{extra}]"'
    return f'pip install "hw3lib[{extra}]"'


def _fetch(names: tuple[str, ...]) -> str:
    """What brings published weights."""
    published = resolve_name(_WEIGHTS)
    return (
        f"run again with a connection to the internet, which downloads and checks them; or put "
        f"{listed(published[name].url for name in names)} into a folder and name that folder in HW3_WEIGHTS"
    )


def _named(module: ModuleType) -> str:
    package = module.__name__.partition(".")[0]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # another distribution brings it: onnxruntime-gpu
        return package


def chromium() -> str:
    """Path of Chromium or Chrome: what ``CHROMIUM`` names, or the first one found.

    Raises:
        Missing: there is none.
    """
    names = [os.environ.get("CHROMIUM"), *BROWSERS]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        raise lacking("browser", f"a browser, and none of {', '.join(BROWSERS)} is here")
    return found


def _browser() -> str:
    load("browser", "playwright")
    return chromium()


_AGPL = (
    "The licence of ultralytics, and of its weights, is AGPL-3.0: whoever passes on a program that uses it, or offers "
    "it over a network, must give its source under the same licence"
)
_YOLO = "Both have learned from very many photographs, and are measured beside FCOS, which knows ImageNet alone"

PARTS = {
    "yolo": Part(
        "YOLOv8 and YOLO-World need",
        _YOLO,
        modules=("ultralytics.nn.tasks",),
        extra="yolo",
        licence=_AGPL,
        around="hw3lib.annotate.boxes.ultralytics:as_it_was",
    ),
    "yolo-weights": Part(
        "YOLOv8 and YOLO-World need", _YOLO, weights=("yolov8n.pt", "yolov8s-world.pt"), licence=_AGPL
    ),
    "sam": Part(
        "SAM needs",
        "It segments what a box or a click points at, and learns from a few masks",
        weights=("mobile_sam.pt",),
        licence="These are MobileSAM's, whose licence is Apache-2.0",
    ),
    "onnx": Part(
        "Export to ONNX needs",
        "It makes a detector one file, which scores without PyTorch",
        modules=("onnx", "onnxscript", "onnxruntime"),
        extra="onnx",
    ),
    "onnxruntime": Part(
        "Scoring with an ONNX file needs",
        "A detector's own folder is scored without it",
        modules=("onnxruntime",),
        extra="onnx",
    ),
    "heic": Part(
        "Reading HEIC needs",
        "Telephones photograph in it; photographs of other formats are read without it",
        modules=("pi_heif",),
        extra="heic",
        licence="pi-heif is BSD-3-Clause, and its wheels hold libheif and libde265, which are LGPL-3.0",
    ),
    "kaggle": Part(
        "The copy of MVTec AD on Kaggle needs",
        "It is a second source beside the official one",
        modules=("kagglehub",),
        extra="kaggle",
    ),
    "font": Part(
        "Chinese names in figures and report need",
        "Without it each of their characters is drawn as an empty box",
        look="hw3lib.core.fonts:found",
        how="install Noto Sans CJK (Debian, Ubuntu: apt install fonts-noto-cjk), and start anew",
    ),
    "browser": Part(
        "Screenshots and tests in a browser need",
        "The course itself is read in the browser that you use",
        look="hw3lib.core.optional:_browser",
        how="install Chromium (Debian, Ubuntu: apt install chromium) or set CHROMIUM to its path, and pip install "
        "playwright",
    ),
}
