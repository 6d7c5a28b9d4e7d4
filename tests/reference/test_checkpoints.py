"""The fixture folders and the plain forward pass: they hold what they say before the loader is measured by
them."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests import tiny_checkpoints
from tests.reference.llada_model import read, reference_logits
from tests.tiny_checkpoints import BROKEN, MASK, ROWS, VARIANTS, llada

TOKENS = torch.randint(0, ROWS, (3, 16), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_is_finite_and_sees_everything(tmp_path, variant):
    folder = llada(tmp_path, **VARIANTS[variant])
    logits = reference_logits(folder, TOKENS)
    config, weights = read(folder)
    assert logits.shape == (3, 16, config["embedding_size"]) and logits.isfinite().all()
    assert 0.3 < logits.std() < 3
    assert ("model.transformer.ff_out.weight" in weights) != config["weight_tying"]
    other = TOKENS.clone()
    other[:, -1] = (other[:, -1] + 1) % ROWS
    assert ((reference_logits(folder, other) - logits).abs().amax(-1) > 1e-3).all()


def test_sharded_equals_single(tmp_path):
    single, sharded = llada(tmp_path / "single"), llada(tmp_path / "sharded", shards=3)
    assert len(list(sharded.glob("model-*-of-00003.safetensors"))) == 3
    assert not (sharded / "model.safetensors").exists()
    assert torch.equal(reference_logits(single, TOKENS), reference_logits(sharded, TOKENS))


def test_seed_commits_the_weights(tmp_path):
    first, same, other = (llada(tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert (first / "model.safetensors").read_bytes() == (same / "model.safetensors").read_bytes()
    assert not torch.equal(reference_logits(first, TOKENS), reference_logits(other, TOKENS))


def test_padding_is_not_seen(tmp_path):
    folder = llada(tmp_path)
    padded = torch.cat([torch.full((3, 5), tiny_checkpoints.EOS), TOKENS], dim=1)
    mask = torch.arange(21).expand(3, 21) >= 5
    alone = reference_logits(folder, TOKENS, dtype=torch.float64)
    hidden = reference_logits(folder, padded, mask, dtype=torch.float64)[:, 5:]
    assert torch.allclose(hidden, alone, atol=1e-5)
    assert not torch.allclose(reference_logits(folder, padded, dtype=torch.float64)[:, 5:], alone, atol=1e-2)


def llama(folder) -> LlamaForCausalLM:
    """The same weights in a Llama, names and config translated by hand."""
    config, weights = read(folder)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config["embedding_size"],
            hidden_size=config["d_model"],
            intermediate_size=config["mlp_hidden_size"],
            num_hidden_layers=config["n_layers"],
            num_attention_heads=config["n_heads"],
            num_key_value_heads=config["n_kv_heads"],
            rms_norm_eps=config["rms_norm_eps"],
            rope_parameters={"rope_type": "default", "rope_theta": config["rope_theta"]},
            tie_word_embeddings=config["weight_tying"],
            is_causal=False,
            use_cache=False,
            attn_implementation="sdpa",
        )
    )
    names = {
        "attn_out": "self_attn.o_proj",
        "ff_proj": "mlp.gate_proj",
        "up_proj": "mlp.up_proj",
        "ff_out": "mlp.down_proj",
    }
    names |= {"attn_norm": "input_layernorm", "ff_norm": "post_attention_layernorm"}
    names |= {name: f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj")}
    top = {"wte": "model.embed_tokens", "ln_f": "model.norm", "ff_out": "lm_head"}
    state = {}
    for name, value in weights.items():
        parts = name.removeprefix("model.transformer.").split(".")
        inner = f"model.layers.{parts[1]}.{names[parts[2]]}" if parts[0] == "blocks" else top[parts[0]]
        state[f"{inner}.weight"] = value
    left = model.load_state_dict(state, strict=False)
    assert not left.unexpected_keys and set(left.missing_keys) <= {"lm_head.weight"}
    model.tie_weights()
    return model.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_equals_a_bidirectional_llama(tmp_path, variant):
    folder = llada(tmp_path, **VARIANTS[variant])
    mask = torch.arange(16).expand(3, 16) >= torch.tensor([[0], [4], [7]])
    with torch.no_grad():
        model = llama(folder)
        assert (model(TOKENS).logits - reference_logits(folder, TOKENS)).abs().max() < 1e-5
        difference = model(TOKENS, attention_mask=mask.long()).logits - reference_logits(folder, TOKENS, mask)
        assert difference[mask].abs().max() < 1e-5


def test_tokenizer_and_chat_template(tmp_path):
    folder = llada(tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    assert tokenizer.mask_token is None, "as published: the mask has to be looked up"
    assert tokenizer.convert_tokens_to_ids("<|mdm_mask|>") == MASK == read(folder)[0]["mask_token_id"]
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (tiny_checkpoints.EOS, tiny_checkpoints.EOS)
    assert len(tokenizer) <= ROWS
    text = "The cat and the dog – 猫, naïve.\n\t<|mdm_mask|>"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(" the and to")) == 3
    chat = tokenizer.apply_chat_template([{"role": "user", "content": " Hi "}], tokenize=False)
    assert chat == (
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_broken_folders_are_broken_as_they_say(tmp_path):
    folders = {name: make(tmp_path / name) for name, make in BROKEN.items()}
    whole = set(read(llada(tmp_path / "whole"))[1])

    def config(name):
        return json.loads((folders[name] / "config.json").read_text("utf-8"))

    assert not list(folders["pickle only"].glob("*.safetensors"))
    with pytest.raises(RuntimeError, match="a pickle was executed"):
        pickle.loads((folders["pickle only"] / "pytorch_model.bin").read_bytes())
    with pytest.raises(FileNotFoundError):
        read(folders["missing shard"])
    assert whole - set(read(folders["missing tensor"])[1]) == {"model.transformer.blocks.1.up_proj.weight"}
    assert set(read(folders["extra tensor"])[1]) - whole == {"model.transformer.blocks.0.q_norm.weight"}
    assert read(folders["wrong shape"])[1]["model.transformer.blocks.0.ff_proj.weight"].shape == (63, 32)
    assert config("alibi")["alibi"] and config("gelu")["activation_type"] == "gelu"
    assert "mask_token_id" not in config("no mask token")
    assert (
        "mask"
        not in (folders["no mask token"] / "tokenizer.json").read_text("utf-8").replace("[gMASK]", "").lower()
    )
    assert config("mask beyond rows")["mask_token_id"] >= config("mask beyond rows")["embedding_size"]
    with pytest.raises(SafetensorError):
        load_file(folders["truncated"] / "model.safetensors")
