"""``hw3 inspect``: an inspector in one folder, learned from photographs, which scores others."""

from hw3lib.cli.detect import fit, score
from hw3lib.cli.inspect_loop import LOOP
from hw3lib.cli.options import group

inspect = group(
    "inspect",
    "Fit an inspector on photographs, and inspect others with it.",
    "hw3 inspect fit ../mvtec_ad/bottle --out bottle-inspector",
    "hw3 inspect score bottle-inspector photos/today --out results --overlays",
    actions=(
        *(fit, score),
        *LOOP,  # what goes round with a person
    ),
)
