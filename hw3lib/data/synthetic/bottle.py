"""A dark glass bottle from straight above on a back-lit table: shoulder, lip, and the view down into its neck.

The glass is a surface of revolution. A camera on its axis sees, reflected by a surface with slope ``g`` (height over
distance), the direction whose stereographic coordinates are ``-g``; so the environment of lamps, room and table is a
picture that is looked up by the slope. Steep glass also bends the light of the table upwards and colours it. Defects
give the surface other slopes in the same light or put matter on it; the mask is where that changes the picture.
Lengths are in image sides, angles in radians; points, and slopes right and down, are complex numbers.
"""

from __future__ import annotations

import numpy as np
from scipy import interpolate, ndimage

from .canvas import (
    Field,
    Steady,
    blob,
    changed_region,
    coordinates,
    curve,
    distance_to_curve,
    light,
    mix,
    noise,
    smoothstep,
)

Rng = np.random.Generator
Box = tuple[slice, slice]
Matter = tuple[Box, Field, np.ndarray]  # where, its opacity and its linear RGB colour
RINGS, TURN = 288, 2048  # cells of the polar tables, along the radius from 0.2 on and around the axis
# Set so that detectors and transfer learning find defects as they do on the real bottle (make bench ARGS="painters"):
VARIATION = 0.15  # share of the spread of shape, glass and lamps that bottles of one mould keep
FAINT = 0.05  # share of each type that is hardly seen
SPARK = 0.7  # of broken glass, at least: from dull (0) to glittering (1)
MATTER = 0.2  # linear value of the darkest contamination
MOUTH, LIP, BODY = 0.220, 0.356, 0.450  # radii of the bottle whose profile is given below
# Radius, slope (rising outwards is positive), how uneven and how rough the surface is there.
PROFILE = np.array([
    (0, 0, 0, 0), (0.219, 2.6, 0.2, 0.02), (0.223, 1.3, 0.6, 0.05), (0.227, 0.32, 0.4, 0.05), (0.232, 0.38, 0.4, 0.04),
    (0.25, 0.31, 0.4, 0.065), (0.268, 0.27, 0.4, 0.045), (0.276, 0.12, 0.3, 0.01), (0.283, 0.52, 0.35, 0.004),
    (0.29, 0.2, 0.2, 0.004), (0.305, 0.1, 0.12, 0.004), (0.322, -0.22, 0.15, 0.004), (0.33, -0.1, 0.25, 0.004),
    (0.337, -0.75, 1.2, 0.03), (0.342, -1.4, 2, 0.04), (0.3525, -1.55, 2, 0.04), (0.3555, -1.25, 0.8, 0.01),
    (0.357, -0.95, 0.3, 0), (0.368, -0.9, 0.1, 0), (0.388, -0.55, 0.1, 0), (0.405, -0.82, 0.1, 0), (0.42, -0.7, 0.1, 0),
    (0.44, -1, 0.1, 0), (0.47, -1, 0, 0), (1, -1, 0, 0),
])  # fmt: skip


