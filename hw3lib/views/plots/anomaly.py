"""Figures of anomaly detection: heat maps, scores, thresholds, and what changed conditions do. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from hw3lib.anomaly.assembly import Maps
from hw3lib.anomaly.calibration import ColourScale
from hw3lib.anomaly.maps import overlay, upsample
from hw3lib.anomaly.metrics.metrics import check_scores, image_metrics
from hw3lib.anomaly.thresholds import Errors
from hw3lib.core.fonts import BLUE, GREEN, GREY, ORANGE, PURPLE, pretty
from hw3lib.core.text import percent
from hw3lib.data.pixels.images import read_row
from hw3lib.data.regions.masks import load_masks
from hw3lib.errors import Hw3Error

from .style import TILE, confusion, keep_aspect, nothing, outline

PAGE = 6  # images on a page
_BLUES = sns.light_palette(BLUE, as_cmap=True)


def heat_maps(
    table: pd.DataFrame,
    maps: Maps,
    scale: ColourScale,
    threshold: float,
    scores: np.ndarray | None = None,
    rows: Sequence[int] | None = None,
) -> Figure:
    """Images side by side with their masks, heat maps, and what lies above the threshold, one image a line.

    Args:
        table: the images, columns ``image, mask, defect``.
        maps: float ``(N, h, w)``, or ``(h, w)`` each, in the table's order; each covers its image.
        scale: colours shared by all images, see :attr:`hw3lib.anomaly.Detector.scale_`.
        threshold: in the unit of the maps.
        scores: ``(N,)``, written beside the images.
        rows: positions in the table; None takes one of each class in turn, up to six.

    Raises:
        Hw3Error: not one map (or score) an image, or a row that does not exist.
    """
    _check(table, maps, scores)
    if rows is None:
        turn = table.groupby("defect").cumcount().to_numpy()
        rows = np.lexsort((table["defect"], table["defect"] != "good", turn))[:PAGE].tolist()
    if not len(rows):
        return nothing("no image")
    if min(rows) < 0 or max(rows) >= len(table):
        raise Hw3Error(f"rows={list(rows)}: expected positions from 0 to {len(table) - 1}")
    masks = load_masks(table.iloc[list(rows)], TILE, fit="stretch")
    figure, grid = plt.subplots(
        len(rows), 4, figsize=(7.6, 1.85 * len(rows) + 0.3), squeeze=False, layout="constrained"
    )
    for line, row, mask in zip(grid, rows, masks, strict=True):
        picture, values = read_row(table.iloc[row], TILE), upsample(maps[row], TILE)
        above = values > threshold
        shown = (picture, picture, overlay(picture, values, scale), np.where(above[..., None], picture, picture // 4))
        for axes, tile in zip(line, shown, strict=True):
            axes.imshow(tile, interpolation="nearest")
            keep_aspect(axes, table.iloc[row])
            axes.set(xticks=[], yticks=[])
        for axes in line[1:]:
            outline(axes, mask)
        _contour(line[3], values, threshold)
        if table["defect"].iloc[row] != "good" and not isinstance(table["mask"].iloc[row], str):
            line[1].set_xlabel("no mask", fontsize=9)
        name = fill(pretty(table["defect"].iloc[row]), 14)
        line[0].set_ylabel(name if scores is None else f"{name}\nscore {scores[row]:.3g}", fontsize=10)
    for axes, name in zip(grid[0], ("image", "mask", "heat map", "above the threshold"), strict=True):
        axes.set_title(name, fontsize=10)
    return figure


def missed(
    table: pd.DataFrame,
    maps: Maps,
    scale: ColourScale,
    map_threshold: float,
    scores: np.ndarray,
    threshold: float,
) -> Figure:
    """Defective images that a threshold misses, as :func:`heat_maps`, the lowest score first; or that there are none.

    Args:
        table: the images, columns ``image, mask, defect, is_defect``.
        maps, scale, map_threshold, scores: as for :func:`heat_maps`.
        threshold: in the unit of the scores; an image is called anomalous if its score is above.
    """
    is_defect, scores = table["is_defect"].to_numpy(bool), np.asarray(scores)
    rows = [int(row) for row in np.argsort(scores, kind="stable") if is_defect[row] and scores[row] <= threshold]
    if not rows:
        return nothing("no defect is missed" if is_defect.any() else "no defective image")
    return heat_maps(table, maps, scale, map_threshold, scores, rows[:PAGE])


def most_and_least(
    table: pd.DataFrame,
    maps: Maps,
    scores: np.ndarray,
    p_values: np.ndarray,
    scale: ColourScale,
    columns: int = PAGE,
) -> Figure:
    """The most anomalous images above, the least anomalous below, with heat map, score and p-value.

    Args:
        table, maps, scores, scale: as for :func:`heat_maps`.
        p_values: ``(N,)``, see :func:`hw3lib.anomaly.thresholds.p_values`.
        columns: images in a line.
    """
    _check(table, maps, scores)
    order = np.argsort(-np.asarray(scores), kind="stable")
    columns = min(columns, len(order))
    if not columns:
        return nothing("no image")
    figure, grid = plt.subplots(2, columns, figsize=(1.9 * columns, 5.2), squeeze=False, layout="constrained")
    masks = load_masks(table, TILE, fit="stretch")
    for line, rows in zip(grid, (order[:columns], order[::-1][:columns]), strict=True):
        for axes, row in zip(line, rows, strict=True):
            picture = read_row(table.iloc[row], TILE)
            axes.imshow(overlay(picture, maps[row], scale), interpolation="nearest")
            keep_aspect(axes, table.iloc[row])
            outline(axes, masks[row])
            axes.set(xticks=[], yticks=[])
            axes.set_title(
                f"{fill(pretty(table['defect'].iloc[row]), 18)}\nscore {scores[row]:.3g}\np = {p_values[row]:.2g}",
                fontsize=9,
            )
    grid[0][0].set_ylabel("most anomalous", fontsize=10)
    grid[1][0].set_ylabel("least anomalous", fontsize=10)
    return figure


def threshold_page(
    table: pd.DataFrame,
    scores: np.ndarray,
    threshold: float,
    maps: Maps,
    scale: ColourScale,
    map_threshold: float | None = None,
    row: int | None = None,
) -> Figure:
    """What one threshold means: histogram, ROC and PR point, confusion matrix and the heat map of an image.

    Args:
        table: the images, columns ``image, mask, defect, is_defect``; ROC and PR need good and defective ones.
        scores: ``(N,)``; an image is called anomalous if its score is above.
        threshold: the value that a reader moves.
        maps, scale: as for :func:`heat_maps`.
        map_threshold: in the unit of the maps, for the contour; None takes ``threshold``, which is right for
            detectors whose score is the map's maximum.
        row: position of the image that is shown; None takes the one whose score is nearest to the threshold.

    Raises:
        Hw3Error: as :func:`heat_maps`, or a score that is NaN or infinite.
    """
    _check(table, maps, scores)
    is_defect, scores = table["is_defect"].to_numpy(bool), np.asarray(scores)
    both = is_defect.any() and not is_defect.all()
    if both:
        check_scores(is_defect, scores)
    row = int(np.abs(scores - threshold).argmin()) if row is None else row
    if not 0 <= row < len(table):
        raise Hw3Error(f"row={row}: expected a position from 0 to {len(table) - 1}")
    figure = plt.figure(figsize=(10, 6.6), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    _histogram(figure.add_subplot(grid[0, :4]), is_defect, scores, threshold)
    _confusion(figure.add_subplot(grid[0, 4:]), is_defect, scores > threshold)
    for draw, place in ((_roc, grid[1, :2]), (_precision_recall, grid[1, 2:4])):
        axes = figure.add_subplot(place)
        if both:
            draw(axes, is_defect, scores, threshold)
        else:
            _not_measured(axes, "needs good and\ndefective images")
    axes = figure.add_subplot(grid[1, 4:])
    picture, values = read_row(table.iloc[row], TILE), upsample(maps[row], TILE)
    axes.imshow(overlay(picture, values, scale), interpolation="nearest")
    keep_aspect(axes, table.iloc[row])
    outline(axes, load_masks(table.iloc[[row]], TILE, fit="stretch")[0])
    _contour(axes, values, threshold if map_threshold is None else map_threshold)
    axes.set(xticks=[], yticks=[])
    said = "called anomalous" if scores[row] > threshold else "called good"
    axes.set_title(f"{pretty(table['defect'].iloc[row])}\nscore {scores[row]:.3g}: {said}", fontsize=10)
    axes.set_xlabel("mask yellow, above the threshold white", fontsize=9)
    return figure


def errors(curve: Sequence[Errors], threshold: float) -> Figure:
    """Missed defects against false alarms, with 95 % intervals, and what a threshold chooses of them.

    Args:
        curve: of :func:`hw3lib.anomaly.thresholds.error_curve`.
        threshold: in the unit of the scores.
    """
    table = pd.DataFrame(curve)
    chosen = table[table["threshold"] <= threshold].tail(1)
    figure, axes = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
    axes.plot(table["alarms"], table["misses"], color=BLUE, drawstyle="steps-pre", lw=2, clip_on=False)
    axes.fill_between(table["alarms"], table["misses_low"], table["misses_high"], color=BLUE, alpha=0.2, lw=0)
    for row in chosen.itertuples():
        across = [[row.alarms - row.alarms_low], [row.alarms_high - row.alarms]]
        along = [[row.misses - row.misses_low], [row.misses_high - row.misses]]
        axes.errorbar(row.alarms, row.misses, along, across, color="black", capsize=3)
        _point(axes, row.alarms, row.misses)
    _unit_axes(axes, "false alarms", "missed defects", f"threshold {threshold:.4g}")
    return figure


def detectors(table: pd.DataFrame) -> Figure:
    """Image AUROC with its interval, AUPRO, and milliseconds an image of several detectors, best on top.

    ``table``: as :func:`hw3lib.anomaly.compare_detectors` gives it.
    """
    table = table.iloc[::-1]
    y = np.arange(len(table))
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(10, 0.36 * len(table) + 1.3), sharey=True, width_ratios=(4, 2, 2), layout="constrained"
    )
    left.hlines(y, table["auroc_low"], table["auroc_high"], color=BLUE, lw=2.5)
    left.plot(table["image_auroc"], y, "o", color=BLUE, ms=6)
    left.axvline(0.5, color=GREY, ls="--", lw=1, zorder=0)
    left.annotate(
        "guessing", (0.5, 1), (3, 2), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8
    )
    left.set(yticks=y, yticklabels=table["detector"], xlabel="image AUROC (95 % interval)")
    left.set_xlim(min(0.45, table["auroc_low"].min() - 0.02), 1.02)
    if table["image_auroc"].isna().all():
        _not_measured(left, "not measured: needs good and defective test images")
    middle.hlines(y, 0, table["aupro"], color=ORANGE, lw=1.5)
    middle.plot(table["aupro"], y, "s", color=ORANGE, ms=6)
    why = "not measured" if table["aupro"].isna().all() else "no map"
    for i, value in zip(y, table["aupro"], strict=True):
        if np.isnan(value):
            middle.annotate(why, (0, i), (4, 0), textcoords="offset points", va="center", fontsize=8, color=GREY)
    middle.set(xlim=(0, 1.05), xlabel="AUPRO (up to FPR 0.3)")
    right.plot(table["ms_per_image"], y, "D", color="black", ms=5)
    right.set(xscale="log", xlabel="milliseconds an image")
    right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    right.grid(axis="x", color="0.9", which="both")
    for axes in (left, middle, right):
        axes.set_ylim(-0.6, len(table) - 0.4)
    sns.despine(figure)
    return figure


def coreset(sizes: np.ndarray, greedy: np.ndarray, at_random: np.ndarray, count: int) -> Figure:
    """Distance of the worst patch from its nearest kept one over the share that is kept, greedily and at random."""
    figure, axes = plt.subplots(figsize=(6, 3.3), layout="constrained")
    shares = 100 * np.asarray(sizes) / count
    axes.plot(shares, at_random, "s--", color=ORANGE, label="drawn at random")
    axes.plot(shares, greedy, "o-", color=BLUE, label="greedy coreset")
    axes.set(
        xscale="log", xlabel="share of the patches that is kept", ylabel="largest distance of a patch\nfrom a kept one"
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, None)
    axes.legend(frameon=False)
    sns.despine(figure)
    return figure


def robustness(table: pd.DataFrame) -> Figure:
    """How image AUROC and false-alarm rate change with the conditions, one line a detector.

    Args:
        table: one row a condition and detector, with ``condition, detector, image_auroc, false_alarm_rate`` (shares);
            conditions in the order in which they first appear. Where every row has the same ``asked_rate``, the rate
            that the thresholds were to keep, it is drawn as a dashed line.

    Raises:
        Hw3Error: a column is missing.
    """
    if missing := {"condition", "detector", "image_auroc", "false_alarm_rate"} - set(table.columns):
        raise Hw3Error(f"table: no column {', '.join(sorted(missing))}; found {', '.join(map(str, table.columns))}")
    if not len(table):
        return nothing("no condition")
    conditions, detectors = (list(dict.fromkeys(table[column])) for column in ("condition", "detector"))
    figure, grid = plt.subplots(
        1, 2, figsize=(9, 0.45 * len(conditions) + 1.9), sharey=True, squeeze=False, layout="constrained"
    )
    styles = list(zip((BLUE, ORANGE, GREEN, PURPLE, GREY), "osD^v", strict=True))
    y = {condition: i for i, condition in enumerate(conditions)}
    apart = np.linspace(-0.22, 0.22, len(detectors)) if len(detectors) > 1 else [0]
    for k, (detector, part) in enumerate(table.groupby("detector", sort=False)):
        colour, marker = styles[k % len(styles)]
        filled = k // len(styles) % 2 == 0
        for axes, column in zip(grid[0], ("image_auroc", "false_alarm_rate"), strict=True):
            at = part["condition"].map(y) + apart[k]
            look = {"color": colour, "mfc": colour if filled else "white", "ms": 6, "label": pretty(str(detector))}
            axes.plot(part[column], at, marker, **look, clip_on=False)
    for axes, name, chance in zip(grid[0], ("image AUROC", "false-alarm rate"), (0.5, None), strict=True):
        axes.set(xlabel=name, xlim=(min(0.5, table["image_auroc"].min()) if chance else 0, 1))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for i in y.values():
            axes.axhline(i + 0.5, color="0.9", lw=0.8, zorder=0)
    grid[0][0].axvline(0.5, color=GREY, ls="--", lw=1, zorder=0)
    for axes, column in zip(grid[0], ("image_auroc", "false_alarm_rate"), strict=True):
        if table[column].isna().all():
            _not_measured(axes, "not measured")
    if "asked_rate" in table and table["asked_rate"].nunique() == 1:
        asked = table["asked_rate"].iloc[0]
        grid[0][1].axvline(asked, color=GREY, ls="--", lw=1, zorder=0)
        grid[0][1].set_xlabel(f"false-alarm rate (dashed: the {percent(asked)} asked for)")
    grid[0][0].set(yticks=list(y.values()), yticklabels=[fill(str(c), 26) for c in conditions])
    grid[0][0].set_ylim(len(conditions) - 0.5, -0.5)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), frameon=False, fontsize=9)
    sns.despine(figure)
    return figure


def _check(table: pd.DataFrame, maps: Maps, scores: np.ndarray | None) -> None:
    shapes = [np.shape(values) for values in maps]
    wrong = len(shapes) != len(table) or any(len(shape) != 2 for shape in shapes)
    if wrong or (scores is not None and len(scores) != len(table)):
        found = "" if scores is None else f" and {len(scores)} scores"
        first = f" of {shapes[0]}" if shapes else ""
        raise Hw3Error(f"{len(shapes)} maps{first}{found} for {len(table)} images; expected maps (h, w), one an image")


def _contour(axes: plt.Axes, values: np.ndarray, threshold: float) -> None:
    """The border of what lies above the threshold, white on black."""
    if values.min() <= threshold < values.max():
        for colour, width in (("black", 2.6), ("white", 1.2)):
            axes.contour(values, [threshold], colors=colour, linewidths=width)


def _histogram(axes: plt.Axes, is_defect: np.ndarray, scores: np.ndarray, threshold: float | None) -> None:
    if not len(scores):
        axes.text(0.5, 0.5, "no image", ha="center", va="center", transform=axes.transAxes)
        return
    edges = np.histogram_bin_edges(scores, 30)
    for wanted, name, colour, hatch in ((False, "good", BLUE, None), (True, "defective", ORANGE, "///")):
        chosen = scores[is_defect == wanted]
        label = f"{name} ({len(chosen)})"
        axes.hist(chosen, edges.tolist(), color=colour, alpha=0.65, hatch=hatch, edgecolor="white", lw=0.4, label=label)
    if threshold is not None:
        axes.axvline(threshold, color="black", ls="--", lw=1.4, label=f"threshold {threshold:.4g}")
    axes.set(xlabel="image score", ylabel="images")
    axes.legend(frameon=False, fontsize=9)
    sns.despine(ax=axes)


def _roc(axes: plt.Axes, is_defect: np.ndarray, scores: np.ndarray, threshold: float | None) -> None:
    false_alarms, found, _ = roc_curve(is_defect, scores)
    axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1)
    axes.plot(false_alarms, found, color=BLUE, lw=2, clip_on=False)
    if threshold is not None:
        called = scores > threshold
        _point(axes, called[~is_defect].mean(), called[is_defect].mean())
    _unit_axes(
        axes, "false-alarm rate", "defects found (recall)", f"AUROC {image_metrics(is_defect, scores).auroc:.3f}"
    )


def _precision_recall(axes: plt.Axes, is_defect: np.ndarray, scores: np.ndarray, threshold: float | None) -> None:
    precision, recall, _ = precision_recall_curve(is_defect, scores)
    axes.axhline(is_defect.mean(), color=GREY, ls="--", lw=1)
    axes.plot(recall, precision, color=BLUE, lw=2, drawstyle="steps-pre", clip_on=False)
    if threshold is not None and (called := scores > threshold).any():
        _point(axes, called[is_defect].mean(), is_defect[called].mean())
    average = image_metrics(is_defect, scores).average_precision
    _unit_axes(axes, "recall", "precision", f"average precision {average:.3f}")


def _not_measured(axes: plt.Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, fontsize=9, color=GREY)


def _point(axes: plt.Axes, x: float, y: float) -> None:
    axes.plot(x, y, "o", color=ORANGE, mec="black", ms=9, clip_on=False, zorder=3)


def _unit_axes(axes: plt.Axes, x: str, y: str, title: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=x, ylabel=y, aspect="equal")
    axes.set_title(title, fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    sns.despine(ax=axes)


def _confusion(axes: plt.Axes, is_defect: np.ndarray, called: np.ndarray) -> None:
    matrix = np.array(
        [[(is_defect == kind)[called == answer].sum() for answer in (False, True)] for kind in (False, True)]
    )
    names = {"xticklabels": ["good", "anomalous"], "yticklabels": ["good", "defective"]}
    confusion(axes, matrix, cmap=_BLUES, **names)
    axes.set(xlabel="called", ylabel="is")
    axes.set_title(f"{matrix[0, 1]} false alarms, {matrix[1, 0]} defects missed", fontsize=10)
    axes.tick_params(length=0)
