"""``hw3 inspect monitor`` and what else goes round with a person: review, update, rollback, plan."""

from typing import Annotated

from hw3lib.cli.options import command, option, say

Inspector = Annotated[str, option("its folder", metavar="INSPECTOR")]


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
    store: Annotated[
        str | None,
        option("file of the answers (default: INSPECTOR.review.sqlite beside the inspector)", metavar="FILE"),
    ] = None,
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
    from hw3lib.inspection.answers import Store, default_store, take_answers

    place = store or default_store(inspector)
    if answers is not None:
        take_answers(place, answers, reviewer=reviewer, echo=say)
    if order:
        from hw3lib.inspection.review import queue

        for file in queue(results, Store(place))[1]:
            say(file)
    elif answers is None:
        from hw3lib.inspection.app import review as page

        page.serve(inspector, results, place, port=port, browser=not no_browser, theme=theme, echo=say)
    return 0


LOOP = (monitor, review)
