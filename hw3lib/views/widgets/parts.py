"""What ipywidgets lack: a picture with a text for those who do not see it, and a place to drop files.

Both are anywidgets and need no extension of a server besides anywidget's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

_PICTURE = """
function render({ model, el }) {
  let shown = new Image(), newest = null;
  shown.hidden = true;
  el.appendChild(shown);
  function aim() { shown.style.cursor = model.get("clickable") ? "crosshair" : ""; }
  async function draw() {
    const value = model.get("value");
    if (!value || !value.byteLength) return;
    // The old picture stays until the new one is decoded and takes its place: nothing flickers.
    const next = new Image();
    newest = next;
    next.className = "hw3-picture";
    next.decoding = "sync";  // or a large one would be painted blank first
    next.alt = model.get("alt");
    next.src = URL.createObjectURL(new Blob([value], { type: model.get("mime") }));
    try { await next.decode(); } catch { /* it is shown as what it is, a picture that is broken */ }
    if (next === newest) {
      shown.replaceWith(next);
      URL.revokeObjectURL(shown.src);
      shown = next;
      aim();
    } else {
      URL.revokeObjectURL(next.src);
    }
  }
  el.addEventListener("click", (event) => {
    if (!model.get("clickable") || event.target !== shown) return;
    const box = shown.getBoundingClientRect();
    model.send({
      x: (event.clientX - box.left) / box.width,
      y: (event.clientY - box.top) / box.height,
      shift: event.shiftKey,
    });
  });
  model.on("change:value", draw);
  model.on("change:clickable", aim);
  draw();
  return () => URL.revokeObjectURL(shown.src);
}
export default { render };
"""


class Picture(anywidget.AnyWidget):
    """An encoded picture that is exchanged in place.

    Attributes:
        value: bytes of an image file.
        mime: its type.
        alt: what it shows, for screen readers.
        clickable: whether clicks are reported.
    """

    _esm = _PICTURE
    _css = ".hw3-picture { display: block; max-width: 100%; height: auto; }"
    value = traitlets.Bytes(b"").tag(sync=True)
    mime = traitlets.Unicode("image/png").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    clickable = traitlets.Bool(False).tag(sync=True)

    def show(self, value: bytes, alt: str) -> None:
        """Exchange picture and text together."""
        with self.hold_sync():
            self.alt = alt
            self.value = value

    def on_click(self, told: Callable[[float, float, bool], None]) -> None:
        """Call ``told(x, y, shift)`` for each click: x and y as shares of width and height, 0 to 1."""

        def receive(_: Any, content: Any, __: Any) -> None:
            told(float(content["x"]), float(content["y"]), bool(content["shift"]))

        self.on_msg(receive)
