"""Get a category: find it, generate it, or fetch it from one of several sources once its licence is accepted."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hw3lib.core import optional
from hw3lib.core.files import atomic_folder, existing_parent, expanded, read_json
from hw3lib.core.places import OWN, data_roots
from hw3lib.core.text import did_you_mean
from hw3lib.data.folders.find import named
from hw3lib.errors import Hw3Error

from .archive import extract
from .download import SourceFailed, download
from .official import OFFICIAL

LICENCE = """\
MVTec AD, Copyright 2019 MVTec Software GmbH.
Licence: Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0),
https://creativecommons.org/licenses/by-nc-sa/4.0/ - no commercial use; name the authors; share what you derive from
the images or masks (labels included) under the same licence. Please cite: P. Bergmann, M. Fauser, D. Sattlegger,
C. Steger, "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019."""

PAGE = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
ARCHIVE = "mvtec_anomaly_detection.tar.xz"
# SHA-256 and addresses as in anomalib 2.7 (mvtecad.py); the second address is the one of older releases.
ARCHIVE_SHA256 = "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d"
KAGGLE_DATASET = "ipythonx/mvtec-ad"


@dataclass(frozen=True)
class Source:
    """A place to get MVTec AD from: what it is, and its addresses in the order in which they are tried."""

    name: str
    what: str
    urls: tuple[str, ...] = ()


SOURCES = {
    source.name: source
    for source in (
        Source(
            "official",
            "the archive of all 15 categories (5.3 GB) from MVTec's file server, or a mirror named by HW3_MVTEC_URL",
            (
                f"https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/{ARCHIVE}",
                f"https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f282/download/420938113-1629952094/{ARCHIVE}",
            ),
        ),
        Source(
            "kaggle",
            f"a copy on Kaggle ({KAGGLE_DATASET}) through the package kagglehub",
            (f"https://www.kaggle.com/datasets/{KAGGLE_DATASET}",),
        ),
        Source("local", "an archive (tar or zip) that you have already, named by archive= or --archive"),
    )
}
SYNTHETIC = ("synthetic/carpet", "synthetic/wood", "synthetic/bottle", "synthetic/capsule")


def get(
    category: str,
    data: str | Path | None = None,
    *,
    source: str = "auto",
    accept_license: bool = False,
    archive: str | Path | None = None,
    profile: str = "quick",
    seed: int | None = None,
    progress: bool = True,
) -> Path:
    """Folder that holds the category, which is made or fetched when it is not there: ``load_table(get(c), c)``.

    A category is looked for in ``data``, in ``data/`` of the student's folder that this runs in, in the folder named
    by ``HW3_DATA`` and in ``data/`` of the project. One that has to be fetched goes to the first of them (of those that
    can be written, unless ``data`` was given).

    Args:
        category: ``"synthetic/..."``, one of the 15 names of MVTec AD, or a folder of your own that exists.
        data: folder that holds, or is to hold, categories.
        source: ``"official"``, ``"kaggle"``, ``"local"`` (with ``archive``), or ``"auto"``: the given archive, or
            else the first of official and Kaggle that answers.
        accept_license: the licence of MVTec AD was read and is accepted; nothing is downloaded without it.
        archive: a local tar or zip archive with the category, or with the whole dataset, inside.
        profile, seed: for synthetic categories, see ``hw3lib.data.synthetic.make``; None: :func:`own_seed`.

    Raises:
        Hw3Error: unknown category, wrong folder level, licence not accepted, no source answers (with instructions for
            doing it by hand), a damaged or hostile archive, or a folder that cannot be written.
    """
    place = Path(category)
    if place.is_absolute() and place.name and os.path.isdir(place):
        raise Hw3Error(
            f"category {category!r} is a path: give {str(place.parent)!r} as --data and {place.name!r} as it"
        )
    category = category.strip("/")
    if source not in ("auto", *SOURCES):
        raise Hw3Error(f"source is {source!r}; expected auto, {', '.join(SOURCES)}.")
    if (source == "local" and not archive) or (archive and source not in ("auto", "local")):
        raise Hw3Error(f"source={source!r} with archive={archive!r}: source 'local' and an archive go together.")
    if category in SYNTHETIC:
        return _generated(category, data, profile, seed, progress)
    if not category or ".." in Path(category).parts:
        raise _unknown(category, data)
    for root in data_roots(data):
        if _names(named(root, category)):
            return root
        _check_level(root, category)

    root = _root_to_write(data)
    if archive:
        extract(archive, root / category, category, progress=progress)
        return root
    if category not in OFFICIAL:
        raise _unknown(category, data)
    _check_licence(accept_license)
    _fetch(category, root, ("official", "kaggle") if source == "auto" else (source,), progress)
    return root


def official_urls() -> tuple[str, ...]:
    """Addresses of the official archive; one in the environment variable ``HW3_MVTEC_URL`` comes first."""
    mirror = os.environ.get("HW3_MVTEC_URL")
    return ((mirror,) if mirror else ()) + SOURCES["official"].urls


def own_seed(root: Path) -> int:
    """The seed of the student whose data ``root`` holds, and 0 of any other folder.

    Raises:
        Hw3Error: the file that says it is damaged.
    """
    path = root / OWN
    if not path.is_file():
        return 0
    seed = read_json(path).get("seed")
    if type(seed) is not int or seed < 0:
        raise Hw3Error(f"{path}: seed is {seed!r}, expected a whole number; `hw3 start` makes the folder again")
    return seed


