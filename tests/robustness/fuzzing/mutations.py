"""Break a small folder of files: its bytes, its values, its structure, its names, and what its entries are."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

Files = dict[str, bytes | tuple[str, ...]]  # content by path; ("link", TARGET), ("fifo",) and ("folder",) as well

_DEEP = "\u2603deep"  # stands for brackets nested deeper than json.dumps goes
_NUMBERS = (0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**63, -(2**63), 2**64, 10**9, 10**400)
_TEXTS = ("", "x", "\ud800", "\0", "../../x", "/etc/passwd", "a" * 5000, "NaN", "1e999", "=1+1", "<script>", "{0}%s\n")
_OTHERS = (None, True, False, float("nan"), float("inf"), float("-inf"), [], {}, [[]], {"": None}, [1, 2], _DEEP)
_TOKENS = ("-1", "0", "1e308", "1e999", "nan", "-inf", str(2**63), "9" * 400, "9" * 5000, "", "\0", "&#0;", "\ufeff")
_SNIPPETS = (
    *("&a [*a, *a]", "!!int ''", "!!float ''", "!!python/object/apply:os.getcwd []", "{[]: 1}", "2021-99-99", "<<: 1"),
    *(
        "!!timestamp x",
        "!!bool x",
        "!!map x",
        "!!binary ü",
        "? {a: b}",
        "[" * 3000,
        "{" * 3000,
        "<a>" * 3000,
        "%",
        "\t",
    ),
    *(
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        '<?xml version="1.0" encoding="x-none"?>',
        "<![CDATA[",
        '"',
        "'",
        ",,,,,,",
        "\r",
    ),
    "\n".join(
        ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)), "names: *a11"]
    ),
)
NAMES = (
    *(
        "x" * 251,
        "\udcff\udcfe",
        "a\nb",
        "<script>",
        "=1+1",
        " ",
        "a\\b",
        "ü",
        "*",
        "[a",
        "{0}",
        "-r",
        "%s",
        "A",
        "con",
    ),
    *("good", "masks", "test", "ground_truth", "0.png", "1.json", "\x1b[2J", "'", "a.b.c", ".hidden"),
)
_SIZES = (0, 1, 7, 16383, 20000, 65535, 2**31 - 1, 2**32 - 1)


def load(folder: Path) -> Files:
    """All files of a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write(files: Files, folder: Path) -> None:
    """Put files on the disk, as far as its names and kinds allow it."""
    for name, content in files.items():
        path = folder / name
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif content[0] == "link":
                os.symlink(content[1], path)
            elif content[0] == "fifo":
                os.mkfifo(path)
            else:
                path.mkdir()


def mutate(files: Files, corpus: list[Files], rng: Random) -> Files:
    """A broken copy: one to three mutations of one or several files."""
    files = dict(files)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not files:
            break
        if rng.random() < 0.12:
            _entry(files, rng)
            continue
        name = rng.choice(sorted(files))
        content = files[name]
        if isinstance(content, bytes):
            others = [c for other in corpus for n, c in other.items() if isinstance(c, bytes) and n[-4:] == name[-4:]]
            files[name] = change(name, content, others, rng)
    return files


def change(name: str, content: bytes, others: list[bytes], rng: Random) -> bytes:
    """A broken copy of one file; what its suffix says decides how."""
    suffix = Path(name).suffix
    if rng.random() < 0.7:
        with contextlib.suppress(Exception):  # what an earlier mutation broke has no structure any more
            for suffixes, broken in _BY_KIND:
                if suffix in suffixes:
                    return broken(content, rng)
    return _bytes(content, others, rng)


def _entry(files: Files, rng: Random) -> None:
    """Rename, remove, double or replace a file or a folder."""
    name = rng.choice(sorted(files))
    kind = rng.randrange(8)
    if kind < 3:
        parts = name.split("/")
        at = rng.randrange(len(parts))
        new = rng.choice(NAMES)
        suffix = Path(parts[-1]).suffix if at == len(parts) - 1 and rng.random() < 0.7 else ""
        changed = "/".join([*parts[:at], new[: 251 - len(suffix)] + suffix, *parts[at + 1 :]])
        old = "/".join(parts[: at + 1])
        for path in [p for p in files if p == name or (at < len(parts) - 1 and p.startswith(f"{old}/"))]:
            content = files[path] if kind == 0 else files.pop(path)
            files[changed if path == name else changed.rsplit("/", 1)[0] + "/" + path.rsplit("/", 1)[1]] = content
    elif kind == 3:
        del files[name]
    elif kind == 4:
        links = (Path(name).name, "/dev/zero", "/nowhere/at/all", "/etc/passwd", "..", Path(rng.choice([*files])).name)
        files[name] = ("link", rng.choice(links))
    elif kind == 5:
        files[name] = ("fifo",)
    elif kind == 6:
        files[name] = ("folder",)
    else:
        files[name] = rng.choice((b"", b"\0", b"\xff\xfe", b"\n" * 100))


def _bytes(content: bytes, others: list[bytes], rng: Random) -> bytes:
    data = bytearray(content or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            data = data[: max(at, 1)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 64, 4096)))
        elif kind == 4:
            del data[at : at + rng.choice((1, 4, 64))]
            data = data or bytearray(b"\0")
        elif kind == 5:
            packed = struct.pack(rng.choice("<>") + "I", rng.choice(_SIZES))
            data[at : at + 4] = packed[: rng.choice((2, 4))]
        elif kind == 6 and others:
            other = rng.choice(others)
            data = data[:at] + other[rng.randrange(len(other) + 1) :]
            data = data or bytearray(b"\0")
        else:
            data[at:at] = data[at : at + rng.choice((1, 8, 200))]
    return bytes(data)


