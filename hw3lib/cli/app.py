"""``hw3 app``: its arguments. What it does is in :mod:`hw3lib.inspection.app`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``app`` to the commands; ``command`` makes one, see :func:`hw3lib.cli.main.parser`."""
    app = command(
        commands,
        "app",
        _app,
        "Serve a page where a person drops a photograph and sees score, p-value, heat map and type of defect.",
        "hw3 app bolts-detector",
        "hw3 app bottle-detector --types ../mvtec_ad/bottle --port 0 --no-browser",
    )
    app.add_argument("detector", metavar="DETECTOR", help="its folder, as `hw3 detect fit` wrote it, or an ONNX file")
    app.add_argument(
        "--types", metavar="FOLDER", help="a category with labelled defects, to name the type of a defect by"
    )
    app.add_argument("--port", type=int, default=8866, metavar="N", help="0 takes a free one (default: %(default)s)")
    app.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    app.add_argument("--allow-remote", action="store_true", help="a host that other machines can reach is meant")
    app.add_argument("--theme", choices=("light", "dark"), default="light", help="of the page (default: %(default)s)")
    app.add_argument("--no-browser", action="store_true", help="print the address only")


def _app(options: argparse.Namespace) -> int:
    from hw3lib.inspection.app import server

    server.run(
        options.detector,
        host=options.host,
        port=options.port,
        types=options.types,
        allow_remote=options.allow_remote,
        browser=not options.no_browser,
        theme=options.theme,
        echo=lambda text: print(text, flush=True),
    )
    return 0
