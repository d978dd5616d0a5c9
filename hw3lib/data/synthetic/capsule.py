"""A printed hard-gelatine capsule on a white table: a black cap over a translucent amber body.

The capsule is a spherocylinder whose radius varies along its axis (cap, step, locking ring). Defects do not draw on the
finished picture: they change the object (outline, relief, ink, stains), which is rendered again in the same light, and
the mask is where the renderings differ. In the capsule's own frame ``u`` runs along the axis from the cap's end to the
body's, ``v`` across it, and ``w`` is ``v`` unrolled onto the surface; all in image sides, with 0 at the centre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from .canvas import (
    Field,
    Steady,
    blob,
    changed_region,
    coordinates,
    curve,
    distance_to_curve,
    light,
    log_uniform,
    mix,
    noise,
    smoothstep,
)

Rng = np.random.Generator
Vector = np.ndarray  # one value for each pixel of the capsule, float32 (n,)
Change = dict  # what a defect does to the object: arguments of Capsule.render

VARIATION = 0.4  # share of their spread that capsules of one kind keep under fixed lamps


def paint(defect: str, size: int, scene: Rng, flaw: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Linear RGB float32 ``(size, size, 3)`` of a capsule and the mask of its defect, bool ``(size, size)``."""
    if defect != "good" and defect not in DEFECTS:
        raise ValueError(f"unknown defect {defect!r} of capsule; known: good, {', '.join(DEFECTS)}")
    capsule = Capsule(Steady(scene, VARIATION), size)
    good = capsule.render()
    if defect == "good":
        return good, np.zeros((size, size), bool)
    change = DEFECTS[defect](flaw, capsule)
    bad = capsule.render(**change)
    region = change.get("region", False)
    mask = changed_region(good, bad, size, threshold=0.012, gap=1 / 250, pepper=4e-5, region=region)
    return np.where(mask[..., None], bad, good), mask


