"""What starting costs: seconds and peak memory of imports and small commands, each in a fresh process, beside torch."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from hw3lib.anomaly import PaDiM
from hw3lib.anomaly.onnx import export

from ..machine import say_load
from ..programs import run_program

TARGET = 1.3  # times torch alone, in seconds and memory
_TIMES = 5  # of which the median counts; the first reads the files from the disk and does not
_MEASURE = """
started = time.perf_counter()
{program}
seconds = time.perf_counter() - started
found = {{"seconds": seconds, "memory": memory("VmHWM"), "torch": "torch" in sys.modules}}
print("\\n" + json.dumps(found))
"""
_COMMAND = """
from hw3lib.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
"""
_SCORE = """
import numpy as np
from hw3lib.anomaly import OnnxDetector
OnnxDetector(sys.argv[1]).score(np.zeros((1, 3, 64, 64), np.uint8))
"""


def main(category: str, data: str | None = None) -> None:
    """Print a line for each; the images are of no category."""
    say_load()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "padim.onnx"
        export.export(_detector(), model)
        programs: dict[str, tuple[str, list[object]]] = {
            "import torch": ("import torch", []),
            "from hw3lib.anomaly import PatchCore": ("from hw3lib.anomaly import PatchCore", []),
            "hw3 --help": (_COMMAND, ["--help"]),
            "hw3 data list": (_COMMAND, ["data", "list"]),
            "hw3 report --help": (_COMMAND, ["report", "--help"]),
            "score an image with an ONNX file": (_SCORE, [model]),
        }
        found = {name: _measure(*program) for name, program in programs.items()}
    _print(found)


def _detector() -> PaDiM:
    good = np.random.default_rng(0).integers(0, 256, (12, 3, 64, 64), dtype=np.uint8)
    detector = PaDiM(image_size=64, device="cpu")
    detector.fit(good, false_alarm_rate=0.5)
    return detector


def _measure(program: str, arguments: list[object]) -> dict:
    runs = [run_program(sys.executable, _MEASURE.format(program=program), *arguments) for _ in range(_TIMES + 1)][1:]
    return {**runs[0], **{key: statistics.median(run[key] for run in runs) for key in ("seconds", "memory")}}


def _print(found: dict[str, dict]) -> None:
    torch = found["import torch"]
    print(f"  {'':<38}{'s':>7}{'MB':>8}{'x torch, s':>12}{'MB':>8}  torch imported")
    for name, run in found.items():
        ratios = [run[key] / torch[key] for key in ("seconds", "memory")]
        print(
            f"  {name:<38}{run['seconds']:>7.2f}{run['memory'] / 1e6:>8.0f}{ratios[0]:>12.2f}{ratios[1]:>8.2f}  "
            f"{'yes' if run['torch'] else 'no'}"
        )
    one = found["from hw3lib.anomaly import PatchCore"]
    met = all(one[key] <= TARGET * torch[key] for key in ("seconds", "memory"))
    print(f"  one detector costs at most {TARGET} times torch: {'yes' if met else 'no'}")
