"""One notebook of a run: is it due, its execution, the check of what it promised, its place in ``runs/``.

A notebook works in ``runs/<name>/.<NN>.work``, which is renamed to ``runs/<name>/<NN>`` when all is there, so
earlier results stay whole until then. An interrupted notebook finds its work folder again, as long as its
source, its parameters, the data, hw3lib and the installed versions are the same.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hw3lib.core.files import atomic_path, read_json, write_json
from hw3lib.core.provenance import code_version, file_record, versions
from hw3lib.errors import Hw3Error

from .contract import CHAPTER_KEYS, COMMON_KEYS, ENDED
from .process import Failed, NotebookProcesses, kept

NOTEBOOK, METRICS, RECORD = "notebook.ipynb", "metrics.json", "run.json"


@dataclass(frozen=True)
class Notebook:
    """A numbered notebook: its parameters' defaults, files it promises, hash of code and text, chapters it reads.

    ``cells`` is the number of code cells that are executed: those that are not empty; ``kinds`` are those of the
    parameters, as type hints.
    """

    path: Path
    parameters: dict[str, Any]
    files: tuple[str, ...]
    digest: str
    reads: tuple[str, ...] = ()
    cells: int = 0
    kinds: dict[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> str:
        return self.path.stem.split("_")[0]


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: ``status`` is ``ran``, ``unchanged`` or ``failed``; ``message`` says why.

    ``ended`` is when, in seconds of this process's clock, so that the first failure can be told.
    """

    notebook: str
    status: str
    seconds: float
    folder: Path
    metrics: dict[str, Any]
    message: str = ""
    ended: float = 0.0


