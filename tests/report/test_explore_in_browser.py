"""The first screen and the interactive plot in headless Chromium: what is visible, and what each gesture does."""

import pytest

from harness.report.page import build_report

READY = "document.getElementById('explore').dataset.marks > 0"
SIZES = [(1440, 900), (1280, 720), (1024, 768), (390, 844)]


@pytest.fixture
def opened(open_page, until):
    """Return a function that opens a leaderboard and waits for the plot."""

    def at(path, **options):
        page = open_page(path, **options)
        until(page, READY)
        return page

    return at


def visible_rows(page):
    """Return the names of the rows that lie fully within the window."""
    return page.evaluate(
        "[...document.querySelectorAll('#board tbody tr')].filter(row => { const box = row.getBoundingClientRect();"
        " return box.height && box.top >= 0 && box.bottom <= innerHeight; })"
        ".map(row => row.querySelector('.name').textContent)"
    )


def point(page, key):
    """Return where a network's mark is in the window."""
    return page.evaluate(
        "key => { const at = board.rows.find(row => board.key(row) === key), box = plot.stage.getBoundingClientRect();"
        " return [box.left + plot.pixel('x', board.number(at, plot.axis('x'))),"
        " box.top + plot.pixel('y', board.number(at, plot.axis('y')))]; }",
        key,
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_first_screen_answers(opened, board, width, height, theme):
    page = opened(board, width=width, height=height, theme=theme)
    verdict = page.locator("#verdict")
    assert "ALONG leads with a score of 23.74" in verdict.inner_text().translate(dict.fromkeys((0x2068, 0x2069)))
    box = verdict.bounding_box()
    assert 0 <= box["y"] < box["y"] + box["height"] <= height
    assert visible_rows(page)[:3] == ["ALONG", "RTVSR", "Bicubic++"]
    if width >= 1024:
        assert len(visible_rows(page)) >= 8
        stage = page.locator("#stage").bounding_box()
        assert stage["y"] + 0.75 * stage["height"] <= height
        assert stage["width"] > 250
    assert not page.locator("#figure-psnr-runtime").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_drawn_figure_is_in_its_place(open_page, board):
    page = open_page(board, script=False)
    assert page.locator("#figure-psnr-runtime svg").is_visible()
    assert not page.locator("#stage").is_visible()
    assert page.locator("#verdict").is_visible()


def test_without_the_library_the_drawn_figure_stays(open_page, board, tmp_path):
    alone = tmp_path / "leaderboard.html"
    alone.write_text(board.read_text(encoding="utf-8").replace(' id="library" async', ' id="library" async hidden'))
    alone.write_text(alone.read_text().replace('src="assets/', 'data-src="assets/'))
    page = open_page(alone)
    assert page.locator("#figure-psnr-runtime svg").is_visible()
    assert page.locator("#controls").is_visible()


def test_a_mark_shows_its_figures_and_selects_its_row(opened, until, board):
    page = opened(board)
    page.mouse.move(*point(page, "row-0"))
    page.wait_for_selector("#tip:visible")
    assert page.locator("#tip").inner_text().startswith("LRSRN")
    page.mouse.down()
    page.mouse.up()
    until(page, "board.picked() === 'row-0'")
    assert page.locator("#m-row-0").get_attribute("aria-current") == "true"
    again = opened(board, fragment=page.evaluate("location.hash"))
    assert "lit" in again.locator("#m-row-0").get_attribute("class")


def test_rows_and_marks_are_selected_by_mouse_and_keyboard(opened, board):
    page = opened(board)
    ring = "plot.stage.data[3].x.length && plot.stage.data[3].x[0]"
    page.locator("#m-row-8 td").nth(2).click()
    assert page.evaluate(ring) == pytest.approx(
        page.evaluate("board.number(document.getElementById('m-row-8'), 'runtime_ms')")
    )
    page.locator("#m-row-8 td").nth(2).click()
    assert page.evaluate("board.picked()") == ""
    page.locator("#m-row-8").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("board.picked()") == page.evaluate("board.key(document.activeElement)")
    page.locator("#stage").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text() != first
    page.keyboard.press("Enter")
    assert page.locator("#tip").inner_text().split("\n")[0] in page.locator("#board .lit .name").inner_text()


def test_a_limit_is_dragged_and_filters_the_table(opened, until, board):
    page = opened(board)
    runtimes = page.evaluate("board.rows.map(row => board.number(row, 'runtime_ms'))")
    grip = page.locator(".limit.x i").bounding_box()
    page.mouse.move(grip["x"] + 7, grip["y"] + 10)
    page.mouse.down()
    page.mouse.move(point(page, "row-0")[0] + 3, grip["y"] + 10, steps=5)
    page.mouse.up()
    until(page, "board.limits().runtime_ms > 0")
    limit = page.evaluate("board.limits().runtime_ms")
    shown = page.locator("#board tbody tr:visible").count()
    assert shown == sum(value <= limit for value in runtimes)
    assert 0 < shown < 20
    assert float(page.input_value("[name=limit][data-key=runtime_ms]")) == limit
    assert min(page.evaluate("plot.stage.data[2].marker.opacity")) < 0.2
    assert page.locator(".limit.x").get_attribute("aria-valuetext") == f"at most {limit:g}"
    page.locator(".limit.x").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("board.limits().runtime_ms") < limit
    page.keyboard.press("Delete")
    assert page.locator("#board tbody tr:visible").count() == 20


def test_axes_are_chosen_and_the_front_follows(opened, board):
    page = opened(board)
    page.select_option("#axes [name=x]", "params_k")
    page.select_option("#axes [name=y]", "fps")
    assert page.evaluate("[plot.stage.layout.xaxis.type, plot.stage.layout.yaxis.type]") == ["log", "log"]
    page.uncheck("#axes [name=ylog]")
    assert page.evaluate("plot.stage.layout.yaxis.type") == "linear"
    assert page.evaluate("plot.stage.layout.xaxis.title.text") == "Params, K"
    params, rates = page.evaluate("[plot.stage.data[1].x, plot.stage.data[1].y]")
    known = page.evaluate(
        "board.rows.filter(row => !row.classList.contains('baseline'))"
        ".map(row => [board.number(row, 'params_k'), board.number(row, 'fps')])"
    )
    undominated = {(p, f) for p, f in known if not any((a <= p and b > f) or (a < p and b >= f) for a, b in known)}
    assert set(zip(params, rates, strict=True)) == undominated
    assert page.evaluate("plot.stage.data[0].x.length") == 0  # curves of equal score belong to the first axes


def test_zooming_and_names(opened, until, board):
    page = opened(board)
    before = page.evaluate("plot.view().x")
    assert page.evaluate("plot.stage.data[2].text.filter(Boolean).length") > 8
    page.uncheck("#axes [name=labels]")
    assert page.evaluate("plot.stage.data[2].mode") == "markers"
    page.click("[data-zoom=in]")
    low, high = page.evaluate("plot.view().x")
    assert before[0] < low < high < before[1]
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 200, steps=4)
    page.mouse.up()
    until(page, f"plot.view().x[0] > {low} && plot.view().x[1] < {high}")
    page.click("[data-zoom=reset]")
    assert page.evaluate("plot.view().x") == pytest.approx(before)


