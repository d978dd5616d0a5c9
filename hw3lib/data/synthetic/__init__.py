"""Generated categories with the official defect types, pixel-exact masks and the layout of MVTec AD.

They stand in where the real images are not at hand: procedural pictures of a carpet, a wooden board, a bottle seen from
above and a printed capsule. Each picture is painted from four independent random streams (scene, defect, camera, and
the caller's choice of which picture is which), so the same seed with another defect is the same product, photographed
in the same way, and differs inside the mask only.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image
from tqdm.auto import tqdm

from hw3lib.core.cores import usable_cores
from hw3lib.core.files import atomic_folder, sweep_leftovers
from hw3lib.core.text import did_you_mean
from hw3lib.data.fetch.official import OFFICIAL, OfficialCounts
from hw3lib.data.table import digest, load_table
from hw3lib.errors import Hw3Error

from .canvas import photograph

MANIFEST = "manifest.json"

# None: the official numbers. Quick keeps enough of each type for the splits of the four reports (10 to 18 a class).
PROFILES = {"quick": {"size": 256, "train_good": 40, "test": 18}, "full": None}


@dataclass(frozen=True)
class Product:
    """What is generated for one category, and the module that paints it.

    Attributes:
        name: category without the prefix, ``"carpet"``.
        size: side of the official square images, in pixels.
        seed: distinguishes the products; mixed into every picture's seed.
    """

    name: str
    size: int
    seed: int

    @property
    def counts(self) -> OfficialCounts:
        """Images of each class in the real category of that name."""
        return OFFICIAL[self.name]

    @property
    def defects(self) -> dict[str, int]:
        """Official number of test images of each defect type."""
        assert self.counts.defects is not None, f"{self.name}: only categories with known types are generated"
        return dict(self.counts.defects)

    def paint(
        self, defect: str, size: int, scene: np.random.Generator, flaw: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Noiseless linear RGB float32 ``(size, size, 3)`` in ``[0, 1]`` and its mask, bool ``(size, size)``."""
        painter = importlib.import_module(f"{__name__}.{self.name}")
        return painter.paint(defect, size, scene, flaw)


PRODUCTS = {
    p.name: p
    for p in (
        Product("carpet", 1024, 1),
        Product("wood", 1024, 2),
        Product("bottle", 900, 3),
        Product("capsule", 1000, 4),
    )
}

# Small pictures are painted larger and averaged down, or fine threads would alias.
_SMALLEST_CANVAS = 512


