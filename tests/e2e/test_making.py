"""Models that people make themselves: a LoRA from a text, a checkpoint of two, both on the page."""

from __future__ import annotations

import json
import shutil

from playwright.sync_api import expect

from tests.e2e.conftest import PATIENCE


def test_a_newcomer_makes_a_lora_from_a_text_and_writes_with_it(visit, site, tmp_path):
    text = tmp_path / "My poems.txt"
    text.write_text("The cat sat on the stone and sang <b>to the wind</b>. " * 60, "utf-8")
    user = visit()
    page = user.page
    try:
        user.view("training")
        page.get_by_role("button", name="Train", exact=True).click()
        page.locator("training-view .fault:not([hidden])").wait_for()
        expect(page.locator("training-view .fault:not([hidden])")).to_contain_text("name")
        with page.expect_file_chooser() as chooser:
            page.locator("#training-file").click()
        chooser.value.set_files(str(text))
        expect(page.locator("#training-name")).to_have_value("My poems")
        user.enter(page.locator("#training-trigger"), "thou")
        user.enter(page.locator("#training-steps"), "20")
        page.get_by_role("button", name="Train", exact=True).click()
        run = page.locator(".run")
        run.locator(".state.done").wait_for(timeout=4 * PATIENCE)  # a process that imports torch
        expect(run.locator("bdi").first).to_have_text("My poems")
        assert run.locator("svg.curve path.loss").get_attribute("d").count("L") == 1
        expect(run.locator(".samples li")).to_have_count(1)
        run.get_by_role("button", name="Write with it").click()
        user.wait("document.body.dataset.view === 'write'")
        user.shows("prompt", "thou <lora:My poems:1>")
        user.generate()
        user.done()
        user.view("training")
        run.get_by_role("button", name="Remove from the list").click()
        page.get_by_text("None yet.").wait_for()
    finally:
        shutil.rmtree(site.data.parent / "models" / "loras", ignore_errors=True)


def test_two_checkpoints_are_merged_on_the_page(visit, site):
    user = visit()
    page = user.page
    made = site.data.parent / "models" / "checkpoints" / "mixed"
    try:
        user.view("checkpoint_merger")
        page.locator("#merger-method").select_option("slerp")
        expect(page.locator(".formula")).to_have_text("along the arc from A to B")
        expect(page.locator("#merger-c")).to_be_hidden()
        shown = {
            "bake": "a lora weight out",
            "extract": "a b rank out",
            "prune": "a what remove choice data out",
        }
        for method, fields in shown.items():
            page.locator("#merger-method").select_option(method)
            wanted = json.dumps(f"method {fields}".split())
            inputs = (
                "[...document.querySelectorAll('merger-view .field')].filter((one) => one.checkVisibility())"
            )
            user.wait(f"JSON.stringify({inputs}.map((one) => one.classList[1])) === JSON.stringify({wanted})")
        page.locator("#merger-method").select_option("slerp")
        page.locator("#merger-a").select_option("storyteller")
        page.locator("#merger-b").select_option("other")
        page.get_by_role("button", name="Merge", exact=True).click()
        page.locator("merger-view .fault:not([hidden])").wait_for()
        page.locator("#merger-out").fill("mixed")
        page.get_by_role("button", name="Merge", exact=True).click()
        recipe = page.locator(".recipe")
        recipe.wait_for(timeout=4 * PATIENCE)
        expect(recipe.locator("h4")).to_have_text("mixed")
        expect(recipe.locator(".facts")).to_contain_text("Slerp")
        expect(recipe.locator("li bdi")).to_have_text(["storyteller", "other"])
        assert made.is_dir()
    finally:
        shutil.rmtree(made, ignore_errors=True)
