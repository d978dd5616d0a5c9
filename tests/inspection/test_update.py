"""Learning on: an update is near a fit on all, is refused where it makes things worse, and can be taken back."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.anomaly import PaDiM, PatchCore
from hw3lib.anomaly.coreset import k_center_greedy
from hw3lib.anomaly.registry import load
from hw3lib.classify.guided.types import DefectTypes
from hw3lib.cli.main import main
from hw3lib.errors import Hw3Error
from hw3lib.inspection.card import card
from hw3lib.inspection.corrections.answers import Store, default_store
from hw3lib.inspection.corrections.update import Verdicts, rollback, update, versions
from hw3lib.inspection.score import score
from tests.helpers.plates import COLOURS, part, small_types
from tests.helpers.shots import plate

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")
_KILLS = int(os.environ.get("HW3_KILLS", "2"))
_UPDATE = (
    "import sys; from hw3lib.inspection.corrections.update import update; "
    "print('ready', flush=True); update(sys.argv[1])"
)


def plates(n: int, seed: int, spots: int = 0) -> np.ndarray:
    """Products, uint8 ``(n, 3, 64, 64)``, with so many bright spots, which are defects."""
    rng = np.random.default_rng(seed)
    pictures = [plate(rng, 64) for _ in range(n)]
    for picture in pictures:
        for _ in range(spots):
            y, x = rng.integers(8, 50, 2)
            picture[y : y + 8, x : x + 8] = 255
    return np.stack(pictures).transpose(0, 3, 1, 2).copy()


@pytest.fixture(scope="module")
def fitted() -> tuple[PatchCore, np.ndarray]:
    good = plates(24, 0)
    return PatchCore(image_size=64, ratio=0.2).fit(good, false_alarm_rate=0.1), good


@pytest.fixture
def inspector(fitted, tmp_path) -> Path:
    fitted[0].save(tmp_path / "inspector")
    return tmp_path / "inspector"


def answered(inspector: Path, good: np.ndarray, bad: np.ndarray, kind: str = "a") -> Store:
    """Answers, none of which names a type."""
    store = Store(default_store(inspector))
    for said, images in (("good", good), ("defect", bad)):
        for i, image in enumerate(images):
            file = inspector.parent / f"{kind}-{said}-{i}.png"
            Image.fromarray(image.transpose(1, 2, 0)).save(file)
            store.answer(str(file), said)
    return store


def test_the_traversal_goes_on_from_centres_that_are_there():
    x = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32)
    whole = k_center_greedy(x, 60, start=3)
    centres = x[whole.indices[:20]].astype(float)
    known = np.linalg.norm(x[:, None].astype(float) - centres, axis=2).min(1)
    rest = k_center_greedy(x, 40, known=known)
    assert np.array_equal(rest.indices, whole.indices[20:])
    assert rest.radius == pytest.approx(whole.radius, rel=1e-6)


@pytest.mark.parametrize("settings", [{}, {"held_out": 0.25}])
def test_what_was_learned_in_two_parts_is_what_is_learned_at_once(fitted, settings):
    first, more, new = fitted[1], plates(12, 1), plates(20, 2)
    model = PatchCore(image_size=64, ratio=0.2).fit(first, **settings)
    whole = PatchCore(image_size=64, ratio=0.2).fit(np.concatenate([first, more]), **settings)
    before = model.decision_function(new)
    model.extend(more)
    after = model.decision_function(new)
    assert (after <= before * 1.0001).mean() > 0.9 and (after < before).any()
    assert len(model.good_scores_) + (model.n_good_ if settings else 0) == 36
    assert abs(len(model.good_scores_) - len(whole.good_scores_)) <= 1
    assert np.abs(after / whole.decision_function(new) - 1).mean() < 0.1
    assert model.threshold_ == pytest.approx(whole.threshold_, rel=0.15)
    assert model.coreset_radius_ < 1.15 * whole.coreset_radius_
    patches = np.concatenate(list(model._read(np.concatenate([first, more]) if not settings else more[:1], False)))
    assert settings or model._nearest.query(patches)[0].max() <= model.coreset_radius_ * 1.0001


def test_new_images_are_scored_without_their_own_patches(fitted):
    """Two strange images: the bank knows them afterwards, the calibration does not pretend that it had."""
    model = PatchCore(image_size=64, ratio=0.2).fit(fitted[1])
    strange = plates(2, 5, spots=6)
    top = model.good_scores_.max()
    model.extend(strange)
    known, unknown = model.decision_function(strange), model.good_scores_[-2:]
    assert (unknown > 1.2 * top).all() and known.max() < 0.8 * unknown.min()
    assert not model.proven_ and model.good_groups_ is None


def test_photographs_of_one_product_count_together(fitted):
    model = PatchCore(image_size=64, ratio=0.2).fit(fitted[1])
    one, two = plates(2, 7)
    model.extend(np.stack([one, one, two]))
    _, counts = np.unique(model.good_groups_, return_counts=True)
    assert len(counts) == 26 and sorted(counts)[-1] == 2


def test_a_bank_that_may_not_grow_does_not(fitted):
    model = PatchCore(image_size=64, ratio=0.2, bank_limit=200).fit(fitted[1])
    model.extend(plates(6, 1))
    assert model.memory_bank == 200 and np.isfinite(model.decision_function(plates(2, 3))).all()


def test_who_cannot_learn_on_says_so(fitted):
    with pytest.raises(Hw3Error, match="PaDiM, threshold set by held-out: cannot learn from more good images alone"):
        PaDiM(image_size=64).fit(fitted[1]).extend(plates(2, 1))
    with pytest.raises(Hw3Error, match="cross-validation: cannot learn"):
        PatchCore(image_size=64).fit(fitted[1], folds=2).extend(plates(2, 1))


def test_an_update_learns_keeps_the_version_before_and_is_taken_back(inspector, capsys):
    store = answered(inspector, plates(20, 1), plates(6, 2, spots=3))
    before = (inspector / "detector.json").read_bytes()
    (inspector / "misses.csv").write_text("of the threshold before")
    assert main(["inspect", "update", str(inspector)]) == 0
    said = capsys.readouterr().out
    model = load(inspector)
    assert "version 2 is in use" in said and "misses among" in said and "false alarms among" in said
    assert 24 < model.n_good_ < 44 and len(model.good_scores_) == model.n_good_
    assert versions(inspector) == [1, 2] and not (inspector / "misses.csv").exists()
    with pytest.raises(Hw3Error, match="no good photograph with an answer is new to it"):
        update(inspector)
    answered(inspector, plates(8, 9), plates(1, 2, spots=3), "b")
    assert update(inspector, store.path) == 3 and load(inspector).n_good_ > model.n_good_
    assert rollback(inspector) == 2 and load(inspector).n_good_ == model.n_good_
    assert main(["inspect", "rollback", str(inspector), "--version", "1"]) == 0
    assert (inspector / "detector.json").read_bytes() == before and versions(inspector) == [1, 2, 3]
    with pytest.raises(Hw3Error, match="no version is kept from before"):
        rollback(inspector)
    with pytest.raises(Hw3Error, match="found the versions 1, 2, 3, expected 7"):
        rollback(inspector, 7)


def test_defects_that_were_called_good_are_refused(inspector):
    store = answered(inspector, np.concatenate([plates(6, 1), plates(24, 2, spots=3)]), plates(60, 3, spots=3))
    before = (inspector / "detector.json").read_bytes()
    with pytest.raises(Hw3Error, match="worse beyond chance, so the version in use stays: misses"):
        update(inspector, store.path, echo=lambda _: None)
    assert (inspector / "detector.json").read_bytes() == before and versions(inspector) == []


def test_what_changed_or_is_not_agreed_on_teaches_nothing(inspector):
    store, said = answered(inspector, plates(12, 1), plates(1, 2, spots=3)), []
    files = list(store.answers())
    Path(files[0]).unlink()
    Path(files[1]).write_bytes(b"another")
    store.answer(files[2], "defect", reviewer="another")
    store.answer(files[3], "unsure")
    update(inspector, echo=said.append)
    assert any(line.startswith("2 photographs left out about which nobody is sure") for line in said)
    assert any(line.startswith("2 photographs left out that changed or went") for line in said)


def named(store: Store, folder: Path, name: str, count: int, seed: int, said: str = "") -> None:
    """Answers to photographs of plates with such a blot."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        file = folder / f"{name}-{seed}-{i}.png"
        Image.fromarray(part(rng, name)).save(file)
        store.answer(str(file), "good" if name == "good" else "defect", "" if name == "good" else said or name)


