"""What a person says of a category is kept with it, read back, and refused where it makes no sense."""

import json
from dataclasses import asdict

import pytest

from hw3lib.cli.main import main
from hw3lib.data import digest, load_table
from hw3lib.data.folders.settings import FILE, CategorySettings, read_settings, write_settings
from hw3lib.data.table import settings_of
from hw3lib.errors import Hw3Error


def test_settings_come_back(tmp_path):
    said = CategorySettings(good="ok_front", pixel_range=(0, 4095), fit="pad", groups="^(a)")
    write_settings(tmp_path, said)
    assert read_settings(tmp_path) == said
    assert read_settings(tmp_path / "elsewhere") == CategorySettings()


@pytest.mark.parametrize(
    "wrong, part",
    [
        ({"good": "a/b"}, "good="),
        ({"good": 3}, "good="),
        ({"pixel_range": [5, 5]}, "pixel_range="),
        ({"pixel_range": [0, 1, 2]}, "pixel_range="),
        ({"pixel_range": "wide"}, "pixel_range="),
        ({"fit": "squeeze"}, "fit="),
        ({"groups": "("}, "no regular expression"),
        ({"groups": "abc"}, "brackets"),
        ({"colour": 1}, "unknown key 'colour'"),
    ],
)
def test_wrong_settings_name_the_file_and_the_key(tmp_path, wrong, part):
    (tmp_path / FILE).write_text(json.dumps(wrong), encoding="utf-8")
    with pytest.raises(Hw3Error, match=FILE) as error:
        read_settings(tmp_path)
    assert part in str(error.value)


def test_a_table_carries_them_and_its_digest_depends_on_them(category):
    before = load_table(category.parent, category.name)
    assert settings_of(before) == CategorySettings()
    write_settings(category, CategorySettings(fit="pad"))
    after = load_table(category.parent, category.name)
    assert settings_of(after[after["is_defect"]]) == CategorySettings(fit="pad")
    assert digest(after) != digest(before)


def test_the_command_keeps_prints_and_forgets(category, capsys):
    given = ["data", "settings", category.name, "--data", str(category.parent)]
    assert main([*given, "--range", "0", "4095", "--groups", "^([0-9])"]) == 0
    assert "pixel_range: (0.0, 4095.0)" in capsys.readouterr().out
    assert main([*given, "--good", "nope"]) == 2
    assert "no folder of this name" in capsys.readouterr().err
    assert main([*given, "--fit", "pad"]) == 0
    assert read_settings(category) == CategorySettings(pixel_range=(0, 4095), fit="pad", groups="^([0-9])")
    assert main([*given, "--reset"]) == 0
    assert asdict(read_settings(category)) == asdict(CategorySettings())
    assert main(["data", "settings", "nothing", "--data", str(category.parent)]) == 2


def test_the_folder_of_good_products_is_named_as_everywhere_else(category):
    given = ["data", "settings", category.name, "--data", str(category.parent), "--good"]
    assert main([*given, "GOOD"]) == 0 and main([*given, "go*"]) == 0
    assert main([*given, "ground_truth"]) == 2, "masks are no class"
