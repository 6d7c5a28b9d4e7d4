"""A grid of very many texts with the page open: `python -m benchmarks.many [--texts 10000] [--json]`.

A real server process with a tiny random checkpoint, one token in one step, and a headless chromium, on different
cores if there are two. The grid is typed; its cost is read above Generate and in the question that Generate asks
first. Then the page shows the texts as they come, to the end, while a letter is typed every few seconds.

tasks     the longest tasks of the page's main thread, by the processor (which other work on the machine changes
          little) and by the clock; all of them as a share of the time; and when the trace ended: its buffer may
          be full before the run is over
typed     by the clock, from a key to the next frame: the longest and the median
progress  every value that the bar showed; how often one was smaller than the one before
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.browser import READY, chromium, cores, pin, served
from tests.tiny_checkpoints import llada

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 60_000  # ms
LOOK = 5.0  # seconds between two letters
WATCH = """() => {
  const seen = (window.benchSeen = { typed: [], progress: [] });
  document.addEventListener('keydown', () => {
    const began = performance.now();
    requestAnimationFrame(() => setTimeout(() => seen.typed.push(performance.now() - began)));
  }, true);
  new MutationObserver((changes) => {
    for (const { target } of changes) if (target.matches('.job-bar')) seen.progress.push(Number(target.ariaValueNow));
  }).observe(document.querySelector('tdw-canvas'), { subtree: true, attributeFilter: ['aria-valuenow'] });
}"""


def typed(page: Page, field: str, text: str) -> None:
    """Types into a control."""
    page.locator(f"#field-{field}").locator("input, textarea").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.type(text)
    page.keyboard.press("Tab")


def run(page: Page, texts: int) -> dict[str, Any]:
    """Types the grid, confirms it, and follows it to its end."""
    typed(page, "prompt", "a dragon")
    for name in ("length", "steps"):
        typed(page, name, "1")
    page.get_by_role("button", name="X/Y/Z grid").click()
    typed(page, "xyz_grid-x_field", "seed")
    typed(page, "xyz_grid-x_values", f"1-{texts}")
    cost = page.locator(".hints .cost")
    cost.filter(has_text=f"{texts:,} texts").wait_for()
    said = {"line": cost.inner_text()}
    page.evaluate(WATCH)
    page.locator("#generate").click()
    question = page.locator("dialog.ask p")
    question.wait_for()
    said["question"] = question.inner_text()
    began = time.monotonic()
    page.locator("dialog.ask").get_by_role("button", name="Write them").click()
    state = "document.querySelector('.job')?.dataset.state"
    page.wait_for_function(f"{state} === 'running'")
    while page.evaluate(state) == "running":
        page.locator("#field-prompt textarea").first.press("End")
        page.keyboard.type("x")
        time.sleep(LOOK)
    seconds = time.monotonic() - began
    page.wait_for_timeout(3000)  # the metrics of the last ones
    seen = page.evaluate("window.benchSeen")
    progress = seen["progress"]
    return {
        "texts": texts,
        "cost": said,
        "state": page.evaluate(state),
        "seconds": round(seconds, 1),
        "typed": {
            "longest_ms": round(max(seen["typed"])),
            "median_ms": round(statistics.median(seen["typed"])),
        },
        "progress": {
            "values": len(progress),
            "last": progress[-1] if progress else None,
            "backwards": sum(b < a for a, b in zip(progress, progress[1:], strict=False)),
        },
    }


def tasks(trace: bytes) -> dict[str, Any]:
    """The main thread's tasks in a trace: of the renderer that had most to do."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one.get("name") == "thread_name" and one["args"]["name"] == "CrRendererMain"
    }
    found: dict[tuple[int, int], list[dict[str, float]]] = {}
    for one in events:
        if one.get("ph") == "X" and one["name"].endswith("RunTask") and (one["pid"], one["tid"]) in mains:
            found.setdefault((one["pid"], one["tid"]), []).append(one)
    ours = max(found.values(), key=len)
    cpu, clock = ([one.get(name, 0) / 1000 for one in ours] for name in ("tdur", "dur"))
    ends = [one["ts"] + one["dur"] for one in ours]
    whole = (max(ends) - min(one["ts"] for one in ours)) / 1000
    return {
        "number": len(ours),
        "longest_cpu_ms": [round(one) for one in sorted(cpu, reverse=True)[:5]],
        "over_50_ms_cpu": sum(one > 50 for one in cpu),
        "longest_clock_ms": [round(one) for one in sorted(clock, reverse=True)[:5]],
        "cpu_share": round(sum(cpu) / whole, 3),
        "traced_s": round(whole / 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    front, back = cores()
    pin(front)()
    with tempfile.TemporaryDirectory() as folder:
        llada(Path(folder) / "models" / "checkpoints" / "tiny")
        flags = ("--models", f"{folder}/models", "--model", "tiny", "--threads", "1")
        with served(*flags, own=back) as site, chromium() as browser:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.set_default_timeout(PATIENCE)
            page.goto(site.url)
            page.wait_for_function(READY)
            site.ended(site.submit({"prompt": "a", "length": 1, "steps": 1}))  # the checkpoint is loaded
            browser.start_tracing(page=page, categories=["toplevel"])
            found = run(page, args.texts)
            found["tasks"] = tasks(browser.stop_tracing())
    if args.json:
        return print(json.dumps(found))
    for name, value in found.items():
        print(f"{name:>9}  {value}")


if __name__ == "__main__":
    main()
