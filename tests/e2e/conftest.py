"""A real server process with the page, and a real browser that works it by mouse and keyboard only."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, Running, serve_all_along, wait_until
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
    "--process-per-site",  # see Profiles
)
PATIENCE = int(
    os.environ.get("TDW_PATIENCE", "60000")
)  # ms until a condition that should hold counts as failed
HOSTILE = "<b>bold</b> <script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> ${1+1} {{value}}"
PROFILE = {
    "preset": {"steps": 16, "length": 16, "block_length": 16, "temperature": 1.0, "end_of_text": "ban"},
    "presets": {"hasty": {"steps": 4, "guidance": {"scale": 3}}},
    "understands": f"Nothing: its weights are random. {HOSTILE}",
    "examples": ["A story about a fox", HOSTILE],
}


@pytest.fixture(scope="package")
def hub() -> Iterator[Hub]:
    """What the site takes for the Hugging Face Hub."""
    with serve_hub() as hub:
        yield hub


@pytest.fixture(scope="package")
def site(tmp_path_factory, hub, warm) -> Iterator[Running]:
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
    with serve_all_along("--port", "0", *flags, data=data, start=warm.start, HF_ENDPOINT=hub.url) as running:
        load(running)
        yield running


def load(running: Running) -> None:
    """Has the checkpoint loaded: what is imported for it takes half a minute on a busy machine, and is not what these
    tests are about."""
    with httpx.Client(base_url=f"{running.url}/api/v1/", timeout=240) as client:
        client.post("tokens", json={"text": "a"}).raise_for_status()
        client.post("checkpoints/storyteller/load").raise_for_status()
        wait_until(lambda: '"loaded":true' in client.get("checkpoints").text.replace(" ", ""), 240)


@pytest.fixture(scope="package")
def browser() -> Iterator:
    """The system's chromium. Package scope: while Playwright runs, no other test of this process can run an
    event loop."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Profile:
    """A browser context with what it has cached. Its first page shows nothing of ours and stays open."""

    LASTS = 20  # tests; the process grows by some MB with each

    def __init__(self, browser, options: dict):
        self.used = 0
        self.context = browser.new_context(viewport={"width": 1400, "height": 900}, **options)
        self.context.set_default_timeout(PATIENCE)
        self.first = self.context.new_page()

    def forget(self, url: str) -> None:
        """Nothing is stored or allowed any more for the site at `url`, and no page is open but the first."""
        for page in self.context.pages:
            if page != self.first:
                page.close()
        self.context.clear_cookies()
        self.context.clear_permissions()
        if not self.first.url.startswith(f"{url}/"):
            self.first.goto(f"{url}/ui/0/results/diff.js")
        self.first.evaluate("localStorage.clear()")


class Profiles:
    """Profiles that the tests use one after another. As one page of a profile stays open, and as chromium has
    one process for all pages of a site, the scripts of the next page are compiled already: it opens in half
    the time."""

    def __init__(self, browser):
        self.browser = browser
        self.free: dict[str, list[Profile]] = {}

    @contextmanager
    def take(self, url: str, options: dict) -> Iterator[Profile]:
        """A profile for the site at `url` that is as good as new."""
        free = self.free.setdefault(json.dumps(options, sort_keys=True), [])
        profile = free.pop() if free else Profile(self.browser, options)
        try:
            profile.forget(url)
            profile.used += 1
            yield profile
            profile.forget(url)
        except BaseException:
            profile.context.close()
            raise
        if profile.used < Profile.LASTS:
            free.append(profile)
        else:
            profile.context.close()


@pytest.fixture(scope="package")
def profiles(browser) -> Profiles:
    return Profiles(browser)


@pytest.fixture
def visit(profiles, site) -> Iterator[Callable]:
    """`visit(width=..., dark=...)` opens the page in a browser that was never there. At the end: no error, no
    request elsewhere."""
    faults: list[str] = []
    used: list[Profile] = []

    def watch(request) -> None:
        if not request.url.startswith((f"{site.url}/", "data:", "blob:")):
            faults.append(f"a request to {request.url}")

    def wrong(line) -> bool:
        """Whether a console line is an error. Chromium also logs one for input that the API refuses, and for a
        request that a test aborts."""
        expected = any(words in line.text for words in ("status of 422", "net::ERR_FAILED"))
        return line.type == "error" and not expected

    with ExitStack() as taken:

        def open(width: int = 1400, height: int = 900, permissions: Sequence[str] = (), **options) -> User:
            media = {
                name: options.pop(name) for name in ("color_scheme", "reduced_motion") if name in options
            }
            used.append(taken.enter_context(profiles.take(site.url, options)))
            context = used[-1].context
            context.grant_permissions(list(permissions))
            page = context.new_page()
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(**media)
            page.on("request", watch)
            page.on("pageerror", lambda error: faults.append(f"an error: {error}"))
            page.on(
                "console", lambda line: faults.append(f"on the console: {line.text}") if wrong(line) else None
            )
            page.on("dialog", lambda dialog: (faults.append("a dialog"), dialog.dismiss()))
            return User(page, site.url).come()

        yield open
        titles = [page.title() for profile in used for page in profile.context.pages]
    assert not faults, faults
    assert all("owned" not in title for title in titles)


STATE = """() => ({
  state: document.body.dataset.tdw,
  alert: document.querySelector("#alert")?.textContent,
  away: document.querySelector(".away")?.textContent,
  reason: document.querySelector(".hints")?.textContent,
  jobs: [...document.querySelectorAll(".job")].map((job) => job.dataset.state + ": " + job.textContent.slice(0, 80)),
})"""


class User:
    """What a person does on the page, and what they see."""

    def __init__(self, page, url: str):
        self.page, self.url = page, url

    def come(self) -> User:
        self.page.goto(self.url)
        self.page.wait_for_selector("#generate")
        self.wait("window.tdw && document.querySelector('tdw-canvas')?.jobs")
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
        for _ in range(PATIENCE // 20):
            send({"type": "dragOver", **place})
            if self.page.locator(".drop-here").is_visible():
                break
            self.page.wait_for_timeout(20)
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

    def endlessly(self, seconds: float = 0.3) -> None:
        """From now on a text takes a minute, for what is interrupted: a token about every 0.3 s."""
        self.slowly(seconds)
        for field in ("length", "steps", "block_length"):
            self.type(field, "192")

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
        from playwright.sync_api import Error

        try:
            self.page.wait_for_function(condition, timeout=PATIENCE, polling=50)
        except Error as error:
            raise AssertionError(
                f"not within {PATIENCE / 1000} s; the page: {self.page.evaluate(STATE)}"
            ) from error

    def until(self, condition: Callable):
        """Until a Python expression holds, while the page goes on."""
        for _ in range(PATIENCE // 50):
            if value := condition():
                return value
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not within {PATIENCE / 1000} s")

    def drawn(self) -> None:
        """Until what changed is drawn, and what moves or fades has ended."""
        self.page.evaluate("""async () => {
          await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
          const finite = (one) => Number.isFinite(one.effect?.getComputedTiming().endTime);
          await Promise.allSettled(document.getAnimations().filter(finite).map((one) => one.finished));
        }""")

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

    def shows(self, field: str, value: str) -> None:
        """Waits until a field has a value."""
        from playwright.sync_api import expect

        expect(self.page.locator(f"#field-{field}").locator("input, textarea").first).to_have_value(value)

    def shown(self, field: str) -> str:
        return self.page.locator(f"#field-{field}").locator("input, textarea").first.input_value()

    def complaint(self) -> str:
        return self.page.locator("#alert:not([hidden]) span").text_content()
