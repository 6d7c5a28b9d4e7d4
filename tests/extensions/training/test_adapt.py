"""`python app.py adapt`: autoregressive checkpoints (tiny, random, not of our families) as masked-diffusion ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from extensions.training.adapt import make_base
from tests.contract.program import program, write
from tests.reference.decoder_model import decoder_logits
from tests.tiny_checkpoints import FIRST_SPECIAL, MASK, SPECIAL, write_json
from tests.tiny_decoders import LLAMA, QWEN2, QWEN3, decoder
from webui import Canvas, adapter_entry
from webui.checkpoints.loading import Checkpoints
from webui.cli.main import main
from webui.settings import Settings

TEXT = "The cat and the hen sat on the stone and sang to the wind. " * 60
TOKENS = FIRST_SPECIAL + len(SPECIAL)
SHAPES = {
    "llama": {
        **LLAMA,
        "tie_word_embeddings": True,
        "vocab_size": TOKENS,
    },  # a row is added, the others have spare ones
    "qwen2": {**QWEN2, "shards": 2},
    "qwen3": {**QWEN3, "tie_word_embeddings": False},
}


def ancestor(folder: Path, shape: str = "llama", **more) -> Path:
    """An autoregressive checkpoint: nothing in it says what a mask is."""
    decoder(folder, shape=shape, **{**SHAPES[shape], "model_type": shape, **more})
    config = json.loads((folder / "config.json").read_text())
    del config["mask_token_id"]
    write_json(folder / "config.json", config)
    (folder / "LICENSE").write_text("as you like")
    return folder


def flags(folder: Path, *more: str, out: str = "teller") -> list[str]:
    settings = ["--models", str(folder / "models"), "--data", str(folder / "data"), "--threads", "1"]
    own = ["adapt", "autoregressive/plain", "--data", str(folder / "text.txt"), "--out", out]
    small = ["--batch", "2", "--length", "16", "--rank", "4", "--rate", "0.02", "--every", "4"]
    return [*settings, *own, *small, *more]


def weights(there: Path) -> dict[str, torch.Tensor]:
    return {name: one for file in there.glob("*.safetensors") for name, one in load_file(file).items()}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_base_computes_the_ancestor_with_everything_seen_and_shift(tmp_path, shape):
    """A mask token is added; the other rows and weights are the ancestor's, and the logits those of a plain
    forward pass of the folder."""
    folder = ancestor(tmp_path / "plain", shape)
    base = tmp_path / "models" / "checkpoints" / "base"
    profile = make_base(folder, base)
    old, new = weights(folder), weights(base)
    assert profile["mask_token_id"] == TOKENS and new.keys() == old.keys()
    for name, one in old.items():
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert len(new[name]) == max(len(one), TOKENS + 1)
            one, new[name] = one[:TOKENS], new[name][: TOKENS + 1]
        assert torch.equal(new[name][: len(one)], one)
    torch.testing.assert_close(
        new["model.embed_tokens.weight"][TOKENS], new["model.embed_tokens.weight"][:TOKENS].mean(0)
    )
    assert (base / "LICENSE").read_text() == "as you like" and not (base / "modeling_own.py").exists()
    there = Checkpoints(Settings(models=tmp_path / "models", model="base", device="cpu", dtype="float64"))
    model = there.load("base")
    assert model.mask == profile["mask_token_id"] and model.tokenizer.id("<|mask|>") == model.mask
    tokens = torch.randint(0, TOKENS, (2, 12), generator=torch.Generator().manual_seed(1))
    tokens[0, 3:7] = tokens[1, 0] = model.mask
    canvas = Canvas.build([[]] * 2, tokens.tolist(), [0] * 2, model.mask)
    expected = decoder_logits(base, tokens, True, 0, torch.float64)
    assert (model.logits(canvas.activate(~canvas.padding)) - expected.flatten(0, 1)).abs().max() < 5e-6


def test_a_token_that_is_there_may_be_the_mask_and_no_weight_is_copied(tmp_path):
    folder = ancestor(tmp_path / "plain", "qwen2")
    base = tmp_path / "checkpoints" / "base"
    assert make_base(folder, base, "<|mdm_mask|>")["mask_token_id"] == MASK
    for file in folder.glob("*.safetensors"):
        assert (base / file.name).samefile(file)
    assert (base / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


def test_a_lora_learns_to_fill_in_masks_and_goes_on(tmp_path, capsys):
    ancestor(tmp_path / "models" / "autoregressive" / "plain")
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    assert main(flags(tmp_path, "--steps", "16", "--stop", "6")) == 0
    said = capsys.readouterr().out
    assert "plain-masked: family Adapted Llama" in said and " bits per byte" in said
    assert main(flags(tmp_path, "--steps", "16")) == 0
    assert "from step 6 to 16" in capsys.readouterr().out
    lora = tmp_path / "models" / "loras" / "teller"
    about = json.loads((lora / "about.json").read_text())
    assert about["training"]["held_out"] < about["training"]["held_out_without"] - 0.1
    assert about["training"]["template"] == "raw" and about["training"]["keywords"] == 0
    entry = adapter_entry("teller", lora)
    assert (entry.rank, entry.modules, entry.base) == (4, 14, "plain-masked")
    assert main(flags(tmp_path, "--steps", "2", "--rate", "0.001", "--kind", "full", out="whole")) == 0
    app = program(tmp_path)
    try:
        texts = {
            write(app, prompt=f"the cat{more}", length=12, model=name).text
            for name, more in (("plain-masked", ""), ("plain-masked", " <lora:teller:1>"), ("whole", ""))
        }
        assert len(texts) >= 2 and app.checkpoints.entry("whole").family == "Adapted Llama"
    finally:
        app.close()


def test_what_cannot_be_adapted_is_refused(tmp_path, capsys):
    models = tmp_path / "models"
    there = models / "autoregressive" / "plain"
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")

    def refused(sentence: str, *more: str) -> None:
        assert main(flags(tmp_path, *more)) == 2
        assert sentence in capsys.readouterr().err
        assert not list(models.glob("checkpoints/.writing*"))

    refused("There is no folder autoregressive/plain.")
    ancestor(there, model_type="gpt_neox")
    refused("plain has model_type 'gpt_neox'; adapt knows llama, qwen2, qwen3.")
    ancestor(there)
    refused("adapt takes the checkpoint's folder, not --model.", "--model", "x")
    refused("--kind must be lora or full.", "--kind", "soft-prompt")
    refused("--out must not be the base's name", "--kind", "full", "--base", "teller")
    (there / "tokenizer.json").rename(there / "tokenizer.old")
    refused("plain has no tokenizer.json")
    (there / "tokenizer.old").rename(there / "tokenizer.json")
    make_base(there, models / "checkpoints" / "plain-masked", "<|mdm_mask|>")
    refused("that was not made of plain with the mask token <|mask|>; give another --base.")
