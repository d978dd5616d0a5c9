"""Fail unless a course ran as a user expects it: python .ci/check_course.py runs/synthetic-bottle-quick

Every chapter ran, and the report lacks nothing but what a chapter says, in a sentence, that it left out.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

CHAPTERS = ("01", "02", "03", "04", "05", "06", "07")


def faults(run: Path) -> list[str]:
    """What is wrong with a run, a sentence each; empty if nothing is."""
    with (run / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
        status = {row["notebook"][:2]: row["status"] for row in csv.DictReader(file)}
    found = [
        f"chapter {number}: {status.get(number, 'no line in summary.csv')}, expected: ran"
        for number in CHAPTERS
        if status.get(number) != "ran"
    ]
    if status.get("06") == "ran":
        missing = json.loads((run / "06" / "metrics.json").read_text(encoding="utf-8"))["missing"]
        found += [f"the report lacks {what!r}, and no sentence says why" for what in missing if not reason(run, what)]
    return found


def reason(run: Path, what: str) -> str:
    """Why the report lacks ``"05: sam"``, as chapter 05 says it; empty if it does not."""
    number, _, key = what.partition(": ")
    path = run / number / "metrics.json"
    if not key or not path.is_file():
        return ""
    return json.loads(path.read_text(encoding="utf-8")).get("left_out", {}).get(key, "")


def main() -> None:
    run = Path(sys.argv[1])
    if found := faults(run):
        sys.exit("\n".join(f"{run}: {fault}" for fault in found))
    print(f"{run}: {len(CHAPTERS)} chapters ran, and what the report lacks is said in a sentence")


if __name__ == "__main__":
    main()
