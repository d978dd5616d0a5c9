"""Where cells run: processes on this machine, or the workers of a Dask cluster. The sweep sees one interface."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from abc import ABC, abstractmethod
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hw3lib.core import optional
from hw3lib.core.cores import THREAD_VARIABLES, usable_cores
from hw3lib.errors import Hw3Error

from .spec import read_yaml
from .work import FAILED, LOST, CellOutcome, Job, perform


class Executor(ABC):
    """Takes jobs and gives their outcomes back in the order in which they end. A context manager.

    A worker that dies gives the outcome ``lost``; whether the job is to run again is the sweep's decision.
    """

    def __init__(self) -> None:
        self._ended: queue.Queue[tuple[Job, Any]] = queue.Queue()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    @abstractmethod
    def workers(self) -> int:
        """Workers at this moment."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many more jobs it takes now."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Hand out a job."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the workers; what they are at is given up."""

    def wait(self, seconds: float) -> list[tuple[Job, CellOutcome]]:
        """Jobs that have ended, after one has or the time is over.

        Raises:
            Hw3Error: no worker can be had any more.
        """
        ended = []
        with suppress(queue.Empty):
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        return [(job, self._outcome(job, future)) for job, future in ended]

    @abstractmethod
    def _outcome(self, job: Job, future: Any) -> CellOutcome:
        """What a future that has ended says."""


