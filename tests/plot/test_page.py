"""The interactive map in a real browser, opened from disk."""

import shutil
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from archrep.errors import ArchrepError
from archrep.plot.page import write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
FLAGS += ["--disable-component-update", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
MARKUP = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>'
POSITIONS = """(index) => {
    const source = Bokeh.documents[0].get_model_by_name("points");
    const view = Bokeh.index.roots[0], frame = view.canvas_view.el.getBoundingClientRect();
    const [x] = view.frame.x_scale.v_compute([source.data.x[index]]);
    const [y] = view.frame.y_scale.v_compute([source.data.y[index]]);
    return [frame.x + x, frame.y + y];
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
    return points.rename(columns={"target 0": MARKUP})


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as api:
        started = api.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser, tmp_path):
    """The page of 100 points; at the end nothing was asked of a network, and nothing went wrong."""
    write_page(some_points(100), "accuracy", tmp_path / "map.html", f"Map {MARKUP}", MARKUP, {"accuracy": "%"})
    opened, wrong, asked = browser.new_page(), [], []
    opened.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto((tmp_path / "map.html").as_uri())
    opened.wait_for_selector("body[data-ready]")
    yield opened
    assert wrong == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked)
    assert opened.evaluate("window.hacked") is None
    opened.close()


def point_at(page, index):
    page.mouse.move(*page.evaluate(POSITIONS, index), steps=3)
    tooltip = page.locator(".bk-tooltip-content").first
    tooltip.wait_for()
    return tooltip


def test_hover_tells_name_and_targets(page):
    text = point_at(page, 55).inner_text()
    assert "deepnets-small:test:55" in text
    assert "conv 55, sep_conv 6" in text
    expected = some_points(100).loc[55, "accuracy"]
    assert f"{expected:.4g}" in text


def test_missing_values_are_called_so(page):
    assert "accuracy:\tNaN" in point_at(page, 1).inner_text()
    assert page.locator("#legend").inner_text().splitlines()[-1] == "grey: no value (1)"


def test_markup_in_names_is_text_everywhere(page):
    assert MARKUP in page.locator("h1").inner_text()
    assert MARKUP in page.locator("header p").inner_text()
    assert MARKUP in point_at(page, 0).inner_text()
    page.fill("#search", "onerror")
    assert page.locator("#rows td").first.inner_text() == MARKUP
    page.select_option("#color", label="split")
    assert f"{MARKUP} (1)" in page.locator("#legend").inner_text()
    page.select_option("#color", label=MARKUP)
    assert page.locator("#rows th").last.inner_text() == MARKUP


def test_the_selector_recolours(page):
    before = page.evaluate(COLOR)
    page.select_option("#color", label="many")
    assert page.evaluate(COLOR) != before
    lines = page.locator("#legend li").all_inner_texts()
    assert len(lines) == 10  # nine classes and all others
    assert lines[-1] == "11 others (55)"
    assert page.locator("#color option").all_inner_texts().count("ops") == 0  # names rather than classes


def test_search_lists_what_it_finds(page):
    page.fill("#search", "TEST:9")
    assert page.locator("#status").inner_text() == "11 of 100 chosen"
    assert page.locator("#rows td:first-child").all_inner_texts()[:2] == [
        "deepnets-small:test:9",
        "deepnets-small:test:90",
    ]
    page.fill("#search", "nothing like it")
    assert page.locator("#status").inner_text() == "0 of 100 match"
    page.fill("#search", "")
    assert page.locator("#rows").inner_text() == ""


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
    assert list(table["arch"]) == list(some_points(100)["arch"])
    assert np.isnan(table.loc[1, "accuracy"])


def test_five_thousand_points_are_three_megabytes_at_most(tmp_path):
    write_page(some_points(5000), "accuracy", tmp_path / "map.html", "Map")
    assert (tmp_path / "map.html").stat().st_size < 3e6


def test_unknown_columns_and_existing_pages_are_refused(tmp_path):
    with pytest.raises(ArchrepError, match="Did you mean 'accuracy'"):
        write_page(some_points(9), "acuracy", tmp_path / "map.html", "Map")
    write_page(some_points(9), "accuracy", tmp_path / "map.html", "Map")
    with pytest.raises(ArchrepError, match="--force"):
        write_page(some_points(9), "accuracy", tmp_path / "map.html", "Map")
