"""A woven carpet, close enough that every yarn shows: two systems of threads that pass over and under each other.

The two systems are kept apart until they are laid over one another, so that a hole can take threads out of either.
Lengths are in image sides; positions across and along the threads are in thread spacings.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .canvas import Field, Steady, blob, coordinates, curve, distance_to_curve, light, mix, noise, smoothstep

Array = np.ndarray
Rng = np.random.Generator
VARIATION = 0.8  # share of their spread that carpets of one kind keep under fixed lamps
THREADS = 84.0  # a side, before the scale of the picture
PITCH = 1 / THREADS
_TABLE = 256  # threads with properties of their own; more than any picture shows
_WARMTH = np.array([1.0, 0.1, -1.1])  # yarns differ between beige and bluish grey, not between green and purple

# Linear RGB of what stains a carpet, is spun into yarn or breaks off a machine: one palette, so no colour is a key.
_PIGMENTS = np.array(
    [
        (0.13, 0.07, 0.035),
        (0.34, 0.05, 0.045),
        (0.05, 0.10, 0.30),
        (0.07, 0.19, 0.08),  # brown, red, blue, green
        (0.035, 0.033, 0.032),
        (0.60, 0.58, 0.53),
        (0.42, 0.30, 0.10),
        (0.40, 0.19, 0.10),  # dark, light, brass, copper
        (0.30, 0.31, 0.33),  # steel
    ]
)


class Threads(NamedTuple):
    """One system of parallel threads, as fields: shaded colour, height in spacings, opacity, number of the thread."""

    image: Array
    height: Field
    cover: Field
    number: Array


class Carpet(NamedTuple):
    """The picture without a defect, and what the defects need to know of it."""

    image: Array
    warp: Threads
    weft: Threads
    top: Field  # 1 where the warp lies over the weft
    backing: Array
    colour: Array
    lamp: Array  # unit vector towards the lamp, (x, y)


class Track(NamedTuple):
    """What lies along a curve, inside ``window``: signed distance, place along it (0 to 1), unit normal (x, y)."""

    window: tuple[slice, slice]
    offset: Field
    along: Field
    normal: Array
    facing: Field  # cosine between the normal and the direction of the lamp


def paint(defect: str, size: int, scene: Rng, flaw: Rng) -> tuple[Array, Array]:
    """Linear RGB float32 ``(size, size, 3)`` and the mask of the defect, bool ``(size, size)``."""
    if defect != "good" and defect not in DEFECTS:
        raise ValueError(f"unknown defect {defect!r} of carpet; known: good, {', '.join(DEFECTS)}")
    carpet = _weave(size, Steady(scene, VARIATION))
    lamp = light(scene, size, scene.uniform(0.05, 0.3))[..., None]
    image, mask = carpet.image, np.zeros((size, size), bool)
    if defect != "good":
        painted = DEFECTS[defect](carpet, flaw)
        mask = _changed(image, painted)
        image = np.where(mask[..., None], painted, image)
    return np.clip(image * lamp, 0, 1).astype(np.float32), mask


def _changed(before: Array, after: Array) -> Array:
    """Closed region of visible change: pixels that moved by three levels of 255, joined across less than a thread."""
    moved = np.abs(np.sqrt(np.maximum(after, 0)) - np.sqrt(before)) > 0.012
    moved = moved[..., 0] | moved[..., 1] | moved[..., 2]
    reach = 2 * round(0.4 * PITCH * len(before)) + 1
    region = ndimage.minimum_filter(ndimage.maximum_filter(moved, reach), reach)
    for value in (True, False):  # first specks of change go, then pinholes in what is left
        labels, _ = ndimage.label(region == value)
        small = np.bincount(labels.ravel()) < (PITCH * len(before)) ** 2
        region = np.where(small[labels] & (labels > 0), not value, region)
    return region


def _weave(size: int, scene: Rng) -> Carpet:
    """Paint the carpet: where its threads run, how the lamp stands, both systems of yarns, lint on top."""
    x, y = coordinates(size)
    turn, scale, stretch = scene.normal(0, 0.02), scene.normal(1, 0.03), scene.normal(1, 0.02)
    cos, sin = math.cos(turn) * THREADS * scale, math.sin(turn) * THREADS * scale
    u = ((x - 0.5) * cos + (y - 0.5) * sin) * stretch + scene.uniform(0, 2)
    v = ((y - 0.5) * cos - (x - 0.5) * sin) / stretch + scene.uniform(0, 2)
    u = u + 0.6 * noise(scene, size, 2.5, 2) + 0.07 * noise(scene, size, (14, THREADS))
    v = v + 0.6 * noise(scene, size, 2.5, 2) + 0.07 * noise(scene, size, (THREADS, 14))
    angle, low = scene.uniform(0, 2 * np.pi), scene.uniform(0.75, 1.15)
    lamp = np.array([np.cos(angle), np.sin(angle)], np.float32)
    colour = np.array([0.37, 0.352, 0.325]) * np.exp(scene.normal(0, 0.1) + scene.normal(0, 0.03) * _WARMTH)
    contrast = np.exp(scene.normal(0, 0.12) + scene.normal(0, 0.03) * _WARMTH)
    warp = _threads(scene, u, v, colour * contrast, low * lamp, upright=True)
    weft = _threads(scene, v, u + 1, colour / contrast, low * lamp[::-1], upright=False)
    backing = np.array([0.030, 0.027, 0.024]) * np.exp(scene.normal(0, 0.3))
    image, top = _lay_over(warp, weft, backing)
    image = image * np.exp(0.035 * noise(scene, size, 4, 3))[..., None]
    start, heading = scene.uniform(0, 1, (6000, 2)), scene.uniform(0, 2 * np.pi, 6000)
    lint = _fibres(scene, size, start, heading, PITCH * scene.uniform(0.3, 1.5, 6000))
    image = mix(image, colour * 1.5, 0.4 * lint)
    return Carpet(image.astype(np.float32), warp, weft, top, backing, colour, lamp)


def _threads(rng: Rng, across: Field, along: Field, colour: Array, lamp: Array, upright: bool) -> Threads:
    """One system of yarns; ``across`` and ``along`` are in spacings, as are the two components of ``lamp``."""
    size = len(across)
    whole = np.floor(across)
    number = whole.astype(np.int32) + _TABLE // 2
    thickness, aside, phase, tone, warmth = rng.standard_normal((5, _TABLE)).astype(np.float32)
    dyed = colour * np.exp(0.10 * tone[:, None] + 0.03 * warmth[:, None] * _WARMTH)
    slub = noise(rng, size, (20, 60) if upright else (60, 20))
    fibre = noise(rng, size, (110, 460) if upright else (460, 110))
    radius = (0.47 * np.exp(0.07 * thickness))[number] * (1 + 0.06 * slub)
    side = np.clip((across - whole - 0.5 - (0.05 * aside)[number]) / radius, -1.15, 1.15)
    crown = np.sqrt(np.clip(1 - side**2, 0, 1))
    parity = 1 - 2 * (whole % 2)
    swing, slope = parity * np.sin(np.pi * along), parity * np.cos(np.pi * along)
    # Two plies twisted about each other show as oblique dark lines, where they meet.
    strands = np.abs(np.sin(np.pi * (1.3 * along + 0.55 * side) + (3 * phase)[number] + 0.4 * slub))
    relief = 1 + 0.42 * lamp[0] * side - 0.30 * lamp[1] * slope
    value = relief * (0.70 + 0.30 * crown) * (0.66 + 0.42 * strands) * np.exp(0.17 * fibre + 0.06 * slub)
    image = value[..., None] * dyed.astype(np.float32)[number]
    return Threads(image, 0.45 * crown + 0.5 * swing + 0.04 * fibre, smoothstep(1.1, 0.85, np.abs(side)), number)


def _lay_over(warp: Threads, weft: Threads, backing: Array) -> tuple[Array, Field]:
    """Image of both systems over the backing, with the shade of the depths, and where the warp is on top."""
    high, low = (threads.height - 3 * (1 - threads.cover) for threads in (warp, weft))
    top = smoothstep(-0.1, 0.1, high - low)
    depth = 0.16 + 0.84 * smoothstep(-0.35, 0.9, np.maximum(high, low))
    return mix(backing, mix(weft.image, warp.image, top) * depth[..., None], np.maximum(warp.cover, weft.cover)), top


def _fibres(rng: Rng, size: int, start: Array, angle: Array, length: Array) -> Field:
    """Opacity of bent single fibres, thinner than a pixel, that set out from ``start`` ``(n, 2)``."""
    steps = int(np.ceil(length.max() * size * 1.3)) + 1
    t = np.linspace(0, 1, steps)
    heading = angle[:, None] + rng.normal(0, 1, (len(start), 1)) * t
    px, py = ((start[:, k, None] + length[:, None] * t * f(heading)) * size for k, f in ((0, np.cos), (1, np.sin)))
    ink = np.broadcast_to(length[:, None] * size / steps * 8e-4 * size * (1 - 0.6 * t), px.shape)
    total, _, _ = np.histogram2d(py.ravel(), px.ravel(), size, [[0, size]] * 2, weights=ink.ravel())
    return (1 - np.exp(-ndimage.gaussian_filter(total, 0.5))).astype(np.float32)


def _track(carpet: Carpet, points: Array, reach: float) -> Track:
    """Follow a polyline ``(n, 2)``, up to ``reach`` to both sides."""
    size = len(carpet.image)
    low, high = ((edge * size).astype(int).clip(0, size) for edge in (points.min(0) - reach, points.max(0) + reach))
    window = slice(low[1], high[1]), slice(low[0], high[0])
    x, y = (axis[window] for axis in coordinates(size))
    distance, along = distance_to_curve(x, y, points)
    along = np.clip(along, 0, 1)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    done = np.append(0, np.cumsum(steps)) / steps.sum()
    px, py, tx, ty = (np.interp(along, done, f).astype(np.float32) for f in (*points.T, *np.gradient(points, axis=0).T))
    normal = np.stack([-ty, tx]) / np.hypot(tx, ty)
    offset = np.copysign(distance, (x - px) * normal[0] + (y - py) * normal[1])
    return Track(window, offset, along, normal, normal[0] * carpet.lamp[0] + normal[1] * carpet.lamp[1])


def _profile(rng: Rng, along: Field, knots: int, spread: float) -> Field:
    """Smooth random function of the position along a curve, about 1."""
    values = np.exp(2 * spread * ndimage.gaussian_filter1d(rng.standard_normal(knots), 1.5))
    return np.interp(along, np.linspace(0, 1, knots), values).astype(np.float32)


def _lay(carpet: Carpet, image: Array, track: Track, half: Field, colour: Array, lift: float, sunk: float) -> None:
    """Lay a strand, ``half`` to each side, and its shadow on ``image``, in place; threads hide what is ``sunk``."""
    here, away, size, soft = track.window, np.abs(track.offset), len(image), 0.6 * lift + 0.0008
    shade = ndimage.shift(away - half, -lift * size * carpet.lamp[::-1], order=1, cval=1.0)
    cover = smoothstep(0.7 / size, -0.7 / size, away - half)
    if sunk:
        cover = cover * smoothstep(1.05 - sunk, 0.85 - sunk, np.maximum(carpet.warp.height, carpet.weft.height)[here])
    image[here] = mix(image[here] * (1 - 0.55 * smoothstep(soft, -soft, shade))[..., None], colour, cover)


def _yarn(
    carpet: Carpet, image: Array, flaw: Rng, line: Array, width: float, lift: float, sunk: float, colour: Array
) -> None:
    """Lay a loose piece of yarn, ``width`` to each side, on ``image``: two twisted plies, thick and thin."""
    lift, length = lift + width, np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
    track = _track(carpet, line, 1.3 * width + 2.5 * lift)
    half = width * 0.9 * np.minimum(_profile(flaw, track.along, 48, 0.12), 1.3)
    side = np.clip(track.offset / half, -1, 1)
    turns, ply = length / width * flaw.uniform(0.2, 0.4), flaw.uniform(0.25, 0.5)
    plies = 1 - ply + 1.5 * ply * np.abs(np.sin(np.pi * (turns * track.along + 0.6 * side)))
    value = (0.5 + 0.5 * np.sqrt(1 - side**2) + 0.35 * side * track.facing) * plies
    value = value * _profile(flaw, track.along, 150, 0.15)
    _lay(carpet, image, track, half, value[..., None] * colour.astype(np.float32), lift, sunk)


def _fray(image: Array, flaw: Rng, line: Array, half: float, count: int, colour: Array) -> None:
    """Draw fibres that stand out to both sides of a polyline ``(n, 2)`` on ``image``, in place."""
    k = flaw.integers(0, len(line) - 1, count)
    step = line[k + 1] - line[k]
    angle = np.arctan2(step[:, 0], -step[:, 1]) + np.pi * flaw.integers(0, 2, count) + flaw.normal(0, 0.6, count)
    start = line[k] + step * flaw.uniform(0, 1, (count, 1)) - half * np.stack([np.cos(angle), np.sin(angle)], 1)
    length = (2 * half + 0.3 * PITCH) * flaw.lognormal(-0.3, 0.5, count)
    image[:] = mix(image, colour, 0.7 * _fibres(flaw, len(image), start, angle, length))


def _gap_colour(carpet: Carpet, flaw: Rng) -> Array:
    """What is seen through the carpet: nothing at all, or a backing that lies in the shade."""
    return (carpet.backing * np.exp(flaw.uniform(-0.8, 1.2) + flaw.normal(0, 0.1, 3))).astype(np.float32)


def _pigment(carpet: Carpet, flaw: Rng) -> Array:
    """Any colour that a stain or a foreign yarn may have, the carpet's own included."""
    return flaw.choice([*_PIGMENTS, carpet.colour * 0.8]) * np.exp(flaw.normal(0, 0.25) + flaw.normal(0, 0.08, 3))


