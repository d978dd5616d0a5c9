"""From a checked sweep file to its cells: the images are found, counted and hashed, the networks built once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hw3lib import anomaly, classify, networks
from hw3lib.core.provenance import code_version, versions
from hw3lib.data.fetch.sources import get
from hw3lib.data.overlooked import overlooked
from hw3lib.data.parts import parts_of
from hw3lib.data.table import digest, load_table
from hw3lib.errors import Hw3Error

from .cells import classifiable, parts
from .spec import PROFILES, Spec
from .store import Cell


def plan(
    spec: Spec,
    data: str | Path | None,
    folder: str | Path,
    *,
    progress: bool = False,
    echo: Callable[[str], object] = print,
) -> list[Cell]:
    """The cells of a sweep: finds, or makes, its categories and reads their digests; nothing is trained yet.

    Where both profiles are asked for, the generated categories of each are made below ``folder/data``.

    Args:
        spec: of :func:`read_spec`.
        data: folder that holds categories; None: as everywhere.
        folder: of the sweep.
        progress: show bars.
        echo: receives a message on what is not looked at.

    Raises:
        Hw3Error: an unknown or faulty category, or one whose images cannot be split as asked.
    """
    code, packages, cells = code_version(), versions(), []
    for profile in spec.profiles:
        for category in spec.categories:
            own = category.startswith("synthetic/") and len(spec.profiles) > 1
            place = Path(folder) / "data" / profile if own else data
            root = Path(get(category, place, profile=profile, progress=progress)).absolute()
            table = load_table(root, category)
            if left := overlooked(table, category):
                echo(left)
            found = digest(table)
            n_splits = spec.n_splits or PROFILES[profile]
            _check_images(spec, category, table, n_splits)
            for kind, name, settings in spec.variants:
                splits = {} if kind == "detector" else {"n_splits": n_splits, "test_size": spec.test_size}
                for seed in spec.seeds:
                    about = (kind, name, category, profile, seed, settings | splits)
                    cells.append(Cell(*about, str(root), found, code, packages))
    return cells


def check_sweep(cells: Sequence[Cell], echo: Callable[[str], object] = print) -> None:
    """Find out, before hours of training, what would end a cell: builds each network once on each category.

    Raises:
        Hw3Error: missing weights, images of a size that a network cannot take, too few images.
    """
    seen, checked = set(), set()
    for cell in cells:
        variant = (cell.kind, cell.name, cell.category, cell.profile)
        if variant in seen:
            continue
        seen.add(variant)
        if cell.kind == "attempt":
            classify.check_attempt(
                classify.Attempt(name=cell.name, **cell.settings["attempt"]), *parts(cell), cell.seed
            )
            continue
        if cell.kind == "detector":
            arch = getattr(anomaly.make_detector(cell.settings["detector"], cell.settings["parameters"]), "arch", None)
        else:
            arch = cell.settings.get("arch")
        if arch is not None and arch not in checked:
            networks.backbones.load(arch)
            checked.add(arch)
    if seen:
        echo(f"checked: {len(seen)} combinations of category, profile and what is run")


def _check_images(spec: Spec, category: str, table: Any, n_splits: int) -> None:
    kinds = {kind for kind, _, _ in spec.variants}
    try:
        if "detector" in kinds and (why := parts_of(table).no_fit):
            raise Hw3Error(why)
        if kinds - {"detector"}:
            classifiable(table, n_splits, spec.test_size)
    except Hw3Error as error:
        raise Hw3Error(f"{spec.file}: category {category!r}: {error}") from None
