"""What people call the folders of a category: good products, splits, masks, and what is no class at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from hw3lib.core.text import composed, listed
from hw3lib.errors import Hw3Error

GOOD = frozenset(
    (
        *("good", "goods", "ok", "okay", "normal", "normals", "pass", "passed", "accept", "accepted", "healthy"),
        *("intact", "undamaged", "flawless", "faultless", "defectfree", "defect_free", "fault_free", "anomaly_free"),
        *("nodefect", "no_defect", "no_defects", "no_fault", "no_anomaly", "without_defect", "without_defects"),
        *("nondefective", "non_defective", "not_defective", "nonanomalous", "non_anomalous", "good_products"),
        *("gut", "in_ordnung", "bon", "bueno", "buono"),
        *("良品", "正常", "正常品", "合格", "合格品", "好", "好品", "ok品", "無缺陷", "无缺陷", "無瑕疵", "无瑕疵"),
        *("양품", "정상"),
    )
)  # fmt: skip
_FIRST_WORDS = ("good", "ok", "okay", "normal", "良品", "正常", "合格")  # of names such as ok_front
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MASKS = ("ground_truth", "masks", "mask", "groundtruth", "gt")  # in the order in which one of several is taken
# Files that are nobody's photographs.
SILENT = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "category.json", "annotations.json"))


def key(name: str) -> str:
    """A name as it is compared with the lists above: case, width and what stands between words do not count."""
    return re.sub(r"[-_\s]+", "_", unicodedata.normalize("NFKC", name).casefold().strip())


JUNK = frozenset(
    map(key, ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__pycache__"))
)


def is_masks(name: str) -> bool:
    """Whether a folder of this name holds masks."""
    return key(name) in MASKS


def is_junk(name: str) -> bool:
    """Whether a folder of this name is a system's or a program's, and never a class."""
    return name.startswith(".") or key(name) in JUNK


def find_name(wanted: str, names: Iterable[str], *, cases: bool = True) -> str | None:
    """The one of some names that is the wanted one: as it is, composed or decomposed, or failing that in another case.

    Args:
        wanted: a name.
        names: of what is there.
        cases: whether another case will do.
    """
    names = list(names)
    ways: list[Callable[[str], str]] = [str, composed]
    if cases:
        ways.append(lambda name: composed(name).casefold())
    return next((name for same in ways for name in names if same(name) == same(wanted)), None)


def good_names(names: Iterable[str], said: str | None = None) -> tuple[set[str], bool]:
    """Which class folders of one place hold good products, and whether that is a guess by a name's first word.

    Args:
        names: of the folders.
        said: the name that a person gave, or a pattern such as ``ok_*``; None takes the names in :data:`GOOD`.

    Raises:
        Hw3Error: two different names that both mean good products; a person must say which.
    """
    names = list(names)
    if said is not None:
        wanted = composed(said)
        chosen = {name for name in names if composed(name) == wanted}
        chosen = chosen or {name for name in names if key(name) == key(said)}
        chosen = chosen or {name for name in names if fnmatchcase(composed(name), wanted)}
        if chosen and (other := next((n for n in names if n not in chosen and composed(n) == "good"), None)):
            raise Hw3Error(
                f"{said!r} is said to hold good products, but {other!r} is there as well; rename one of them"
            )
        return chosen, False
    exact = {name for name in names if key(name) in GOOD}
    found = exact or {name for name in names if key(name).startswith(tuple(f"{word}_" for word in _FIRST_WORDS))}
    if len({key(name) for name in found}) > 1:
        raise Hw3Error(
            f"{listed(map(repr, sorted(found)))} may all hold good products; say which does with `hw3 data settings "
            f"CATEGORY --good {sorted(found)[0]}`, or put them into one folder"
        )
    return found, bool(found) and not exact
