"""A simulated production line: photographs in an order, under a lamp that ages, with a type of defect that is new."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from hw3lib.core.files import SPREADSHEET, write_json
from hw3lib.core.seeds import spawned
from hw3lib.data.folders.settings import FILE
from hw3lib.data.groups import GROUP
from hw3lib.data.pixels.images import read_row
from hw3lib.errors import Hw3Error

from . import generated
from .draws import painted

_LINE = 1_000_000  # keeps its seeds apart from those of the sets that classifiers are compared on
_SIDE = 1024  # pixels of the longer side at most: larger photographs of a real category take long and show no more here
GOOD = "good"
_GAMMA = 2.2
_YELLOWS = np.array([1.0, 1.1, 1.4], np.float32)  # powers of the light that is left: an old lamp lacks blue first
_EXPOSURE, _MOVED, _NOISE = 0.01, 2, 1.0  # of a real photograph that is taken again: share, pixels, of 255


@dataclass(frozen=True)
class ProductionLine:
    """What came out of :func:`production_line`.

    Attributes:
        known: folder of a category: its good images, and labelled defects of all types but the unseen one.
        photographs: one row a photograph, in their order: ``file``, ``defect``, ``is_defect``, ``light`` (what is left
            of the lamp's, 1 while it is new).
        unseen: the type of defect that is not among the known ones; None where there are fewer than two.
    """

    known: Path
    photographs: pd.DataFrame
    unseen: str | None


def production_line(
    table: pd.DataFrame,
    folder: str | Path,
    *,
    length: int = 300,
    ages_from: int = 200,
    dimmest: float = 0.7,
    defects: float = 0.1,
    unseen: str | None = None,
    seed: int = 0,
) -> ProductionLine:
    """Simulate a line, and what is known before it runs.

    Products of a generated category are painted for it, and none of them is in the category. Of any other the line
    takes test photographs again and again, each time moved by up to two pixels, with another exposure and noise; of
    the labelled defects one half is known before, the other comes along the line. The lamp loses light from photograph
    to photograph, evenly, and turns yellow.

    Args:
        table: a category, see :func:`hw3lib.data.load_table`.
        folder: for ``known/`` and ``line/``, PNG files of at most 1024 pixels a side.
        length: photographs.
        ages_from: number of photographs before the lamp begins to age.
        dimmest: light that is left at the last one, above 0 and up to 1.
        defects: share of the photographs that show a defect, the types equally often.
        unseen: type of defect that is new; None: the last one by name, if there are two or more.
        seed: of everything that is drawn.

    Raises:
        Hw3Error: a value out of range, an unknown type, no good test image, or a file cannot be written.
    """
    types = sorted(table.loc[table["is_defect"], "defect"].unique())
    test = table[table["split"] == "test"]
    if not 0 <= ages_from <= length or not 0 < dimmest <= 1 or not 0 <= defects < 1 or not (~test["is_defect"]).any():
        raise Hw3Error(
            f"production_line: found length={length}, ages_from={ages_from}, dimmest={dimmest:g}, defects={defects:g} "
            f"and {(~test['is_defect']).sum()} good test images; expected 0 <= ages_from <= length, 0 < dimmest <= 1, "
            "0 <= defects < 1, and one good test image or more"
        )
    if unseen is not None and unseen not in types:
        raise Hw3Error(f"unseen={unseen!r}: no type of defect; there are {', '.join(types) or 'none'}")
    unseen = unseen or (types[-1] if len(types) > 1 else None)
    rng = np.random.default_rng(seed)
    is_bad = (rng.random(length) < defects) & bool(types)
    shown = np.where(is_bad, rng.choice(np.array(types or [GOOD]), length), GOOD)
    labelled = table[table["is_defect"] & (table["defect"] != unseen)]
    if made := generated(table):
        counts = {str(name): int(count) for name, count in zip(*np.unique(shown, return_counts=True), strict=True)}
        (pool,) = painted(table, {f"line-{seed}": (spawned(made["seed"], _LINE, seed), counts)}, folder)
    else:
        labelled = _half(labelled, rng)
        pool = test.drop(index=labelled.index, errors="ignore")
        shown = np.where(np.isin(shown, pool["defect"].unique()), shown, GOOD)  # what has a single photograph is known
    rows = np.zeros(length, int)
    for name, places in pd.Series(shown).groupby(shown).groups.items():
        own = np.flatnonzero(pool["defect"] == name)
        rows[places] = rng.permutation(own) if made else rng.choice(own, len(places))
    age = np.arange(1, length + 1) - ages_from
    left = 1 - (1 - dimmest) * np.clip(age / max(1, length - ages_from), 0, 1)
    known, line = Path(folder) / "known", Path(folder) / "line"
    _write_known(pd.concat([table[~table["is_defect"]], labelled]), known)
    line.mkdir(parents=True, exist_ok=True)
    files = [line / f"{number:04d}.png" for number in range(1, length + 1)]
    again = [None if made else spawned(seed, number) for number in range(length)]
    with ThreadPoolExecutor() as pools:
        list(pools.map(_write, [pool.iloc[row] for row in rows], files, left, again))
    found = pd.DataFrame({"file": [str(f) for f in files], "defect": shown, "is_defect": shown != GOOD, "light": left})
    return ProductionLine(known, found, unseen)


def aged(image: np.ndarray, light: float) -> np.ndarray:
    """A photograph, uint8 ``(H, W, 3)``, under a lamp with so much of its light left, above 0 and up to 1."""
    return np.rint(image * (light**_YELLOWS) ** (1 / _GAMMA)).astype(np.uint8)


def retaken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photograph, uint8 ``(H, W, 3)``, as if it were taken again: moved a little, another exposure, other noise."""
    down, right = rng.integers(0, 2 * _MOVED + 1, 2)
    wide = np.pad(image, ((_MOVED, _MOVED), (_MOVED, _MOVED), (0, 0)), mode="edge")
    moved = wide[down : down + image.shape[0], right : right + image.shape[1]].astype(np.float32)
    lit = moved * np.exp(rng.normal(0, _EXPOSURE)) + rng.normal(0, _NOISE, moved.shape)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _half(labelled: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Half of the labelled defects of each type, the larger one, by whole products."""
    unit = labelled[GROUP] if GROUP in labelled else pd.Series(labelled.index, labelled.index)
    taken = [own for _, each in unit.groupby(labelled["defect"]) for own in _some(each.unique(), rng)]
    return labelled[unit.isin(taken)]


def _some(products: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(products)[: -(-len(products) // 2)]


def _write_known(rows: pd.DataFrame, folder: Path) -> None:
    """Write images into a category's folder as they are."""
    products = []
    for (split, name), some in rows.groupby(["split", "defect"]):
        (folder / split / name).mkdir(parents=True, exist_ok=True)
        for number, (_, row) in enumerate(some.iterrows()):
            _write(row, folder / split / name / f"{number:04d}.png")
            products.append((f"{split}/{name}/{number:04d}.png", row.get(GROUP)))
    if GROUP in rows:
        listed = pd.DataFrame(products, columns=["image", "group"])
        listed.to_csv(folder / "products.csv", index=False, encoding=SPREADSHEET)
        write_json(folder / FILE, {"groups": "products.csv"})


def _write(row: pd.Series, file: Path, light: float = 1.0, again: int | None = None) -> None:
    image = Image.fromarray(read_row(row))
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(image)
    if again is not None:
        pixels = retaken(pixels, np.random.default_rng(again))
    Image.fromarray(aged(pixels, light)).save(file, compress_level=1)
