"""The kernel in which a run's notebooks execute, and who holds its folder."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hw3lib.core import machine
from hw3lib.core.files import expanded, refuse_existing, write_json
from hw3lib.core.locks import InUse, held
from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error

LOCK = ".lock"  # stands in every folder of a run


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder, or raise ``Hw3Error`` with the number of the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:  # the processes of the run hold it as well, until the last ends
            stack.enter_context(held(folder / LOCK, inherited=True))
        except InUse as found:
            raise Hw3Error(
                f"{folder} is in use by another run (process {found.process}); wait for its end, or give this run "
                "another --name"
            ) from None
        yield


@contextmanager
def this_kernel(environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Let the kernel name ``python3`` mean this very interpreter, whatever kernel is installed under it.

    Args:
        environment: variables that kernels get besides those of this process.
    """
    from ipykernel.kernelspec import get_kernel_dict  # slow, and locks do without

    spec = get_kernel_dict()
    # It warns about missing encryption on the loopback and about being shut down: nobody's concern here.
    spec["argv"].append("--Application.log_level=50")
    spec["env"] = {"HW3_HEADLESS": "1"} | machine.prepare() | dict(environment or {})  # nobody is there to click
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory(prefix="hw3-kernel-") as folder:
        write_json(Path(folder) / "kernels" / "python3" / "kernel.json", spec)
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))  # searched first
        try:
            yield
        finally:
            del os.environ["JUPYTER_PATH"]
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C: the kernels are shut down in both cases (only the main thread gets signals)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def results_folder(name: str, runs_dir: str | Path | None, out: str | Path | None, what: str) -> Path:
    """Where a run goes: ``name`` in ``runs_dir``, by default ``runs/`` of the project; or ``out``.

    Raises:
        Hw3Error: a name that no folder should have, or ``out`` holds something else than ``what``, ``"a run"``.
    """
    if not re.fullmatch(r"\w[\w.+ -]*", name):
        raise Hw3Error(f"the run's name is {name!r}; expected letters, digits and any of . _ - +, but no folder")
    if out is None:
        return Path(runs_dir or project_root() / "runs").resolve() / name
    folder = expanded(out).resolve()
    refuse_existing(folder, True, LOCK, what)
    return folder
