"""Where cells run: workers of a Dask cluster, on this machine, of a scheduler that somebody started, or of SLURM."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

from hw3lib.core.cores import THREAD_VARIABLES, usable_cores
from hw3lib.errors import Hw3Error

from .spec import read_yaml
from .work import FAILED, LOST, MOST_DEATHS, CellOutcome, Job, perform


class Cluster:
    """Workers of a Dask cluster, which share the file system and the installed hw3lib with this process.

    Dask runs the job of a worker that dies on another one. Threads of a cell are the workers' affair: Dask's nannies
    start them with one, unless its configuration (``distributed.nanny.pre-spawn-environ``) says otherwise. A context
    manager, which lets go of the workers at its end; what they are at is given up.

    Args:
        address: of the scheduler (``tcp://host:8786``), or a cluster object of Dask's.
        seconds: to wait for the scheduler.

    Raises:
        Hw3Error: no scheduler answers.
    """

    def __init__(self, address: Any, seconds: float = 30.0):
        from distributed import Client  # half a second, and a file in the user's home: only for who sweeps

        self.address = address if isinstance(address, str) else address.scheduler_address
        self._cluster = None if isinstance(address, str) else address
        try:
            self._client = Client(address, timeout=seconds, set_as_default=False)
        except (OSError, ValueError, asyncio.TimeoutError) as error:  # Python 3.10's own TimeoutError is another one
            raise Hw3Error(
                f"no Dask scheduler answers at {self.address} ({error}); start one with `dask scheduler`, and workers "
                "with `dask worker ADDRESS --nthreads 1`"
            ) from None
        self._futures: dict[str, Any] = {}
        self._ended: queue.Queue[tuple[Job, Any]] = queue.Queue()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client.status == "running":
            with suppress(Exception):  # the scheduler may go at this moment, and we are leaving anyway
                self._client.cancel(list(self._futures.values()))
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    @property
    def workers(self) -> int:
        """Workers at this moment; more may come, and some may go."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def submit(self, job: Job) -> None:
        """Hand out a job."""
        future = self._client.submit(perform, job, pure=False)
        self._futures[job.cell.key] = future
        future.add_done_callback(lambda future: self._ended.put((job, future)))

    def wait(self, seconds: float) -> list[tuple[Job, CellOutcome]]:
        """Jobs that have ended, in the order in which they did, after one has or the time is over.

        Raises:
            Hw3Error: the scheduler is gone.
        """
        if self._client.status != "running":
            raise Hw3Error(
                f"the Dask scheduler at {self.address} is gone. What is finished is kept; start a scheduler and "
                "workers again, and the same command goes on from there"
            )
        ended = []
        with suppress(queue.Empty):
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        return [(job, self._outcome(job, future)) for job, future in ended]

    def _outcome(self, job: Job, future: Any) -> CellOutcome:
        from distributed.scheduler import KilledWorker  # as above

        self._futures.pop(job.cell.key, None)
        try:
            return future.result(timeout=10)
        except KilledWorker as error:
            return CellOutcome(LOST, f"its worker died ({error.last_worker.address})")
        # Lost with the scheduler, cancelled by others, or lost with its worker while the answer was on its way.
        except (CancelledError, asyncio.TimeoutError):
            return CellOutcome(LOST, "the cluster lost it")
        except Exception as error:
            return CellOutcome(FAILED, f"{type(error).__name__}: {error}")


def local(workers: int | None = None) -> Cluster:
    """Processes of this machine, which end with this one; their traffic is encrypted, so that nobody else can join.

    Args:
        workers: how many; None: one a core that this process may use. They share its cores as threads.

    Raises:
        Hw3Error: a number below 1.
    """
    import dask  # slow, and a local cluster alone needs it
    from distributed import LocalCluster  # as above

    cores = usable_cores()
    if workers is not None and workers < 1:
        raise Hw3Error(f"workers={workers}: expected 1 or more")
    workers = workers or cores
    # Looked up whenever a worker has died: one that a busy machine takes more than 15 s to bring back was given up.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1 day"})
    threads = dict.fromkeys(THREAD_VARIABLES, max(1, cores // workers))
    with dask.config.set({"distributed.nanny.pre-spawn-environ": threads}):
        made = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # a cell that is large is none that hangs
            dashboard_address=None,
            security=True,
            silence_logs=50,  # what ends a worker is said of its cell
            scheduler_kwargs={
                # perform counts the deaths of a cell's worker; Dask counts those of a cell that stood in line as well.
                "allowed_failures": 3 * MOST_DEATHS,
                "dashboard_address": "127.0.0.1:0",  # of its HTTP server, which is there without a dashboard, too
            },
        )
    return Cluster(made)


def slurm(file: str | Path) -> Cluster:
    """A Dask cluster whose workers are jobs of SLURM, described by a YAML file.

    The file holds the arguments of ``dask_jobqueue.SLURMCluster`` (``queue``, ``account``, ``cores``, ``memory``,
    ``walltime``, ``job_extra_directives``, ...) and ``jobs``: how many jobs, or ``{minimum: M, maximum: N}`` to let
    Dask ask for them as they are needed. Each worker process runs one cell at a time.

    Raises:
        Hw3Error: the file cannot be read, or SLURMCluster refuses an argument.
    """
    from dask_jobqueue import SLURMCluster  # as above

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
