"""A real JupyterLab and a real app in headless Chromium.

Without a browser these tests are skipped with the reason; where ``CI`` or ``HW3_REQUIRE_BROWSER`` is set, they fail.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

TOKEN = "browser-tests"
# Errors in the console that are no fault of the page: the app's refusal of a file, which it shows as a sentence.
HARMLESS = re.compile(r"Failed to load resource: the server responded with a status of 422 .*/inspect\?")


def do_without(reason):
    """Skip, or fail where a browser is required."""
    required = any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "HW3_REQUIRE_BROWSER"))
    (pytest.fail if required else pytest.skip)(reason)


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium."""
    try:
        from playwright import sync_api as api
    except ImportError:
        do_without("playwright is missing: pip install playwright")
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        do_without("no browser: install chromium, or set CHROMIUM to one")
    with api.sync_playwright() as playwright:
        camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")  # with a picture of its own
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", *camera])
        yield browser
        browser.close()


class Watched:
    """A page whose console is watched."""

    def __init__(self, page):
        self.page, self.errors, self.hosts = page, [], set()
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _said(self, message):
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def assert_no_errors(self):
        assert [text for text in self.errors if not HARMLESS.match(text)] == []

    def screenshot(self, name):
        """Kept where ``HW3_SCREENSHOTS`` says."""
        if folder := os.environ.get("HW3_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(300)  # a picture is exchanged a moment after its text
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.fixture(scope="session")
def open_page(chromium):
    """A function that opens an address in a window of its own, at a laptop's width."""
    contexts = []

    def open_(address):
        context = chromium.new_context(viewport={"width": 1366, "height": 900})
        contexts.append(context)
        context.set_default_timeout(20_000)
        watched = Watched(context.new_page())
        watched.page.goto(address)
        return watched

    yield open_
    for context in contexts:
        context.close()


def free_port():
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


@contextmanager
def started(command, log, environment, folder):
    """A server that is ended with all its kernels, whatever happens."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=folder, start_new_session=True
        )
    try:
        yield process
    finally:
        for wanted in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, wanted)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    continue
        with suppress(ProcessLookupError):  # kernels that outlived their server
            os.killpg(process.pid, signal.SIGKILL)


def server_environment():
    return {k: v for k, v in os.environ.items() if k != "HW3_HEADLESS"} | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def jupyter(chromium, tmp_path_factory):
    """Folder of a JupyterLab, and the address of a notebook in it, ``address.format("x.ipynb")``."""
    home, folder = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("notebooks")
    port = free_port()
    theme = os.environ.get("HW3_THEME", "JupyterLab Light")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'{{"theme": "{theme}"}}')
    news = settings.with_name("notification.jupyterlab-settings")
    news.write_text('{"checkForUpdates": false, "fetchNews": "false"}')
    environment = server_environment() | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}", "--expose-app-in-browser"),
        "--ServerApp.port_retries=0",
    ]
    address = f"http://127.0.0.1:{port}"
    with started(command, home / "log", environment, folder) as process:
        end = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=5).close()
                break
            except OSError:
                said = (home / "log").read_text()[-2000:]
                assert process.poll() is None and time.monotonic() < end, f"JupyterLab does not answer:\n{said}"
                time.sleep(0.3)
        yield folder, f"{address}/lab/tree/{{}}?token={TOKEN}"


def photograph(path, seed, defective=False):
    """A disc on grey, 96x80 pixels, that varies a little; the defect is a dark bar across it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :96]
    pixels = np.full((80, 96, 3), 120.0)
    u, v = rng.uniform(-3, 3, 2)
    pixels[(x - 48 - u) ** 2 + (y - 40 - v) ** 2 < 28**2] = (200, 180, 90)
    pixels += rng.normal(0, 12, (10, 12, 3)).repeat(8, 0).repeat(8, 1)
    if defective:
        pixels[34:44, 36:66] = (20, 20, 120)
    pixels = pixels + rng.normal(0, 3, pixels.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Files for the app: good.png, defective.png, broken.png (its second half is missing), note.png (no image)."""
    folder = tmp_path_factory.mktemp("photographs")
    photograph(folder / "good.png", 0)
    whole = photograph(folder / "defective.png", 100, defective=True).read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "note.png").write_text("not a picture <b>at all</b>")
    return folder


@pytest.fixture(scope="session")
def detector(chromium, tmp_path_factory):
    """A detector that was fitted on twelve discs."""
    from hw3lib.inspection import fit as detect

    home = tmp_path_factory.mktemp("app")
    for seed in range(12):
        photograph(home / "good" / f"{seed:03d}.png", seed)
    # Of twelve good images three are held out; the first one, which is dropped later, is learned from or sets the bar.
    detect.fit(home / "good", home / "detector", settings={"image_size": 64}, held_out=0.25, echo=lambda _: None)
    return home / "detector"


@contextmanager
def serving(home, *arguments):
    """Address of a page that a command of ``hw3`` serves, once it says so."""
    command = [sys.executable, "-u", "-m", "hw3lib.cli", *map(str, arguments), "--port", "0", "--no-browser"]
    with started(command, home / "log", server_environment(), home) as process:
        end = time.monotonic() + 120
        while not (said := re.search(r"^page: (\S+) ", (home / "log").read_text(), re.M)):
            assert process.poll() is None and time.monotonic() < end, (home / "log").read_text()[-2000:]
            time.sleep(0.3)
        yield said[1]


@pytest.fixture(scope="session")
def app(detector, tmp_path_factory):
    """Address of an app with that detector."""
    with serving(tmp_path_factory.mktemp("served"), "app", detector) as address:
        yield address


@pytest.fixture(scope="session")
def review(detector, tmp_path_factory):
    """Address of a page that asks about four photographs, two of them defective; and the file of the answers."""
    from hw3lib.inspection.score import score

    home = tmp_path_factory.mktemp("review")
    for seed in range(4):
        photograph(home / "today" / f"{seed}.png", 200 + seed, defective=seed > 1)
    score(detector, [home / "today"], home / "results", echo=lambda _: None)
    store = home / "answers.sqlite"
    with serving(home, "inspect", "review", detector, home / "results", "--store", store) as address:
        yield address, store
