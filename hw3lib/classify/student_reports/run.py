"""Run one of the four reports: its rows on the same splits, tables, a figure and verdicts in a run's folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hw3lib.classify.attempts import Attempt
from hw3lib.classify.experiment import check_attempt, run_attempt
from hw3lib.classify.result import Result
from hw3lib.core.files import clear_write_errors
from hw3lib.core.intervals import Interval
from hw3lib.core.places import data_roots
from hw3lib.core.text import did_you_mean, slug
from hw3lib.data.fetch.official import OFFICIAL
from hw3lib.data.fetch.sources import SYNTHETIC, get
from hw3lib.data.folders.find import find_category, is_category, refuse_inside_category, root_of
from hw3lib.data.labels import Split
from hw3lib.data.parts import parts_of
from hw3lib.data.splits import classification_images
from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import default_accelerator, pick_device
from hw3lib.runs.folder import RunFolder
from hw3lib.runs.kernel import lock, results_folder, sigterm_interrupts

from .reports import REPORTS, ReportRow, StudentReport
from .result import BEYOND, Reproduction, line
from .verdicts import describe_protocol, fit_to, say, splits, verdicts, with_weights

# Called with the images, the splits, the folder of kept outcomes and the seed; a method that is not in the report.
Beyond = Callable[[pd.DataFrame, list[Split], Path, int], Result]


def find_report(name: str) -> StudentReport:
    """The report of this name.

    Raises:
        Hw3Error: there is none.
    """
    if name not in REPORTS:
        near = did_you_mean(name, REPORTS) or "."
        raise Hw3Error(f"unknown report {name!r}{near} There are {', '.join(REPORTS)}")
    return REPORTS[name]


def locate(
    product: str, category: str | None, data: str | Path | None, echo: Callable[[str], object] = print
) -> tuple[Path, str]:
    """Where the category is that a report is run on: ``(root, category)`` for ``load_table``.

    Args:
        product: of the report.
        category: None takes the report's product where it is found, and the generated one where it is not.
        data: folder that holds categories, looked into before ``HW3_DATA`` and ``data/`` of the project.
        echo: receives a message when the generated category stands in.

    Raises:
        Hw3Error: unknown category, one that must be fetched first, or a folder level too high or too low.
    """
    roots = data_roots(data)
    places = ", ".join(map(str, roots))
    wanted = (category or product).strip("/")
    if root := root_of(wanted, roots):
        return root, wanted
    if category is None:
        above = [p for p in roots[0].glob(f"*/{product}") if p.parent.name != "synthetic"]
        if data and any(map(is_category, [roots[0], *above])):
            find_category(roots[0], product)  # its error says which level was meant
        wanted = f"synthetic/{product}"
        echo(f"{product} is not in {places}; {wanted} stands in")
        if root := root_of(wanted, roots):
            return root, wanted
    if wanted in SYNTHETIC:
        return get(wanted, data, progress=sys.stderr.isatty()), wanted
    if wanted in OFFICIAL:
        raise Hw3Error(f"{wanted} is not in {places}; name its folder with --data, or run: hw3 data get {wanted}")
    find_category(roots[0], wanted)
    return roots[0], wanted


def reproduce(  # noqa: PLR0913, settings by keyword
    report: StudentReport,
    table: pd.DataFrame,
    *,
    repeats: int = 10,
    seed: int = 0,
    allow_substitutes: bool = False,
    numbers: Collection[int] = (),
    name: str | None = None,
    runs_dir: str | Path | None = None,
    out: str | Path | None = None,
    beyond: Beyond | None = None,
    draw: Callable[[Reproduction], Figure] | None = None,
    device: str = "auto",
    progress: bool = False,
    echo: Callable[[str], object] = print,
) -> Reproduction:
    """Run a report's rows on a category and write ``reproduce.csv``, ``hypotheses.csv``, ``metrics.json`` and a figure.

    Finished splits are kept in the folder, so that an interrupted run goes on where it stopped. Every row is checked
    before the first is trained. In several processes (see :func:`hw3lib.classify.train`) only the first one tells and
    writes.

    Args:
        report: one of :data:`hw3lib.classify.student_reports.reports.REPORTS`.
        table: the category.
        repeats: number of splits.
        seed: of splits, weights and batches.
        allow_substitutes: let Lite networks take the place of those whose ImageNet weights cannot be had.
        numbers: rows to run; none means all. The baseline always runs, differences are from it.
        name: of the folder in ``runs_dir``; by default ``reproduce-<report>-<category>``.
        runs_dir: by default ``runs/`` of the project.
        out: folder of the results, in the place of ``name`` in ``runs_dir``.
        beyond: a method that is not in the report, run on the same splits as the last row.
        draw: makes the figure, see :func:`hw3lib.views.plots.student_reports.figure`; None leaves it out.
        device: see :func:`hw3lib.classify.run_attempt`.
        progress: show a bar for each row.
        echo: receives messages before and between the rows.

    Raises:
        Hw3Error: unknown row, weights that cannot be had, too few images for the splits or for a batch, images of a
            size that a network does not take, a loss that is not finite, a folder that is in use or cannot be written.
    """
    processes = default_accelerator()
    if not processes.is_main_process:
        echo = _say_nothing
    name = name or f"reproduce-{report.name}-{slug(table.attrs['category'])}"
    folder = results_folder(name, runs_dir, out, "a reproduced report")
    refuse_inside_category(folder, table.attrs["folder"], option="the run's folder")
    rows = _rows(report, numbers, echo)
    images = _images(table, echo)
    pairs = splits(report, images, repeats, seed)
    attempts = {row.number: fit_to(row.attempt, report, images, pairs) for row in rows}
    echo(describe_protocol(report, images))
    _say_assumptions(report, rows, attempts, echo)
    with processes.main_process_first():  # which downloads them, if need be
        attempts, substitutes = with_weights(report, attempts, allow_substitutes)
    if substitutes:
        echo(f"ImageNet weights are missing: {say(substitutes)}")
    _check_all(report, attempts, images, pairs, seed)

    with ExitStack() as stack:
        stack.enter_context(sigterm_interrupts())
        stack.enter_context(clear_write_errors(folder, "What was finished is kept."))
        if processes.is_main_process:
            stack.enter_context(lock(folder))
        written = RunFolder("reproduce", table, "full", str(folder), {"seed": seed}, str(pick_device(device)))
        kept = folder / "kept"
        results, records = {}, []
        total = len(rows) + (beyond is not None)
        for row in rows:
            attempt = attempts[row.number]
            result = run_attempt(attempt, images, pairs, keep=kept, seed=seed, device=device, progress=progress)
            results[row.number] = result
            base = results[report.baseline]  # the first row of every report
            records.append(_record(row, result, base, attempt.arch != row.attempt.arch))
            echo(f"[{len(records)}/{total}] {line(records[-1])}")
        if beyond is not None:
            records.append(_record(None, beyond(images, pairs, kept, seed), results[report.baseline], False))
            echo(f"[{total}/{total}] {line(records[-1])}")
        frame = pd.DataFrame(records)
        substituted = [row.number for row in rows if attempts[row.number].arch != row.attempt.arch]
        findings = verdicts(report, results, substituted)
        done = Reproduction(report, table.attrs["category"], frame, findings, substitutes, results, folder)
        if processes.is_main_process:
            _write(done, written, repeats, describe_protocol(report, images), draw)
    return done


def _say_nothing(text: str) -> None: ...


def _rows(report: StudentReport, numbers: Collection[int], echo: Callable[[str], object]) -> list[ReportRow]:
    """The rows to run, the baseline among them."""
    chosen = {report.row(number).number for number in numbers} or {row.number for row in report.rows}
    if report.baseline not in chosen:
        echo(f"row {report.baseline} runs too: it is the baseline that differences are from")
    return [row for row in report.rows if row.number in chosen | {report.baseline}]


def _images(table: pd.DataFrame, echo: Callable[[str], object]) -> pd.DataFrame:
    """The images to classify, of the classes that have enough of them."""
    parts = parts_of(table)
    if why := parts.no_classes("classify"):
        raise Hw3Error(f"{table.attrs['category']}: {why}")
    images = classification_images(table)
    if parts.too_few:
        echo(f"left out, {parts.few_images}")
        images = images[images["defect"].isin(parts.classes)].reset_index(drop=True)
    return images


def _say_assumptions(
    report: StudentReport, rows: list[ReportRow], attempts: dict[int, Attempt], echo: Callable[[str], object]
) -> None:
    echo("assumed where the report is silent:")
    for text in report.assumptions:
        echo(f"- {text}")
    for row in rows:
        if attempts[row.number] != row.attempt:
            fewer = attempts[row.number].images_per_class
            echo(f"- row {row.number} learns from {fewer} instead of {row.attempt.images_per_class} images a class")


def _check_all(
    report: StudentReport, attempts: dict[int, Attempt], images: pd.DataFrame, pairs: list[Split], seed: int
):
    """One error for all rows that cannot run, before any of them does."""
    wrong = {}
    for number, attempt in attempts.items():
        try:
            check_attempt(attempt, images, pairs, seed)
        except Hw3Error as error:
            wrong[number] = str(error)
    if wrong:
        lines = [f"{len(wrong)} of {len(attempts)} rows of the {report.name} report cannot run here:"]
        lines += [f"- row {number}: {text}" for number, text in wrong.items()]
        rest = [number for number in attempts if number not in wrong]
        if report.baseline in rest:
            lines.append(f"--rows {' '.join(map(str, rest))}: only the rows that can")
        raise Hw3Error("\n".join(lines))


def _record(row: ReportRow | None, result: Result, baseline: Result, substituted: bool) -> dict:
    reported = row.interval() if row else Interval(kind="share")
    gain = result.gain(baseline) if baseline is not result else Interval(kind="difference")
    return {
        "row": str(row.number) if row else BEYOND,
        "attempt": result.attempt.name,
        "arch": result.attempt.arch,
        "strategy": result.attempt.strategy,
        "image_size": result.attempt.image_size,
        **reported.columns("reported"),
        "reported_n_test": row.n_test if row else None,
        **result.interval().columns("accuracy", "ci"),
        **gain.columns("gain"),
        "n_splits": len(result.accuracies),
        "seconds": sum(result.seconds),
        "substituted": substituted,
    }


def _write(
    done: Reproduction, out: RunFolder, repeats: int, drawn: str, draw: Callable[[Reproduction], Figure] | None
) -> None:
    out.table(done.rows.set_index("row"), "reproduce")
    out.table(done.hypotheses.set_index("hypothesis"), "hypotheses")
    if draw:
        out.figure(draw(done), "reproduce")
    reported = {row.number: dict(row.reported) for row in done.report.rows}
    out.metrics(
        report=done.report.name,
        repeats=repeats,
        drawn=drawn,
        assumptions=done.report.assumptions,
        substitutes=done.substitutes,
        baseline=done.report.baseline,
        reported=reported,
        rows=done.rows,
        hypotheses=done.hypotheses,
    )
