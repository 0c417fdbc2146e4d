"""Size of the interactive map, and how long a browser takes to open and to move it.

    python -m benchmarks.page --out benchmarks/page.md

Needs Playwright and a Chromium; made points, 18 columns as `archrep map` writes them with the shipped labels.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Browser, sync_playwright

from archrep.plot.page import write_page

COUNTS = (5_000, 10_000, 50_000)
STEPS = 20
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def made(n: int) -> pd.DataFrame:
    """Twelve clusters of architectures; two fifths have no accuracy."""
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 12, n)
    place = rng.normal(size=(12, 2))[cluster] * 6 + rng.normal(size=(n, 2))
    split = np.array(["test", "val", "wide", "deep", "dense", "bnfree"])[cluster % 6]
    points = pd.DataFrame({"arch": [f"deepnets-small:{s}:{i}" for i, s in enumerate(split)]})
    points[["x", "y"]] = place
    points = points.assign(space="deepnets-small", split=split, nodes=rng.integers(60, 500, n))
    points = points.assign(depth=rng.integers(10, 90, n), params=rng.integers(10**5, 10**8, n))
    points["ops"] = [f"conv {i % 50}, sep_conv {i % 7}, max_pool 3, dil_conv 2, cse 1" for i in range(n)]
    points["op_mix"] = np.array(["sep_conv", "max_pool", "msa", "dil_conv"])[cluster % 4]
    for target in ("accuracy", "accuracy_val", "robustness", "train_accuracy_mean", "trainability", "latency_ms"):
        points[target] = np.where(rng.random(n) < 0.4, np.nan, rng.uniform(0, 90, n))
    return points.assign(diverged=0.0, flops=rng.integers(10**7, 10**10, n), seconds=rng.uniform(9, 40, n), seeds=1)


def measured(browser: Browser, path: Path) -> tuple[float, float, float, float]:
    """Opening (s, wall), a step of a drag (s, wall, and s of the page's thread), a search with a whole drawing (s)."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    clock = page.context.new_cdp_session(page)
    clock.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked() -> float:
        metrics = clock.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    page.evaluate(FRAME)
    opened = time.perf_counter() - start
    page.mouse.move(400, 350)
    page.mouse.down()
    moved, before = [], worked()
    for step in range(STEPS):
        start = time.perf_counter()
        page.mouse.move(400 + 5 * step, 350)
        page.evaluate(FRAME)
        moved.append(time.perf_counter() - start)
    work = (worked() - before) / STEPS
    page.mouse.up()
    page.wait_for_timeout(1000)  # drawn whole again
    before = worked()
    page.fill("#search", "test:1")
    page.evaluate(FRAME)
    searched = worked() - before
    page.close()
    return opened, float(np.median(moved)), work, searched


def main() -> None:
    """Measures all and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="file for the table (Markdown)")
    options = parser.parse_args()
    lines = ["# The interactive map\n\n`python -m benchmarks.page --out benchmarks/page.md`\n"]
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        browser = api.chromium.launch(executable_path=chromium, args=FLAGS)
        lines.append(
            f"Headless Chromium {browser.version}, no graphics card, one run; work is processor time of the page.\n"
        )
        lines.append("| points | MB | opens (s) | dragged: ms a step | of them work | search, drawn whole: s of work |")
        lines.append("|--:" * 6 + "|")
        for n in COUNTS:
            path = Path(folder) / f"{n}.html"
            write_page(made(n), "accuracy", path, "UMAP of GHN embeddings", f"deepnets-small · n = {n:,} · seed 0")
            opened, moved, work, searched = measured(browser, path)
            size = path.stat().st_size / 1e6
            lines.append(
                f"| {n:,} | {size:.2f} | {opened:.1f} | {1000 * moved:.0f} | {1000 * work:.0f} | {searched:.2f} |"
            )
        browser.close()
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