def _value(rng: Random) -> Any:
    return rng.choice(rng.choice((_NUMBERS, _TEXTS, _OTHERS)))


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        _places(item, found)
    return found


def value(content: Any, rng: Random) -> Any:
    """A JSON value with one or a few of its values replaced, removed, doubled, wrapped or moved; changed in place."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(content, [])
        if not places:
            return _value(rng)
        place, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind < 4:
            place[key] = _value(rng)
        elif kind == 4:
            del place[key]
        elif kind == 5:
            other, at = rng.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                place[key] = json.loads(json.dumps(other[at]))
        elif kind == 6 and isinstance(place, list):
            place.insert(key, json.loads(json.dumps(place[key])))
        elif kind == 6:
            place[rng.choice(_TEXTS)] = place.pop(key)
        else:
            place[key] = [place[key]] if rng.random() < 0.5 else {"": place[key]}
    return content


def _json(content: bytes, rng: Random) -> bytes:
    found = json.loads(content)
    text = json.dumps(value(found, rng) if rng.random() < 0.98 else _value(rng))
    if '"\\u2603deep"' in text:
        depth = rng.choice((100, 500, 950, 3000, 100_000))
        text = text.replace(
            '"\\u2603deep"', rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "0" + "}" * depth))
        )
    if rng.random() < 0.05 and text.startswith("{"):  # every key of the first level stands twice
        text = text[:-1] + "," + text[1:] if len(text) > 2 else text
    return text.encode(rng.choice(("utf-8",) * 20 + ("utf-16", "utf-8-sig")), "surrogatepass")


def _text(content: bytes, rng: Random) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    tokens = [m.span() for m in re.finditer(r"[\w.+-]+", text)]
    kind = rng.randrange(5)
    if kind < 3 and tokens:
        start, end = rng.choice(tokens)
        new = rng.choice((*_TOKENS, *_SNIPPETS)) if kind else str(_value(rng))[:6000]
        text = text[:start] + new + text[end:]
    elif kind == 3:
        lines = text.split("\n")
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[at:at] = [lines[other]] if rng.random() < 0.5 else [rng.choice(_SNIPPETS)]
        del lines[rng.randrange(len(lines)) : at]
        text = "\n".join(lines)
    else:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice((*_TOKENS, *_SNIPPETS)) + text[at:]
    return text.encode("utf-8", "surrogatepass" if rng.random() < 0.5 else "replace")


def _png(content: bytes, rng: Random) -> bytes:
    """Change a chunk and give it the right checksum, so that decoders go on."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + size]])
        at += 12 + size
    number = rng.randrange(len(chunks))
    kind = rng.randrange(6)
    if kind == 0:
        header = bytearray(chunks[0][1])
        where = rng.choice((0, 4))
        header[where : where + 4] = struct.pack(">I", rng.choice((*_SIZES, 13000, 9000)))
        chunks[0][1] = bytes(header)
    elif kind == 1:
        header = bytearray(chunks[0][1])
        header[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0][1] = bytes(header)
    elif kind == 2:
        names = (b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"iTXt", b"zTXt", b"iCCP", b"gAMA", b"IEND", b"IDAT")
        body = rng.choice((b"", rng.randbytes(20), b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"))
        chunks.insert(rng.randrange(1, len(chunks) + 1), [rng.choice(names), body])
    elif kind == 3:
        del chunks[number]
    elif kind == 4:
        chunks[number][1] = _bytes(chunks[number][1], [], rng)
    else:
        pixels = _bytes(zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT")), [], rng)
        chunks = [c for c in chunks if c[0] != b"IDAT"]
        chunks.insert(max(len(chunks) - 1, 1), [b"IDAT", zlib.compress(pixels)])
    out = content[:8]
    for name, data in chunks:
        out += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return out


def _zip(content: bytes, rng: Random) -> bytes:
    """Change one entry or a name in an archive that stays sound: weights, arrays, photographs."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        entries = [(info, packed.read(info)) for info in packed.infolist()]
    at = rng.randrange(len(entries))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        for number, (info, data) in enumerate(entries):
            if number == at:
                kind = rng.randrange(5)
                if kind == 0:
                    continue
                if kind == 1:
                    info.filename = rng.choice(("../x", "/x", "a/../../x", "c:\\x", "a\\b", *NAMES[2:12]))
                elif kind == 2:
                    packed.writestr(info.filename, data)
                elif kind == 3:
                    info.external_attr = rng.choice((0o120777, 0o010644, 0o060644)) << 16
                else:
                    data = _bytes(data, [], rng)
            name = info.filename.encode("utf-8", "replace").decode()
            new = zipfile.ZipInfo(name)
            new.external_attr, new.compress_type = info.external_attr, info.compress_type
            packed.writestr(new, data)
    return made.getvalue()


def _safetensors(content: bytes, rng: Random) -> bytes:
    """Change the header, a JSON with shapes and places, and keep its length right."""
    size = struct.unpack("<Q", content[:8])[0]
    header = _json(content[8 : 8 + size], rng)
    length = len(header) if rng.random() < 0.9 else rng.choice((0, 2**63, 2**64 - 1, len(content)))
    return struct.pack("<Q", length) + header + content[8 + size :]


_BY_KIND: tuple[tuple[tuple[str, ...], Callable[[bytes, Random], bytes]], ...] = (
    ((".json", ".ipynb"), _json),
    ((".xml", ".yaml", ".txt", ".csv"), _text),
    ((".png",), _png),
    ((".zip", ".npz", ".pt"), _zip),
    ((".safetensors",), _safetensors),
)
