"""Draw the staircase: the rooms of hw3lib on their floors, and which imports which, as the code has it.

python docs/staircase.py
"""

from __future__ import annotations

from pathlib import Path

import grimp
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "staircase.png"
PURPOSES = {
    "cli": "the command hw3, one file a command",
    "inspection": "the tool for the line, the app",
    "course": "notebooks, exercises, grading",
    "sweep": "grids of runs, clusters",
    "views": "plots and widgets",
    "report": "at most three pages",
    "annotate": "chapter 5: formats, boxes, masks",
    "classify": "chapter 2",
    "imbalance": "chapter 3",
    "anomaly": "chapter 4",
    "runs": "what a run is, and resuming it",
    "networks": "backbones, training loop",
    "data": "chapter 1: tables, images, splits, synthetic categories",
    "core": "places, files, intervals, saved and kept results; no torch",
    "errors": "Hw3Error",
}
# Bars: the roof, which uses nearly every room, and the ground, which nearly every room uses; in words, not as arrows.
ROOF, GROUND = ("cli",), ("data", "core", "errors")
COLOURS = ["#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#64b5cd", "#b0a030"]
WIDTH, HEIGHT, FLOOR, BAR = 2.7, 0.62, 1.35, 0.85  # of a room; from floor to floor, and from bar to bar
SPAN = 10.4  # width of the house
PLACES = {"annotate": 8.4, "views": 3.0, "report": 9.05, "runs": 1.5, "networks": 6.5}  # x; others are spread evenly


def floors() -> list[list[str]]:
    """The contract that ``make lint`` holds, from the top floor to the ground."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def arrows() -> dict[tuple[str, str], int]:
    """Imports from one room to another, counted in modules that import."""
    graph, found = grimp.build_graph("hw3lib", cache_dir=None), {}
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            pair = (room(module), room(imported))
            if all(pair) and pair[0] != pair[1]:
                found[pair] = found.get(pair, 0) + 1
    return found


def room(module: str) -> str:
    """``anomaly`` of ``hw3lib.anomaly.maps``; empty for the face, ``hw3lib`` itself."""
    return f"{module}.".split(".")[1]


def as_text(found: dict[tuple[str, str], int]) -> str:
    """The arrows in words, kept in the picture so that a test sees when it is out of date."""
    return ", ".join(f"{above} > {below}" for above, below in sorted(found))


def places(levels: list[list[str]]) -> dict[str, tuple[float, float]]:
    """Where the middle of every room is drawn; floors from the ground up."""
    found, y = {}, 0.0
    for rooms in levels:
        for k, name in enumerate(rooms):
            spread = SPAN / (2 * len(rooms)) * (2 * k + 1)
            found[name] = (SPAN / 2 if name in ROOF + GROUND else PLACES.get(name, spread), y)
        y += BAR if rooms[0] in GROUND else FLOOR
    return found


def main() -> None:
    found = arrows()
    at = places(floors()[::-1])
    drawn = {pair: count for pair, count in found.items() if pair[0] not in ROOF and pair[1] not in GROUND}
    colours = dict(zip(dict.fromkeys(above for above, _ in drawn), COLOURS, strict=False))
    figure, axes = plt.subplots(figsize=(11, 8.4), layout="constrained")
    for name, place in at.items():
        used = [below for below in at if (name, below) in found and (name in ROOF or below in GROUND)]
        draw_room(axes, name, place, colours.get(name, "#888888"), used[::-1])
    for (above, below), count in drawn.items():
        draw_arrow(axes, at[above], at[below], colours[above], count)
    axes.set(xlim=(-0.2, SPAN + 0.2), ylim=(-0.5, at[ROOF[0]][1] + 0.5))
    axes.axis("off")
    figure.savefig(PICTURE, dpi=90, metadata={"Description": as_text(found)})


def draw_room(axes: Axes, name: str, place: tuple[float, float], colour: str, used: list[str]) -> None:
    """A box with the name, what the room is for, and what it imports that has no arrow."""
    (x, y), width = place, SPAN if name in ROOF + GROUND else WIDTH
    style = "round,pad=0.02,rounding_size=0.08"
    corner = (x - width / 2, y - HEIGHT / 2)
    axes.add_patch(FancyBboxPatch(corner, width, HEIGHT, style, fc="white", ec=colour, lw=2, zorder=3))
    axes.text(x, y + 0.16, name, ha="center", va="center", weight="bold", size=12, zorder=4)
    axes.text(x, y - 0.03, PURPOSES[name], ha="center", va="center", size=8.5, zorder=4)
    if used:
        axes.text(x, y - 0.2, "on " + ", ".join(used), ha="center", va="center", size=8, color="#666666", zorder=4)


def draw_arrow(axes: Axes, above: tuple[float, float], below: tuple[float, float], colour: str, count: int) -> None:
    """From the lower edge of the room that imports to the upper edge of the imported one."""
    (x, y), (to_x, to_y) = above, below
    shift = (to_x - x) / SPAN  # arrows of one room leave, and reach, at different places
    start, end = (x + shift, y - HEIGHT / 2 - 0.04), (to_x - shift, to_y + HEIGHT / 2 + 0.04)
    line = {"lw": 0.8 + 0.12 * min(count, 12), "color": colour, "alpha": 0.85, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, zorder=2, **line))


if __name__ == "__main__":
    main()
