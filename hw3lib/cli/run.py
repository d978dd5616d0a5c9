"""``hw3 run``."""

import argparse
import sys
from typing import Annotated

from hw3lib.cli.options import GOES_ON, PROFILES, Data, Language, Parameters, command, option, parameter, say

CELL_LIMIT_QUICK = 1800  # seconds; a cell of the quick profile that takes longer hangs


def _seconds(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return int(text)


@command(
    "Execute notebooks on a category. What has not changed since the last time is not run again;\n"
    "an interrupted run goes on where it stopped.",
    "hw3 run",
    "hw3 run 02 --category synthetic/carpet -p seed 3",
    "hw3 run --category bottle --data ../mvtec_ad --profile full --name bottle-final",
    interrupted=GOES_ON,
)
def run(
    notebooks: Annotated[list[str], option("number or name of a notebook (default: all)", nargs="*", metavar="NN")],
    *,
    data: Data = None,
    category: Annotated[str, option("what to inspect (default: %(default)s)")] = "synthetic/bottle",
    profile: Annotated[str, option("minutes, or hours (default: %(default)s)", choices=PROFILES)] = "quick",
    parameters: Annotated[Parameters, parameter("set a parameter of the notebooks")] = (),
    name: Annotated[
        str | None, option("results go to runs/RUN (default: category and profile)", either="place", metavar="RUN")
    ] = None,
    out: Annotated[str | None, option("results go to this folder", either="place", metavar="DIR")] = None,
    timeout: Annotated[
        int | None,
        option(
            f"limit for one cell, 0 for none (default: {CELL_LIMIT_QUICK} in the quick profile, or none)",
            type=_seconds,
            metavar="SECONDS",
        ),
    ] = None,
    force: Annotated[bool, option("run again even if nothing has changed")] = False,
    jobs: Annotated[
        int | None,
        option(
            "notebooks at once, which divide the cores among them (default: as many as cores and memory carry)",
            metavar="N",
        ),
    ] = None,
    language: Language = "",
) -> int:
    from hw3lib.core.fonts import require_font
    from hw3lib.core.optional import Missing
    from hw3lib.core.untrusted import parse_value
    from hw3lib.course import translation
    from hw3lib.runs import run as runner
    from hw3lib.runs import summary

    if timeout is None and profile == "quick":
        timeout = CELL_LIMIT_QUICK
    if language != "en":
        try:
            require_font(language)
        except Missing as error:
            say(f"The report will be in English: {error}")
    with translation.chapters(language) as folder:
        outcomes = runner.run_notebooks(
            notebooks,
            category=category,
            data=data,
            profile=profile,
            parameters={name: parse_value(text) for name, text in parameters},
            name=name,
            out=out,
            timeout=timeout or None,
            force=force,
            jobs=jobs,
            echo=say,
            notebooks_dir=folder,
        )
    failed = summary.failures(outcomes)
    for outcome in failed:
        say(f"\n{outcome.message}", sys.stderr)
    print(f"\n{summary.summary_table(outcomes)}")
    if failed:
        say(f"\nfailed first: {failed[0].notebook}; why is said above")
    return 1 if failed else 0
