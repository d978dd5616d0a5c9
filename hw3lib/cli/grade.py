"""``hw3 grade``."""

from pathlib import Path
from typing import Annotated

from hw3lib.cli.options import Data, byte_count, command, option, say


@command(
    "Grade submitted exercise notebooks into one CSV file, a page a student and a leaderboard. Each runs in a process\n"
    "of its own, with limits; one that is broken does not stop the rest. Run it in a container if you do not trust\n"
    "the code.",
    "hw3 grade submissions",
    "hw3 grade submissions --out week4.csv --timeout 120 --memory 2GB",
    interrupted="; the submissions graded so far are in the CSV file",
)
def grade(
    folder: Annotated[str, option("holds the notebooks, in folders or not", metavar="DIR")],
    *,
    out: Annotated[str | None, option("the CSV file (default: DIR/grades.csv)", metavar="FILE")] = None,
    data: Data = None,
    timeout: Annotated[float, option("for one submission (default: %(default)s)", metavar="SECONDS")] = 300,
    memory: Annotated[
        int, option("for one submission (default: 4GB)", type=byte_count, metavar="SIZE")
    ] = 4_000_000_000,
    solutions: Annotated[bool, option("show the solution of what did not pass on the pages")] = False,
) -> int:
    from hw3lib.course import grading

    grades = grading.grade(folder, out, data=data, timeout=timeout, memory=memory, solutions=solutions, echo=say)
    broken = sum(g.status != "ok" for g in grades)
    where = Path(out) if out else Path(folder) / "grades.csv"
    board = where.with_name("leaderboard.html")
    made = [str(path) for path in (where, where.parent / "feedback", board) if path.exists()]
    say(f"{len(grades)} submissions graded, {broken} of them broken: {', '.join(made)}")
    return 0
