"""Predictions that remember: made before a result is there, kept, shown beside it, and judged over the whole course.

A chapter asks where the result is not visible yet, and says later what came out::

    predict("the type that is found worst", ..., ..., among=types)  # the dots: your answer, and how sure
    ...
    outcome("the type that is found worst", "contamination")

The answer is one of ``among``, or two numbers that the result will lie between; how sure, a number up to 1. In a
student's folder (``hw3 start``) a cell with dots ends in a question. Elsewhere they are passed over, and so they are
where nobody is there to answer (``HW3_HEADLESS``), where nothing is kept either.

:data:`FILE` is only ever appended to: a line of JSON, ``time`` (UTC), ``question`` and either ``answer`` and
``confidence``, or ``truth``. Of a question the first answer counts, if it is there before the first truth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hw3lib.core import translation
from hw3lib.core.files import clear_write_errors
from hw3lib.core.intervals import wilson_interval
from hw3lib.core.text import counted
from hw3lib.errors import Hw3Error

from .exercises import tell

FILE = "predictions.jsonl"  # in the student's folder
_COIN = 0.25  # Brier score of whoever is 50 % sure of everything


class PredictFirst(Hw3Error):
    """A prediction is missing, or is none; the message says what to write."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows of it
        return [tell(str(self))]


def predict(question: str, answer: Any = ..., confidence: Any = ..., *, among: Sequence[str] | None = None) -> None:
    """Keep a prediction, before its result is there; what it is worth is said by :func:`outcome`.

    Args:
        question: what is predicted, as the beginning of a sentence; no two in the course are alike.
        answer: one of ``among``, or ``(low, high)``; dots: there is none yet.
        confidence: how sure, above 0 and up to 1; dots: not said yet.
        among: names; of fewer than two there is nothing to predict. None: a number is predicted.

    Raises:
        PredictFirst: an answer is waited for, or this is none.
    """
    folder, asked = _place()
    asked = asked and (among is None or len(among) > 1)
    kept = _kept(folder).get(question, {})
    is_open = any(part is ... for part in (answer, confidence, *(answer if isinstance(answer, tuple | list) else ())))
    if not is_open:
        value, sure = _checked(question, answer, confidence, among)
    if folder is None:
        return
    if "answer" in kept:
        other = not is_open and (value, sure) != (kept["answer"], kept["confidence"])
        print(tell(f"{'your first prediction counts' if other else 'predicted'}: {_said(kept)}, {kept['time']}"))
    elif "truth" in kept:
        if not is_open:
            print(tell(f"this does not count: the result was shown before, {kept['time']}"))
    elif not is_open:
        _append(folder, question=question, answer=value, confidence=sure)
        print(tell(f"predicted: {_said({'answer': value, 'confidence': sure})}"))
    elif asked:
        raise PredictFirst(
            f"predict first: {question}. Write {_expected(among)}, and how sure you are of it, from 0 to 1, in the "
            "place of the dots, and run the cell again. A wrong guess costs nothing"
        )


def outcome(question: str, truth: Any) -> None:
    """Print a result, and beside it what was predicted.

    Args:
        question: as it was asked by :func:`predict`.
        truth: a number, a name, several names that are equally right, or a Series of figures, whose largest is meant
            (the name of it, or of those that tie); None or NaN: it was not measured.
    """
    truth = _truth(truth)
    if truth is None:
        print(tell(f"{question}: not measured here"))
        return
    folder, asked = _place()
    kept = _kept(folder).get(question, {})
    if folder and (asked or kept) and "truth" not in kept:
        _append(folder, question=question, truth=truth)
    said = f"{question}: {translation.tell(_text(truth))}"
    if "answer" in kept:
        said = f"{said} (you predicted {_said(kept)}: {'right' if _right(kept['answer'], truth) else 'not so'})"
    print(tell(said))


def _expected(among: Sequence[str] | None) -> str:
    return "(low, high), two numbers that it will lie between" if among is None else f"one of {', '.join(among)}"


def _checked(question: str, answer: Any, confidence: Any, among: Sequence[str] | None) -> tuple[Any, float]:
    """An answer and how sure, as JSON keeps them."""
    low_high = among is None and isinstance(answer, tuple | list) and len(answer) == 2 and all(map(_number, answer))
    if not (low_high and answer[0] <= answer[1]) and not (among is not None and answer in list(among)):
        raise PredictFirst(f"{question}: expected {_expected(among)}, found {answer!r}")
    if not _number(confidence) or not 0 < confidence <= 1:
        raise PredictFirst(f"{question}: expected how sure you are, above 0 and up to 1, found {confidence!r}")
    return [float(end) for end in answer] if low_high else str(answer), float(confidence)


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)


