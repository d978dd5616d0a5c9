"""``hw3 app``."""

import sys
from typing import Annotated

from hw3lib.cli.options import command, option, say


@command(
    "Serve a page where a person drops a photograph and sees score, p-value, heat map and type of defect, and\n"
    "POST /inspect for programs, as /openapi.json describes it. Who asks from another machine needs the token\n"
    "in the address that is printed, which the environment variable HW3_APP_TOKEN can set.",
    "hw3 app bolts-detector",
    "hw3 app bottle-detector --types ../mvtec_ad/bottle --port 0 --no-browser",
)
def app(
    detector: Annotated[str, option("its folder, as `hw3 detect fit` wrote it, or an ONNX file", metavar="DETECTOR")],
    *,
    types: Annotated[
        str | None,
        option("a category with labelled defects, to name the type of a defect by", metavar="FOLDER"),
    ] = None,
    port: Annotated[int, option("0 takes a free one (default: %(default)s)", metavar="N")] = 8866,
    host: Annotated[
        str, option("address to listen on; 0.0.0.0 for other machines too (default: %(default)s)")
    ] = "127.0.0.1",
    theme: Annotated[
        str, option("of the page; auto: the browser's (default: %(default)s)", choices=("auto", "light", "dark"))
    ] = "auto",
    no_browser: Annotated[bool, option("print the address only")] = False,
) -> int:
    from hw3lib.inspection.app import server

    server.serve(
        detector,
        host=host,
        port=port,
        types=types,
        browser=not no_browser,
        theme=theme,
        progress=sys.stderr.isatty(),
        echo=say,
    )
    return 0
