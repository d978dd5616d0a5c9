"""One notebook of a run: is it due, its execution, the check of what it promised, its place in ``runs/``.

A notebook works in ``runs/<name>/.<NN>.work``, which is renamed to ``runs/<name>/<NN>`` when all is there, so
earlier results stay whole until then. An interrupted notebook finds its work folder again, as long as its
source, its parameters, the data, hw3lib and the installed versions are the same.
"""

from __future__ import annotations

import json
import logging
import platform
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hw3lib.core.files import atomic_path, read_json, write_json
from hw3lib.core.provenance import code_version, file_record, package_version
from hw3lib.errors import Hw3Error

COMMON_KEYS = ("notebook", "category", "profile", "seconds", "seeds", "versions", "device", "data_digest")
CHAPTER_KEYS = {  # what every run writes, for those who read it: the report and the summary
    "01": ("images", "train", "test", "classes", "defect_classes", "image_size"),
    "02": ("leaderboard", "best", "baseline"),
    "03": ("methods",),
    "04": ("detectors", "threshold", "false_alarm_rate"),
    "05": ("formats", "sam", "detection"),
    "06": ("pages", "words", "missing"),
}
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")
NOTEBOOK, METRICS, RECORD = "notebook.ipynb", "metrics.json", "run.json"


class Failed(Exception):
    """The notebook did not come to its end, or not to what it promised; the text is for the user."""


@dataclass(frozen=True)
class Notebook:
    """A numbered notebook: its parameters' defaults, files it promises, hash of code and text, chapters it reads."""

    path: Path
    parameters: dict[str, Any]
    files: tuple[str, ...]
    digest: str
    reads: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        return self.path.stem.split("_")[0]


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: ``status`` is ``ran``, ``unchanged`` or ``failed``; ``message`` says why."""

    notebook: str
    status: str
    seconds: float
    folder: Path
    metrics: dict[str, Any]
    message: str = ""


@dataclass(frozen=True)
class Step:
    """A notebook with the values it gets, in the folder of a run."""

    notebook: Notebook
    run_folder: Path
    values: dict[str, Any]
    data_digest: str
    timeout: int | None = None
    force: bool = False
    progress: bool = False

    @property
    def final(self) -> Path:
        return self.run_folder / self.notebook.number

    @property
    def work(self) -> Path:
        return self.run_folder / f".{self.notebook.number}.work"

    @property
    def old(self) -> Path:
        return self.run_folder / f".{self.notebook.number}.old"

    def run(self, echo: Callable[[str], object] = print) -> Outcome:
        """Execute the notebook if it is due; ``echo`` gets a line that says so, and why."""
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
            return Outcome(name, "unchanged", before, self.final, read_json(self.final / METRICS))
        started, clock = _now(), time.monotonic()
        resumed = self._prepare_work({"status": "started", "started": started, "fingerprint": due})
        why = "forced" if self.force else ", ".join(reasons) if record else ""
        again = f" again ({why})" if why else ""
        echo(f"{name}: running{again}{', going on from an interrupted run' if resumed else ''}")
        try:
            self._execute()
            metrics = self._check_promises()
        except Failed as failure:
            write_json(self.work / RECORD, read_json(self.work / RECORD) | {"status": "failed"})
            return Outcome(name, "failed", time.monotonic() - clock, self.work, {}, f"{name}: {failure}")
        seconds = round(time.monotonic() - clock, 3)
        self._forget_work_folder()
        times = {"started": started, "finished": _now(), "seconds": seconds, "resumed": resumed}
        files = {file: file_record(self.work / file) for file in self.notebook.files}
        write_json(self.work / RECORD, {"status": "ran", **times, "fingerprint": due, "files": files})
        self._put_in_place()
        return Outcome(name, "ran", seconds, self.final, metrics)

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

    def _execute(self) -> None:
        import nbclient.exceptions  # with papermill a second, which comparing runs does without
        import papermill

        # Their only messages here repeat, on stderr, what Failed or the interruption says.
        logging.getLogger("papermill").addHandler(logging.NullHandler())
        logging.getLogger("asyncio").addFilter(_not_of_a_dead_kernel)
        executed = self.work / NOTEBOOK
        try:
            papermill.execute_notebook(
                _no_format(self.notebook.path),
                _no_format(executed),
                parameters=self.values | {"out": str(self.work)},
                kernel_name="python3",
                language="python",
                cwd=self.notebook.path.parent,
                execution_timeout=self.timeout,
                progress_bar=self.progress,
            )
        except papermill.PapermillExecutionError as error:
            if error.ename in _user_errors():
                raise Failed(f"{error.evalue}\n{_kept(executed)}") from error
            lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback)).strip().splitlines()
            raise Failed(_failed_cell(error.exec_count, error.source, lines[-6:], executed)) from error
        except nbclient.exceptions.CellTimeoutError as error:
            text = f"took longer than {self.timeout} seconds; allow more with --timeout"
            raise Failed(_failed_cell(*_last_started(executed), [text], executed)) from error
        except nbclient.exceptions.DeadKernelError as error:
            text = "the kernel died, often because the memory did not suffice: try --profile quick"
            raise Failed(_failed_cell(*_last_started(executed), [text], executed)) from error
        except RuntimeError as error:
            raise Failed(f"the kernel did not start ({error}); hw3 doctor may say why") from error

    def _check_promises(self) -> dict[str, Any]:
        """Content of metrics.json; ``Failed`` names every promised file that is not as promised."""
        wrong = []
        for name in self.notebook.files:
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
            raise Failed(f"did not write what it promises: {'; '.join(wrong)}\n{_kept(self.work / NOTEBOOK)}")
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
    versions = {"python": platform.python_version()} | {name: package_version(name) for name in PACKAGES}
    parts = {"notebook": notebook.digest, "parameters": effective, "data": data_digest}
    return json.loads(json.dumps(parts | {"hw3lib": code_version(), "versions": versions}))


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


def _failed_cell(number: int | None, source: str, lines: list[str], executed: Path) -> str:
    code = source.strip().splitlines()
    shown = code if len(code) <= 12 else [*code[:12], f"... {len(code) - 12} more lines"]
    shown = [f"    {line}" for line in shown]
    return "\n".join([f"failed in cell In [{number}]:", *shown, *lines, _kept(executed)])


def _kept(executed: Path) -> str:
    return f"The notebook up to this point: {executed}"


def _last_started(executed: Path) -> tuple[int, str]:
    """Number and source of the cell at which an execution without an error message stopped."""
    cells = [c for c in read_json(executed).get("cells", []) if c["cell_type"] == "code"]
    started = [i for i, c in enumerate(cells, 1) if c["metadata"]["papermill"].get("start_time")]
    number = max(started, default=0)
    return number, "".join(cells[number - 1]["source"]) if number else ""


def _not_of_a_dead_kernel(record: logging.LogRecord) -> bool:
    """Whether a message of asyncio is about something else than the end of a kernel that was shut down with its run."""
    import nbclient.exceptions  # loaded by then

    return not (record.exc_info and isinstance(record.exc_info[1], nbclient.exceptions.DeadKernelError))


def _user_errors() -> set[str]:
    """Names of the error classes whose message is all that the user needs."""
    kinds = [Hw3Error]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.__name__ for kind in kinds}


def _no_format(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill fills in braces


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
