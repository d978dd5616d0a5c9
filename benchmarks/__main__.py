"""Everything that is timed here: ``make bench``. Read the ratios; seconds differ from machine to machine.

The comparisons with a student's program take up to half an hour each on two cores: name one to run it alone.
"""

import argparse
import importlib

MODULES = (
    *("decode_once", "student_scratch", "student_transfer", "student_gpu", "guided"),
    *("patchcore", "sam", "detection", "coreset", "aupro", "sweep"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(MODULES)}; all if none is given")
    parser.add_argument("--category", default="synthetic/bottle")
    parser.add_argument("--data", help="folder that holds the category")
    options = parser.parse_args()
    if unknown := set(options.names) - set(MODULES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join(MODULES)}")
    for name in options.names or MODULES:
        importlib.import_module(f"benchmarks.{name}").main(options.category, options.data)


if __name__ == "__main__":
    main()
