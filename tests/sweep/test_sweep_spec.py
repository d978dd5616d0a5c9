"""A sweep's file: what is refused and how, what it multiplies out to, and what its cells give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hw3lib.cli import main as cli
from hw3lib.core.provenance import code_version
from hw3lib.errors import Hw3Error
from hw3lib.sweep import Store, check_sweep, load, plan, read_spec, table
from hw3lib.sweep.work import Job, perform

SPEC = """
categories: [widget]
seeds: 2
n_splits: 2
test_size: 0.25
held_out: 0.4
device: cpu
attempts:
  - {name: tiny, image_size: 32, epochs: 1, batch_size: 4, lr: 1e-3}
detectors:
  - {name: neighbours, detector: knn, image_size: 32}
imbalance:
  - {method: class weights, ratio: 2, image_size: 32}
"""


@pytest.fixture
def folder(tmp_path, make_category, monkeypatch):
    """A folder that holds ``widget`` and ``spec.yaml``; the project is elsewhere."""
    monkeypatch.delenv("HW3_DATA", raising=False)
    for module in ("hw3lib.core.places", "hw3lib.sweep.results"):
        monkeypatch.setattr(f"{module}.project_root", lambda: tmp_path / "project")
    counts = {"train/good": 10, "test/good": 8, "test/dent": 8, "test/scratch": 8}
    make_category(tmp_path / "data/widget", counts, size=(36, 36))
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds: 2", "seads: 2", r"spec.yaml: unknown key 'seads'; did you mean 'seeds'\?"),
        ("seeds: 2", "seeds: [0, -1]", r"spec.yaml: seeds: found \[0, -1\], expected how many, or a list"),
        ("seeds: 2", "seeds: [3, 3]", "spec.yaml: seeds: 3 stands twice"),
        ("seeds: 2", "seeds: 2\nseeds: 3", "spec.yaml: is not valid YAML: 'seeds' stands twice"),
        ("seeds: 2", "seeds: [0", "spec.yaml: is not valid YAML"),
        ("seeds: 2", "profiles: [slow]", "spec.yaml: profiles: found 'slow', expected quick or full"),
        ("categories: [widget]", "categories: []", r"spec.yaml: categories: found \[\], expected a list of one"),
        ("n_splits: 2", "n_splits: 1", "spec.yaml: n_splits: found 1, expected an integer of 2 or more"),
        ("test_size: 0.25", "test_size: 1.5", "spec.yaml: test_size: found 1.5"),
        ("held_out: 0.4", "held_out: 2", "spec.yaml: held_out: found 2, expected a share"),
        ("device: cpu", "device: 3", "spec.yaml: device: found 3"),
        ("epochs: 1", "epoch: 1", r"attempts\[0\].epoch: an attempt has no such field; did you mean 'epochs'\?"),
        ("epochs: 1", "epochs: zero", r"attempts\[0\]: attempt 'tiny': epochs='zero', expected an integer"),
        ("name: tiny, ", "", r"attempts\[0\]: found .* expected fields of an attempt"),
        ("knn", "knnn", r"detectors\[0\].detector: unknown detector 'knnn'; did you mean 'knn'\?"),
        ("detector: knn", "detector: knn, k: 3", r"detectors\[0\]: knn has no parameter 'k'; it has"),
        ("detector: knn, image_size: 32", "detector: knn, image_size: 3", r"detectors\[0\]: .*image_size=3"),
        ("detector: knn", "detector: knn, seed: 3", r"detectors\[0\].seed: is the same for the whole sweep"),
        ("class weights", "clas weights", r"imbalance\[0\].method: unknown method .* did you mean 'class weights'\?"),
        ("ratio: 2", "ratio: 1", r"imbalance\[0\].ratio: found 1, expected a number above 1"),
        ("ratio: 2", "ratoi: 2", r"imbalance\[0\].ratoi: .* did you mean 'ratio'\?"),
        ("detectors:", "detectors:\n  - {name: again, detector: knn, image_size: 32}",
         r"detectors\[1\]: has the settings of 'again'"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_the_key_and_what_was_expected(folder, old, new, said):
    assert old in SPEC
    (folder / "spec.yaml").write_text(SPEC.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(Hw3Error, match=said):
        read_spec(folder / "spec.yaml")


def test_a_file_that_is_missing_or_asks_for_nothing_is_refused(folder):
    with pytest.raises(Hw3Error, match="nothing.yaml: cannot be read"):
        read_spec(folder / "nothing.yaml")
    (folder / "spec.yaml").write_text("categories: [widget]\n", encoding="utf-8")
    with pytest.raises(Hw3Error, match="nothing to run; expected one or more of attempts, detectors, imbalance"):
        read_spec(folder / "spec.yaml")


def test_what_the_images_do_not_allow_is_refused_before_anything_runs(folder, make_category):
    spec = read_spec(folder / "spec.yaml")
    with pytest.raises(Hw3Error, match="Unknown category 'wigdet'.* Did you mean 'widget'"):
        plan(replace(spec, categories=("wigdet",)), folder / "data", folder / "sweep")
    make_category(folder / "data/few", {"train/good": 10, "test/good": 1, "test/dent": 1})
    with pytest.raises(Hw3Error, match="spec.yaml: category 'few': too few images of all classes but one"):
        plan(replace(spec, categories=("few",)), folder / "data", folder / "sweep")
    only = replace(spec, categories=("bad",), variants=(spec.variants[1],))
    make_category(folder / "data/bad", {"test/good": 10, "test/dent": 2})
    with pytest.raises(Hw3Error, match="category 'bad': too few good training images .0.: a detector learns from 4"):
        plan(only, folder / "data", folder / "sweep")
    unknown = {**spec.variants[1][2], "parameters": {**spec.variants[1][2]["parameters"], "arch": "resnet999"}}
    cells = plan(replace(spec, variants=(("detector", "x", unknown),)), folder / "data", folder / "sweep")
    with pytest.raises(Hw3Error, match="resnet999"):
        check_sweep(cells)


def test_a_grid_is_multiplied_out_and_its_cells_are_run_and_gathered(folder):
    spec = read_spec(folder / "spec.yaml")
    cells = plan(spec, folder / "data", folder / "sweep")
    said = [(cell.kind, cell.name, cell.seed) for cell in cells]
    names = [("attempt", "tiny"), ("detector", "neighbours"), ("imbalance", "class weights 1:2")]
    assert said == [(*name, seed) for name in names for seed in (0, 1)]
    assert len({cell.key for cell in cells}) == 6
    check_sweep(cells, lambda _: None)
    for cell in cells[:5]:
        outcome = perform(Job(cell, str(folder / "sweep"), "test"))
        assert outcome.status == "done", outcome
    found = table(cells, folder / "sweep")
    assert found[["kind", "name", "seed"]].values.tolist() == [list(row) for row in said[:5]]
    attempts = found[found["kind"] == "attempt"]
    assert attempts["accuracy"].between(0, 1).all() and (attempts["ci_low"] <= attempts["accuracy"]).all()
    assert attempts["n_splits"].tolist() == [2, 2] and attempts["n_test"].tolist() == [6, 6]
    detectors = found[found["kind"] == "detector"]
    assert (detectors["auroc_low"] <= detectors["image_auroc"]).all() and detectors["pixel_auroc"].isna().all()
    assert found[found["kind"] == "imbalance"]["gain"].notna().all()
    assert (found["device"] == "cpu").all() and (found["seconds"] > 0).all()
    config = json.loads((Store(folder / "sweep").cell(cells[0].key) / "config.json").read_text(encoding="utf-8"))
    assert config["settings"]["attempt"]["lr"] == 0.001 and config["name"] == "tiny" and config["code"] == cells[0].code
    again = perform(Job(cells[0], str(folder / "other"), "test"))
    assert again.status == "done"
    first, second = (Store(folder / place).metrics(cells[0].key) for place in ("sweep", "other"))
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in second.items() if k != "seconds"}


def test_an_attempts_defaults_and_its_name_do_not_change_the_address(folder):
    def key() -> str:
        spec = read_spec(folder / "spec.yaml")
        return plan(spec, folder / "data", folder / "sweep")[0].key

    before = key()
    (folder / "spec.yaml").write_text(SPEC.replace("name: tiny", "name: small, optimiser: adam"), encoding="utf-8")
    assert key() == before
    (folder / "spec.yaml").write_text(SPEC.replace("lr: 1e-3", "lr: 2e-3"), encoding="utf-8")
    assert key() != before


def test_a_worker_with_other_data_code_or_packages_does_not_answer(folder):
    spec = read_spec(folder / "spec.yaml")
    cell = plan(spec, folder / "data", folder / "sweep")[0]
    for change, said in (
        ({"code": "x"}, "has hw3lib's code .* planned with x"),
        ({"versions": {**cell.versions, "torch": "0.1"}}, "has torch .*, the sweep was planned with 0.1"),
        ({"data_digest": "0" * 64}, "its files are not those the sweep was planned with"),
    ):
        outcome = perform(Job(replace(cell, **change), str(folder / "sweep"), "test"))
        assert outcome.status == "failed"
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(outcome.message)


def hw3_sweep(folder: Path, *arguments: str) -> int:
    command = ["sweep", str(folder / "spec.yaml"), "--data", str(folder / "data"), *arguments, "--debug"]
    return cli.main(command)


def test_the_command_lists_runs_reports_and_runs_again_only_what_failed(folder, capsys):
    code_version.cache_clear()  # worker processes read the files as they are now
    # A rate at which the loss overflows is found only in training.
    failing = "  - {name: hasty, image_size: 32, epochs: 1, batch_size: 4, lr: 1e30, optimiser: sgd}\n"
    (folder / "spec.yaml").write_text(
        SPEC.split("detectors:")[0].replace("seeds: 2", "seeds: [7]") + failing, encoding="utf-8"
    )
    assert hw3_sweep(folder, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "2 cells (2 attempt), 2 to run" in said and said.count("to run  ") == 2
    assert not (folder / "project").exists()
    assert hw3_sweep(folder, "--workers", "1", "--name", "mine") == 1
    said = capsys.readouterr()
    assert "checked: 2 combinations" in said.out
    assert "1 of 2 cells are finished, 0 of them before; 1 failed" in said.out
    log = Path(said.err.split("log: ")[1].strip())
    assert "failed: widget, attempt hasty, seed 7, quick" in said.err and "loss" in log.read_text(encoding="utf-8")
    found = load("mine")
    assert found[["name", "seed"]].values.tolist() == [["tiny", 7]]
    (folder / "spec.yaml").write_text(
        (folder / "project/runs/sweeps/mine/spec.yaml").read_text(encoding="utf-8").replace(failing, ""),
        encoding="utf-8",
    )
    assert hw3_sweep(folder, "--name", "mine") == 0
    assert "1 of 1 cells are finished, 1 of them before; 0 failed" in capsys.readouterr().out


def test_a_sweeps_name_is_no_folder(folder):
    with pytest.raises(Hw3Error, match="the sweep's name is 'a/b'"):
        hw3_sweep(folder, "--name", "a/b")
