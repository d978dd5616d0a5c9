"""What ipywidgets lack: a picture with a text for those who do not see it, and a place to drop files.

Both are anywidgets and need no extension of a server besides anywidget's own, so they work in JupyterLab and in Voila.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

CHUNK = 2**20  # bytes a message; a server refuses long ones, tornado those above 10 MB
LARGEST = 30 * 10**6  # bytes of a photograph

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

_DROP = """
function render({ model, el }) {
  const zone = document.createElement("label");
  zone.className = "hw3-drop";
  const text = document.createElement("span");
  text.textContent = model.get("label");
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "image/*";
  const said = document.createElement("div");
  said.className = "hw3-drop-said";
  said.setAttribute("role", "status");
  zone.append(text, input);
  el.append(zone, said);

  async function take(files) {
    said.textContent = "";
    if (!files || !files.length) return;
    if (files.length > 1) { said.textContent = "One photograph at a time, please."; return; }
    const file = files[0], limit = model.get("limit");
    if (file.size > limit) {
      said.textContent = `${file.name} has ${(file.size / 1e6).toFixed(1)} MB; ` +
        `at most ${limit / 1e6} MB are taken. Make it smaller.`;
      return;
    }
    const bytes = await file.arrayBuffer(), size = model.get("chunk"), key = Date.now() + Math.random();
    const parts = Math.max(1, Math.ceil(bytes.byteLength / size));
    for (let part = 0; part < parts; part++) {
      const piece = bytes.slice(part * size, (part + 1) * size);
      model.send({ key, part, parts, name: file.name }, undefined, [piece]);
    }
  }
  input.addEventListener("change", async () => { await take(input.files); input.value = ""; });
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("hw3-over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("hw3-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("hw3-over");
    take(event.dataTransfer.files);
  });
}
export default { render };
"""

_DROP_CSS = """
.hw3-drop { display: flex; flex-wrap: wrap; gap: 0.6em 1.2em; align-items: center; padding: 1.4em; cursor: pointer;
  border: 2px dashed var(--jp-border-color1, #888); border-radius: 6px; color: var(--jp-ui-font-color1, inherit);
  font-size: 1rem; }
.hw3-drop:focus-within, .hw3-drop.hw3-over { border-color: var(--jp-brand-color1, #1976d2); border-style: solid; }
.hw3-drop input { color: inherit; font: inherit; }
.hw3-drop-said { min-height: 1.4em; color: var(--jp-error-color1, #d32f2f); }
"""


class Picture(anywidget.AnyWidget):
    """An encoded picture that is exchanged in place.

    Attributes:
        value: bytes of an image file.
        mime: its type.
        alt: what it shows, for screen readers.
        clickable: whether clicks are told.
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


class PhotographDrop(anywidget.AnyWidget):
    """A place to drop one file, or to choose one by mouse or keyboard.

    Attributes:
        label: what to do.
        limit: largest size in bytes; a larger file is refused in the browser, and again here.
    """

    _esm = _DROP
    _css = _DROP_CSS
    label = traitlets.Unicode("Drop a photograph here, or choose one:").tag(sync=True)
    limit = traitlets.Int(LARGEST).tag(sync=True)
    chunk = traitlets.Int(CHUNK).tag(sync=True)

    def on_file(self, told: Callable[[str, bytes], None]) -> None:
        """Call ``told(name, content)`` for each file that has arrived whole."""
        state: dict[str, Any] = {"key": None, "parts": []}

        def receive(_: Any, content: Any, buffers: Any) -> None:
            if content["key"] != state["key"]:  # a new file; what was not finished is dropped
                state.update(key=content["key"], parts=[])
            state["parts"].append(bytes(buffers[0]))
            if sum(map(len, state["parts"])) > self.limit:
                state.update(key=None, parts=[])
            elif len(state["parts"]) == content["parts"]:
                whole = b"".join(state["parts"])
                state.update(key=None, parts=[])
                told(str(content["name"]), whole)

        self.on_msg(receive)
