"""From a photograph to its answer, by HTTP and in a watched folder, of an inspector with types and of its export."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from hw3lib.data import get, load_table
from hw3lib.inspection.export import export
from hw3lib.inspection.fit import fit
from hw3lib.inspection.inspector import ANOMALOUS, GOOD

from ..machine import say_load
from .serve import say, send, serving

VERDICTS = (GOOD, ANOMALOUS)  # types are named of the latter alone


def main(category: str, data: str | None = None, count: int = 83, sizes: Sequence[int] = (224,)) -> None:
    """Fit an inspector with types, export it, and show both the category's test images, one after the other."""
    say_load()
    root = get(category, data, progress=False)
    table = load_table(root, category)
    photographs = [Path(file) for file in table[table["split"] == "test"]["image"]][:count]
    with tempfile.TemporaryDirectory() as folder:
        made, exported = Path(folder) / "inspector", Path(folder) / "exported"
        fit(Path(root) / category, made, settings={"image_size": sizes[0]}, types=True, echo=lambda _: None)
        export(made, exported, check=Path(root) / category, echo=lambda _: None)
        print(f"{category}: {len(photographs)} photographs, at {sizes[0]} px")
        for place in (made, exported):
            measure(place, photographs)


def measure(inspector: Path, photographs: Sequence[Path]) -> None:
    """Print how long a program waits for its answer, and how long it takes from a file's renaming to its line."""
    contents = [path.read_bytes() for path in photographs]
    with serving(inspector) as (process, port):
        send(port, contents, 1, 3)  # once started
        before = sum(process.cpu_times()[:2])
        seconds, verdicts = send(port, contents, 1, len(contents), what="verdict")[:2]
        used = sum(process.cpu_times()[:2]) - before
    _tell(f"  {inspector.name}, HTTP", seconds, [verdicts[str(at)] for at in range(len(contents))])
    print(f"    {1000 * used / len(contents):.0f} ms of processors each")
    _tell(f"  {inspector.name}, watched folder", *_watched(inspector, photographs))


def _tell(what: str, seconds: Sequence[float], verdicts: Sequence[str]) -> None:
    for verdict in VERDICTS:
        if found := [s for s, v in zip(seconds, verdicts, strict=True) if v == verdict]:
            print(f"{what}: {len(found)} {verdict}: {say(found)}")


def _watched(inspector: Path, photographs: Sequence[Path]) -> tuple[list[float], list[str]]:
    seconds, verdicts = [], []
    with tempfile.TemporaryDirectory() as name:
        place, beside = Path(name) / "in", Path(name) / "beside"
        place.mkdir(), beside.mkdir()
        command = [sys.executable, "-u", "-m", "hw3lib.cli", "inspect", "score", str(inspector), str(place)]
        command += ["--watch", "--out", f"{name}/out"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                next(line for line in process.stdout if "new ones are scored" in line)
                for at, path in enumerate([photographs[0], *photographs]):  # the first warms up
                    (beside / f"{at}{path.suffix}").write_bytes(path.read_bytes())
                    started = time.perf_counter()
                    os.replace(beside / f"{at}{path.suffix}", place / f"{at}{path.suffix}")
                    said = next(line for line in process.stdout if " waiting)" in line)
                    if at:
                        seconds.append(time.perf_counter() - started)
                        verdicts.append(said.partition(": ")[2].split()[0])
                    time.sleep(0.1)
            finally:
                psutil.Process(process.pid).terminate()
    return seconds, verdicts
