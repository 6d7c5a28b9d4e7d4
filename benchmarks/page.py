"""What the page costs and how long one waits for it: `python -m benchmarks.page [--runs 200] [--json]
[--quick]`.

A real server process with the default checkpoint and a headless chromium, on different cores if there are
two.

load     first contentful paint, and the time until Generate can be pressed (it is visible, page.js and the
         canvas have run), from the start of the navigation. Cold: a new browser profile. Warm: the same
         profile again. Medians.
click    from the press on Generate to the frame that shows the first committed token; the model is loaded.
         Medians.
preview  seconds of a job with a page watching it and without any page, interleaved, equal seeds, as the server
         reports them: medians, the median of the pairs' ratios and half their interquartile range. That is
         noisy on most machines; so also the preview's own work: CPU seconds of all server threads but the one
         that computes, watched minus unwatched, as a share of the job's seconds.
memory   the page's JS heap after a forced garbage collection, its DOM nodes and listeners (CDP), after 20 runs
         and after all of them, in one page that is never reloaded. Every tenth run its text is shown in every
         view. Seeds repeat every 20 runs, so that the content of the page is the same at every count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.browser import READY, Site, chromium, cores, pin, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

PROMPT = "dragon, cake, castle, happy ending, dialogue"
CYCLE = 20  # runs after which seeds repeat
SHORT = {"length": "32", "steps": "6"}  # of the many runs
PATIENCE = 300_000  # ms
SETTLED = "document.body.dataset.tdw === 'idle'"
IDLE = f"{SETTLED} && ['done', 'failed', 'cancelled'].includes(document.querySelector('.job')?.dataset.state)"
WATCH_READY = f"""(() => {{
  const look = () => ({READY}) ? (window.benchReady = performance.now()) : requestAnimationFrame(look);
  look();
}})()"""
LOADED = """() => {
  const resources = performance.getEntriesByType('resource');
  const [paint] = performance.getEntriesByName('first-contentful-paint');
  const [page] = performance.getEntriesByType('navigation');
  const bytes = resources.reduce((sum, one) => sum + one.transferSize, page.transferSize);
  if (!paint || !window.benchReady) return null;
  const before = resources.filter((one) => one.startTime < paint.startTime).length;
  return [paint.startTime, window.benchReady, bytes, resources.length + 1, before + 1];
}"""
WATCH_CLICK = """() => {
  const marks = (window.benchMarks = {});
  const painted = (name) => requestAnimationFrame(() => setTimeout(() => (marks[name] = performance.now())));
  document.addEventListener('click', (event) => event.target.closest('#generate') && (marks.click = event.timeStamp), true);
  const canvas = document.querySelector('tdw-canvas');
  const old = new Set(document.querySelectorAll('.job'));
  new MutationObserver((_, observer) => {
    const job = document.querySelector('.job');
    if (!job || old.has(job)) return;
    if (!marks.job) marks.job = performance.now();
    if (![...job.querySelectorAll('.tokens .word')].some((word) => word.textContent)) return;
    observer.disconnect();
    painted('token');
  }).observe(canvas, { childList: true, subtree: true, attributes: true });
}"""


def load(browser: Browser, site: Site, number: int) -> dict[str, Any]:
    """Milliseconds until something is painted and until Generate can be pressed."""
    seen: dict[str, list[list[float]]] = {"cold": [], "warm": []}
    for _ in range(number):
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.add_init_script(WATCH_READY)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        for kind in seen:
            page.goto("about:blank")
            page.goto(site.url)
            page.wait_for_function(LOADED, timeout=PATIENCE)
            page.wait_for_timeout(300)
            seen[kind].append(page.evaluate(LOADED))
        context.close()
    names = ("first_paint_ms", "ready_ms", "bytes", "requests", "requests_before_first_paint")
    return {
        kind: {name: round(median([one[k] for one in all])) for k, name in enumerate(names)}
        for kind, all in seen.items()
    }


def click(browser: Browser, site: Site, number: int) -> dict[str, Any]:
    """Milliseconds from the press on Generate until the job is there and until its first token is painted."""
    page = opened(browser, site)
    type_into(page, prompt=PROMPT, seed="1")
    generate(page)
    waits: dict[str, list[float]] = {"job": [], "token": []}
    for seed in range(number):
        type_into(page, seed=str(seed))
        page.evaluate(WATCH_CLICK)
        page.locator("#generate").click()
        page.wait_for_function("window.benchMarks.token", timeout=PATIENCE)
        marks = page.evaluate("window.benchMarks")
        for name, values in waits.items():
            values.append(marks[name] - marks["click"])
        page.keyboard.press("Escape")
        page.wait_for_function(IDLE, timeout=PATIENCE)
    page.context.close()
    return {f"{name}_ms": round(median(values), 1) for name, values in waits.items()} | {
        "slowest_ms": round(max(waits["token"]), 1)
    }


def preview(browser: Browser, site: Site, rows: int, rounds: int) -> dict[str, Any]:
    """Seconds and processor seconds of the same jobs with a page that watches and without any."""
    page = opened(browser, site)
    runs: dict[str, list[tuple[float, float]]] = {"alone": [], "watched": []}
    for seed in range(rounds + 1):
        request = {"prompt": PROMPT, "seed": seed, "count": rows}
        for kind in ("alone", "watched") if seed % 2 else ("watched", "alone"):
            if kind == "alone":
                page.goto("about:blank")
            elif page.url == "about:blank":
                page.goto(site.url)
                page.wait_for_function(READY, timeout=PATIENCE)
            time.sleep(1)  # until what the page loads and this process asks is over
            before = site.cpu()
            job = site.submit(request) if kind == "alone" else watched(page, request)
            seconds = site.ended(job)["seconds"]
            if kind == "watched":
                page.wait_for_function(IDLE, timeout=PATIENCE)
            used = sorted(now - before.get(thread, 0.0) for thread, now in site.cpu().items())
            runs[kind].append((seconds, sum(used[:-1])))
    page.context.close()
    pairs = list(zip(*(values[1:] for values in runs.values()), strict=True))  # the first pair warms up
    alone, seen, beside = (median([pair[side][k] for pair in pairs]) for side, k in ((0, 0), (1, 0), (0, 1)))
    low, ratio, high = statistics.quantiles([two[0] / one[0] for one, two in pairs], n=4)
    own = median([two[1] - one[1] for one, two in pairs])
    numbers = {
        "alone": alone,
        "watched": seen,
        "ratio": ratio,
        "spread": (high - low) / 2,
        "beside": beside,
        "own": own / alone,
    }
    return {"rows": rows, "rounds": rounds, **{name: round(value, 4) for name, value in numbers.items()}}


def watched(page: Page, request: dict[str, Any]) -> str:
    """The page asks for a text and follows it; the job's id."""
    old = page.evaluate("document.querySelector('tdw-canvas').job?.id ?? ''")
    page.evaluate(
        "request => document.dispatchEvent(new CustomEvent('tdw:generate', { detail: { request } }))", request
    )
    page.wait_for_function(
        "old => (document.querySelector('tdw-canvas').job?.id ?? old) !== old", arg=old, timeout=PATIENCE
    )
    return page.evaluate("document.querySelector('tdw-canvas').job.id")


