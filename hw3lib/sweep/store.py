"""What a sweep is made of: a cell, its address by content, and the folder in which results stay."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from hw3lib.core.files import atomic_folder, read_json, write_json
from hw3lib.errors import Hw3Error

CONFIG, METRICS, RESULTS = "config.json", "metrics.json", "results.parquet"


class Folders(NamedTuple):
    """Where a cell may write: ``kept`` stays until it is finished, ``shared`` is that of all cells of the sweep."""

    kept: Path
    shared: Path


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        kind: ``attempt``, ``detector`` or ``imbalance``, or another function as ``module:name``, see
            :data:`hw3lib.sweep.cells.KINDS`.
        name: as it stands in tables.
        category: what it runs on.
        profile: ``quick`` or ``full``.
        seed: of everything that is drawn.
        settings: all else that the result depends on; what JSON can hold.
        root: folder that holds the category, the same on every machine.
        data_digest: see :func:`hw3lib.data.digest`.
        code, versions: see :mod:`hw3lib.core.provenance`.
    """

    kind: str
    name: str
    category: str
    profile: str
    seed: int
    settings: Mapping[str, Any]
    root: str = ""
    data_digest: str = ""
    code: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """What the result depends on. Neither the name nor the place of the data belongs to it."""
        names = ("kind", "category", "profile", "seed", "settings", "data_digest", "code", "versions")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def key(self) -> str:
        """SHA-256 of :attr:`config`, in hexadecimal: equal work has one address."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.category}, {self.kind} {self.name}, seed {self.seed}, {self.profile}"


class Store:
    """The folder of a sweep, shared by all of its workers, on one machine or on many with a shared file system.

    ``cells/<key>/`` holds ``config.json`` and ``metrics.json`` of a finished cell, ``logs/<key>.log`` what a failed one
    said, ``running/<key>/`` the claim of one that runs or was interrupted, and what it keeps to go on from, ``shared/``
    decoded images.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def cell(self, key: str) -> Path:
        """Folder of a finished cell."""
        return self.folder / "cells" / key

    def running(self, key: str) -> Path:
        """Folder of a cell that is not finished."""
        return self.folder / "running" / key

    def folders(self, key: str) -> Folders:
        """Where the function of a cell may write."""
        return Folders(self.running(key) / "kept", self.folder / "shared")

    def log(self, key: str) -> Path:
        """File that holds what a cell printed and how it failed."""
        return self.folder / "logs" / f"{key}.log"

    def finished(self, key: str) -> bool:
        """Whether the result is there, whole."""
        return (self.cell(key) / METRICS).is_file()

    def metrics(self, key: str) -> dict[str, Any]:
        """Figures of a finished cell.

        Raises:
            Hw3Error: the file is damaged or gone.
        """
        found = read_json(self.cell(key) / METRICS)
        if not found:
            raise Hw3Error(f"{self.cell(key) / METRICS}: no JSON object in it; delete its folder and sweep again")
        return found

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold a cell while the block runs; False if another process holds it.

        The lock is the operating system's (``flock``), so that it ends with the process that holds it, however that
        ends. Between machines that takes a file system with locks, as NFS 4 and Lustre (option ``flock``) have.
        """
        self.running(key).mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.running(key) / "lock", timeout=0)
        try:
            lock.acquire()
        except (Timeout, FileNotFoundError):  # gone: the one that held it has just finished
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def starts(self, key: str, sweep: str) -> int:
        """How often a sweep has started a cell."""
        file = self.running(key) / "starts"
        return file.read_text(encoding="utf-8").split().count(sweep) if file.is_file() else 0

    def note_start(self, key: str, sweep: str) -> None:
        """Note that a sweep starts a cell; only who holds it may."""
        with (self.running(key) / "starts").open("a", encoding="utf-8") as file:
            file.write(f"{sweep}\n")

    def finish(self, cell: Cell, metrics: Mapping[str, Any]) -> None:
        """Put a result in its place, whole, and drop what was kept to go on from; only who holds the cell may."""
        with atomic_folder(self.cell(cell.key)) as folder:
            write_json(folder / CONFIG, {"name": cell.name, **cell.config})
            write_json(folder / METRICS, metrics)
        self.tidy(cell.key)

    def tidy(self, key: str) -> None:
        """Remove what a finished cell no longer needs; only who holds it may."""
        # Whoever waits for its lock looks for the result first once it has it, so the lock's file may go.
        shutil.rmtree(self.running(key), ignore_errors=True)
        self.log(key).unlink(missing_ok=True)
