"""Start the page's server (Voila) beside the process that holds the detector, and end it with it."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import psutil

from hw3lib.errors import Hw3Error

from .service import Inspect, Service

_START = 120  # seconds that the server may take to answer
_EXTENSIONS = ("@voila-dashboards/widgets-manager8", "@jupyter-widgets/jupyterlab-manager", "anywidget")
# Voila's own template fetches an icon font from another host, which would tell it of each visit; this one does not.
_TEMPLATE = """{%- extends 'voila/templates/lab/index.html.j2' -%}
{% import "spinner.macro.html.j2" as spinner %}
{%- block notebook_css -%}
{% if frontend == "voila" %}{{ resources.include_js("static/voila-style.js") }}{% endif %}
{{ spinner.css() }}
<style>.jp-mod-noOutputs.jp-mod-noInput { display: none; }</style>
{{ super.super() }}
{%- endblock notebook_css -%}
"""


def check_host(host: str, allow_remote: bool) -> bool:
    """Whether ``host`` can be reached from other machines, which takes ``allow_remote``.

    Raises:
        Hw3Error: it can, and was not allowed.
    """
    if is_loopback(host):
        return False
    if not allow_remote:
        raise Hw3Error(
            f"--host {host}: others could reach the page there, and there is no password; expected 127.0.0.1. If that "
            "is what you want, add --allow-remote"
        )
    return True


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def free_port(host: str, port: int) -> int:
    """``port`` if nobody listens there, or with 0 any that is free.

    Raises:
        Hw3Error: the port is taken or may not be used, or the host is none of this machine's.
    """
    if not 0 <= port <= 65535:
        raise Hw3Error(f"--port {port}: expected a number of 0 to 65535; 0 takes one that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        if os.name == "posix":  # a port whose last server has just ended is free
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise Hw3Error(
                f"--host {host} --port {port}: cannot be listened on ({error.strerror}); choose another port, or "
                "--port 0, which takes one that is free"
            ) from None
        return tried.getsockname()[1]


@contextmanager
def serving(inspect: Inspect, host: str, port: int, theme: str = "light") -> Iterator[tuple[str, subprocess.Popen]]:
    """The page's address and its server's process, while the block runs.

    Raises:
        Hw3Error: Voila is missing, or does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="hw3-app-") as folder, Service(inspect) as service:
        notebook = Path(folder) / "inspection.ipynb"
        _write_notebook(notebook)
        template = Path(folder) / "share" / "voila" / "templates" / "hw3"
        template.mkdir(parents=True)
        (template / "index.html.j2").write_text(_TEMPLATE, encoding="utf-8")
        (template / "conf.json").write_text('{"base_template": "lab"}', encoding="utf-8")
        paths = [str(Path(folder) / "share"), *filter(None, [os.environ.get("JUPYTER_PATH")])]
        log = Path(folder) / "server.log"
        command = [
            *(sys.executable, "-m", "voila", str(notebook), "--no-browser", f"--port={port}", f"--Voila.ip={host}"),
            *("--Voila.port_retries=0", f"--theme={theme}", "--template=hw3"),
            # Other extensions of JupyterLab that happen to be installed have no business on this page.
            *(f"--VoilaConfiguration.extension_allowlist={name}" for name in _EXTENSIONS),
        ]
        with log.open("wb") as out:
            environment = os.environ | service.environment | {"JUPYTER_PATH": os.pathsep.join(paths)}
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=folder
            )
        try:
            shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
            address = f"http://{shown}:{port}/"
            _wait(server, address, log)
            yield address, server
        finally:
            _end_all(server)


def _end_all(server: subprocess.Popen) -> None:
    """End the server and the kernels that it started, which on Windows it has no time to end itself."""
    kernels: list[psutil.Process] = []
    with suppress(psutil.Error):
        kernels = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for kernel in kernels:
        with suppress(psutil.Error):
            kernel.kill()
    psutil.wait_procs(kernels, 5)  # a folder in which one still works cannot be removed


def _write_notebook(path: Path) -> None:
    cell = nbformat.v4.new_code_cell("from hw3lib.inspection.app import page\n\npage.show()")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"title": "Inspection of a photograph", "kernelspec": kernel}
    )
    nbformat.write(notebook, path)


def _wait(server: subprocess.Popen, address: str, log: Path) -> None:
    """Until the server answers; the page itself is not asked for, which would start a kernel."""
    end = time.monotonic() + _START
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}voila/static/none", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    lines = log.read_text(errors="replace", encoding="utf-8").strip().splitlines()[-5:]
    ended = "ended at once" if server.poll() is not None else f"did not answer in {_START} s"
    raise Hw3Error(f"the page's server (voila) {ended}: {' / '.join(lines) or 'it said nothing'}")


def _end(*_: object) -> None:
    raise SystemExit(0)


def serve(
    detector: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8866,
    types: str | Path | None = None,
    allow_remote: bool = False,
    browser: bool = True,
    theme: str = "light",
    echo: Callable[[str], None] = print,
) -> None:
    """Serve the page until the process is interrupted or the server ends.

    Args:
        detector: its folder, or an ONNX file.
        host, port: where; port 0 takes one that is free.
        types: a category with labelled defects, see :class:`.DefectTypes`.
        allow_remote: a host that other machines can reach is meant.
        browser: open the page in one.
        theme: ``light`` or ``dark``.
        echo: receives messages.

    Raises:
        Hw3Error: a host or port that cannot be had, a broken detector, no Voila. All this before anything is served.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)  # so that the page's server ends too
    remote = check_host(host, allow_remote)
    port = free_port(host, port)
    from .inspection import Inspector  # imports PyTorch: host and port are checked before

    inspector = Inspector(detector, types, echo)
    echo(f"{inspector.model.name} of {detector}: {inspector.said}")
    if remote:
        echo(f"warning: whoever can reach {host} can send photographs to this page; there is no password")
    with serving(inspector.inspect, host, port, theme) as (address, server):
        echo(f"page: {address} (end with Ctrl-C)")
        if browser:
            webbrowser.open(address)
        if server.wait():
            raise Hw3Error(f"the page's server (voila) ended with code {server.returncode}")
