"""``hw3 app``."""

from typing import Annotated

from hw3lib.cli.options import command, option, say


@command(
    "Serve a page where a person drops a photograph and sees score, p-value, heat map and type of defect.",
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
    host: Annotated[str, option("address to listen on (default: %(default)s)")] = "127.0.0.1",
    allow_remote: Annotated[bool, option("a host that other machines can reach is meant")] = False,
    theme: Annotated[str, option("of the page (default: %(default)s)", choices=("light", "dark"))] = "light",
    no_browser: Annotated[bool, option("print the address only")] = False,
) -> int:
    from hw3lib.inspection.app import server

    server.serve(
        detector,
        host=host,
        port=port,
        types=types,
        allow_remote=allow_remote,
        browser=not no_browser,
        theme=theme,
        echo=say,
    )
    return 0