def _wander(flaw: Rng, length: float, bend: float) -> Array:
    """Curve about the origin in a random direction."""
    line = curve(flaw, (0, 0), flaw.uniform(0, 2 * np.pi), length, bend, 60)
    return line - line.mean(0)


def _by_thread(carpet: Carpet, flaw: Rng) -> Field:
    """A random number for every thread, standard deviation 1, where it is uppermost."""
    warp, weft = flaw.standard_normal((2, _TABLE)).astype(np.float32)
    warp, weft = warp[carpet.warp.number], weft[carpet.weft.number]
    return weft + (warp - weft) * carpet.top


def _color(carpet: Carpet, flaw: Rng) -> Array:
    """A stain or splash of dye that soaks along the threads."""
    size, severity, centre = len(carpet.image), flaw.uniform(0.3, 1), flaw.uniform(0.08, 0.92, 2)
    radius = math.exp(flaw.uniform(math.log(0.035), math.log(0.06 + 0.03 * severity)))
    x, y = coordinates(size)
    stain = blob(flaw, x, y, centre, radius, flaw.uniform(0.2, 0.7), math.exp(flaw.uniform(0, 1.3)))
    for drop in flaw.normal(0, 1.3 * radius, (max(0, int(flaw.integers(-6, 6))), 2)):
        spot = np.hypot(x - centre[0] - drop[0], y - centre[1] - drop[1])
        stain = np.minimum(stain, spot - radius * flaw.uniform(0, 0.2))
    soak, soft = flaw.uniform(0.2, 1.0) * PITCH, flaw.uniform(0.002, 0.02)
    stain = stain + soak * (_by_thread(carpet, flaw) + 0.5 * noise(flaw, size, 40, 2))
    amount = smoothstep(soft, -soft, stain) * np.clip(0.85 + 0.15 * noise(flaw, size, 12, 3), 0, 1)
    tide = flaw.uniform(-0.3, 0.5) * np.exp(-(((stain + soft) / (0.6 * soft + 0.003)) ** 2))  # a rim where it dried
    shade = (carpet.image.mean(-1) / carpet.image.mean()) ** flaw.uniform(0.6, 1.0)
    pigment = _pigment(carpet, flaw) * flaw.uniform(0.5, 0.9)
    contrast = math.log(pigment.mean() / carpet.image.mean())  # a grey stain as bright as the carpet is none
    pigment *= math.exp(math.copysign(max(0.0, 0.4 - abs(contrast)), contrast))
    dyed = shade[..., None] * pigment.astype(np.float32)
    return mix(carpet.image, dyed, np.clip((0.15 + 0.8 * severity) * amount * (1 + tide), 0, 1))


