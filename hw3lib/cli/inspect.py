"""``hw3 inspect``: an inspector in one folder, learned from photographs, and what it says of others."""

import sys
from dataclasses import replace
from functools import partial
from typing import Annotated

from hw3lib.cli import detect
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
)
def score(
    inspector: Annotated[str, option("its folder, or an ONNX file", metavar="INSPECTOR")],
    places: Annotated[
        list[str], option("photographs, or a category's test images", nargs="+", metavar="FOLDER_OR_FILE")
    ],
    *,
    out: Annotated[str, option("folder for the results; -: write rows to standard output", metavar="RESULTS")],
    format: Annotated[
        str,
        option(
            "of the regions, and of standard output: csv, jsonl or coco (default: %(default)s)",
            choices=("csv", "jsonl", "coco"),
        ),
    ] = "csv",
    overlays: Annotated[bool, option("heat map and outline over each image, as PNG")] = False,
    false_alarm_rate: Annotated[
        float | None, option("set the threshold again (default: as it was fitted)", either="limit", metavar="R")
    ] = None,
    threshold: Annotated[float | None, option("call scores above it anomalous", either="limit", metavar="T")] = None,
    recursive: Annotated[bool, option("take the images of sub-folders too")] = False,
    force: Annotated[bool, option("replace the results that are there")] = False,
) -> int:
    from typing import cast

    from hw3lib.inspection import score as scoring

    def aside(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

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


inspect = group(
    "inspect",
    "Fit an inspector on photographs, and inspect others with it.",
    "hw3 inspect fit ../mvtec_ad/bottle --out bottle-inspector",
    "hw3 inspect score bottle-inspector photos/today --out results --overlays",
    actions=(
        *(fit, score),
        # What goes round with a person is in inspect_loop.py.
    ),
)
