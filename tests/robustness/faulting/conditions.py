"""Every writer of hw3lib on a full disk, beyond a limit of the file size, and in a folder that it may not write.

The conditions are the system's own: a small tmpfs (which takes the right to mount), RLIMIT_FSIZE, and a folder that
belongs to somebody else. What is expected each time: exit code 2, a message that names the folder and the reason, no
traceback, earlier results as they were to the last byte, nothing half-written.
"""

from __future__ import annotations

import ctypes
import io
import os
import resource
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .children import LIMIT, end_family, file_server, start, warm_up
from .results import snapshot
from .writers import WARM, WARM_FOR_ALL, WRITERS, Writer, inputs

NOBODY = 65534
CONDITIONS = ("full", "limited", "refused")
REASONS = {
    "full": ("the disk is full", "Not enough space"),
    "limited": ("ulimit -f",),
    "refused": ("permission denied",),
}


@dataclass
class Refusal:
    """A writer in a condition, what is wrong about how it failed, and why it was not tried; empty where it is well."""

    writer: str
    condition: str
    wrong: str = ""
    not_tried: str = ""


class NotPossible(Exception):
    """This machine does not allow the condition; the text says why."""


def _undisturbed(function: Callable[[Path], Any], folder: Path) -> None:
    child = start(function, folder)
    ended = child.wait(LIMIT)
    end_family(child)
    os.close(child.news)
    if not ended or child.code:
        raise RuntimeError(f"undisturbed it ends with {child.code}:\n{child.text()}")


def _conditions(writer: Writer, folder: Path, given: Path) -> Iterator[Refusal]:
    base = folder / "base"
    base.mkdir()
    try:
        _undisturbed(lambda out: writer.write(out, given, 0), base)
        new = Path(shutil.copytree(base, folder / "new"))
        _undisturbed(lambda out: writer.write(out, given, 1), new)
        before, after = snapshot(base), snapshot(new)
        sizes = [len(raw) for name, raw in after.items() if raw is not None and before.get(name) != raw]
        if not sizes:
            raise RuntimeError("both versions are the same")
    except RuntimeError as error:
        yield Refusal(writer.name, "none", str(error))
        return
    for condition in CONDITIONS:
        try:
            with _place(condition, base, folder / condition, sizes) as out:
                yield Refusal(writer.name, condition, _tried(writer, condition, out, given, max(sizes)))
        except NotPossible as error:
            yield Refusal(writer.name, condition, not_tried=str(error))