def test_labelled_defects_join_the_types_and_a_new_type_takes_two(home, tmp_path, monkeypatch):
    monkeypatch.setitem(COLOURS, "chalk", (120, 120, 120))
    monkeypatch.setitem(COLOURS, "hole", (-90, -140, -90))
    place, said = Path(shutil.copytree(home / "inspector", tmp_path / "inspector")), []
    store, before = Store(default_store(place)), DefectTypes.load(place / "types")
    for name, count in {"rust": 4, "chalk": 3, "hole": 1}.items():
        named(store, tmp_path, name, count, 1)
    detector = (place / "detector.json").read_bytes()
    assert update(place, held_out=1e-6, echo=said.append) == 2
    assert any("labelled defects joined the types: chalk 0 to 3, ink 3 to 3 and rust 3 to 7" in line for line in said)
    types = DefectTypes.load(place / "types")
    assert types.classes == ["chalk", "ink", "rust"] and types.counts == [3, 3, 7]
    assert (place / "detector.json").read_bytes() == detector  # nothing good was new
    new = part(np.random.default_rng(5), "chalk", (30, 40))
    chances = types.type_of(new).probabilities
    assert max(chances, key=chances.get) == "chalk" and "chalk" not in before.type_of(new).probabilities
    with pytest.raises(Hw3Error, match="no defect with a type that it knows or that is named twice"):
        update(place, held_out=1e-6, echo=said.append)
    named(store, tmp_path, "hole", 1, 2)
    assert update(place, held_out=1e-6, echo=said.append) == 3
    assert DefectTypes.load(place / "types").classes == ["chalk", "hole", "ink", "rust"]
    assert rollback(place) == 2 and DefectTypes.load(place / "types").counts == [3, 3, 7]
    assert rollback(place) == 1 and DefectTypes.load(place / "types").classes == ["ink", "rust"]


