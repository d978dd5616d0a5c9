"""``hw3 data list``, ``make``, ``get``, ``check``, ``import`` and ``settings``."""

import sys
from pathlib import Path
from typing import Annotated, Any

from hw3lib.annotate.imports.registry import SOURCES
from hw3lib.cli.options import PROFILES, Data, command, group, option, say
from hw3lib.data.pixels.reading import FITS

Root = Annotated[
    str | None, option("folder to put it in (default: $HW3_DATA, then data/)", "--data", "--out", metavar="DIR")
]


@command(
    "List the known categories: where each was found, or how to get it.",
    "hw3 data list --data ../mvtec_ad",
    name="list",
)
def list_(*, data: Data = None) -> int:
    from hw3lib.core.places import data_roots
    from hw3lib.core.text import format_table
    from hw3lib.data.fetch.official import OFFICIAL
    from hw3lib.data.folders.find import list_categories
    from hw3lib.data.folders.layouts import NO_GOOD
    from hw3lib.data.synthetic import PRODUCTS
    from hw3lib.data.table import load_table

    generated = {f"synthetic/{name}": f"hw3 data make synthetic/{name}" for name in PRODUCTS}
    known = generated | {name: f"hw3 data get {name}" for name in OFFICIAL}
    roots = [root for root in data_roots(data) if root.is_dir()]
    found = {name: root for root in reversed(roots) for name in list_categories(root)}
    rows = [("category", "images", "where")]
    for name in [*known, *(name for name in found if name not in known)]:
        if name in found:
            table = load_table(found[name], name, strict=False, find_range=False)
            no_good = any(p["kind"] == NO_GOOD for p in table.attrs["problems"])
            rows.append((name, str(len(table)), f"{found[name]}{f'; {NO_GOOD}' if no_good else ''}"))
        else:
            rows.append((name, "-", f"missing; {known[name]}"))
    print(format_table(rows))
    return 0


@command(
    "Generate a synthetic category, or all of them.",
    "hw3 data make synthetic/carpet",
    "hw3 data make all --profile full --data /scratch/data",
)
def make(
    name: Annotated[str, option("for example synthetic/carpet, or all", metavar="NAME")],
    *,
    data: Root = None,
    profile: Annotated[str, option("256 px and few images, or as the original", choices=PROFILES)] = "quick",
    seed: Annotated[int | None, option("another seed gives other images (default: the student's own, or 0)")] = None,
    force: Annotated[bool, option("make it again even if it is there")] = False,
) -> int:
    from hw3lib.core.places import data_roots
    from hw3lib.data import synthetic
    from hw3lib.data.fetch.sources import own_seed

    root = data_roots(data)[0]
    seed = own_seed(root) if seed is None else seed
    for each in synthetic.PRODUCTS if name == "all" else [name]:
        folder = synthetic.make(each, root, profile, seed, progress=sys.stderr.isatty(), force=force)
        print(folder, flush=True)
    return 0


@command(
    "Find a category, make it, or download it once you accept its licence (MVTec AD: CC BY-NC-SA 4.0).",
    "hw3 data get bottle --accept-license",
    "hw3 data get bottle --archive ~/Downloads/bottle.tar.xz --data ../mvtec_ad",
)
def get(
    category: Annotated[str, option("for example bottle")],
    *,
    data: Root = None,
    source: Annotated[str, option("official, kaggle, local or auto (default)")] = "auto",
    accept_license: Annotated[bool, option("I have read the licence and accept it")] = False,
    archive: Annotated[str | None, option("take it from this tar or zip file", metavar="FILE")] = None,
) -> int:
    from hw3lib.data.fetch import sources

    root = sources.get(
        category,
        data,
        source=source,
        accept_license=accept_license,
        archive=archive,
        progress=sys.stderr.isatty(),
    )
    print(Path(root) / category)
    return 0


@command(
    "Decode every file of a category and report what is wrong with it. Exit code 1 if something is.",
    "hw3 data check bottle --data ../mvtec_ad",
    name="check",
)
def check(category: Annotated[str, option("for example bottle")], *, data: Data = None) -> int:
    from hw3lib.data.check import check_category
    from hw3lib.data.folders.find import find_root
    from hw3lib.data.table import load_table

    report = check_category(load_table(find_root(category, data), category, strict=False))
    say(report.summary())
    return 0 if report.ok else 1


