"""hw3lib.cli.options: from the parameters of a function to a parser, and back to its arguments."""

from __future__ import annotations

import argparse
from typing import Annotated

import pytest

from hw3lib.cli.options import Command, Data, Parameters, command, group, option, parameter

CALLS: list[dict] = []


def parsed(made: Command, *words: str) -> dict:
    """What the function is called with where these words are typed."""
    top = argparse.ArgumentParser()
    made.add(top.add_subparsers(), argparse.ArgumentParser(add_help=False))
    options = top.parse_args(words)
    assert options.command.perform(options) == 7
    return CALLS.pop()


# The future import makes texts of the annotations here; the commands' own are objects. Both are understood.
def paint(
    folder: Annotated[str, option("where", metavar="DIR")],
    files: Annotated[list[str], option("which", nargs="*")],
    *,
    out: Annotated[str, option("to", metavar="FILE")],
    data: Data = None,
    image_size: Annotated[int, option("px (default: %(default)s)")] = 8,
    rate: Annotated[float | None, option("r", either="limit")] = None,
    level: Annotated[float | None, option("l", either="limit")] = None,
    shares: Annotated[tuple[float, ...], option("s", nargs="+")] = (0.5, 0.25),
    parameters: Annotated[Parameters, parameter("set")] = (),
    every: Annotated[bool, option("e", "--all")] = False,
) -> int:
    CALLS.append(dict(locals()))
    return 7


painting = command("Paint it. Twice.", "hw3 paint", interrupted="; dry")(paint)


def test_a_parameter_is_an_argument_of_its_kind():
    assert parsed(painting, "paint", "d", "--out", "o") == {
        "folder": "d", "files": [], "out": "o", "data": None, "image_size": 8, "rate": None, "level": None,
        "shares": [0.5, 0.25], "parameters": [], "every": False,
    }  # fmt: skip
    words = ["paint", "d", "a", "b", "--out", "o", "--data", "x", "--image-size", "3", "--rate", "1"]
    words += ["--shares", "1", "2", "-p", "k", "1", "-p", "k", "2", "--all"]
    assert parsed(painting, *words) == {
        "folder": "d", "files": ["a", "b"], "out": "o", "data": "x", "image_size": 3, "rate": 1.0, "level": None,
        "shares": [1.0, 2.0], "parameters": [["k", "1"], ["k", "2"]], "every": True,
    }  # fmt: skip
    assert parsed(painting, "paint", "d", "--out", "o")["parameters"] == []  # the default was not appended to


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("paint d", "required: --out"),
        ("paint --out o", "required: folder"),
        ("paint d --out o --image-size x", "invalid int value"),
        ("paint d --out o --rate 1 --level 2", "not allowed with argument"),
    ],
)
def test_what_does_not_fit_is_refused(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(painting, *words.split())
    assert stop.value.code == 2 and said.replace("folder", "DIR") in capsys.readouterr().err


def test_a_group_has_actions_and_a_command_can_be_called():
    both = group("wall", "Walls.", "hw3 wall paint", actions=(painting,))
    assert parsed(both, "wall", "paint", "d", "--out", "o")["out"] == "o"
    assert painting("d", [], out="o") == 7 and CALLS.pop()["image_size"] == 8
    assert (painting.name, painting.interrupted, painting.examples) == ("paint", "; dry", ("hw3 paint",))
