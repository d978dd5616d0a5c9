"""``hw3 inspect review`` in a real browser: one key an answer, taken back, and a heat map that fades."""

from hw3lib.inspection.corrections.answers import Store


def test_photographs_are_reviewed_by_keyboard(review, open_page):
    address, store = review
    watched = open_page(address)
    page, asked = watched.page, []

    def shown(left):
        page.get_by_text(f"{left} to ask about.").wait_for()
        asked.append(page.locator("#name").inner_text())
        assert page.locator("#verdict").inner_text().startswith(("Good: the score", "Anomalous: the score"))

    shown(4)
    picture = page.get_by_alt_text("Heat map over the photograph", exact=True)
    assert picture.evaluate("picture => picture.complete && picture.naturalWidth") == 96
    page.get_by_label("Heat map", exact=True).fill("0")
    assert picture.evaluate("picture => picture.style.opacity") == "0"
    watched.screenshot("review")
    page.keyboard.press("f")
    shown(3)
    page.keyboard.press("d")
    page.get_by_label("Type of defect").fill("dark bar")
    page.keyboard.press("Enter")
    shown(2)
    page.keyboard.press("z")
    shown(3)
    assert asked[3] == asked[1]
    page.keyboard.press("u")
    shown(2)
    page.keyboard.press("d")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    shown(1)
    page.get_by_role("button", name="Defect d").click()
    page.keyboard.press("Enter")
    page.get_by_text("Nothing is left to ask about.").wait_for()
    kept = Store(store).answers()
    assert [kept[file].answer for file in (asked[0], asked[1], asked[4], asked[5])] == [
        "good",
        "unsure",
        "good",
        "defect",
    ]
    for width, scheme in ((390, "dark"), (1366, "light")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        page.keyboard.press("z")
        page.get_by_text("1 to ask about.").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        watched.screenshot(f"review_{scheme}")
        page.keyboard.press("f")
        page.get_by_text("Nothing is left to ask about.").wait_for()
    watched.assert_no_errors()
    assert watched.hosts == {"127.0.0.1"}
