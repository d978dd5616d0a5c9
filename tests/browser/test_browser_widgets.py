"""The widgets in a real JupyterLab: run a notebook, move controls by keyboard, click, restart the kernel."""

import json

import nbformat
import numpy as np
import pytest

SETUP = """
from types import SimpleNamespace
import numpy as np
from hw3lib.views import widgets
from hw3lib.anomaly.calibration import ColourScale
from hw3lib.classify import Attempt, Result, run_attempt
from hw3lib.data import ImageStack, load_table
from hw3lib.imbalance import DeepSmote

table = load_table(".", "widget")
test = table[table["split"] == "test"].reset_index(drop=True)
"""
THRESHOLD = """
scores = np.where(test["is_defect"], 4.0, 1.0) + 0.25 * np.arange(len(test)) % 3
maps = np.random.default_rng(0).random((len(test), 8, 8)).astype(np.float32)
detector = SimpleNamespace(threshold_=3.0, map_threshold_=0.5, scale_=ColourScale(0, 1))
widgets.explore_threshold(SimpleNamespace(scores=scores, detector=detector, maps=maps), test)
"""
RELABEL = """
classes = ["good", "dent", "scratch"]
y = np.array([classes.index(name) for name in test["defect"]])
p = np.full((len(y), 3), 0.05, np.float32)
p[np.arange(len(y)), (y + 1) % 3] = 0.9
rows = np.arange(len(y))
result = Result(Attempt("tiny"), classes, 5, len(y), [y], [p.argmax(1)], [rows], seconds=[1.0], probabilities=[p])
widgets.relabel(result, test, "run/relabelled.json")
"""
SEGMENT = """
import threading

threads = set()

def propose(image, points, labels):
    threads.add(threading.get_ident())
    assert len(threads) == 1  # or a click may overtake what was typed before it
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    mask = np.zeros(image.shape[:2], bool)
    for (u, v), label in zip(points, labels):
        mask[(x - u) ** 2 + (y - v) ** 2 <= 36] = bool(label)
    return mask, 0.87

widgets.segment(propose, test, "run/clicks.json")
"""
LIVE = """
explorer = widgets.AttemptExplorer(seconds=0)
explorer.show()
"""
ATTEMPTS = """
tried = [Attempt(name, image_size=32, epochs=epochs, batch_size=4) for name, epochs in (("short", 3), ("long", 30))]
halves = [(np.arange(0, len(test), 2), np.arange(1, len(test), 2)), (np.arange(1, len(test), 2), np.arange(0, 12, 2))]
results = [run_attempt(attempt, test, halves, callbacks=[explorer]) for attempt in tried]
widgets.explore_attempts(results)
"""
WALK = """
model = DeepSmote(steps=20, random_state=0)
images = ImageStack.load(test, 32).images
model.fit_resample(images, test["defect"].to_numpy())
widgets.walk(model, images, test)
"""
STATUS = "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status"
IDLE = f"() => {STATUS} === 'idle'"


@pytest.fixture(scope="module")
def folder(jupyter, make_category):
    root, _ = jupyter
    make_category(root / "widget", {"train/good": 3, "test/good": 3, "test/dent": 6, "test/scratch": 3}, (96, 64))
    cells = [SETUP, "widgets.browse(table)", THRESHOLD, RELABEL, LIVE, ATTEMPTS, WALK, SEGMENT]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, root / "widgets.ipynb")
    return root


def run_all(watched):
    """Run the notebook and wait until its last widget is there and the kernel rests."""
    watched.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    watched.page.get_by_role("button", name="add point").wait_for(timeout=120_000)
    watched.page.wait_for_function(IDLE)


@pytest.fixture(scope="module")
def lab(jupyter, folder, open_page):
    watched = open_page(jupyter[1].format("widgets.ipynb"))
    ready = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    watched.page.wait_for_function(ready, timeout=90_000)
    watched.page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    run_all(watched)
    return watched


def output(lab, cell):
    """The output of a code cell, counted from 0."""
    found = lab.page.locator(".jp-CodeCell").nth(cell)
    found.scroll_into_view_if_needed()
    return found.locator(".jp-Cell-outputArea")


