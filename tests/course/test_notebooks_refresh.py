"""A refresh of a notebook changes only what truly changed."""

import base64
import copy
import io

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from hw3lib.annotate import weights
from hw3lib.course import build as notebooks
from hw3lib.course.build import same_but_for_times, write_executed
from hw3lib.data.fetch.download import SourceFailed


def picture(value=0, compression=6):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(file, "PNG", compress_level=compression)
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def executed():
    text = new_output("stream", name="stdout", text="PatchCore: 3.2 s to fit, 51 ms an image, AUROC 0.92\n")
    shown = new_output("display_data", data={"image/png": picture(), "text/plain": "<Figure>"})
    timed = new_output("execute_result", data={"text/plain": "seconds 3.2"}, execution_count=2)
    cells = [
        new_code_cell("a", id="a", outputs=[text, shown], execution_count=1),
        new_code_cell("b", id="b", outputs=[timed], execution_count=2, metadata={"tags": ["timings"]}),
    ]
    return new_notebook(cells=cells)


def test_other_times_and_another_compression_change_nothing(executed, tmp_path):
    path = tmp_path / "01.ipynb"
    assert write_executed(path, executed)
    before = path.read_bytes()
    other = copy.deepcopy(executed)
    other.cells[0].outputs[0].text = "PatchCore: 4 s to fit, 48.5 ms an image, AUROC 0.92\n"
    other.cells[0].outputs[1].data["image/png"] = picture(compression=0)
    other.cells[1].outputs[0].data["text/plain"] = "seconds 4.1"
    assert other.cells[0].outputs[1].data["image/png"] != picture()
    assert not write_executed(path, other)
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ["text", "picture", "source", "cell", "metadata", "unit"])
def test_what_truly_changed_is_written(executed, what, tmp_path):
    path = tmp_path / "01.ipynb"
    write_executed(path, executed)
    other = copy.deepcopy(executed)
    if what == "text":
        other.cells[0].outputs[0].text = "PatchCore: 3.2 s to fit, 51 ms an image, AUROC 0.91\n"
    if what == "unit":
        other.cells[0].outputs[0].text = "PatchCore: 3.2 m to fit, 51 ms an image, AUROC 0.92\n"
    if what == "picture":
        other.cells[0].outputs[1].data["image/png"] = picture(1)
    if what == "source":
        other.cells[1].source = "c"
    if what == "cell":
        other.cells.pop()
    if what == "metadata":
        other.metadata["hw3lib"] = {"files": []}
    assert not same_but_for_times(executed, other)
    assert write_executed(path, other)
    assert nbformat.read(path, as_version=4) == other


def test_a_chapter_is_not_written_without_the_weights_of_its_models(tmp_path, monkeypatch, capsys):
    sources = tmp_path / "notebooks" / "sources"
    (sources / "exercises").mkdir(parents=True)
    (sources / "exercises" / "capstone.py").write_text("# %% [markdown]\n# # Capstone\n")
    (sources / "05_models.py").write_text(
        "# %% [markdown]\n# # 5. Models\n\n# %%\nfrom hw3lib.annotate.masks.sam import Segmenter\n"
    )

    def unreachable(*_, **__):
        raise SourceFailed("no network")

    monkeypatch.setattr(notebooks, "project_root", lambda: tmp_path)
    monkeypatch.setattr(weights, "download", unreachable)
    monkeypatch.setenv("HW3_WEIGHTS", str(tmp_path / "nothing"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    assert notebooks.main(["05"]) == 1
    said = capsys.readouterr().err
    assert "05_models.py: SAM needs the published weights mobile_sam.pt" in said and "HW3_WEIGHTS" in said
    assert not (tmp_path / "notebooks" / "05_models.ipynb").exists()
