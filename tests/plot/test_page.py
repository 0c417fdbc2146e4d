"""The interactive map in a real browser, opened from disk."""

import shutil
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from archrep.errors import ArchrepError
from archrep.plot.page import write_page
from archrep.plot.shades import GREY

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-sync", "--disable-component-update"]
MARKUP = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>'
FORMULA = '=HYPERLINK("file:///etc/passwd","net")'
EXACT = 25_557_033  # more than float32 tells apart
POSITIONS = """(index) => {
    const source = Bokeh.documents[0].get_model_by_name("points");
    const view = Bokeh.index.roots[0], frame = view.canvas_view.el.getBoundingClientRect();
    const [x] = view.frame.x_scale.v_compute([source.data.x[index]]);
    const [y] = view.frame.y_scale.v_compute([source.data.y[index]]);
    return [frame.x + x, frame.y + y];
}"""
COLOR_OF = """(index) => {
    const source = Bokeh.documents[0].get_model_by_name("points");
    const fill = Bokeh.documents[0].get_model_by_name("circles").glyph.fill_color;
    const [rgba] = fill.transform.v_compute([source.data[fill.field][index]]);
    return "#" + rgba.toString(16).padStart(8, "0").slice(0, 6);
}"""
COLOR = "() => Bokeh.documents[0].get_model_by_name('circles').glyph.fill_color.field"


