"""What all checks share: calling the student's code, and saying what is wrong without a page of traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class CheckFailed(AssertionError):
    """An answer that is not right yet; the message says what was expected, what came and which idea is missing."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of the traceback, which would lead the reader into this package.
        return [f"not yet: {self}"]


def passed(text: str) -> None:
    """Say that an answer is right, and what that shows."""
    print(f"correct: {text}")


def call(function: Callable, *arguments: Any, given: str) -> Any:
    """What the student's function gives; ``given`` describes the arguments in a message.

    Raises:
        NotImplementedError: it is not answered yet.
        CheckFailed: it is no function, raises anything else, or gives nothing.
    """
    if not callable(function):
        raise CheckFailed(f"expected your function, found {_short(function)}; pass it without calling it")
    name = getattr(function, "__name__", "your function")
    try:
        value = function(*arguments)
    except NotImplementedError:
        raise
    except Exception as error:  # whatever a student's code does
        raise CheckFailed(f"{name} raised {type(error).__name__} on {given}: {error}") from error
    if value is None:
        raise CheckFailed(f"{name} gave None on {given}; is there a return statement?")
    return value


def number(value: Any, what: str) -> float:
    """A finite or infinite number, or ``CheckFailed``."""
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        array = np.array([])
    if array.size != 1 or np.isnan(array).any():
        raise CheckFailed(f"{what}: expected one number, found {_short(value)}")
    return float(array.reshape(-1)[0])


def numbers(value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """A float array of this shape, or ``CheckFailed``."""
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        raise CheckFailed(f"{what}: expected an array of numbers, found {_short(value)}") from None
    if array.shape != shape:
        raise CheckFailed(f"{what}: expected the shape {shape}, found {array.shape}")
    if np.isnan(array).any():
        raise CheckFailed(f"{what}: found NaN")
    return array


def near(found: float, expected: float, tolerance: float = 1e-6) -> bool:
    """Equal up to rounding, infinities included."""
    return found == expected or abs(found - expected) <= tolerance * max(1.0, min(abs(expected), 1e12))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
