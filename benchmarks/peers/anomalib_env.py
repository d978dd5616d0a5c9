"""anomalib in a virtual environment of its own, so that its pinned packages and ours do not meet."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from hw3lib.core.files import atomic_path, human_bytes
from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error

VERSION = "2.7.0"
_SIZE = 6 * 10**9  # bytes, most of them PyTorch


def ensure() -> Path:
    """Python of the environment below ``runs/``, which is made if it is not there.

    Raises:
        Hw3Error: it cannot be made, with the last lines that pip wrote.
    """
    folder = project_root() / "runs" / "benchmark-anomalib" / "venv"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    finished = folder / f"anomalib-{VERSION}"  # written last: an environment cannot be moved to its place when complete
    if finished.is_file():
        return python
    print(f"installing anomalib {VERSION} into {folder} (about {human_bytes(_SIZE)}, some minutes)", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    # lazy-loader is what our own package needs to be imported beside it.
    packages = [f"anomalib=={VERSION}", "lazy-loader"]
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        end = "\n".join(done.stderr.splitlines()[-5:])
        raise Hw3Error(f"{folder}: anomalib {VERSION} cannot be installed; it needs a package index:\n{end}")
    with atomic_path(finished) as temporary:
        temporary.write_text("installed\n", encoding="utf-8")
    return python
