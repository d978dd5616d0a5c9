"""An inspector learns from what people said of its photographs: what ``hw3 inspect update`` and ``rollback`` do.

``NAME`` is the inspector in use, and ``NAME.versions`` beside it holds each version that there was, 0001, 0002, ...
Each is written whole before ``NAME`` is replaced by a copy of it, so that a process that is killed leaves the version
before or the one after.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom

from hw3lib.anomaly.detector import SAVED, Detector
from hw3lib.anomaly.registry import load_detector
from hw3lib.anomaly.thresholds import silence_few_good_images
from hw3lib.classify.guided.types import SAVED as TYPES_SAVED
from hw3lib.classify.guided.types import DefectTypes
from hw3lib.core.files import atomic_folder, expanded, file_digest, sweep_leftovers
from hw3lib.core.locks import InUse, held
from hw3lib.core.text import counted, listed
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import Reading
from hw3lib.data.stack import ImageStack
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error

from ..inspector import LEARNED, TYPES, keep_learned, learned, load_types, threshold_of
from ..photographs import Photograph, read_batches
from .answers import Answer, Store, default_store

_OUTDATED = "misses.*"  # of the threshold before
_LEVEL = 0.05  # chance of refusing a version that is no worse

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of two versions on the same photographs with an answer, none of which either has learned from.

    Attributes:
        photographs: their number.
        before, after: wrong ones, of each version.
        spoiled: right before and wrong after.
        p: chance of so many spoiled ones among those that changed if a change to the worse is no likelier than one to
            the better (McNemar's exact test, one-sided).
    """

    photographs: int
    before: int
    after: int
    spoiled: int

    @classmethod
    def compared(cls, before: np.ndarray, after: np.ndarray) -> Verdicts:
        """Of wrong verdicts, bool ``(n,)`` each."""
        return cls(len(before), int(before.sum()), int(after.sum()), int((after & ~before).sum()))

    @property
    def p(self) -> float:
        changed = 2 * self.spoiled + self.before - self.after
        return float(binom.sf(self.spoiled - 1, changed, 0.5))


def update(
    inspector: str | Path,
    store: str | Path | None = None,
    *,
    held_out: float = 0.3,
    progress: bool = False,
    echo: Echo = print,
) -> int:
    """Let an inspector learn from reviewed photographs, unless that makes it worse; gives the number of the version.

    Confirmed good photographs join the memory bank and the calibration, see :meth:`.Detector.extend`. Defects whose
    type is named join the types, see :meth:`.DefectTypes.extended`: a type that was never seen becomes one once two of
    it are labelled, and the first types of an inspector are learned beside the photographs that are called good. A
    part of the answers, the same photographs ever again, teaches nothing and judges: a version that is worse on them
    beyond chance, on good ones, on defects or on their types, is not kept. Photographs that were asked about because
    they looked odd make the threshold rather too high, so more defects may pass: that is what the comparison is for.

    Args:
        inspector: the folder.
        store: of the answers, see :class:`.answers.Store`; None: the one beside the inspector.
        held_out: share of the answers that judges, above 0 and below 1.
        progress: show bars.
        echo: receives messages.

    Raises:
        Hw3Error: no inspector, or one that cannot go on learning; no answers, or nothing new among them; a version
            that is worse; or another process is at it.
    """
    if not 0 < held_out < 1:
        raise Hw3Error(f"--held-out {held_out:g}: expected a share of the answers, above 0 and below 1")
    path = expanded(inspector)
    answers = Store(default_store(path) if store is None else store, new=False).answers()
    with _alone(path):
        taught = learned(path)
        old, new = load_detector(path), load_detector(path)
        if old.changed_:
            raise Hw3Error(f"{inspector}: {old.changed_}")
        threshold_of(old, inspector)
        known = _usable(answers, echo)
        judges = [a for a in known if int(a.digest[:8], 16) < held_out * 2**32 and a.digest not in taught]
        fresh = [a for a in known if a not in judges and a.digest not in taught]
        before = load_types(path / TYPES) if (path / TYPES).is_dir() else None
        assert before is None or isinstance(before, DefectTypes)  # an exported one has no detector's folder
        good, named = [a for a in fresh if a.answer == "good"], _typed(fresh, before)
        if not good and not named:
            raise Hw3Error(
                f"{inspector}: no good photograph with an answer is new to it, and no defect with a type that it knows "
                f"or that is named twice ({counted(len(judges), 'answer')} held out to judge, {len(taught)} learned "
                "from); answer more with `hw3 inspect review`"
            )
        (images, good), (_, named) = _read(good, old, echo), _read(named, old, echo)
        if not good and not named:
            raise Hw3Error(f"{inspector}: none of the photographs to learn from can be read")
        shown, judges = _read(judges, old, echo)
        if good:
            with silence_few_good_images():
                new.extend(images, progress=progress)
            echo(
                f"{counted(len(good), 'good photograph')} joined the {old.n_good_} before; the threshold was "
                f"{old.threshold_:.4g} and is {new.threshold_:.4g}"
            )
        after = _with_defects(before, named, good, old.reading_, progress, echo) if named else before
        cases = _verdicts(old, new, shown, judges) if good else []
        if after is not None and named:
            cases += _types(before, after, judges)
        _judge(cases, inspector, echo)
        made = _keep(
            path, new if good else None, after if named else None, taught | {a.digest for a in [*good, *named]}
        )
        echo(f"version {made} is in use; `hw3 inspect rollback {inspector}` takes the one before")
        return made


