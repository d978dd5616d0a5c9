"""``hw3 annotate``."""

from typing import Annotated

from hw3lib.annotate.formats.registry import FORMATS
from hw3lib.cli.options import Data, command, option, say


@command(
    "Export a category's defects for detection and segmentation: boxes and masks in the usual formats.\n"
    "They come from its masks and, with --detector, where there is none from the detector's anomaly maps.",
    "hw3 annotate bottle --data ../mvtec_ad --format coco yolo --out bottle-annotations",
    "hw3 annotate synthetic/carpet --format yolo-seg --split 0.8 0.2 --min-area 20 --out carpet --preview",
    "hw3 annotate bolts --detector bolts-detector --format coco --out bolts-to-correct --preview",
)
def annotate(
    category: Annotated[str, option("for example bottle", metavar="CATEGORY")],
    *,
    formats: Annotated[
        list[str],
        option(f"one or more of {', '.join(FORMATS)}", "--format", nargs="+", choices=[*FORMATS], metavar="FORMAT"),
    ],
    out: Annotated[str, option("folder to make, with one folder a format", metavar="DIR")],
    data: Data = None,
    split: Annotated[
        tuple[float, ...],
        option(
            "of training, validation and test, each class in proportion (default: 0.6 0.2 0.2)",
            nargs="+",
            metavar="SHARE",
        ),
    ] = (0.6, 0.2, 0.2),
    seed: Annotated[int, option("of the split (default: %(default)s)")] = 0,
    no_split: Annotated[
        bool, option("annotations of all images together, beside the images under their own names: coco, voc, yolo")
    ] = False,
    min_area: Annotated[int, option("drop components of fewer pixels (default: %(default)s)", metavar="N")] = 1,
    whole: Annotated[bool, option("one instance a mask file (default: one for each connected component)")] = False,
    detector: Annotated[
        str | None, option("folder of a detector, to annotate images without a mask by", metavar="DETECTOR")
    ] = None,
    train_good: Annotated[bool, option("take the good images of the training split too, as background")] = False,
    preview: Annotated[bool, option("draw a sheet of annotated images, preview.png")] = False,
    force: Annotated[bool, option("replace the annotations that are there")] = False,
) -> int:
    from hw3lib.annotate.export import PREVIEW, export, summary_text
    from hw3lib.data.folders.find import find_root
    from hw3lib.data.table import load_table, warnings_of

    table = load_table(find_root(category, data), category)
    if told := warnings_of(table):
        say(told)
    done = export(
        table,
        formats,
        out,
        split=split,
        seed=seed,
        no_split=no_split,
        min_area=min_area,
        whole=whole,
        detector=detector,
        train_good=train_good,
        preview=preview,
        force=force,
        echo=say,
    )
    print(summary_text(done))
    print(f"\nannotations: {out}" + (f"\npreview: {done.folder / PREVIEW}" if preview else ""))
    return 0
