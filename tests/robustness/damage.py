"""Small folders of files, broken by hypothesis: bytes, values, structure, names, and what their entries are."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Files = dict[str, bytes | tuple[str, ...]]  # content by path; ("link", TARGET), ("pipe",) and ("folder",) as well
Draw = Callable[[st.SearchStrategy], Any]

_DEEP = "\u2603deep"  # stands for brackets nested deeper than json.dumps goes
_NUMBERS = (0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**63, -(2**63), 2**64, 10**9, 10**400)
_TEXTS = ("", "x", "\ud800", "\0", "../../x", "/etc/passwd", "a" * 5000, "NaN", "1e999", "=1+1", "<script>", "{0}%s\n")
_OTHERS = (None, True, False, float("nan"), float("inf"), float("-inf"), [], {}, [[]], {"": None}, [1, 2], _DEEP)
_ALIASES = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
BOMB = "\n".join(["a0: &a0 [x]", *_ALIASES, "names: *a11"])  # a YAML of nine to the eleventh values
# What YAML, XML and CSV trip over, one a line.
_TOKENS = """\
-1|0|1e308|1e999|nan|-inf|9223372036854775808||\0|&#0;|\ufeff|%|\t|"|'|,,,,,,|\r|&a [*a, *a]|!!int ''|!!float ''
!!python/object/apply:os.getcwd []|{[]: 1}|2021-99-99|<<: 1|!!timestamp x|!!bool x|!!map x|!!binary ü|? {a: b}
<!DOCTYPE a [<!ENTITY b "c">]>|<?xml version="1.0" encoding="x-none"?>|<![CDATA["""
TOKENS = (*re.split(r"[|\n]", _TOKENS), *("9" * 400, "9" * 5000, "[" * 3000, "{" * 3000, "<a>" * 3000, BOMB))
NAMES = (
    *("x" * 251, "\udcff\udcfe", "a\nb", "\x1b[2J", "<script>", "=1+1", " ", "a\\b", "ü", "*", "[a", "{0}", "-r", "%s"),
    *("A", "con", "'", "a.b.c", ".hidden", "good", "masks", "test", "ground_truth", "0.png", "1.json"),
)
_WAYS_OUT = ("../up", "/abs", "a/../../b", "c:/x", "c:\\x", "a\\b", "./a", "a//b", "a/./b", "", "a\0b", "x" * 300)
_SIZES = (0, 1, 7, 9000, 13000, 16383, 20000, 65535, 2**31 - 1, 2**32 - 1)
_TIMES = st.sampled_from((1, 1, 1, 2, 3))
_VALUE = st.one_of(*map(st.sampled_from, (_NUMBERS, _TEXTS, _OTHERS)))
_SIZE = st.builds(struct.pack, st.sampled_from(("<I", ">I", "<H", ">H")), st.sampled_from(_SIZES[:-3]))
_NEW = st.one_of(st.binary(max_size=4), _SIZE, st.sampled_from((b"", b"\0", b"\xff" * 4, b"9" * 12, b"~" * 4096)))


def load(folder: Path) -> Files:
    """All files of a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write(files: Files, folder: Path) -> None:
    """Put files on the disk, as far as its names and kinds allow it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif content[0] == "link":
                os.symlink(content[1], path)
            else:
                (os.mkfifo if content[0] == "pipe" else os.mkdir)(path)


def damaged(draw: Draw, corpus: list[Files], finish: Callable[[Draw, Files], None] | None, pipes: bool) -> Files:
    """One to three things broken in a copy of one of the sound folders; ``finish`` see :class:`.readers.Reader`."""
    files = dict(draw(st.sampled_from(corpus)))
    for _ in range(draw(_TIMES)):
        name = draw(st.sampled_from(sorted(files))) if files else ""
        if files and draw(st.integers(0, 7)) == 7:
            _entry(draw, files, name, pipes)
        elif isinstance(content := files.get(name), bytes):
            others = [c for other in corpus for n, c in other.items() if isinstance(c, bytes) and n[-4:] == name[-4:]]
            files[name] = change(draw, name, content, draw(st.sampled_from(others or [b""])))
    if finish is not None:
        finish(draw, files)
    return files


def _entry(draw: Draw, files: Files, name: str, pipes: bool) -> None:
    """Rename, double, remove or replace a file or a folder."""
    kind = draw(st.integers(0, 6 if pipes else 5))
    if kind < 3:
        parts = name.split("/")
        at = draw(st.integers(0, len(parts) - 1))
        suffix = Path(name).suffix if at == len(parts) - 1 and draw(st.booleans()) else ""
        parts[at], old = draw(st.sampled_from(NAMES))[: 251 - len(suffix)] + suffix, "/".join(parts[: at + 1])
        for path in [p for p in files if p == old or p.startswith(f"{old}/")]:
            content = files[path] if kind == 0 else files.pop(path)
            files["/".join(parts[: at + 1]) + path[len(old) :]] = content
    elif kind == 3:
        del files[name]
    elif kind == 4:
        near = (Path(name).name, Path(draw(st.sampled_from(sorted(files)))).name)
        target = draw(st.sampled_from((*near, "/dev/zero", "/nowhere/at/all", "/etc/passwd", "..")))
        files[name] = ("link", target)
    else:
        contents = (("folder",), b"", b"\0", b"\xff\xfe", b"\n" * 100)
        files[name] = ("pipe",) if kind == 6 else draw(st.sampled_from(contents))


def change(draw: Draw, name: str, content: bytes, other: bytes = b"") -> bytes:
    """A broken copy of one file; what its suffix says decides how. ``other``: a file to take bytes from."""
    structured = _BY_SUFFIX.get(Path(name).suffix)
    if structured and draw(st.integers(0, 9)) < 7:
        with contextlib.suppress(Exception):  # what was broken before may have no structure any more
            return structured(draw, content)
    return edited(draw, content, other)


def edited(draw: Draw, content: bytes, other: bytes = b"") -> bytes:
    """Some places overwritten, cut out, filled in, cut off, doubled or continued as another file."""
    for _ in range(draw(st.sampled_from((1, 1, 2, 4, 8)))):
        end = draw(st.sampled_from((64, 1200, 10**9)))  # headers more often than contents
        at = draw(st.integers(0, min(len(content), end)))
        cut, kind = draw(st.sampled_from((0, 1, 1, 4, 64, 10**9))), draw(st.integers(0, 9))
        new = content[at : at + cut] * 2 if kind == 8 else other[at:] if kind == 9 else draw(_NEW)
        if cut == 1 and kind < 4 and at < len(content):
            new = bytes([content[at] ^ 1 << 2 * kind])
        content = content[:at] + new + content[at + cut :]
    return content


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _value(draw: Draw, content: Any) -> Any:
    """A JSON value with one or a few of its values replaced, removed, doubled, wrapped, renamed or moved."""
    for _ in range(draw(_TIMES)):
        places = list(_places(content)) if isinstance(content, dict | list) else []
        if not places:
            return draw(_VALUE)
        place, key = draw(st.sampled_from(places))
        kind = draw(st.integers(0, 8))
        if kind < 5:
            place[key] = draw(_VALUE)
        elif kind == 5:
            del place[key]
        elif kind == 6:
            other, at = draw(st.sampled_from(places))
            place[key] = deepcopy(other[at])
        elif kind == 7 and isinstance(place, list):
            place.insert(key, deepcopy(place[key]))
        elif kind == 7:
            place[draw(st.sampled_from(_TEXTS))] = place.pop(key)
        else:
            place[key] = [place[key]] if draw(st.booleans()) else {"": place[key]}
    return content


def _json(draw: Draw, content: bytes) -> bytes:
    text = json.dumps(_value(draw, json.loads(content)))
    if f'"{_DEEP}"' in text.replace("\\u2603", "\u2603"):
        depth = draw(st.sampled_from((100, 500, 950, 3000, 100_000)))
        nested = draw(st.sampled_from(("[" * depth + "]" * depth, '{"a":' * depth + "0" + "}" * depth)))
        text = text.replace('"\\u2603deep"', nested)
    encoding = draw(st.sampled_from(("utf-8",) * 14 + ("twice", "utf-16", "utf-8-sig")))
    if encoding == "twice" and text.startswith("{") and len(text) > 2:  # every key of the first level
        text = text[:-1] + "," + text[1:]
    return text.encode("utf-8" if encoding == "twice" else encoding, "surrogatepass")


def _text(draw: Draw, content: bytes) -> bytes:
    """A word, a line or nothing replaced by what parsers trip over, an odd value, or another line."""
    text = content.decode("utf-8", "surrogateescape")
    pattern = draw(st.sampled_from((r"[\w.+-]+", r"[\w.+-]+", r"[^\n]+\n?", r"")))
    start, end = draw(st.sampled_from([m.span() for m in re.finditer(pattern, text)] or [(0, 0)]))
    odd, lines = _VALUE.map(lambda value: str(value)[:6000] if value != 10**400 else "1" * 401), text.splitlines(True)
    new = draw(st.one_of(st.sampled_from(TOKENS), odd, st.sampled_from([*lines, ""])))
    return (text[:start] + new + text[end:]).encode("utf-8", "surrogatepass" if "\ud800" in new else "replace")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of chunks, each with its right checksum."""
    made = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def _png(draw: Draw, content: bytes) -> bytes:
    """Change a chunk and give it the right checksum, so that decoders go on."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    number, kind = draw(st.integers(0, len(chunks) - 1)), draw(st.integers(0, 5))
    if kind < 2:
        header, where = bytearray(chunks[0][1]), draw(st.sampled_from((0, 4) if kind else (8, 9, 10, 11, 12)))
        new = (
            struct.pack(">I", draw(st.sampled_from(_SIZES))) if kind else draw(st.sampled_from(b"\0\1\2\3\4\6\x08\x10"))
        )
        header[where : where + (4 if kind else 1)] = new if isinstance(new, bytes) else bytes([new])
        chunks[0] = (chunks[0][0], bytes(header))
    elif kind == 2:
        names = (b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"iTXt", b"zTXt", b"iCCP", b"gAMA", b"IEND", b"IDAT")
        turned = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
        body = draw(st.one_of(st.sampled_from((b"", turned)), st.binary(max_size=20)))
        chunks.insert(number + 1, (draw(st.sampled_from(names)), body))
    elif kind == 3:
        del chunks[number]
    elif kind == 4:
        chunks[number] = (chunks[number][0], edited(draw, chunks[number][1]))
    else:
        pixels = edited(draw, zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT")))
        chunks = [c for c in chunks if c[0] != b"IDAT"]
        chunks.insert(max(len(chunks) - 1, 1), (b"IDAT", zlib.compress(pixels)))
    return png(*chunks)


def _zip(draw: Draw, content: bytes) -> bytes:
    """Change one entry or a name in an archive that stays sound: weights, arrays, photographs."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(made, "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        at = draw(st.integers(0, len(packed.infolist()) - 1))
        for number, old in enumerate(packed.infolist()):
            info, data = zipfile.ZipInfo(old.filename), packed.read(old)
            info.external_attr, info.compress_type = old.external_attr, old.compress_type
            kind = draw(st.integers(0, 5)) if number == at else -1
            if kind == 0:
                continue
            if kind == 1:
                name = draw(st.sampled_from((*_WAYS_OUT, *NAMES)))
                info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            elif kind == 2:
                new.writestr(info, data)
            elif kind == 3:
                info.external_attr = draw(st.sampled_from((0o120777, 0o010644, 0o060644))) << 16
            new.writestr(info, edited(draw, data) if kind > 3 else data)
    return made.getvalue()


def _tar(draw: Draw, content: bytes) -> bytes:
    """Change one entry, and pack all of them in some format."""
    made, kinds = (
        io.BytesIO(),
        (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE),
    )
    formats = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as packed,
        tarfile.open(fileobj=made, mode="w", format=draw(st.sampled_from(formats))) as new,
    ):
        at = draw(st.integers(0, len(packed.getmembers()) - 1))
        for number, info in enumerate(packed.getmembers()):
            data = packed.extractfile(info).read() if info.isreg() else b""
            kind = draw(st.integers(0, 4)) if number == at else -1
            if kind == 0:
                info.name = draw(st.sampled_from((*_WAYS_OUT, *NAMES)))
            elif kind == 1:
                info.type, info.size = draw(st.sampled_from(kinds)), 0
                info.linkname = draw(st.sampled_from(("/etc/passwd", "..", "0.txt")))
            elif kind == 2:
                keys, values = st.sampled_from(("path", "size", "linkpath", "GNU.sparse.map")), ("../x", "-1")
                info.pax_headers = {draw(keys): draw(st.sampled_from(values))}
            elif kind == 3:
                info.mode = draw(st.sampled_from((0o000, 0o7777)))
            with contextlib.suppress(ValueError):  # this name cannot be written in this format
                new.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _safetensors(draw: Draw, content: bytes) -> bytes:
    """Change the header, a JSON with shapes and places, and mostly keep its length right."""
    size = struct.unpack("<Q", content[:8])[0]
    header = _json(draw, content[8 : 8 + size])
    length = draw(st.sampled_from((len(header),) * 9 + (0, 2**63, 2**64 - 1, len(content))))
    return struct.pack("<Q", length) + header + content[8 + size :]


_BY_SUFFIX: dict[str, Callable[[Draw, bytes], bytes]] = {
    **dict.fromkeys((".json", ".ipynb"), _json),
    **dict.fromkeys((".xml", ".yaml", ".txt", ".csv"), _text),
    **dict.fromkeys((".zip", ".npz", ".pt"), _zip),
    **{".png": _png, ".tar": _tar, ".safetensors": _safetensors},
}