def _generated(category: str, data: str | Path | None, profile: str, seed: int | None, progress: bool) -> Path:
    from hw3lib.data import synthetic  # numpy and the painters are not needed for the rest

    if data:
        _check_too_low(expanded(data), category)
    root = _root_to_write(data)
    seed = own_seed(root) if seed is None else seed
    synthetic.make(category, root, profile=profile, seed=seed, progress=progress)
    return root


def _root_to_write(data: str | Path | None) -> Path:
    """``data`` if given; otherwise the first root that can be written, or the first one, whose error is then shown."""
    roots = data_roots(data)
    if data:
        return roots[0]
    return next((root for root in roots if os.access(existing_parent(root), os.W_OK | os.X_OK)), roots[0])


def _names(folder: Path) -> list[str]:
    """What is in a folder, in order; nothing where it does not exist or may not be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _check_level(root: Path, category: str) -> None:
    _check_too_low(root, category)
    for name in _names(root):
        # The folder of the synthetic categories holds namesakes of the official ones.
        if name != "synthetic" and not name.startswith(".") and _names(root / name / category):
            folder = root / name
            raise Hw3Error(
                f"{root} has no folder {category}, but {folder / category} exists: one level too high. "
                f"Use --data {folder}"
            )


def _check_too_low(root: Path, category: str) -> None:
    """Refuse ``.../carpet`` and, for ``synthetic/carpet``, ``.../synthetic`` as the folder that holds categories."""
    parts = Path(category).parts
    for count in range(len(parts), 0, -1):
        rest = root.joinpath(*parts[count:])
        if root.absolute().parts[-count:] == parts[:count] and {"train", "test", "good"} & set(_names(rest)):
            right = Path(*root.parts[:-count]) if len(root.parts) > count else root.absolute().parents[count - 1]
            raise Hw3Error(
                f"{root} is inside or is the category {category}, not the folder that holds it: one level too low. "
                f"Use --data {right}"
            )


def _unknown(category: str, data: str | Path | None) -> Hw3Error:
    roots = data_roots(data)
    own = [
        name
        for root in roots
        for name in _names(root)
        if _names(root / name) and name != "synthetic" and not name.startswith(".")
    ]
    known = list(dict.fromkeys([*SYNTHETIC, *OFFICIAL, *own]))
    near = did_you_mean(category, known).replace("; did", ". Did", 1) or "."
    return Hw3Error(
        f"Unknown category {category!r}{near} Known: {', '.join(known)}. A folder of your own: put it into one of "
        f"{', '.join(str(root) for root in roots)}, or name the folder that holds it with --data."
    )


def _check_licence(accepted: bool) -> None:
    if not accepted:
        raise Hw3Error(
            f"MVTec AD is not downloaded before its licence is accepted.\n\n{LICENCE}\n\n"
            "If you accept it, repeat with --accept-license (in Python: accept_license=True)."
        )
    print(LICENCE, file=sys.stderr)


def _fetch(category: str, root: Path, names: tuple[str, ...], progress: bool) -> None:
    fetchers: dict[str, Callable[[str, Path, bool], None]] = {
        "official": _from_official,
        "kaggle": _from_kaggle,
    }
    said = []
    for name in names:
        try:
            return fetchers[name](category, root, progress)
        except SourceFailed as error:
            said.append(f"- {name} ({SOURCES[name].what}):\n  {error}")
    raise Hw3Error(f"No source gave the category {category!r}:\n" + "\n".join(said) + f"\n\n{_by_hand(category, root)}")


def _from_official(category: str, root: Path, progress: bool) -> None:
    # The archive stays for the next category.
    archive = download(official_urls(), root / ".downloads" / ARCHIVE, ARCHIVE_SHA256, progress=progress)
    extract(archive, root / category, category, progress=progress)


def _from_kaggle(category: str, root: Path, progress: bool) -> None:
    try:
        kagglehub = optional.load("kaggle", "kagglehub")
    except optional.Missing as error:
        raise SourceFailed(str(error)) from error
    try:
        copy = Path(kagglehub.dataset_download(KAGGLE_DATASET))
    except Exception as error:  # kagglehub's own errors, those of requests, of the log-in, ...
        raise SourceFailed(f"kagglehub: {type(error).__name__}: {error}") from error
    depths = (category, f"*/{category}", f"*/*/{category}")
    found = next((f for depth in depths for f in sorted(copy.glob(depth)) if (f / "train").is_dir()), None)
    if found is None:
        raise SourceFailed(f"what kagglehub put into {copy} has no folder {category} with a folder train in it")
    with atomic_folder(root / category) as temporary:
        # File by file: what copytree raises in the end no longer says that the disk is full.
        for path in sorted(path for path in found.rglob("*") if path.is_file()):
            target = temporary / path.relative_to(found)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _by_hand(category: str, root: Path) -> str:
    return f"""\
By hand: download {category} or the whole dataset in a browser from
  {PAGE}
  or {SOURCES["kaggle"].urls[0]}
then either name the archive (--archive FILE; in Python: archive=FILE), or unpack it so that these exist:
  {root / category}/train/good/000.png
  {root / category}/test/good/000.png
  {root / category}/test/<defect>/000.png
  {root / category}/ground_truth/<defect>/000_mask.png
A mirror of {ARCHIVE} can be named in the environment variable HW3_MVTEC_URL."""
