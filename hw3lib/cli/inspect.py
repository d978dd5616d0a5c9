"""``hw3 inspect``: an inspector in one folder, learned from photographs, and what it says of others."""

import sys
from dataclasses import replace
from functools import partial
from typing import Annotated

from hw3lib.cli import detect
from hw3lib.cli.app import app
from hw3lib.cli.detect import ForceResults, NewRate, NewThreshold, Overlays, Places, Recursive
from hw3lib.cli.inspect_loop import LOOP
from hw3lib.cli.options import command, group, option, say

assert detect.fit.function is not None
fit = replace(
    detect.fit,
    text="Learn what good products look like and, from labelled defects, their types; set a threshold.",
    examples=(
        "hw3 inspect fit ../mvtec_ad/bottle --out bottle-inspector",
        "hw3 inspect fit photos/good --out bolts-inspector --types data/bolts --roi roi.png",
    ),
    function=partial(detect.fit.function, types="own"),
)


@command(
    "Inspect photographs: a row a photograph and a row a region. Exit code 0: all are good, 3: something is\n"
    "anomalous or cannot be judged, 1: something could not be read.",
    "hw3 inspect score bottle-inspector photos/today --out results --overlays",
    "hw3 inspect score bottle-inspector photos/today --format jsonl --out - | jq .verdict",
    "hw3 inspect score bottle-inspector /line/3 --out line-3 --watch",
)
def score(
    inspector: Annotated[str, option("its folder, exported or not, or an ONNX file", metavar="INSPECTOR")],
    places: Places,
    *,
    out: Annotated[str, option("folder for the results; -: write rows to standard output", metavar="RESULTS")],
    watch: Annotated[
        bool, option("of one folder: score what comes, each photograph once, until it is interrupted")
    ] = False,
    idle: Annotated[
        float | None, option("with --watch: end when nothing came for so long (default: never)", metavar="SECONDS")
    ] = None,
    format: Annotated[
        str,
        option(
            "of the regions, and of standard output: csv, jsonl or coco (default: %(default)s)",
            choices=("csv", "jsonl", "coco"),
        ),
    ] = "csv",
    overlays: Overlays = False,
    false_alarm_rate: NewRate = None,
    threshold: NewThreshold = None,
    recursive: Recursive = False,
    force: ForceResults = False,
) -> int:
    from typing import cast

    from hw3lib.inspection import score as scoring

    def aside(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if watch:
        from hw3lib.errors import Hw3Error
        from hw3lib.inspection.watch import watch as keep_watching

        if len(places) != 1 or out == scoring.STDOUT or overlays or force:
            raise Hw3Error("--watch: expected one folder and --out FOLDER, without --overlays and --force")
        said = keep_watching(
            inspector,
            places[0],
            out,
            idle=idle,
            false_alarm_rate=false_alarm_rate,
            threshold=threshold,
            recursive=recursive,
            echo=say,
        )
        return 1 if said.failed else 3 if said.not_good else 0
    done = scoring.score(
        inspector,
        places,
        out,
        regions=cast(scoring.Format, format),
        overlays=overlays,
        false_alarm_rate=false_alarm_rate,
        threshold=threshold,
        recursive=recursive,
        force=force,
        progress=sys.stderr.isatty(),
        echo=aside if out == scoring.STDOUT else say,
        stdout=sys.stdout,
    )
    detect.tell(done, out, aside if out == scoring.STDOUT else say)
    return 1 if done.failed else 3 if done.anomalous or done.implausible else 0


@command(
    "Write one page on an inspector, HTML and PDF: what it learned from, promises, what was measured, what it misses.",
    "hw3 inspect card bottle-inspector --on ../mvtec_ad/bottle --out bottle.html",
)
def card(
    inspector: Annotated[str, option("its folder", metavar="INSPECTOR")],
    *,
    out: Annotated[str, option("HTML file; the PDF lies beside it", metavar="FILE.html")] = "card.html",
    on: Annotated[
        str | None, option("category whose test images are inspected for what is measured", metavar="CATEGORY")
    ] = None,
) -> int:
    from hw3lib.inspection.card import card as write

    for file in write(inspector, out, on, echo=say):
        say(f"card: {file}")
    return 0


@command(
    "Write the whole inspector for a machine without PyTorch, and check that it says the same there. `hw3 inspect\n"
    "score` and `serve` take the folder in the inspector's place. Needs onnx and onnxscript.",
    "hw3 inspect export bottle-inspector --check ../mvtec_ad/bottle --out bottle-exported",
)
def export(
    inspector: Annotated[str, option("its folder", metavar="INSPECTOR")],
    *,
    out: Annotated[str, option("folder to write", metavar="EXPORTED")],
    check: Annotated[str, option("photographs, or a category's test images, to check with", metavar="FOLDER")],
    recursive: Recursive = False,
    force: Annotated[bool, option("replace the folder that is there")] = False,
) -> int:
    from hw3lib.inspection import export as exporting

    exporting.export(inspector, out, check=check, recursive=recursive, force=force, echo=say)
    return 0


serve = replace(
    app,
    name="serve",
    examples=(
        "hw3 inspect serve bottle-inspector",
        "hw3 inspect serve bottle-inspector --host 0.0.0.0 --queue 100 --no-browser",
    ),
)

inspect = group(
    "inspect",
    "Fit an inspector on photographs, and inspect others with it.",
    "hw3 inspect fit ../mvtec_ad/bottle --out bottle-inspector",
    "hw3 inspect score bottle-inspector photos/today --out results --overlays",
    actions=(
        *(fit, score, serve, card, export),
        *LOOP,  # what goes round with a person
    ),
)
