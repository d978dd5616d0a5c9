"""Import of the optional package ultralytics that leaves nothing in the home folder, on the network, or set."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from hw3lib.core import optional

_QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def module(name: str) -> ModuleType:
    """A module of ultralytics, such as ``nn.tasks``.

    Raises:
        Missing: the package is not installed or broken; the message names its licence.
    """
    return optional.load("yolo", f"ultralytics.{name}")


@contextmanager
def as_it_was() -> Iterator[None]:
    """Put back what the first import of ultralytics changes; that package must be installed.

    It writes settings below the home folder, looks for the internet, sets environment variables, numpy's and torch's
    way of printing and OpenCV's threads, and replaces ``torch.save`` and PIL's ``Image.open`` (by one that looks for a
    plug-in where a file is no picture). Here the settings go to a temporary folder (unless ``YOLO_CONFIG_DIR`` names
    one), and all else is put back.
    """
    if "ultralytics" in sys.modules:
        yield
        return
    import cv2  # optional
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
