"""Models that people make themselves: a LoRA from a text, a checkpoint of two, both on the page."""

from __future__ import annotations

import shutil

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
        assert "name" in page.locator("training-view .fault:not([hidden])").text_content()
        page.locator("#training-file").set_input_files(str(text))
        assert page.locator("#training-name").input_value() == "My poems"
        page.locator("#training-trigger").fill("thou")
        page.locator("#training-steps").fill("20")
        page.get_by_role("button", name="Train", exact=True).click()
        run = page.locator(".run")
        run.locator(".state.done").wait_for(timeout=8 * PATIENCE)  # a process that imports torch
        assert run.locator("bdi").first.text_content() == "My poems"
        assert run.locator("svg.curve path.loss").get_attribute("d").count("L") == 1
        assert run.locator(".samples li").count() == 1
        run.get_by_role("button", name="Write with it").click()
        user.wait("document.body.dataset.view === 'write'")
        assert user.shown("prompt") == "thou <lora:My poems:1>"
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
        assert page.locator(".formula").text_content() == "along the arc from A to B"
        assert page.locator("#merger-c").is_hidden()
        shown = {
            "bake": "a lora weight out",
            "extract": "a b rank out",
            "prune": "a what remove choice data out",
        }
        for method, fields in shown.items():
            page.locator("#merger-method").select_option(method)
            inputs = page.locator("merger-view .field:visible").evaluate_all(
                "all => all.map((one) => one.classList[1])"
            )
            assert " ".join(inputs) == f"method {fields}"
        page.locator("#merger-method").select_option("slerp")
        page.locator("#merger-a").select_option("storyteller")
        page.locator("#merger-b").select_option("other")
        page.get_by_role("button", name="Merge", exact=True).click()
        page.locator("merger-view .fault:not([hidden])").wait_for()
        page.locator("#merger-out").fill("mixed")
        page.get_by_role("button", name="Merge", exact=True).click()
        recipe = page.locator(".recipe")
        recipe.wait_for(timeout=8 * PATIENCE)
        assert (
            recipe.locator("h4").text_content() == "mixed"
            and "Slerp" in recipe.locator(".facts").text_content()
        )
        assert recipe.locator("li bdi").all_text_contents() == ["storyteller", "other"]
        assert made.is_dir()
    finally:
        shutil.rmtree(made, ignore_errors=True)
