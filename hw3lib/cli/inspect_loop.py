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
    seed: Annotated[int, option("of the order of equal scores (default: %(default)s)")] = 0,
) -> int:
    from hw3lib.inspection import monitor as monitoring

    found = monitoring.monitor(inspector, results, plot=plot, mean_time=mean_time, usual=usual, seed=seed, echo=say)
    say(found.said)
    if found.file:
        say(f"first alarm: {found.file}")
    return 3 if found.alarm else 0


LOOP = (monitor,)
