"""How often committed words change their line while the rest of a text is still masked, on the traces of
real runs.

python benchmarks/line_jumps.py [--model NAME]      needs chromium and requirements-test.txt

Every run is shown step by step on the page's own board, at two widths, once with steady lines
(webui/page/static/canvas/lines.js) and once as plain text with bars of a fixed width. After each step the
line of every word that was there before is read from the page: a jump is a word on another line. The changes
from the last step to the finished text count, too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from benchmarks.browser import BROWSERS, READY, served

PROMPTS = (
    "dragon, cake, castle, happy ending, dialogue",
    "Write a story about a shy fox and a red ball with a sad ending.",
    "robot, flower, beach",
    "pirate, map, island, no dialogue, sad ending",
)
COUNT, SEED = 5, 100  # texts of each prompt; other seeds than those that lines.js was tuned with
BLOCKS = (32, 104)  # block lengths; the second is the whole text
WIDTHS = (720, 380)  # px, of a desktop and a phone
MEASURE = """async ([results, width, steady]) => {
  const at = (name) => new URL(name, document.querySelector("script[src$='/page.js']").src);
  const { Board } = await import(at("canvas/board.js"));
  const { barWidth, EXPECTED } = await import(at("canvas/lines.js"));
  const { Run } = await import(at("results/run.js"));
  const host = document.querySelector("tdw-canvas");
  const sums = { jumps: 0, words: 0, texts: 0, em: 0, tokens: 0 };
  for (const result of results) {
    const run = new Run(result);
    const board = new Board();
    board.node.style.width = `${width}px`;
    board.flowing = steady;
    host.replaceChildren(board.node);
    const size = parseFloat(getComputedStyle(board.node).fontSize);
    const lineOf = (node) => Math.round(node.getBoundingClientRect().top / 10);
    const place = () => board.nodes.map((at, i) => (board.known[i][0]?.trim() ? lineOf(at.show) : null));
    let before = [];
    for (let step = 0; step <= run.steps + 1; step++) {
      if (step > run.steps) board.natural();
      else board.show(run.at(step));
      const open = board.nodes.map((at, i) => [at.show, i]).filter(([, i]) => board.known[i][0] === null);
      if (!steady) for (const [bar, i] of open) bar.style.width = `${barWidth(i) * (EXPECTED - 0.25)}em`;
      const now = place();
      now.forEach((line, i) => (sums.jumps += line !== null && (before[i] ?? null) !== null && line !== before[i]));
      before = now;
    }
    sums.texts += 1;
    sums.words += before.filter((line) => line !== null).length;
    const committed = board.known.slice(0, run.end).filter(([text]) => text !== null);
    const range = new Range();
    for (let i = 0; i < committed.length; i++) {
      range.selectNodeContents(board.nodes[i].node);
      sums.em += range.getBoundingClientRect().height > 2 * size ? 0 : range.getBoundingClientRect().width / size;
    }
    sums.tokens += committed.length;
  }
  return sums;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", help="the checkpoint (default: the program's)")
    parser.add_argument("--url", help="a running server to ask instead of starting one")
    options = parser.parse_args()
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        sys.exit("No chromium found; install it to measure.")
    if options.url:
        measure(options.url, executable)
    else:
        with served(*(["--model", options.model] if options.model else [])) as site:
            measure(site.url, executable)


def measure(url: str, executable: str) -> None:
    """Prints jumps per 100 words for each block length, width and way of ending lines."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(url)
        page.wait_for_function(READY)
        for block in BLOCKS:
            results = [part for prompt in PROMPTS for part in written(url, prompt, block)]
            for width in WIDTHS:
                rates = []
                for steady in (False, True):
                    sums = page.evaluate(MEASURE, [results, width, steady])
                    rates.append(100 * sums["jumps"] / sums["words"])
                em = sums["em"] / sums["tokens"]
                print(
                    f"blocks of {block}, {width} px: {rates[0]:.1f} jumps per 100 words as plain text, "
                    f"{rates[1]:.1f} with "
                    f"steady lines; a token takes {em:.2f} em"
                )
        browser.close()


def written(url: str, prompt: str, block: int) -> list[dict[str, Any]]:
    """Whole results, with their traces, of one job."""
    request = {"prompt": prompt, "seed": SEED, "count": COUNT, "block_length": block}
    job = httpx.post(f"{url}/api/v1/jobs", json=request, timeout=60).json()["id"]
    while (answer := httpx.get(f"{url}/api/v1/jobs/{job}", timeout=60).json())["state"] in (
        "queued",
        "running",
    ):
        time.sleep(1)
    return answer["result"]["parts"] or [answer["result"]]


if __name__ == "__main__":
    main()
