"""A whole inspector for machines without PyTorch: what ``hw3 inspect export`` does.

The folder that it makes is given to ``hw3 inspect score`` and ``hw3 inspect serve`` in the inspector's place. What a
program in another language needs of it stands in ``contract.json``; docs/inspection.md describes both.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hw3lib import __version__
from hw3lib.anomaly.onnx.detector import OnnxDetector
from hw3lib.anomaly.onnx.export import TOLERANCE
from hw3lib.anomaly.onnx.export import export as export_detector
from hw3lib.anomaly.registry import load_detector
from hw3lib.classify.guided.export import export_types
from hw3lib.core.files import atomic_folder, expanded, human_bytes, refuse_existing, write_json
from hw3lib.core.text import counted
from hw3lib.data.folders.find import is_category, refuse_inside_category
from hw3lib.errors import Hw3Error

from .inspector import ANOMALOUS, DETECTOR, TYPES, Found, Inspector
from .photographs import find_photographs, read_batches
from .plausibility import FILE

CONTRACT = "contract.json"
_MOST = 64  # photographs that are compared
_CHANCES = 1e-3  # by which probabilities of types may differ


@dataclass(frozen=True)
class Compared:
    """An inspector and what was exported of it, on the same photographs.

    Attributes:
        photographs: their number.
        anomalous: how many of them the inspector calls so.
        verdicts: photographs about which both say different things.
        scores: largest difference, as a share of the score or the threshold, whichever is larger.
        typed: anomalous ones whose types were compared.
        sets: those of which the sets of types differ.
        probabilities: largest difference of a type's.
    """

    photographs: int
    anomalous: int
    verdicts: int
    scores: float
    typed: int
    sets: int
    probabilities: float

    @classmethod
    def of(cls, before: list[Found], after: list[Found], threshold: float) -> Compared:
        """Of what both say, photograph by photograph."""
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if not a.broken]
        typed = [(a.types, b.types) for a, b in pairs if a.types is not None and b.types is not None]
        apart = [abs(x.probabilities[name] - y.probabilities[name]) for x, y in typed for name in x.probabilities]
        scores = [abs(a.score - b.score) / max(abs(a.score), abs(threshold), 1e-9) for a, b in pairs]
        return cls(
            len(pairs),
            sum(a.verdict == ANOMALOUS for a, _ in pairs),
            sum(a.verdict != b.verdict or (a.types is None) != (b.types is None) for a, b in pairs),
            max(scores, default=math.nan),
            len(typed),
            sum(x.names != y.names for x, y in typed),
            max(apart, default=0.0),
        )

    @property
    def agrees(self) -> bool:
        return not self.verdicts and not self.sets and self.scores <= TOLERANCE and self.probabilities <= _CHANCES

    def say(self) -> str:
        """In a sentence without its full stop."""
        said = (
            f"on {counted(self.photographs, 'photograph')}, {self.anomalous} of them anomalous, "
            f"{self.verdicts or 'no'} verdicts differ and scores by at most {self.scores:.1g} of their size"
        )
        if self.typed:
            said += (
                f"; on {self.typed} with types {self.sets or 'no'} sets of types differ and probabilities by at most "
                f"{self.probabilities:.1g}"
            )
        return said


def export(
    inspector: str | Path,
    out: str | Path,
    *,
    check: str | Path,
    recursive: bool = False,
    force: bool = False,
    echo: Callable[[str], None] = print,
) -> Compared:
    """Write an inspector as a folder that onnxruntime runs, unless it then says something else.

    Args:
        inspector: its folder.
        out: folder to write, whole or not at all.
        check: photographs, or a category's test images, of which up to 64 are inspected both ways.
        recursive: take the images of its sub-folders too.
        force: replace what was exported before.
        echo: receives messages.

    Raises:
        Hw3Error: no inspector, a detector or network that is none of ONNX's, no photograph that can be read, verdicts,
            sets of types or scores that differ, or ``out`` exists.
    """
    place, out = expanded(inspector), expanded(out)
    refuse_inside_category(out, *filter(is_category, [expanded(check)]))
    refuse_existing(out, force, CONTRACT, "an exported inspector")
    before, photographs = Inspector(place, echo=echo), find_photographs([expanded(check)], echo, recursive)
    rows = np.unique(np.linspace(0, len(photographs) - 1, min(_MOST, len(photographs))).astype(int))
    some = [photographs[int(row)] for row in rows]
    with atomic_folder(out, replace=force) as temporary:
        export_detector(load_detector(place), temporary / DETECTOR)
        if before.types is not None:
            export_types(place / TYPES, temporary / TYPES)
        if (place / FILE).is_file():
            shutil.copy(place / FILE, temporary / FILE)
        after = Inspector(temporary)
        write_json(temporary / CONTRACT, contract(after))
        side, reading = before.model.image_size, before.model.reading_
        with ThreadPoolExecutor() as pool:
            batches = list(read_batches(some, side, 8, pool, reading))
            found = [[said for batch in batches for said in each.look(batch)] for each in (before, after)]
        compared = Compared.of(found[0], found[1], before.threshold)
        if not compared.agrees:
            what = "no photograph can be read" if not compared.photographs else compared.say()
            raise Hw3Error(f"{out}: not written, for with onnxruntime it is not the inspector: {what}; use its folder")
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    echo(f"{out}: {before.model.name} for onnxruntime, {human_bytes(size)}; {compared.say()}")
    return compared


def contract(inspector: Inspector) -> dict:
    """What a program needs that runs ``detector.onnx`` itself, as JSON holds it."""
    model = inspector.model
    assert isinstance(model, OnnxDetector)
    return {
        "format": 1,
        "hw3lib": __version__,
        "model": DETECTOR,
        "input": {
            "name": "images",
            "dtype": "uint8",
            "layout": "NCHW",
            "channels": "RGB",
            "shape": ["N", 3, model.image_size, model.image_size],
            "resize": "bilinear with antialiasing, as Pillow does, both sides on their own where fit is stretch",
            **asdict(model.reading_),
        },
        "outputs": ["scores", "maps"][: 1 + model.has_maps],
        "threshold": inspector.threshold,
        "map_threshold": inspector.colours[1] if inspector.colours else None,
        "promise": inspector.said,
        "good_scores": model.good_scores_.tolist(),
        "types": inspector.types.classes if inspector.types else [],
    }
