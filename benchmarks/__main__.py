"""Everything that is timed or scored here: ``make bench``. Read the ratios; seconds differ from machine to machine.

The comparisons with a student's program take up to half an hour each on two cores: name one to run it alone.
"""

import argparse
import importlib
import inspect

from hw3lib.core import machine

PACKAGES = {
    "speed": ("decode_once", "nearest", "sweep", "scale", "imports", "serve", "latency", "grading"),
    "accuracy": (
        "guided",
        "longtail",
        "longtail_drawn",
        "verdicts",
        "recognition",
        "patchcore",
        "detectors",
        "painters",
        "thresholds",
        "tolerate",
        "monitor",
        "review",
        "update",
        "sam",
        "detection",
    ),
    "peers": ("student_scratch", "student_transfer", "student_gpu", "coreset", "aupro", "anomalib_job"),
}
MODULES = {name: f"benchmarks.{package}.{name}" for package, names in PACKAGES.items() for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(MODULES)}; all if none is given")
    parser.add_argument("--category", default="synthetic/bottle", help="or synthetic: all generated ones, of verdicts")
    parser.add_argument("--data", help="folder that holds the category")
    parser.add_argument("--count", type=int, help="of repeats of a long tail, of draws of images, or of notebooks")
    parser.add_argument(
        "--sizes", type=int, nargs="+", metavar="N", help="numbers of images; pixels, of recognition, serve, latency"
    )
    parser.add_argument("--sets", nargs="+", metavar="DIR", help="folders of real categories, of detectors")
    parser.add_argument(
        "--rows", nargs="+", metavar="NAME", help="what is compared, of detectors and painters, or all; chapters"
    )
    parser.add_argument(
        "--profile", help="of generated categories, of detectors and painters; of notebooks, of verdicts"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(MODULES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join(MODULES)}")
    machine.spin_briefly()  # as every command does
    for name in options.names or MODULES:
        function = importlib.import_module(MODULES[name]).main
        known = inspect.signature(function).parameters
        given = {key: getattr(options, key) for key in ("count", "sizes", "sets", "rows", "profile") if key in known}
        function(options.category, options.data, **{key: v for key, v in given.items() if v is not None})


if __name__ == "__main__":
    main()