def paint(defect: str, size: int, scene: Rng, flaw: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Linear RGB float32 ``(size, size, 3)`` of a bottle and the mask of its defect, bool ``(size, size)``."""
    if defect != "good" and defect not in DEFECTS:
        raise ValueError(f"unknown defect {defect!r} of bottle; known: good, {', '.join(DEFECTS)}")
    bottle = Bottle(Steady(scene, VARIATION), size)
    image, mask = bottle.image, np.zeros((size, size), bool)
    while defect != "good" and mask.sum() < 4e-4 * size**2:  # what cannot be seen is drawn again
        image, mask = bottle.image.copy(), np.zeros((size, size), bool)
        box, bad = DEFECTS[defect](flaw, bottle)
        mask[box] = changed_region(image[box], bad, size, threshold=0.016, gap=1 / 200, pepper=6e-5)
        image[box] = np.where(mask[box][..., None], bad, image[box])
    return image, mask


class Bottle:
    """One bottle, its pose, its lamps and its table, and the finished picture of it without a defect."""

    def __init__(self, rng: Rng, size: int) -> None:
        self.size = size
        x, y = coordinates(size)
        self.at = x + 1j * y  # position in the image
        self.mouth, self.lip, self.body = np.array([MOUTH, LIP, BODY]) * np.exp(rng.normal(0, 0.008, 3))
        self.centre = complex(*(0.5 + rng.normal(0, 0.006, 2)))
        lean = complex(*rng.normal(0, 0.006, 2))  # how far the foot of the leaning bottle is from below its mouth
        place = self.at - self.centre
        place = place + lean * smoothstep(0.32, 0.45, np.abs(place))
        self.r, self.theta = np.abs(place), np.angle(place)
        ring = np.clip((self.r - 0.2) * 1600, 0, RINGS - 1)
        self.cell = ring.astype(np.intp), (self.theta * (TURN / (2 * np.pi))).astype(np.intp)
        olive = np.array([0.8, -0.75, -0.5]) * (rng.uniform(0, 0.25) + 0.6 * (rng.uniform() < 0.12))
        amber = np.array([0.6, 1.85, 3.4])  # absorption of red, green and blue by one wall
        self.absorption = (amber + olive) * np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3))
        self.lamps = self._lamps(rng)
        slope, uneven, rough = self._surface(rng)
        self.grain = noise(rng, size, 240) + 1j * noise(rng, size, 240)
        walls = 0.8 + 0.3 * uneven + 0.9 * (self.r < 0.25)
        spots = self._arcs(rng, rng.uniform((0.2, 0, 0), (1.4, 1.2, 0.8)), (0.338, 0.351), (0.03, 0.12), (0.002, 0.005))
        spots = spots * np.clip(0.7 + 0.6 * self.grain.real, 0, 2)
        glass = self.glass(slope * place / self.r + rough * self.grain, walls, spots, self.r > self.lip)
        self.image = self._assemble(rng, glass)

    def _lamps(self, rng: Rng, side: int = 256) -> np.ndarray:
        """Environment ``(2, side, side, 3)``, sharp and blurred, over stereographic -2 to 2; the horizon is at 1."""
        u, v = (4 * (c - 0.5) for c in coordinates(side))
        high, azimuth = np.hypot(u, v), np.arctan2(v, u)
        room = rng.uniform(1.1, 1.5) * (1 + 0.18 * noise(rng, side, 9, 3)) * (1 - 0.75 * smoothstep(0.62, 1.0, high))
        room = np.maximum(room, 0.1) * (0.7 + 0.3 * smoothstep(0.03, 0.12, high))  # the lens is dark
        facing = 1 + 0.25 * np.cos(azimuth[None] - rng.uniform(0, 6, (2, 1, 1)))  # the lamps are not quite even
        ring = np.exp(-(((high - rng.uniform(0.13, 0.2)) / 0.03) ** 2))
        dome = np.exp(-(((high - rng.uniform(0.52, 0.6)) / rng.uniform(0.10, 0.16)) ** 2))
        room = room + rng.uniform(0.6, 2) * facing[0] * ring + rng.uniform(1.5, 3.5) * facing[1] * dome
        env = room[..., None] * np.array([0.90, 0.98, 1.2])
        for place, power in enumerate(rng.uniform((3, 3, 0), (14, 8, 10))):
            turn, far = 2 * np.pi * place / 3 + rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.8)
            along, across = u * np.cos(turn) + v * np.sin(turn) - far, v * np.cos(turn) - u * np.sin(turn)
            wide, deep, soft = rng.uniform(0.06, 0.2), rng.uniform(0.02, 0.07), rng.uniform(0.02, 0.05)
            box = smoothstep(wide + soft, wide, np.abs(across)) * smoothstep(deep + soft, deep, np.abs(along))
            env += power * box[..., None] * np.exp(rng.normal(0, 0.06, 3))
        env = mix(env, np.array([1.0, 1.0, 1.0]), smoothstep(1.05, 1.4, high)).astype(np.float32)
        return np.stack([env, ndimage.gaussian_filter(env, (rng.uniform(5, 8),) * 2 + (0,), truncate=2.5)])

    def _surface(self, rng: Rng) -> tuple[Field, Field, Field]:
        """Radial slope, unevenness (about -1 to 1) and roughness of every pixel."""
        own = np.interp(np.linspace(0, 0.75, 4096), [0, self.mouth, self.lip, self.body, 1], [0, MOUTH, LIP, BODY, 1])
        table = interpolate.PchipInterpolator(PROFILE[:, 0], PROFILE[:, 1:])(own)
        table[:, 0] *= np.exp(np.interp(own, np.linspace(0.2, 0.48, 24), rng.normal(0, 0.1, 24)))
        for _ in range(3):  # rings left by the tool that formed the lip
            wave = np.sin(2 * np.pi * own / rng.uniform(0.006, 0.014) + rng.uniform(0, 6)) * rng.uniform(0.01, 0.06)
            table[:, 0] += wave * smoothstep(0.270, 0.280, own) * smoothstep(0.340, 0.335, own)
        waves = self._around(rng, 5, 8)
        uneven = 0.5 * self._around(rng, 1.0, 45) + 0.7 * waves
        row = ((self.r + 0.0007 * waves * (self.r < self.lip)) * (4096 / 0.75)).astype(np.intp)
        slope, amount, rough = (table[:, k].astype(np.float32)[row] for k in range(3))
        laps = self._arcs(rng, rng.normal(0, 0.35, 4), (0.275, 0.335), (0.1, 0.6), (0.0006, 0.0016))
        return slope + 0.14 * amount * uneven + laps, uneven, rough

    def _around(self, rng: Rng, width: float, waves: float) -> Field:
        """Unevenness, sd 1, that runs around the axis in rings of ``width`` / 1600, with ``waves`` in one turn."""
        decay = np.exp(-((np.arange(int(3 * waves)) / waves) ** 2))
        spectrum = ndimage.gaussian_filter1d(rng.standard_normal((2, RINGS, len(decay))) * decay, width, axis=1)
        rings = np.fft.irfft(spectrum[0] + 1j * spectrum[1], TURN, axis=1).astype(np.float32)
        return (rings / rings.std())[self.cell]

    def _arcs(self, rng: Rng, strengths: np.ndarray, radius: tuple, length: tuple, width: tuple) -> Field:
        """Soft arcs around the axis, a little spiral; ranges of their radius, length (radians) and width."""
        rings = np.zeros((RINGS, TURN), np.float32)
        r = 0.2 + np.arange(RINGS, dtype=np.float32)[:, None] / 1600
        for strength in strengths:
            near, long, wide, start = (rng.uniform(*v) for v in (radius, length, width, (0, TURN)))
            turn = np.linspace(-2.5, 2.5, int(5 * long * TURN / (2 * np.pi)), dtype=np.float32)
            across = (r - near) / wide - rng.normal(0, 0.8) * turn
            rings[:, (int(start) + np.arange(len(turn))) % TURN] += strength * np.exp(-(turn**2) - across**2)
        return rings[self.cell]

    def glass(self, slope: np.ndarray, walls: Field, leak: Field, blurred: Field | int = 0) -> np.ndarray:
        """Linear RGB of glass with complex ``slope``; ``leak`` is light of the table that cracks let through."""
        side = self.lamps.shape[1]
        row, column = (np.clip((0.5 - g / 4) * side, 0, side - 1).astype(np.intp) for g in (slope.imag, slope.real))
        cosine = 1 / np.sqrt(1 + slope.real**2 + slope.imag**2)
        fresnel = 0.04 + 0.96 * (1 - cosine) ** 5  # Schlick; glass reflects 4 % at right angles
        # Sideways part of the refracted ray: far enough to the side it leaves the bottle and meets the bright table.
        sideways = (np.sqrt(1 - (1 - cosine**2) / 2.25) - cosine / 1.5) * np.sqrt(1 - cosine**2)
        through = (1 - fresnel) * np.maximum(0.75 * smoothstep(0.29, 0.44, sideways), leak)
        colour = np.exp(-np.maximum(walls, 0.2)[..., None] * self.absorption.astype(np.float32))
        return fresnel[..., None] * self.lamps[np.asarray(blurred, np.intp), row, column] + through[..., None] * colour

    def _assemble(self, rng: Rng, glass: np.ndarray) -> np.ndarray:
        """Glass, neck and table in one picture."""
        image = glass * light(rng, self.size, 0.1)[..., None]
        deep = self.at - self.centre - complex(*rng.normal(0, 0.04, 2))
        spot = np.exp(-((np.abs(deep) / rng.uniform(0.04, 0.1)) ** 2))
        glow = mix(np.array([1.0, 1.05, 1.0]), np.array([2.0, 1.2, 0.6]), np.float32(rng.uniform()))
        inside = rng.uniform(0.012, 0.02) * np.array([1.0, 0.98, 1.3]) + spot[..., None] * glow * rng.uniform(0, 0.025)
        image = mix(image, inside, smoothstep(self.mouth + 0.001, self.mouth - 0.002, self.r))
        paper = light(rng, self.size, 0.04)[..., None] * rng.uniform(0.98, 1.06) * np.ones(3)
        blur = rng.uniform(0.010, 0.016)  # the body is below the focus
        return np.clip(mix(image, paper, smoothstep(-blur, blur, self.r - self.body)), 0, 1).astype(np.float32)

    def box(self, at: complex, reach: float) -> Box:
        """Pixels within ``reach`` of a point, as slices."""
        low, high = ((at + side * reach * (1 + 1j)) * self.size for side in (-1, 1))
        return slice(max(0, round(low.imag)), round(high.imag)), slice(max(0, round(low.real)), round(high.real))


def _fracture(flaw: Rng, bottle: Bottle, half: float, low: float, high: float, spark: float) -> tuple[Box, np.ndarray]:
    """Glass broken out between the radii ``low`` and ``high`` over ``2 * half`` radians, dull to sparkling (0 to 1)."""
    turn = flaw.uniform(0, 2 * np.pi)
    wide, long = high * np.sin(min(half, np.pi / 2)), (high - low) / 2 + high * (1 - np.cos(half))
    box = bottle.box(bottle.centre + (low + high) / 2 * np.exp(1j * turn), 0.02 + np.hypot(wide, long))
    warp, rough = (noise(flaw, bottle.size, 28, 4, 0.6)[box] for _ in range(2))
    at, r = bottle.at[box] + 0.004 * (warp + 1j * rough), bottle.r[box] + 0.0015 * rough
    angle = (bottle.theta[box] - turn + np.pi) % (2 * np.pi) - np.pi + 0.008 * warp
    knots = np.sort(flaw.uniform(-1, 1, 8))
    reach = (1 - np.abs(knots) ** flaw.uniform(2, 6)) * flaw.uniform(0.6, 1.05, 8) * (high - low)
    tear = np.interp(angle / half, [-1, *knots, 1], [0, *reach, 0]).astype(np.float32)
    # A chip at the outer edge opens outwards.
    depth = np.minimum(high - r, r - high + tear) if low > bottle.mouth else np.minimum(low + tear - r, r - low)
    count = np.array([flaw.integers(1, 4), 2 + int(6 * half)])
    points = flaw.uniform(low, high, count.sum()) * np.exp(1j * (turn + half * flaw.uniform(-0.9, 0.9, count.sum())))
    hits, centres = np.split(bottle.centre + points, count[:1])
    bad = _shells(flaw, bottle, box, at, hits, centres, spark)
    rim = smoothstep(0.002, 0.0006, depth) * smoothstep(0.2, 1.0, rough)
    grains = noise(flaw, bottle.size, 110, 3, 0.8)[box]
    white = np.clip(0.5 * rim + 0.6 * smoothstep(2.2, 2.8, grains) * smoothstep(-0.5, 1.0, warp), 0, 1)  # splinters
    for hit in hits:  # crushed to grains
        spot = np.exp(-((np.abs(at - hit) / min(flaw.uniform(0.011, 0.034), (high - low) / 2)) ** 2))
        white = np.maximum(white, smoothstep(0.5, 1.0, spot * (1.2 + 0.5 * grains + 0.3 * rough)))
    tint = np.exp(-np.clip(0.25 + 0.3 * warp, 0, 1)[..., None] * bottle.absorption)
    bad = mix(bad, tint * np.clip(1.0 + 0.5 * grains, 0.1, 1.8)[..., None], spark * white)
    inside = smoothstep(-0.5 / bottle.size, 0.5 / bottle.size, depth) * (np.abs(angle) < half)
    return box, mix(bottle.image[box], np.clip(bad, 0, 1), inside * min(1, 0.35 + 2.6 * spark))


def _shells(flaw: Rng, bottle: Bottle, box: Box, at: Field, hits: Field, centres: Field, spark: float) -> Field:
    """Linear RGB of large rippled shells around ``centres`` and small splinters around ``hits``."""
    small = hits[flaw.integers(len(hits), size=9)] + flaw.normal(0, 0.011, (9, 2)) @ [1, 1j]
    sites, count = np.concatenate([centres, small]).astype(np.complex64), len(centres) + 9
    large = np.arange(count) < len(centres)
    sizes = np.where(large, 2.2, 0.8) * flaw.uniform(0.65, 1.4, count)
    facet = (np.abs(at[..., None] - sites) / sizes.astype(np.float32)).argmin(-1)
    away, far = at - hits[0], np.abs(at - hits[0]) + 1e-4
    ripple = flaw.uniform(0, 0.12) * np.exp(-far / 0.05) * np.sin(2 * np.pi * far / flaw.uniform(0.006, 0.014))
    tilt = np.where(large, 0.25, 0.55) * (flaw.normal(0, 1, (count, 2)) @ [1, 1j])
    # Bent one way only, as parts of cylinders: round bowls would each show the whole room as a bull's-eye.
    axis = np.exp(1j * (flaw.uniform(0, np.pi) + flaw.normal(0, 0.4, count)))[facet]
    bend = flaw.uniform(-12, 12) * ((at - sites[facet]) * axis.conj()).real * axis
    slope = tilt[facet] + bend + ripple * away / far + 0.03 * bottle.grain[box]
    leak = flaw.uniform(0.05, 0.7, count) * (flaw.uniform(size=count) < 0.3 * spark) * ~large
    veins = np.clip(0.4 + 0.6 * noise(flaw, bottle.size, 70, 3, 0.7)[box], 0, 2)
    walls = flaw.uniform(0.3, 1.3, count)[facet] + 0.15 * bottle.grain.real[box]
    shade = np.exp(flaw.uniform(-0.8, 0.4, count) * min(1, 0.3 + spark))
    return bottle.glass(slope, walls, leak[facet] * veins) * shade[facet][..., None]


def broken_large(flaw: Rng, bottle: Bottle) -> tuple[Box, np.ndarray]:
    """A wide arc of the lip is broken off."""
    low = bottle.mouth - 0.001
    if flaw.uniform() < FAINT:
        return _fracture(flaw, bottle, flaw.uniform(0.5, 1.0), low, flaw.uniform(0.30, 0.34), flaw.uniform(0, 0.15))
    return _fracture(flaw, bottle, flaw.uniform(0.8, 2.6), low, flaw.uniform(0.335, 0.362), flaw.uniform(SPARK, 1))


def broken_small(flaw: Rng, bottle: Bottle) -> tuple[Box, np.ndarray]:
    """A chip at the inner or the outer edge of the lip."""
    subtle, inner = flaw.uniform() < FAINT, flaw.uniform() < 0.6
    half, deep = flaw.uniform((0.06, 0.02), (0.18, 0.05)) if subtle else flaw.uniform((0.25, 0.06), (0.7, 0.13))
    low, high = (bottle.mouth - 0.001, bottle.mouth + deep) if inner else (bottle.lip - deep, bottle.lip)
    return _fracture(flaw, bottle, half, low, high, flaw.uniform(0, 0.2) if subtle else flaw.uniform(SPARK, 1))


def contamination(flaw: Rng, bottle: Bottle) -> tuple[Box, np.ndarray]:
    """Foreign matter in the neck, on the lip or on the shoulder."""
    kind = (_fibre, _scrap, _scrap, _stain, _stain, _stain)[flaw.integers(6)]
    zone = flaw.choice(3, p=(0.75, 0.17, 0.08))
    low, high = ((0, 0.85 * bottle.mouth), (bottle.mouth, bottle.lip), (bottle.lip, bottle.body - 0.03))[zone]
    at = bottle.centre + np.sqrt(flaw.uniform(low**2, high**2)) * np.exp(1j * flaw.uniform(0, 2 * np.pi))
    box, alpha, colour = kind(flaw, bottle, at)
    soft = flaw.uniform(*((0.0, 0.008), (0.0, 0.001), (0.002, 0.005))[zone]) * bottle.size
    alpha = ndimage.gaussian_filter(alpha, soft) * flaw.uniform(*((0.12, 0.4) if flaw.uniform() < FAINT else (0.75, 1)))
    colour = ndimage.gaussian_filter(colour, (soft, soft, 0))
    if zone == 0 and (kind is not _fibre or flaw.uniform() < 0.5):  # down in the neck: less light, behind the lip
        alpha = alpha * smoothstep(bottle.mouth + 0.001, bottle.mouth - 0.002, bottle.r[box])
        colour = colour * flaw.uniform(0.6, 1) + 0.03
    alpha = alpha * smoothstep(bottle.body, bottle.body - 0.02, bottle.r[box])
    return box, mix(bottle.image[box], np.clip(colour, 0, 1), alpha)


def _matter(flaw: Rng, shade: Field) -> np.ndarray:
    """Shaded dirt, linear RGB: white, grey, brown or coloured, from dark to bright."""
    hue = flaw.choice([(1, 1, 1), (1, 0.93, 0.8), (1, 0.55, 0.25), (0.5, 0.75, 1), (0.6, 1, 0.5), (1, 0.35, 0.3)])
    return hue ** flaw.uniform(0.15, 0.9) * np.exp(flaw.uniform(np.log(MATTER), np.log(0.95))) * shade[..., None]


def _fibre(flaw: Rng, bottle: Bottle, at: complex) -> Matter:
    """A hair or thread."""
    long = flaw.uniform(0.12, 0.3)
    box = bottle.box(at, long + 0.02)
    path = curve(flaw, (at.real, at.imag), flaw.uniform(0, 2 * np.pi), long, flaw.uniform(0.3, 2.5), 24)
    away, along = distance_to_curve(bottle.at.real[box], bottle.at.imag[box], path)
    width = flaw.uniform(0.003, 0.007) * (1 + 0.25 * np.sin(along * flaw.uniform(20, 60)))
    shade = 0.45 + 0.65 * np.sqrt(np.clip(1 - (away / width) ** 2, 0, 1)) + 0.1 * bottle.grain.real[box]
    return box, smoothstep(width + 0.7 / bottle.size, width - 0.7 / bottle.size, away), _matter(flaw, shade)


def _scrap(flaw: Rng, bottle: Bottle, at: complex) -> Matter:
    """A torn, creased piece of paper, foil or plastic."""
    radius = flaw.uniform(0.09, 0.22)
    box = bottle.box(at, 1.6 * radius)
    away, rough = bottle.at[box] - at, noise(flaw, bottle.size, 40, 3)[box]
    corners = np.exp(-1j * np.cumsum(flaw.uniform(0.6, 1.7, 6)))
    sides = [(away * corner).real - radius * flaw.uniform(0.45, 1) for corner in corners]
    edge = np.max([*sides, np.abs(away) - 1.3 * radius], 0) + 0.06 * radius * flaw.uniform() * rough
    shade = 0.8 + 0.15 * noise(flaw, bottle.size, 14, 3)[box] + 0.08 * bottle.grain.imag[box]
    for crease in np.exp(1j * flaw.uniform(0, 2 * np.pi, 3)):
        shade += flaw.normal(0, 0.12) * np.sign((away * crease).real - flaw.normal(0, radius / 3))
    shade = np.clip(shade, 0.15, 1.6) + flaw.uniform(0, 0.6) * smoothstep(-0.004, -0.001, edge)
    return box, smoothstep(0.7 / bottle.size, -0.7 / bottle.size, edge), _matter(flaw, shade)


def _stain(flaw: Rng, bottle: Bottle, at: complex) -> Matter:
    """A lump of dirt, crumbs, or a translucent residue that is thicker at its border."""
    film = flaw.uniform() < 0.5
    crumbs, reach = (1, flaw.uniform(0.12, 0.28)) if film else (flaw.choice([1, 1, 3, 12]), flaw.uniform(0.06, 0.16))
    box = bottle.box(at, 2 * reach)
    x, y, rough = bottle.at.real[box], bottle.at.imag[box], noise(flaw, bottle.size, 25 if film else 50, 4, 0.7)[box]
    spread = (at.real, at.imag) + flaw.normal(0, reach * (crumbs > 1) / 2, (crumbs, 2))
    edge = np.min([blob(flaw, x, y, p, flaw.uniform(0.5, 0.9) * reach / crumbs**0.6, 0.5) for p in spread], 0)
    shade = np.clip(0.9 + 0.35 * rough + 0.15 * bottle.grain.real[box], 0.1, 2)
    alpha = smoothstep(0.002, -0.002, edge + 0.15 * reach / crumbs**0.5 * rough)
    if film:
        border = np.exp(-(((edge + 0.004) / 0.004) ** 2)) * flaw.uniform(0, 0.6)
        alpha = alpha * (smoothstep(0.001, -flaw.uniform(0.002, 0.03), edge) * (0.6 + 0.35 * rough) + border)
    return box, np.clip(alpha, 0, 1), _matter(flaw, shade)


DEFECTS = {painter.__name__: painter for painter in (broken_large, broken_small, contamination)}
