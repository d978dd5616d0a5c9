"""Class names in Chinese are drawn where the machine has a font for them."""

import warnings

import matplotlib.pyplot as plt
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from hw3lib.core import fonts, optional
from hw3lib.views.plots import style as drawing

NAME = "刮傷"


def font_with(characters, family, path):
    """A font whose every glyph is a square."""
    names = [".notdef", *(f"uni{ord(c):04X}" for c in characters)]
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): name for c, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics({name: (1000, 0) for name in names})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def missing_glyphs():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure, axes = plt.subplots()
        axes.set_title(NAME)
        figure.canvas.draw()
        plt.close(figure)
    return [str(w.message) for w in caught if "missing from font" in str(w.message)]


@pytest.fixture
def own_fonts(monkeypatch):
    """The fonts that matplotlib brings along, and no others."""
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [f for f in manager.ttflist if f.name.startswith("DejaVu")])
    with plt.rc_context({"font.family": ["sans-serif"]}):
        yield manager
    font_manager.fontManager._findfont_cached.cache_clear()


def test_a_chinese_name_is_drawn_in_a_font_of_the_machine(own_fonts, tmp_path):
    font_with(NAME, "Noto Sans CJK TC", tmp_path / "cjk.ttf")
    own_fonts.addfont(tmp_path / "cjk.ttf")
    assert missing_glyphs()
    drawing.fall_back_on_chinese_fonts()
    drawing.fall_back_on_chinese_fonts()
    assert plt.rcParams["font.family"] == ["sans-serif", "Noto Sans CJK TC"]
    assert not missing_glyphs()


def test_without_such_a_font_a_sentence_comes_before_anything_is_drawn_as_boxes(own_fonts):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert fonts.pretty(f"{NAME}_large") == f"{NAME} large"
        figure, axes = plt.subplots()
        axes.set_title(NAME)
        figure.canvas.draw()
    (told,) = caught  # and not one for each character at each drawing
    assert told.category is fonts.MissingFont and told.filename == __file__
    said = str(told.message)
    assert said.startswith("Chinese names in figures and report need a font that has 傷 刮, and none here has. ")
    assert "apt install fonts-noto-cjk" in said and said.endswith(".")
    assert "Noto Sans CJK TC" in optional.missing("font") and "apt install" in optional.missing("font")


def test_names_that_can_be_drawn_are_not_warned_of(own_fonts, tmp_path, recwarn):
    assert fonts.without_font("scratch", "Köln–Straße", "царапина") is None
    font_with(NAME, "Noto Sans CJK TC", tmp_path / "cjk.ttf")
    own_fonts.addfont(tmp_path / "cjk.ttf")
    drawing.fall_back_on_chinese_fonts()
    assert fonts.pretty(NAME) == NAME and not recwarn.list
    assert fonts.without_font(NAME, "裂") and " 裂," in fonts.without_font("裂")
    assert optional.missing("font") is None


def test_previews_of_annotations_warn_too(own_fonts, tmp_path, make_category):
    from hw3lib.cli import main as cli

    make_category(tmp_path / "widget", {"train/good": 2, f"test/{NAME}": 5})
    command = ["annotate", "widget", "--data", str(tmp_path), "--format", "coco", "--out", str(tmp_path / "made")]
    with pytest.warns(fonts.MissingFont, match=NAME[0]):
        assert cli.main([*command, "--preview"]) == 0


def test_without_such_a_font_nothing_changes(own_fonts):
    drawing.fall_back_on_chinese_fonts()
    assert plt.rcParams["font.family"] == ["sans-serif"]