class Capsule:
    """One capsule, its pose, its light and its table: everything that a defect leaves alone."""

    def __init__(self, rng: Rng, size: int) -> None:
        self.size = size
        self.radius = 0.128 * float(np.exp(rng.normal(0, 0.025)))  # of the body
        self.half = rng.uniform(0.36, 0.39) - self.radius  # half the distance of the domes' centres
        self.seam = rng.normal(0, 0.012)  # u of the cap's edge
        self.turn = complex(np.exp(1j * rng.normal(0, 0.05)))  # rotates the capsule's frame into the image's
        self.x, self.y = coordinates(size)
        point = (self.x + 1j * self.y - complex(*(0.5 + rng.normal(0, (0.015, 0.02))))) / self.turn
        self.u, self.v = point.real, point.imag
        self.w = np.arcsin(np.clip(self.v / self.radius, -1, 1)) * self.radius
        self.inside = np.hypot(self.u - np.clip(self.u, -self.half, self.half), self.v) < self.radius
        self.profile, self.lamps = self._profile(rng), self._lamps(rng)
        # Brightness of the room between the lamps: everywhere, towards the top, towards the left.
        self.room = rng.uniform(0.08, 0.25), rng.uniform(0.1, 0.7), rng.normal(0, 0.12)
        paper = 1 + 0.013 * noise(rng, size, 190, 2, 0.8) + 0.008 * noise(rng, size, 14, 3)
        white = rng.uniform(0.74, 0.86) * np.exp(rng.normal(0, 0.012, 3))
        self.table = (light(rng, size, 0.1) * paper)[..., None] * white.astype(np.float32)
        self.shadow = rng.normal(0.003, 0.007), rng.uniform(0.008, 0.028), rng.uniform(0.25, 0.5)  # right, down, depth
        fine, coarse = rng.uniform(0.002, 0.006), rng.uniform(0.008, 0.022)  # unevenness, added to x and y of normals
        self.wobble = [coarse * noise(rng, size, (6, 10)) + fine * noise(rng, size, 80) for _ in range(2)]
        self.wear = noise(rng, size, 200, 2, 0.7)  # specks of dust, pinholes in the ink
        self.print_at = self.seam + rng.uniform(0.165, 0.195), self.radius * np.clip(rng.normal(0, 0.24), -0.5, 0.5)
        self.print_height, self.opacity = rng.uniform(0.066, 0.074), rng.uniform(0.72, 0.95)
        self.absorption = np.array([0.2, 1.1, 3.5]) * np.exp(rng.normal(0, 0.13)) * np.exp(rng.normal(0, 0.06, 3))
        self.black = rng.uniform(0.008, 0.022) * np.array([1.1, 1.0, 0.95]) * np.exp(rng.normal(0, 0.1, 3))
        self.granulate = rng.uniform(0.05, 0.13) * np.maximum(noise(rng, size, rng.uniform(65, 100), 2, 0.4), -0.9)
        self.filled_to, self.glow = self.half + self.radius * rng.uniform(0.35, 1.6), rng.uniform(0.15, 0.4)

    def _profile(self, rng: Rng) -> np.ndarray:
        """``u``, radius and its slope, ``(3, n)``: the cap is wider, ends in a step and has a locking ring."""
        u = np.linspace(-0.6, 0.6, 4801)
        edge, deep = u - self.seam, rng.uniform(0.012, 0.026)
        ring = edge + rng.uniform(0.040, 0.052)
        groove = np.exp(-((ring / 0.006) ** 2)) + 0.4 * np.exp(-(((ring + 0.022) / 0.004) ** 2))
        uneven = 0.002 * np.sin(u * rng.uniform(15, 30) + rng.uniform(0, 6))
        cap = rng.uniform(0.028, 0.042) * smoothstep(0.0022, -0.0022, edge)
        radius = self.radius * (1 + cap - deep * groove + uneven)
        return np.stack([u, radius, np.gradient(radius, u)])

    def _lamps(self, rng: Rng) -> np.ndarray:
        """Long soft lamps above and below, a small one at the side: x, y, half width and height, softness, power."""
        top = [rng.normal(0, 0.15), -rng.uniform(0.7, 1.3), rng.uniform(0.5, 1.1), rng.uniform(0.04, 0.25)]
        low = [rng.normal(0, 0.4), rng.uniform(1.1, 2.4), rng.uniform(0.4, 0.9), rng.uniform(0.05, 0.3)]
        side = [rng.choice([-1, 1]) * rng.uniform(0.8, 2.0), rng.normal(0, 0.5), *rng.uniform(0.08, 0.25, 2)]
        soft, power = rng.uniform(0.05, 0.25, (3, 1)), rng.uniform([[9], [1], [0]], [[18], [5], [6]])
        return np.concatenate([[top, low, side], soft, power], 1).astype(np.float32)

    def render(self, shift=(0, 0), height=None, ink=None, stain=None, tone=None, region=None) -> np.ndarray:
        """Linear RGB image of the capsule, changed or not.

        Fields: ``shift`` is added to ``u`` and ``v``, ``height`` raises the surface, ``ink`` is the alpha of the
        imprint, ``stain`` that of something matt of colour ``tone``; ``region`` concerns the mask only.
        """
        u, v = self.u + shift[0], self.v + shift[1]
        over = u - np.clip(u, -self.half, self.half)
        radius = np.interp(u, *self.profile[:2]).astype(np.float32)
        outside = np.hypot(over, v) - radius
        image = self.table * self._lit(u, v, outside)
        inside = outside < 0.5 / self.size
        # From here on only the capsule's pixels, a fifth of the picture, as vectors.
        u, v, radius, over, wear = u[inside], v[inside], radius[inside], over[inside], self.wear[inside]
        normal = self._normals(height, inside, u, v / radius, over / radius)
        w = np.arcsin(np.clip(v / radius, -1, 1)) * radius
        lamp = np.array([0.5 * self.lamps[0, 0], self.lamps[0, 1], 1], np.float32)
        facing = np.clip((normal @ (lamp / np.linalg.norm(lamp)) + 0.35) / 1.35, 0, 1)  # it is large and wraps around
        shade = (0.35 + 0.65 * facing)[:, None]
        past = u - self.seam
        colour = mix(self._amber(u, v, w, normal, facing), shade * self.black, smoothstep(0.001, -0.001, past))
        # The cap's edge keeps light from the body right beside it.
        colour = colour * (1 - 0.6 * np.exp(-np.clip(past, 0, 1) / 0.0045) * (past > 0))[:, None]
        ink = self.imprint(u, w) if ink is None else ink[inside]
        colour = mix(colour, shade * np.array([0.74, 0.71, 0.64]), ink * smoothstep(-2.8, -1.4, wear))
        colour = mix(colour, shade * 0.5, 0.5 * smoothstep(3.1, 3.9, wear))
        gloss = self._gloss(inside, normal)[:, None]
        if stain is not None:
            colour, gloss = mix(colour, shade * tone, stain[inside]), gloss * (1 - stain[inside, None])
        coverage = np.clip(0.5 - outside[inside] * self.size, 0, 1)
        image[inside] = mix(image[inside], colour + gloss, coverage)
        return np.clip(image, 0, 1).astype(np.float32)

    def _lit(self, u: Field, v: Field, outside: Field) -> np.ndarray:
        """Share of the light that reaches the table: little where the capsule touches it, amber behind the body."""
        right, down, depth = self.shadow
        far = np.hypot(u - right - np.clip(u - right, -self.half, self.half), v - down) - self.radius
        near = (0.12 + 0.3 * smoothstep(-0.8, 0.8, v / self.radius)) * np.exp(-np.clip(outside, 0, None) / 0.005)
        dark = np.clip(near + depth * smoothstep(0.05, -0.03, far) + 0.12 * smoothstep(0.13, 0, far), 0, 0.85)
        tint = mix(np.ones(3), np.array([0.62, 0.95, 1.12]), smoothstep(0.0, 0.08, u - self.seam))
        return 1 - dark[..., None] * tint.astype(np.float32)

    def _normals(self, height: Field | None, inside: Field, u: Vector, across: Vector, over: Vector) -> np.ndarray:
        """Unit normals ``(n, 3)`` in the frame of the image: x to the right, y downwards, z towards the camera."""
        z = np.sqrt(np.clip(1 - over**2 - across**2, 0.0004, 1))
        tilt = (over - np.interp(u, self.profile[0], self.profile[2]) + 1j * across) * self.turn
        x, y = tilt.real + self.wobble[0][inside], tilt.imag + self.wobble[1][inside]
        if height is not None:
            down, right = np.gradient(height * self.size)
            x, y = x - right[inside] * z, y - down[inside] * z
        normal = np.stack([x, y, z], 1)
        return (normal / np.sqrt((normal**2).sum(1, keepdims=True))).astype(np.float32)

    def _amber(self, u: Vector, v: Vector, w: Vector, normal: np.ndarray, facing: Vector) -> np.ndarray:
        """Translucent gelatine over granulate: darker where the shell is seen edge on, glowing away from the lamp."""
        # The shell is a lens: it magnifies across the axis.
        grain = ndimage.map_coordinates(self.granulate, (np.stack([0.75 * w, u]) + 0.5) * self.size, order=1)
        through = np.exp(-(0.45 + 0.62 / (normal[:, 2:] + 0.3)) * self.absorption)
        glowing = self.glow * smoothstep(0.0, 0.95, v / self.radius) * smoothstep(0.02, 0.25, normal[:, 2])
        filled = (0.34 + 0.5 * facing) * (1 + grain) + glowing
        empty = smoothstep(-0.006, 0.006, u - self.filled_to + 0.04 * grain)
        return mix(through * filled[:, None], 0.8 * through**1.5, 0.8 * empty)

    def _gloss(self, inside: np.ndarray, normal: np.ndarray) -> Vector:
        """Mirrored light, times Fresnel: lamps in a plane one side above, the room, at grazing angles the table."""
        x, y, z = normal.T
        rise = 2 * z * z - 1
        reach = 2 * z / np.clip(rise, 0.05, None)
        hit_x, hit_y = reach * x + self.x[inside] - 0.5, reach * y + self.y[inside] - 0.5
        everywhere, top, left = self.room
        sky = everywhere + top * smoothstep(0.6, -2.5, hit_y) + left * smoothstep(1, -1, hit_x)
        for lx, ly, wide, high, soft, power in self.lamps:
            aside = np.hypot(np.clip(np.abs(hit_x - lx) - wide, 0, None), np.clip(np.abs(hit_y - ly) - high, 0, None))
            sky += power * (0.93 * smoothstep(soft, 0, aside) + 0.07 * np.exp(-aside / 0.3))
        table = 0.45 - 0.25 * smoothstep(-0.2, 0.9, y)
        return (0.045 + 0.45 * (1 - z) ** 5) * np.clip(table + (sky - table) * smoothstep(-0.2, 0.25, rise), 0, None)

    def imprint(self, u: np.ndarray, w: np.ndarray, weight: float = 1.0) -> np.ndarray:
        """Alpha of the imprint at points of the surface; ``weight`` thickens the strokes."""
        a, b = (u - self.print_at[0]) / self.print_height, (w - self.print_at[1]) / self.print_height
        near = (np.abs(a) < 2) & (np.abs(b) < 0.75)
        distance = np.min([distance_to_curve(a[near], b[near], stroke)[0] for stroke in _STROKES], 0)
        blur, alpha = 0.7 / (self.size * self.print_height), np.zeros(u.shape, np.float32)
        alpha[near] = self.opacity * smoothstep(blur, -blur, distance - 0.062 * weight)
        return alpha


