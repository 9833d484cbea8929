"""``ctxai open`` in a browser: time to the first image, time from a click to the map, and memory.

    python benchmarks/open.py [--slices 300] [--clicks 6] [--out FILE]

The CT is that of benchmarks/explain_memory.py, 512 x 512 pixels with noise and six nodules, and the model is the
shipped run. Times are what a reader sees in Chromium, on the wall clock: from the start of the command to the first
image (the browser is there already), from its start until all slices and the model are in memory, and from each click
to the map on the screen. Memory is the greatest resident set of the command after that, without the browser's. Goals:
3 s, 3 s, 1.5 GB. The load of the machine, which other work raises, stands in each row.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from explain_memory import FIELD_OF_VIEW_MM, NODULES, make_ct
from playwright.sync_api import Page

from system.browser import opened_page, started_chromium

ROWS = 512
GOALS = {"first_image_s": 3.0, "click_to_map_s": 3.0, "peak_gb": 1.5}
COLUMNS = ("figure", "value", "goal", "slices", "threads", "load", "cores")
_PATIENCE_S = 300
_READY = "document.getElementById('status').textContent === 'Click a nodule.'"
_NAME = "document.getElementById('answer-name').textContent"
_MAP = "['checks', 'done'].includes(document.getElementById('answer').dataset.stage)"
#: Whether the axial plane shows anything but one grey.
_DRAWN = """() => {
  const canvas = document.querySelector('canvas[data-plane=axial]');
  if (!canvas || !canvas.width) return false;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let at = 0; at < data.length; at += 404) seen.add(data[at]);
  return seen.size > 16;
}"""


def until(page: Page, condition: str, step_s: float = 0.02) -> None:
    """Wait for a condition on the page."""
    deadline = time.monotonic() + _PATIENCE_S
    while not page.evaluate(condition):
        if time.monotonic() > deadline:
            raise SystemExit(f"the page did not come to {condition}")
        time.sleep(step_s)


def click(page: Page, number: int, slices: int) -> None:
    """Scroll to a nodule of the CT and click its middle in the axial plane."""
    page.keyboard.press("0")
    canvas = page.locator("canvas[data-plane=axial]")
    canvas.focus()
    wanted = round(slices * number / (NODULES + 1))
    shown = int(re.match(r"axial (\d+)", page.locator(".axial p").inner_text())[1]) - 1
    for _ in range(abs(wanted - shown)):
        page.keyboard.press("ArrowUp" if wanted > shown else "ArrowDown")
    until(page, f"document.querySelector('.axial p').textContent.startsWith('axial {wanted + 1} ')")
    box = canvas.bounding_box()
    scale = min(box["width"], box["height"]) / FIELD_OF_VIEW_MM
    across, down = 72.0 * (-1) ** number, 40.0 * np.sin(number)
    page.mouse.click(box["x"] + box["width"] / 2 + across * scale, box["y"] + box["height"] / 2 + down * scale)


def peak_gb(pid: int) -> float:
    """Greatest resident set of a running process."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024 / 1e9


def measure(slices: int, clicks: int) -> list[tuple[str, float]]:
    """Name and value of each figure."""
    with tempfile.TemporaryDirectory() as name, started_chromium() as browser, opened_page(browser) as page:
        folder = Path(name)
        made = os.fork()
        if not made:
            make_ct(folder, slices, ROWS)
            os._exit(0)
        if os.waitpid(made, 0)[1]:
            raise SystemExit("the CT could not be made")
        command = ["open", folder / "ct", "--out", folder / "session", "--no-browser", "--device", "cpu"]
        begin = time.perf_counter()
        arguments = [sys.executable, "-m", "ctxai", *map(str, command)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            try:
                page.goto(process.stdout.readline().strip())
                until(page, _DRAWN)
                figures = [("first_image_s", time.perf_counter() - begin)]
                until(page, _READY)
                figures.append(("ready_s", time.perf_counter() - begin))
                for number in range(1, clicks + 1):
                    click(page, number, slices)
                    clicked = time.perf_counter()
                    until(page, f"{_NAME} === 'nodule-{number:03}' && {_MAP}")
                    figures.append(("click_to_map_s", time.perf_counter() - clicked))
                    until(page, "document.getElementById('answer').dataset.stage === 'done'")
                figures.append(("peak_gb", peak_gb(process.pid)))
            finally:
                process.terminate()
    return figures


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--clicks", type=int, default=NODULES, choices=range(1, NODULES + 1))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "open.csv")
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    figures = measure(arguments.slices, arguments.clicks)
    load = f"{max(before, os.getloadavg()[0]):.1f}"
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    with arguments.out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for name, value in figures:
            print(f"{name:16} {value:6.2f}", flush=True)
            table.writerow([name, f"{value:.2f}", GOALS.get(name, ""), arguments.slices, threads, load, os.cpu_count()])


if __name__ == "__main__":
    main()
