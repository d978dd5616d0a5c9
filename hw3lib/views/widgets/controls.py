"""A figure under its controls, and its static twin where nobody is there to move them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from IPython import display
from matplotlib.figure import Figure

from hw3lib.core.fonts import tell_figure
from hw3lib.core.translation import ENGLISH, here, say, tell
from hw3lib.errors import Hw3Error

from .parts import Picture

DPI = 90


def headless() -> bool:
    """True where nobody is there to click: ``hw3 run``, ``make notebooks`` and the tests set ``HW3_HEADLESS``."""
    return bool(os.environ.get("HW3_HEADLESS"))


def in_person(show: Callable[..., Any], *arguments: Any) -> None:
    """Show a widget if somebody is there to use it; executed without a person, nothing."""
    if not headless():
        show(*arguments)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG; it is closed."""
    file = io.BytesIO()
    tell_figure(figure)
    figure.savefig(file, format="png", dpi=DPI)
    plt.close(figure)
    return file.getvalue()


def described(figure: Figure) -> str:
    """The titles and texts of a figure, for those who do not see it."""
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    texts = [text.get_text() for axes in figure.axes if not axes.axison for text in axes.texts]
    return "; ".join(" ".join(text.split()) for text in [*titles, *texts] if text.strip())


def message(text: str, wrong: bool = False) -> str:
    """A line of HTML, in the theme's colours and the language here."""
    colour = "var(--jp-error-color1, #d32f2f)" if wrong else "var(--jp-ui-font-color1, inherit)"
    return f'<div role="status" style="color: {colour}; line-height: 1.5">{escape(tell(text))}</div>' if text else ""


def row(*controls: Any) -> Any:
    """Controls beside each other, on several lines where the page is narrow."""
    return ipywidgets.HBox(list(controls), layout=ipywidgets.Layout(flex_flow="row wrap"))


def in_language(*controls: Any) -> None:
    """Label controls, and what they offer, in the language here; their values stay as they are."""
    if here() == ENGLISH:
        return
    for control in controls:
        control.description = tell(control.description)
        if isinstance(control, ipywidgets.Dropdown):
            value, pairs = control.value, [one if isinstance(one, tuple) else (one, one) for one in control.options]
            control.options = [(tell(str(label)), offered) for label, offered in pairs]
            control.value = value


def interactive(
    draw: Callable[..., Figure],
    describe: Callable[..., str] | None = None,
    prepare: Callable[[dict[str, Any]], None] | None = None,
    **controls: Any,
) -> None:
    """Show ``draw`` under its controls; headless, show the static twin: the figure for the controls' first values.

    Args:
        draw: takes the controls' values by name. An ``Hw3Error`` that it raises is shown as a sentence.
        describe: a line of text under the figure, from the same values.
        prepare: is given the controls whenever one has moved, before the figure is drawn; it may set limits.
        controls: ipywidgets with a ``value``.
    """

    def values() -> dict[str, Any]:
        return {name: control.value for name, control in controls.items()}

    if prepare:
        prepare(controls)
    if headless():
        figure = draw(**values())
        tell_figure(figure)
        display.display(figure)
        plt.close(figure)
        if describe:
            say(describe(**values()))
        return
    picture, line = Picture(), ipywidgets.HTML()
    busy = False

    def show(*_: object) -> None:
        nonlocal busy
        if busy:  # prepare() moved another control: drawn below
            return
        busy = True
        try:
            if prepare:
                prepare(controls)
            figure = draw(**values())
            picture.show(png(figure), described(figure))
            line.value = message(describe(**values()) if describe else "")
        except Hw3Error as error:
            line.value = message(str(error), wrong=True)
        finally:
            busy = False

    in_language(*controls.values())
    for control in controls.values():
        control.observe(show, names="value")
        control.style.description_width = "initial"
    show()
    display.display(ipywidgets.VBox([row(*controls.values()), picture, line]))