def _truth(value: Any) -> float | list[str] | None:
    """A number, the names that are right, or None where nothing was measured."""
    value = [value] if isinstance(value, str) else value
    value = value.index[value == value.max()] if isinstance(value, pd.Series) else value
    if pd.api.types.is_list_like(value):
        return sorted(map(str, value)) or None
    return None if value is None or math.isnan(value) else float(value)


def _right(answer: Any, truth: Any) -> bool:
    if isinstance(answer, list) and isinstance(truth, float):
        return bool(answer[0] <= truth <= answer[1])
    return isinstance(truth, list) and answer in truth


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _said(kept: dict[str, Any]) -> str:
    answer = kept["answer"]
    text = f"{answer[0]:g} to {answer[1]:g}" if isinstance(answer, list) else answer
    return f"{text}, {100 * kept['confidence']:.0f} % sure"


def _place() -> tuple[Path | None, bool]:
    """The folder that keeps predictions, None where nobody is there to make one, and whether they are asked for."""
    from hw3lib.views.widgets import headless  # brings ipywidgets, and grading does without

    if headless():
        return None, False
    here = Path.cwd()
    folder = here.parent if here.name == translation.CHAPTERS else here
    return folder, (folder / translation.CHAPTERS).is_dir()


def _append(folder: Path, **record: Any) -> None:
    """One line at the end, in one write, so that those of two notebooks do not mix; before it the end of the last."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = "\n" + json.dumps({"time": now, **record}, ensure_ascii=False)
    with clear_write_errors(folder), (folder / FILE).open("ab", buffering=0) as file:
        file.write(line.encode())


def _kept(folder: Path | None) -> dict[str, dict[str, Any]]:
    """For each question what counts: the first answer if no truth came before it, and the first truth."""
    found: dict[str, dict[str, Any]] = {}
    try:
        path = folder / FILE if folder else Path()
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        text = ""
    for line in text.splitlines():
        try:
            record = json.loads(line)
            one = found.setdefault(str(record["question"]), {})
            if "truth" in record:
                if (truth := _truth(record["truth"])) is not None:
                    one.setdefault("truth", truth)
            elif not one and _checked("", record["answer"], record["confidence"], _names(record["answer"])):
                one |= {"answer": record["answer"], "confidence": float(record["confidence"])}
            one.setdefault("time", str(record["time"]))
        except (ValueError, TypeError, KeyError, RecursionError, Hw3Error):  # a line that was cut off, or edited
            continue
    return found


def _names(answer: Any) -> list[str] | None:
    return [answer] if isinstance(answer, str) else None


def judged(folder: Path | None = None) -> pd.DataFrame:
    """The predictions whose results are there, in the order in which they were made.

    Args:
        folder: a student's; None: the one that this runs in.

    Returns:
        Columns ``question``, ``answer``, ``confidence`` (0 to 1), ``truth``, ``right`` (bool), ``time``.
    """
    rows = [
        {
            "question": question,
            "answer": _said(kept).rpartition(",")[0],
            "confidence": kept["confidence"],
            "truth": _text(kept["truth"]),
            "right": _right(kept["answer"], kept["truth"]),
            "time": kept["time"],
        }
        for question, kept in _kept(folder or _place()[0]).items()
        if "answer" in kept and "truth" in kept
    ]
    return pd.DataFrame(rows, columns=["question", "answer", "confidence", "truth", "right", "time"])


def calibration(table: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """How often predictions of each confidence are right, for :func:`hw3lib.views.plots.classify.reliability`.

    Returns:
        A row a bin of confidence that is not empty: ``confidence`` and ``accuracy`` (means, 0 to 1), and ``count``.
    """
    number = np.ceil(table["confidence"].astype(float) * bins)
    return table.astype({"right": float}).groupby(number).agg(
        confidence=("confidence", "mean"), accuracy=("right", "mean"), count=("right", "size")
    ).reset_index(drop=True)  # fmt: skip


def describe(table: pd.DataFrame) -> str:
    """What :func:`judged` says of whoever predicted: the share that is right, how sure, and the Brier score.

    The Brier score is the mean squared distance of the confidence from 1 where it was right and 0 where not (Brier,
    Monthly Weather Review 78, 1950), for one event, so from 0 to 1.
    """
    if not len(table):
        return tell("No prediction so far has met its result.")
    right, sure = table["right"].astype(float), float(table["confidence"].mean())
    share = wilson_interval(int(right.sum()), len(right))
    brier = float(((table["confidence"] - right) ** 2).mean())
    verdict = "chance alone explains the difference"
    if sure > share.high:
        verdict = "more sure than right"
    elif sure < share.low:
        verdict = "more right than sure"
    than = "better than" if brier < _COIN else "no better than"
    return tell(
        f"{counted(len(table), 'prediction')}, right: {share.percent()}; sure on average: {100 * sure:.0f} %, "
        f"{verdict}. Brier score {brier:.2f}, {than} being 50 % sure of everything ({_COIN})."
    )
