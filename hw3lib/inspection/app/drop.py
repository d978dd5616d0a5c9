"""A place on a page to drop photographs on, sent in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

CHUNK = 2**20  # bytes a message; a server refuses long ones, tornado those above 10 MB
LARGEST = 30 * 10**6  # bytes of a photograph
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
