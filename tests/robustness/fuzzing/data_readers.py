"""Images, masks, categories, archives, uploads."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from hw3lib.annotate.formats.reading import read_indexed
from hw3lib.annotate.instances import from_masks
from hw3lib.annotate.pictures import image_size, kept_suffix
from hw3lib.data import Reading, check_category, digest, load_masks, load_table, read_image, read_mask
from hw3lib.data.fetch.archive import extract
from hw3lib.data.folders.find import list_categories
from hw3lib.data.groups import _listed
from hw3lib.data.pixels.images import decode_image
from hw3lib.data.regions.masks import read_regions
from hw3lib.data.stack import _map
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error
from tests.helpers.heic import HEIC
from tests.robustness.fuzzing.mutations import NAMES, Files
from tests.robustness.fuzzing.reader import Reader, encoded, only_file, picture, put, sane

_SPLIT = (("train", "Normal/0.JPG"), ("test", "Normal/1.JPG"), ("test", "Anomaly/0.JPG"))
_EVIL = ("../up", "/abs", "a/../../b", "c:/x", "a\\b", "./a", "a//b", "a/./b", "", "a\0b", "x" * 300, *NAMES)


def _images(folder: Path) -> None:
    rgb, exif = picture(), Image.Exif()
    exif[0x0112] = 6
    made = {
        "plain.png": encoded(rgb, "PNG"),
        "turned.png": encoded(rgb, "PNG", exif=exif),
        "clear.png": encoded(picture(mode="RGBA"), "PNG"),
        "palette.png": encoded(picture(mode="P"), "PNG", transparency=3),
        "deep.png": encoded(Image.fromarray(np.arange(96, dtype=np.uint16).reshape(8, 12) * 600), "PNG"),
        "deep colour.png": deep_png(3),
        "deep clear.png": deep_png(4),
        "deep both.png": deep_png(2),
        "deep.tiff": deep_tiff(1),
        "deep colour.tiff": deep_tiff(3),
        "signed.tiff": encoded(Image.fromarray(np.arange(-48, 48, dtype=np.int32).reshape(8, 12)), "TIFF"),
        "one.png": encoded(picture(mode="1"), "PNG"),
        "both.png": encoded(picture(mode="LA"), "PNG"),
        "moving.png": encoded(rgb, "PNG", save_all=True, append_images=[picture(seed=1)]),
        "plain.jpg": encoded(rgb, "JPEG", exif=exif),
        "print.jpg": encoded(picture(mode="CMYK"), "JPEG"),
        "later.jpg": encoded(rgb, "JPEG", progressive=True, comment=b"x"),
        "plain.bmp": encoded(rgb, "BMP"),
        "palette.bmp": encoded(picture(mode="P"), "BMP"),
        "plain.tiff": encoded(rgb, "TIFF", exif=exif),
        "packed.tiff": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "float.tiff": encoded(Image.fromarray(np.linspace(0, 1, 96, dtype=np.float32).reshape(8, 12)), "TIFF"),
        "pages.tiff": encoded(rgb, "TIFF", save_all=True, append_images=[picture((5, 5))], compression="jpeg"),
        "print.tiff": encoded(picture(mode="CMYK"), "TIFF", compression="tiff_deflate"),
        "plain.gif": encoded(picture(mode="P"), "GIF", save_all=True, append_images=[picture((7, 7), mode="P")]),
        "plain.webp": encoded(rgb, "WEBP", exif=exif),
        "plain.jp2": encoded(rgb, "JPEG2000"),
        "plain.avif": encoded(rgb, "AVIF", exif=exif),
        "plain.ppm": encoded(rgb, "PPM"),
        "deep.pgm": b"P5 12 8 4095\n" + (np.arange(96, dtype=">u2") * 40).tobytes(),
        "telephone.heic": HEIC,
        "moving.webp": encoded(picture(mode="RGBA"), "WEBP", save_all=True, append_images=[picture(seed=2)]),
    }
    for number, (name, content) in enumerate(made.items()):
        put(folder / str(number) / name, content)


def png(header: bytes, pixels: bytes) -> bytes:
    """A PNG of these fields of its header and these packed pixels."""
    out = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")):
        out += len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
    return out


def deep_png(channels: int, seed: int = 0) -> bytes:
    """Noise of 16 bits, 12x9: two channels are grey and alpha, three colours, four both."""
    rows = np.random.default_rng(seed).integers(0, 256, (9, 1 + 24 * channels), dtype=np.uint8)
    rows[:, 0] = 0  # not filtered
    kind = bytes((16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))
    return png((12).to_bytes(4, "big") + (9).to_bytes(4, "big") + kind, zlib.compress(rows.tobytes()))


def deep_tiff(channels: int) -> bytes:
    """Noise of 16 bits, 12x8, big-endian: grey, or colours, which Pillow does not write."""
    pixels = np.random.default_rng(channels).bytes(12 * 8 * 2 * channels)
    fields = [(256, 12), (257, 8), (258, 16), (259, 1), (262, 1 if channels == 1 else 2), (273, 200)]
    fields += [(277, channels), (278, 8), (279, len(pixels))]
    made = b"MM\0*" + (8).to_bytes(4, "big") + len(fields).to_bytes(2, "big")
    for tag, value in fields:
        count = channels if tag == 258 else 1
        field = (180).to_bytes(4, "big") if count > 2 else value.to_bytes(2, "big") + b"\0\0"
        made += tag.to_bytes(2, "big") + b"\0\3" + count.to_bytes(4, "big") + field
    made += b"\0" * 4
    return made.ljust(180, b"\0") + (16).to_bytes(2, "big") * 3 + b"\0" * 14 + pixels


def _read_image(folder: Path) -> None:
    path = only_file(folder)
    header = None
    with contextlib.suppress(Hw3Error):
        header = read_header(path)
        kept_suffix(path)
        image_size(path)
    for reading in (Reading((0, 4095)), Reading((0, 100))):
        image, warning = decode_image(path, 16, reading)
        sane(image.shape == (16, 16, 3) and isinstance(warning, str), "an image of another shape than asked for")
    small = read_image(path, 16)
    sane(small.shape == (16, 16, 3) and small.dtype == np.uint8, "an image of another shape than asked for")
    large = read_image(path)
    if header is not None:
        sane(large.shape[:2] == header[1::-1], f"its header says {header}, it is decoded as {large.shape}")


def _masks(folder: Path) -> None:
    marked = np.zeros((9, 12), np.uint8)
    marked[2:5, 3:8] = 255
    mask = Image.fromarray(marked)
    kinds = {"grey.png": mask, "one.png": mask.convert("1"), "rgb.png": mask.convert("RGB")}
    kinds |= {"deep.png": Image.fromarray(marked.astype(np.uint16) * 257), "palette.png": mask.convert("P")}
    kinds |= {"alpha.png": Image.merge("LA", (mask, mask)), "clear.png": Image.merge("RGBA", (mask,) * 4)}
    kinds |= {"half.png": mask.convert("P"), "lossy.jpg": mask, "lossy.webp": mask.convert("RGBA")}
    kinds |= {"share.tiff": Image.fromarray(marked.astype(np.float32) / 255)}
    for number, (name, image) in enumerate(kinds.items()):
        kind = {"jpg": "JPEG"}.get(name[-3:], Path(name).suffix[1:].upper())
        put(folder / str(number) / name, encoded(image, kind, **({"transparency": 0} if name == "half.png" else {})))


def _folders_of_masks(folder: Path) -> None:
    """A category in which one image has a mask for each of its defects, as in MVTec LOCO."""
    category(folder / "0/widget")
    place = folder / "0/widget/ground_truth/dent"
    content = (place / "0_mask.png").read_bytes()
    (place / "0_mask.png").unlink()
    for name in ("000.png", "001.png"):
        put(place / "0" / name, content)


def _read_folder_of_masks(folder: Path) -> None:
    table = load_table(folder, "widget", strict=False)
    check_category(table).summary().encode()
    digest(table)
    for mask in table["mask"].dropna():
        union = read_mask(mask)
        regions = read_regions(mask)
        sane(np.array_equal(union, np.logical_or.reduce([r.marked for r in regions])), "regions that are not the mask")
    instances = from_masks(load_table(folder, "widget"))
    sane(all(0 <= i.row < len(table) and i.area > 0 for i in instances), "an instance of nothing")


def _read_mask(folder: Path) -> None:
    path = only_file(folder)
    mask, small = read_mask(path), read_mask(path, 16)
    sane(mask.dtype == bool and mask.ndim == 2 and small.shape == (16, 16), "a mask of another shape")
    sane(bool(mask.any()) == bool(small.any()), "a defect was lost when its mask was reduced")
    read_indexed(path, mask.shape, path)


def category(folder: Path, mvtec: bool = True, deep: bool = False) -> None:
    """A category with ten tiny images, in MVTec AD's layout or the simple one, of 8 bits or of more."""
    marked = np.zeros((9, 12), np.uint8)
    marked[2:5, 3:8] = 255
    places = ("train/good", "test/good", "test/dent", "ground_truth/dent") if mvtec else ("good", "dent", "masks/dent")
    for at, place in enumerate(places):
        for number in range(2):
            is_mask = place.split("/")[0] in ("ground_truth", "masks")
            image = Image.fromarray(marked) if is_mask else picture(seed=10 * at + number)
            content = deep_png(3, 10 * at + number) if deep and not is_mask else encoded(image, "PNG")
            put(folder / place / f"{number}{'_mask' if is_mask else ''}.png", content)


