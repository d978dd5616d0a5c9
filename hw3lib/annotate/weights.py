"""Published weights of the detection and segmentation models: found, or downloaded and checked, never made up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw3lib.core.files import file_digest
from hw3lib.core.optional import lacking
from hw3lib.core.places import weights_folder
from hw3lib.data.fetch.download import download
from hw3lib.errors import Hw3Error


@dataclass(frozen=True)
class Weights:
    """A published file: its address, its SHA-256 in hexadecimal, and its part in :mod:`hw3lib.core.optional`."""

    url: str
    sha256: str
    part: str


WEIGHTS = {
    "mobile_sam.pt": Weights(
        "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
        "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        "sam",
    ),
    "yolov8n.pt": Weights(
        "https://github.com/ultralytics/assets/releases/download/v8.3.0/yolov8n.pt",
        "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
        "yolo-weights",
    ),
    "yolov8s-world.pt": Weights(
        "https://github.com/ultralytics/assets/releases/download/v8.3.0/yolov8s-world.pt",
        "095f5266bb9b654bd5ad9e21e9cdeda78e0f2c8460f5d652eaf04bab7ee251cf",
        "yolo-weights",
    ),
}
# Seconds to connect and between two bytes, and tries again in a row without a new byte: where there is no connection
# that is known in seconds, and a line that breaks goes on from where it broke.
_PATIENCE: dict[str, Any] = {"timeout": (4.0, 10.0), "retries": 1}


def cache_folder() -> Path:
    """Where downloaded weights are kept: ``hw3lib`` in torch hub's cache (``TORCH_HOME``)."""
    import torch  # who looks in HW3_WEIGHTS alone does without

    return Path(torch.hub.get_dir()) / "hw3lib"


def places() -> list[Path]:
    """Folders that are searched: ``HW3_WEIGHTS``, then the cache."""
    named = weights_folder()
    return [named, cache_folder()] if named else [cache_folder()]


def find(name: str, *, fetch: bool = True, progress: bool = True) -> Path:
    """Path of a published weights file, its SHA-256 checked.

    Args:
        name: a key of :data:`WEIGHTS`.
        fetch: download it if it is not there.

    Raises:
        Missing: a file with another hash, or a file that is nowhere and cannot be downloaded; the message says where
            it was looked for and what to do.
        Hw3Error: unknown name.
    """
    if name not in WEIGHTS:
        raise Hw3Error(f"unknown weights {name!r}; known: {', '.join(WEIGHTS)}")
    wanted = WEIGHTS[name]
    for folder in places():
        path = folder / name
        if path.is_file():
            found = file_digest(path)
            if found != wanted.sha256:
                detail = f"{path} has the SHA-256 {found}, expected {wanted.sha256}; delete it"
                raise lacking(wanted.part, f"the published weights {name}, not another file", detail)
            return path
    lack = f"the published weights {name}, which are not on this machine"
    detail = f"Looked in {' and '.join(str(folder) for folder in places())}"
    if not fetch:
        raise lacking(wanted.part, lack, detail)
    try:
        return download(wanted.url, cache_folder() / name, wanted.sha256, progress=progress, **_PATIENCE)
    except Hw3Error as error:
        said = "; ".join(line.strip(" .:") for line in str(error).splitlines())
        raise lacking(wanted.part, lack, f"{detail}. The download failed: {said}") from error
