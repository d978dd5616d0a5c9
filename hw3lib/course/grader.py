"""Execute the answers of submissions to one chapter: its set-up once, then each submission in a copy of this process.

``python -m hw3lib.course.grader NOTEBOOK DATA SEED`` says on its output, in JSON, what went wrong in the set-up (an
empty text if nothing), then for each file of answers named on its input the number of the process that executes it, and
when that has ended. Where processes cannot be copied it executes one submission itself, and ends. The hidden test sets
of this seed are painted beside the notebook.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from . import checks, exercises
from .checks import base, hidden

FORKS = sys.platform == "linux" and hasattr(
    os, "fork"
)  # copies of a process with threads in its libraries are not safe elsewhere


def main(notebook: str, root: str, seed: str) -> None:
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # what answers print is nobody's concern
    os.dup2(nothing, 2)

    def say(*what: Any) -> None:
        print(json.dumps(what), file=protocol, flush=True)

    from IPython.core.interactiveshell import InteractiveShell  # slow, and a graded notebook alone needs it
    from traitlets.config import Config

    cells = nbformat.read(notebook, as_version=4).cells
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    for cell in cells:
        if cell.cell_type == "code" and not exercises.numbered(cell):
            if error := _run(shell, cell.source):
                say(_said(error))
                return
            if _is_parameters(cell):
                shell.user_ns |= {"data": root, "out": str(Path(notebook).parent / "run")}
    hidden.keep(exercises.checks_of(cells).values(), int(seed), Path(notebook).parent)
    say("")
    for line in sys.stdin:
        job = Path(line.strip())
        if sys.platform == "linux" and FORKS and (process := os.fork()):
            say(process)
            os.waitpid(process, 0)
            say("ended")
            continue
        if not FORKS:
            say(os.getpid())
        protocol.close()
        os.dup2(nothing, 0)
        os.chdir(job.parent)
        _answer(shell, cells, job)
        os._exit(0)


def _answer(shell: Any, cells: list[NotebookNode], job: Path) -> None:
    """Execute answers and checks, and write what came of each exercise as it comes, each line with the job's token.

    The file of the job, and with it the token, is gone before an answer is executed, and what an answer has put into
    the place of a check is taken out again. Where the student has images of their own the set-up but for the parameters
    is executed once more, on these.
    """
    asked = [cell.source for cell in cells if (exercises.numbered(cell) or ("",))[0] == "check"]
    names = exercises.checks_of(cells)
    given = json.loads(job.read_text(encoding="utf-8"))
    job.unlink()
    answers, token = given["answers"], given["token"]
    if given["data"]:
        shell.user_ns["data"] = given["data"]
        for cell in cells:
            if cell.cell_type == "code" and not exercises.numbered(cell) and not _is_parameters(cell):
                _run(shell, cell.source)
    course = dict(shell.user_ns)
    for name in names.values():
        getattr(checks, name, None)  # loads its module, so that an answer cannot be the first to
    ours = [vars(module) for name, module in sys.modules.items() if name.startswith("hw3lib.course.checks")]
    kept = [dict(names) for names in ours]
    with job.with_name("results.jsonl").open("w", encoding="utf-8") as results:
        for number, (sources, check) in enumerate(zip(answers, asked, strict=True), 1):
            shell.user_ns |= course  # an answer before may have used a name of the course for something else
            errors = [error for source in sources if (error := _run(shell, source))]
            for here, before in zip(ours, kept, strict=True):
                here.clear()
                here.update(before)
            shell.user_ns |= {name: course[name] for name in ("checks",) if name in course}
            kind, error = "error", errors[-1] if errors else _run(shell, check)
            if not error:
                kind = "passed"
            elif type(error).__name__ in ("NotImplementedError", "NotAnswered"):
                kind = "missing"
            elif type(error).__name__ == "CheckFailed":
                kind = "failed"
            score = hidden.SCORES.get(names.get(number, ""))
            said = _said(error) or base.PASSED.get(names.get(number, ""), "")
            line = {"token": token, "outcome": kind, "message": said, "score": score.columns() if score else None}
            line["figures"] = base.FIGURES.get(names.get(number, ""))
            print(json.dumps(line), file=results, flush=True)
    job.with_name("finished").write_text(token, encoding="utf-8")


def _is_parameters(cell: NotebookNode) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def _run(shell: Any, source: str) -> BaseException | None:
    result = shell.run_cell(source)
    return result.error_before_exec or result.error_in_exec


def _said(error: BaseException | None) -> str:
    if error is None:
        return ""
    text = " ".join((str(error) if type(error).__name__ in ("CheckFailed", "NotAnswered") else repr(error)).split())
    return text if len(text) <= 500 else f"{text[:497]}..."


if __name__ == "__main__":
    main(*sys.argv[1:])
