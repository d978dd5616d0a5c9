"""Answers to chapter 7."""

import hashlib
import math
import random

import numpy as np


def p_value(own, value):
    return (sum(one <= value for one in own) + 1) / (len(own) + 1)


def held(p):
    """The rule of a set, with another p-value."""
    return lambda labelled, new, error: [n for n in sorted(labelled) if p(labelled[n], new[n]) > error]


def loop(labelled, new, error):
    names = []
    for name, own in sorted(labelled.items()):
        if 1 + sum(value <= new[name] for value in own) > error * (1 + len(own)) + 1e-9:
            names.append(name)
    return names


def by_number(digests, share):
    return [d for d in digests if int(d, 16) < share * 16**64]


def hashed(digest):
    return int(hashlib.sha256(digest.encode()).hexdigest()[:8], 16) / 16**8


def likelihood(levels, z, shift=1.0):
    return (1 + levels) * np.exp(shift * z - shift**2 / 2)


RIGHT = {
    "false_drift_alarms": [
        lambda a, d, t: a * d / t,
        lambda a, d, t: d * (a / t),
        lambda a, d, t: np.float64(a) * d / t,
        lambda a, d, t: sum(a for _ in range(d)) / t,
        lambda photographs_a_day, days, mean_time: days / (mean_time / photographs_a_day),
        lambda a, d, t: np.array([a * d / t]),
    ],
    "type_set": [
        held(p_value),
        loop,
        lambda k, new, e: sorted(n for n in k if p_value(k[n], new[n]) > e),
        lambda k, new, e: tuple(n for n in sorted(k) if p_value(k[n], new[n]) > e),
        lambda k, new, e: np.array([n for n in sorted(k) if p_value(k[n], new[n]) > e], dtype=str),
        held(lambda own, v: (np.sum(np.array(own) <= v) + 1) / (len(own) + 1)),
        held(lambda own, v: np.mean(np.append(own, v) <= v)),
    ],
    "judges": [
        lambda digests, share: [d for d in digests if int(d[:8], 16) < share * 16**8],
        by_number,
        lambda digests, share: [d for d in digests if int(d[-8:], 16) >= (1 - share) * 16**8],
        lambda digests, share: [d for d in digests if hashed(d) < share],
        lambda digests, share: [d for d in digests if random.Random(d).random() < share],
        lambda digests, share: tuple(d for d in digests if int(d[:6], 16) % 1000 < 1000 * share),
    ],
    "drift_alarm": [
        lambda levels, z: np.maximum(0, levels + z - 0.5),
        lambda levels, z: np.clip(levels + z - 0.75, 0, None),
        lambda levels, z: 0.9 * levels + 0.1 * z,
        lambda levels, z: levels + 0.15 * (z - levels),
        likelihood,
        lambda levels, z: likelihood(levels, z, 0.7),
        lambda levels, z: [max(0.0, level + one - 0.5) for level, one in zip(levels, z, strict=True)],
    ],
}
WRONG = {
    "false_drift_alarms": [
        (lambda a, d, t: a * d // t, "drops the decimals"),
        (lambda a, d, t: round(a * d / t), "do not round"),
        (lambda a, d, t: math.ceil(a * d / t), "do not round"),
        (lambda a, d, t: t / (a * d), "upside down"),
        (lambda a, d, t: a / t, "one day's"),
        (lambda a, d, t: d / t, "counts days"),
        (lambda a, d, t: t / a, "between two alarms"),
        (lambda a, d, t: a * d, "number of photographs"),
        (lambda a, d, t: a * d * t, "divide by mean_time"),
        (lambda a, d, t: d * t / a, "more photographs a day"),
        (lambda a, d, t: a * d / t - 1, "no first one"),
        (lambda a, d, t: a * d / (t + 1), "not in mean_time + 1"),
        (lambda a, d, t: 1 - math.exp(-a * d / t), "one or more"),
        (lambda a, d, t: min(1, a * d / t), "no probability"),
        (lambda a, d, t: 100, "in how many of them"),
        (lambda a, d, t: "100", "in how many of them"),
        (100, "expected your function"),
    ],
    "type_set": [
        (held(lambda own, v: (sum(o < v for o in own) + 1) / (len(own) + 1)), "just as typical"),
        (held(lambda own, v: sum(o <= v for o in own) / len(own)), "above the line and below"),
        (held(lambda own, v: sum(o <= v for o in own) / (len(own) + 1)), "as itself"),
        (held(lambda own, v: (sum(o <= v for o in own) + 1) / len(own)), "there are n + 1"),
        (held(lambda own, v: (sum(o >= v for o in own) + 1) / (len(own) + 1)), "other way round"),
        (lambda k, new, e: held(p_value)(k, new, 1 - e), "at most 1 - error"),
        (lambda k, new, e: [n for n in sorted(k) if p_value(k[n], new[n]) <= e], "left out"),
        (lambda k, new, e: [n for n in k if p_value(k[n], new[n]) > e], "another order"),
        (lambda k, new, e: held(p_value)(k, new, e) or [max(k, key=lambda n: p_value(k[n], new[n]))], "may be empty"),
        (lambda k, new, e: [max(k, key=lambda n: p_value(k[n], new[n]))], "no set"),
        (lambda k, new, e: [n for n in sorted(k) if new[n] > e], "no p-value"),
        (lambda k, new, e: sorted(k), "all the types"),
        (lambda k, new, e: [], "calls every defect"),
        (lambda k, new, e: {n: p_value(k[n], new[n]) for n in sorted(k)}, "a list of names"),
        (lambda k, new, e: "new", "a list of names"),
        (lambda k, new, e: [n for n in sorted(k) if new[n] >= min(k[n])], "stranger is enough"),
        (lambda k, new, e: [n for n in sorted(k) if new[n] > np.median(k[n])], "which share of its defects"),
    ],
    "judges": [
        (lambda digests, share: digests[: int(share * len(digests))], "in another order others judge"),
        (lambda digests, share: digests[-int(share * len(digests)) :], "in another order others judge"),
        (lambda digests, share: sorted(digests)[: int(share * len(digests))], "on the other photographs"),
        (lambda digests, share: random.Random(0).sample(digests, int(share * len(digests))), "in another order"),
        (lambda digests, share: random.sample(digests, int(share * len(digests))), "in another order"),
        (lambda digests, share: digests[:: round(1 / share)], "in another order"),
        (lambda digests, share: [d for d in digests if random.random() < share], "in another order"),
        (lambda digests, share: digests, "100% of them judge"),
        (lambda digests, share: [], "0% of them judge"),
        (lambda digests, share: [d for d in digests if int(d[:8], 16) >= share * 16**8], "of them judge, expected"),
        (lambda digests, share: [d for d in digests if d[0] < "5"], "of them judge, expected"),
        (lambda digests, share: [d[:8] for d in digests if int(d[:8], 16) < share * 16**8], "none of the digests"),
        (lambda digests, share: sorted(d for d in digests if int(d[:8], 16) < share * 16**8), "not in their order"),
        (lambda digests, share: 2 * [d for d in digests if int(d[:8], 16) < share * 16**8], "is there twice"),
        (lambda digests, share: [int(d[:8], 16) < share * 16**8 for d in digests], "a list of names"),
        (lambda digests, share: len(digests) * share, "a list of names"),
    ],
    "drift_alarm": [
        (lambda levels, z: z, "says little"),
        (lambda levels, z: abs(z), "says little"),
        (lambda levels, z: z**2, "says little"),
        (lambda levels, z: np.maximum(levels, z), "says little"),
        (lambda levels, z: levels + z, "what must be forgotten"),
        (lambda levels, z: np.cumsum(z), "depends on other lines"),
        (lambda levels, z: np.maximum(0, levels - z - 0.5), "it never comes"),
        (lambda levels, z: levels + 1, "it never comes"),
        (lambda levels, z: np.zeros(len(z)), "it never comes"),
        (lambda levels, z: np.full(len(z), z.mean()), "depends on other lines"),
        (lambda levels, z: np.random.standard_normal(len(z)), "or on chance"),
        (lambda levels, z: levels * 0.5, "it never comes"),
        (lambda levels, z: levels * z, "it never comes"),
        (lambda levels, z: max(z), "expected numbers of the shape"),
        (lambda levels, z: z > 2, "it never comes"),
        (lambda levels, z: np.log(levels + z), "found NaN"),
        (lambda levels, z: "alarm", "expected numbers of the shape"),
    ],
}