def test_what_was_fitted_on_teaches_and_judges_no_more(home, tmp_path):
    place = Path(shutil.copytree(home / "inspector", tmp_path / "inspector"))
    store = Store(default_store(place))
    for name in ("good", "rust", "ink"):
        for file in (home / "plates").glob(f"*/{name}/*.png"):
            store.answer(str(file), "good" if name == "good" else "defect", "" if name == "good" else name)
    said = []
    assert update(place, held_out=1e-6, echo=said.append) == 2
    assert any(
        "2 good photographs joined the 19 before" in line for line in said
    )  # of the test set; nothing else is new
    assert DefectTypes.load(place / "types").counts == [3, 3]


def test_good_test_photographs_that_joined_judge_no_more(home, tmp_path):
    place = Path(shutil.copytree(home / "inspector", tmp_path / "inspector"))
    store, said = Store(default_store(place)), []
    store.answer(str(home / "plates/test/good/0.png"), "good")
    update(place, held_out=1e-6, echo=lambda _: None)
    found = score(place, [home / "plates"], "-", stdout=io.StringIO(), echo=said.append)
    assert found.images == 8 and "on 1 good and 6 defective images" in found.evaluated[0]
    page = card(place, tmp_path / "card.html", home / "plates", echo=said.append)[0].read_text(encoding="utf-8")
    assert "1 good test photograph that it learned from since judge" in page


def test_types_that_are_worse_on_what_is_held_out_are_refused(home, tmp_path):
    place = Path(shutil.copytree(home / "inspector", tmp_path / "inspector"))
    right, store = Store(tmp_path / "right.sqlite"), Store(default_store(place))
    for name, other in (("rust", "ink"), ("ink", "rust")):
        named(right, tmp_path, name, 20, 3)
        for file, answer in right.answers().items():
            if answer.type == name:  # who judges is named as it is, who teaches is not
                store.answer(file, "defect", name if int(answer.digest[:8], 16) < 2**31 else other)
    kept = (place / "types/types.json").read_bytes()
    with pytest.raises(Hw3Error, match=r"worse beyond chance, so the version in use stays: wrong types \d before"):
        update(place, held_out=0.5, echo=lambda _: None)
    assert (place / "types/types.json").read_bytes() == kept and versions(place) == []


def test_the_first_types_are_learned_beside_good_photographs(home, tmp_path, monkeypatch):
    small_types(monkeypatch)
    place = Path(shutil.copytree(home / "inspector", tmp_path / "inspector"))
    shutil.rmtree(place / "types")
    store = Store(default_store(place))
    for name, count in {"good": 8, "rust": 2, "ink": 2}.items():
        named(store, tmp_path, name, count, 4)
    assert update(place, held_out=1e-6, echo=lambda _: None) == 2
    types = DefectTypes.load(place / "types")
    assert types.classes == ["ink", "rust"] and types.method.parts != ("whole",)
    assert rollback(place) == 1 and not (place / "types").exists()


def test_worse_is_worse_beyond_chance():
    right = np.zeros(40, bool)
    few, many = right.copy(), right.copy()
    few[:3], many[:8] = True, True
    assert Verdicts.compared(right, few).p > 0.1 and Verdicts.compared(right, many).p < 0.01
    assert Verdicts.compared(many, right).p == 1 and Verdicts.compared(right, right).p == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills")
def test_killed_at_any_moment_there_is_the_version_before_or_after(inspector):
    answered(inspector, plates(10, 1), plates(3, 2, spots=3))
    rng = np.random.default_rng(0)
    for _ in range(_KILLS):
        process = subprocess.Popen([sys.executable, "-c", _UPDATE, str(inspector)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.5, 4))
        process.kill()
        process.communicate()
        try:
            update(inspector, echo=lambda _: None)
        except Hw3Error as error:
            assert "is new to it" in str(error)
        assert load(inspector).n_good_ > 24
        rollback(inspector, 1)
        assert load(inspector).n_good_ == 24
        assert not list(inspector.parent.glob(".*.tmp*")) and not list(inspector.parent.glob(".*.old*"))
