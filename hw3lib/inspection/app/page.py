"""The page: a place to drop a photograph, and what the detector says of it. It imports nothing heavy."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import ipywidgets
from IPython import display

from hw3lib.errors import Hw3Error

from .drop import PhotographDrop
from .service import ask

STYLE = """
<style>
.hw3-app { color: var(--jp-ui-font-color1, inherit); font-size: 1rem; line-height: 1.5; max-width: 62rem; }
.hw3-app h1 { font-size: 1.6rem; margin: 0.4em 0 0.2em; }
.hw3-app .verdict { font-size: 1.25rem; font-weight: 600; padding: 0.3em 0.7em; margin: 0.8em 0;
  border-left: 0.4em solid; }
.hw3-app .good { border-color: #009e73; }
.hw3-app .anomalous { border-color: #d55e00; }
.hw3-app .error { border-color: #d32f2f; }
.hw3-app .pictures { display: flex; flex-wrap: wrap; gap: 1em; }
.hw3-app figure { margin: 0; flex: 1 1 20rem; max-width: 30rem; }
.hw3-app figure img { width: 100%; height: auto; display: block; }
.hw3-app dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2em 1.2em; margin: 0.8em 0; }
.hw3-app dt { font-weight: 600; white-space: nowrap; }
.hw3-app dd { margin: 0; }
.hw3-app p { margin: 0.4em 0; overflow-wrap: anywhere; }
</style>
"""


def show() -> None:
    """Display the page."""
    display.display(build())


def build() -> ipywidgets.VBox:
    """The page as a widget."""
    head = ipywidgets.HTML(
        f'{STYLE}<div class="hw3-app"><h1>Inspection of a photograph</h1><p>A detector that has learned what good '
        "products look like says how unusual this one is, and where. Photographs are not kept.</p></div>"
    )
    drop, result = PhotographDrop(), ipywidgets.HTML()

    def inspect(name: str, content: bytes) -> None:
        result.value = waiting(name)
        try:
            result.value = answered(ask(content, name))
        except Hw3Error as error:
            result.value = refused(str(error))

    drop.on_file(inspect)
    return ipywidgets.VBox([head, drop, result], layout=ipywidgets.Layout(max_width="64rem"))


def waiting(name: str) -> str:
    return f'<div class="hw3-app" role="status"><p>{escape(name)} is being looked at ...</p></div>'


def refused(reason: str) -> str:
    return f'<div class="hw3-app" role="alert"><p class="verdict error">{escape(reason)}</p></div>'


def answered(found: dict[str, Any]) -> str:
    """What :meth:`hw3lib.inspection.app.inspection.Inspector.inspect` gave, as HTML."""
    name = escape(found["name"])
    pictures = _figure(found["photograph"], f"The photograph {name}", name)
    if found["heat_map"]:
        caption = "Heat map: the brighter, the more unusual; what is above the threshold is outlined in yellow."
        pictures += _figure(found["heat_map"], f"Heat map over the photograph {name}", caption)
    else:
        pictures += "<p>This detector looks at the image as a whole and has no heat map.</p>"
    type_ = "".join(f"<p>{escape(found[key])}</p>" for key in ("warning", "type") if found.get(key))
    return (
        f'<div class="hw3-app" role="status"><p class="verdict {"anomalous" if found["anomalous"] else "good"}">'
        f"{escape(found['verdict'])}</p>{type_}<div class='pictures'>{pictures}</div>"
        f"<dl><dt>Score</dt><dd>{found['score']:.4g}</dd><dt>Threshold</dt><dd>{found['threshold']:.4g}</dd>"
        f"<dt>p-value</dt><dd>{escape(found['chance'])}</dd>"
        f"<dt>Photograph</dt><dd>{found['width']}x{found['height']} pixels</dd></dl>"
        f"<p>{escape(found['limit'])}</p></div>"
    )


def _figure(picture: bytes, alt: str, caption: str) -> str:
    encoded = base64.b64encode(picture).decode("ascii")
    return (
        f'<figure><img alt="{alt}" src="data:image/jpeg;base64,{encoded}"><figcaption>{caption}</figcaption></figure>'
    )
