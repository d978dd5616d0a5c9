"""``hw3 reproduce``."""

import sys
from typing import Annotated

from hw3lib.cli.options import GOES_ON, Data, command, option


@command(
    "Run the attempts of one of the four reports. It prints the reported accuracies and ours with confidence\n"
    "intervals, the paired differences from the baseline, and which of the report's findings hold here.",
    "hw3 reproduce wood --substitute --guided",
    "hw3 reproduce bottle --data ../mvtec_ad --repeats 50 --rows 1 4",
    "hw3 reproduce carpet --category bolts --name bolts-as-carpet",
    interrupted=GOES_ON,
)
def reproduce(
    report: Annotated[str, option("carpet, wood, bottle or capsule", metavar="REPORT")],
    *,
    data: Data = None,
    category: Annotated[
        str | None,
        option("what to run it on (default: the report's product if it is found, or else the generated one)"),
    ] = None,
    repeats: Annotated[int, option("number of random splits, 2 or more (default: %(default)s)", metavar="N")] = 10,
    substitute: Annotated[
        bool, option("let EfficientNet-Lite networks stand in for those whose ImageNet weights cannot be had")
    ] = False,
    seed: Annotated[int, option("of splits, weights and batches (default: %(default)s)")] = 0,
    rows: Annotated[
        tuple[int, ...], option("rows to run besides the baseline (default: all)", nargs="+", metavar="N")
    ] = (),
    guided: Annotated[bool, option("run the defect-guided classifier too, as the last row")] = False,
    name: Annotated[
        str | None,
        option("results go to runs/RUN (default: reproduce-REPORT-CATEGORY)", either="place", metavar="RUN"),
    ] = None,
    out: Annotated[str | None, option("results go to this folder", either="place", metavar="DIR")] = None,
) -> int:
    from hw3lib.classify.guided import classifier
    from hw3lib.classify.student_reports import result
    from hw3lib.classify.student_reports import run as reproduction
    from hw3lib.data.overlooked import overlooked
    from hw3lib.data.table import load_table, warnings_of
    from hw3lib.networks.devices import default_accelerator
    from hw3lib.views.plots import student_reports

    meant = reproduction.find_report(report)
    processes = default_accelerator()  # started by `accelerate launch` or torchrun, or this one alone

    def echo(text: str) -> None:
        if processes.is_main_process:
            print(text, flush=True)

    with processes.main_process_first():  # which makes the category, if need be
        root, found = reproduction.locate(meant.name, category, data, echo)
    echo(f"{meant.name} report on {found} in {root}")
    table = load_table(root, found)
    for told in filter(None, (warnings_of(table), overlooked(table, found))):
        echo(told)

    def beyond(images, splits, kept, seed):
        good = classifier.good_images(table, images)
        return classifier.run_guided(classifier.DefectGuided(), images, good, splits, keep=kept, seed=seed)

    done = reproduction.reproduce(
        meant,
        table,
        repeats=repeats,
        seed=seed,
        allow_substitutes=substitute,
        numbers=rows,
        name=name,
        out=out,
        beyond=beyond if guided else None,
        draw=student_reports.figure,
        progress=sys.stderr.isatty(),
        echo=echo,
    )
    echo(f"\n{result.table_text(done)}\n\n{result.findings_text(done)}\n\nresults: {done.folder}")
    return 0
