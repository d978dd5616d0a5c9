"""A sweep's YAML file: read, and checked to the last key."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from hw3lib import imbalance
from hw3lib.anomaly.registry import DETECTORS, make_detector
from hw3lib.anomaly.thresholds import required_good_images
from hw3lib.classify.attempts import Attempt
from hw3lib.core.files import expanded
from hw3lib.core.kinds import is_kind, said
from hw3lib.core.text import did_you_mean
from hw3lib.core.untrusted import parse
from hw3lib.errors import Hw3Error

PROFILES = {"quick": 10, "full": 30}  # splits where the file gives no number, as in notebooks 02 and 03
_LISTS = ("attempts", "detectors", "imbalance")
_KEYS = ("categories", "profiles", "seeds", *_LISTS, "n_splits", "test_size", "held_out", "false_alarm_rate", "device")
_MOST_SEEDS = 100_000
_MOST_CHARACTERS = 10**6  # of a file
_IMBALANCE = {"ratio": 10, "arch": "tf_efficientnet_lite0", "image_size": 224}  # see hw3lib.imbalance.compare_methods


@dataclass(frozen=True)
class Spec:
    """What a sweep's file says, checked.

    Attributes:
        file: where it stands, for messages.
        categories, profiles, seeds: of the grid.
        variants: ``(kind, name, settings)`` of every attempt, detector and answer to imbalance.
        n_splits: of attempts and answers to imbalance; None: 10 in the quick profile, 30 in the full one.
        test_size: share of the images, or their number.
    """

    file: str
    categories: tuple[str, ...]
    profiles: tuple[str, ...]
    seeds: tuple[int, ...]
    variants: tuple[tuple[str, str, dict[str, Any]], ...]
    n_splits: int | None = None
    test_size: float | int = 0.2


def read_yaml(file: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        Hw3Error: the file cannot be read, is not YAML, or holds something else.
    """
    try:
        with expanded(file).open(encoding="utf-8") as opened:
            text = opened.read(_MOST_CHARACTERS + 1)
        if len(text) > _MOST_CHARACTERS:
            raise Hw3Error(f"{file}: is longer than {_MOST_CHARACTERS:,} characters, which no sweep takes")
        content = parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise Hw3Error(f"{file}: cannot be read ({error})") from None
    except ValueError as error:
        raise Hw3Error(f"{file}: is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise Hw3Error(f"{file}: found {type(content).__name__}, expected keys and values, such as `seeds: [0, 1]`")
    return content


def read_spec(file: str | Path) -> Spec:
    """Read a sweep's file and check everything that needs no image.

    ::

        categories: [synthetic/bottle, synthetic/wood]
        profiles: [quick]                       # default; full: generated categories in official sizes, 30 splits
        seeds: 3                                # 0, 1 and 2; or a list
        attempts:                               # fields of hw3lib.classify.Attempt
          - {name: baseline, epochs: 30}
          - {name: transfer, arch: tf_efficientnet_lite0, strategy: transfer, image_size: 224}
        detectors:                              # names of `hw3 detect fit`, or their parameters too
          - padim
          - {name: PatchCore 1 %, detector: patchcore, ratio: 0.01}
        imbalance:                              # methods of notebook 03, at a ratio of 10 or another
          - {method: SMOTE, ratio: 5}
        n_splits: 10                            # of attempts and imbalance
        test_size: 0.2
        held_out: 0.2                           # of detectors, as false_alarm_rate; without it as each does by itself
        false_alarm_rate: 0.05
        device: auto

    Raises:
        Hw3Error: names the file, the key, what was found and what was expected.
    """
    content, where = read_yaml(file), str(file)
    for key in content:
        if key not in _KEYS:
            raise Hw3Error(f"{where}: unknown key {key!r}{_near(key, _KEYS)}")
    categories = _texts(where, "categories", content.get("categories"))
    profiles = _texts(where, "profiles", content.get("profiles", ["quick"]))
    for profile in profiles:
        if profile not in PROFILES:
            raise Hw3Error(f"{where}: profiles: found {profile!r}, expected quick or full")
    n_splits = content.get("n_splits")
    if n_splits is not None and not (type(n_splits) is int and n_splits >= 2):
        raise Hw3Error(f"{where}: n_splits: found {n_splits!r}, expected an integer of 2 or more")
    test_size = content.get("test_size", 0.2)
    if not (type(test_size) is int and test_size >= 1 or type(test_size) is float and 0 < test_size < 1):
        raise Hw3Error(
            f"{where}: test_size: found {test_size!r}, expected a share between 0 and 1, or a number of images"
        )
    device = content.get("device", "auto")
    if not isinstance(device, str):
        raise Hw3Error(f"{where}: device: found {device!r}, expected auto, cpu, cuda, ...")
    variants = _variants(where, content, device)
    return Spec(where, categories, profiles, _seeds(where, content.get("seeds", [0])), variants, n_splits, test_size)


def _variants(where: str, content: dict[str, Any], device: str) -> tuple[tuple[str, str, dict[str, Any]], ...]:
    made: list[tuple[str, str, dict[str, Any]]] = []
    makers = {"attempts": _attempt, "detectors": _detector, "imbalance": _imbalance}
    for key in _LISTS:
        entries = content.get(key, [])
        if not isinstance(entries, list):
            raise Hw3Error(f"{where}: {key}: found {entries!r}, expected a list")
        for i, entry in enumerate(entries):
            place = f"{where}: {key}[{i}]"
            kind, name, settings = makers[key](place, entry, content)
            variant = (kind, name, settings | {"device": device})
            for other in made:
                if other[0] == kind and (other[1] == name or other[2] == variant[2]):
                    same = "the name" if other[1] == name else "the settings"
                    raise Hw3Error(f"{place}: has {same} of {other[1]!r}; leave one out, or give it another")
            made.append(variant)
    if not made:
        raise Hw3Error(f"{where}: nothing to run; expected one or more of {', '.join(_LISTS)}")
    return tuple(made)


def _attempt(place: str, entry: Any, content: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise Hw3Error(
            f"{place}: found {entry!r}, expected fields of an attempt with a name, such as {{name: a, epochs: 9}}"
        )
    known, hints = [field.name for field in fields(Attempt)], get_type_hints(Attempt)
    for key in entry:
        if key not in known:
            raise Hw3Error(f"{place}.{key}: an attempt has no such field{_near(key, known)}")
    try:
        attempt = Attempt(**entry)
    except Hw3Error as error:
        raise Hw3Error(f"{place}: {error}") from None
    for key, value in entry.items():
        if not is_kind(value, hints[key]):
            raise Hw3Error(f"{place}.{key}: found {value!r}, expected {said(hints[key])}")
    # All fields, so that the address does not depend on which defaults were written out.
    return "attempt", attempt.name, {"attempt": {k: v for k, v in asdict(attempt).items() if k != "name"}}


def _detector(place: str, entry: Any, content: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    entry = {"detector": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or "detector" not in entry:
        raise Hw3Error(f"{place}: found {entry!r}, expected a detector's name, or {{detector: NAME, ...}}")
    parameters = {k: v for k, v in entry.items() if k not in ("name", "detector")}
    kind, name = entry["detector"], entry.get("name", entry["detector"])
    if not isinstance(kind, str) or kind not in DETECTORS:
        raise Hw3Error(f"{place}.detector: unknown detector {kind!r}{_near(kind, DETECTORS)}")
    if not isinstance(name, str):
        raise Hw3Error(f"{place}.name: found {name!r}, expected a text")
    for key in ("seed", "device"):
        if key in parameters:
            raise Hw3Error(f"{place}.{key}: is the same for the whole sweep; give it at the top of the file")
    rates = {"held_out": content.get("held_out"), "false_alarm_rate": content.get("false_alarm_rate", 0.05)}
    for key, rate in rates.items():
        if key == "held_out" and rate is None:
            continue  # as each detector does by itself
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 0.9:
            raise Hw3Error(f"{place.split(':')[0]}: {key}: found {rate!r}, expected a share, 0 to 0.9")
    try:
        required_good_images(rates["false_alarm_rate"])
        made = make_detector(kind, parameters)
    except Hw3Error as error:
        raise Hw3Error(f"{place}: {error}") from None
    every = {f.name: getattr(made, f.name) for f in fields(made) if f.init and f.name not in ("seed", "device")}
    every = {k: list(v) if isinstance(v, tuple) else v for k, v in every.items()}
    return "detector", name, {"detector": kind, "parameters": every, **rates}


def _imbalance(place: str, entry: Any, content: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    entry = {"method": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or "method" not in entry:
        raise Hw3Error(f"{place}: found {entry!r}, expected a method's name, or {{method: NAME, ratio: 10}}")
    known = ("name", "method", *_IMBALANCE)
    for key in entry:
        if key not in known:
            raise Hw3Error(f"{place}.{key}: an answer to imbalance has no such setting{_near(key, known)}")
    if not isinstance(entry["method"], str) or entry["method"] not in imbalance.METHODS:
        raise Hw3Error(f"{place}.method: unknown method {entry['method']!r}{_near(entry['method'], imbalance.METHODS)}")
    settings = {key: entry.get(key, default) for key, default in _IMBALANCE.items()}
    ratio, size = settings["ratio"], settings["image_size"]
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 1 < ratio < 10**6:
        raise Hw3Error(f"{place}.ratio: found {ratio!r}, expected a number above 1 (10: ten to one)")
    if type(size) is not int or size < 1:
        raise Hw3Error(f"{place}.image_size: found {size!r}, expected pixels, an integer of 1 or more")
    name = str(entry.get("name", f"{entry['method']} 1:{ratio:g}"))
    return "imbalance", name, {"method": entry["method"], **settings}


def _texts(where: str, key: str, value: Any) -> tuple[str, ...]:
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise Hw3Error(f"{where}: {key}: found {value!r}, expected a list of one or more names")
    _refuse_twice(where, key, value)
    return tuple(value)


def _seeds(where: str, value: Any) -> tuple[int, ...]:
    seeds = list(range(value)) if type(value) is int and value <= _MOST_SEEDS else value
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds):
        raise Hw3Error(f"{where}: seeds: found {value!r}, expected how many, or a list of integers of 0 or more")
    _refuse_twice(where, "seeds", seeds)
    return tuple(seeds)


def _refuse_twice(where: str, key: str, values: list) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise Hw3Error(f"{where}: {key}: {value!r} stands twice")


def _near(name: Any, known: Any) -> str:
    return did_you_mean(name, known) or f"; expected one of {', '.join(known)}"
