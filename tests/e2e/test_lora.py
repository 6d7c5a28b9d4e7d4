"""The cards of LoRAs: searched, inserted, used; a hundred of them; one that is removed while its tag is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from playwright.sync_api import expect
from safetensors.torch import save_file


def lora(folder: Path, name: str, **about) -> Path:
    """A random LoRA for the tiny checkpoint, with its card's words beside it."""
    made = folder / name
    made.mkdir(parents=True)
    dice = torch.Generator().manual_seed(1)
    key = "base_model.model.model.layers.0.self_attn.q_proj"
    shapes = {"A": (2, 32), "B": (32, 2)}
    tensors = {
        f"{key}.lora_{part}.weight": torch.randn(shape, generator=dice) for part, shape in shapes.items()
    }
    save_file(tensors, made / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "base_model_name_or_path": about.pop("base", None),
    }
    (made / "adapter_config.json").write_text(json.dumps(config))
    (made / "about.json").write_text(json.dumps(about))
    return made


def test_cards_are_searched_and_inserted(visit, site):
    folder = site.data.parent / "models" / "loras"
    poet = lora(
        folder, "poet", tags=["style"], trigger_words=["thou <b>"], preview="O thou", base="storyteller"
    )
    lora(folder, "sailor", tags=["sea"], base="somebody/Else-7B")
    (folder / "old.bin").write_bytes(b"x")
    for number in range(100):
        (folder / f"copy-{number}.safetensors").symlink_to(poet / "adapter_model.safetensors")
    try:
        user = visit()
        page = user.page
        page.get_by_role("button", name="LoRA", exact=True).click()
        page.locator(".lora-cards article").nth(102).wait_for(state="attached")
        expect(page.locator(".loras header span")).to_have_text("103 in models/loras")
        expect(page.locator(".lora-cards .faulty")).to_contain_text("old.bin is a pickle")
        page.get_by_role("button", name="sea", exact=True).click()
        card = page.locator(".lora-cards article:not([hidden])")
        expect(card).to_have_count(1)
        expect(card.locator(".base.other")).to_have_text("made for somebody/Else-7B")
        page.locator(".loras .tags button").first.click()
        page.locator(".loras input").fill("thou")
        expect(card).to_have_count(1)
        expect(card.locator(".base:not(.other)")).to_have_text("made for storyteller")
        expect(card).to_contain_text("rank 2 · one module · 0.8 kB")
        card.locator("summary").click()
        card.get_by_text("1 of 1 modules match storyteller").wait_for()
        card.get_by_role("button", name="thou <b>").click()
        page.get_by_role("button", name="LoRA", exact=True).click()
        page.locator(".lora-cards .name").filter(has_text="poet").click()
        user.until(lambda: user.shown("prompt") in ("thou <b> <lora:poet:1>", "thou <b><lora:poet:1>"))
        page.get_by_role("button", name="LoRA · 1").wait_for()
        user.generate()
        user.done()
        shutil.rmtree(poet)
        user.generate()
        user.done("failed", jobs=2)
        assert "There is no LoRA 'poet'" in page.locator(".job").first.inner_text() and user.shown(
            "prompt"
        ).endswith("<lora:poet:1>")
    finally:
        shutil.rmtree(folder)
