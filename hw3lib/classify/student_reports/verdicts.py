"""What it takes to repeat a report elsewhere: splits, substitutes for missing weights, verdicts on its findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.utils import resample

from hw3lib.classify.attempts import Attempt
from hw3lib.classify.result import Result
from hw3lib.core.intervals import holm
from hw3lib.core.text import first_line
from hw3lib.data.labels import Split
from hw3lib.data.splits import repeated_splits
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

from .reports import StudentReport

HELD, REFUTED = "held", "refuted"

# The reports' networks: the name in their tables, and the Lite network that stands in: small, middle, large.
SUBSTITUTES = {
    "resnet18": ("ResNet18", "tf_efficientnet_lite0", "EfficientNet-Lite0"),
    "resnet34": ("ResNet34", "tf_efficientnet_lite1", "EfficientNet-Lite1"),
    "resnet50": ("ResNet50", "tf_efficientnet_lite2", "EfficientNet-Lite2"),
    "efficientnet_v2_l": ("EfficientNet_v2_l", "tf_efficientnet_lite2", "EfficientNet-Lite2"),
}


def splits(report: StudentReport, table: pd.DataFrame, repeats: int = 10, seed: int = 0) -> list[Split]:
    """Draw images as the report did and split them, independently in each repeat.

    Where the category has fewer images than the report drew, all that there are take part, split in the report's
    proportion; :func:`describe_protocol` says so.

    Args:
        report: the report.
        table: images to classify (column ``defect``), as :func:`hw3lib.data.classification_images` gives them.
        repeats: number of splits, 2 or more.
        seed: the same seed gives the same splits.

    Returns:
        Positions ``(train, test)`` in ``table``, int64, each sorted; of equal lengths in all repeats, unless whole
        products are split.

    Raises:
        Hw3Error: ``repeats`` below 2, a negative seed, or a class that cannot stand on both sides.
    """
    if repeats < 2:
        raise Hw3Error(f"repeats={repeats}: expected 2 or more, an interval needs the spread between splits")
    if seed < 0:
        raise Hw3Error(f"seed={seed}: expected 0 or more")
    number, n_test = _numbers(report, table)
    classes = table["defect"].to_numpy()
    pairs = []
    for state in np.random.SeedSequence(seed).generate_state(2 * repeats).reshape(repeats, 2).tolist():
        if report.per_class is None:
            drawn = resample(
                np.arange(len(table)), replace=False, n_samples=number, stratify=classes, random_state=state[0]
            )
        else:
            rng = np.random.default_rng(state[0])
            groups = [np.flatnonzero(classes == name) for name in np.unique(classes)]
            drawn = np.concatenate([rng.permutation(rows)[: report.per_class] for rows in groups])
        drawn.sort()
        train, test = repeated_splits(table.iloc[drawn], 1, n_test, state[1])[0]
        pairs.append((drawn[train], drawn[test]))
    return pairs


def describe_protocol(report: StudentReport, table: pd.DataFrame) -> str:
    """What each repeat draws, and how that differs from the report."""
    number, n_test = _numbers(report, table)
    each = f", {report.per_class} a class" if report.per_class else ""
    text = f"each repeat draws {number} of {len(table)} images: {number - n_test} to train on, {n_test} to test on"
    wanted = report.n_train + report.n_test
    if number == wanted:
        return text + each
    return f"{text} (the report: {report.n_train} and {report.n_test}{each})"


def _numbers(report: StudentReport, table: pd.DataFrame) -> tuple[int, int]:
    """How many images a repeat draws, and how many of them are tested."""
    wanted = report.n_train + report.n_test
    if report.per_class is None:
        number = min(wanted, len(table))
    else:
        number = int(table["defect"].value_counts().clip(upper=report.per_class).sum())
    return number, round(number * report.n_test / wanted)


def fit_to(attempt: Attempt, report: StudentReport, table: pd.DataFrame, pairs: list[Split]) -> Attempt:
    """The attempt with as many images a class as the training parts hold: fewer than in the report where need be."""
    if attempt.images_per_class is None:
        return attempt
    least = min(int(table["defect"].iloc[train].value_counts().min()) for train, _ in pairs)
    share = len(pairs[0][0]) / report.n_train
    return replace(attempt, images_per_class=min(least, max(1, round(attempt.images_per_class * min(1, share)))))


def missing_weights(attempts: Iterable[Attempt]) -> dict[str, str]:
    """Architectures whose ImageNet weights some attempt needs and cannot have: ``{arch: what was looked for, where}``.

    Weights that are not on this machine are downloaded if that works.
    """
    found = {row["name"] for row in backbones.available() if row["weights"] == "found"}
    missing = {}
    for arch in dict.fromkeys(a.arch for a in attempts if a.strategy != "scratch" and a.arch not in found):
        try:
            backbones.load(arch)
        except Hw3Error as error:
            missing[arch] = first_line(error).removesuffix(" Three ways out:")
    return missing


def substitute(attempt: Attempt) -> Attempt:
    """The attempt with the Lite network of the same rank in place of its own; the new name says so.

    Raises:
        Hw3Error: no substitute is known for the architecture.
    """
    if attempt.arch not in SUBSTITUTES:
        known = ", ".join(SUBSTITUTES)
        raise Hw3Error(f"attempt {attempt.name!r}: no substitute for {attempt.arch!r}; expected {known}")
    network, arch, other = SUBSTITUTES[attempt.arch]
    return replace(attempt, arch=arch, name=attempt.name.replace(network, f"{other} for {network}", 1))


def with_weights(
    report: StudentReport, attempts: dict[int, Attempt], allow_substitutes: bool
) -> tuple[dict[int, Attempt], dict[str, str]]:
    """Attempts whose ImageNet weights are there.

    Args:
        report: the report.
        attempts: by number of row.
        allow_substitutes: put Lite networks in place of those whose weights cannot be had.

    Returns:
        The attempts, and which network stands in for which, ``{"ResNet34": "EfficientNet-Lite1"}``.

    Raises:
        Hw3Error: weights that cannot be had, and ``allow_substitutes`` is False; it says all ways out.
    """
    missing = missing_weights(attempts.values())
    if not missing:
        return attempts, {}

    def affected(attempt: Attempt) -> bool:
        return attempt.strategy != "scratch" and attempt.arch in missing

    substitutes = {SUBSTITUTES[arch][0]: SUBSTITUTES[arch][2] for arch in missing if arch in SUBSTITUTES}
    if not allow_substitutes:
        numbers = ", ".join(str(n) for n, attempt in attempts.items() if affected(attempt))
        lines = [f"ImageNet weights are missing, and the {report.name} report needs them (rows: {numbers}):"]
        lines += [f"- {text}" for text in missing.values()]
        places = Path(torch.hub.get_dir()) / "checkpoints"
        ways = [
            "run again with a connection to the internet",
            f"download these files elsewhere and put them into {places}, or set TORCH_HOME to a folder that has them "
            "under hub/checkpoints",
            f"--substitute: {say(substitutes)}, and every table and figure says so",
        ]
        rest = [row.number for row in report.rows if not affected(row.attempt)]
        if report.baseline in rest:
            ways.append(f"--rows {' '.join(map(str, rest))}: only rows that do without these weights")
        lines += ["Ways out:", *(f"  {i}. {way}" for i, way in enumerate(ways, 1))]
        raise Hw3Error("\n".join(lines))
    changed = {n: substitute(attempt) if affected(attempt) else attempt for n, attempt in attempts.items()}
    still = missing_weights(changed.values())
    if still:
        raise Hw3Error("the substitutes' ImageNet weights are missing too:\n" + "\n".join(still.values()))
    return changed, substitutes


def say(substitutes: dict[str, str]) -> str:
    """Which network stands in for which, as a sentence without its full stop."""
    pairs = ", ".join(f"{other} for {network}" for network, other in substitutes.items())
    return f"{pairs} {'stands' if len(substitutes) == 1 else 'stand'} in"


def verdicts(report: StudentReport, results: Mapping[int, Result], substituted: Iterable[int] = ()) -> pd.DataFrame:
    """Test the report's findings on paired differences of accuracy.

    The 95 % intervals are each by itself; the verdicts hold for all findings together, by Holm's method.

    Args:
        report: the report.
        results: by number of row, all on the same splits. Hypotheses about other rows are left out.
        substituted: rows whose network is not the report's.

    Returns:
        One row a hypothesis: ``hypothesis``, ``better``, ``worse`` (numbers of rows), ``difference``, ``low``, ``high``
        (fractions of one), ``p`` (see :func:`hw3lib.core.holm`), ``verdict`` (``held``, ``refuted`` or ``not
        significant``) and ``substituted`` (bool: at least one of the two networks is a substitute).
    """
    columns = ["hypothesis", "better", "worse", "difference", "low", "high", "p", "verdict", "substituted"]
    tested = [h for h in report.hypotheses if h.better in results and h.worse in results]
    rows = []
    for h, gain in zip(tested, holm(results[h.better].gain(results[h.worse]) for h in tested), strict=True):
        replaced = bool({h.better, h.worse} & set(substituted))
        found = gain.columns("difference", "").values()
        rows.append((h.text, h.better, h.worse, *found, gain.verdict(HELD, REFUTED), replaced))
    return pd.DataFrame(rows, columns=columns)
