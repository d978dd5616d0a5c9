"""``hw3 sweep``: its arguments, and what it prints. What it does is in :mod:`hw3lib.sweep`."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hw3lib.errors import Hw3Error


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``sweep`` to the commands; ``command`` makes one, see :func:`hw3lib.cli.main.parser`."""
    sweep = command(
        commands,
        "sweep",
        _sweep,
        "Run a grid: categories x attempts, detectors and answers to imbalance x seeds x profiles. SPEC is a YAML\n"
        "file, checked before anything runs. What is finished is not run again, a cell that fails does not stop the\n"
        "rest, and the results become one table, runs/sweeps/NAME/results.parquet. Exit code 1 if a cell failed.",
        "hw3 sweep detectors.yaml --dry-run",
        "hw3 sweep detectors.yaml --workers 4",
        "hw3 sweep detectors.yaml --cluster tcp://10.0.0.1:8786  # of `dask scheduler`; workers with --nthreads 1",
        "hw3 sweep detectors.yaml --slurm slurm.yaml  # the arguments of dask_jobqueue.SLURMCluster, and jobs: N",
    )
    sweep.add_argument("spec", metavar="SPEC.yaml", help="what to run")
    where = sweep.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes on this machine (default: one a core)")
    where.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler, whose workers share the file system")
    where.add_argument("--slurm", metavar="FILE", help="YAML file that describes SLURM jobs, which become Dask workers")
    sweep.add_argument("--data", metavar="DIR", help="folder that holds categories (default: $HW3_DATA, then data/)")
    sweep.add_argument("--name", help="results go to runs/sweeps/NAME (default: the name of SPEC)")
    sweep.add_argument("--dry-run", action="store_true", help="check SPEC, list the cells, and run none")
    sweep.set_defaults(interrupted="; what was finished is kept, and the same command goes on from there")


def _say(text: str) -> None:
    print(text, flush=True)


def _sweep(options: argparse.Namespace) -> int:
    from hw3lib import sweep
    from hw3lib.core.files import atomic_path
    from hw3lib.core.places import project_root
    from hw3lib.runs.kernel import sigterm_interrupts

    name = options.name or Path(options.spec).stem
    if not re.fullmatch(r"\w[\w.+ -]*", name):
        raise Hw3Error(f"the sweep's name is {name!r}; expected letters, digits and any of . _ - +, but no folder")
    folder = project_root() / "runs" / "sweeps" / name
    with sigterm_interrupts():
        spec = sweep.read_spec(options.spec)
        cells = sweep.plan(spec, options.data, folder, progress=sys.stderr.isatty())
        store = sweep.Store(folder)
        todo = [cell for cell in cells if not store.finished(cell.key)]
        kinds = Counter(cell.kind for cell in cells)
        _say(f"{len(cells)} cells ({', '.join(f'{n} {kind}' for kind, n in kinds.items())}), {len(todo)} to run")
        if options.dry_run:
            for cell in cells:
                _say(f"  {'to run' if cell in todo else 'done  '}  {cell.key[:12]}  {cell}")
            return 0
        sweep.check(todo, _say)
        with atomic_path(folder / "spec.yaml") as temporary:
            shutil.copyfile(options.spec, temporary)
        done = sweep.run(cells, folder, _executor(options) if todo else sweep.Processes(1), echo=_say)
    return _report(done)


def _executor(options: argparse.Namespace):
    from hw3lib.sweep.executors import Cluster, Processes, slurm

    if not options.slurm and not options.cluster:
        processes = Processes(options.workers)
        _say(f"{processes.workers} processes, {processes.threads} thread(s) each")
        return processes
    made = slurm(options.slurm) if options.slurm else Cluster(options.cluster)
    workers = made.workers
    _say(f"Dask scheduler at {made.address}: {workers} workers" + ("" if workers else "; waiting for the first"))
    return made


def _report(done: Any) -> int:
    from hw3lib.sweep.engine import duration

    _say(
        f"{done.kept + done.done} of {done.cells} cells are finished, {done.kept} of them before; "
        f"{len(done.failed)} failed; {duration(done.seconds)}"
    )
    for cell, message, log in done.failed:
        print(f"failed: {cell}: {message}\n  log: {log}", file=sys.stderr)
    _say(f"results: {done.results}")
    return 1 if done.failed else 0
