"""``hw3 detect fit``, ``hw3 detect score`` and ``hw3 detect export``."""

import math
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, cast

from hw3lib.anomaly.registry import DETECTORS
from hw3lib.cli.options import Parameters, byte_count, command, group, option, parameter, pixels_or_auto, say
from hw3lib.data.pixels.reading import FITS

if TYPE_CHECKING:
    from hw3lib.inspection.score import Scored

# Options that `hw3 inspect` has, too.
DetectorName = Annotated[str, option(f"{', '.join(DETECTORS)} (default: %(default)s)", metavar="NAME")]
ImageSize = Annotated[int, option("images are resized (default: %(default)s)", metavar="PX")]
Places = Annotated[list[str], option("photographs, or a category's test images", nargs="+", metavar="FOLDER_OR_FILE")]
Overlays = Annotated[bool, option("heat map and outline over each image, as PNG")]
NewRate = Annotated[
    float | None, option("set the threshold again (default: as it was fitted)", either="limit", metavar="R")
]
NewThreshold = Annotated[float | None, option("call scores above it anomalous", either="limit", metavar="T")]
Recursive = Annotated[bool, option("take the images of sub-folders too")]
ForceResults = Annotated[bool, option("replace the results that are there")]


@command(
    "Learn what good products look like, and set a threshold by the good images.",
    "hw3 detect fit photos/good --out bolts-detector",
    "hw3 detect fit ../mvtec_ad/bottle --out bottle --detector padim --image-size 256",
    "hw3 detect fit photos/good --out bolts --image-size auto --milliseconds 60",
    "hw3 detect fit photos/good --out bolts --ratio 0.01 --memory-limit 2GB -p neighbours 0",
    "hw3 detect fit photos/good --out bolts --groups '^([^_]+)_'",
    "hw3 detect fit photos/good --out bolts --bad photos/bad --cost-miss 100 --cost-alarm 1",
)
def fit(
    folder: Annotated[str, option("photographs of good products, or a category", metavar="FOLDER")],
    *,
    out: Annotated[str, option("folder to save the detector in", metavar="DETECTOR")],
    detector: DetectorName = "patchcore",
    image_size: Annotated[
        int | None,
        option(
            "images are resized; auto: as the photographs fill and --milliseconds allow (default: %(default)s)",
            type=pixels_or_auto,
            metavar="PX",
        ),
    ] = 224,
    milliseconds: Annotated[
        float, option("that a photograph may take here, for --image-size auto (default: %(default)s)", metavar="MS")
    ] = 100,
    arch: Annotated[str | None, option("backbone with ImageNet weights (default: the detector's)")] = None,
    ratio: Annotated[float | None, option("share of the patches that PatchCore remembers (default: 0.1)")] = None,
    memory_limit: Annotated[
        int | None,
        option("that PatchCore's patches may take, such as 4GB (default: none)", type=byte_count, metavar="SIZE"),
    ] = None,
    false_alarm_rate: Annotated[
        float, option("share of good products that may be called anomalous (default: %(default)s)", metavar="R")
    ] = 0.05,
    groups: Annotated[
        str | None,
        option(
            "products that are photographed several times: a regular expression of a file's name whose first group is "
            "the product, a CSV file (image,group), or near: find them (default: as the category says)",
            metavar="PATTERN",
        ),
    ] = None,
    held_out: Annotated[
        float | None,
        option(
            "of the good images, to set the threshold by and not to learn from (default: 0.2; none for PatchCore, "
            "which scores each image without its own patches)",
            either="calibration",
            metavar="SHARE",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        option("set the threshold by cross-validation, for as many fits more", either="calibration", metavar="K"),
    ] = None,
    bad: Annotated[
        str | None,
        option("photographs of known defects: says how many pass; none is learned from", metavar="FOLDER"),
    ] = None,
    cost_miss: Annotated[
        float | None, option("choose the threshold by what a missed defect costs ...", metavar="COST")
    ] = None,
    cost_alarm: Annotated[float | None, option("... and what a false alarm costs", metavar="COST")] = None,
    defect_share: Annotated[
        float, option("share of the products that are defective, for the costs (default: %(default)s)", metavar="SHARE")
    ] = 0.01,
    range: Annotated[
        tuple[float, ...] | None,
        option(
            "pixel values that are black and white (default: found from the photographs)",
            nargs=2,
            metavar=("LOW", "HIGH"),
        ),
    ] = None,
    fit: Annotated[
        str | None,
        option(
            "how a photograph comes to a square: stretch, pad or tile (default: as the category says, or tile where "
            "photographs are long, or stretch)",
            choices=FITS,
        ),
    ] = None,
    tolerate: Annotated[
        str | None,
        option(
            "what good products may do beyond what the good photographs show: some of light, colour, shift, rotation",
            metavar="KINDS",
        ),
    ] = None,
    roi: Annotated[
        str | None,
        option(
            "region of interest, outside of which nothing is looked at: corners 'x,y x,y x,y' in pixels or shares, or "
            "a mask image",
            metavar="MASK",
        ),
    ] = None,
    types: Annotated[
        str,
        option(
            "category whose labelled defects teach to name types of defects; own: the one that is fitted on; none "
            "(default: %(default)s)",
            metavar="CATEGORY",
        ),
    ] = "none",
    cache: Annotated[
        str | None,
        option("keep the decoded images there, not in memory; for large sets, with --memory-limit", metavar="DIR"),
    ] = None,
    seed: Annotated[int, option("of everything that is drawn (default: %(default)s)")] = 0,
    device: Annotated[str, option("cpu, cuda, ... (default: %(default)s)")] = "auto",
    parameters: Annotated[Parameters, parameter("set another hyperparameter of the detector")] = (),
    recursive: Recursive = False,
    force: Annotated[bool, option("replace the detector that is there")] = False,
) -> int:
    from hw3lib.anomaly.thresholds import Costs
    from hw3lib.core.untrusted import parse_value
    from hw3lib.data.pixels.reading import checked_range
    from hw3lib.errors import Hw3Error
    from hw3lib.inspection import fit as fitting

    costs = None
    if cost_miss is not None and cost_alarm is not None:
        costs = Costs(cost_miss, cost_alarm, defect_share)
    elif cost_miss is not None or cost_alarm is not None:
        raise Hw3Error("--cost-miss and --cost-alarm: found one of them, expected both: only their ratio counts")
    settings: dict[str, Any] = {"image_size": image_size, "seed": seed, "device": device}
    settings |= {"tolerate": None if tolerate is None else re.split(r"[\s,]+", tolerate.strip(" ,"))}
    settings |= {"arch": arch, "ratio": ratio, "memory_limit": memory_limit}
    settings = {name: value for name, value in settings.items() if value is not None}
    fitting.fit(
        folder,
        out,
        detector,
        settings | {name: parse_value(text) for name, text in parameters},
        milliseconds=milliseconds if image_size is None else None,
        groups=groups,
        held_out=held_out,
        folds=folds,
        false_alarm_rate=false_alarm_rate,
        bad=bad,
        costs=costs,
        pixel_range=checked_range(range),
        fit=cast(Any, fit),  # it is refused there
        roi=roi,
        types={"none": False, "own": True}.get(types, types),
        cache=cache,
        recursive=recursive,
        force=force,
        progress=sys.stderr.isatty(),
        echo=say,
    )
    return 0


@command(
    "Score photographs: results.csv, and on request heat maps. Exit code 1 if any could not be read.",
    "hw3 detect score bolts-detector photos/today --out results --overlays",
    "hw3 detect score bolts.onnx a.jpg b.jpg --out results --false-alarm-rate 0.01",
)
def score(
    detector: Annotated[str, option("its folder, or an ONNX file", metavar="DETECTOR")],
    places: Places,
    *,
    out: Annotated[str, option("folder for the results", metavar="RESULTS")],
    overlays: Overlays = False,
    tiff: Annotated[bool, option("values of each map, as TIFF of 32-bit floats")] = False,
    false_alarm_rate: NewRate = None,
    threshold: NewThreshold = None,
    recursive: Recursive = False,
    force: ForceResults = False,
) -> int:
    from hw3lib.inspection import score as scoring

    done = scoring.score(
        detector,
        places,
        out,
        overlays=overlays,
        tiff=tiff,
        false_alarm_rate=false_alarm_rate,
        threshold=threshold,
        recursive=recursive,
        force=force,
        progress=sys.stderr.isatty(),
        echo=say,
    )
    tell(done, out, say)
    return 1 if done.failed else 0


def tell(done: "Scored", out: str, say: Callable[[str], None]) -> None:
    """What came out of scoring; warnings and what failed go to standard error."""
    from hw3lib.core.text import counted
    from hw3lib.inspection.score import STDOUT

    say(
        f"{done.said}\n{done.anomalous} of {done.images} images are anomalous"
        + (f"; {done.implausible} cannot be judged" if done.implausible else "")
    )
    if done.failed:
        folders = sum(os.path.isdir(file) for file, _ in done.failed)
        numbers = ((len(done.failed) - folders, "image"), (folders, "folder"))
        failed = " and ".join(counted(number, what) for number, what in numbers if number)
        say(f"{failed} could not be read: results.csv says why")
    if done.top:
        say("highest scores:")
    for value, chance, file in done.top:
        p = "" if math.isnan(chance) else f"  p = {chance:.3g}"
        say(f"  {value:.4g}{p}  {'anomalous' if value > done.threshold else 'good':9}  {file}")
    for sentence in done.evaluated:
        say(sentence)
    if done.batch:
        say(f"warning: {done.batch}")
    if out != STDOUT:
        say(f"results: {out}")
    for file, warning in done.warnings:
        print(f"warning: {file}: {warning}", file=sys.stderr)
    for file, reason in done.failed:
        print(f"failed: {file}: {reason}", file=sys.stderr)


@command(
    "Write a detector as one ONNX file, and check that onnxruntime gives its scores. Needs onnx and onnxscript.",
    "hw3 detect export bolts-detector --out bolts.onnx --check photos/today",
)
def export(
    detector: Annotated[str, option("its folder", metavar="DETECTOR")],
    *,
    out: Annotated[str, option("file to write", metavar="FILE.onnx")],
    check: Annotated[str | None, option("check with these images (default: generated ones)", metavar="FOLDER")] = None,
    recursive: Recursive = False,
    force: Annotated[bool, option("replace the file that is there")] = False,
) -> int:
    from hw3lib.inspection import fit as fitting

    fitting.export(detector, out, check=check, recursive=recursive, force=force, echo=say)
    return 0


detect = group(
    "detect",
    "Fit an anomaly detector on photographs of good products, score others with it, export it.",
    "hw3 detect fit photos/good --out bolts-detector",
    "hw3 detect score bolts-detector photos/today --out results --overlays",
    actions=(fit, score, export),
)