def _arc(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 1) -> np.ndarray:
    """Points on an ellipse from one angle to another, in turns, clockwise on the screen."""
    t = np.linspace(start, stop, 20) * 2 * np.pi
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


# The imprint, one unit high and centred on the origin: a leaf in an open ring, and "500".
_STROKES = (
    _arc(-1.33, 0, 0.46, 0.46, 0.08, 0.92),
    np.array([(-1.62, 0.26), (-1.38, -0.12), (-1.16, 0.16), (-1.38, -0.12), (-1.02, -0.30)]),
    np.concatenate([[(-0.10, -0.5), (-0.57, -0.5), (-0.62, -0.06)], _arc(-0.37, 0.18, 0.30, 0.31, -0.36, 0.36)]),
    _arc(0.42, 0, 0.29, 0.5),
    _arc(1.18, 0, 0.29, 0.5),
)


def _spot(flaw: Rng, capsule: Capsule) -> np.ndarray:
    """A point ``(u, w)`` on the visible side of the capsule, away from its outline."""
    u = flaw.uniform(-0.93, 0.93) * (capsule.half + capsule.radius)
    chord = np.sqrt(max(0.05, 1 - (max(0, abs(u) - capsule.half) / capsule.radius) ** 2))
    return np.array([u, capsule.radius * np.arcsin(0.75 * flaw.uniform(-1, 1) * chord)])


