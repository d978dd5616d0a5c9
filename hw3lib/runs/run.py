"""Run the numbered notebooks on a category: which ones, with which parameters, in which kernel."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import nbformat

from hw3lib.core import cores
from hw3lib.core.files import clear_write_errors, is_no_regular_file
from hw3lib.core.places import course_folder
from hw3lib.core.text import slug
from hw3lib.data.fetch.sources import get
from hw3lib.data.folders.find import find_root, named, refuse_inside_category
from hw3lib.data.overlooked import overlooked
from hw3lib.data.table import digest, load_table, warnings_of
from hw3lib.errors import Hw3Error
from hw3lib.runs.kernel import lock, results_folder, sigterm_interrupts, this_kernel

from . import side_by_side
from .parameters import STANDARD, check_parameters, read_literals
from .progress import Progress, expected_seconds
from .step import METRICS, Notebook, Outcome, Step
from .summary import write_summary

PROFILES = ("quick", "full")


def run_notebooks(  # noqa: PLR0913, settings by keyword
    chosen: Sequence[str] = (),
    *,
    category: str = "synthetic/bottle",
    data: str | Path | None = None,
    profile: str = "quick",
    parameters: Mapping[str, Any] | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    timeout: int | None = None,
    force: bool = False,
    jobs: int | None = None,
    notebooks_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    echo: Callable[[str], object] = print,
) -> list[Outcome]:
    """Execute notebooks on a category, side by side but for those that read the others' results, which come after.

    One that fails does not keep the others from being executed.

    Args:
        chosen: numbers or names ("1", "01", "01_dataset_statistics"); none means all.
        category, data, profile: handed to ``hw3lib.data.get`` and to the notebooks.
        parameters: more values for the parameter cells; each goes to the notebooks that know it.
        name: of the run; by default the category and the profile ("synthetic-bottle-quick").
        out: folder of the run, in the place of ``name`` in ``runs_dir``.
        timeout: seconds that one cell may take; None for no limit.
        force: execute again even if nothing has changed, and from the start.
        jobs: how many notebooks at once; by default as many as cores and memory carry. The cores are divided among
            them, by the variables in :data:`hw3lib.core.cores.THREAD_VARIABLES` unless they are set already.
        notebooks_dir, runs_dir: by default ``notebooks/`` and ``runs/`` of the project.
        echo: receives a line when a notebook starts, ends or is left alone.

    Returns:
        One outcome a notebook, in the order of their numbers. Results are in ``runs_dir/name/NN``, and ``summary.csv``
        beside them.

    Raises:
        Hw3Error: unknown notebook or parameter, no data, run in use by another process, target not writable.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the kernels were shut down and the work folders are kept.
    """
    notebooks = choose(chosen, Path(notebooks_dir or course_folder()).resolve())
    parameters = dict(parameters or {})
    check_parameters(parameters, notebooks)
    if profile not in PROFILES:
        raise Hw3Error(f"profile is {profile!r}; expected {' or '.join(PROFILES)}")
    name = name or f"{slug(category.strip('/'))}-{profile}"
    folder = results_folder(name, runs_dir, out, "a run")
    jobs = side_by_side.default_jobs(notebooks, profile) if jobs is None else jobs
    threads = cores.thread_environment(side_by_side.threads_for(jobs))
    outcomes: dict[str, Outcome] = {}
    with ExitStack() as stack:
        stack.enter_context(sigterm_interrupts())
        refuse_inside_category(folder, named(find_root(category, data), category), option="the run's folder")
        root, data_digest = prepare_data(category, data, profile, echo)
        stack.enter_context(clear_write_errors(folder, "Earlier results are as they were."))
        stack.enter_context(lock(folder))
        stack.enter_context(this_kernel(threads))
        values = parameters | {"category": category, "data": str(root), "profile": profile}
        steps = [
            Step(n, folder, {k: v for k, v in values.items() if k in n.parameters}, data_digest, timeout, force)
            for n in notebooks
        ]
        expected = expected_seconds(folder.parent, category, profile, notebooks)
        ended = side_by_side.run(steps, jobs, expected, Progress(notebooks, expected, echo))
        for outcome in stack.enter_context(closing(ended)):
            outcomes[outcome.notebook] = outcome
            write_summary(folder, list(outcomes.values()))
    return [outcomes[notebook.path.stem] for notebook in notebooks]


def prepare_data(
    category: str, data: str | Path | None, profile: str, echo: Callable[[str], object] = print
) -> tuple[Path, str]:
    """Folder that holds the category, made or fetched if need be, and the digest of its images.

    ``echo`` receives warnings, and a message on the files that are not looked at.
    """
    root = Path(get(category, data, profile=profile, progress=sys.stderr.isatty())).absolute()
    table = load_table(root, category)
    for told in filter(None, (warnings_of(table), overlooked(table, category))):
        echo(told)
    return root, digest(table)


def choose(chosen: Sequence[str], folder: Path) -> list[Notebook]:
    """The notebooks asked for, in the order of their numbers.

    Raises:
        Hw3Error: an unknown notebook (all are listed), or one that :func:`read_notebook` refuses.
    """
    paths = sorted(path for path in folder.glob("*.ipynb") if re.match(r"\d+_", path.name))
    if not paths:
        raise Hw3Error(f"no notebook named NN_title.ipynb in {folder}")
    picked = set()
    for text in chosen:
        stem = Path(text).name.removesuffix(".ipynb")
        found = {p for p in paths if p.stem == stem or (stem.isdecimal() and int(p.stem.split("_")[0]) == int(stem))}
        if not found:
            raise Hw3Error(f"no notebook {text!r} in {folder}; there are {', '.join(p.stem for p in paths)}")
        picked |= found
    return [read_notebook(path) for path in paths if path in picked or not chosen]


def read_notebook(path: Path) -> Notebook:
    """Read what a run needs to know about a notebook.

    Raises:
        Hw3Error: not a notebook, or its cell tagged ``parameters`` lacks a name or holds more than literals.
    """
    if is_no_regular_file(path):
        raise Hw3Error(f"{path}: is no regular file; expected a notebook")
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # a damaged file can break nbformat in any way
        raise Hw3Error(f"{path}: not a notebook ({type(error).__name__}: {str(error)[:200]})") from error
    try:
        cells = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        ours = dict(notebook.metadata.get("hw3lib", {}))
        named = [list(ours.get(key, [])) for key in ("files", "reads")]
        content = [[cell.cell_type, cell.source] for cell in notebook.cells]
        if not all(isinstance(text, str) for text in (*(source for _, source in content), *named[0], *named[1])):
            raise TypeError("sources and names of files are texts")
    except (AttributeError, TypeError, ValueError) as error:
        raise Hw3Error(f"{path}: not a sound notebook ({error})") from None
    parameters, kinds = read_literals(path, "\n".join(cells))
    missing = [name for name in STANDARD if name not in parameters]
    if missing:
        raise Hw3Error(f"{path}: its cell tagged 'parameters' must define {', '.join(missing)}")
    files = dict.fromkeys([METRICS, *named[0]])
    code = sum(kind == "code" and bool(source.strip()) for kind, source in content)
    source = json.dumps([*files, *content])
    digest = hashlib.sha256(source.encode()).hexdigest()
    return Notebook(path, parameters, tuple(files), digest, tuple(named[1]), code, kinds)
