"""Import of the optional package ultralytics that leaves nothing in the home folder, on the network, or set."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from hw3lib.errors import Hw3Error

LICENCE = "AGPL-3.0"
_QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def module(name: str) -> ModuleType:
    """A module of ultralytics, such as ``nn.tasks``.

    On its first import the package writes settings below the home folder, looks for the internet, sets environment
    variables, numpy's and torch's way of printing and OpenCV's threads, and replaces ``torch.save`` and PIL's
    ``Image.open`` (by one that looks for a plug-in where a file is no picture). Here the settings go to a temporary
    folder (unless ``YOLO_CONFIG_DIR`` names one), and all else is put back.

    Raises:
        Hw3Error: the package is not installed; the message names its licence.
    """
    try:
        if "ultralytics" in sys.modules:
            return importlib.import_module(f"ultralytics.{name}")
        with _as_it_was():
            return importlib.import_module(f"ultralytics.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ultralytics":
            raise
        raise Hw3Error(
            f"YOLO needs the package ultralytics, which is not installed. Its licence, and that of its weights, is "
            f"{LICENCE}: whoever passes on a program that uses it, or offers it over a network, must give its source "
            "under the same "
            'licence. If that suits you: pip install "hw3lib[yolo]" (in a checkout: pip install -e ".[yolo]")'
        ) from None


@contextmanager
def _as_it_was() -> Iterator[None]:
    import cv2  # optional, as ultralytics itself
    import numpy as np
    import torch
    from PIL import Image

    environment, save, threads = dict(os.environ), torch.save, cv2.getNumThreads()
    image_open = Image.open
    numpy_printing, torch_printing = np.get_printoptions(), dict(vars(torch._tensor_str.PRINT_OPTS))
    os.environ.update(_QUIET)
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="hw3-ultralytics-")
        # It reads and writes its settings for as long as the process lives.
        atexit.register(shutil.rmtree, os.environ["YOLO_CONFIG_DIR"], ignore_errors=True)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        torch.save = save
        Image.open = image_open
        cv2.setNumThreads(threads)
        np.set_printoptions(**numpy_printing)
        torch.set_printoptions(**torch_printing)