@command(
    "Make a category, images, classes and masks, of what was annotated elsewhere: labelme, CVAT, Label Studio, ...\n"
    "Objects with their own labels, boxes and points are kept in its annotations.json; what is left out is named.",
    "hw3 data import labelme-folder --out data/bolts",
    "hw3 data import annotations.xml --from cvat --images photographs --out data/bolts --unlabelled leave",
    "hw3 data import project.json --from labelstudio --images uploads --out data/bolts --several combined",
    name="import",
)
def import_(
    source: Annotated[str, option("file or folder of annotations", metavar="FILE|FOLDER")],
    *,
    out: Annotated[str, option("folder of the category to make, such as data/bolts", metavar="CATEGORY")],
    format: Annotated[
        str | None, option("their format (default: found out)", "--from", choices=[*SOURCES], metavar="|".join(SOURCES))
    ] = None,
    images: Annotated[str | None, option("folder of the images, where they are elsewhere", metavar="DIR")] = None,
    several: Annotated[
        str,
        option(
            "class of an image with several labels: that of the largest area (default), or one named combined",
            choices=("largest", "combined"),
        ),
    ] = "largest",
    unlabelled: Annotated[
        str | None,
        option(
            "images without annotation are good, or left out (default: good, but for those that nobody has looked at, "
            "as Label Studio says)",
            choices=("good", "leave"),
        ),
    ] = None,
    link: Annotated[bool, option("make symbolic links to the images instead of copies")] = False,
) -> int:
    from hw3lib.annotate.imports import import_category

    done = import_category(source, out, format=format, images=images, several=several, unlabelled=unlabelled, link=link)
    say(done.summary())
    say(f"\nfrom {SOURCES[done.format].text}\ncategory: {out}")
    return 0


@command(
    "Say how a category is read where its folders cannot say it: kept in its category.json, and printed.",
    "hw3 data settings casting --good ok_front --data ../photographs",
    "hw3 data settings boards --range 0 4095 --fit pad --groups '^([^_]+)_'",
)
def settings(
    category: Annotated[str, option("for example bottle")],
    *,
    data: Data = None,
    good: Annotated[
        str | None,
        option("class folder that holds good products, or a pattern of several such as 'ok_*'", metavar="FOLDER"),
    ] = None,
    range: Annotated[
        tuple[float, ...] | None, option("pixel values that are black and white", nargs=2, metavar=("LOW", "HIGH"))
    ] = None,
    fit: Annotated[str | None, option("how a photograph becomes a square for a network", choices=FITS)] = None,
    groups: Annotated[
        str | None,
        option(
            "regular expression of a file's name whose first group is the product, a CSV file, or near",
            metavar="PATTERN",
        ),
    ] = None,
    reset: Annotated[bool, option("forget what was said before")] = False,
) -> int:
    from dataclasses import replace

    from hw3lib.core.text import counted
    from hw3lib.data.folders.find import category_folder
    from hw3lib.data.folders.layouts import bases, has_good
    from hw3lib.data.folders.settings import CategorySettings, read_settings, write_settings
    from hw3lib.data.groups import find_groups
    from hw3lib.data.pixels.reading import readings_of
    from hw3lib.data.table import load_table
    from hw3lib.errors import Hw3Error

    folder = category_folder(category, data)
    said: dict[str, Any] = {"good": good, "pixel_range": range, "fit": fit, "groups": groups}
    changes = {name: value for name, value in said.items() if value is not None}
    found = CategorySettings() if reset else read_settings(folder)
    if changes or reset:
        found = replace(found, **changes)
        names = None
        if good is not None and not any(has_good(base.folder, good) for base in bases(folder)):
            raise Hw3Error(f"--good {good}: no folder of this name in {folder}; nothing is kept")
        if groups is not None:  # what does not fit is refused before it is kept
            table = load_table(folder.parent, folder.name, strict=False)
            names = find_groups(table["image"].tolist(), groups, folder, readings_of(table))
        print(write_settings(folder, found))
        if names is not None:
            say(f"{counted(len(names), 'image')} of {counted(len(set(names)), 'product')}")
    for name, value in found.said().items():
        say(f"{name}: {value}")
    if not found.said():
        say("as the folders say, nothing else")
    return 0


data = group(
    "data",
    "List, make, get, check, import or describe categories.",
    "hw3 data list",
    actions=(list_, make, get, check, import_, settings),
)  # fmt: skip
