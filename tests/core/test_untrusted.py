"""hw3lib.core.untrusted: YAML as people write it, and nothing of what it could do to a program."""

import pytest

from hw3lib.core.untrusted import parse, parse_value

BOMB = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])


@pytest.mark.parametrize(
    "text",
    [BOMB, "&a [*a]", "!!int ''", "!!timestamp x", "!!map x", "!!bool x", "2021-99-99", "{a: 1, a: 2}", "[" * 3000],
    ids=["aliases of aliases", "itself", "int", "timestamp", "map", "bool", "date", "twice", "deep"],
)
def test_a_hostile_yaml_is_one_value_error(text):
    with pytest.raises(ValueError):
        parse(text)


def test_yaml_keeps_anchors_merges_and_numbers_as_people_write_them():
    text = "a: &a {lr: 1e-3, epochs: 3}\nb: {<<: *a, epochs: 5}\nc: *a"
    assert parse(text) == {
        "a": {"lr": 1e-3, "epochs": 3},
        "b": {"lr": 1e-3, "epochs": 5},
        "c": {"lr": 1e-3, "epochs": 3},
    }


@pytest.mark.parametrize("text", ["[2021-99-99]", "[" * 3000, "{a: 2021-01-01}", "{? [a] : b}"])
def test_a_parameter_that_is_no_sound_yaml_is_a_text(text):
    assert parse_value(text) == text