class Processes(Executor):
    """Processes on this machine, each a pool of its own, so that one that dies takes no other with it.

    Args:
        workers: how many; None: one a core that this process may use.
        threads: that a cell may use; None: the cores divided by the workers.

    Raises:
        Hw3Error: a number below 1.
    """

    def __init__(self, workers: int | None = None, threads: int | None = None):
        super().__init__()
        cores = usable_cores()
        for name, value in (("workers", workers), ("threads", threads)):
            if value is not None and value < 1:
                raise Hw3Error(f"{name}={value}: expected 1 or more")
        self._workers = workers or cores
        self.threads = threads or max(1, cores // self._workers)
        self._free = list(range(self._workers))
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._slots: dict[str, int] = {}
        # Its closing, by us or by our death, ends the workers: nobody would wait for their results.
        self._context = multiprocessing.get_context("spawn")
        self._end: Any
        self._alive: Any  # of another class on Windows
        self._end, self._alive = self._context.Pipe(duplex=False)

    @property
    def workers(self) -> int:
        return self._workers

    @property
    def room(self) -> int:
        return len(self._free)

    def submit(self, job: Job) -> None:
        slot = self._free.pop()
        self._slots[job.cell.key] = slot
        if slot not in self._pools:
            self._pools[slot] = ProcessPoolExecutor(
                1, self._context, initializer=_begin, initargs=(self.threads, self._end)
            )
        try:
            future = self._pools[slot].submit(perform, job)
        except BrokenProcessPool as error:  # it died while it had nothing to do
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda future: self._ended.put((job, future)))

    def _outcome(self, job: Job, future: Future) -> CellOutcome:
        slot = self._slots.pop(job.cell.key)
        self._free.append(slot)
        try:
            return future.result()
        except BrokenProcessPool:
            self._pools.pop(slot).shutdown(wait=False)
            return CellOutcome(LOST, "the process died")
        except (Exception, CancelledError) as error:
            return CellOutcome(FAILED, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        if self._slots:  # they are at work, which is given up
            self._alive.close()
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
        self._pools.clear()
        self._alive.close()
        self._end.close()


def _begin(threads: int, end: Connection) -> None:
    """First thing in a worker: how many threads its libraries may start, and to end with the process that made it."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))  # before the libraries are loaded, which read them

    def watch() -> None:
        with suppress(EOFError, OSError):
            end.recv()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Cluster(Executor):
    """Workers of a Dask cluster, which share the file system and the installed hw3lib with this process.

    Dask runs the job of a worker that dies on another one. Threads of a cell are the workers' affair: Dask's nannies
    start them with one, unless its configuration (``distributed.nanny.pre-spawn-environ``) says otherwise.

    Args:
        address: of the scheduler (``tcp://host:8786``), or a cluster object of Dask's.
        seconds: to wait for the scheduler.

    Raises:
        Hw3Error: ``distributed`` is not installed, or no scheduler answers.
    """

    def __init__(self, address: Any, seconds: float = 30.0):
        super().__init__()
        optional.require("cluster")
        from distributed import Client  # optional

        self.address = address if isinstance(address, str) else address.scheduler_address
        self._cluster = None if isinstance(address, str) else address
        try:
            self._client = Client(address, timeout=seconds, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise Hw3Error(
                f"no Dask scheduler answers at {self.address} ({error}); start one with `dask scheduler`, and workers "
                "with `dask worker ADDRESS --nthreads 1`"
            ) from None
        self._futures: dict[str, Any] = {}

    @property
    def workers(self) -> int:
        """Workers at this moment; more may come, and some may go."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    @property
    def room(self) -> int:
        return 10_000 - len(self._futures)  # the scheduler keeps them in order; it need not hold a million

    def submit(self, job: Job) -> None:
        future = self._client.submit(perform, job, pure=False)
        self._futures[job.cell.key] = future
        future.add_done_callback(lambda future: self._ended.put((job, future)))

    def wait(self, seconds: float) -> list[tuple[Job, CellOutcome]]:
        if self._client.status != "running":
            raise Hw3Error(
                f"the Dask scheduler at {self.address} is gone. What is finished is kept; start a scheduler and "
                "workers again, and the same command goes on from there"
            )
        return super().wait(seconds)

    def _outcome(self, job: Job, future: Any) -> CellOutcome:
        from distributed.scheduler import KilledWorker  # optional

        self._futures.pop(job.cell.key, None)
        try:
            return future.result(timeout=10)
        except KilledWorker as error:
            return CellOutcome(LOST, f"its worker died ({error.last_worker.address})")
        except (CancelledError, TimeoutError):  # lost with the scheduler or cancelled by others; or with its worker
            return CellOutcome(LOST, "the cluster lost it")
        except Exception as error:
            return CellOutcome(FAILED, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        if self._client.status == "running":
            with suppress(Exception):  # the scheduler may go at this moment, and we are leaving anyway
                self._client.cancel(list(self._futures.values()))
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def slurm(file: str | Path) -> Cluster:
    """A Dask cluster whose workers are jobs of SLURM, described by a YAML file.

    The file holds the arguments of ``dask_jobqueue.SLURMCluster`` (``queue``, ``account``, ``cores``, ``memory``,
    ``walltime``, ``job_extra_directives``, ...) and ``jobs``: how many jobs, or ``{minimum: M, maximum: N}`` to let
    Dask ask for them as they are needed. Each worker process runs one cell at a time.

    Raises:
        Hw3Error: dask-jobqueue is not installed, the file cannot be read, or SLURMCluster refuses an argument.
    """
    optional.require("slurm")
    from dask_jobqueue import SLURMCluster  # optional

    arguments = dict(read_yaml(file))
    jobs = arguments.pop("jobs", None)
    adaptive = isinstance(jobs, dict) and set(jobs) <= {"minimum", "maximum"} and "maximum" in jobs
    counts = list(jobs.values()) if adaptive else [jobs]
    if not all(type(count) is int and count >= 0 for count in counts) or max(counts) < 1:
        raise Hw3Error(
            f"{file}: jobs={jobs!r}, expected how many jobs to ask SLURM for, an integer of 1 or more, or "
            "{minimum: M, maximum: N}"
        )
    # A worker runs one cell at a time, so Dask must not give it more; of two such options the last counts.
    arguments["worker_extra_args"] = [*arguments.get("worker_extra_args", []), "--nthreads", "1"]
    try:
        cluster = SLURMCluster(**arguments)
        cluster.job_script()  # refuses unknown arguments, which SLURMCluster itself hands on unseen
    except (TypeError, ValueError) as error:
        raise Hw3Error(f"{file}: dask_jobqueue.SLURMCluster refuses these arguments: {error}") from None
    if adaptive:
        cluster.adapt(minimum_jobs=jobs.get("minimum", 0), maximum_jobs=jobs["maximum"])
    else:
        cluster.scale(jobs=jobs)
    return Cluster(cluster)