def _tone(flaw: Rng, u: float, capsule: Capsule) -> np.ndarray:
    """Colour of broken gelatine, dark or bright, warm or neutral; on black mostly bright, or nothing would be seen."""
    brightness = 0.5 if flaw.uniform() < (0.85 if u < capsule.seam else 0.45) else 0.03
    return np.clip(brightness * np.exp(flaw.normal(0, 0.4)) * np.cumprod([1, *flaw.uniform(0.75, 1, 2)]), 0, 0.9)


def _cut(flaw: Rng, capsule: Capsule, paths: list, widths: np.ndarray, depth: float, taper: Callable) -> Change:
    """Lines on the surface with a groove (or ridge) around each; ``taper`` is the relative width along a path.

    A line narrower than a pixel covers only a part of it. Only the pixels near a path are worked out.
    """
    lines, groove = np.zeros_like(capsule.u), np.zeros_like(capsule.u)
    for path, width in zip(paths, widths, strict=True):
        (left, top), (right, bottom) = path.min(0) - 0.03, path.max(0) + 0.03
        near = (capsule.u > left) & (capsule.u < right) & (capsule.w > top) & (capsule.w < bottom)
        distance, along = distance_to_curve(capsule.u[near], capsule.w[near], path)
        strength = taper(along)
        half = width * strength * capsule.size
        lines[near] = np.maximum(lines[near], np.clip(half - distance * capsule.size + 0.5, 0, np.minimum(1, 2 * half)))
        groove[near] = np.maximum(groove[near], strength * np.exp(-((distance / (2 * width + 0.001)) ** 2)))
    height = groove * (depth * flaw.choice([-1, 1]))
    return {"height": height, "stain": lines * flaw.uniform(0.45, 1), "tone": _tone(flaw, paths[0][0, 0], capsule)}


