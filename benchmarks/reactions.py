"""Pictures of the infill of a chemical reaction on the page, with the ALBERT of rxnmapper: needs chromium,
requirements-test.txt, and an index from which pip can fetch its wheel (3 MB); without it nothing is done.

python -m benchmarks.reactions [--out DIR]   docs/images/{reaction,reaction-phone}.png
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.browser import chromium, served
from benchmarks.screenshots import IMAGES, OVER, PATIENCE, PHONE, WIDE, Gallery
from tests.reactions import converted, fetched

if TYPE_CHECKING:
    from playwright.sync_api import Page

REACTION = "CC(C)S.CN(C)C[[...2]].Fc1ccc[[...1]]c1F.O=C([O-])[O-].[K+].[[...1]]>>CC(C)Sc1n[[...4]]1F"
WHOLE = "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F"


def infill(page: Page) -> str:
    """Types a reaction with gaps, has them filled in, and shows what was; the text."""
    for name, value in (("prompt", REACTION), ("steps", "8")):
        page.locator(f"#field-{name} :is(input, textarea)").first.fill(value)
        page.keyboard.press("Tab")
    page.wait_for_timeout(500)  # the token counter asks the server
    page.locator("#generate").click()
    page.wait_for_function(OVER, timeout=PATIENCE)
    page.wait_for_timeout(900)  # on a phone it scrolls there
    return page.locator("article.row tdw-canvas, article.row .text").first.inner_text().strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=IMAGES)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        wheel = fetched(Path(folder))
        if wheel is None:
            return print("The wheel of rxnmapper cannot be fetched; no pictures were taken.")
        converted(wheel, models / "checkpoints" / "reactions")
        flags = ("--models", str(models), "--model", "reactions")
        with served(*flags) as site, chromium() as browser:
            gallery = Gallery(site, args.out)
            for name, options in (("reaction", WIDE), ("reaction-phone", PHONE)):
                page = gallery.open(browser, name, options)
                text = infill(page)
                print(text, "(as published)" if text == WHOLE else f"(published: {WHOLE})")
                gallery.keep(page, name)


if __name__ == "__main__":
    main()
