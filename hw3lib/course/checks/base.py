"""What all checks share: cases drawn for each call, the student's code called, a sentence on what is wrong."""

from __future__ import annotations

import copy
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from types import FrameType
from typing import Any

import numpy as np

from hw3lib.course.exercises import tell

Case = tuple[str, tuple]  # what is given, in words; the arguments
Mistake = tuple[Callable, str]  # a usual wrong answer, and the idea that it lacks
TRIED: list[str] = []  # names of the checks called in this session, in order
FIGURES: dict[str, dict[str, float]] = {}  # by name of the check, what was said to be measured on one's own images
PASSED: dict[str, str] = {}  # what was said, by name of each check that has passed in this session


class CheckFailed(AssertionError):
    """An answer that is not right yet; the message says what was expected, what came and which idea is missing."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of the traceback, which would lead the reader into this package.
        return [tell(f"not yet: {self}")]


class NotAnswered(CheckFailed):
    """There is no answer so far."""

    def _render_traceback_(self) -> list[str]:
        return [tell(str(self))]


def generator() -> np.random.Generator:
    """What cases are drawn from: another one for each student and call."""
    return np.random.default_rng()


def check(body: Callable[..., str]) -> Callable[..., None]:
    """A check from ``body(rng, *answer)``, which draws cases from ``rng`` and returns what a right answer shows.

    Whatever the answer does, what is raised is a :class:`CheckFailed`, without a traceback into this package.
    """
    name = body.__name__

    @wraps(body)
    def checked(*answer: Any, **settings: Any) -> None:
        TRIED.append(name)
        failed: CheckFailed
        try:
            if any(part is ... for part in answer):
                raise NotAnswered
            said = body(generator(), *answer, **settings)
        except NotAnswered:
            failed = NotAnswered(
                "not answered yet: write your answer into the cell above and run it; checks.hint() gives a hint"
            )
        except CheckFailed as error:
            failed = CheckFailed(*error.args)
        except Exception as error:  # an answer so odd that the check did not foresee it
            failed = CheckFailed(f"this answer cannot be judged ({type(error).__name__}: {error})")
        else:
            PASSED[name] = said
            print(tell(f"correct: {said}"))
            return
        raise failed from None

    return checked


def call(function: Any, *arguments: Any, given: str, library: bool = False) -> Any:
    """What the student's function gives for copies of the arguments; ``given`` describes them in a message.

    Args:
        library: it may call this library.

    Raises:
        NotAnswered: it still raises the ``NotImplementedError`` that stands for an answer.
        CheckFailed: it is no function, raises anything else, gives nothing, or calls this library although it may not.
    """
    if not callable(function):
        raise CheckFailed(f"expected your function, found {short(function)}; pass it without calling it")
    name = getattr(function, "__name__", "your function")
    ours: set[str] = set()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        if event == "call" and module.startswith("hw3lib.") and not module.startswith("hw3lib.course."):
            ours.add(frame.f_code.co_name)

    arguments = copy.deepcopy(arguments)
    before = sys.getprofile()
    error: BaseException | None = None
    value = None
    if not library:
        sys.setprofile(watch)
    try:
        value = function(*arguments)
    except CheckFailed:
        raise
    except (Exception, SystemExit) as caught:  # whatever a student's code does
        error = caught
    finally:
        sys.setprofile(before)
    if ours:
        raise CheckFailed(f"{name} calls hw3lib's {min(ours)}; write it yourself, from numpy, pandas or plain Python")
    if error is not None:
        every = traceback.extract_tb(error.__traceback__)
        if isinstance(error, NotImplementedError) and every[-1].filename == _file(function):
            raise NotAnswered
        frames = [frame for frame in every if frame.filename == _file(function)]
        if frames and frames[-1].line:
            given = f"{given}, line {frames[-1].lineno} ({frames[-1].line})"
        said = str(error)
        if isinstance(error, IndexError | TypeError) and "integer" in said:
            said = f"{said}; an index is a whole number, and np.ceil, np.round and / give floats: int() makes one"
        raise CheckFailed(f"{name} raised {type(error).__name__} on {given}: {said}")
    if value is None:
        raise CheckFailed(f"{name} gave None on {given}; is there a return statement?")
    return value


def _file(function: Any) -> str:
    return getattr(getattr(function, "__code__", None), "co_filename", "")


def compare(
    function: Any,
    cases: Iterable[Case],
    reference: Callable,
    hint: str | Callable[[np.ndarray, np.ndarray], str],
    mistakes: Sequence[Mistake] = (),
    *,
    what: str = "the result",
    read: Callable[[Any, Any, str], Any] | None = None,
    judged: Callable[..., Any] | None = None,
    same: Callable[[Any, Any], bool] | None = None,
) -> None:
    """Compare an answer with the reference on all cases, and explain a difference.

    An idea is named only where the answer is that mistake's in *every* case, so that what is said is true of it.

    Args:
        hint: what is said of an answer that is none of the mistakes, or what makes it of all values that were found and
            expected, stacked case by case.
        read: makes a value of what the answer gave, from it, the expected value and ``what`` in words, or raises
            ``CheckFailed``; None is :func:`numbers`.
        judged: what is compared of a value, from it and the arguments, where several answers are equally good; None
            is the value itself.
        same: whether two values agree; None is :func:`near`.

    Raises:
        CheckFailed: they differ; the message has the first case in which they do.
    """
    read, same = read or numbers, same or near
    shown = judged or (lambda value, *_: value)
    found = []
    for given, arguments in cases:
        expected = reference(*arguments)
        value = read(call(function, *arguments, given=given), expected, f"{given}, {what}")
        found.append((given, arguments, shown(expected, *arguments), shown(value, *arguments)))
    wrong = [one for one in found if not same(one[3], one[2])]
    if not wrong:
        return
    for mistake, why in mistakes:
        wrongly = _judged(mistake, shown)
        if all(_agrees(same, value, wrongly, arguments) for _, arguments, _, value in found):
            hint = why
            break
    if not isinstance(hint, str):
        hint = hint(np.stack([one[3] for one in found]), np.stack([one[2] for one in found]))
    given, _, expected, value = wrong[0]
    expected, value = apart(expected, value)
    raise CheckFailed(f"{given}: expected {expected}, found {value}; {hint}")


def _judged(mistake: Callable, shown: Callable) -> Callable:
    return lambda *arguments: shown(mistake(*arguments), *arguments)


def _agrees(same: Callable, value: Any, mistake: Callable, arguments: tuple) -> bool:
    try:
        with np.errstate(all="ignore"):
            return bool(same(value, mistake(*copy.deepcopy(arguments))))
    except (ArithmeticError, IndexError, ValueError, TypeError, KeyError):
        return False


def numbers(value: Any, expected: Any, what: str) -> np.ndarray:
    """A float array of the shape of what is expected, without NaN, or ``CheckFailed``."""
    shape = np.shape(expected)
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        array = np.array([])
    if shape == () and array.size == 1:
        array = array.reshape(())
    if shape == () and array.shape != ():
        raise CheckFailed(f"{what}: expected one number, found {short(value)}")
    if array.shape != shape:
        found = f"the shape {array.shape}" if array.size else short(value)
        raise CheckFailed(f"{what}: expected numbers of the shape {shape}, found {found}")
    if np.isnan(array).any():
        raise CheckFailed(f"{what}: found NaN")
    return array


def number(value: Any, what: str) -> float:
    """A finite or infinite number, or ``CheckFailed``."""
    return float(numbers(value, 0.0, what))


def text(value: Any, expected: Any, what: str) -> str:
    """A string, or ``CheckFailed``."""
    if not isinstance(value, str):
        raise CheckFailed(f"{what}: expected a string such as {expected!r}, found {short(value)}")
    return str(value)


def whole(value: Any, expected: Any, what: str) -> np.ndarray:
    """A flat array of whole numbers, of any length, or ``CheckFailed``."""
    try:
        found = np.asarray(value if not isinstance(value, str) else None, float).ravel()
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not np.isfinite(found).all() or (found != found.round()).any():
        raise CheckFailed(f"{what}: expected a flat list of whole numbers, found {short(value)}")
    return found.astype(int)


def positions(value: Any, expected: Any, what: str) -> list[int]:
    """Positions in any order, each once, or ``CheckFailed``."""
    found = whole(list(value) if isinstance(value, set | frozenset) else value, expected, what).tolist()
    if len(set(found)) < len(found):
        raise CheckFailed(f"{what}: found {short(found)}, in which a position stands twice")
    return sorted(found)


def written(value: Any, what: str, least: int, most: int) -> None:
    """See that there is a text of so many words, or ``CheckFailed``; what it says a teacher judges, by the rubric.

    A Chinese character counts as a word.
    """
    if not isinstance(value, str):
        raise CheckFailed(f"{what}: expected a text in quotation marks, found {short(value)}")
    words = re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+", value.lower())
    if not least <= len(words) <= most:
        raise CheckFailed(f"{what}: {len(words)} words, expected {least} to {most}; the rubric names what it is to say")
    if 4 * len(set(words)) < len(words):
        raise CheckFailed(f"{what}: the same words again and again; the rubric names what it is to say")


def near(found: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """Equal up to rounding, infinities and shapes included."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    return found.shape == expected.shape and np.allclose(found, expected, rtol=tolerance, atol=tolerance)