def some_points(n):
    """Points on a grid, so that each can be pointed at; two of them with names and values of all kinds."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(n)))
    points = pd.DataFrame(
        {
            "arch": [f"deepnets-small:test:{i}" for i in range(n)],
            "x": np.arange(n) % side,
            "y": np.arange(n) // side,
            "split": rng.choice(["test", "val"], n),
            "ops": [f"conv {i}, sep_conv {i % 7}, max_pool 3, dil_conv 2" for i in range(n)],
            "many": [f"class {i % 20}" for i in range(n)],
            "accuracy": rng.uniform(20, 45, n),
            **{f"target {i}": rng.uniform(0, 1, n) for i in range(9)},
        }
    )
    points.loc[0, ["arch", "split"]] = MARKUP, MARKUP
    points.loc[1, "accuracy"] = np.nan
    points.loc[2, "arch"] = FORMULA
    points["params"] = EXACT + np.arange(n)
    return points.rename(columns={"target 0": MARKUP})


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as api:
        started = api.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """The page of 100 points, what it asked for and what went wrong."""
    path = tmp_path_factory.mktemp("page") / "map.html"
    write_page(some_points(100), "accuracy", path, f"Map {MARKUP}", MARKUP, {"accuracy": "%"})
    page, wrong, asked = browser.new_page(), [], []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page, wrong, asked


@pytest.fixture
def page(opened):
    """The page as it was at first; afterwards nothing was asked of a network, and nothing went wrong."""
    page, wrong, asked = opened
    page.mouse.move(0, 0)
    page.fill("#search", "")
    page.evaluate("Bokeh.documents[0].get_model_by_name('points').selected.indices = []")
    page.select_option("#color", label="accuracy (%)")
    yield page
    assert wrong == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked)
    assert page.evaluate("window.hacked") is None


def point_at(page, index):
    page.mouse.move(*page.evaluate(POSITIONS, index), steps=3)
    tooltip = page.locator(".bk-tooltip-content").first
    tooltip.wait_for()
    assert page.locator(".bk-tooltip-content").count() == 1
    return tooltip


def test_hover_tells_name_and_targets(page):
    text = point_at(page, 55).inner_text()
    assert "deepnets-small:test:55" in text
    assert "conv 55, sep_conv 6" in text
    expected = some_points(100).loc[55, "accuracy"]
    assert f"accuracy (%):\t{expected:.4g}" in text


def test_missing_values_are_called_so(page):
    assert "accuracy (%):\tno value" in point_at(page, 1).inner_text()
    assert page.locator("#legend li").all_inner_texts() == ["no value (1)"]
    assert page.evaluate(COLOR_OF, 1) == GREY != page.evaluate(COLOR_OF, 2)


def test_markup_in_names_is_text_everywhere(page):
    assert MARKUP in page.locator("h1").inner_text()
    assert MARKUP in page.locator("header p").inner_text()
    assert MARKUP in page.title()
    assert MARKUP in point_at(page, 0).inner_text()
    page.fill("#search", "onerror")
    assert page.locator("#rows td").first.inner_text() == MARKUP
    page.select_option("#color", label="split")
    assert f"{MARKUP} (1)" in page.locator("#legend").inner_text()
    page.select_option("#color", label=MARKUP)
    assert MARKUP in page.locator("#rows th").all_inner_texts()
    table = downloaded(page)
    assert list(table["arch"]) == [MARKUP]
    assert MARKUP in table.columns


def test_the_selector_recolours(page):
    before = page.evaluate(COLOR), page.evaluate(COLOR_OF, 5)
    page.select_option("#color", label="many")
    assert page.evaluate(COLOR) != before[0]
    assert page.evaluate(COLOR_OF, 5) != before[1]
    lines = page.locator("#legend li").all_inner_texts()
    assert len(lines) == 9  # eight classes and all others
    assert lines[-1] == "12 others (60)"
    assert page.locator("#color option").all_inner_texts().count("ops") == 0  # names rather than classes


def test_the_colour_bar_has_ticks(page):
    ticks = [float(tick) for tick in page.locator("#ticks span").all_inner_texts()]
    known = some_points(100)["accuracy"]
    assert len(ticks) >= 2
    assert known.min() <= ticks[0] < ticks[-1] <= known.max()


def test_search_lists_what_it_finds(page):
    page.fill("#search", "TEST:9")
    assert page.locator("#status").inner_text() == "11 of 100 match"
    names = page.locator("#rows td:first-child").all_inner_texts()
    assert names[:2] == ["deepnets-small:test:9", "deepnets-small:test:90"]
    assert page.evaluate("Bokeh.documents[0].get_model_by_name('points').selected.indices") == [9, *range(90, 100)]
    page.fill("#search", "nothing like it")
    assert page.locator("#status").inner_text() == "0 of 100 match"
    page.fill("#search", "")
    assert page.locator("#rows").inner_text() == ""


def test_the_keyboard_reaches_every_control(page):
    page.focus("#color")
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["search", "download", "rows"]
    page.focus("#color")
    page.keyboard.press("ArrowDown")
    assert page.locator("#ticks").count() == 1
    assert page.evaluate(COLOR) != "c3"


def downloaded(page):
    with page.expect_download() as waiting:
        page.click("#download")
    return pd.read_csv(waiting.value.path())


def test_a_lasso_chooses_what_is_listed_and_downloaded(page):
    page.get_by_title("Lasso Select").click()
    around = zip((33, 36, 66, 63, 33), ((-8, 8), (8, 8), (8, -8), (-8, -8), (-8, 8)), strict=True)
    corners = [np.add(page.evaluate(POSITIONS, index), aside) for index, aside in around]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for before, after in pairwise(corners):
        for part in np.linspace(0.1, 1, 10):  # at a hand's pace: gestures are recognised by it
            page.mouse.move(*(before + part * (after - before)))
            page.wait_for_timeout(20)
    page.mouse.up()
    chosen = [f"deepnets-small:test:{row}{column}" for row in range(3, 7) for column in range(3, 7)]
    page.wait_for_function("document.getElementById('status').textContent.startsWith('16 of')")
    assert sorted(page.locator("#rows td:first-child").all_inner_texts()) == chosen
    table, points = downloaded(page), some_points(100).set_index("arch")
    assert sorted(table["arch"]) == chosen
    assert list(table.columns) == ["arch", *points.columns.drop(["x", "y"])]
    assert np.allclose(table["accuracy"], points.loc[table["arch"], "accuracy"], rtol=1e-6)


def test_everything_is_downloaded_where_nothing_is_chosen(page):
    table = downloaded(page)
    expected = some_points(100)
    assert table["arch"][2] == "'" + FORMULA  # a spreadsheet would compute it
    assert list(table["arch"].drop(2)) == list(expected["arch"].drop(2))
    assert list(table["params"]) == list(expected["params"])
    assert np.isnan(table.loc[1, "accuracy"])


def test_ten_thousand_points_move_fluently(browser, tmp_path):
    write_page(some_points(10_000), "accuracy", tmp_path / "map.html", "Map")
    page = browser.new_page()
    page.goto((tmp_path / "map.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    assert drag(page) < 1  # second, on a busy machine; a software WebGL takes 4
    page.close()


def drag(page):
    """Median seconds from a move of the mouse, dragging the map, to the next frame."""
    x, y = page.evaluate(POSITIONS, 5050)
    page.mouse.move(x, y)
    page.mouse.down()
    seconds = []
    for step in range(20):
        start = time.perf_counter()
        page.mouse.move(x + 5 * step, y)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seconds.append(time.perf_counter() - start)
    page.mouse.up()
    return np.median(seconds)


def test_five_thousand_points_are_three_megabytes_at_most(tmp_path):
    write_page(some_points(5000), "accuracy", tmp_path / "map.html", "Map")
    assert (tmp_path / "map.html").stat().st_size < 3e6


@pytest.mark.parametrize(
    "values",
    [
        [np.nan] * 6,
        [3] * 6,
        [1.0, np.inf, 2, -np.inf, np.nan, 4],
        [True, False, None] * 2,
        ["a", "b", "c", "d", "e", None],
    ],
)
def test_odd_columns_are_drawn(tmp_path, values):
    points = pd.DataFrame({"arch": list("uvwxyz"), "x": range(6), "y": range(6), "odd": values})
    write_page(points, "odd", tmp_path / "map.html", "Map")
    assert (tmp_path / "map.html").stat().st_size > 1e6


def test_unknown_columns_and_existing_pages_are_refused(tmp_path):
    with pytest.raises(ArchrepError, match="Did you mean 'accuracy'"):
        write_page(some_points(9), "acuracy", tmp_path / "map.html", "Map")
    write_page(some_points(9), "accuracy", tmp_path / "map.html", "Map")
    with pytest.raises(ArchrepError, match="--force"):
        write_page(some_points(9), "accuracy", tmp_path / "map.html", "Map")
