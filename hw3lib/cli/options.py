"""What a command is: a function whose parameters are its arguments, and the parser that comes of it.

As for a caller in Python, a parameter before the ``*`` is given by its place and one behind it by its name, a default
makes it optional, a flag is a ``bool`` that is False, and ``int``, ``float`` or a sequence of them says what a text is
converted to. The rest stands beside the parameter, in its annotation: ``Annotated[int, option("of the split")]``.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, TextIO, get_args

from hw3lib.core.translation import COMMANDS, languages, tell

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}

PROFILES = ("quick", "full")
GOES_ON = "; what was finished is kept, and the same command goes on from there"


@dataclass(frozen=True)
class Option:
    """What the command line knows of a parameter and Python does not; see :func:`option`."""

    help: str
    flags: tuple[str, ...]
    either: str | None
    settings: dict[str, Any]


def option(help: str, *flags: str, either: str | None = None, **settings: Any) -> Option:
    """The text, and where need be more, of an argument.

    Args:
        help: without a full stop; ``%(default)s`` stands for the default.
        flags: in place of the parameter's own name, ``--image-size`` for ``image_size``.
        either: of the options of a command with the same word here, one may be given.
        settings: of :meth:`argparse.ArgumentParser.add_argument`.
    """
    return Option(help, flags, either, settings)


def parameter(help: str) -> Option:
    """``-p NAME VALUE``, of a :data:`Parameters`; may be repeated."""
    return option(f"{help}; may be repeated", "-p", nargs=2, action="append", metavar=("NAME", "VALUE"))


Data = Annotated[str | None, option("folder that holds categories (default: $HW3_DATA, then data/)", metavar="DIR")]
Language = Annotated[
    str, option("of what is written and said (default: HW3_LANGUAGE, the locale's, en)", choices=languages())
]
Term = Annotated[str | None, option("as the teacher writes it, such as 2026-autumn", metavar="TERM")]
Key = Annotated[str | None, option("a teacher's secret, without which nobody draws another's images", metavar="FILE")]
CourseFile = Annotated[str | None, option("a teacher's YAML: roster, points, deadlines", "--course", metavar="FILE")]
Parameters = tuple[tuple[str, str], ...]  # names and values, as typed


@dataclass(frozen=True)
class Command:
    """A command, or a group of them, which has ``actions`` and no ``function``.

    Attributes:
        name: on the command line.
        text: what it does; its first sentence stands in the list of commands.
        examples: of whole lines.
        function: does it, and returns the exit code.
        interrupted: what is said after "interrupted" where a person stops it.
    """

    name: str
    text: str
    examples: tuple[str, ...]
    function: Callable[..., int] | None = None
    actions: tuple[Command, ...] = ()
    interrupted: str = ""

    def __call__(self, *arguments: Any, **named: Any) -> int:
        """Do it, as the function does."""
        assert self.function is not None
        return self.function(*arguments, **named)

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The function's, by name; none where there is no function."""
        return inspect.signature(self.function, eval_str=True).parameters if self.function else {}

    def perform(self, parsed: argparse.Namespace) -> int:
        """Do it with what was typed."""
        return self(**{name: getattr(parsed, name) for name in self.parameters})

    def add(self, place: Any, common: argparse.ArgumentParser) -> None:
        """Add its parser to the subparsers ``place``, with the options of ``common``, and those of its actions."""
        made = place.add_parser(
            self.name,
            help=self.text[0].lower() + self.text.split(". ")[0].rstrip(".")[1:],
            description=self.text,
            epilog=examples_text(*self.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )
        if self.actions:
            below = made.add_subparsers(metavar="ACTION", required=True)
            for action in self.actions:
                action.add(below, common)
            return
        made.set_defaults(command=self)
        groups: dict[str, Any] = {}
        for parameter in self.parameters.values():
            either = parameter.annotation.__metadata__[0].either
            if either and either not in groups:
                groups[either] = made.add_mutually_exclusive_group()
            _add(groups.get(either, made), parameter)


def command(
    text: str, *examples: str, name: str | None = None, interrupted: str = ""
) -> Callable[[Callable[..., int]], Command]:
    """Make a :class:`Command` of a function; ``name`` for one whose own name is not free in Python."""
    return lambda function: Command(name or function.__name__, text, examples, function, interrupted=interrupted)


def group(name: str, text: str, *examples: str, actions: tuple[Command, ...]) -> Command:
    """A command of several actions, ``hw3 NAME ACTION``."""
    return Command(name, text, examples, actions=actions)


def _add(place: Any, parameter: inspect.Parameter) -> None:
    """Add one parameter of a command's function to its parser, or to a group of it."""
    kind, told = get_args(parameter.annotation)
    settings = {"help": told.help, **told.settings}
    default = parameter.default
    given = default is not parameter.empty
    if kind is bool:
        settings["action"] = "store_true"
    elif given:
        settings["default"] = list(default) if isinstance(default, tuple) else default
    if _kind(kind) in (int, float):
        settings.setdefault("type", _kind(kind))
    if parameter.kind is not parameter.KEYWORD_ONLY:
        place.add_argument(parameter.name, **settings)
        return
    flags = told.flags or ("--" + parameter.name.replace("_", "-"),)
    place.add_argument(*flags, dest=parameter.name, required=not given, **settings)


def _kind(annotation: Any) -> Any:
    """``int`` of ``int``, ``int | None`` and ``tuple[int, ...]``."""
    parts = [part for part in get_args(annotation) if part is not NoneType]
    return _kind(parts[0]) if parts else annotation


def examples_text(*lines: str) -> str:
    """The end of a help text."""
    return "Examples:\n" + "\n".join(f"  {line}" for line in lines)


def say(text: object, file: TextIO | None = None) -> None:
    """Print a text in the language here, and at once, whoever reads it: what runs for hours is watched."""
    print(tell(str(text), *COMMANDS), file=file, flush=True)


def byte_count(text: str) -> int:
    """``4GB`` as 4,000,000,000.

    Raises:
        ArgumentTypeError: no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?b|)", text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected a number of bytes, or such as 500MB or 4GB")
    return int(float(match[1]) * _UNITS[match[2] if match[2] != "b" else ""])


def pixels_or_auto(text: str) -> int | None:
    """``224`` as 224, and ``auto`` as None.

    Raises:
        ArgumentTypeError: neither.
    """
    if text.strip().lower() == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected a number of pixels, or auto") from None
