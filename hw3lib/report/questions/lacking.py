"""What a chapter left out, and why, as its ``metrics.json`` says it."""

from __future__ import annotations

from collections.abc import Collection

from ..document import Block, absent
from ..runs import Run, escaped


def not_possible(run: Run, chapter: str, key: str) -> Block | None:
    """Why a chapter measured nothing; None where it did.

    Args:
        run: whose ``missing`` it joins where the chapter says why.
        chapter: its number.
        key: of ``metrics.json``, without which nothing is left of the chapter.
    """
    if chapter not in run.chapters:
        return absent(run.say("Not measured: notebook {n} has not been run (hw3 run {n}).", n=chapter))
    file, pointer = f"{chapter}/metrics.json", f"/left_out/{key}"
    if run.has(file, f"/{key}") or not run.has(file, pointer):
        return None
    run.missing.append(f"{chapter}: {key}")
    return absent(run.say("Not possible: {why}.", why=run.quote(file, pointer, str(run.value(file, pointer)))))


def lacking(run: Run, chapter: str, known: Collection[str] = ()) -> list[Block]:
    """What else a chapter left out, in one block; none where that is nothing.

    Args:
        run: that has the chapter.
        chapter: its number.
        known: keys of what is said elsewhere.
    """
    file = f"{chapter}/metrics.json"
    found = run.value(file, "/left_out") if run.has(file, "/left_out") else {}
    keys = [key for key in found if key not in known] if isinstance(found, dict) else []
    said = [run.quote(file, f"/left_out/{escaped(key)}", str(found[key])) for key in keys]
    return (
        [absent(run.join([run.say("{words}.", words=words[:1].upper() + words[1:]) for words in said]))] if said else []
    )
