"""What the benchmarks report rests on: the same images for both programs, counted operations, a table that adds up."""

import multiprocessing
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.peers import compare, student, student_gpu, student_scratch
from benchmarks.programs import run_program
from hw3lib.classify import Attempt
from hw3lib.classify.student_reports.reports import REPORTS
from hw3lib.data import read_image
from hw3lib.errors import Hw3Error


@pytest.fixture
def bottle(tmp_path: Path, make_category) -> Path:
    """Folder that holds ``widget``: four classes of 10 images."""
    make_category(tmp_path / "widget", {f"test/{name}": 10 for name in ("good", "dent", "hole", "scratch")})
    return tmp_path


def test_an_unknown_benchmark_is_refused_by_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "student_scrach"])
    with pytest.raises(SystemExit):
        command.main()
    assert "student_scrach" in capsys.readouterr().err


def test_both_programs_get_the_same_images_of_a_split(bottle, tmp_path):
    table, split = compare.draw("widget", str(bottle), REPORTS["bottle"], 1)[0]
    assert [len(rows) for rows in split] == [32, 8]
    folder = student.write_folders(table, split, tmp_path / "folders")
    for part, rows in zip(("train", "test"), split, strict=True):
        chosen = table.iloc[rows]
        images = zip(chosen["defect"], chosen["image"], strict=True)
        expected = sorted((name, read_image(image).sum()) for name, image in images)
        files = sorted((folder / part).rglob("*.png"))
        assert sorted((file.parent.name, read_image(file).sum()) for file in files) == expected


def test_operations_are_those_of_resnet18_at_224_pixels():
    attempt = Attempt("a", "resnet18", image_size=224)
    forward = compare.operations(attempt, 1000, backward=False)
    assert forward / 2 == pytest.approx(1.814e9, rel=2e-3)  # torchvision's table of weights: 1.81 GMACs
    # Twice the forward again, less the gradient of the first convolution's input.
    first = 2 * 112 * 112 * 64 * 3 * 49
    assert compare.operations(attempt, 1000, backward=True) == 3 * forward - first


def test_a_machine_without_a_gpu_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    student_gpu.main("widget", None)
    assert "no CUDA GPU" in capsys.readouterr().out


def test_a_ratio_is_of_pairs_and_without_evaluation_leaves_out_all_but_the_last(capsys):
    common = {"correct": 1, "tested": 2, "device_bytes": 0}
    theirs = [{"seconds": s, "seconds_evaluated_once": s / 2, **common} for s in (8, 9)]
    own = [{"seconds": s, **common} for s in (4, 1)]
    ways = [compare.Runs("student", 1, theirs), compare.Runs("ours", 1, own)]
    compare.report(ways, 100, [1.0, 1.0], target=3, device="cpu")
    last = capsys.readouterr().out.splitlines()[-1]
    assert "student / ours: 5.5 (2.0 to 9.0), expected 3 or more; 2.8 (1.0 to 4.5)" in last


def test_the_comparison_runs_from_files_to_table(bottle, capsys):
    student_scratch.main("widget", str(bottle), repeats=1, image_size=32, epochs=1)
    out = capsys.readouterr().out
    for way in ("student", "ours, float32"):
        assert re.search(rf"^  {way} .*, 1 splits, 8 tests$", out, re.M)
    assert "student / ours, float32: " in out


def hold(count: int) -> dict:
    """Keep so many bytes for as long as it takes to be seen."""
    block = np.ones(count, np.uint8)
    time.sleep(1)
    return {"start_method": multiprocessing.get_start_method(), "sum": int(block.sum())}


def test_peak_memory_is_that_of_the_other_process():
    assert 300e6 < compare.peak_memory(hold, 300_000_000) < 300e6 + 2e9


def test_workers_of_a_fresh_process_start_as_those_of_any_program():
    assert compare.in_fresh_process(hold, 1) == {"start_method": multiprocessing.get_start_method(), "sum": 1}


def test_a_measured_program_says_what_it_found_and_how_much_memory_it_took():
    program = """
block = b"x" * int(sys.argv[1])
print("by the way")
print(json.dumps({"held": len(block), "peak": memory("VmHWM")}))
"""
    found = run_program(sys.executable, program, 50_000_000)
    assert found["held"] == 50_000_000 and 50_000_000 < found["peak"] < 500_000_000


def test_a_measured_program_that_fails_is_reported_with_its_last_words():
    with pytest.raises(Hw3Error, match=r"ended with 3:\nno weights"):
        run_program(sys.executable, "print('no weights', file=sys.stderr); sys.exit(3)")