@dataclass(frozen=True)
class Step:
    """A notebook with the values it gets, in the folder of a run."""

    notebook: Notebook
    run_folder: Path
    values: dict[str, Any]
    data_digest: str
    timeout: int | None = None
    force: bool = False

    @property
    def final(self) -> Path:
        return self.run_folder / self.notebook.number

    @property
    def work(self) -> Path:
        return self.run_folder / f".{self.notebook.number}.work"

    @property
    def old(self) -> Path:
        return self.run_folder / f".{self.notebook.number}.old"

    def run(
        self,
        processes: NotebookProcesses,
        echo: Callable[[str], object] = print,
        on_cells: Callable[[int], object] = lambda _: None,
    ) -> Outcome:
        """Execute the notebook if it is due.

        Args:
            processes: starts one that executes it.
            echo: gets a line that says whether it is due, and why.
            on_cells: gets the number of code cells that are done, after each.

        Raises:
            KeyboardInterrupt: the processes were stopped; the work folder is kept.
            OSError: the results cannot be written.
        """
        name = self.notebook.path.stem
        if self.old.exists() and not self.final.exists():
            self.old.rename(self.final)  # the process ended between the two renames of _put_in_place
        due = fingerprint(self.notebook, self.values, self.data_digest) | self._inputs()
        record = read_json(self.final / RECORD)
        reasons = changes(record.get("fingerprint", {}), due) + changed_files(record, self.final)
        if record and not reasons and not self.force:
            shutil.rmtree(self.work, ignore_errors=True)  # of a forced run that came to nothing
            shutil.rmtree(self.old, ignore_errors=True)  # the process ended before it was removed
            echo(f"{name}: unchanged, not run again")
            before = record.get("seconds")
            before = before if isinstance(before, int | float) else 0.0
            metrics = read_json(self.final / METRICS)
            return Outcome(name, "unchanged", before, self.final, metrics, ended=time.monotonic())
        started, clock = _now(), time.monotonic()
        resumed = self._prepare_work({"status": "started", "started": started, "fingerprint": due})
        why = "forced" if self.force else ", ".join(reasons) if record else ""
        again = f" again ({why})" if why else ""
        starts = f"{name}: running{again}"
        echo(f"{starts}, going on from an interrupted run" if resumed else starts)
        on_cells(0)
        try:
            processes.execute(self._process_work(), on_cells)
            metrics = self._check_promises()
        except Failed as failure:
            write_json(self.work / RECORD, read_json(self.work / RECORD) | {"status": "failed"})
            now = time.monotonic()
            return Outcome(name, "failed", now - clock, self.work, {}, f"{name}: {failure}", now)
        seconds = round(time.monotonic() - clock, 3)
        self._forget_work_folder()
        times = {"started": started, "finished": _now(), "seconds": seconds, "resumed": resumed}
        promised = (METRICS,) if metrics.get(ENDED) else self.notebook.files
        files = {file: file_record(self.work / file) for file in promised}
        write_json(self.work / RECORD, {"status": "ran", **times, "fingerprint": due, "files": files})
        self._put_in_place()
        return Outcome(name, "ran", seconds, self.final, metrics, ended=time.monotonic())

    def _inputs(self) -> dict[str, Any]:
        """What the notebook reads of this run's other chapters: it is due again when one of them is."""
        return {f"the result of {n}": file_record(self.run_folder / n / METRICS) for n in self.notebook.reads}

    def _prepare_work(self, record: dict[str, Any]) -> bool:
        """Make the work folder; True if there is one from an interrupted run of exactly this work."""
        resumed = not self.force and read_json(self.work / RECORD).get("fingerprint") == record["fingerprint"]
        if self.work.exists() and not resumed:
            shutil.rmtree(self.work)
        self.work.mkdir(parents=True, exist_ok=True)
        write_json(self.work / RECORD, record)
        return resumed

    def _process_work(self) -> dict[str, Any]:
        """What :mod:`hw3lib.runs.process` is told."""
        return {
            "notebook": self.notebook.path,
            "executed": self.work / NOTEBOOK,
            "parameters": self.values | {"out": str(self.work)},
            "timeout": self.timeout,
            "user_errors": _user_errors(),
        }

    def _check_promises(self) -> dict[str, Any]:
        """Content of metrics.json; ``Failed`` names every promised file that is not as promised.

        A chapter that had nothing to do promises no other file.
        """
        wrong = []
        ended = read_json(self.work / METRICS).get(ENDED)
        for name in (METRICS,) if ended else self.notebook.files:
            path = self.work / name
            if not path.is_file():
                wrong.append(f"{name} is missing")
            elif not path.stat().st_size:
                wrong.append(f"{name} is empty")
        metrics: dict[str, Any] = {}
        if not any(text.startswith(METRICS) for text in wrong):
            try:
                text = (self.work / METRICS).read_text(encoding="utf-8")
                metrics = json.loads(text, parse_constant=_refuse)
                keys = (*COMMON_KEYS, *CHAPTER_KEYS.get(self.notebook.number, ()))
                wrong += [f"{METRICS} lacks {key!r}" for key in keys if key not in metrics]
            except (ValueError, TypeError) as error:
                wrong.append(f"{METRICS} is not valid JSON ({error})")
        if wrong:
            raise Failed(f"did not write what it promises: {'; '.join(wrong)}\n{kept(self.work / NOTEBOOK)}")
        return metrics

    def _forget_work_folder(self) -> None:
        """Let the notebook and its metrics name the folder that the results are about to have."""
        for path in (self.work / NOTEBOOK, self.work / METRICS):
            text = path.read_text(encoding="utf-8")
            if self.work.name in text:
                with atomic_path(path) as temporary:
                    temporary.write_text(text.replace(self.work.name, self.final.name), encoding="utf-8")

    def _put_in_place(self) -> None:
        shutil.rmtree(self.old, ignore_errors=True)
        if self.final.exists():
            self.final.rename(self.old)
        self.work.rename(self.final)
        shutil.rmtree(self.old, ignore_errors=True)


def fingerprint(notebook: Notebook, values: Mapping[str, Any], data_digest: str) -> dict[str, Any]:
    """Everything that the results depend on. Where the data lie does not count, what they are does."""
    effective = {k: v for k, v in (notebook.parameters | dict(values)).items() if k not in ("data", "out")}
    parts = {"notebook": notebook.digest, "parameters": effective, "data": data_digest}
    return json.loads(json.dumps(parts | {"hw3lib": code_version(), "versions": versions()}))


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Which parts of a fingerprint differ, in words: ``["seed 0 -> 3", "data changed"]``."""
    found = []
    old = old if isinstance(old, dict) else {}
    for part, value in new.items():
        before = old.get(part)
        if isinstance(value, dict) and isinstance(before, dict):
            names = [k for k in {**before, **value} if before.get(k) != value.get(k)]
            found += [f"{k} {before.get(k)} -> {value.get(k)}" for k in names]
        elif before != value:
            found.append(f"{part} changed")
    return found


def changed_files(record: Mapping[str, Any], folder: Path) -> list[str]:
    """Promised files that are gone, or are no longer what the run wrote."""
    files = record.get("files", {})
    if not isinstance(files, dict):
        return ["the list of files is damaged"]
    now = {name: file_record(folder / name) for name in files}
    different = [name for name, is_now in now.items() if is_now != record["files"][name]]
    return [f"{name} {'changed' if now[name] else 'gone'}" for name in different]


def _user_errors() -> set[str]:
    """Names of the error classes whose message is all that the user needs."""
    kinds = [Hw3Error]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.__name__ for kind in kinds}


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
