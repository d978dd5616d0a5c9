"""Wood: a planed, varnished board that fills the frame, its grain running mostly downwards.

The colour is that of light filtered by the wood: ``exp(-absorption * density)``. Growth rings, streaks, fibres and
pores add to the density; all of them live in grain coordinates (``across``, ``along``), which wander and part around
a knot. Knots are part of good wood. Lengths are in image sides, angles in radians.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .canvas import (
    Field,
    Steady,
    blob,
    coordinates,
    curve,
    distance_to_curve,
    light,
    log_uniform,
    mix,
    noise,
    smoothstep,
)

Painted = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Board:
    """A painted board, or a rectangle cut from one; its fields have the shape ``(rows, columns)``."""

    image: np.ndarray  # linear RGB, float32 (rows, columns, 3)
    x: Field  # pixel coordinates in image sides
    y: Field
    fibre: Field  # fine texture along the grain, about standard normal
    lamp: float  # the light stands in the direction (cos(lamp), sin(lamp))


VARIATION = 0.3  # share of their spread that boards of one kind of wood keep under fixed lamps


def paint(defect: str, size: int, scene: np.random.Generator, flaw: np.random.Generator) -> Painted:
    """Paint one board: linear RGB float32 ``(size, size, 3)`` in ``[0, 1]`` and defect mask, bool ``(size, size)``."""
    if defect != "good" and defect not in DEFECTS:
        raise ValueError(f"unknown defect {defect!r} of wood; known: good, {', '.join(DEFECTS)}")
    board = _good_board(size, Steady(scene, VARIATION))
    if defect == "good":
        return board.image, np.zeros((size, size), bool)
    return DEFECTS[defect](flaw, board)


def _good_board(size: int, scene: np.random.Generator) -> Board:
    """Grain, colour, light and varnish of a board without defect."""
    x, y = coordinates(size)
    across, along, knot = _grain(scene, x, y)
    rings = _growth_rings(scene, across, along, knot)
    fibre, pores = _fine_texture(scene, across, along)

    hardwood = scene.uniform(0, 1)  # 0: conifer with strong rings, 1: porous wood with weak ones
    density = 1 + scene.uniform(0.45, 0.9) * (1 - 0.55 * hardwood) * rings + 0.04 * noise(scene, size, 2.0, 2)
    density = density + scene.uniform(0.04, 0.12) * noise(scene, size, (1.0, 9.0), 3, 0.7)
    density = density + scene.uniform(0.08, 0.13) * fibre + (0.05 + 0.6 * hardwood) * pores * (1.15 - 0.8 * rings)
    density = density + smoothstep(0.25, -0.2, knot) * (_knot_density(scene, knot, fibre) - density)

    absorption = np.array([0.5, 0.9, 1.5]) * np.exp(scene.normal(0, [0.06, 0.03, 0.06])) * log_uniform(scene, 0.9, 2.6)
    image = np.exp(-absorption.astype(np.float32) * np.clip(density, 0.25, None)[..., None])
    glow = smoothstep(0.2, 2.2, noise(scene, size, (1.3, 0.9), 2, 0.25)) * (1 + 0.1 * fibre)
    sheen = (0.008 + scene.uniform(0, 0.11) * glow)[..., None] * np.array([1.05, 0.98, 0.88], np.float32)
    image = np.clip(1.1 * image * light(scene, size, 0.25)[..., None] + sheen, 0, 1).astype(np.float32)
    return Board(image, x, y, fibre, lamp=scene.uniform(-np.pi, 0))


def _grain(scene: np.random.Generator, x: Field, y: Field) -> tuple[Field, Field, Field]:
    """Grain coordinates ``across`` and ``along``, 0 in the middle, and the knot: -1 in its heart, 0 on its rim."""
    size = x.shape[0]
    turn = scene.normal(0, 0.03)
    across = (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn)
    along = (y - 0.5) * np.cos(turn) - (x - 0.5) * np.sin(turn)
    across = across + scene.uniform(0.004, 0.016) * noise(scene, size, (1.0, 2.0), 3, 0.4)
    present, centre = scene.random() < 0.1, 0.9 * scene.random(2) - 0.45
    radius, stretch, outline = scene.uniform(0.01, 0.05), scene.uniform(1.2, 1.9), noise(scene, size, 9.0, 3)
    if not present:
        return across, along, np.full_like(across, 9.0)
    side, up = across - centre[0], (along - centre[1]) / stretch
    distance = np.hypot(side, up) / radius * (1 + 0.09 * outline)
    # Fibres part around the branch like a stream around a pile: this is its stream function.
    return across - side / np.maximum(distance, 0.9) ** 2, along, distance - 1


def _growth_rings(scene: np.random.Generator, across: Field, along: Field, knot: Field) -> Field:
    """Latewood, 0 to about 1: iso-lines of the distance from a pith axis that lies behind the board and leans."""
    size = across.shape[0]
    flat_sawn = scene.uniform() < 0.4  # with cathedrals, else straight-grained
    pith = scene.uniform(-0.45, 0.45) if flat_sawn else scene.choice([-1, 1]) * scene.uniform(0.9, 2.5)
    depth = scene.uniform(0.08, 0.3) * (1 + 0.12 * noise(scene, size, (1.5, 1.0)))
    lean = scene.choice([-1, 1]) * scene.uniform(0.06, 0.22) * (1.0 if flat_sawn else 0.15)
    age = np.hypot(across - pith, depth) + lean * along - abs(pith)
    age = age + 0.012 * noise(scene, size, (1.5, 3.5), 3, 0.45) + 0.0012 * noise(scene, size, (6.0, 110.0), 2)
    age = age - 0.04 * np.exp(-(((knot + 1) / 2.5) ** 2))  # rings bulge towards the branch
    spacing, rings = log_uniform(scene, 0.014, 0.05), 500
    climate = ndimage.gaussian_filter1d(scene.standard_normal(rings), 6) * 1.6
    widths = spacing * np.exp(0.35 * climate + 0.25 * scene.standard_normal(rings))
    strength = np.clip(scene.normal(0.75, 0.22, rings), 0.2, 1.2).astype(np.float32)
    edges = np.cumsum(widths) - widths[: rings // 2].sum()
    phase = np.interp(age, edges, np.arange(rings)).astype(np.float32)
    season = phase % 1
    return smoothstep(0.1, 0.88, season) ** 1.5 * smoothstep(1.0, 0.88, season) * strength[phase.astype(np.intp)]


def _fine_texture(scene: np.random.Generator, across: Field, along: Field) -> tuple[Field, Field]:
    """Fibres (about normal) and pores (up to 1; pale rays below 0), drawn out and bent like the grain."""
    size = across.shape[0]
    fibre = 0.5 * noise(scene, size, (3.0, 50.0), 2, 0.8) + 0.87 * noise(scene, size, (10.0, 200.0), 3, 1.1)
    pores = smoothstep(1.1, 2.2, noise(scene, size, (28.0, 540.0)) + 0.4 * noise(scene, size, (2.0, 16.0), 2))
    pores -= 0.22 * smoothstep(1.8, 2.8, noise(scene, size, (60.0, 170.0)))
    # Sampled a little enlarged, so that wandering and turned fibres do not run out of the texture.
    where = [(along * 0.88 + 0.5) * size - 0.5, (across * 0.88 + 0.5) * size - 0.5]
    fibre, pores = (ndimage.map_coordinates(f, where, order=1, mode="mirror") for f in (fibre, pores))
    return fibre, pores


def _knot_density(scene: np.random.Generator, knot: Field, fibre: Field) -> Field:
    """Density of the branch wood: dark, with its own rings and a darker heart and rim of bark."""
    base, pace, bark = scene.uniform(1.35, 2.1), scene.uniform(12, 24), scene.uniform(0.1, 0.7)
    patches = noise(scene, knot.shape[0], 30.0, 3)
    rings = 0.15 * np.sin(pace * np.clip(knot, -1, 0.5) + patches)
    rim = bark * np.exp(-((knot / 0.13) ** 2)) + 0.4 * np.exp(-(((knot + 1) / 0.15) ** 2))
    return (base + rings + rim + 0.16 * patches + 0.08 * fibre).astype(np.float32)


def _stain(rng: np.random.Generator, board: Board) -> Painted:
    """Dye, ink or bleach on the wood: translucent blots or a smear, soaking in along the grain."""
    strength, soft = log_uniform(rng, 0.3, 1.4), log_uniform(rng, 0.002, 0.015)
    distance = _smear(rng, board) if rng.random() < 0.45 else _blots(rng, board)
    rim = rng.choice([0, 0.5]) * np.exp(-((distance / 0.006) ** 2))
    uneven = 1 + 0.22 * noise(rng, board.x.shape[0], 7.0, 3) + 0.12 * board.fibre + rim
    amount = np.clip(strength * smoothstep(soft, -soft, distance) * uneven, 0, 0.95)[..., None]
    dye = _colour(rng, 0.8, 0.05)
    body = rng.choice([0.1, 0.45])  # how much of the dye's colour is scattered back rather than filtered
    stained = board.image * (1 - amount * (1 - (1 - body) * dye)) + body * amount * dye
    return _confined(board, stained, distance < 0.85 * soft)


def _blots(rng: np.random.Generator, board: Board) -> Field:
    """Distance from an irregular blot and its splashes."""
    x, y = board.x, board.y + rng.uniform(0, 0.012) * board.fibre
    centre, radius = rng.uniform(0.12, 0.88, 2), log_uniform(rng, 0.03, 0.09)
    distance = blob(rng, x, y, tuple(centre), radius, rng.uniform(0.3, 0.9), rng.uniform(1, 2.2))
    for _ in range(rng.integers(0, 6)):
        u, v = centre + rng.normal(0, 1.3 * radius, 2)
        distance = np.minimum(distance, np.hypot(x - u, y - v) - log_uniform(rng, 0.004, 0.02))
    return distance


def _smear(rng: np.random.Generator, board: Board) -> Field:
    """Distance from a stroke of a pen or a wiping finger, wavering in width."""
    path = curve(rng, tuple(rng.uniform(0.2, 0.8, 2)), rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.3), 1.2, 14)
    half = log_uniform(rng, 0.007, 0.035)
    distance, _ = distance_to_curve(board.x, board.y + rng.uniform(0, 0.15) * half * board.fibre, path)
    return distance - half * (1 + 0.15 * noise(rng, board.x.shape[0], 12.0, 2))


def _holes(rng: np.random.Generator, board: Board) -> Painted:
    """One or a few drilled or worm-eaten holes, open or filled with dust."""
    count = 1 if rng.random() < 0.7 else rng.integers(2, 5)
    largest, depth, middle = log_uniform(rng, 0.011, 0.075), rng.uniform(0.2, 0.98), rng.uniform(0.15, 0.85, 2)
    image, mask = board.image.copy(), np.zeros(board.x.shape, bool)
    for _ in range(count):
        centre = np.clip(middle + rng.normal(0, 0.14, 2) * (count > 1), 0.03, 0.97)
        part, cut = _cut(replace(board, image=image), centre, 3.5 * largest + 0.02)
        image[part], own = _hole(rng, cut, centre, largest * rng.uniform(0.7, 1), depth)
        mask[part] |= own
    return image, mask


def _hole(rng: np.random.Generator, cut: Board, centre: np.ndarray, radius: float, depth: float) -> Painted:
    """Sink one hole into a piece of board: a torn rim, a bevel lit on one side, a dark pit with a lit wall."""
    y = cut.y + rng.uniform(0, 0.08) * radius * cut.fibre
    edge = blob(rng, cut.x, y, tuple(centre), radius, rng.uniform(0, 0.3), rng.uniform(1, 1.5))
    splinters = centre[1] + (cut.y + 0.2 * radius * cut.fibre - centre[1]) / rng.uniform(1.3, 2.2)
    torn = blob(rng, cut.x, splinters, tuple(centre), 1.15 * radius, 0.7) + rng.choice([0, 9])
    bevel = rng.uniform(0.1, 0.3) * radius + 0.0015
    ux, uy = cut.x - centre[0], cut.y - centre[1]
    facing = (ux * np.cos(cut.lamp) + uy * np.sin(cut.lamp)) / np.maximum(np.hypot(ux, uy), 0.2 * radius)
    raw = cut.image**0.7 * (0.9 + 0.15 * cut.fibre)[..., None]
    image = mix(cut.image, raw, 0.75 * smoothstep(0.0015, -0.002, torn))
    image = image * (1 - 0.55 * smoothstep(bevel, 0, edge) * facing)[..., None]
    wall = smoothstep(rng.uniform(0.25, 0.7), 0.05, -edge / radius)
    lit, dim = wall * smoothstep(0.2, -0.9, facing), wall * smoothstep(0, 1, facing)
    shade = 1 - depth * (1 - 0.5 * lit) - 0.6 * (1 - depth) * dim
    pit = cut.image.mean((0, 1)) ** rng.uniform(1.1, 1.9) * (shade * (1 + 0.08 * cut.fibre))[..., None]
    image = mix(image, pit, smoothstep(0.0015, -0.0015, edge))
    return _confined(cut, image, (edge < 0.9 * bevel) | (torn < 0.001))


def _liquid(rng: np.random.Generator, board: Board) -> Painted:
    """Drops or puddles of clear or tinted liquid standing on the varnish."""
    distance, margin = _spill(rng, board)
    size = board.x.shape[0]
    inward = np.clip(-distance / margin, 0, 1)
    height = rng.uniform(0.2, 0.5) * margin * np.sqrt(inward * (2 - inward))
    down, right = np.gradient(ndimage.gaussian_filter(height, 0.0008 * size) * size)
    where = np.stack([board.y + 0.8 * height * down, board.x + 0.8 * height * right]) * size - 0.5
    seen = [ndimage.map_coordinates(board.image[..., c], where, order=1, mode="nearest") for c in range(3)]
    rise = right * np.cos(board.lamp) + down * np.sin(board.lamp)  # towards the light
    focus = np.clip(1 + 0.7 * rise, 0.45, 1.5)  # a drop gathers light on its far side and darkens the near one
    tinted = (rng.random() < 0.4) * log_uniform(rng, 0.1, 1.5) * (0.5 + 0.5 * inward)
    wet = np.stack(seen, -1) ** rng.uniform(1.05, 1.5) * focus[..., None] * _colour(rng, 0.9, 0.2) ** tinted[..., None]
    tilt = rng.uniform(0.25, 0.45)
    shine = (1 - tilt * rise) / np.sqrt((1 + right**2 + down**2) * (1 + tilt**2))
    gloss = rng.uniform(0.15, 0.9) * smoothstep(0.985, 0.998, shine) + rng.uniform(0, 0.025)
    image = mix(board.image, np.clip(wet + gloss[..., None], 0, 1), smoothstep(0, -0.002, distance))

    outward = np.gradient(distance)
    away = -(outward[1] * np.cos(board.lamp) + outward[0] * np.sin(board.lamp)) / (np.hypot(*outward) + 1e-6)
    shadow = 0.4 * np.clip(away, 0, 1) * smoothstep(0.004, 0, distance) * (distance > 0)
    return _confined(board, image * (1 - shadow)[..., None], (distance < 0) | (shadow > 0.03))


def _spill(rng: np.random.Generator, board: Board) -> tuple[Field, float]:
    """Distance from the outline of all drops (9 far from them) and the width of their curved margin."""
    largest, count, spread = log_uniform(rng, 0.018, 0.065), rng.integers(1, 15), rng.uniform(2.5, 5)
    if rng.random() < 0.45:  # puddles instead of drops
        largest, count, spread = 2.2 * largest, 1 + count % 3, 1.0
    middle, distance = rng.uniform(0.2, 0.8, 2), np.full(board.x.shape, 9.0, np.float32)
    for k in range(count):
        radius = largest * (1 if k == 0 else rng.uniform(0.25, 0.8))
        centre = np.clip(middle + rng.normal(0, spread * largest, 2), 0.03, 0.97)
        part, cut = _cut(board, centre, 2.6 * radius + 0.02)
        drop = blob(rng, cut.x, cut.y, tuple(centre), radius, min(0.35, 0.05 + 5 * radius), rng.uniform(1, 1.6))
        distance[part] = np.minimum(distance[part], drop)
    return distance, min(0.9 * largest, rng.uniform(0.012, 0.03))


def _scratches(rng: np.random.Generator, board: Board) -> Painted:
    """One scratch, several, or a scuff of parallel ones."""
    scuff = rng.random() < 0.25
    count, spread, waver = (rng.integers(4, 10), 0.03, 0.02) if scuff else (rng.choice([1, 1, 2, 3]), 0.15, 0.5)
    angle, middle = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8, 2)
    strength, dirty = log_uniform(rng, 0.3, 1.6), rng.random() < 0.2
    image, mask = board.image.copy(), np.zeros(board.x.shape, bool)
    for _ in range(count):
        length = log_uniform(rng, 0.12, 0.4)
        centre = np.clip(middle + rng.normal(0, spread, 2) * (count > 1), 0.08, 0.92)
        part, cut = _cut(replace(board, image=image), centre, 0.55 * length + 0.03)
        image[part], own = _scratch(rng, cut, centre, angle + rng.normal(0, waver), length, strength, dirty)
        mask[part] |= own
    return image, mask


def _scratch(
    rng: np.random.Generator, cut: Board, centre: np.ndarray, angle: float, length: float, strength: float, dirty: bool
) -> Painted:
    """Draw one scratch around ``centre``: pale torn fibres (dark ones if ``dirty``) beside a shadowed groove."""
    cos, sin, width = np.cos(angle), np.sin(angle), log_uniform(rng, 0.004, 0.011)
    ux, uy = cut.x - centre[0], cut.y - centre[1]
    run = (ux * cos + uy * sin) / length + 0.5
    stations = np.linspace(0, 1, 40)
    wander = 0.006 * ndimage.gaussian_filter1d(rng.standard_normal(40), 5)
    wander += rng.normal(0, 0.08) * length * (stations - 0.5) ** 2
    pressure = np.clip(0.75 + 0.5 * ndimage.gaussian_filter1d(rng.standard_normal(40), 2), 0.25, 1.2)
    pressure *= np.sin(np.pi * np.clip(stations, 0.02, 0.98)) ** 0.3
    pressure = np.interp(run, stations, pressure, 0, 0).astype(np.float32)
    off = uy * cos - ux * sin - np.interp(run, stations, wander).astype(np.float32)
    off = off / (width * (0.55 + 0.45 * pressure))  # 1 at the edge of the scratch
    force = strength * pressure * np.clip(1 + 0.25 * cut.fibre, 0.3, 1.6)
    lit = 1 if cos * np.sin(cut.lamp) > sin * np.cos(cut.lamp) else -1
    burr = smoothstep(1, 0.2, np.abs(off + 0.25 * lit)) * np.minimum(force, 1)
    groove = smoothstep(0.5, 0.1, np.abs(off - 0.5 * lit)) * np.minimum(0.8 * force, 0.8)
    fresh = 0.3 * cut.image if dirty else 0.63 * cut.image**0.7 + 0.25  # crushed varnish is whitish
    image = mix(cut.image, fresh, burr) * (1 - groove)[..., None]
    return _confined(cut, image, (np.abs(off) < 0.95) & (run > 0) & (run < 1))


def _combined(rng: np.random.Generator, board: Board) -> Painted:
    """Two or three of the other defects in one picture."""
    mask = np.zeros(board.x.shape, bool)
    single = [painter for name, painter in DEFECTS.items() if name != "combined"]
    for k in rng.permutation(len(single))[: rng.choice([2, 2, 3])]:
        image, own = single[k](rng, board)
        board, mask = replace(board, image=image), mask | own
    return board.image, mask


DEFECTS = {"color": _stain, "combined": _combined, "hole": _holes, "liquid": _liquid, "scratch": _scratches}


def _colour(rng: np.random.Generator, saturation: float, darkest: float) -> np.ndarray:
    """Any hue, up to a saturation and down to a value: linear RGB, float32 ``(3,)``."""
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.05, saturation), rng.uniform(darkest, 1))
    return np.array(rgb, np.float32)


def _cut(board: Board, centre: np.ndarray, reach: float) -> tuple[tuple[slice, slice], Board]:
    """Rows and columns within ``reach`` of ``centre``, and that piece of the board."""
    size = board.x.shape[0]
    (left, top), (right, bottom) = (np.clip((centre + d) * size, 0, size).astype(int) for d in (-reach, reach))
    part = slice(top, bottom), slice(left, right)
    return part, Board(board.image[part], board.x[part], board.y[part], board.fibre[part], board.lamp)


def _confined(board: Board, image: np.ndarray, mask: np.ndarray) -> Painted:
    """Keep ``image`` inside the mask (its gaps closed) and the board outside."""
    mask = ndimage.binary_fill_holes(mask)
    return np.where(mask[..., None], np.clip(image, 0, 1), board.image).astype(np.float32), mask
