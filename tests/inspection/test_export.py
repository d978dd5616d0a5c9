"""``hw3 inspect export``: a whole inspector without PyTorch says the same, by the same commands and by a client."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from hw3lib.cli.main import main
from hw3lib.core.places import project_root
from hw3lib.data import read_image
from hw3lib.errors import Hw3Error
from hw3lib.inspection import export as module
from hw3lib.inspection.inspector import Inspector

pytest.importorskip("onnxscript", reason="export needs onnx, onnxscript and onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")
# What the runtime does without, and what brings it.
WITHOUT = ("torch", "torchvision", "timm", "transformers", "accelerate", "sklearn", "pandas", "matplotlib", "numba")
BARE = (
    "import sys\n"
    "class Without:\n"
    "    def find_spec(self, name, *_):\n"
    f"        if name.partition('.')[0] in {WITHOUT}: raise ModuleNotFoundError(name, name=name)\n"
    "sys.meta_path.insert(0, Without())\n"
    "from hw3lib.cli import main\n"
    "main.package_version = lambda _: '1'  # as if it were installed as hw3lib-runtime\n"
    "sys.exit(main.main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def exported(home):
    """The folder, and what was said."""
    said = []
    done = module.export(home / "inspector", home / "exported", check=home / "plates", echo=said.append)
    assert done.photographs == 8 and done.typed == done.anomalous >= 6 and done.agrees
    assert "8 photographs" in said[-1] and "no verdicts differ" in said[-1] and "no sets of types differ" in said[-1]
    return home / "exported"


def run_bare(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", BARE, "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=project_root(), timeout=120)


def test_the_same_rows_come_without_torch(home, exported, today):
    def rows(text):
        return [json.loads(line) for line in text.splitlines()]

    arguments = ("score", exported, today, "--out", "-", "--format", "jsonl")
    ran = run_bare(*arguments)
    assert ran.returncode == 1 and len(rows(ran.stdout)) == 7, ran.stderr
    wanted = Inspector(home / "inspector")
    for row in rows(ran.stdout)[:3]:
        image = np.asarray(Image.open(row["file"]))
        types = row["probabilities"] if row["verdict"] == "anomalous" else None
        if types is not None:
            assert row["types"] == wanted.types.type_of(image).names and len(row["regions"]) > 0
            assert types == pytest.approx(wanted.types.type_of(image).probabilities, abs=1e-4)
    assert [row["verdict"] for row in rows(ran.stdout)][:6] == ["good", "anomalous", "anomalous", *["implausible"] * 3]
    assert "truncated" in rows(ran.stdout)[6]["reason"]


def test_a_verdict_and_its_types_wait_for_no_scipy(exported, today):
    command = [sys.executable, "-c", BARE.replace("'torch',", "'torch', 'scipy',")]  # slow to import
    files = [today / name for name in ("a_good.png", "b_rust.png")]
    ran = subprocess.run(
        [*command, "inspect", "score", str(exported), *map(str, files), "--out", "-"],
        capture_output=True,
        text=True,
        cwd=project_root(),
        timeout=120,
    )
    assert ran.returncode == 3, ran.stderr
    assert [row.split(",")[-2] for row in ran.stdout.splitlines()[1:]] == ["good", "anomalous"]


def test_it_is_served_and_drawn_without_torch(exported, today):
    command = [sys.executable, "-c", BARE, "inspect", "serve", str(exported), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=project_root()) as server:
        try:
            address = next(line.split()[1] for line in server.stdout if line.startswith("page:"))
            content = (today / "b_rust.png").read_bytes()
            with urlopen(Request(f"{address}inspect?pictures=1&name=b", content), timeout=60) as answer:
                said = json.loads(answer.read())
        finally:
            server.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.wait(30)
            server.kill()
    assert said["verdict"] == "anomalous" and said["type_set"][0] == "rust" and said["heat_map"]
    assert "cross-validation" in said["type"] and said["regions"]


def test_one_that_says_something_else_is_not_written(home, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "export_types", lambda *_: None)
    monkeypatch.setattr(module, "export_detector", lambda _, file: shutil.copy(exported / "detector.onnx", file))
    with pytest.raises(Hw3Error, match=r"not written, for with onnxruntime it is not .* verdicts differ"):
        module.export(home / "inspector", tmp_path / "out", check=home / "plates", echo=lambda _: None)
    assert not list(tmp_path.iterdir())


def test_a_damaged_network_is_refused(exported, today, tmp_path, capsys):
    file = exported / "types/region.onnx"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert main(["inspect", "score", str(exported), str(today), "--out", str(tmp_path / "r")]) == 2
    finally:
        file.write_bytes(content)
    assert "region.onnx is damaged, its SHA-256 is not the one in types.json" in capsys.readouterr().err


def test_a_client_of_thirty_lines_agrees(home, exported, today):
    client = project_root() / "docs/examples/clients/judge.py"
    assert len(client.read_text(encoding="utf-8").splitlines()) <= 30
    files = [today / "a_good.png", today / "b_rust.png"]
    ran = subprocess.run([sys.executable, client, exported, *files], capture_output=True, text=True, timeout=60)
    told = [line.rsplit(" ", 3) for line in ran.stdout.splitlines()]
    inspector = Inspector(home / "inspector")
    assert [(Path(file).name, verdict) for file, verdict, *_ in told] == [
        ("a_good.png", "good"), ("b_rust.png", "anomalous")
    ], ran.stderr  # fmt: skip
    for file, _, score, p in told:
        found = inspector.model.decision_function(read_image(file, inspector.model.image_size).transpose(2, 0, 1)[None])
        assert float(score) == pytest.approx(float(found[0]), rel=1e-4)
        assert float(p) == pytest.approx(float(inspector.model.p_values(found)[0]), rel=1e-3)


def test_a_command_that_needs_more_says_so(home, tmp_path):
    ran = run_bare("fit", home / "plates", "--out", tmp_path / "x")
    assert ran.returncode == 2 and ran.stderr.startswith("error: this needs ") and "hw3lib-runtime" in ran.stderr
