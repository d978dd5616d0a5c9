"""What a chapter left out, and why, as its ``metrics.json`` says it."""

from __future__ import annotations

from collections.abc import Collection

from hw3lib.core.text import sentence

from .document import Block, absent
from .runs import Run, escaped


def not_possible(run: Run, chapter: str, key: str) -> Block | None:
    """Why a chapter measured nothing; None where it did.

    Args:
        run: whose ``missing`` it joins where the chapter says why.
        chapter: its number.
        key: of ``metrics.json``, without which nothing is left of the chapter.
    """
    if chapter not in run.chapters:
        return absent(f"Not measured: notebook {chapter} has not been run (hw3 run {chapter}).")
    file, pointer = f"{chapter}/metrics.json", f"/left_out/{key}"
    if run.has(file, f"/{key}") or not run.has(file, pointer):
        return None
    run.missing.append(f"{chapter}: {key}")
    return absent(f"Not possible: {run.quote(file, pointer, str(run.value(file, pointer)))}.")


def lacking(run: Run, chapter: str, known: Collection[str] = ()) -> Block | None:
    """What else a chapter left out, in one block; None where that is nothing.

    Args:
        run: that has the chapter.
        chapter: its number.
        known: keys of what is said elsewhere.
    """
    file = f"{chapter}/metrics.json"
    found = run.value(file, "/left_out") if run.has(file, "/left_out") else {}
    keys = [key for key in found if key not in known] if isinstance(found, dict) else []
    said = [run.quote(file, f"/left_out/{escaped(key)}", sentence(str(found[key]))) for key in keys]
    return absent(" ".join(said)) if said else None
