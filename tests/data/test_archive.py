"""Archives: what is unpacked, what is refused, and that nothing ever lands outside of the target."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw3lib.data.fetch import archive as module
from hw3lib.data.fetch.archive import extract, safe_parts
from hw3lib.errors import Hw3Error

TREE = {
    "mvtec/bottle/train/good/000.png": b"a" * 3000,
    "mvtec/bottle/test/good/000.png": b"b",
    "mvtec/carpet/train/good/000.png": b"c",
    "mvtec/license.txt": b"free for some",
}


def make_tar(path: Path, entries: dict[str, bytes], mode: str = "w:xz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in entries.items():
            add(tar, name, content)
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))


def make_zip(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return path


def unpack(archive: Path, folder: str | None = None) -> Path:
    return extract(archive, archive.parent / "into" / "target", folder, progress=False)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_nothing_left(archive: Path) -> None:
    assert os.listdir(archive.parent) == [archive.name]


MAKERS = {
    "a.tar": lambda path, entries: make_tar(path, entries, "w"),
    "a.tar.gz": lambda path, entries: make_tar(path, entries, "w:gz"),
    "a.tar.bz2": lambda path, entries: make_tar(path, entries, "w:bz2"),
    "a.tar.xz": make_tar,
    "a.zip": make_zip,
    "stored.zip": lambda path, entries: make_zip(path, entries, zipfile.ZIP_STORED),
    "without_suffix": make_zip,
}
every_kind = pytest.mark.parametrize("name", MAKERS)


@every_kind
def test_everything(tmp_path, name):
    assert tree(unpack(MAKERS[name](tmp_path / name, TREE))) == TREE


@every_kind
@pytest.mark.parametrize("above", ["", "./", "mvtec/", "a/b/"])
def test_one_folder_wherever_it_is(tmp_path, name, above):
    entries = {above + inner.removeprefix("mvtec/"): content for inner, content in TREE.items()}
    found = tree(unpack(MAKERS[name](tmp_path / name, entries), "bottle"))
    assert found == {"train/good/000.png": b"a" * 3000, "test/good/000.png": b"b"}


def test_of_two_folders_of_one_name_the_first_counts(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"__MACOSX/bottle/x": b"0", "bottle/x": b"1", "old/bottle/x": b"2"})
    assert tree(unpack(archive, "bottle")) == {"x": b"1"}


def test_missing_folder_says_what_there_is(tmp_path):
    archive = make_tar(tmp_path / "a.tar.xz", {"carpet/x": b"", "bottle": b"a file"})
    with pytest.raises(Hw3Error, match="no files in a folder 'bottle'; at its top there is carpet, bottle"):
        unpack(archive, "bottle")
    assert_nothing_left(archive)


def test_folders_and_modes(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        add(tar, "d", type=tarfile.DIRTYPE, mode=0o000)
        add(tar, "d/empty", type=tarfile.DIRTYPE)
        add(tar, "d/run.sh", b"#!", mode=0o6777)
    target = unpack(archive)
    assert (target / "d/empty").is_dir()
    assert not (target / "d/run.sh").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


HOSTILE_NAMES = [
    "../evil",
    "/tmp/evil",
    "a/../../evil",
    "..",
    "a/..",
    "..\\evil",
    "C:\\evil",
    "C:evil",
    "//host/x/y",
]


@pytest.mark.parametrize("maker", ["a.tar", "a.zip"])
@pytest.mark.parametrize("evil", HOSTILE_NAMES)
def test_names_that_lead_out_are_refused(tmp_path, maker, evil):
    archive = MAKERS[maker](tmp_path / maker, {"good": b"1", evil: b"2"})
    with pytest.raises(Hw3Error, match=r"a\.(tar|zip) is refused: its entry '.*' is an absolute path"):
        unpack(archive)
    assert_nothing_left(archive)


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE", "GNUTYPE_SPARSE", "CONTTYPE"])
@pytest.mark.parametrize("python_filter", [True, False])
def test_links_and_devices_are_refused(tmp_path, kind, python_filter, monkeypatch):
    if not python_filter:  # as in the first releases of Python 3.10
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        add(tar, "x", b"1")
        add(tar, "evil", type=getattr(tarfile, kind), linkname="x")
    if kind == "CONTTYPE":  # an old name of a regular file
        assert tree(unpack(archive)) == {"x": b"1", "evil": b""}
        return
    with pytest.raises(Hw3Error, match="its entry 'evil' is a link or a special file"):
        unpack(archive)
    assert_nothing_left(archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_zip_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("evil")
    info.external_attr = (kind | 0o777) << 16
    archive = make_zip(tmp_path / "a.zip", {"x": b"1", info: b"/etc"})
    with pytest.raises(Hw3Error, match="its entry 'evil' is a link or a special file"):
        unpack(archive)
    assert_nothing_left(archive)


def test_hostile_entries_elsewhere_count_as_well(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"bottle/x": b"1", "carpet/../../evil": b"2"}, "w")
    with pytest.raises(Hw3Error, match="refused"):
        unpack(archive, "bottle")
    assert_nothing_left(archive)


def test_encrypted_zip_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x": b"1"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(Hw3Error, match="'x' is encrypted"):
        unpack(archive)


@every_kind
def test_too_many_files(tmp_path, name, monkeypatch):
    archive = MAKERS[name](tmp_path / name, {f"{n}": b"" for n in range(11)})
    monkeypatch.setattr(module, "_MOST_FILES", 10)
    with pytest.raises(Hw3Error, match="more than 10 entries"):
        unpack(archive)
    assert_nothing_left(archive)
    monkeypatch.setattr(module, "_MOST_FILES", 11)
    unpack(archive)


@every_kind
def test_too_large(tmp_path, name, monkeypatch):
    archive = MAKERS[name](tmp_path / name, {"a": bytes(600), "b": bytes(600)})
    monkeypatch.setattr(module, "_MOST_BYTES", 1199)
    with pytest.raises(Hw3Error, match="up to its entry 'b' it unpacks to more than 1.2 kB"):
        unpack(archive)
    assert_nothing_left(archive)
    monkeypatch.setattr(module, "_MOST_BYTES", 1200)
    unpack(archive)


@pytest.mark.parametrize("name", ["a.tar.xz", "a.zip"])
def test_bomb(tmp_path, name, monkeypatch):
    monkeypatch.setattr(module, "_BOMB_FROM", 1_000_000)
    archive = MAKERS[name](tmp_path / name, {f"{n}": bytes(400_000) for n in range(6)})
    with pytest.raises(Hw3Error, match="more than 200 times its own size"):
        unpack(archive)
    assert_nothing_left(archive)


def test_declared_size_is_judged_before_a_byte_is_unpacked(tmp_path):
    info = tarfile.TarInfo("huge")
    info.size = 10**15
    archive = tmp_path / "a.tar"
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(Hw3Error, match="'huge' it unpacks to more than 20.0 GB"):
        unpack(archive)
    assert_nothing_left(archive)


@pytest.mark.parametrize("content", [b"", b"a" * 5000, b"PK\x03\x04" + b"a" * 5000, b"\xfd7zXZ\x00" + b"a" * 5000])
def test_no_archive(tmp_path, content):
    archive = tmp_path / "a.tar.xz"
    archive.write_bytes(content)
    with pytest.raises(Hw3Error, match=r"a\.tar\.xz is damaged, incomplete or not a tar or zip archive"):
        unpack(archive)
    assert_nothing_left(archive)


def test_archive_that_is_not_there(tmp_path):
    with pytest.raises(Hw3Error, match=r"none\.zip cannot be read: No such file"):
        unpack(tmp_path / "none.zip")
    assert os.listdir(tmp_path) == []


@every_kind
def test_truncated_anywhere(tmp_path, name):
    whole = MAKERS[name](tmp_path / name, {f"{n}": os.urandom(3000) for n in range(4)}).read_bytes()
    archive = tmp_path / name
    # A plain tar ends with zeros that carry nothing: cut before them.
    end = len(whole.rstrip(b"\0")) if name == "a.tar" else len(whole)
    for length in [*range(0, end, 997), 512, 1024, 4096]:
        archive.write_bytes(whole[:length])
        with pytest.raises(Hw3Error, match="damaged"):
            unpack(archive)
        assert_nothing_left(archive)


@every_kind
def test_damaged_anywhere_gives_a_clear_error_or_the_files(tmp_path, name):
    whole = MAKERS[name](tmp_path / name, {"a": os.urandom(700), "b/c": b"2" * 700}).read_bytes()
    archive = tmp_path / name
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            unpack(archive)
            shutil.rmtree(tmp_path / "into")
        except Hw3Error:
            assert_nothing_left(archive)


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"a.tar"}))  # a plain tar has no checksum of its content
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_damaged_content_is_noticed(tmp_path, name, part):
    archive = MAKERS[name](tmp_path / name, {"noise": os.urandom(400_000)})
    content = bytearray(archive.read_bytes())
    content[int(len(content) * part)] ^= 1
    archive.write_bytes(content)
    with pytest.raises(Hw3Error, match="damaged"):
        unpack(archive)
    assert_nothing_left(archive)


def test_entry_shorter_than_declared(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x": b"1" * 100})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 24] += 1
    archive.write_bytes(content)
    with pytest.raises(Hw3Error, match="entry 'x' has 100 of 101 bytes"):
        unpack(archive)
    assert_nothing_left(archive)


def test_damaged_header_in_the_middle_is_not_the_end(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"a": b"1", "b": b"2"}, "w")
    content = bytearray(archive.read_bytes())
    content[1024 + 5] ^= 0xFF  # in the header of b
    archive.write_bytes(content)
    with pytest.raises(Hw3Error, match="damaged"):
        unpack(archive)
    assert_nothing_left(archive)


@pytest.mark.parametrize("maker", ["a.tar", "a.zip"])
@pytest.mark.parametrize("names", [["a", "a/b"], ["x" * 300], ["a/b", "a"], ["."]])
def test_names_that_cannot_be_made(tmp_path, maker, names):
    archive = MAKERS[maker](tmp_path / maker, dict.fromkeys(names, b"1"))
    with pytest.raises(Hw3Error, match="cannot be made"):
        unpack(archive)
    assert_nothing_left(archive)


def test_existing_target_is_kept(tmp_path):
    target = tmp_path / "into" / "target"
    target.mkdir(parents=True)
    (target / "mine").write_text("mine")
    with pytest.raises(Hw3Error, match="exists already"):
        unpack(make_zip(tmp_path / "a.zip", TREE))
    assert tree(tmp_path / "into") == {"target/mine": b"mine"}


def test_disk_full_midway(tmp_path, monkeypatch):
    archive = make_tar(tmp_path / "a.tar.xz", TREE)
    real = shutil.copyfileobj

    def full(source, out, length):
        if out.name.endswith("test/good/000.png"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, out, length)

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(Hw3Error, match="the disk is full .*Nothing half-written was left"):
        unpack(archive)
    assert_nothing_left(archive)


def test_disk_really_full(tmp_path, tiny_disk):
    archive = make_tar(tmp_path / "a.tar.xz", {f"{n}": bytes(100_000) for n in range(9)})
    with pytest.raises(Hw3Error, match=r"the disk is full \(.* free\).*Nothing half-written was left"):
        extract(archive, tiny_disk / "down" / "target", progress=False)
    assert os.listdir(tiny_disk) == []


def test_killed_while_unpacking_leaves_nothing_after_the_next_run(tmp_path):
    archive = make_tar(tmp_path / "a.tar.xz", TREE)
    die = (
        "import os, shutil, signal, sys\n"
        "from hw3lib.data.fetch.archive import extract\n"
        "shutil.copyfileobj = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "extract(sys.argv[1], sys.argv[2], progress=False)\n"
    )
    target = tmp_path / "into" / "target"
    done = subprocess.run([sys.executable, "-c", die, archive, target], env={**os.environ, "PYTHONPATH": _package()})
    assert done.returncode == -9
    assert len(os.listdir(target.parent)) == 1 and not target.exists()
    unpack(archive)
    assert os.listdir(target.parent) == ["target"]
    assert tree(target) == TREE


def _package() -> str:
    return str(Path(module.__file__).parents[3])


PARTS = ["..", ".", "", "a", "b", "C:", "\\", "~", " ", "é", "\u202e", "a\\b", "x:y"]
NAMES = st.lists(st.sampled_from(PARTS), min_size=1)


@settings(max_examples=60)
@given(names=st.lists(NAMES.map("/".join) | st.text(max_size=12), min_size=1, max_size=4), as_zip=st.booleans())
def test_no_name_ever_lands_outside(names, as_zip):
    with tempfile.TemporaryDirectory() as place:
        jail = Path(place) / "1/2/3/4"
        jail.mkdir(parents=True)
        archive = jail / "a"
        try:
            (make_zip if as_zip else MAKERS["a.tar"])(archive, {name: b"evil" for name in names})
        except (ValueError, UnicodeError, IndexError):  # a name that not even the packer takes
            return
        before = set(Path(place).rglob("*"))
        try:
            unpack(archive)
            inside = jail / "into"
            assert set(os.listdir(inside)) == {"target"}
            new = set(Path(place).rglob("*")) - before
            assert all(path.is_relative_to(inside) and not path.is_symlink() for path in new)
            assert not any(path.is_absolute() for path in map(Path, names))
        except Hw3Error:
            assert set(Path(place).rglob("*")) == before


@given(st.text() | NAMES.map("/".join))
def test_safe_parts_stay_inside(name):
    parts = safe_parts(name)
    if parts is not None:
        assert os.path.normpath(os.path.join("/jail", *parts)).startswith("/jail")
        assert len(Path("/jail", *parts).parts) == 2 + len(parts)


def test_a_tar_with_an_impossible_number_in_an_extension_is_damaged(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as file:
        for name in ("a", "b"):
            made = tarfile.TarInfo(name)
            made.pax_headers = {"GNU.sparse.map": "../x"} if name == "b" else {}
            file.addfile(made)
    with pytest.raises(Hw3Error, match=r"a\.tar"):
        extract(tmp_path / "a.tar", tmp_path / "out", progress=False)


def test_an_entry_without_a_name_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(zipfile.ZipInfo(""), b"x")
    with pytest.raises(Hw3Error, match=r"a\.zip"):
        extract(tmp_path / "a.zip", tmp_path / "out", progress=False)
