"""Where a category comes from: folders, generator, archives, server, Kaggle; and what is said when none has it."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import pytest

from hw3lib.data import synthetic
from hw3lib.data.fetch import sources
from hw3lib.data.fetch.official import OFFICIAL
from hw3lib.data.fetch.sources import LICENCE, SOURCES, get
from hw3lib.errors import Hw3Error

DATASET = {
    f"{category}/{file}": category.encode()
    for category in ("bottle", "carpet")
    for file in ("train/good/000.png", "test/good/000.png", "readme.txt")
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, and no way to the real servers."""
    monkeypatch.setattr("hw3lib.core.places.project_root", lambda: tmp_path / "project")
    monkeypatch.setitem(SOURCES, "official", sources.Source("official", "the archive"))
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def official(server, tmp_path, monkeypatch) -> str:
    """The address of a small official archive, which is not yet among the sources."""
    archive = make_tar(tmp_path / "served.tar.xz", DATASET)
    server.files["/mvtec.tar.xz"] = archive.read_bytes()
    monkeypatch.setattr(sources, "ARCHIVE_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    archive.unlink()
    return server.url + "/mvtec.tar.xz"


def make_tar(path: Path, entries: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def make_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return path


def serve(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    monkeypatch.setitem(SOURCES, "official", sources.Source("official", "the archive", urls))


def put(root: Path, category: str) -> Path:
    (root / category / "train" / "good").mkdir(parents=True)
    return root


def fetch(category: str, data: Path | str | None = None, **options: object) -> Path:
    return get(category, data, **{"progress": False, "accept_license": True, **options})


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


BOTTLE = {"train/good/000.png": b"bottle", "test/good/000.png": b"bottle", "readme.txt": b"bottle"}


# ------------------------------------------------------------------------------------------------ what is there


def test_counts_add_up_to_the_published_ones():
    assert len(OFFICIAL) == 15
    assert sum(c.train_good for c in OFFICIAL.values()) == 3629
    assert sum(c.test_total for c in OFFICIAL.values()) == 1725
    detailed = {name: c for name, c in OFFICIAL.items() if c.defects}
    assert set(detailed) == {"carpet", "wood", "bottle", "capsule"}
    assert all(c.test_good + sum(c.defects.values()) == c.test_total for c in detailed.values())


def test_list_of_the_synthetic_categories():
    assert set(sources.SYNTHETIC) == {f"synthetic/{name}" for name in synthetic.PRODUCTS}


def test_folders_are_searched_in_order(tmp_path, project, monkeypatch):
    put(project / "data", "bottle")
    assert fetch("bottle") == project / "data"
    monkeypatch.setenv("HW3_DATA", str(put(tmp_path / "env", "bottle")))
    assert fetch("bottle") == tmp_path / "env"
    assert fetch("bottle/", put(tmp_path / "argument", "bottle")) == tmp_path / "argument"


def test_what_is_there_needs_neither_a_known_name_nor_a_licence(tmp_path):
    put(tmp_path, "my_screws")
    assert fetch("my_screws", tmp_path, accept_license=False) == tmp_path


@pytest.mark.parametrize("category", ["bottle", "my_screws", "synthetic/carpet"])
def test_one_level_too_low(tmp_path, category, monkeypatch):
    put(tmp_path / "d", category)
    with pytest.raises(Hw3Error, match=rf"one level too low\. Use --data {tmp_path / 'd'}$"):
        fetch(category, tmp_path / "d" / category)
    monkeypatch.chdir(tmp_path / "d" / category)
    with pytest.raises(Hw3Error, match=rf"one level too low\. Use --data {tmp_path / 'd'}$"):
        fetch(category, ".")


def test_folder_of_the_synthetic_ones_is_one_level_too_low(tmp_path):
    put(tmp_path / "d", "synthetic/carpet")
    with pytest.raises(Hw3Error, match=rf"one level too low\. Use --data {tmp_path / 'd'}$"):
        fetch("synthetic/carpet", tmp_path / "d" / "synthetic")


def test_one_level_too_high(tmp_path):
    put(tmp_path / "d" / "mvtec_ad", "bottle")
    with pytest.raises(Hw3Error, match=rf"one level too high\. Use --data {tmp_path / 'd' / 'mvtec_ad'}$"):
        fetch("bottle", tmp_path / "d")


def test_synthetic_namesake_is_not_taken_for_the_real_one(project):
    put(project / "data", "synthetic/bottle")
    with pytest.raises(Hw3Error, match="licence"):
        fetch("bottle", accept_license=False)


@pytest.mark.parametrize(
    ("name", "near"),
    [("botle", "bottle"), ("Carpet", "carpet"), ("synthetic/wod", "synthetic/wood"), ("screws", "screw")],
)
def test_unknown_category_names_the_nearest(name, near):
    with pytest.raises(Hw3Error, match=f"Unknown category '{name}'. Did you mean '{near}'") as caught:
        fetch(name)
    assert all(known in str(caught.value) for known in [*OFFICIAL, *sources.SYNTHETIC])


def test_unknown_category_may_be_one_of_your_own(tmp_path):
    put(tmp_path, "zahnrad")
    with pytest.raises(Hw3Error, match="Did you mean 'zahnrad'"):
        fetch("zahnrat", tmp_path)


@pytest.mark.parametrize("name", ["", "/", "..", "../project", "a/../../project", "qqqqqq"])
def test_unknown_category_without_a_near_one(project, name):
    with pytest.raises(Hw3Error, match="Unknown category"):
        fetch(name, project)


# ------------------------------------------------------------------------------------------------ synthetic


@pytest.fixture
def made(monkeypatch) -> list[tuple]:
    calls: list[tuple] = []
    monkeypatch.setattr(synthetic, "make", lambda *a, **k: calls.append((a, k)), raising=False)
    return calls


def test_synthetic_is_made_in_the_project_without_a_licence(project, made):
    assert fetch("synthetic/wood", profile="full", seed=3, accept_license=False) == project / "data"
    assert made == [(("synthetic/wood", project / "data"), {"profile": "full", "seed": 3, "progress": False})]


def test_synthetic_goes_to_the_first_root_that_can_be_written(tmp_path, project, made, read_only_disk, monkeypatch):
    monkeypatch.setenv("HW3_DATA", str(tmp_path / "env"))
    assert fetch("synthetic/wood") == tmp_path / "env"
    assert fetch("synthetic/wood", tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.setenv("HW3_DATA", str(read_only_disk))
    assert fetch("synthetic/wood") == project / "data"
    assert fetch("synthetic/wood", read_only_disk) == read_only_disk, "what was asked for is not changed silently"


# ------------------------------------------------------------------------------------------------ local archive


@pytest.mark.parametrize("maker", [make_tar, make_zip])
@pytest.mark.parametrize("source", ["auto", "local"])
def test_local_archive(tmp_path, maker, source):
    archive = maker(tmp_path / "a", DATASET)
    assert fetch("bottle", tmp_path / "d", archive=archive, source=source) == tmp_path / "d"
    assert content(tmp_path / "d") == {f"bottle/{name}": data for name, data in BOTTLE.items()}
    archive.unlink()
    assert fetch("bottle", tmp_path / "d", archive=archive) == tmp_path / "d", "what is there is not unpacked again"


def test_local_archive_without_the_category(tmp_path):
    archive = make_zip(tmp_path / "a.zip", DATASET)
    with pytest.raises(Hw3Error, match="no files in a folder 'wood'; at its top there is bottle, carpet"):
        fetch("wood", tmp_path / "d", archive=archive)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("source", "archive"), [("local", None), ("kaggle", "a.zip"), ("web", None)])
def test_source_and_archive_must_fit(source, archive):
    with pytest.raises(Hw3Error, match="source"):
        fetch("bottle", source=source, archive=archive)


# ------------------------------------------------------------------------------------------------ official


def test_licence_comes_first(server, official, project, monkeypatch):
    serve(monkeypatch, official)
    for source in ("auto", "official", "kaggle"):
        with pytest.raises(Hw3Error) as caught:
            get("bottle", source=source, progress=False)
        assert LICENCE in str(caught.value) and "--accept-license" in str(caught.value)
    assert server.requests == []
    assert list(project.iterdir()) == []


def test_licence_text_says_what_matters():
    for part in ("CC BY-NC-SA 4.0", "MVTec Software GmbH", "no commercial use", "Bergmann", "CVPR 2019"):
        assert part in LICENCE


def test_official_archive(server, official, project, monkeypatch, capsys):
    serve(monkeypatch, official)
    assert fetch("bottle") == project / "data"
    assert LICENCE in capsys.readouterr().err
    assert content(project / "data" / "bottle") == BOTTLE
    assert not (project / "data" / "carpet").exists()
    fetch("carpet")
    assert len(server.requests) == 1, "the archive is kept for the next category"
    assert (project / "data" / ".downloads" / sources.ARCHIVE).exists()


def test_second_address_and_mirror(server, official, project, monkeypatch):
    serve(monkeypatch, server.url + "/gone.tar.xz", official)
    monkeypatch.setenv("HW3_MVTEC_URL", server.url + "/mirror.tar.xz")
    fetch("bottle")
    assert [path for path, _ in server.requests] == ["/mirror.tar.xz", "/gone.tar.xz", "/mvtec.tar.xz"]


def test_real_table_of_sources(monkeypatch):
    monkeypatch.undo()
    assert set(SOURCES) == {"official", "kaggle", "local"}
    urls = sources.official_urls()
    assert len(urls) >= 2 and all(url.startswith("https://") and url.endswith(".tar.xz") for url in urls)
    assert len(sources.ARCHIVE_SHA256) == 64


def test_wrong_archive_from_everywhere_says_so_and_how_to_do_it_by_hand(server, official, project, monkeypatch):
    server.files["/mvtec.tar.xz"] = b"another file"
    serve(monkeypatch, official)
    with pytest.raises(Hw3Error) as caught:
        fetch("bottle")
    message = str(caught.value)
    for part in (
        "No source gave the category 'bottle'",
        official,
        f"expected {sources.ARCHIVE_SHA256}",
        "pip install kagglehub",
        f"By hand: download bottle or the whole dataset in a browser from\n  {sources.PAGE}",
        str(project / "data" / "bottle" / "ground_truth" / "<defect>" / "000_mask.png"),
        "--archive",
        "HW3_MVTEC_URL",
    ):
        assert part in message
    assert content(project) == {}


def test_full_disk_does_not_go_on_to_the_next_source(official, monkeypatch):
    serve(monkeypatch, official)
    kaggle = kaggle_with(monkeypatch, None)
    monkeypatch.setattr("hw3lib.data.fetch.download._SPARE_DISK", 10**18)
    with pytest.raises(Hw3Error, match="Not enough space"):
        fetch("bottle")
    assert kaggle == []


@pytest.mark.parametrize("source", ["official", "kaggle", "archive"])
def test_read_only_place(source, official, tmp_path, read_only_disk, monkeypatch):
    serve(monkeypatch, official)
    put(tmp_path / "cache", "bottle")
    kaggle_with(monkeypatch, tmp_path / "cache")
    options = {"source": source} if source != "archive" else {"archive": make_zip(tmp_path / "a.zip", DATASET)}
    with pytest.raises(Hw3Error, match=rf"Cannot write in {read_only_disk}.*read-only file system"):
        fetch("bottle", read_only_disk, **options)


# ------------------------------------------------------------------------------------------------ Kaggle


def kaggle_with(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception | None) -> list[str]:
    """Put a kagglehub in place that gives this folder or raises this error; returns what it is asked for."""
    asked: list[str] = []

    def dataset_download(name: str) -> str:
        asked.append(name)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    stub = types.ModuleType("kagglehub")
    stub.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", stub)
    return asked


@pytest.mark.parametrize("above", ["", "mvtec_ad", "versions/2"])
@pytest.mark.parametrize("source", ["auto", "kaggle"])
def test_kaggle(server, tmp_path, project, monkeypatch, above, source):
    serve(monkeypatch, server.url + "/gone")
    cache = tmp_path / "cache"
    put(cache / above, "bottle")
    (cache / above / "bottle" / "train" / "good" / "000.png").write_bytes(b"1")
    asked = kaggle_with(monkeypatch, cache)
    assert fetch("bottle", source=source) == project / "data"
    assert asked == ["ipythonx/mvtec-ad"]
    assert len(server.requests) == (source == "auto"), "official comes first"
    assert content(project / "data") == {"bottle/train/good/000.png": b"1"}
    fetch("bottle", source=source)
    assert len(asked) == 1


def test_kaggle_fails(tmp_path, monkeypatch):
    kaggle_with(monkeypatch, RuntimeError("401 log in first"))
    with pytest.raises(Hw3Error, match="kagglehub: RuntimeError: 401 log in first"):
        fetch("bottle", source="kaggle")
    kaggle_with(monkeypatch, put(tmp_path / "cache", "carpet"))
    with pytest.raises(Hw3Error, match="has no folder bottle"):
        fetch("bottle", source="kaggle")
