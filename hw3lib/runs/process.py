"""One notebook executed by papermill in a process of its own, which ends with the run that started it.

Papermill changes the working directory and nbclient has its own event loop, so that two of them do not go together in
one process. The run sends the work pickled on standard input, which it then leaves open: its end, wanted or not, is the
sign to stop. Answers are lines of JSON on standard output: ``{"cells": 3}`` after each cell, then one of ``{"done":
true}``, ``{"failed": text}`` and ``{"error": [number, text, file]}``, the last for what the system refused.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hw3lib.core.files import read_json

from .contract import ChapterEnds

# The working directory may hold modules of any name, and is no place to import from.
_START = "import sys; sys.path[:] = filter(None, sys.path); from hw3lib.runs.process import main; main()"


class Failed(Exception):
    """The notebook did not come to its end, or not to what it promised; the text is for the user."""


class NotebookProcesses:
    """The processes of a run; several threads may use it, each for one notebook at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    def execute(self, work: Mapping[str, Any], on_cells: Callable[[int], object]) -> None:
        """Execute a notebook in a process of its own and wait for its end.

        Args:
            work: see :func:`_execute`.
            on_cells: called after each cell with the number of code cells that are done.

        Raises:
            Failed: the notebook did not come to its end.
            OSError: a file could not be written.
            KeyboardInterrupt: :meth:`stop` was called; the kernel has been shut down.
        """
        process = self._start(work)
        answer: dict[str, Any] = {}
        try:
            for line in process.stdout or ():
                answer = json.loads(line)
                if "cells" in answer:
                    on_cells(answer["cells"])
        finally:
            with self._lock:
                self._running.discard(process)
            _close(process)
            process.wait()
        if self._stopped and "done" not in answer:
            raise KeyboardInterrupt
        if "error" in answer:
            raise OSError(*answer["error"])
        if "done" not in answer:
            text = f"the process that ran it ended with exit code {process.returncode}"
            raise Failed(answer.get("failed", f"{text}; was it killed, or did the memory not suffice?"))

    def stop(self) -> None:
        """Let all processes shut down their kernels and end, and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _close(process)

    def _start(self, work: Mapping[str, Any]) -> subprocess.Popen:
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt
            # In a session of its own Ctrl-C reaches it through us, once. It inherits what was made inheritable, the
            # run's lock: nobody else gets the folder before it has ended, not even if we are killed.
            process = subprocess.Popen(
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                close_fds=False,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            self._running.add(process)
            assert process.stdin is not None
            try:
                process.stdin.write(pickle.dumps(dict(work)))
                process.stdin.flush()
            except BrokenPipeError:  # it has ended already, and its exit code says more
                pass
            return process


def _close(process: subprocess.Popen) -> None:
    try:
        if process.stdin:
            process.stdin.close()
    except BrokenPipeError:
        pass


def main() -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell begin with it ignored
    # Only answers go to what was standard output; what libraries and the kernel print there goes to standard error.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        work = pickle.load(sys.stdin.buffer)

        def tell(**answer: Any) -> None:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

        threading.Thread(target=_interrupt_at_the_end_of_the_run, daemon=True).start()
        try:
            _execute(tell=tell, **work)
            tell(done=True)
        except Failed as failure:
            tell(failed=str(failure))
        except OSError as error:
            tell(error=[error.errno, error.strerror, error.filename])
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run closes standard input when it has the answer


def _interrupt_at_the_end_of_the_run() -> None:
    os.read(0, 1)  # nothing more is ever sent
    if hasattr(signal, "pthread_kill"):  # wakes the main thread from whatever it waits for
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _execute(
    notebook: Path,
    executed: Path,
    parameters: dict[str, Any],
    timeout: int | None,
    user_errors: set[str],
    tell: Callable[..., object],
) -> None:
    """Execute ``notebook`` into ``executed``; ``Failed`` says which cell did not end, and why.

    Args:
        notebook, executed: paths.
        parameters: values for its parameter cell.
        timeout: seconds that one cell may take; None for no limit.
        user_errors: names of the error classes whose message is all that the user needs.
        tell: gets ``cells``, the number of code cells that are done, after each.
    """
    import nbclient.exceptions  # slow, and this process alone needs it
    import papermill

    # Their only messages here repeat, on stderr, what Failed or the interruption says.
    logging.getLogger("papermill").addHandler(logging.NullHandler())
    logging.getLogger("asyncio").addFilter(_not_of_a_stopped_kernel)
    done = 0

    def count(cell: Any, **_: Any) -> None:
        nonlocal done
        done += "injected-parameters" not in cell.metadata.get("tags", [])  # papermill's own
        tell(cells=done)

    try:
        papermill.execute_notebook(
            _no_format(notebook),
            _no_format(executed),
            parameters=parameters,
            kernel_name="python3",
            language="python",
            cwd=notebook.parent,
            execution_timeout=timeout,
            progress_bar=False,
            on_cell_executed=count,  # papermill hands it on to nbclient
        )
    except papermill.PapermillExecutionError as error:
        if error.ename == ChapterEnds.__name__:
            return _without_marks(executed)
        if error.ename in user_errors:
            raise Failed(f"{error.evalue}\n{kept(executed)}") from error
        lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback)).strip().splitlines()
        raise Failed(_failed_cell(error.exec_count, error.source, lines[-6:], executed)) from error
    except nbclient.exceptions.CellTimeoutError as error:
        text = f"took longer than {timeout} seconds; allow more with --timeout"
        raise Failed(_failed_cell(*_last_started(executed), [text], executed)) from error
    except nbclient.exceptions.DeadKernelError as error:
        text = "the kernel died, often because the memory did not suffice: try --jobs 1 or --profile quick"
        raise Failed(_failed_cell(*_last_started(executed), [text], executed)) from error
    except RuntimeError as error:
        raise Failed(f"the kernel did not start ({error}); hw3 doctor may say why") from error


def _without_marks(executed: Path) -> None:
    """Take out the cells by which papermill calls the end of a notebook a failure."""
    import nbformat  # slow, and this process alone needs it
    from papermill.execute import remove_error_markers

    nbformat.write(remove_error_markers(nbformat.read(executed, as_version=4)), executed)


def kept(executed: Path) -> str:
    """Where the notebook lies that did not come to its end."""
    return f"The notebook up to this point: {executed}"


def _failed_cell(number: int | None, source: str, lines: list[str], executed: Path) -> str:
    code = source.strip().splitlines()
    shown = code if len(code) <= 12 else [*code[:12], f"... {len(code) - 12} more lines"]
    shown = [f"    {line}" for line in shown]
    return "\n".join([f"failed in cell In [{number}]:", *shown, *lines, kept(executed)])


def _last_started(executed: Path) -> tuple[int, str]:
    """Number and source of the cell at which an execution without an error message stopped."""
    cells = [c for c in read_json(executed).get("cells", []) if c["cell_type"] == "code"]
    started = [i for i, c in enumerate(cells, 1) if c["metadata"]["papermill"].get("start_time")]
    number = max(started, default=0)
    return number, "".join(cells[number - 1]["source"]) if number else ""


def _not_of_a_stopped_kernel(record: logging.LogRecord) -> bool:
    """Whether a message of asyncio is about something else than the end of a kernel that was stopped with its run.

    Python 3.10 leaves the cell that Ctrl-C ended as a task that nobody asks.
    """
    from nbclient.exceptions import CellExecutionError, DeadKernelError  # loaded by then

    return not (record.exc_info and isinstance(record.exc_info[1], DeadKernelError | CellExecutionError))


def _no_format(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill fills in braces