def _crack(flaw: Rng, capsule: Capsule) -> Change:
    """A jagged, often branching crack, from a hairline to an open gap with lifted edges."""

    def jagged(start: np.ndarray, heading: float, reach: float) -> np.ndarray:
        corners = 5 + int(reach / 0.014)
        path = curve(flaw, tuple(start), heading, reach, 0.5, corners)
        return path + np.r_[[[0, 0]], flaw.normal(0, 0.35 * reach / corners, (corners - 1, 2))]

    length, width, middle = log_uniform(flaw, 0.14, 0.5), log_uniform(flaw, 0.0012, 0.008), _spot(flaw, capsule)
    angle = flaw.choice([-1, 1]) * np.pi / 2 + flaw.normal(0, 0.6)
    paths = [jagged(middle - 0.45 * length * np.array([np.cos(angle), np.sin(angle)]), angle, length)]
    for turn in flaw.choice([-1, 1], flaw.integers(0, 4)) * flaw.uniform(0.4, 1.2):
        fork = paths[0][flaw.integers(1, len(paths[0]) - 1)]
        paths.append(jagged(fork, angle + turn, length * flaw.uniform(0.2, 0.6)))
    widths, depth = width * np.array([1, 0.5, 0.5, 0.5])[: len(paths)], log_uniform(flaw, 0.0008, 0.004)
    return _cut(flaw, capsule, paths, widths, depth, lambda along: np.clip(1.05 - along, 0, 1) ** 0.6)


def _scratch(flaw: Rng, capsule: Capsule) -> Change:
    """Thin smooth scratches, straight or slightly bent, sometimes several in parallel, of varying pressure."""

    def pressure(along: Vector) -> Vector:
        return smoothstep(0, 0.2, along) * smoothstep(1, 0.7, along) * (0.65 + 0.35 * np.sin(waves * along))

    length, width, spread = (
        log_uniform(flaw, 0.14, 0.5),
        log_uniform(flaw, 0.001, 0.004),
        log_uniform(flaw, 0.005, 0.022),
    )
    angle, bend, waves = flaw.uniform(0, np.pi), flaw.choice([0.05, 0.4]), flaw.uniform(5, 40)
    paths, start = [], _spot(flaw, capsule) - 0.4 * length * np.array([np.cos(angle), np.sin(angle)])
    for share in flaw.uniform(0.5, 1, flaw.choice([1, 2, 3, 5, 8])):
        beside, turn = start + flaw.normal(0, spread, 2), flaw.normal(0, 0.04)
        paths.append(curve(flaw, tuple(beside), angle + turn, length * share, bend, 24))
    widths, depth = width * flaw.uniform(0.5, 1, len(paths)), log_uniform(flaw, 0.0006, 0.002)
    return _cut(flaw, capsule, paths, widths, depth, pressure)


def _poke(flaw: Rng, capsule: Capsule) -> Change:
    """A round dent with a raised rim, at worst punched through."""
    radius, (u, w) = log_uniform(flaw, 0.024, 0.075), _spot(flaw, capsule)
    t = np.hypot(capsule.u - u, (capsule.w - w) * flaw.uniform(0.8, 1.25)) / radius
    t = (t * (1 + 0.1 * noise(flaw, capsule.size, 40))).astype(np.float32)  # not quite round
    depth, hole = log_uniform(flaw, 0.06, 0.6) * radius, flaw.uniform(0.15, 0.5)
    bowl = -depth * np.clip(1 - t**2, 0, 1) ** 1.5 + 0.25 * depth * np.exp(-(((t - 1.1) / 0.25) ** 2))
    stain = smoothstep(1.2 * hole, 0.7 * hole, t) * flaw.uniform(0.15, 1)
    return {"height": bowl, "stain": stain, "tone": _tone(flaw, u, capsule), "region": capsule.inside & (t < 1)}