def _categories(folder: Path) -> None:
    category(folder / "0/widget")
    category(folder / "1/widget", mvtec=False)
    category(folder / "2/widget", deep=True)
    for place, name in (("Normal", "0.JPG"), ("Normal", "1.JPG"), ("Anomaly", "0.JPG")):
        put(folder / "3/widget/Data/Images" / place / name, encoded(picture(seed=len(place + name)), "JPEG"))
    rows = [f"widget,{split},,widget/Data/Images/{place},\n" for split, place in _SPLIT]
    put(folder / "3/split_csv/1cls.csv", "object,split,label,image,mask\n" + "".join(rows))
    put(folder / "4/widget/category.json", '{"good": "fine", "groups": "^(.)"}')
    for place in ("train/fine", "validation/fine", "test/fine", "test/dent"):
        put(folder / "4/widget" / place / "rgb/0.png", encoded(picture(seed=len(place)), "PNG"))
    put(folder / "4/widget/runs/widget-quick/01/metrics.json", '{"data_digest": ""}')


def _read_category(folder: Path) -> None:
    list_categories(folder)
    table = load_table(folder, "widget", strict=False)
    report = check_category(table)
    report.summary().encode()
    digest(table)
    with contextlib.suppress(Hw3Error):
        load_masks(table, 8)
    sane(table[["width", "height"]].gt(0).all(axis=None), "an image without a size is in the table")
    load_table(folder, "widget")


