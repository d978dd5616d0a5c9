"""``hw3 compare``."""

from pathlib import Path
from typing import Annotated

from hw3lib.cli.options import command, option


@command(
    "Compare two runs: what they came from, and which figures differ significantly. Exit code 0 if none does,\n"
    "1 if one does. Figures with intervals are judged by these, all together; other numbers are the same or differ.",
    "hw3 compare bottle-quick bottle-final",
    "hw3 compare before after 02 04 --tolerance 0.02",
)
def compare(
    run_a: Annotated[str, option("a run's name, or its folder", metavar="RUN_A")],
    run_b: Annotated[str, option("another one", metavar="RUN_B")],
    numbers: Annotated[list[str], option("numbers of notebooks (default: all)", nargs="*", metavar="NN")],
    *,
    tolerance: Annotated[
        float,
        option(
            "relative difference up to which numbers without an interval are the same (default: %(default)s)",
            metavar="R",
        ),
    ] = 1e-4,
    every: Annotated[bool, option("list the figures that are the same, too", "--all")] = False,
) -> int:
    from hw3lib.runs import compare as comparison

    done = comparison.compare_runs(run_a, run_b, numbers, tolerance=tolerance)
    names = [Path(run).name for run in (run_a, run_b)]
    if names[0] == names[1]:
        names = ["A", "B"]
    print(comparison.text(done, *names, every=every))
    return 0 if done.equal else 1
