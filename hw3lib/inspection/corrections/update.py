"""An inspector learns from what people said of its photographs: what ``hw3 inspect update`` and ``rollback`` do.

``NAME`` is the inspector in use, and ``NAME.versions`` beside it holds each version that there was, 0001, 0002, ...
Each is written whole before ``NAME`` is replaced by a copy of it, so that a process that is killed leaves the version
before or the one after.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binom

from hw3lib.anomaly.detector import SAVED, Detector
from hw3lib.anomaly.registry import load_detector
from hw3lib.anomaly.thresholds import silence_few_good_images
from hw3lib.core.files import atomic_folder, expanded, file_digest, read_json, sweep_leftovers, write_json
from hw3lib.core.locks import InUse, held
from hw3lib.core.text import counted
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

from ..inspector import threshold_of
from ..photographs import Photograph, read_batches
from .answers import Answer, Store, default_store

LEARNED = "learned.json"  # digests of the photographs that have joined
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

    Confirmed good photographs join the memory bank and the calibration, see :meth:`.Detector.extend`. A part of the
    answers, the same photographs ever again, teaches nothing and judges: a version whose verdicts on them are worse
    beyond chance, on good ones or on defects, is not kept. Photographs that were asked about because they looked odd
    make the threshold rather too high, so more defects may pass: that is what the comparison is for.

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
        learned = set(read_json(path / LEARNED).get("photographs", ()))
        old, new = load_detector(path), load_detector(path)
        if old.changed_:
            raise Hw3Error(f"{inspector}: {old.changed_}")
        threshold_of(old, inspector)
        known = _usable(answers, echo)
        judges = [a for a in known if int(a.digest[:8], 16) < held_out * 2**32 and a.digest not in learned]
        teach = [a for a in known if a.answer == "good" and a not in judges and a.digest not in learned]
        if not teach:
            raise Hw3Error(
                f"{inspector}: no good photograph with an answer is new to it ({counted(len(judges), 'answer')} held "
                f"out to judge, {len(learned)} learned from); answer more with `hw3 inspect review`"
            )
        images, teach = _read(teach, old, echo)
        if not teach:
            raise Hw3Error(f"{inspector}: none of the photographs to learn from can be read")
        shown, judges = _read(judges, old, echo)
        with silence_few_good_images():
            new.extend(images, progress=progress)
        said = f"{counted(len(teach), 'good photograph')} joined the {old.n_good_} before; "
        echo(said + f"the threshold was {old.threshold_:.4g} and is {new.threshold_:.4g}")
        _judge(old, new, shown, judges, inspector, echo)
        made = _keep(path, new, learned | {a.digest for a in teach})
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


def _judge(
    old: Detector, new: Detector, shown: ImageStack, judges: list[Answer], place: str | Path, echo: Echo
) -> None:
    """Compare both versions on answers that neither has learned from.

    Raises:
        Hw3Error: the new one is worse beyond chance.
    """
    is_defect = np.array([a.answer == "defect" for a in judges], bool)
    if not len(judges):
        echo("no answer is held out, so nothing says whether it is better or worse")
        return
    wrong = [(model.decision_function(shown) > model.threshold_) != is_defect for model in (old, new)]
    worse = []
    for rows, what, error in ((~is_defect, "good photograph", "false alarms"), (is_defect, "defect", "misses")):
        if not rows.any():
            continue
        found = Verdicts.compared(wrong[0][rows], wrong[1][rows])
        echo(
            f"{error} among {counted(found.photographs, f'held-out {what}')}: {found.before} before, {found.after} now"
        )
        if 2 * found.p <= _LEVEL:  # two tests are made
            worse.append(
                f"{error} {found.before} before, {found.after} after, of {found.photographs} (p = {found.p:.2g})"
            )
    if worse:
        raise Hw3Error(
            f"{place}: what was learned makes it worse beyond chance, so the version in use stays: {'; '.join(worse)}. "
            "Look whether defects were called good"
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
    digest = file_digest(path / SAVED.settings)  # which names the tensors' digest
    same = [n for n in versions(path) if file_digest(_place(path, n) / SAVED.settings) == digest]
    return same[-1] if same else None


def _keep(path: Path, new: Detector, learned: set[str]) -> int:
    """Write a version beside those that there are, and put it in use; gives its number."""
    last = max(versions(path), default=0)
    if _in_use(path) is None:
        last += 1
        _copy(path, _place(path, last))
    number = last + 1
    with atomic_folder(_place(path, number)) as temporary:
        shutil.copytree(path, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_OUTDATED))
        new.device = "auto"  # it may be used elsewhere
        new.save(temporary / "new")
        for file in (temporary / "new").iterdir():
            file.replace(temporary / file.name)
        (temporary / "new").rmdir()
        write_json(temporary / LEARNED, {"photographs": sorted(learned)})
    _use(path, number)
    return number
