"""Everything that is timed here: ``make bench``. Read the ratios; seconds differ from machine to machine."""

import argparse
import importlib

MODULES = ("decode_once",)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(MODULES)}; all if none is given")
    parser.add_argument("--category", default="synthetic/bottle")
    parser.add_argument("--data", help="folder that holds the category")
    options = parser.parse_args()
    for name in options.names or MODULES:
        importlib.import_module(f"benchmarks.{name}").main(options.category, options.data)


if __name__ == "__main__":
    main()
