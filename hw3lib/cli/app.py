"""``hw3 app``, which is ``hw3 inspect serve``."""

import sys
from typing import Annotated

from hw3lib.cli.options import command, option, say


@command(
    "Serve a page where a person drops a photograph and sees score, p-value, heat map and type of defect, and\n"
    "POST /inspect for programs, as /openapi.json describes it; /metrics is for Prometheus. Who asks from another\n"
    "machine needs a token: --token, the environment variable HW3_APP_TOKEN, or the one that is printed.",
    "hw3 app bolts-detector",
    "hw3 app bottle-detector --types ../mvtec_ad/bottle --port 0 --no-browser",
)
def app(
    inspector: Annotated[
        str,
        option(
            "its folder, as `hw3 inspect fit`, `hw3 inspect export` or `hw3 detect fit` wrote it, or an ONNX file",
            metavar="INSPECTOR",
        ),
    ],
    *,
    types: Annotated[
        str | None,
        option("a category with labelled defects, to name the type of a defect by", metavar="FOLDER"),
    ] = None,
    port: Annotated[int, option("0 takes a free one (default: %(default)s)", metavar="N")] = 8866,
    host: Annotated[
        str, option("address to listen on; 0.0.0.0 for other machines too (default: %(default)s)")
    ] = "127.0.0.1",
    token: Annotated[
        str | None, option("that who asks must know (default: $HW3_APP_TOKEN; for other machines one is drawn)")
    ] = None,
    queue: Annotated[
        int, option("photographs that may wait; the next is told to come again (default: %(default)s)", metavar="N")
    ] = 32,
    theme: Annotated[
        str, option("of the page; auto: the browser's (default: %(default)s)", choices=("auto", "light", "dark"))
    ] = "auto",
    no_browser: Annotated[bool, option("print the address only")] = False,
) -> int:
    from hw3lib.inspection.app import server

    server.serve(
        inspector,
        host=host,
        port=port,
        types=types,
        queue=queue,
        token=token,
        browser=not no_browser,
        theme=theme,
        progress=sys.stderr.isatty(),
        echo=say,
    )
    return 0