def _archives(folder: Path) -> None:
    for number, name in enumerate(("a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip")):
        put(folder / str(number) / name, b"")


def _pack(files: Files, rng: Random) -> None:
    """Make the archive, of sound and of hostile entries, and break its bytes now and then."""
    for name, broken in list(files.items()):
        if not isinstance(broken, bytes):
            continue
        made = io.BytesIO()
        entries = [rng.choice(_EVIL) if rng.random() < 0.15 else f"widget/{i}.txt" for i in range(rng.randrange(1, 5))]
        content = _zip(made, entries, rng) if "zip" in name else _tar(made, entries, rng)
        packers = (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress))
        content = next((packer(content) for suffix, packer in packers if name.endswith(suffix)), content)
        if rng.random() < 0.6:
            data = bytearray(content)
            for _ in range(rng.choice((1, 1, 3))):
                at = rng.randrange(min(len(data), 1200)) if rng.random() < 0.8 else rng.randrange(len(data))
                data[at : at + rng.choice((0, 1, 4))] = rng.choice((b"\0", b"\xff" * 4, b"9" * 12, rng.randbytes(3)))
                data = data[: rng.randrange(1, max(len(data), 2))] if rng.random() < 0.1 else data
            content = bytes(data)
        files[name] = content if rng.random() < 0.97 else broken


