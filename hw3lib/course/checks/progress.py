"""Hints by steps, remembered, and the solution once the check has passed."""

from __future__ import annotations

from pathlib import Path

from hw3lib.core.files import read_json, write_json
from hw3lib.core.translation import here
from hw3lib.course import exercises
from hw3lib.errors import Hw3Error

from .base import PASSED, TRIED
from .report import HINTS as CAPSTONE

HINTS = "hints.json"  # beside the student's notebooks: name of the check, and how many hints were asked for


def hint() -> None:
    """Print the next of three hints on the exercise that was checked last; that it was asked is remembered."""
    name = _last()
    hints = CAPSTONE.get(name) or exercises.guidance(name, here()).hints
    asked = asked_hints(Path.cwd())
    number = min(asked.get(name, 0) + 1, len(hints))
    print(exercises.tell(f"hint {number} of {len(hints)}: {hints[number - 1]}"))
    write_json(Path(HINTS), asked | {name: number})


def solution() -> None:
    """Print the solution of the exercise that was checked last, once it has passed.

    Raises:
        Hw3Error: it has not passed in this session, or it is a part of the capstone, which has no solution.
    """
    name = _last()
    if name in CAPSTONE:
        raise Hw3Error(
            exercises.tell("the capstone has no solution: its question is yours; checks.hint() gives a hint")
        )
    if name not in PASSED:
        raise Hw3Error(
            exercises.tell("the solution is shown once the check has passed; checks.hint() gives the next hint")
        )
    print(exercises.guidance(name).solution)


def asked_hints(folder: Path) -> dict[str, int]:
    """Number of hints asked for, by name of the check; of a folder without the file, or with a broken one, none."""
    try:
        found = read_json(folder / HINTS)
    except (Hw3Error, OSError):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, int)} if isinstance(found, dict) else {}


def _last() -> str:
    if not TRIED:
        raise Hw3Error(
            exercises.tell("run the check of an exercise first: hints are on the exercise that was checked last")
        )
    return TRIED[-1]
