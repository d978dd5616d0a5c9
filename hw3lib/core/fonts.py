"""What all figures are drawn with: colours, and fonts for names in Chinese, with a sentence where there are none."""

from __future__ import annotations

import warnings

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from . import optional
from .translation import COMMANDS, ENGLISH, here, tell, tell_label

# Okabe and Ito's, which stay apart in every kind of colour blindness.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#7F7F7F"

# Fonts with Chinese characters of Linux, Windows and macOS, traditional ones first; matplotlib brings none along.
CHINESE_FONTS = (
    "Noto Sans CJK TC",
    "Noto Sans TC",
    "Source Han Sans TC",
    "Microsoft JhengHei",
    "PingFang TC",
    "PingFang HK",
    "Heiti TC",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


def chinese_fonts() -> list[str]:
    """Those of :data:`CHINESE_FONTS` that this machine has."""
    there = set(font_manager.get_font_names())
    return [name for name in CHINESE_FONTS if name in there]


def found() -> str:
    """The names of :func:`chinese_fonts`.

    Raises:
        Missing: this machine has none.
    """
    names = chinese_fonts()
    if not names:
        raise optional.lacking("font", f"a font that has them, and none of {', '.join(CHINESE_FONTS)} is here")
    return ", ".join(names)


def require_font(language: str) -> None:
    """Nothing, where this machine can draw a language; said before anything is drawn as boxes.

    Raises:
        Missing: it has no font for Chinese, and the language is.
    """
    if language.startswith("zh"):
        found()


def drawn_language(language: str) -> str:
    """The language, or English where this machine has no font for it."""
    try:
        require_font(language)
    except optional.Missing:
        return ENGLISH
    return language


class MissingFont(UserWarning):
    """No font of this machine has a character that is to be drawn."""


def tell_figure(figure: Figure) -> None:
    """Write the texts of a figure in the language here; they stay in English, which is said, where no font has it."""
    if (language := here()) == ENGLISH:
        return
    try:
        require_font(language)
    except optional.Missing as error:
        said = tell(f"Figures are in English: {error}", *COMMANDS, language=language)
        warnings.warn(said, MissingFont, stacklevel=3)
        return
    figure.draw_without_rendering()  # which names the ticks
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        names = [label.get_text() for label in axis.get_majorticklabels()]
        if (told := [tell_label(name, language) for name in names]) != names:
            axis.set_ticks(axis.get_majorticklocs(), told)
    for text in figure.findobj(Text):
        text.set(text=tell_label(text.get_text(), language))
        families = text.get_fontfamily()  # not every figure was made by hw3lib.views.plots
        text.set_fontfamily([*families, *(name for name in chinese_fonts() if name not in families)])


def pretty(name: str) -> str:
    """The name of a class as it is written in figures; warns where it can only be drawn as boxes."""
    warn_of_boxes(name)
    return literal(name.replace("_", " "))


def literal(text: str) -> str:
    """The text as figures draw it as it is: matplotlib reads a formula between two dollars."""
    return text.replace("$", r"\$")


def warn_of_boxes(*names: str) -> None:
    """Warn of characters that no font has; matplotlib, which would warn of each of them at each drawing, is quiet."""
    said = without_font(*names)
    if said:
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        warnings.warn(said, MissingFont, stacklevel=3)


def without_font(*texts: str) -> str | None:
    """The sentence about characters that no font has which figures are drawn in, or None."""
    wanted = {character for text in texts if not text.isascii() for character in text if character.isprintable()}
    lacking = sorted(character for character in wanted if not _drawable(character))
    if not lacking:
        return None
    error = optional.lacking("font", f"a font that has {' '.join(lacking[:8])}, and none here has")
    return f"{error}."


def _drawable(character: str) -> bool:
    """Whether one of the fonts that matplotlib falls back on has it."""
    for family in [*matplotlib.rcParams["font.family"], *chinese_fonts()]:
        path = font_manager.findfont(font_manager.FontProperties(family=[family]))
        if font_manager.get_font(path).get_char_index(ord(character)):
            return True
    return False