def picture(part):
    """Address and text of a widget's picture, and whether it is decoded."""
    part.page.wait_for_timeout(200)
    return part.locator("img.hw3-picture").first.evaluate("i => [i.src, i.alt, i.complete && i.naturalWidth > 0]")


def changed(part, before):
    """Wait for a picture at another address than before."""
    part.locator(f"img.hw3-picture:not([src='{before}'])").first.wait_for()
    assert picture(part)[2]


def line(part, text):
    """Wait for a text under a picture; the picture, which is sent before, is then about to be exchanged."""
    part.get_by_role("status").filter(has_text=text).wait_for()


def test_the_browser_of_a_category_follows_its_filters_by_keyboard(lab):
    part = output(lab, 1)
    line(part, "Image 1 of 6 chosen from 15")
    before = picture(part)
    assert before[1].startswith("test/dent/000.png") and before[2]
    part.get_by_role("slider").last.press("ArrowRight")
    line(part, "Image 2 of 6")
    after = picture(part)
    assert after[0] != before[0] and after[1].startswith("test/dent/001.png") and after[2]
    part.get_by_label("class").select_option("all")
    line(part, "Image 2 of 15")
    part.get_by_label("split").select_option("train")
    line(part, "Image 2 of 3")
    part.get_by_label("split").select_option("all")
    part.get_by_role("slider").first.press("ArrowRight")  # the defect covers at least 0.1 %: good images are out
    line(part, "Image 2 of 9")
    lab.screenshot("lab_browser")


def test_a_threshold_moved_by_keyboard_changes_figure_and_counts(lab):
    part = output(lab, 2)
    line(part, "0 false alarms in 3 good images, 0 of 9 defects missed")
    before = picture(part)
    slider = part.get_by_role("slider")
    slider.press("End")
    line(part, "0 false alarms in 3 good images, 9 of 9 defects missed")
    after = picture(part)
    assert after[0] != before[0] and after[2]
    slider.press("Home")
    line(part, "3 false alarms in 3 good images, 0 of 9 defects missed")
    assert "3 false alarms, 0 defects missed" in picture(part)[1]
    lab.screenshot("lab_threshold")


def labels(lab):
    return output(lab, 3).get_by_label("label")


def chosen(lab, tile):
    text = labels(lab).nth(tile).evaluate("select => select.selectedOptions[0].text")
    return " ".join(text.split())  # ipywidgets write no-break spaces


def test_choices_survive_another_class_and_are_in_the_file_at_once(lab, folder):
    part = output(lab, 3)
    line(part, "0 of 12 images were looked at")
    part.get_by_label("true class").select_option("dent")
    part.get_by_text("dent taken for scratch, 90% sure").nth(3).wait_for()  # all four are of this class now
    labels(lab).nth(1).select_option("scratch")
    labels(lab).nth(2).select_option("unsure")
    line(part, "2 of 12 images were looked at")
    kept = json.loads((folder / "run/relabelled.json").read_text())["choices"]
    assert kept == {
        "test/dent/001.png": {"was": "dent", "choice": "scratch"},
        "test/dent/002.png": {"was": "dent", "choice": "unsure"},
    }
    lab.screenshot("lab_relabel")
    part.get_by_label("true class").select_option("scratch")
    part.get_by_text("scratch taken for good").nth(2).wait_for()
    part.get_by_label("true class").select_option("dent")
    part.get_by_text("dent taken for scratch").nth(3).wait_for()
    assert [chosen(lab, i) for i in range(3)] == ["not looked at", "scratch", "unsure"]


