"""Small folders of files, broken by hypothesis: bytes, values, parts of containers, names and kinds of entries."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
from hypothesis import strategies as st

Files = dict[str, bytes | tuple[str, ...]]  # content by path; ("link", TARGET), ("pipe",) and ("folder",) as well
Parts = list[tuple[Any, bytes]]  # of a container: what has a part's name and kind, and its content
Draw = Callable[[st.SearchStrategy], Any]

_DEEP = "\u2603deep"  # stands for brackets nested deeper than json.dumps goes
_ALIASES = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
BOMB = "\n".join(["a0: &a0 [x]", *_ALIASES, "names: *a11"])  # a YAML of nine to the eleventh values
_NUMBERS = (0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**63, -(2**63), 2**64, 10**9, 10**400)
_TEXTS = ("", "x", "\ud800", "\0", "../../x", "/etc/passwd", "a" * 5000, "NaN", "1e999", "=1+1", "<script>", "{0}%s\n")
_OTHERS = (None, True, False, float("nan"), float("inf"), float("-inf"), [], {}, [[]], {"": None}, [1, 2], _DEEP)
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
_TIMES = st.sampled_from((1, 1, 1, 2, 3))
_VALUE = st.one_of(*map(st.sampled_from, (_NUMBERS, _TEXTS, _OTHERS))).map(deepcopy)  # they may be changed in place
_SIZE = st.builds(
    struct.pack,
    st.sampled_from(("<I", ">I", "<H", ">H")),
    st.sampled_from((0, 1, 7, 9000, 13000, 16383, 20000, 65535)),
)
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


def damaged(draw: Draw, corpus: list[Files], pipes: bool) -> Files:
    """One to three things broken in a copy of one of the sound folders."""
    files = dict(draw(st.sampled_from(corpus)))
    for _ in range(draw(_TIMES)):
        name = draw(st.sampled_from(sorted(files))) if files else ""
        if files and draw(st.integers(0, 7)) == 7:
            _entry(draw, files, name, pipes)
        elif isinstance(content := files.get(name), bytes):
            others = [c for other in corpus for n, c in other.items() if isinstance(c, bytes) and n[-4:] == name[-4:]]
            files[name] = change(draw, name, content, draw(st.sampled_from(others or [b""])))
    return files


def _entry(draw: Draw, files: Files, name: str, pipes: bool) -> None:
    """Rename, double, remove or replace a file or a folder."""
    kind = draw(st.integers(0, 6 if pipes else 5))
    if kind < 3:
        parts = name.split("/")
        at = draw(st.integers(0, len(parts) - 1))
        suffix = Path(name).suffix if at == len(parts) - 1 and draw(st.booleans()) else ""
        old, new = "/".join(parts[: at + 1]), draw(st.sampled_from(NAMES))[: 251 - len(suffix)] + suffix
        for path in [p for p in files if p == old or p.startswith(f"{old}/")]:
            content = files[path] if kind == 0 else files.pop(path)
            files["/".join((*parts[:at], new)) + path[len(old) :]] = content
    elif kind == 3:
        del files[name]
    elif kind == 4:
        near = (Path(name).name, Path(draw(st.sampled_from(sorted(files)))).name)
        files[name] = ("link", draw(st.sampled_from((*near, "/dev/zero", "/nowhere/at/all", "/etc/passwd", ".."))))
    else:
        contents = (("folder",), b"", b"\0", b"\xff\xfe", b"\n" * 100)
        files[name] = ("pipe",) if kind == 6 else draw(st.sampled_from(contents))


def change(draw: Draw, name: str, content: bytes, other: bytes = b"") -> bytes:
    """A broken copy of one file; what its suffix says decides how. ``other``: a file to take bytes from."""
    structured = _BY_SUFFIX.get(Path(name).suffix)
    if structured and draw(st.integers(0, 9)) < 7:
        with contextlib.suppress(Exception):  # what was broken before may have no structure any more
            return structured(draw, content)
    for _ in range(draw(_TIMES)):
        end = draw(st.sampled_from((16, 64, len(content), len(content))))
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
    """A JSON value with one or a few of its values removed, doubled, renamed, moved, wrapped or replaced."""
    for _ in range(draw(_TIMES)):
        places = list(_places(content)) if isinstance(content, dict | list) else []
        if not places:
            return draw(_VALUE)
        ((place, key), (other, at)), kind = draw(st.tuples(*[st.sampled_from(places)] * 2)), draw(st.integers(0, 8))
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, list):
            place.insert(key, deepcopy(place[key]))
        elif kind == 1:
            place[draw(st.sampled_from(_TEXTS))] = place.pop(key)
        else:
            moved = (deepcopy(other[at]), [place[key]], {"": place[key]})
            place[key] = moved[kind - 2] if kind < 5 else draw(_VALUE)
    return content


def _json(draw: Draw, content: bytes) -> bytes:
    text = json.dumps(_value(draw, json.loads(content)))
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
    lines = st.sampled_from([*text.splitlines(True), ""])
    new = draw(st.one_of(st.sampled_from(TOKENS), _VALUE.map(lambda value: str(value)[:6000]), lines))
    return (text[:start] + new + text[end:]).encode("utf-8", "surrogatepass" if "\ud800" in new else "replace")


def _parts(draw: Draw, parts: Parts, odd: tuple[tuple[str, Any], ...]) -> Parts:
    """One part of a container removed, doubled in some place, with another attribute or, mostly, changed."""
    at, kind = draw(st.integers(0, len(parts) - 1)), draw(st.integers(0, 5))
    info, data = copy(parts[at][0]), parts[at][1]
    if kind == 0:
        return parts[:at] + parts[at + 1 :]
    if kind == 1:
        place = draw(st.integers(0, len(parts)))
        return [*parts[:place], (info, data), *parts[place:]]
    if kind == 2:
        setattr(info, *draw(st.sampled_from(odd)))
    else:
        data = change(draw, getattr(info, "filename", None) or info.name, data)
    return [*parts[:at], (info, data), *parts[at + 1 :]]


def png(*chunks: tuple[str, bytes]) -> bytes:
    """A PNG of chunks, whose pixels are not compressed yet, each with its right checksum, so that decoders go on."""
    made = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        data, kind = zlib.compress(data, 1) if name == "IDAT" else data, name.encode("latin-1")
        made += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return made


def _png(draw: Draw, content: bytes) -> bytes:
    chunks, at = [], 8
    while at + 12 <= len(content):
        size, name = struct.unpack(">I", content[at : at + 4])[0], content[at + 4 : at + 8].decode("latin-1")
        data = content[at + 8 : at + 8 + size]
        chunks.append((SimpleNamespace(name=name), zlib.decompress(data) if name == "IDAT" else data))
        at += 12 + size
    return png(*((info.name, data) for info, data in _parts(draw, chunks, _CHUNKS)))


def _zip(draw: Draw, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(made, "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        for info, data in _parts(draw, [(info, packed.read(info)) for info in packed.infolist()], _IN_ZIP):
            new.writestr(info, data)
    return made.getvalue()


def _tar(draw: Draw, content: bytes) -> bytes:
    made, format = io.BytesIO(), draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)))
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as packed,
        tarfile.open(fileobj=made, mode="w", format=format) as new,
    ):
        parts = [(info, packed.extractfile(info).read()) for info in packed if info.isreg()]
        for info, data in _parts(draw, parts, _IN_TAR):
            info.size = len(data) if info.isreg() else 0
            with contextlib.suppress(ValueError):  # this name cannot be written in this format
                new.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _packed(module: Any) -> Callable[[Draw, bytes], bytes]:
    """Of a compressed tar, which stays a sound one of its kind."""
    return lambda draw, content: module.compress(change(draw, "a.tar", module.decompress(content)))


def _safetensors(draw: Draw, content: bytes) -> bytes:
    """Change the header, a JSON with shapes and places, and mostly keep its length right."""
    size = struct.unpack("<Q", content[:8])[0]
    header = _json(draw, content[8 : 8 + size])
    length = draw(st.sampled_from((len(header),) * 9 + (0, 2**63, 2**64 - 1, len(content))))
    return struct.pack("<Q", length) + header + content[8 + size :]


def _onnx(draw: Draw, content: bytes) -> bytes:
    """Change an entry of the metadata, and leave the network as it is."""
    network = onnx.ModelProto.FromString(content)
    entry = draw(st.sampled_from(network.metadata_props))
    entry.value = change(draw, "a.json", entry.value.encode()).decode("utf-8", "replace")
    return network.SerializeToString()


_CHUNKS = tuple(("name", name) for name in ("eXIf", "tRNS", "PLTE", "acTL", "fcTL", "iTXt", "iCCP", "gAMA", "IDAT"))
_IN_ZIP = (
    *(("filename", name) for name in _WAYS_OUT),
    *(("external_attr", kind << 16) for kind in (0o120777, 0o010644, 0o060644)),
)
_IN_TAR = (
    *(("name", name) for name in (*_WAYS_OUT, "\udcff")),
    *(("type", kind) for kind in (b"1", b"2", b"3", b"6", tarfile.GNUTYPE_SPARSE)),
    *(("pax_headers", {key: value}) for key in ("path", "size", "GNU.sparse.map") for value in ("../x", "-1")),
    *(("mode", mode) for mode in (0o000, 0o7777)),
)
_BY_SUFFIX: dict[str, Callable[[Draw, bytes], bytes]] = {
    **dict.fromkeys((".json", ".ipynb"), _json),
    **dict.fromkeys((".xml", ".yaml", ".txt", ".csv"), _text),
    **dict.fromkeys((".zip", ".npz", ".pt"), _zip),
    **{".png": _png, ".tar": _tar, ".safetensors": _safetensors, ".onnx": _onnx},
    **{".gz": _packed(gzip), ".bz2": _packed(bz2), ".xz": _packed(lzma)},
}