def _cut(carpet: Carpet, flaw: Rng) -> Array:
    """A slit: threads severed along a line, pushed aside and frayed."""
    size, severity = len(carpet.image), flaw.uniform(0.4, 1)
    half = 0.0016 + 0.011 * severity**1.3 * flaw.uniform(0.4, 1)
    length, reach = flaw.uniform(0.05, 0.1) + flaw.uniform(0.03, 0.15) * severity, 4 * half + 0.006
    points = _wander(flaw, length, flaw.uniform(0, 0.5)) + flaw.uniform(0.08, 0.92, 2)
    track = _track(carpet, points, reach)
    here, away, sign = track.window, np.abs(track.offset), np.sign(track.offset)
    opening = half * (4 * track.along * (1 - track.along)) ** 0.6 * _profile(flaw, track.along, 33, 0.2)
    fade = np.clip(1 - away / reach, 0, 1)

    image, source = carpet.image.copy(), np.mgrid[here] - opening * fade**2 * sign * size * track.normal[::-1]
    for channel in range(3):
        image[here][..., channel] = ndimage.map_coordinates(carpet.image[..., channel], source, order=1, mode="nearest")
    lips = np.exp(-np.maximum(away - opening, 0) / (0.35 * reach)) * fade * np.clip(opening / 0.002, 0, 1)
    image[here] *= (1 + flaw.uniform(-0.3, 0.8) * track.facing * sign * lips)[..., None]

    ragged = flaw.uniform(0.2, 0.5)
    ends = opening * np.maximum(1 + ragged * _by_thread(carpet, flaw)[here], 0.1) + 1e-4
    away = np.abs(track.offset + ragged * opening * _by_thread(carpet, flaw)[here])
    gap = smoothstep(1.25, 0.75, away / ends) * np.clip(opening / 0.0006, 0, 1) * min(1.0, 0.5 + severity)
    image[here] = mix(image[here], _gap_colour(carpet, flaw), gap)
    _fray(image, flaw, points, 1.2 * half, int(length * flaw.uniform(250, 800)), carpet.colour * 1.1)
    return image