@contextmanager
def _place(condition: str, base: Path, folder: Path, sizes: list[int]) -> Iterator[Path]:
    """A copy of the earlier results, on a disk of its own that is nearly full if that is the condition."""
    folder.mkdir()
    if condition == "refused" and os.geteuid():
        raise NotPossible("root writes everywhere, others own nothing here")
    if condition != "full":
        out = Path(shutil.copytree(base, folder / "out"))
        if condition == "refused":
            for path in (out, *out.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield out
        return
    page = resource.getpagesize()
    used = sum(len(raw or b"") + page for raw in snapshot(base).values())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={used + sum(sizes) + (4 << 20)}", "none", str(folder)]
    if shutil.which("mount") is None or os.geteuid():
        raise NotPossible("only root can mount a small disk")
    if (done := subprocess.run(mount, capture_output=True, text=True)).returncode:
        raise NotPossible(f"mounting is not allowed: {done.stderr.strip()}")
    try:
        out = Path(shutil.copytree(base, folder / "out"))
        room = max(sizes) // 2 // page * page
        with (folder / "filler").open("wb") as filler:
            filler.write(bytes(shutil.disk_usage(folder).free - room))
        yield out
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _tried(writer: Writer, condition: str, out: Path, given: Path, largest: int) -> str:
    """What is wrong about how the writer fails; empty if nothing is."""
    before = snapshot(out)

    def write(out: Path) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        said = io.StringIO()
        try:
            if condition == "refused":
                _give_up_root()
            with redirect_stdout(said), redirect_stderr(said):
                if condition == "limited":  # Python ignores SIGXFSZ, so that the kernel says EFBIG
                    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, limits[1]))
                writer.write(out, given, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            print(said.getvalue())

    child = start(write, out, said=given / "said")
    ended = child.wait(LIMIT)
    end_family(child)
    os.close(child.news)
    text, wrong = child.text().strip(), []
    if not ended or child.code not in writer.codes:
        wrong.append(f"ends with {child.code}")
    if not any(reason in text for reason in REASONS[condition]):
        wrong.append("does not say why")
    if "Cannot write in" not in text and str(out) not in text:
        wrong.append("does not say where")
    after = snapshot(out)
    if changed := [name for name, raw in before.items() if after.get(name, b"gone") != raw and ".lock" not in name]:
        wrong.append(f"changed: {', '.join(changed[:4])}")
    if left := [name for name in set(after) - set(before) if not name.startswith(writer.keeps or ("//",))]:
        wrong.append(f"left over: {', '.join(sorted(left)[:4])}")
    return f"{'; '.join(wrong)}; it said: {text[-700:]}" if wrong else ""


def _give_up_root() -> None:
    """Let this process and its children be root in name only: what belongs to others is not theirs to write."""
    libc = ctypes.CDLL(None, use_errno=True)
    set_secure_bits, no_root = 28, 3  # SECBIT_NOROOT and its lock: no capabilities come back with exec
    version = struct.pack("=Ii", 0x20080522, 0)
    none = bytes(24)
    if libc.prctl(set_secure_bits, no_root, 0, 0, 0) or libc.capset(version, none):
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


@dataclass
class Permissions:
    """A writer and what is wrong about the permissions of what it wrote; empty where it is well."""

    writer: str
    wrong: str


def permissions(names: Sequence[str], umask: int, echo: Callable[[Permissions], object]) -> None:
    """What the named writers, or all, write under a umask: its files and folders have the permissions that it gives."""
    warm_up(WARM if names else (*WARM, *WARM_FOR_ALL))
    with tempfile.TemporaryDirectory(prefix="hw3-permissions-") as name:
        place = Path(name)
        given = place / "given"
        given.mkdir()
        with file_server(place):
            _undisturbed(lambda folder: inputs(folder), given)
            before = os.umask(umask)
            try:
                for number, writer in enumerate(names or WRITERS):
                    out = place / f"{number:02d}"
                    out.mkdir()
                    function = WRITERS[writer].write
                    _undisturbed(lambda out, function=function: function(out, given, 1), out)  # type: ignore[misc]
                    echo(Permissions(writer, "; ".join(_wrong_permissions(out, umask))))
            finally:
                os.umask(before)


def _wrong_permissions(folder: Path, umask: int) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*")):
        expected = (0o777 if path.is_dir() else 0o666) & ~umask
        if not path.is_symlink() and (mode := stat.S_IMODE(path.stat().st_mode)) != expected:
            found.append(f"{path.relative_to(folder)} is {mode:03o}, expected {expected:03o}")
    return found or ([] if any(folder.iterdir()) else ["wrote nothing"])


def table(outcomes: Sequence[Refusal]) -> str:
    """Counts, one line a condition."""
    lines = [f"{'condition':26}{'writers':>8}{'not tried':>11}{'clear, nothing lost':>21}"]
    for condition in CONDITIONS:
        of = [outcome for outcome in outcomes if outcome.condition == condition]
        tried = [outcome for outcome in of if not outcome.not_tried]
        lines.append(f"{condition:26}{len(of):8}{len(of) - len(tried):11}{sum(not o.wrong for o in tried):21}")
    return "\n".join(lines)


def refuse(names: Sequence[str], echo: Callable[[Refusal], object]) -> list[Refusal]:
    """The named writers, or all, in all conditions; ``echo`` gets each outcome."""
    warm_up(WARM if names else (*WARM, *WARM_FOR_ALL))
    place = Path(tempfile.mkdtemp(prefix="hw3-faults-"))
    place.chmod(0o755)  # for children that are root in name only
    given = place / "given"
    given.mkdir()
    outcomes: list[Refusal] = []
    with file_server(place):
        _undisturbed(lambda folder: inputs(folder), given)
        for number, name in enumerate(names or WRITERS):
            folder = place / f"{number:02d}"
            folder.mkdir()
            for outcome in _conditions(WRITERS[name], folder, given):
                outcomes.append(outcome)
                echo(outcome)
            if not any(outcome.wrong for outcome in outcomes if outcome.writer == name):
                shutil.rmtree(folder)
    if not any(outcome.wrong for outcome in outcomes):
        shutil.rmtree(place)
    return outcomes
