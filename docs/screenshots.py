"""Take the pictures of what is clicked on, in headless Chromium: widgets and the app.

python docs/screenshots.py [LIGHT_OR_DARK] [FOLDER]

Needs Chromium (or CHROMIUM=its path), playwright, and the weights of SAM (HW3_WEIGHTS). On the generated bottle,
which is made if it is not there, a detector is fitted and two small networks are trained.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from PIL import Image

from hw3lib.annotate.prompts import interior_point
from hw3lib.core import optional
from hw3lib.data import defect_statistics, get, load_table, read_mask
from hw3lib.errors import Hw3Error
from hw3lib.inspection import fit as detect
from hw3lib.inspection.app.inspection import Inspector
from hw3lib.inspection.app.server import Inspections, listen, page_address, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CATEGORY = "synthetic/bottle"
WIDTH, LARGEST = 1280, 200_000  # pixels, bytes
SETUP = """
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from hw3lib import anomaly
from hw3lib.annotate import masks
from hw3lib.classify import Attempt, explain_attempt, run_attempt
from hw3lib.data import ImageStack, classification_images, load_table, products, splittable, stratified_folds
from hw3lib.views import widgets

table = load_table({root!r}, {category!r})
test = table[table["split"] == "test"].reset_index(drop=True)
images, splits, _ = splittable(classification_images(table, random_state=0), 3, 0.5, random_state=0)
scratch = Attempt("from scratch", arch="simple_cnn", image_size=64, epochs=12, batch_size=16)
transfer = replace(scratch, name="transfer", arch="tf_efficientnet_lite0", strategy="transfer", image_size=224)
explorer = widgets.AttemptExplorer(seconds=0)
"""
CELLS = {  # a picture each, of what the cell shows in the end
    "dataset_browser": "widgets.browse(table)",
    "training": "explorer.show()",
    "attempts": """
results = [run_attempt(attempt, images, splits, callbacks=[explorer]) for attempt in (scratch, transfer)]
widgets.explore_attempts(results)
""",
    "mistakes": "widgets.browse_mistakes(results, images)",
    "relabelling": 'widgets.relabel(results[0], images, "relabelled.json")',
    "grad_cams": """
folds = stratified_folds(images["defect"].to_numpy(), products(images), random_state=0)
widgets.browse_grad_cams([explain_attempt(transfer, images, folds)], images)
""",
    "threshold_explorer": """
detector = anomaly.load({detector!r})
scores, maps = detector.score(ImageStack.load(test, detector.image_size))
widgets.explore_threshold(SimpleNamespace(scores=scores, maps=maps, detector=detector), test)
""",
    "segmenting": 'widgets.segment(partial(masks.propose, masks.Segmenter.load()), test, "clicks.json")',
}


def main(theme: str = "light", out: str | None = None) -> None:
    folder = Path(out) if out else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    optional.require("browser")
    from playwright.sync_api import sync_playwright

    root = get(CATEGORY, progress=False)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        detector = Path(home) / "detector"
        detect.fit(Path(root) / CATEGORY, detector, settings={"image_size": 224})
        browser = playwright.chromium.launch(executable_path=optional.chromium(), args=["--no-sandbox"])
        try:
            app(browser, detector, Path(root), theme, folder / "app.png")
            with jupyter(Path(home), theme) as address:
                widgets(browser, Path(home), address, {"root": str(root), "detector": str(detector)}, folder)
        finally:
            browser.close()


def app(browser: Browser, detector: Path, root: Path, theme: str, out: Path) -> None:
    defects = defect_statistics(load_table(root, CATEGORY))
    inspector = Inspector(detector, types=root / CATEGORY)
    sockets = listen("127.0.0.1", 0)
    with serving(Inspections(inspector.inspect), sockets, theme=theme):
        page = browser.new_page(viewport={"width": WIDTH, "height": 860})
        page.goto(page_address("127.0.0.1", sockets))
        page.locator("input[type=file]").set_input_files(defects["image"].iloc[int(defects["area"].argmax())])
        page.locator(".view img").nth(1).wait_for(timeout=120_000)
        page.wait_for_timeout(500)
        save(page.screenshot(), out)
        page.close()


@contextmanager
def jupyter(home: Path, theme: str) -> Iterator[Callable[[str], str]]:
    """A JupyterLab in ``home``; gives the function that makes a notebook's address."""
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text(f'{{"theme": "JupyterLab {theme.title()}"}}', encoding="utf-8")
    (settings / "notification.jupyterlab-settings").write_text(
        '{"checkForUpdates": false, "fetchNews": "false"}', encoding="utf-8"
    )
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port, token = tried.getsockname()[1], "screenshots"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home}", "--expose-app-in-browser"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "HW3_HEADLESS"} | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=5).close()
                break
            except (TimeoutError, OSError):
                time.sleep(0.3)
        yield lambda name: f"http://127.0.0.1:{port}/lab/workspaces/{Path(name).stem}/tree/{name}?token={token}"
    finally:
        server.terminate()  # it ends its kernels
        server.wait()


def widgets(browser: Browser, home: Path, address: Any, places: dict[str, str], folder: Path) -> None:
    """The output of each cell of one notebook."""
    sources = [source.strip().format(category=CATEGORY, **places) for source in (SETUP, *CELLS.values())]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, home / "widgets.ipynb")
    page = browser.new_page(viewport={"width": WIDTH, "height": 1100})
    page.goto(address("widgets.ipynb"))
    kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
    page.wait_for_function(f"() => {kernel} === 'idle'", timeout=90_000)
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_role("button", name="add point").wait_for(timeout=900_000)  # of the last widget
    page.wait_for_function(f"() => {kernel} === 'idle'", timeout=90_000)
    x, y = defect(places["root"])
    for number, name in enumerate(CELLS, start=1):
        cell = page.locator(".jp-CodeCell").nth(number)
        cell.scroll_into_view_if_needed()
        shown = cell.locator(".jp-Cell-outputArea")
        if name == "segmenting":
            box = shown.locator("img.hw3-picture").bounding_box()
            page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
            page.wait_for_timeout(5000)
        page.wait_for_timeout(500)
        save(shown.screenshot(), folder / f"{name}.png")
    page.close()


def defect(root: str) -> tuple[float, float]:
    """Where to click on the first defective product: a point of its defect, as shares of width and height."""
    table = load_table(root, CATEGORY)
    mask = read_mask(table[table["is_defect"]].iloc[0]["mask"])
    x, y = interior_point(mask)
    return x / mask.shape[1], y / mask.shape[0]


def save(content: bytes, out: Path) -> None:
    """As a palette of as many colours as stay below the limit."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    for colours in (256, 128, 64, 32):
        file = io.BytesIO()
        picture.quantize(colours, kmeans=2).save(file, "PNG", optimize=True)
        if file.tell() < LARGEST:
            break
    out.write_bytes(file.getvalue())
    print(f"{out}: {picture.width}x{picture.height}, {file.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Hw3Error as error:
        sys.exit(f"error: {error}")