def picture(product: str, defect: str, size: int, seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Paint one photograph.

    Args:
        product: ``carpet``, ``wood``, ``bottle`` or ``capsule``.
        defect: ``good`` or one of the product's defect types.
        size: side in pixels.
        seed: any tuple of non-negative integers; the same tuple gives the same picture.

    Returns:
        RGB image, uint8 ``(size, size, 3)``, and mask of the defect, bool ``(size, size)``, all False for ``good``.
    """
    spec = PRODUCTS[product]
    sequence = np.random.SeedSequence([spec.seed, *seed])
    scene, flaw, camera = (np.random.default_rng(s) for s in sequence.spawn(3))
    factor = max(1, -(-_SMALLEST_CANVAS // size))
    image, mask = spec.paint(defect, size * factor, scene, flaw)
    if factor > 1:
        image = image.reshape(size, factor, size, factor, 3).mean((1, 3))
        mask = mask.reshape(size, factor, size, factor).mean((1, 3)) >= 0.5
    return photograph(image, camera), mask


def make(
    category: str,
    root: str | Path,
    profile: str = "quick",
    seed: int = 0,
    workers: int | None = None,
    progress: bool = False,
    force: bool = False,
    test: Mapping[str, int] | None = None,
) -> Path:
    """Generate a category in the layout of MVTec AD, or find it there already.

    Args:
        category: ``"synthetic/carpet"``, ``wood``, ``bottle`` or ``capsule``; the prefix may be left out.
        root: folder below which ``synthetic/<name>`` is made.
        profile: ``"quick"`` (256 px, reduced counts) or ``"full"`` (official sizes and counts).
        seed: the same seed gives the same category.
        workers: processes; None takes one a core.
        progress: show a bar.
        force: make it again even if it is there.
        test: images of each class in ``test/``, and none in ``train/``; None: as the profile says.

    Returns:
        The category's folder. A folder made before with the same profile, seed, numbers and painter is kept as it is;
        one made otherwise is replaced in one step, when the new one is whole.

    Raises:
        Hw3Error: unknown category or profile, a folder in the way that was not generated, or no room to write.
    """
    spec = _spec(category)
    if profile not in PROFILES:
        raise Hw3Error(f"profile={profile!r}: expected one of {', '.join(PROFILES)}")
    target = Path(root) / "synthetic" / spec.name
    size, counts = _plan(spec, profile, test)
    jobs = _jobs(counts, seed)
    wanted = {"profile": profile, "seed": seed, "size": size, "images": counts, "painter": _painter_digest(spec)}
    sweep_leftovers(target)
    found = manifest(target)
    if target.exists() and found is None:
        raise Hw3Error(
            f"{target} is in the way and was not generated (no {MANIFEST}); move it or choose another folder"
        )
    if (
        found is not None
        and not force
        and found | wanted == found
        and len(list(target.glob("t*/*/*.png"))) == len(jobs)
    ):
        return target
    with atomic_folder(target, replace=True) as folder:
        for _, place, mask, _ in jobs:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            if mask:
                (folder / mask).parent.mkdir(parents=True, exist_ok=True)
        work = (delayed(_write)(spec.name, folder, size, *job) for job in jobs)
        done = Parallel(n_jobs=workers or usable_cores(), return_as="generator")(work)
        for _ in tqdm(done, total=len(jobs), unit="image", desc=f"make {target.name}", disable=not progress):
            pass
        (folder / "readme.txt").write_text(
            f"Generated by hw3lib: a {spec.name} that does not exist, with the defect types of that category\n"
            f"in MVTec AD. No image of that dataset is contained. Profile {profile}, seed {seed}.\n",
            encoding="utf-8",
        )
        content = wanted | {"digest": digest(load_table(folder.parent, folder.name))}
        (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return target


def _spec(category: str) -> Product:
    name = category.removeprefix("synthetic/")
    if name not in PRODUCTS:
        near = did_you_mean(name, PRODUCTS, shown=lambda product: repr(f"synthetic/{product}"))
        known = ", ".join(f"synthetic/{product}" for product in PRODUCTS)
        raise Hw3Error(f"unknown generated category {category!r}{near} Known: {known}")
    return PRODUCTS[name]


def _plan(spec: Product, profile: str, test: Mapping[str, int] | None) -> tuple[int, dict[str, int]]:
    """Side in pixels, and how many pictures there are below each folder, ``{"test/good": 18}``."""
    quick = PROFILES[profile]
    assert spec.counts.test_good is not None, f"{spec.name}: only categories with known counts are generated"
    size = quick["size"] if quick else spec.size
    if test is not None:
        return size, {f"test/{name}": count for name, count in test.items()}
    good = quick["test"] if quick else spec.counts.test_good
    defects = {f"test/{d}": quick["test"] if quick else n for d, n in spec.defects.items()}
    return size, {"train/good": quick["train_good"] if quick else spec.counts.train_good, "test/good": good} | defects


def _jobs(counts: Mapping[str, int], seed: int) -> list[tuple]:
    """Every picture as ``(defect, image path, mask path or None, seed)``."""
    jobs = []
    for group, (place, count) in enumerate(counts.items()):
        defect = place.rpartition("/")[2]
        for i in range(count):
            mask = None if defect == "good" else f"ground_truth/{defect}/{i:03d}_mask.png"
            jobs.append((defect, f"{place}/{i:03d}.png", mask, (seed, group, i)))
    return jobs


def _write(product: str, folder: Path, size: int, defect: str, place: str, mask_place: str | None, seed: tuple) -> None:
    image, mask = picture(product, defect, size, seed)
    Image.fromarray(image).save(folder / place)
    if mask_place:
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / mask_place)


def _painter_digest(spec: Product) -> str:
    """Hash of the code that paints the product: pictures of another version are made again."""
    here = Path(__file__).parent
    code = b"".join((here / name).read_bytes() for name in ("__init__.py", "canvas.py", f"{spec.name}.py"))
    return hashlib.sha256(code).hexdigest()[:16]


def manifest(folder: Path) -> dict[str, Any] | None:
    """What is recorded of a generated category; None where the folder was not generated."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def generated(table: pd.DataFrame) -> dict[str, Any] | None:
    """What is recorded of the generated category that a table holds, if it is as this version of the painter made it.

    Returns:
        ``profile``, ``seed`` and others; None of other categories, and of one whose images, masks or settings were
        changed by hand, which no further images can be drawn for.
    """
    folder = Path(str(table.attrs.get("folder", "")))
    found = manifest(folder)
    if found is None or folder.name not in PRODUCTS:
        return None
    same = found.get("painter") == _painter_digest(PRODUCTS[folder.name]) and found.get("digest") == digest(table)
    return found if same else None
