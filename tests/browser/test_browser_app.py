"""``hw3 app`` in a real browser: a good, a defective and a broken photograph."""

import io
import re

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def watched(app, open_page):
    watched = open_page(app)
    watched.page.get_by_role("heading", name="Inspection of a photograph").wait_for()
    watched.page.locator("input[type=file]").wait_for()
    return watched


def give(watched, file):
    watched.page.get_by_label("Drop a photograph here").set_input_files(file)


def loaded(watched, alt):
    """Width in pixels of a picture that was really decoded."""
    picture = watched.page.get_by_alt_text(alt, exact=True)
    picture.wait_for()
    return picture.evaluate("picture => picture.complete && picture.naturalWidth")


def test_the_page_has_a_title_a_language_and_no_result_yet(watched):
    assert watched.page.title() == "Inspection of a photograph"
    assert watched.page.locator("html").get_attribute("lang") == "en"
    assert watched.page.locator(".verdict").count() == 0


def test_a_defective_photograph_is_anomalous_with_p_value_and_heat_map(watched, photographs):
    give(watched, photographs / "defective.png")
    verdict = watched.page.locator(".verdict", has_text="Anomalous: the score")
    verdict.wait_for()
    text = watched.page.locator("#shown").inner_text()
    assert "None of the 3 good products that set the threshold looked as unusual as this one" in text
    assert "p = 0.25" in text and "96x80 pixels" in text and "--types FOLDER" in text
    assert re.search(r"Regions\s+\d+ pixels at \d+, \d+", text)
    assert loaded(watched, "The photograph defective.png") == 96
    assert loaded(watched, "Heat map over the photograph defective.png") == 96
    watched.screenshot("app_defective")


def test_a_good_photograph_is_good_and_has_no_type_of_defect(watched, photographs):
    give(watched, photographs / "good.png")
    watched.page.locator(".verdict", has_text="Good: the score").wait_for()
    assert loaded(watched, "Heat map over the photograph good.png") == 96
    assert "Type of defect" not in watched.page.locator("#shown").inner_text()
    watched.screenshot("app_good")


def test_broken_files_give_a_sentence_and_the_page_goes_on(watched, photographs):
    give(watched, photographs / "broken.png")
    watched.page.get_by_role("alert").get_by_text("broken.png is damaged and cannot be read").wait_for()
    assert watched.page.locator("figure").count() == 0
    watched.screenshot("app_broken")
    give(watched, photographs / "note.png")
    watched.page.get_by_role("alert").get_by_text("note.png is not a photograph that can be read").wait_for()
    give(watched, photographs / "defective.png")
    watched.page.locator(".verdict", has_text="Anomalous").wait_for()
    watched.assert_no_errors()
    assert watched.hosts - {None} == {"127.0.0.1"}  # no picture, font or script comes from elsewhere


def test_a_dropped_photograph_is_inspected_and_several_are_refused(watched, photographs):
    drop = """async ([names, bytes]) => {
      const data = new DataTransfer();
      for (const name of names) data.items.add(new File([new Uint8Array(bytes)], name));
      const zone = document.querySelector(".drop");
      zone.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    content = list((photographs / "good.png").read_bytes())
    watched.page.evaluate(drop, [["a.png", "b.png"], content])
    watched.page.get_by_text("One photograph at a time, please.").wait_for()
    watched.page.evaluate(drop, [["dropped.png"], content])
    assert loaded(watched, "The photograph dropped.png") == 96


def test_the_heat_map_fades_by_slider_and_key(watched, photographs):
    give(watched, photographs / "defective.png")
    slider = watched.page.get_by_label("Heat map", exact=False).and_(watched.page.get_by_role("slider"))
    slider.wait_for()
    view = watched.page.locator(".view")
    seen = {}
    for value in ("0", "100"):
        slider.fill(value)
        seen[value] = np.array(Image.open(io.BytesIO(view.screenshot())).convert("RGB"))
    assert np.abs(seen["0"].astype(int) - seen["100"]).mean() > 10
    watched.page.locator("body").press("h")
    assert slider.input_value() == "0"
    assert np.array_equal(np.array(Image.open(io.BytesIO(view.screenshot())).convert("RGB")), seen["0"])
    slider.press("ArrowRight")
    assert slider.input_value() == "1"
    watched.assert_no_errors()


def test_the_camera_takes_a_photograph(watched):
    watched.page.locator("body").press("c")
    watched.page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    watched.page.get_by_role("button", name="Take the photograph").click()
    watched.page.get_by_alt_text(re.compile("^The photograph camera ")).wait_for()
    watched.page.keyboard.press("Escape")
    assert not watched.page.locator("video").is_visible()
    watched.assert_no_errors()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_follows_the_browsers_colours(watched, photographs, scheme):
    watched.page.emulate_media(color_scheme=scheme)
    watched.page.set_viewport_size({"width": 390, "height": 844})
    try:
        give(watched, photographs / "defective.png")
        watched.page.locator(".verdict", has_text="Anomalous").wait_for()
        assert watched.page.evaluate("document.documentElement.scrollWidth") == 390
        colours = watched.page.evaluate(
            "['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name].match(/\\d+/g)[0])"
        )
        assert (int(colours[0]) < int(colours[1])) == (scheme == "dark")
        watched.screenshot(f"app_phone_{scheme}")
    finally:
        watched.page.set_viewport_size({"width": 1366, "height": 900})
        watched.page.emulate_media(color_scheme="light")


def test_a_large_file_arrives_and_a_too_large_one_is_refused_in_the_browser(watched, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(bytes(12_000_000))
    give(watched, large)
    watched.page.get_by_text("large.png is not a photograph that can be read").wait_for()
    large.write_bytes(bytes(31_000_000))
    give(watched, large)
    watched.page.get_by_text("large.png has 31.0 MB; at most 30 MB are taken").wait_for()
    watched.assert_no_errors()
