"""``hw3 inspect monitor`` and what else goes round with a person: review, update, rollback, plan."""

import sys
from typing import Annotated

from hw3lib.cli.detect import DetectorName, ImageSize
from hw3lib.cli.options import Parameters, command, option, parameter, say

Inspector = Annotated[str, option("its folder", metavar="INSPECTOR")]
AnswersFile = Annotated[
    str | None, option("file of the answers (default: INSPECTOR.review.sqlite beside the inspector)", metavar="FILE")
]


@command(
    "Say whether production has drifted: light, lens or product. Exit code 3 if it has.",
    "hw3 inspect monitor bolts-inspector results",
    "hw3 inspect monitor bolts-inspector monday tuesday wednesday --plot drift.png",
)
def monitor(
    inspector: Annotated[str, option("its folder, or an ONNX file", metavar="INSPECTOR")],
    results: Annotated[
        list[str], option("folders of results, in the order of the photographs", nargs="+", metavar="RESULTS")
    ],
    *,
    plot: Annotated[str | None, option("draw scores and evidence into a file", metavar="FILE.png")] = None,
    mean_time: Annotated[
        float, option("photographs between false alarms, at least (default: %(default)s)", metavar="N")
    ] = 10_000,
    usual: Annotated[
        float | None,
        option(
            "share that may be anomalous without anything being wrong with light or lens (default: 0.1, or twice the "
            "false-alarm rate)",
            metavar="SHARE",
        ),
    ] = None,
    scores_only: Annotated[bool, option("do not read the photographs for their brightness, colour, sharpness")] = False,
    seed: Annotated[int, option("of the order of equal values (default: %(default)s)")] = 0,
) -> int:
    from hw3lib.inspection import monitor as monitoring

    found = monitoring.monitor(
        inspector, results, plot=plot, mean_time=mean_time, usual=usual, scores_only=scores_only, seed=seed, echo=say
    )
    say(found.said)
    if found.file:
        say(f"first alarm: {found.file}")
    return 3 if found.alarm else 0


@command(
    "Ask a person about photographs that were scored, the least certain first, on a page with a key for each answer.",
    "hw3 inspect review bolts-inspector results",
    "hw3 inspect review bolts-inspector results --answers answers.csv",
)
def review(
    inspector: Inspector,
    results: Annotated[list[str], option("folders of results", nargs="+", metavar="RESULTS")],
    *,
    store: AnswersFile = None,
    answers: Annotated[
        str | None,
        option("take them from a CSV file (file, answer: good, defect or unsure, type); no page", metavar="FILE.csv"),
    ] = None,
    order: Annotated[bool, option("print which photographs would be asked about, in that order; no page")] = False,
    reviewer: Annotated[str, option("whose the answers of the CSV file are", metavar="NAME")] = "",
    port: Annotated[int, option("0 takes a free one (default: %(default)s)", metavar="N")] = 8867,
    theme: Annotated[
        str, option("of the page; auto: the browser's (default: %(default)s)", choices=("auto", "light", "dark"))
    ] = "auto",
    no_browser: Annotated[bool, option("print the address only")] = False,
) -> int:
    from hw3lib.inspection.corrections.answers import Store, default_store, take_answers

    place = store or default_store(inspector)
    if answers is not None:
        take_answers(place, answers, reviewer=reviewer, echo=say)
    if order:
        from hw3lib.inspection.corrections.review import queue

        for file in queue(results, Store(place))[1]:
            say(file)
    elif answers is None:
        from hw3lib.inspection.app import review as page

        page.serve(inspector, results, place, port=port, browser=not no_browser, theme=theme, echo=say)
    return 0


@command(
    "Let an inspector learn from reviewed photographs, unless that makes it worse. The version before is kept.",
    "hw3 inspect update bolts-inspector",
    "hw3 inspect update bolts-inspector --review answers.sqlite --held-out 0.5",
)
def update(
    inspector: Inspector,
    *,
    review: AnswersFile = None,
    held_out: Annotated[
        float, option("of the answers, to judge by and not to learn from (default: %(default)s)", metavar="SHARE")
    ] = 0.3,
) -> int:
    from hw3lib.inspection.corrections import update as updating

    updating.update(inspector, review, held_out=held_out, progress=sys.stderr.isatty(), echo=say)
    return 0


@command(
    "Put the version of an inspector in use that was before an update.",
    "hw3 inspect rollback bolts-inspector",
    "hw3 inspect rollback bolts-inspector --version 1",
)
def rollback(
    inspector: Inspector,
    *,
    version: Annotated[int | None, option("which (default: the one before)", metavar="N")] = None,
) -> int:
    from hw3lib.inspection.corrections import update as updating

    updating.rollback(inspector, version, echo=say)
    return 0


@command(
    "Say what the photographs at hand can promise, and what twice as many would bring: a learning curve.",
    "hw3 inspect plan ../mvtec_ad/bottle --plot curve.png",
    "hw3 inspect plan photos/good --image-size 128 --draws 10",
)
def plan(
    place: Annotated[str, option("a category, or photographs of good products", metavar="FOLDER")],
    *,
    detector: DetectorName = "patchcore",
    image_size: ImageSize = 224,
    draws: Annotated[int, option("of photographs that judge (default: %(default)s)", metavar="N")] = 5,
    false_alarm_rate: Annotated[
        float, option("share of good products that may be called anomalous (default: %(default)s)", metavar="R")
    ] = 0.05,
    groups: Annotated[str | None, option("products, as of `hw3 inspect fit`", metavar="PATTERN")] = None,
    types: Annotated[
        str,
        option(
            "own: a curve over a category's labelled defects, too; none: without (default: %(default)s)",
            choices=("own", "none"),
        ),
    ] = "own",
    out: Annotated[
        str | None, option("write the table; that of the types as FILE-types.csv", metavar="FILE.csv")
    ] = None,
    plot: Annotated[str | None, option("draw the curve into a file, likewise", metavar="FILE.png")] = None,
    seed: Annotated[int, option("of everything that is drawn (default: %(default)s)")] = 0,
    parameters: Annotated[Parameters, parameter("set another hyperparameter of the detector")] = (),
) -> int:
    from hw3lib.core.untrusted import parse_value
    from hw3lib.inspection import plan as planning

    found = planning.plan(
        place,
        detector,
        {"image_size": image_size} | {name: parse_value(text) for name, text in parameters},
        groups=groups,
        draws=draws,
        false_alarm_rate=false_alarm_rate,
        types=types == "own",
        out=out,
        plot=plot,
        seed=seed,
        progress=sys.stderr.isatty(),
        echo=say,
    )
    for sentence in found.said:
        say(sentence)
    return 0


LOOP = (monitor, review, update, rollback, plan)