def memory(browser: Browser, site: Site, runs: int) -> dict[str, Any]:
    """What the page holds after so many runs, counted every 20."""
    page = opened(browser, site)
    session = page.context.new_cdp_session(page)
    type_into(page, prompt=PROMPT, **SHORT)
    counts = []
    for run in range(1, runs + 1):
        type_into(page, seed=str(run % CYCLE))
        generate(page)
        if run % 10 == 5:
            look_around(page)
        if run % CYCLE == 0:
            counts.append({"runs": run, **held(page, session)})
            print(counts[-1], file=sys.stderr, flush=True)
    page.context.close()
    first, last = counts[0], counts[-1]
    return {
        "counts": counts,
        "growth": {name: last[name] - first[name] for name in ("heap", "nodes", "listeners")},
    }


def look_around(page: Page) -> None:
    """Shows the newest text in every view, plays its run, and goes through the page's views."""
    row = page.locator(".job >> nth=0").locator(".row >> nth=0")
    for name in ("Markdown", "Tokens", "Heat map", "Replay", "Stop", "Plain"):
        row.get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(100)
    for view in ("history", "queue", "extensions", "settings", "write"):
        page.locator(f"#views a[data-view={view}]").click()
        page.wait_for_timeout(200)


def held(page: Page, session: CDPSession) -> dict[str, int]:
    """Bytes of the JS heap, DOM nodes and listeners, when all garbage is gone."""
    page.mouse.move(5, 5)
    page.wait_for_timeout(1000)  # toasts, animations, timers
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    dom = session.send("Memory.getDOMCounters")
    heap = session.send("Runtime.getHeapUsage")
    return {"heap": int(heap["usedSize"]), "nodes": dom["nodes"], "listeners": dom["jsEventListeners"]}


