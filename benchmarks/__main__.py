"""Everything that is timed here: ``make bench``. Read the ratios; seconds differ from machine to machine.

The comparisons with a student's program take up to half an hour each on two cores: name one to run it alone.
"""

import argparse
import importlib
import inspect

from hw3lib.core import machine

MODULES = (
    *("decode_once", "student_scratch", "student_transfer", "student_gpu", "guided"),
    *("longtail", "longtail_drawn", "patchcore", "sam", "detection", "coreset", "aupro", "anomalib_job", "sweep"),
    *("faults", "scale", "fuzz", "imports"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(MODULES)}; all if none is given")
    parser.add_argument("--category", default="synthetic/bottle")
    parser.add_argument("--data", help="folder that holds the category")
    parser.add_argument("--count", type=int, help="of faults, of fuzzed inputs, or of a long tail's repeats")
    parser.add_argument("--seed", type=int, help="of where they strike, or of the inputs")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help="numbers of images, of scale")
    options = parser.parse_args()
    if unknown := set(options.names) - set(MODULES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join(MODULES)}")
    machine.spin_briefly()  # as every command does
    for name in options.names or MODULES:
        function = importlib.import_module(f"benchmarks.{name}").main
        known = inspect.signature(function).parameters
        given = {key: getattr(options, key) for key in ("count", "seed", "sizes") if key in known}
        function(options.category, options.data, **{key: v for key, v in given.items() if v is not None})


if __name__ == "__main__":
    main()