def _tar(made: io.BytesIO, entries: list[str], rng: Random) -> bytes:
    kinds = (
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
    )
    formats = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)
    with tarfile.open(fileobj=made, mode="w", format=rng.choice(formats)) as tar:
        for name in entries:
            info, data = tarfile.TarInfo(name), rng.randbytes(rng.choice((0, 3, 700)))
            info.size, info.mode = len(data), rng.choice((0o644, 0o000, 0o7777))
            if rng.random() < 0.1:
                info.type, info.size, info.linkname = rng.choice(kinds), 0, rng.choice(("/etc/passwd", "..", "0.txt"))
            if rng.random() < 0.05:
                info.pax_headers = {
                    rng.choice(("path", "size", "linkpath", "GNU.sparse.map")): rng.choice(("../x", "-1"))
                }
            try:
                tar.addfile(info, io.BytesIO(data))
            except ValueError:  # this name cannot be written in this format
                continue
    return made.getvalue()


def _zip(made: io.BytesIO, entries: list[str], rng: Random) -> bytes:
    with zipfile.ZipFile(made, "w") as packed:
        for name in dict.fromkeys(entries):
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
            info.external_attr = rng.choice((0, 0o100644, 0o100644, 0o120777, 0o040755)) << 16
            packed.writestr(info, rng.randbytes(9) * rng.choice((1, 1, 80)))
    return made.getvalue()


def _extract(folder: Path) -> None:
    extract(only_file(folder), folder / "unpacked", progress=False)
    for path in (folder / "unpacked").rglob("*"):
        sane(not path.is_symlink() and (path.is_file() or path.is_dir()), f"{path} is neither a file nor a folder")


def _stacks(folder: Path) -> None:
    (folder / "0").mkdir(parents=True)
    np.save(folder / "0" / "stack.npy", np.zeros((2, 3, 4, 4), np.uint8))


def _read_stack(folder: Path) -> None:
    found = _map(folder / "stack.npy", (2, 3, 4, 4))
    if found is None:
        raise Hw3Error(f"{folder}: made again")
    np.asarray(found).sum()


def bomb(mode: str = "L", side: int = 13_000) -> bytes:
    """A small PNG that is black and large when it is decoded."""
    depth, colour, row = {
        "1": (1, 0, side // 8),
        "L": (8, 0, side),
        "I;16": (16, 0, 2 * side),
        "RGB;16": (16, 2, 6 * side),
    }[mode]
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(row + 1)) for _ in range(side)) + packer.flush()
    return png(side.to_bytes(4, "big") * 2 + bytes((depth, colour, 0, 0, 0)), packed)


def _bombs(folder: Path) -> None:
    for number, (mode, side) in enumerate(
        (("1", 13_000), ("L", 13_000), ("I;16", 9_000), ("RGB;16", 7_000), ("L", 20_000), ("1", 65_000))
    ):
        put(folder / str(number) / "bomb.png", bomb(mode, side))


def _read_bomb(folder: Path) -> None:
    path = only_file(folder)
    sane(not read_mask(path, 16).any(), "a black mask that marks something")


def _read_upload(folder: Path) -> None:
    from hw3lib.inspection.app.inspection import decode

    path = only_file(folder)
    content = path.read_bytes() if path.is_file() and path.resolve().is_relative_to(folder) else b""
    image = decode(content, path.name).pixels
    sane(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, "a photograph of another shape")


def _product_lists(folder: Path) -> None:
    put(folder / "0/products.csv", "image,group\n0.png,a\n1.png,a\n2.png,b\n")
    put(folder / "1/products.csv", "\ufeffgroup;image\n1;.\\0.png\n1;./1.png\n2;2.png\n")
    put(folder / "2/products.csv", 'image\tgroup\n"0.png"\t"a\tb"\n1.png\tc\n2.png\tc\n')


def _read_product_list(folder: Path) -> None:
    found = _listed(["0.png", "1.png", "2.png"], only_file(folder))
    sane(len(found) == 3 and all(found), "an image without a product")


READERS = (
    Reader("images", _images, _read_image, 5),
    Reader("masks", _masks, _read_mask, 3),
    Reader("folders of masks", _folders_of_masks, _read_folder_of_masks, 0.5),
    Reader("mask bombs", _bombs, _read_bomb, 0.005),
    Reader("picture bombs", _bombs, _read_image, 0.005),
    Reader("categories", _categories, _read_category, 0.2),
    Reader("lists of products", _product_lists, _read_product_list),
    Reader("archives", _archives, _extract, 3, _pack),
    Reader("image stacks", _stacks, _read_stack, 2),
    Reader("uploads", _images, _read_upload, 4, names_file=False),
    Reader("uploaded bombs", _bombs, _read_upload, 0.005, names_file=False),
)