def within(tolerance: float) -> Callable[[Any, Any], bool]:
    """:func:`near`, with another tolerance."""
    return lambda found, expected: near(found, expected, tolerance)


def parts(found: np.ndarray, expected: np.ndarray, names: Sequence[str]) -> list[str]:
    """Names of the columns that are right in every case."""
    return [name for k, name in enumerate(names) if near(found[:, k], expected[:, k], 1e-4)]


def apart(expected: Any, found: Any) -> tuple[str, str]:
    """Two values that differ as they stand in a message: with as many digits, and from that place on, as shows it."""
    for digits in (4, 6, 9, 16):
        said = short(expected, digits), short(found, digits)
        if said[0] != said[1]:
            return said
    flat, other = np.ravel(expected), np.ravel(found)
    if flat.shape == other.shape and (place := int(np.argmax(flat != other))):
        one, two = apart(flat[place:], other[place:])
        return f"{one} from place {place} on", two
    return said


def short(value: Any, digits: int = 4) -> str:
    """A value in a message, of 80 characters at most."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.astype(float).round(digits).tolist() if value.dtype.kind == "f" else value.tolist()
    said = f"{value:.{digits}g}" if isinstance(value, float) else " ".join(repr(value).split())
    return said if len(said) <= 80 else f"{said[:77]}..."