def _squeeze(flaw: Rng, capsule: Capsule) -> Change:
    """The outline is pushed in somewhere, and the light on the surface bends around the dent."""
    out = 0.6 * flaw.normal() + 1j * flaw.normal()  # rather from above or below than at the ends
    out = complex(out / abs(out))
    base = flaw.uniform(-1, 1) * capsule.half if abs(out.real) < 0.7 else np.sign(out.real) * capsule.half
    offset = (capsule.u - float(base) + 1j * capsule.v) / out - capsule.radius  # real part outwards, imaginary along
    wide = log_uniform(flaw, 0.08, 0.25)
    depth = min(log_uniform(flaw, 0.006, 0.06), 0.35 * wide)
    from_centre = (offset.imag / wide) ** 2 + (offset.real / (flaw.uniform(0.06, 0.16) + depth)) ** 2
    dent = depth * np.clip(1 - from_centre, 0, 1) ** 2
    crumpled = flaw.uniform(0.4, 1.6) + flaw.uniform(0, 0.2) * noise(flaw, capsule.size, 12, 2)
    shift = dent * out.real, dent * out.imag
    return {"shift": shift, "height": -dent * crumpled, "region": capsule.inside & (from_centre < 0.85)}


def _faulty_imprint(flaw: Rng, capsule: Capsule) -> Change:
    """Ink that is smeared, doubled, partly missing, too thick, or where none belongs."""
    u, w, ink = capsule.u, capsule.w, capsule.imprint(capsule.u, capsule.w)
    stroke = _STROKES[flaw.integers(len(_STROKES))]
    centre = np.array(capsule.print_at) + stroke[flaw.integers(len(stroke))] * capsule.print_height
    region = blob(flaw, u, w, tuple(centre), log_uniform(flaw, 0.04, 0.16), 0.4, flaw.uniform(1, 2))
    kind, amount = flaw.choice(["smeared", "doubled", "missing", "thick", "extra"]), flaw.uniform(0.25, 1)
    if kind == "extra":  # a line, or a dot if it is short
        start, tone = centre + flaw.normal(0, 0.02, 2), flaw.choice([0.03, 0.3, 0.7]) * np.array([1, 0.95, 0.85])
        path = curve(flaw, tuple(start), flaw.uniform(0, 2 * np.pi), log_uniform(flaw, 0.03, 0.2), 1)
        widths, waves = np.array([log_uniform(flaw, 0.004, 0.016)]), flaw.uniform(4, 20)
        cut = _cut(flaw, capsule, [path], widths, 0, lambda along: 0.75 + 0.25 * np.sin(waves * along))
        return {"stain": cut["stain"], "tone": tone}
    if kind == "missing":
        other = np.zeros_like(ink)
    elif kind == "thick":
        other = capsule.imprint(u, w, flaw.uniform(1.6, 2.6))
    else:
        other = _displaced(flaw, ink, kind == "smeared")
    return {"ink": ink + (other - ink) * amount * smoothstep(0.004, -0.004, region)}


def _displaced(flaw: Rng, ink: Field, smear: bool) -> Field:
    """Ink with a second impression beside it, or wiped in one direction."""
    angle, reach = flaw.uniform(0, 2 * np.pi), log_uniform(flaw, 0.012, 0.05)
    (rows, columns), margin, changed = np.nonzero(ink), len(ink) // 20, ink.copy()
    crop = slice(rows.min() - margin, rows.max() + margin), slice(columns.min() - margin, columns.max() + margin)
    for t in np.linspace(0.1, 1, 14) if smear else (1.0,):
        offset = reach * t * len(ink) * np.array([np.sin(angle), np.cos(angle)])
        moved = ndimage.shift(ink[crop], offset, order=1) * ((1 - 0.7 * t) if smear else 1)
        changed[crop] = np.maximum(changed[crop], moved)
    return changed


DEFECTS: dict[str, Callable[[Rng, Capsule], Change]] = {
    "crack": _crack, "faulty_imprint": _faulty_imprint, "poke": _poke, "scratch": _scratch, "squeeze": _squeeze
}  # fmt: skip
