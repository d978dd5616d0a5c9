"""The command ``hw3``. Heavy packages (PyTorch, pandas) are imported where a command needs them."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hw3lib import (
    __version__,
)
from hw3lib.cli.options import PROFILES, _examples
from hw3lib.core import (
    machine as freed_memory,
)
from hw3lib.core.untrusted import parse_value
from hw3lib.data.fetch.find import find_root
from hw3lib.errors import Hw3Error

from . import (
    annotate as annotate_command,
)
from . import (
    app as app_command,
)
from . import (
    compare as compare_command,
)
from . import (
    course as course_command,
)
from . import (
    detect as detect_command,
)
from . import (
    report as report_command,
)
from . import (
    sweep as sweep_command,
)

CELL_LIMIT_QUICK = 1800  # seconds; a cell of the quick profile that takes longer hangs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 fine, 1 something is wrong, 2 not possible as asked, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # Windows writes to pipes and files in an encoding of its own
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments)
    freed_memory.keep()
    try:
        code = options.command(options)
        sys.stdout.flush()
        return code
    except Hw3Error as error:
        if "debug" in options:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted{options.interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Nothing may be left to flush at exit, or Python complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show Python's tracebacks")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--data", metavar="DIR", help="folder that holds categories (default: $HW3_DATA, then data/)")

    top = argparse.ArgumentParser(
        prog="hw3",
        description="Visual inspection of product photographs: the course's notebooks on any category.",
        epilog=_examples("hw3 doctor", "hw3 run", "hw3 run 1 2 --category bottle --data ~/mvtec_ad", "hw3 data list"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    top.set_defaults(interrupted="")
    top.add_argument("--version", action="version", version=f"hw3 {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(place, name, function, text, *examples, parents=()):
        made = place.add_parser(
            name,
            help=text[0].lower() + text.split(". ")[0].rstrip(".")[1:],
            description=text,
            epilog=_examples(*examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common, *parents],
        )
        made.set_defaults(command=function)
        return made

    run = command(
        commands,
        "run",
        _run,
        "Execute notebooks on a category. What has not changed since the last time is not run again;\n"
        "an interrupted run goes on where it stopped.",
        "hw3 run",
        "hw3 run 02 --category synthetic/carpet -p seed 3",
        "hw3 run --category bottle --data ../mvtec_ad --profile full --name bottle-final",
        parents=[where],
    )
    run.add_argument("notebooks", nargs="*", metavar="NN", help="number or name of a notebook (default: all)")
    run.add_argument("--category", default="synthetic/bottle", help="what to inspect (default: %(default)s)")
    run.add_argument("--profile", choices=PROFILES, default="quick", help="minutes, or hours (default: %(default)s)")
    run.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="set a parameter of the notebooks; may be repeated",
    )  # fmt: skip
    run.add_argument("--name", metavar="RUN", help="results go to runs/RUN (default: category and profile)")
    run.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS",
        help=f"limit for one cell, 0 for none (default: {CELL_LIMIT_QUICK} in the quick profile, or none)",
    )  # fmt: skip
    run.add_argument("--force", action="store_true", help="run again even if nothing has changed")
    run.set_defaults(interrupted="; what was finished is kept, and the same command goes on from there")

    reproduce = command(
        commands,
        "reproduce",
        _reproduce,
        "Run the attempts of one of the four reports. It prints the reported accuracies and ours with intervals,\n"
        "the paired differences from the baseline, and which of the report's findings hold here.",
        "hw3 reproduce wood --substitute --guided",
        "hw3 reproduce bottle --data ../mvtec_ad --repeats 50 --rows 1 4",
        "hw3 reproduce carpet --category bolts --name bolts-as-carpet",
        parents=[where],
    )
    reproduce.add_argument("report", metavar="REPORT", help="carpet, wood, bottle or capsule")
    reproduce.add_argument(
        "--category", help="what to run it on (default: the report's product if it is found, or else the generated one)"
    )
    reproduce.add_argument(
        "--repeats", type=int, default=10, metavar="N", help="number of random splits, 2 or more (default: %(default)s)"
    )
    reproduce.add_argument(
        "--substitute", action="store_true",
        help="let EfficientNet-Lite networks stand in for those whose ImageNet weights cannot be had",
    )  # fmt: skip
    reproduce.add_argument("--seed", type=int, default=0, help="of splits, weights and batches (default: %(default)s)")
    reproduce.add_argument(
        "--rows", type=int, nargs="+", default=[], metavar="N", help="rows to run besides the baseline (default: all)"
    )
    reproduce.add_argument(
        "--guided", action="store_true", help="run the defect-guided classifier too, as the last row"
    )
    reproduce.add_argument("--name", metavar="RUN", help="results go to runs/RUN (default: reproduce-REPORT-CATEGORY)")
    reproduce.set_defaults(interrupted="; what was finished is kept, and the same command goes on from there")

    detect_command.add(commands, command)
    app_command.add(commands, command)
    annotate_command.add(commands, command)
    report_command.add(commands, command)
    compare_command.add(commands, command)
    sweep_command.add(commands, command)
    course_command.add(commands, command)

    doctor = command(
        commands,
        "doctor",
        _doctor,
        "Check Python, packages, device, weights, data, disk and kernel. What fails comes with what to do.",
        "hw3 doctor",
        "hw3 doctor --category bottle --data ../mvtec_ad",
        parents=[where],
    )
    doctor.add_argument("--category", default="synthetic/bottle", help="look for this one (default: %(default)s)")

    data = command(commands, "data", None, "List, make, get or check categories.", "hw3 data list")
    actions = data.add_subparsers(metavar="ACTION", required=True)
    command(
        actions,
        "list",
        _data_list,
        "List the known categories: where each was found, or how to get it.",
        "hw3 data list --data ../mvtec_ad",
        parents=[where],
    )
    make = command(
        actions,
        "make",
        _data_make,
        "Generate a synthetic category, or all of them.",
        "hw3 data make synthetic/carpet",
        "hw3 data make all --profile full --data /scratch/data",
        parents=[where],
    )
    make.add_argument("name", metavar="NAME", help="for example synthetic/carpet, or all")
    make.add_argument("--profile", choices=PROFILES, default="quick", help="256 px and few images, or as the original")
    make.add_argument("--seed", type=int, default=0, help="another seed gives other images (default: 0)")
    make.add_argument("--force", action="store_true", help="make it again even if it is there")
    get = command(
        actions,
        "get",
        _data_get,
        "Find a category, make it, or download it once you accept its licence (MVTec AD: CC BY-NC-SA 4.0).",
        "hw3 data get bottle --accept-license",
        "hw3 data get bottle --archive ~/Downloads/bottle.tar.xz --data ../mvtec_ad",
        parents=[where],
    )
    get.add_argument("category", help="for example bottle")
    get.add_argument("--source", default="auto", help="official, kaggle, local or auto (default)")
    get.add_argument("--accept-license", action="store_true", help="I have read the licence and accept it")
    get.add_argument("--archive", metavar="FILE", help="take it from this tar or zip file")
    check = command(
        actions,
        "check",
        _data_check,
        "Decode every file of a category and report what is wrong with it. Exit code 1 if something is.",
        "hw3 data check bottle --data ../mvtec_ad",
        parents=[where],
    )
    check.add_argument("category", help="for example bottle")
    return top


def _seconds(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from hw3lib.runs import run as runner
    from hw3lib.runs import summary

    timeout = options.timeout
    if timeout is None and options.profile == "quick":
        timeout = CELL_LIMIT_QUICK
    outcomes = runner.run(
        options.notebooks,
        category=options.category,
        data=options.data,
        profile=options.profile,
        parameters={name: parse_value(text) for name, text in options.parameters},
        name=options.name,
        timeout=timeout or None,
        force=options.force,
        echo=lambda text: print(text, flush=True),
    )
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        print(f"\n{outcome.message}", file=sys.stderr)
    print(f"\n{summary.summary_table(outcomes)}")
    return 1 if failed else 0


def _reproduce(options: argparse.Namespace) -> int:
    from hw3lib.classify.guided import classifier as guided
    from hw3lib.classify.student_reports import result as reproduced
    from hw3lib.classify.student_reports import run as reproduction
    from hw3lib.data.table import load_table
    from hw3lib.networks.devices import default_accelerator
    from hw3lib.views.plots import student_reports

    report = reproduction.find_report(options.report)
    processes = default_accelerator()  # started by `accelerate launch` or torchrun, or this one alone

    def echo(text: str) -> None:
        if processes.is_main_process:
            print(text, flush=True)

    with processes.main_process_first():  # which makes the category, if need be
        root, category = reproduction.locate(report.name, options.category, options.data, echo)
    echo(f"{report.name} report on {category} in {root}")
    table = load_table(root, category)

    def beyond(images, splits, kept, seed):
        good = guided.good_images(table, images)
        return guided.run(guided.DefectGuided(), images, good, splits, keep=kept, seed=seed)

    done = reproduction.reproduce(
        report,
        table,
        repeats=options.repeats,
        seed=options.seed,
        stand_in=options.substitute,
        numbers=options.rows,
        name=options.name,
        beyond=beyond if options.guided else None,
        draw=student_reports.figure,
        progress=sys.stderr.isatty(),
        echo=echo,
    )
    echo(f"\n{reproduced.table_text(done)}\n\n{reproduced.findings_text(done)}\n\nresults: {done.folder}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from . import doctor

    failed = False
    for finding in doctor.examine(options.category, options.data):
        print(f"{finding.status:4}  {finding.what:32}  {finding.text}", flush=True)
        failed |= finding.status == doctor.FAIL
    return 1 if failed else 0


def _data_list(options: argparse.Namespace) -> int:
    from hw3lib.core.places import data_roots
    from hw3lib.core.text import format_table
    from hw3lib.data.fetch.official import OFFICIAL
    from hw3lib.data.synthetic import PRODUCTS
    from hw3lib.data.table import list_categories, load_table

    generated = {f"synthetic/{name}": f"hw3 data make synthetic/{name}" for name in PRODUCTS}
    known = generated | {name: f"hw3 data get {name}" for name in OFFICIAL}
    roots = [root for root in data_roots(options.data) if root.is_dir()]
    found = {name: root for root in reversed(roots) for name in list_categories(root)}
    rows = [("category", "images", "where")]
    for name in [*known, *(name for name in found if name not in known)]:
        if name in found:
            rows.append((name, str(len(load_table(found[name], name, strict=False))), str(found[name])))
        else:
            rows.append((name, "-", f"missing; {known[name]}"))
    print(format_table(rows))
    return 0


def _data_make(options: argparse.Namespace) -> int:
    from hw3lib.core.places import data_roots
    from hw3lib.data.synthetic import PRODUCTS, make

    root = data_roots(options.data)[0]
    for name in PRODUCTS if options.name == "all" else [options.name]:
        progress = sys.stderr.isatty()
        folder = make(name, root, options.profile, options.seed, progress=progress, force=options.force)
        print(folder, flush=True)
    return 0


def _data_get(options: argparse.Namespace) -> int:
    from hw3lib.data.fetch.sources import get

    root = get(
        options.category,
        options.data,
        source=options.source,
        accept_license=options.accept_license,
        archive=options.archive,
        progress=sys.stderr.isatty(),
    )
    print(Path(root) / options.category)
    return 0


def _data_check(options: argparse.Namespace) -> int:
    from hw3lib.data import check
    from hw3lib.data.table import load_table

    report = check(load_table(find_root(options.category, options.data), options.category, strict=False))
    print(report.summary())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
