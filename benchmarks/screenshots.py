"""Pictures of the page from real runs of the program, and its film: needs chromium and requirements-test.txt.

python -m benchmarks.screenshots                   those of README.md and docs/views.md, in docs/images
python -m benchmarks.screenshots --out DIR  every state at 1400 and 420 px, light and dark, two of them
  in German
python -m benchmarks.screenshots --film            docs/images/film.gif: a run saved by the page's own More >
  Save as GIF
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageSequence

from benchmarks.browser import READY, ROOT, Site, chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = ROOT / "docs" / "images"
PROMPT = "dragon, cake, castle, happy ending, dialogue"
PROMPTS = (
    PROMPT,
    "robot, flower, beach",
    "pirate, map, island, no dialogue, sad ending",
    "Write a story about a shy fox.",
)
COLOURS = 160  # of a picture: enough for type on paper, a quarter of the bytes
PATIENCE = 600_000  # ms: also for a busy machine
WIDE = {"viewport": {"width": 1400, "height": 800}}
PHONE, DARK = (
    {"viewport": {"width": 420, "height": 860}, "is_mobile": True, "has_touch": True},
    {"color_scheme": "dark"},
)
GERMAN = {"locale": "de-DE"}
VARIANTS = MappingProxyType(
    {"wide": WIDE, "wide-dark": WIDE | DARK, "phone": PHONE, "phone-dark": PHONE | DARK}
)
README = MappingProxyType(
    {
        "before": ("empty", "wide"),
        "during": ("running", "wide"),
        "after": ("tokens", "wide"),
        "dark": ("running-four", "wide-dark"),
        "phone": ("running", "phone"),
        "history": ("history", "wide"),
    }
)
# docs/views.md: each of these at 1400 px, and at 420 px as NAME-phone.png
VIEWS = (
    "table",
    "chart",
    "compare",
    "replay",
    "heat",
    "presets",
    "models",
    "loras",
    "styles",
    "history",
    "queue",
    "merger",
    "training",
    "extensions",
    "settings",
)
SHOWN = README | {
    f"{state}{'' if variant == 'wide' else '-' + variant}": (state, variant)
    for state in VIEWS
    for variant in ("wide", "phone")
}
OVER = "['done', 'failed', 'cancelled'].includes(document.querySelector('.job')?.dataset.state)"
WATCHED = "job => document.querySelector('tdw-canvas').job?.id === job"
PART = "Number(document.querySelector('.job-bar')?.getAttribute('aria-valuenow')) >= 35"
LIVE = MappingProxyType(
    {
        "running": {"seed": 7},
        "running-four": {"seed": 11, "count": 4, "temperature": 0.7},
        "running-twenty": {"seed": 20, "count": 20},
        "running-matrix": {"prompt": "Write a story about a fox | and a balloon | with a sad ending"},
    }
)


@dataclass
class Gallery:
    """Takes pictures of pages: `pages` by variant, finished `jobs` by name, `open_jobs` to be stopped after a
    state."""

    site: Site
    folder: Path
    pages: dict[str, Page] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    open_jobs: list[str] = field(default_factory=list)

    def keep(self, page: Page, name: str) -> None:
        """Saves what is to be seen, in few colours."""
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        file = self.folder / f"{name}.png"
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
        print(f"{file}: {file.stat().st_size // 1024} KiB", flush=True)

    def open(self, browser: Browser, name: str, options: dict[str, Any]) -> Page:
        """The page of a variant, in a new tab of its browser: without a draft, without a job."""
        if name in self.pages:
            self.pages[name].evaluate("localStorage.clear()")
            page = self.pages[name].context.new_page()
            self.pages[name].close()
        else:
            page = browser.new_context(**{"locale": "en-GB", **options}).new_page()
        self.pages[name] = page
        page.set_default_timeout(PATIENCE)
        page.goto(self.site.url)
        page.wait_for_function(f"{READY} && document.fonts.status === 'loaded'", timeout=PATIENCE)
        page.wait_for_timeout(400)
        return page

    def run(self, name: str, **request: Any) -> str:
        """The id of a finished job, made once."""
        if name not in self.jobs:
            self.jobs[name] = self.site.submit({"prompt": PROMPT, **request})
            self.site.ended(self.jobs[name])
        return self.jobs[name]

    def finished(self, page: Page, name: str = "one", **request: Any) -> None:
        """The page shows a finished job."""
        watch(page, self.run(name, **{"seed": 7, **request}))
        page.wait_for_function(OVER, timeout=PATIENCE)


def watch(page: Page, job: str) -> None:
    page.evaluate("job => document.dispatchEvent(new CustomEvent('tdw:watch', { detail: { job } }))", job)
    page.wait_for_function(WATCHED, arg=job, timeout=PATIENCE)
    page.wait_for_timeout(900)  # on a phone it scrolls there


def write(page: Page, state: str) -> None:
    """Types what a state asks for, presses Generate, and waits until a part of the text is there."""
    for name, value in {"prompt": PROMPT, **LIVE[state]}.items():
        page.locator(f"#field-{name} :is(input, textarea)").first.fill(str(value))
        page.keyboard.press("Tab")
    if state == "running-matrix":
        page.locator("#extension-prompt_matrix > button").click()
        page.locator("#field-prompt_matrix-enabled input").check()
        page.locator("#extension-prompt_matrix > button").click()
    page.wait_for_timeout(500)  # the token counter asks the server
    page.locator("#desk-left").evaluate("node => node.scrollTo(0, 0)")
    page.locator("#generate").click()
    page.wait_for_function(f"{PART} || {OVER}", timeout=PATIENCE)


def view(page: Page, name: str, ready: str) -> None:
    page.locator(f"#views a[data-view={name}]").click()
    page.locator(ready).first.wait_for()
    page.wait_for_timeout(400)


# -- the states: each puts a fresh page into it --------------------------------------------------------------


def show(name: str) -> Callable[[Gallery, Page], None]:
    """A finished text in one of its views."""

    def act(gallery: Gallery, page: Page) -> None:
        gallery.finished(page)
        page.locator(".row-tools").get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(2500 if name == "Replay" else 500)

    return act


def tokens(gallery: Gallery, page: Page) -> None:
    show("Tokens")(gallery, page)
    page.locator("summary", has_text="Made with").click()
    page.locator("#desk-right").evaluate("node => node.scrollTo(0, 0)")
    page.locator(".tokens .word.confidence-1, .tokens .word.confidence-2, .tokens .word").first.hover()


def more(gallery: Gallery, page: Page) -> None:
    gallery.finished(page)
    page.locator(".row-tools").get_by_role("button", name="More").click()
    page.wait_for_timeout(500)  # it fades in


def compare(gallery: Gallery, page: Page) -> None:
    gallery.finished(page, "four", seed=11, count=4, temperature=0.7)
    for place in (0, 1):
        page.locator("article.row").nth(place).get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Compare").click()
    page.locator("dialog.compare").wait_for()


def matrix(gallery: Gallery, page: Page) -> None:
    gallery.finished(page, "matrix", **LIVE["running-matrix"], prompt_matrix={"enabled": True})


def refused(gallery: Gallery, page: Page) -> None:
    page.locator("#field-steps input").first.fill("many")
    page.locator("#generate").click(force=True)  # it is disabled as soon as the server has said why
    page.locator("#alert:not([hidden])").wait_for()


def history(gallery: Gallery, page: Page) -> None:
    age(gallery)
    view(page, "history", ".history-row")
    page.locator(".history-row .history-text").nth(1).click()
    page.locator(".history-pane .tdw-result").wait_for()
    page.wait_for_timeout(600)


def history_list(gallery: Gallery, page: Page) -> None:
    age(gallery)
    view(page, "history", ".history-row")


def queue(gallery: Gallery, page: Page) -> None:
    gallery.open_jobs += [
        gallery.site.submit({"prompt": prompt, "seed": seed, "count": 4})
        for seed, prompt in enumerate(PROMPTS)
    ]
    view(page, "queue", ".queue-item >> nth=3")
    page.wait_for_timeout(3000)


def models(gallery: Gallery, page: Page) -> None:
    page.locator(".models-chip").click()
    page.wait_for_timeout(500)


def presets(gallery: Gallery, page: Page) -> None:
    for name, steps in (("Careful", 104), ("Quick draft", 24)):
        gallery.site.http.put(f"presets/{name}", json={"request": {"steps": steps}}).raise_for_status()
    page.locator("tdw-presets button").first.click()
    page.locator("tdw-presets .own li").first.wait_for()
    page.wait_for_timeout(300)


def tool(name: str, ready: str) -> Callable[[Gallery, Page], None]:
    """What a button below the prompts opens."""

    def act(gallery: Gallery, page: Page) -> None:
        page.locator("#tokens").get_by_role("button", name=name, exact=True).click()
        page.locator(ready).first.wait_for()
        page.wait_for_timeout(500)

    return act


def table(name: str) -> Callable[[Gallery, Page], None]:
    """The texts of a matrix in another of their views."""

    def act(gallery: Gallery, page: Page) -> None:
        matrix(gallery, page)
        page.locator(".job").first.get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(900)

    return act


STATES: MappingProxyType[str, Callable[[Gallery, Page], None]] = MappingProxyType(
    {
        "empty": lambda gallery, page: None,
        "history-empty": lambda gallery, page: view(page, "history", ".history-blank, .history-row"),
        **{name: (lambda gallery, page, name=name: write(page, name)) for name in LIVE},
        "text": lambda gallery, page: gallery.finished(page),
        "twenty": lambda gallery, page: gallery.finished(page, "twenty", seed=20, count=20),
        "tokens": tokens,
        "heat": show("Heat map"),
        "markdown": show("Markdown"),
        "replay": show("Replay"),
        "more": more,
        "compare": compare,
        "matrix": matrix,
        "changes": table("Changes"),
        "table": table("Table"),
        "chart": table("Chart"),
        "refused": refused,
        "models": models,
        "presets": presets,
        "loras": tool("LoRA", ".lora-cards article"),
        "styles": tool("Styles", ".sheet:popover-open"),
        "history": history,
        "history-list": history_list,
        "queue": queue,
        "merger": lambda gallery, page: view(page, "checkpoint_merger", "#view-checkpoint_merger button"),
        "training": lambda gallery, page: view(page, "training", "#view-training button"),
        "extensions": lambda gallery, page: view(page, "extensions", "tdw-extensions .card"),
        "settings": lambda gallery, page: view(page, "settings", "tdw-settings .setting"),
    }
)


def age(gallery: Gallery, number: int = 240) -> None:
    """Fills the history with older copies of the texts that were made, so that it resembles that of a user
    of two weeks."""
    if "aged" in gallery.jobs:
        return
    for seed, prompt in enumerate(PROMPTS):
        gallery.run(f"story {seed}", prompt=prompt, seed=seed)
    gallery.jobs["aged"] = "yes"
    saved = [
        json.loads(path.read_text("utf-8"))
        for path in sorted((gallery.site.data / "history").glob("*/*.json"))
    ]
    for index in range(number):
        at = time.time() - 1200 - 4900 * index
        result = saved[index % len(saved)]
        result["id"] = f"{int(at * 1e6):016x}{index:04x}"
        result["provenance"]["created"] = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))
        file = gallery.site.data / "history" / result["provenance"]["created"][:10] / f"{result['id']}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(result), "utf-8")
        if index % 9 == 2:
            gallery.site.http.patch(f"history/{result['id']}", json={"favourite": True})


def take(gallery: Gallery, browser: Browser, wanted: dict[str, tuple[str, str]]) -> None:
    """Takes the pictures: {file name: (state, variant)}."""
    for state in STATES:
        names = {variant: name for name, (one, variant) in wanted.items() if one == state}
        pages = {variant: gallery.open(browser, variant, VARIANTS[variant]) for variant in names}
        for variant, page in pages.items():
            STATES[state](gallery, page)
            gallery.keep(page, names[variant])
            if state in LIVE:
                page.evaluate("document.querySelector('#interrupt').click()")  # also if it has just ended
        for job in gallery.open_jobs:
            gallery.site.http.delete(f"jobs/{job}")
            gallery.site.ended(job)
        gallery.open_jobs.clear()


def german(gallery: Gallery, browser: Browser) -> None:
    """Some states for a reader of German."""
    for variant, options in (("wide", WIDE), ("phone", PHONE)):
        for state in ("empty", "text", "history", "settings", "extensions", "refused", "models"):
            page = gallery.open(browser, f"{variant}-german", options | GERMAN)
            STATES[state](gallery, page)
            gallery.keep(page, f"{state}-{variant}-german")


def film(gallery: Gallery, browser: Browser) -> None:
    """The film of the picture "after", as the page's own menu saves it."""
    page = gallery.open(
        browser, "film", {"viewport": {"width": 1080, "height": 900}, "device_scale_factor": 1}
    )
    gallery.finished(page)
    page.locator(".row-tools").get_by_role("button", name="More").click()
    with page.expect_download(timeout=PATIENCE) as saved:
        page.get_by_role("menuitem", name="Save as GIF").click()
    file = gallery.folder / "film.gif"
    saved.value.save_as(file)
    with Image.open(file) as picture:
        print(
            f"{file}: {file.stat().st_size // 1024} KiB, {picture.width} x {picture.height}, "
            f"{sum(1 for _ in ImageSequence.Iterator(picture))} frames"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="the checkpoint (default: the program's)")
    parser.add_argument("--out", type=Path, help="take every state, into this folder")
    parser.add_argument("--only", nargs="+", choices=STATES, metavar="STATE", help=f"of {', '.join(STATES)}")
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--film", action="store_true", help="make the film and nothing else")
    args = parser.parse_args()
    folder = args.out or IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    whole = {f"{state}-{variant}": (state, variant) for state in STATES for variant in args.variant}
    wanted = {
        name: at for name, at in (whole if args.out else SHOWN).items() if not args.only or at[0] in args.only
    }
    with served(*(["--model", args.model] if args.model else [])) as site, chromium() as browser:
        gallery = Gallery(site, folder)
        if args.film:
            return film(gallery, browser)
        take(gallery, browser, dict(wanted))
        if args.out and not args.only:
            german(gallery, browser)


if __name__ == "__main__":
    main()
