"""Optional parts are left out by a sentence: through the notebook, the commands and the app, without their packages."""

import json
import sys
from importlib import metadata

import pytest
import without
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hw3lib.core import optional, places
from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error

EXTRAS = ("yolo", "onnx", "heic", "kaggle")  # those that bring parts
AGPL = "AGPL-3.0: whoever passes on a program that uses it, or offers it over a network, must give its source"


def packages(extra):
    """Top-level modules of an extra's parts."""
    return {m.partition(".")[0] for part in optional.PARTS.values() if part.extra == extra for m in part.modules}


def command_of(extra):
    return f'To have it: make course EXTRAS={extra}, or pip install -e ".[{extra}]"'


@pytest.fixture
def hw3(tmp_path):
    """Function that runs a command without an extra's packages: its error, which is no traceback."""

    def run(extra, *arguments):
        blocked = without.alone_brought_by(extra) | packages(extra)
        done = without.run(tmp_path, blocked, "-m", "hw3lib.cli", *map(str, arguments), cwd=tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
        return done.stderr[done.stderr.index("error: ") :].strip()

    return run


def test_each_extra_is_declared_and_brings_its_parts_packages():
    declared = [Requirement(line) for line in metadata.requires("hw3lib") or []]
    for extra in EXTRAS:
        brought = {canonicalize_name(r.name) for r in declared if r.marker and r.marker.evaluate({"extra": extra})}
        assert {canonicalize_name(name) for name in packages(extra)} <= brought, extra
    assert {part.extra for part in optional.PARTS.values()} == {*EXTRAS, ""}


def test_what_only_ultralytics_brings_is_blocked_with_it():
    assert {"ultralytics", "cv2"} <= without.alone_brought_by("yolo")
    assert not {"torch", "numpy", "PIL", "yaml"} & without.not_required()


def test_every_module_is_imported_with_the_required_packages_alone(tmp_path):
    code = (
        "import importlib, pkgutil, sys, hw3lib\n"
        "names = [m.name for m in pkgutil.walk_packages(hw3lib.__path__, 'hw3lib.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))"
    )
    done = without.run(tmp_path, without.not_required(), "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150


def test_doctor_lists_all_parts_with_their_sentences(tmp_path):
    blocked = without.not_required() | set().union(*map(packages, EXTRAS))
    nowhere = {"PATH": str(tmp_path), "CHROMIUM": ""}
    done = without.run(tmp_path, blocked, "-m", "hw3lib.cli", "doctor", environment=nowhere, cwd=tmp_path)
    assert "Traceback" not in done.stdout + done.stderr and not done.stderr, done.stderr
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines() if "  optional: " in line]
    said = {name: (status, text) for status, _, name, text in lines}
    assert list(said) == list(optional.PARTS)
    for name, part in optional.PARTS.items():
        if name != "font":  # of the machine
            status, text = said[name]
            assert status == "WARN" and text.startswith(part.needs) and part.why in text and part.licence in text
            assert "To have it: " in text and (not part.extra or text.endswith(command_of(part.extra)))
    assert all(AGPL in said[name][1] for name in ("yolo", "yolo-weights")) and "Apache-2.0" in said["sam"][1]


def cells(**parameters):
    """The code of notebook 05 as one program, with other parameters and hardly any training."""
    source = (project_root() / "notebooks" / "sources" / "05_detection_segmentation.py").read_text(encoding="utf-8")
    assert source.count('{"quick": (256, 12),') == 1
    source = source.replace('{"quick": (256, 12),', '{"quick": (64, 1),')
    code = [cell.partition("\n")[2] for cell in source.split("\n# %%")[1:] if not cell.startswith(" [markdown]")]
    given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    return "\n".join([code[0], given, *code[1:]])


def test_notebook_05_ends_without_yolo_and_weights_and_the_report_says_so(category, tmp_path):
    from hw3lib import report

    program, out = tmp_path / "notebook.py", tmp_path / "run" / "05"
    program.write_text(cells(category="widget", data=str(category.parent), out=str(out), min_area=1), encoding="utf-8")
    blocked = without.alone_brought_by("yolo")
    done = without.run(tmp_path, blocked, str(program), cwd=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    # The summary, whose lines are wrapped, says it again.
    sam, *_ = (line for line in done.stdout.splitlines() if line.startswith("Left out: SAM "))
    yolo, *_ = (line for line in done.stdout.splitlines() if line.startswith("Left out: YOLOv8 "))
    assert "SAM needs the published weights mobile_sam.pt, which are not on this machine. Looked in " in sam
    assert "The download failed: " in sam and "Apache-2.0" in sam and "HW3_WEIGHTS" in sam
    assert "YOLOv8 and YOLO-World need the package ultralytics, which is not installed." in yolo
    assert AGPL in yolo and yolo.endswith(command_of("yolo") + ".")

    metrics = json.loads((out / "metrics.json").read_text())
    assert [row["model"] for row in metrics["detection"]] == ["FCOS"]
    assert set(metrics["left_out"]) == set(metrics["advice"]) == {"sam", "yolo"}
    made = report.build(out.parent, tmp_path / "report")
    page = plain(made.html.read_text(encoding="utf-8"))
    for step in ("sam", "yolo"):
        assert metrics["left_out"][step] in page
        assert metrics["advice"][step] in made.notes and metrics["advice"][step] not in page
    assert str(tmp_path) not in page, "where weights were looked for is of no use to the report's reader"


def plain(page):
    """The text of a page in HTML."""
    import html
    import re

    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())


def test_annotations_for_yolo_need_no_yolo(category, tmp_path):
    command = [
        "-m",
        "hw3lib.cli",
        "annotate",
        "widget",
        "--data",
        str(category.parent),
        "--format",
        "yolo",
        "yolo-seg",
    ]
    done = without.run(tmp_path, without.alone_brought_by("yolo"), *command, "--out", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "yolo" / "data.yaml").is_file()


def test_a_yolo_is_refused_by_the_sentence_where_only_a_package_that_it_brings_is_missing(tmp_path):
    """As after an installation that was interrupted, or an uninstalled opencv-python."""
    code = "from hw3lib.annotate.boxes.ultralytics import module; module('nn.tasks')"
    done = without.run(tmp_path, {"cv2"}, "-c", code, cwd=tmp_path)
    said = done.stderr.splitlines()[-1]
    assert "the package ultralytics, which is installed but cannot be imported (ModuleNotFoundError: " in said
    assert "No module named 'cv2'" in said and AGPL in said and said.endswith(command_of("yolo"))


@pytest.fixture
def detector(category, tmp_path):
    """Folder of a detector."""
    from hw3lib.anomaly import PaDiM
    from hw3lib.data import ImageStack, load_table

    table = load_table(category.parent, "widget")
    stack = ImageStack.load(table[~table["is_defect"]], 32)
    PaDiM(image_size=32).fit(stack, held_out=0.25, false_alarm_rate=0.5).save(tmp_path / "padim")
    return tmp_path / "padim"


@pytest.mark.filterwarnings("ignore::hw3lib.anomaly.thresholds.FewGoodImages")
def test_export_to_onnx_scoring_with_it_and_the_app_say_what_they_need(hw3, detector, category, tmp_path):
    (tmp_path / "made.onnx").write_bytes(b"")
    export = hw3("onnx", "detect", "export", detector, "--out", tmp_path / "new.onnx")
    assert "Export to ONNX needs the package onnx, which is not installed" in export
    score = hw3("onnx", "detect", "score", tmp_path / "made.onnx", category / "test" / "good", "--out", "results")
    app = hw3("onnx", "app", tmp_path / "made.onnx", "--port", 0, "--no-browser")
    for said in (score, app):
        assert "Scoring with an ONNX file needs the package onnxruntime, which is not installed" in said
    assert all(said.endswith(command_of("onnx")) for said in (export, score, app))
    assert not (tmp_path / "new.onnx").exists() and not (tmp_path / "results").exists()


def test_the_copy_on_kaggle_says_what_it_needs(hw3, tmp_path):
    said = hw3("kaggle", "data", "get", "bottle", "--source", "kaggle", "--accept-license", "--data", tmp_path / "data")
    assert "The copy of MVTec AD on Kaggle needs the package kagglehub, which is not installed" in said
    assert command_of("kaggle") in said


def test_screenshots_say_that_they_need_a_browser(tmp_path):
    script = str(project_root() / "docs" / "screenshots.py")
    nowhere = {"PATH": str(tmp_path), "CHROMIUM": str(tmp_path / "chromium")}
    done = without.run(tmp_path, set(), script, environment=nowhere, cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: Screenshots and tests in a browser need a browser, and none of chromium")
    assert "apt install chromium" in done.stderr
    done = without.run(tmp_path, {"playwright"}, script, cwd=tmp_path)
    assert done.returncode == 1 and "need the package playwright, which is not installed" in done.stderr


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Function that puts an onnxruntime of this content in place of the real one."""

    def install(content):
        package = tmp_path / "site" / "onnxruntime"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(content)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)

    yield install
    sys.modules.pop("onnxruntime", None)


@pytest.mark.parametrize(
    ("content", "lack"),
    [
        ("import not_there_at_all", r"cannot be imported \(ModuleNotFoundError: No module named 'not_there_at_all'\)"),
        ("raise ImportError('libGL.so.1: cannot open')", r"cannot be imported \(ImportError: libGL.so.1: cannot open"),
        ("raise OSError('libcudart.so')", r"cannot be imported \(OSError: libcudart.so\)"),
        ("raise RuntimeError('compiled for numpy 1\\nand more')", r"\(RuntimeError: compiled for numpy 1 and more\)"),
    ],
)
def test_a_broken_package_is_left_out_by_a_sentence_that_names_what_failed(installed, content, lack):
    installed(content)
    with pytest.raises(optional.Missing, match=lack) as caught:
        optional.load("onnxruntime", "onnxruntime")
    assert str(caught.value).endswith(command_of("onnx"))
    assert optional.missing("onnxruntime") == str(caught.value)


def test_a_bare_folder_is_no_package(tmp_path, monkeypatch):
    """What an uninstallation left, or a folder of the user's that happens to have the name."""
    (tmp_path / "hw3_leftover").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(optional.Missing, match="the package hw3-leftover, which is not installed"):
        optional.load("onnxruntime", "hw3_leftover")


def test_an_installed_package_names_another_command_than_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "__file__", str(tmp_path / "site-packages" / "hw3lib" / "core" / "places.py"))
    assert str(optional.lacking("onnx", "x")).endswith('To have it: pip install "hw3lib[onnx]"')


def test_the_error_survives_the_way_from_a_worker():
    import pickle

    error = optional.lacking("sam", "weights", "Looked nowhere")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, Hw3Error) and str(again) == str(error)
    assert (again.reason, again.advice) == (error.reason, error.advice) == ("SAM needs weights", error.advice)
