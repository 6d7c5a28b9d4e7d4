"""A real server process with the page, and a real browser that works it by mouse and keyboard only."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, Running, serve_all_along
from tests.hub import Hub, serve_hub
from tests.tiny_checkpoints import llada

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = int(
    os.environ.get("TDW_PATIENCE", "40000")
)  # ms until a condition that should hold counts as failed
HOSTILE = "<b>bold</b> <script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> ${1+1} {{value}}"
PROFILE = {
    "preset": {"steps": 16, "length": 16, "block_length": 16, "temperature": 1.0, "end_of_text": "ban"},
    "understands": f"Nothing: its weights are random. {HOSTILE}",
    "examples": ["A story about a fox", HOSTILE],
}


@pytest.fixture(scope="package")
def hub() -> Iterator[Hub]:
    """What the site takes for the Hugging Face Hub."""
    with serve_hub() as hub:
        yield hub


@pytest.fixture(scope="package")
def site(tmp_path_factory, hub) -> Iterator[Running]:
    """The whole program: two tiny checkpoints, all extensions, one that makes model calls slow, one that
    remasks, one that does not load."""
    folder = tmp_path_factory.mktemp("e2e")
    for name, profile in (("storyteller", PROFILE), ("other", {"preset": {"length": 24, "steps": 6}})):
        checkpoint = llada(folder / "models" / "checkpoints" / name)
        (checkpoint / "profile.json").write_text(json.dumps(profile), "utf-8")
    broken = folder / "extensions" / "broken"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"raise ImportError({HOSTILE!r})", "utf-8")
    for path in [
        *(ROOT / "extensions").glob("*/__init__.py"),
        ROOT / "tests/extensions/rehearsal/__init__.py",
        ROOT / "tests/extensions/second_look/__init__.py",
    ]:
        (folder / "extensions" / path.parent.name).symlink_to(path.parent)
    flags = ["--models", str(folder / "models"), "--built-in", str(folder / "extensions"), "--threads", "1"]
    flags.append("--no-preload")  # see test_preload.py
    data = folder / "data"
    with serve_all_along("--port", "0", *flags, data=data, HF_ENDPOINT=hub.url) as running:
        # What is imported on first use takes half a minute on a busy machine: not what these tests are about.
        httpx.post(f"{running.url}/api/v1/tokens", json={"text": "a"}, timeout=240).raise_for_status()
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator:
    """The system's chromium. Package scope: while Playwright runs, no other test of this process can run an
    event loop."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, site) -> Iterator[Callable]:
    """`visit(width=..., dark=...)` opens the page in a new browser. At the end: no error, no request
    elsewhere."""
    contexts, faults = [], []

    def watch(request) -> None:
        if not request.url.startswith((f"{site.url}/", "data:", "blob:")):
            faults.append(f"a request to {request.url}")

    def wrong(line) -> bool:
        """Whether a console line is an error. Chromium also logs one for input that the API refuses."""
        return line.type == "error" and "status of 422" not in line.text

    def open(width: int = 1400, height: int = 900, **options) -> User:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", watch)
        page.on("pageerror", lambda error: faults.append(f"an error: {error}"))
        page.on(
            "console", lambda line: faults.append(f"on the console: {line.text}") if wrong(line) else None
        )
        page.on("dialog", lambda dialog: (faults.append("a dialog"), dialog.dismiss()))
        return User(page, site.url).come()

    yield open
    titles = [page.title() for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert not faults, faults
    assert all("owned" not in title for title in titles)


class User:
    """What a person does on the page, and what they see."""

    def __init__(self, page, url: str):
        self.page, self.url = page, url

    def come(self) -> User:
        self.page.goto(self.url)
        self.page.wait_for_selector("#generate")
        self.page.wait_for_function("window.tdw && document.querySelector('tdw-canvas')?.jobs")
        return self

    def type(self, field: str, text: str) -> None:
        """Replaces what is in a field by typing."""
        self.enter(self.page.locator(f"#field-{field}").locator("input, textarea").first, text)

    def enter(self, place, text: str) -> None:
        """The same in any place where text can be typed."""
        place.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text)

    def drop(self, *files: Path) -> None:
        """Drags files onto the middle of the page, as the desktop does, and drops them when the page shows that
        it accepts them."""
        session = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        send = functools.partial(session.send, "Input.dispatchDragEvent")
        place = {"x": 700, "y": 500, "data": data}
        send({"type": "dragEnter", **place})
        for _ in range(PATIENCE // 100):
            send({"type": "dragOver", **place})
            if self.page.locator(".drop-here").is_visible():
                break
            self.page.wait_for_timeout(100)
        send({"type": "drop", **place})

    def view(self, name: str) -> None:
        """Goes to a view by its link."""
        self.page.locator(f"#views a[data-view={name}]").click()
        self.wait(f"document.body.dataset.view === '{name}'")

    def open(self, job: str) -> None:
        """Opens a job that the queue lists."""
        self.view("queue")
        self.page.locator(f".queue-item[data-job='{job}']").get_by_role("button", name="Open").click()
        self.wait(f"document.querySelector('tdw-canvas').job?.id === '{job}'")

    def choose(self, field: str, choice: str) -> None:
        self.page.locator(f"#field-{field} input").click()
        self.page.get_by_role("option", name=choice).click()

    def unfold(self, title: str) -> None:
        self.page.get_by_role("button", name=title).click()

    def slowly(self, seconds: float) -> None:
        """From now on every model call takes this much longer."""
        self.unfold("Rehearsal")
        self.type("rehearsal-seconds", str(seconds))

    def reset(self) -> None:
        """Presses Reset, and Reset again in the question that lists what changes."""
        self.page.locator("#reset").click()
        self.page.locator("dialog.ask").get_by_role("button", name="Reset").click()

    def generate(self) -> None:
        self.page.get_by_role("button", name="Generate").click(
            force=True
        )  # also where it only says why it cannot

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression holds."""
        self.page.wait_for_function(condition, timeout=PATIENCE)

    def done(self, state: str = "done", jobs: int = 1) -> None:
        self.wait(
            f"document.querySelectorAll('.job').length === {jobs} && "
            f"document.querySelector('.job').dataset.state === '{state}'"
        )

    def masks(self) -> int:
        return self.page.locator(".job >> nth=0").locator(".tokens .mask").count()

    def texts(self) -> list[str]:
        """The finished texts of the newest job."""
        return self.page.locator(".job >> nth=0").locator(".final:not([hidden])").all_text_contents()

    def shown(self, field: str) -> str:
        return self.page.locator(f"#field-{field}").locator("input, textarea").first.input_value()

    def complaint(self) -> str:
        return self.page.locator("#alert:not([hidden]) span").text_content()
