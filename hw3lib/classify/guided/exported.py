"""Types of defects recognised with onnxruntime: numpy, Pillow and scipy, no PyTorch.

A folder holds ``look.onnx``, which describes a whole photograph beside the memory of good patches, ``region.onnx``,
which describes the region cut out of it, and what was learned of the labelled images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hw3lib.core.files import file_digest
from hw3lib.core.onnx import session
from hw3lib.core.saved import Saved
from hw3lib.errors import Hw3Error

from .distances import FeatureScale, find_regions, in_pixels
from .recognition import Recognition, known

LOOK, REGION = "look.onnx", "region.onnx"
_AGAIN = "export the inspector again"
SAVED = Saved("exported classifier of defect types", "types.json", "types.safetensors", 1, _AGAIN)


@dataclass
class OnnxTypes(Recognition):
    """What :func:`hw3lib.classify.guided.export.export_types` wrote.

    Attributes:
        parts: names of what describes an image, in the order of the classifier.
        side, full: pixels of the squares in which images are compared, and from which regions are cut.
        region, region_size: share of a square that a region's side has, and the pixels that it is brought to.
    """

    parts: list[str]
    side: int
    full: int
    region: float
    region_size: int
    _scale: FeatureScale
    _look: Any
    _cut: Any | None

    def describe(self, image: np.ndarray) -> list[np.ndarray]:
        names = [output.name for output in self._look.get_outputs()]
        found = dict(zip(names, self._look.run(None, {"images": self.squares(image, self.side)}), strict=True))
        if self._cut is not None:
            distance = found["distance"]
            found["statistics"] = self._scale.statistics(distance)
            ((x0, y0, x1, y1),) = in_pixels(find_regions(distance, self.region), self.full)
            region = self.squares(image, self.full)[0, :, y0:y1, x0:x1].astype(np.float32)
            # Pillow's filter of floating-point images is PyTorch's with antialiasing.
            size = (self.region_size, self.region_size)
            scaled = [np.asarray(Image.fromarray(c).resize(size, Image.Resampling.BILINEAR)) for c in region]
            found["region"] = self._cut.run(None, {"images": np.stack(scaled)[None]})[0]
        return [found[part] for part in self.parts]

    @classmethod
    def load(cls, folder: str | Path) -> OnnxTypes:
        """Read what was exported; nothing in it is executed but its networks' operators.

        Raises:
            Hw3Error: onnxruntime is missing; no such folder, or a damaged or missing file.
        """
        folder = Path(folder)
        settings, arrays = SAVED.read_arrays(folder)
        with SAVED.fitting(folder):
            sessions = {}
            for file, digest in settings["networks"].items():
                if file not in (LOOK, REGION) or file_digest(folder / file) != digest:
                    raise Hw3Error(f"{file} is damaged, its SHA-256 is not the one in {SAVED.settings}; {_AGAIN}")
                sessions[file] = session(folder / file, _AGAIN)[0]
            return cls(
                **known(settings["classes"], settings["reading"], arrays),
                parts=list(settings["parts"]),
                side=int(settings["side"]),
                full=int(settings["full"]),
                region=float(settings["region"]),
                region_size=int(settings["region_size"]),
                _scale=FeatureScale(arrays["levels"]),
                _look=sessions[LOOK],
                _cut=sessions.get(REGION),
            )
