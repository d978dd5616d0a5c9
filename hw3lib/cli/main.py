"""The command ``hw3``: finds the command that is meant, and says its errors and its exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

from hw3lib import __version__
from hw3lib.cli.options import Command, examples_text, say
from hw3lib.core import machine
from hw3lib.core.provenance import package_version
from hw3lib.core.translation import preferred, speaking
from hw3lib.errors import Hw3Error

# In the order of the help. Each is a Command of this name in a module of this name, which imports what is heavy
# (PyTorch, pandas) only once it is performed.
COMMANDS = (
    *("run", "reproduce", "inspect", "detect", "app", "annotate", "report", "compare", "sweep"),
    *("start", "grade", "doctor", "data"),
)

RUNTIME = "hw3lib-runtime"  # the same modules with fewer packages, see runtime/pyproject.toml
EXAMPLES = ("hw3 doctor", "hw3 run", "hw3 run 1 2 --category bottle --data ~/mvtec_ad", "hw3 data list")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 fine, 1 something is wrong, 2 not possible as asked, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # Windows writes to pipes and files in an encoding of its own
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(words[:1] if words and words[0] in COMMANDS else COMMANDS).parse_args(words)
    machine.keep()
    machine.prepare()
    options.language = getattr(options, "language", None) or preferred()
    with speaking(options.language):
        return performed(options)


def performed(options: argparse.Namespace) -> int:
    """Do what was parsed; what goes wrong is said, and gives an exit code."""
    try:
        code = options.command.perform(options)
        sys.stdout.flush()
        return code
    except Hw3Error as error:
        if "debug" in options:
            raise
        say(f"error: {error}", sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if "debug" in options or package_version(RUNTIME) == "missing":
            raise
        print(f"error: this needs {error.name}, which {RUNTIME} does without: pip install hw3lib", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted{options.command.interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Nothing may be left to flush at exit, or Python complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Commands and their options; all of them, or those named."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show Python's tracebacks")
    top = argparse.ArgumentParser(
        prog="hw3",
        description="Visual inspection of product photographs: the course's notebooks on any category.",
        epilog=examples_text(*EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    top.add_argument("--version", action="version", version=f"hw3 {__version__}")
    place = top.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        command: Command = getattr(import_module(f"hw3lib.cli.{name}"), name)
        command.add(place, common)
    return top


if __name__ == "__main__":
    sys.exit(main())