def _hole(carpet: Carpet, flaw: Rng) -> Array:
    """Threads missing in a roundish place; their ends stick out over what lies below."""
    size, severity, centre = len(carpet.image), flaw.uniform(0.2, 1), flaw.uniform(0.08, 0.92, 2)
    radius = 0.020 + 0.045 * severity * flaw.uniform(0.5, 1.2)
    theta, bumps = np.linspace(-np.pi, np.pi, 120), ndimage.gaussian_filter1d(flaw.standard_normal(119), 7, mode="wrap")
    outline = radius * np.exp(flaw.uniform(0.2, 1.0) * np.append(bumps, bumps[0]))
    x, y = (axis - c for axis, c in zip(coordinates(size), centre, strict=True))
    shape = np.hypot(x, y) - np.interp(np.arctan2(y, x), theta, outline).astype(np.float32)
    rim = centre + outline[:, None] * np.stack([np.cos(theta), np.sin(theta)], 1)
    ragged = flaw.uniform(0.15, 0.6) * min(radius, 2 * PITCH) * np.abs(flaw.standard_normal((2, 2, _TABLE)))
    # Of one system more is left than of the other; sometimes all, where only the other is worn through.
    left = flaw.permutation([0.0, 1.0 if flaw.random() < 0.25 else flaw.uniform(0, 0.6) * radius])
    systems, after = (carpet.warp, carpet.weft), ((y > 0) * 1, (x > 0) * 1)
    ends = [shape + left[k] + ragged[k].astype(np.float32)[after[k], systems[k].number] for k in (0, 1)]
    gone = [smoothstep(1.2 / size, -1.2 / size, end) for end in ends]
    # A thread that no longer passes under another one comes up.
    heights = [np.maximum(systems[k].height, 1.3 * gone[1 - k] - 1) for k in (0, 1)]
    torn = [systems[k]._replace(height=heights[k], cover=systems[k].cover * (1 - gone[k])) for k in (0, 1)]
    lit = smoothstep(0.006, -0.010, ndimage.shift(shape, -0.008 * size * carpet.lamp[::-1], order=1, mode="nearest"))
    floor = (np.exp(0.3 * noise(flaw, size, 300)) * (0.5 + 0.8 * lit))[..., None] * _gap_colour(carpet, flaw)
    image = mix(carpet.image, _lay_over(torn[0], torn[1], floor)[0], np.maximum(*gone))
    for k in flaw.integers(0, 120, flaw.integers(2, 6 + int(14 * severity))):
        if rim[k].min() < 0 or rim[k].max() > 1:
            continue
        length, angle = flaw.uniform(0.4, 1.3) * min(radius, 2.5 * PITCH), theta[k] + np.pi + flaw.normal(0, 0.7)
        path, tone = curve(flaw, tuple(rim[k]), angle, length, 1.0, 12), carpet.colour * flaw.uniform(0.55, 1.1)
        _yarn(carpet, image, flaw, path, PITCH * flaw.uniform(0.15, 0.38), 0.002, 0.0, tone)
    _fray(image, flaw, rim, 0.001, int(900 * radius) + 20, carpet.colour)
    return image


