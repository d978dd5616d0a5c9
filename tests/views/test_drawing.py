"""Class names in Chinese are drawn where the machine has a font for them."""

import warnings

import matplotlib.pyplot as plt
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

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


def test_without_such_a_font_nothing_changes(own_fonts):
    drawing.fall_back_on_chinese_fonts()
    assert plt.rcParams["font.family"] == ["sans-serif"]
