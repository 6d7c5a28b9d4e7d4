"""Makes the pictures of the README from real runs: docs/images/{before,during,after,dark,phone}.png.

python benchmarks/screenshots.py [--model NAME]     needs chromium and requirements-test.txt
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROMPT = "dragon, cake, castle, happy ending, dialogue"
COLOURS = 160  # of a picture: enough for type on paper, a quarter of the bytes
WIDE, PHONE = {"width": 1400, "height": 800}, {"width": 420, "height": 860}
ENDED = "['done', 'failed', 'cancelled'].includes(document.querySelector('.job')?.dataset.state)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="the checkpoint (default: the program's)")
    model = parser.parse_args().model
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        sys.exit("No chromium found; install it to make screenshots.")
    OUT.mkdir(parents=True, exist_ok=True)
    with served(model) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        desk(browser, url)
        night(browser, url)
        phone(browser, url)
        browser.close()


def desk(browser: Browser, url: str) -> None:
    """Before, during and after one text."""
    page = open_page(browser, url, viewport=WIDE)
    keep(page, "before")
    start(page, PROMPT, seed=7)
    half_way(page)
    keep(page, "during")
    page.wait_for_function(ENDED, timeout=300_000)
    page.get_by_role("button", name="Tokens").click()
    page.locator(".tokens .word.sure-1, .tokens .word.sure-2, .tokens .word").first.hover()
    page.locator("summary", has_text="Parameters").click()
    keep(page, "after")


def night(browser: Browser, url: str) -> None:
    """Four texts of one batch, in the dark."""
    page = open_page(browser, url, viewport=WIDE, color_scheme="dark")
    start(page, PROMPT, seed=11, count=4, temperature=0.7)
    half_way(page)
    keep(page, "dark")
    page.keyboard.press("Escape")
    page.wait_for_function(ENDED, timeout=300_000)


def phone(browser: Browser, url: str) -> None:
    page = open_page(browser, url, viewport=PHONE, is_mobile=True, has_touch=True)
    start(page, PROMPT, seed=3)
    half_way(page)
    keep(page, "phone")


def open_page(browser: Browser, url: str, **options) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(url)
    page.wait_for_selector("tdw-canvas .blank")
    page.wait_for_function("window.tdw && document.fonts.status === 'loaded'")
    return page


def start(page: Page, prompt: str, **fields: object) -> None:
    for name, value in {"prompt": prompt, **fields}.items():
        page.locator(f"#field-{name}").locator("input, textarea").first.fill(str(value))
    page.get_by_role("button", name="Generate").click()


def half_way(page: Page) -> None:
    page.wait_for_function("Number(document.querySelector('.job-bar')?.getAttribute('aria-valuenow')) >= 45", timeout=300_000)


def keep(page: Page, name: str) -> None:
    """Saves what is to be seen, in few colours."""
    page.evaluate("document.querySelector('#desk-left').scrollTo(0, 0)")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    file = OUT / f"{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")


@contextmanager
def served(model: str | None) -> Iterator[str]:
    """The program in a process of its own, with an empty data folder; its address."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, str(ROOT / "app.py"), "--port", "0", "--data", data, *(["--model", model] if model else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process.stdout.readline().split(": ", 1)[1].strip()
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