def _metal_contamination(carpet: Carpet, flaw: Rng) -> Array:
    """A piece of wire, a staple, a curled shaving or a sliver that lies on the threads and shines."""
    severity, kind = flaw.uniform(), flaw.integers(4)
    scale, flat = 0.5 + 0.4 * severity, kind > 1
    width = (0.0036, 0.0044, 0.0065, 0.0120)[kind] * flaw.uniform(0.75, 1.3) * (0.7 + 0.3 * scale)
    length = flaw.uniform((0.1, 0, 0.08, 0.06), (0.3, 1, 0.2, 0.13))
    bend = flaw.uniform((0, 0, 2.5, 0), (1.2, 1, 7, 0.6))
    points = _wander(flaw, length[kind], bend[kind])
    if kind == 1:  # the back of a staple and its two legs, which lie to the side
        angles = flaw.uniform(0, 2 * np.pi) + np.array([0, -1.6, 0, 1.6]) + flaw.normal(0, 0.3, 4)
        steps = flaw.uniform((0, 0.03, 0.07, 0.03), (0, 0.06, 0.12, 0.06)) * [np.cos(angles), np.sin(angles)]
        points = np.cumsum(steps.T, 0) - steps.sum(1) / 2
    lift = flaw.uniform(0.0005, 0.006) + width
    track = _track(carpet, points * scale + flaw.uniform(0.08, 0.92, 2), 1.4 * width + 2.5 * lift)
    taper = np.clip(5 * np.minimum(track.along, 1.3 * (1 - track.along)), 0.15, 1) if flat else 1
    half = width * taper * _profile(flaw, track.along, 24, 0.15 * flat)
    side = np.clip(track.offset / half, -1, 1)
    if flat:  # a ridge runs along it, with a facet on either side
        side = np.where(side > np.log(_profile(flaw, track.along, 8, 0.6)), 0.65, -0.5) + 0.15 * side
    metal = (flaw.choice(_PIGMENTS[[0, 4, 5, 6, 6, 7, 8, 8, 8]]) * math.exp(flaw.normal(0, 0.2))).astype(np.float32)
    gloss, glint = flaw.uniform(0.15, 0.4 + 0.8 * severity), _profile(flaw, track.along, 40 if flat else 16, 0.7)
    shine = gloss * np.minimum(glint, 2.2) * np.exp(-(((side - 0.5 * track.facing) / (0.5 if flat else 0.28)) ** 2))
    body = 0.4 + 0.4 * np.sqrt(1 - side**2) + 0.3 * side * track.facing
    body = body + 0.35 * np.exp(-(((side + 0.75 * np.sign(track.facing)) / 0.2) ** 2))
    colour = body[..., None] * metal + shine[..., None] * (0.5 + 0.45 * metal / metal.max())
    image = carpet.image.copy()
    _lay(carpet, image, track, half, colour, lift, flaw.uniform(0.1, 0.4) if flaw.random() < 0.3 else 0.0)
    return image


def _thread(carpet: Carpet, flaw: Rng) -> Array:
    """A loose yarn that wanders over the surface."""
    severity, image = flaw.uniform(), carpet.image.copy()
    length = flaw.uniform(0.12, 0.25) + 0.3 * severity * flaw.uniform(0.3, 1)
    points = _wander(flaw, length, flaw.uniform(0.4, 5)) + flaw.uniform(0.2, 0.8, 2)
    width, sunk = flaw.uniform(0.18, 0.32 + 0.28 * severity) * PITCH, max(0.0, flaw.uniform(-0.7, 0.4))
    colour = _pigment(carpet, flaw)
    _yarn(carpet, image, flaw, points, width, flaw.uniform(0.001, 0.007), sunk, colour)
    _fray(image, flaw, points, 0.8 * width, int(length * flaw.uniform(100, 900)), colour * 1.2)
    return image


DEFECTS = {"color": _color, "cut": _cut, "hole": _hole, "metal_contamination": _metal_contamination, "thread": _thread}