def test_curves_are_drawn_while_networks_learn(lab):
    part = output(lab, 4)
    before = picture(part)
    assert before[2] and "'long', 2" in before[1]
    control = part.get_by_label("training")
    control.select_option("attempt 'short', 1")
    part.locator("""img[alt*="'short', 1"]""").wait_for()
    assert picture(part)[0] != before[0]
    control.select_option("the one that learns")
    part.locator("""img[alt*="'long', 2"]""").wait_for()
    lab.page.locator(".jp-CodeCell").nth(5).locator(".cm-content").click()
    before = picture(part)
    lab.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell'); }")  # not waited for
    changed(part, before[0])
    seen = set()
    while lab.page.evaluate(STATUS) == "busy":
        seen.add(part.locator("img.hw3-picture").get_attribute("src"))
    assert len(seen) >= 3
    part.locator("""img[alt*="'long', 4"]""").wait_for()
    lab.page.wait_for_function(IDLE)
    lab.screenshot("lab_live")


def test_curves_of_an_attempt_and_of_one_split_of_it(lab):
    part = output(lab, 5)
    line(part, "over 2 splits")
    before = picture(part)
    part.get_by_label("split").select_option("2")
    line(part, "Accuracy on the test images of split 2")
    after = picture(part)
    assert after[0] != before[0] and after[2] and "long, split 2" in after[1]
    part.get_by_label("attempt").select_option("short")
    part.locator("img[alt*='short, split 2']").wait_for()
    lab.screenshot("lab_attempts")


def test_a_walk_between_two_images_in_the_latent_space(lab):
    part = output(lab, 6)
    before = picture(part)
    assert before[2]
    part.get_by_role("slider").last.press("ArrowRight")
    changed(part, before[0])
    part.get_by_label("class").select_option("scratch")
    lab.screenshot("lab_walk")


def test_a_click_and_a_typed_point_give_masks_that_are_kept(lab, folder):
    part = output(lab, 7)
    line(part, "Click on a defect. 0 accepted in this image, 0 in clicks.json.")
    before = picture(part)
    image = part.locator("img.hw3-picture")
    box = image.bounding_box()
    image.click(position={"x": box["width"] * 20.5 / 96, "y": box["height"] * 30.5 / 64})
    line(part, "1 point: the proposed mask has 113 pixels")
    assert picture(part)[0] != before[0]
    image.click(position={"x": box["width"] * 23.5 / 96, "y": box["height"] * 30.5 / 64}, modifiers=["Shift"])
    line(part, "2 points: the proposed mask has")
    part.get_by_role("button", name="remove last point").press("Enter")
    line(part, "1 point: the proposed mask has 113 pixels")
    lab.screenshot("lab_segment")
    part.get_by_label("class").select_option("scratch")
    part.get_by_role("button", name="accept", exact=True).press("Enter")
    line(part, "1 accepted in this image, 1 in clicks.json.")
    # By keyboard alone.
    part.get_by_label("x", exact=True).fill("60")
    part.get_by_label("x", exact=True).press("Enter")
    part.get_by_label("y", exact=True).fill("40")
    part.get_by_label("y", exact=True).press("Enter")
    part.get_by_role("button", name="add point").press("Enter")
    line(part, "1 point: the proposed mask has 113 pixels")
    part.get_by_role("button", name="accept", exact=True).press("Enter")
    line(part, "2 accepted in this image, 2 in clicks.json.")
    from pycocotools.coco import COCO

    coco = COCO(folder / "run/clicks.json")
    masks = [coco.annToMask(found) for found in coco.loadAnns(coco.getAnnIds())]
    centres = [np.argwhere(mask).mean(0).tolist() for mask in masks]
    assert centres[1] == [40, 60]
    assert np.abs(np.array(centres[0]) - [30, 20]).max() <= 1  # a pixel of the screen may fall into its neighbour
    assert [coco.cats[found["category_id"]]["name"] for found in coco.anns.values()] == ["scratch", "scratch"]


def test_choices_are_there_again_after_a_restart_of_the_kernel(lab):
    restart = "async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    lab.page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    lab.page.evaluate(restart)
    run_all(lab)
    line(output(lab, 3), "2 of 12 images were looked at")
    output(lab, 3).get_by_label("true class").select_option("dent")
    output(lab, 3).get_by_text("dent taken for scratch").nth(3).wait_for()
    assert chosen(lab, 1) == "scratch"
    line(output(lab, 7), "2 in clicks.json.")
    lab.assert_no_errors()