def opened(browser: Browser, site: Site) -> Page:
    page = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB").new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(site.url)
    page.wait_for_function(READY, timeout=PATIENCE)
    page.wait_for_timeout(500)
    return page


def type_into(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.locator(f"#field-{name}").locator("input, textarea").first.fill(value)


def generate(page: Page) -> None:
    """Presses Generate and waits for the text."""
    old = page.evaluate("document.querySelector('tdw-canvas').job?.id ?? ''")
    page.locator("#generate").click()
    page.wait_for_function(
        "old => (document.querySelector('tdw-canvas').job?.id ?? old) !== old", arg=old, timeout=PATIENCE
    ).dispose()
    page.wait_for_function(IDLE, timeout=PATIENCE).dispose()


def median(values: list[float]) -> float:
    return statistics.median(values)


def report(found: dict[str, Any]) -> str:
    """The numbers in words."""
    lines = [
        f"browser on core(s) {found['cores'][0]}, server on core(s) {found['cores'][1]}, chromium "
        f"{found['browser']}"
    ]
    if found["cores"][0] == found["cores"][1]:
        lines.append(
            "ONE core for both: what the browser does slows the model, and the preview's seconds say more "
            "than the preview"
        )
    for kind, at in found.get("load", {}).items():
        before = at["requests_before_first_paint"]
        size = f"{at['requests']} requests, {before} before the first paint, {at['bytes'] / 1000:.0f} kB"
        lines.append(
            f"load {kind}: first paint {at['first_paint_ms']} ms, Generate ready {at['ready_ms']} ms ({size})"
        )
    if at := found.get("click"):
        lines.append(
            f"click: job there {at['job_ms']:.0f} ms, first token {at['token_ms']:.0f} ms (slowest "
            f"{at['slowest_ms']:.0f} ms)"
        )
    for at in found.get("preview", []):
        pair = f"{at['alone']:.2f} s alone, {at['watched']:.2f} s watched, {100 * (at['ratio'] - 1):+.1f} %"
        spread = f"(quartiles {100 * at['spread']:.1f} % around)"
        lines.append(f"preview, {at['rows']} row(s): {pair} {spread}; its own work {100 * at['own']:.1f} %")
    for at in found.get("memory", {}).get("counts", []):
        lines.append(
            f"memory after {at['runs']} runs: {at['heap'] / 1e6:.2f} MB heap, {at['nodes']} nodes, "
            f"{at['listeners']} listeners"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="runs for the memory, in steps of 20")
    parser.add_argument("--loads", type=int, default=11)
    parser.add_argument("--clicks", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=10, help="pairs of jobs for the preview's cost")
    parser.add_argument("--only", choices=("load", "click", "preview", "memory"), action="append")
    parser.add_argument("--quick", action="store_true", help="few of everything, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()
    if args.quick:
        args.runs, args.loads, args.clicks, args.rounds = 40, 2, 3, 2
    only = args.only or ("load", "click", "preview", "memory")
    mine, server = cores()
    pin(mine)()  # and with it the browser
    threads = ("--threads", str(len(server) or os.cpu_count() or 1))
    with served(*threads, own=server) as site, chromium() as browser:
        found: dict[str, Any] = {"cores": [mine, server], "browser": browser.version}
        if "load" in only:
            found["load"] = load(browser, site, args.loads)
        if "click" in only:
            found["click"] = click(browser, site, args.clicks)
        if "preview" in only:
            found["preview"] = [
                preview(browser, site, 1, args.rounds),
                preview(browser, site, 8, max(1, args.rounds // 2)),
            ]
        if "memory" in only:
            found["memory"] = memory(browser, site, args.runs)
    print(json.dumps(found, indent=2) if args.json else report(found))


if __name__ == "__main__":
    main()