def test_the_wheel_over_table_and_plot_scrolls_the_page(opened, until, board):
    for place in ("#board tbody td.score", "#stage"):
        page = opened(board)
        page.locator(place).first.hover()
        page.mouse.wheel(0, 300)
        until(page, "scrollY > 200")


def test_hovering_keeps_the_colours_of_the_map(open_page, board):
    page = open_page(board)
    cell = page.locator(".heat td.h5, .heat td.h4").first
    colour = "cell => getComputedStyle(cell).backgroundColor"
    before = cell.evaluate(colour)
    cell.hover()
    assert cell.evaluate(colour) == before


def test_a_link_by_slug_survives_another_order(opened, make_run, board):
    import json

    folder = make_run("again")
    results = json.loads((folder / "results.json").read_text())
    results["entries"].reverse()
    for entry in results["entries"]:
        if entry["slug"] == "row-8":
            entry["score"] = 99.0
    (folder / "results.json").write_text(json.dumps(results))
    page = opened(build_report(folder), fragment="#row=row-8")
    assert page.locator("#board .lit .name").inner_text() == "RTVSR"


def test_names_in_the_plot_are_text(opened, board):
    page = opened(board)
    assert page.evaluate("window.pwned") is None
    assert page.locator("#stage script, #stage img, #stage a").count() == 0