def rollback(inspector: str | Path, version: int | None = None, *, echo: Echo = print) -> int:
    """Put an earlier version in use, or the one that is named; gives its number. None is lost.

    Raises:
        Hw3Error: no inspector, no such version, or none before the one in use.
    """
    path = expanded(inspector)
    with _alone(path):
        if not (path / SAVED.settings).is_file():
            raise Hw3Error(f"{inspector}: no inspector, {SAVED.settings} is missing")
        there, used = versions(path), _in_use(path)
        if version is None:
            earlier = [number for number in there if number < (used or max(there, default=0) + 1)]
            if not earlier:
                raise Hw3Error(f"{inspector}: no version is kept from before the one in use")
            version = earlier[-1]
        if version not in there:
            found = ", ".join(map(str, there)) or "none"
            raise Hw3Error(f"{inspector}: found the versions {found}, expected {version} among them")
        if used is None:
            _copy(path, _place(path, max(there, default=0) + 1))
        _use(path, version)
    echo(f"version {version} is in use")
    return version


def versions(path: Path) -> list[int]:
    """Numbers of the versions that are kept of an inspector, ascending."""
    names = [place.name for place in path.with_name(f"{path.name}.versions").glob("[0-9][0-9][0-9][0-9]")]
    return sorted(map(int, names))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process changes the inspector meanwhile; what a killed one left half done is tidied up."""
    if not path.parent.is_dir():
        raise Hw3Error(f"{path}: no inspector, {path.parent} is missing")
    try:
        with held(path.with_name(f".{path.name}.lock")):
            sweep_leftovers(path)
            yield
    except InUse as error:
        raise Hw3Error(f"{path}: process {error.process} is changing it; try again when that is done") from None


def _usable(answers: dict[str, Answer], echo: Echo) -> list[Answer]:
    """Answers that teach or judge: good or defect, of photographs that are still what was answered, each once."""
    known: dict[str, Answer] = {}
    gone, clear = 0, [a for a in answers.values() if a.answer in ("good", "defect")]
    for answer in clear:
        try:
            same = file_digest(answer.file) == answer.digest
        except Hw3Error:
            same = False
        gone += not same
        if same:
            known.setdefault(answer.digest, answer)
    if rest := len(answers) - len(clear):
        echo(f"{counted(rest, 'photograph')} left out about which nobody is sure, or not all agree")
    if gone:
        echo(f"{counted(gone, 'photograph')} left out that changed or went since the answer")
    return list(known.values())


def _read(answers: Sequence[Answer], model: Detector, echo: Echo) -> tuple[ImageStack, list[Answer]]:
    """Images of the photographs that can be read, and their answers."""
    stacks, kept = [], list[Answer]()
    by = {a.file: a for a in answers}
    photographs = [Photograph(Path(a.file), a.file, None) for a in answers]
    with ThreadPoolExecutor() as pool:
        for batch in read_batches(photographs, model.image_size, model.batch_size, pool, model.reading_):
            for at, why in batch.broken.items():
                echo(f"left out: {batch.photographs[at].path}: {why}")
            kept += [by[p.name] for at, p in enumerate(batch.photographs) if at not in batch.broken]
            stacks += [] if batch.images is None else [batch.images]
    return (ImageStack.joined(stacks) if stacks else ImageStack(np.zeros((0, 3, 1, 1), np.uint8), "")), kept


def _typed(answers: Sequence[Answer], types: DefectTypes | None) -> list[Answer]:
    """Defects that join the types: of one that is known, or of one that two are of."""
    named = [a for a in answers if a.answer == "defect" and a.type]
    counts = Counter(a.type for a in named)
    return [a for a in named if counts[a.type] > 1 or types is not None and a.type in types.classes]


def _with_defects(
    types: DefectTypes | None, named: list[Answer], good: list[Answer], reading: Reading, progress: bool, echo: Echo
) -> DefectTypes:
    """Types that know these labelled defects, too."""
    files, names = [a.file for a in named], [a.type for a in named]
    if types is not None:
        made = types.extended(files, names, progress=progress, echo=echo)
    else:
        defects, beside = _table(named), _table(good)
        made = DefectTypes.learned(defects, beside, reading=reading, progress=progress, echo=echo)
    had = dict(zip(types.classes, types.counts, strict=True)) if types else {}
    counts = zip(made.classes, made.counts, strict=True)
    # A list of names and numbers and no sentence: a template of it in a catalogue would fit every interval, too.
    each = [" ".join((name, str(had.get(name, 0)), "to", str(count))) for name, count in counts]
    echo(f"{counted(len(named), 'labelled defect')} joined the types: {listed(each)}")
    return made


def _table(answers: list[Answer]) -> pd.DataFrame:
    sizes = [read_header(a.file)[:2] for a in answers]
    rows = [(a.file, a.type, *size) for a, size in zip(answers, sizes, strict=True)]
    return pd.DataFrame(rows, columns=["image", "defect", "width", "height"])


Case = tuple[str, str, np.ndarray, np.ndarray]  # what is judged, what an error is called, who errs before and after


def _verdicts(old: Detector, new: Detector, shown: ImageStack, judges: list[Answer]) -> list[Case]:
    """Verdicts of both versions on answers that neither has learned from."""
    if not judges:
        return []
    is_defect = np.array([a.answer == "defect" for a in judges], bool)
    before, after = ((model.decision_function(shown) > model.threshold_) != is_defect for model in (old, new))
    kinds = ((~is_defect, "held-out good photograph", "false alarms"), (is_defect, "held-out defect", "misses"))
    return [(what, error, before[rows], after[rows]) for rows, what, error in kinds if rows.any()]


def _types(before: DefectTypes | None, after: DefectTypes, judges: list[Answer]) -> list[Case]:
    """The most probable types of both versions; who does not know a type is right to say that a defect is new."""
    named = [a for a in judges if a.answer == "defect" and a.type]
    if before is None or not named:
        return []
    wrong = np.zeros((2, len(named)), bool)
    for at, answer in enumerate(named):
        image = read_image(answer.file, reading=before.reading)
        for version, types in enumerate((before, after)):
            found = types.type_of(image)
            said = max(found.probabilities, key=found.probabilities.__getitem__)
            wrong[version, at] = bool(found.names) if answer.type not in types.classes else said != answer.type
    return [("held-out labelled defect", "wrong types", wrong[0], wrong[1])]


def _judge(cases: list[Case], place: str | Path, echo: Echo) -> None:
    """Compare both versions.

    Raises:
        Hw3Error: the new one is worse beyond chance.
    """
    if not cases:
        echo("no answer is held out, so nothing says whether it is better or worse")
    worse = []
    for what, error, before, after in cases:
        found = Verdicts.compared(before, after)
        echo(f"{error} among {counted(found.photographs, what)}: {found.before} before, {found.after} now")
        if max(2, len(cases)) * found.p <= _LEVEL:  # so many tests are made
            worse.append(
                f"{error} {found.before} before, {found.after} after, of {found.photographs} (p = {found.p:.2g})"
            )
    if worse:
        raise Hw3Error(
            f"{place}: what was learned makes it worse beyond chance, so the version in use stays: {'; '.join(worse)}. "
            "Look whether defects were called good, or by another type"
        )


def _place(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.versions") / f"{number:04d}"


def _copy(source: Path, target: Path, replace: bool = False) -> None:
    with atomic_folder(target, replace) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def _use(path: Path, number: int) -> None:
    _copy(_place(path, number), path, replace=True)


def _in_use(path: Path) -> int | None:
    """The version whose copy is in use; None where it is none of them, as after a fit."""

    def told(folder: Path) -> list[str]:  # settings, which name the tensors' digests
        files = (folder / SAVED.settings, folder / TYPES / TYPES_SAVED.settings, folder / LEARNED)
        return [file_digest(file) if file.is_file() else "" for file in files]

    same = [n for n in versions(path) if told(_place(path, n)) == told(path)]
    return same[-1] if same else None


def _keep(path: Path, new: Detector | None, types: DefectTypes | None, taught: set[str]) -> int:
    """Write a version beside those that there are, and put it in use; gives its number. None: as it is."""
    last = max(versions(path), default=0)
    if _in_use(path) is None:
        last += 1
        _copy(path, _place(path, last))
    number = last + 1
    with atomic_folder(_place(path, number)) as temporary:
        shutil.copytree(path, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_OUTDATED))
        if new is not None:
            new.device = "auto"  # it may be used elsewhere
            new.save(temporary / "new")
            for file in (temporary / "new").iterdir():
                file.replace(temporary / file.name)
            (temporary / "new").rmdir()
        if types is not None:
            types.save(temporary / TYPES)
        keep_learned(temporary, taught)
    _use(path, number)
    return number
