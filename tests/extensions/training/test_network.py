"""The network equals the library's, its loss equals the plain one, and a checkpoint brings both together."""

import json
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from extensions.training import export, sampling
from extensions.training.loss import CHUNK, head_loss
from extensions.training.network import Network, Shape
from extensions.training.optimizer import Optimizer, orthogonal

SHAPE = Shape(vocabulary=300, width=48, layers=2, heads=4, kv_heads=2, hidden=80, max_length=40)


def network(shape=SHAPE, seed=0):
    made = Network(shape, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for one in made.parameters():
            one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(seed + 1)) * 0.1)
    return made


def llama(shape, weights):
    """The same weights in transformers' class, through the names on disk."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        rms_norm_eps=shape.eps,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
        max_position_embeddings=shape.max_length,
    )
    config.is_causal = False
    config.use_cache = False
    made = LlamaForCausalLM(config).eval()
    rules = {
        "attn_out": "self_attn.o_proj",
        "ff_proj": "mlp.gate_proj",
        "up_proj": "mlp.up_proj",
        "ff_out": "mlp.down_proj",
        "attn_norm": "input_layernorm",
        "ff_norm": "post_attention_layernorm",
        "q_proj": "self_attn.q_proj",
        "k_proj": "self_attn.k_proj",
        "v_proj": "self_attn.v_proj",
    }
    named = {}
    for name, one in weights.items():
        parts = name.removeprefix("model.transformer.").removesuffix(".weight").split(".")
        if parts[0] == "blocks":
            named[f"model.layers.{parts[1]}.{rules[parts[2]]}.weight"] = one
        else:
            named[{"wte": "model.embed_tokens.weight", "ln_f": "model.norm.weight"}[parts[0]]] = one
    missing, unexpected = made.load_state_dict(named, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected
    made.tie_weights()
    return made


@pytest.mark.parametrize("shape", [SHAPE, replace(SHAPE, kv_heads=4), replace(SHAPE, heads=2, kv_heads=1)])
def test_the_network_equals_the_librarys(shape):
    mine = network(shape)
    theirs = llama(
        shape, {f"model.transformer.{name}.weight": one.detach() for name, one in mine.named_parameters()}
    )
    tokens = torch.randint(0, shape.vocabulary, (3, 29), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        torch.testing.assert_close(mine.logits(mine(tokens)), theirs(tokens).logits, rtol=1e-4, atol=1e-4)


def test_causal_attention_looks_back_only():
    mine, tokens = network(), torch.randint(0, 300, (1, 20))
    other = tokens.clone()
    other[0, 12] = (other[0, 12] + 1) % 300
    with torch.no_grad():
        assert torch.equal(mine(tokens, causal=True)[0, :12], mine(other, causal=True)[0, :12])
        assert not torch.equal(mine(tokens)[0, :12], mine(other)[0, :12])


def test_softening_caps_the_sharpest_scores_and_leaves_soft_heads_alone():
    mine, tokens = network(), torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(2))
    before = [block.q_proj.detach().clone() for block in mine.blocks]
    mine.soften(tokens, False, 1e6)
    assert all(torch.equal(block.q_proj, one) for block, one in zip(mine.blocks, before, strict=True))
    with torch.no_grad():
        mine.blocks[0].q_proj[:12] *= 1000.0  # the first head
    sharp = mine.blocks[0].q_proj.detach().clone()
    mine.soften(tokens, False, 20.0)
    assert mine.blocks[0].q_proj[:12].norm() < 0.5 * sharp[:12].norm()
    once = mine.blocks[0].q_proj.detach().clone()
    mine.soften(tokens, False, 20.0)
    torch.testing.assert_close(mine.blocks[0].q_proj, once)


def test_decay_shrinks_matrices_only():
    mine = network()
    norms = {name: one.norm().item() for name, one in mine.named_parameters()}
    optimizer = Optimizer(mine)
    for one in mine.parameters():
        one.grad = torch.zeros_like(one)
    optimizer.step(0.1, 0.1, decay=0.5)
    for name, one in mine.named_parameters():
        share = 0.95 if one.dim() == 2 and name != "wte" else 1.0
        assert one.norm().item() == pytest.approx(share * norms[name], rel=1e-4), name


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple"):
        Shape(width=50, heads=4)


@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 7])
def test_the_loss_in_chunks_equals_the_plain_one(count):
    dice = torch.Generator().manual_seed(0)
    hidden = torch.randn(count, 16, generator=dice, requires_grad=True)
    weight = torch.randn(50, 16, generator=dice, requires_grad=True)
    targets, weights = torch.randint(0, 50, (count,), generator=dice), torch.rand(count, generator=dice)
    loss, losses = head_loss(hidden, weight, targets, weights)
    (3 * loss).backward()
    mine = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    plain = F.cross_entropy(hidden @ weight.t(), targets, reduction="none")
    (3 * (plain * weights).sum()).backward()
    torch.testing.assert_close(losses, plain.detach())
    torch.testing.assert_close(mine, (hidden.grad, weight.grad), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(3, 16, 40), (2, 40, 16)])
def test_newton_schulz_gives_nearly_orthogonal_matrices(size):
    made = orthogonal(torch.randn(size, generator=torch.Generator().manual_seed(0)), torch.float32)
    values = torch.linalg.svdvals(made)
    assert made.shape == size and 0.6 < values.min() and values.max() < 1.3


def test_the_optimizer_lowers_a_loss_and_its_state_continues_it():
    def run(mine, optimizer, count):
        tokens = torch.randint(0, 300, (4, 20), generator=torch.Generator().manual_seed(1))
        for _ in range(count):
            loss = F.cross_entropy(mine.logits(mine(tokens)).flatten(0, 1), tokens.flatten())
            loss.backward()
            optimizer.step(0.02, 0.002)
        return float(loss.detach())

    one = network()
    first = Optimizer(one)
    start, end = run(one, first, 1), run(one, first, 19)
    assert end < 0.7 * start
    two = network()
    two.load_state_dict(one.state_dict())
    second = Optimizer(two)
    second.restore({name: tensor.clone() for name, tensor in first.state().items()}, first.steps)
    run(one, first, 3), run(two, second, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=False))


def test_an_export_is_a_llada_checkpoint(tmp_path, made):
    from safetensors.torch import load_file

    shape = replace(SHAPE, vocabulary=1024)
    mine = network(shape)
    (tmp_path / "README.md").write_text("stays")
    export.export(tmp_path, dict(mine.named_parameters()), shape, made, {"step": 3})
    config = json.loads((tmp_path / "config.json").read_text())
    assert (
        config["model_type"] == "llada"
        and config["architectures"] == ["LLaDAModelLM"]
        and config["weight_tying"]
    )
    assert (config["d_model"], config["n_kv_heads"], config["mlp_hidden_size"], config["embedding_size"]) == (
        48,
        2,
        80,
        1024,
    )
    assert (config["mask_token_id"], config["eos_token_id"]) == (2, 1)
    weights = load_file(tmp_path / "model.safetensors")
    assert weights["model.transformer.blocks.1.ff_proj.weight"].shape == (80, 48)
    assert "model.transformer.wte.weight" in weights and "model.transformer.ln_f.weight" in weights
    assert len(weights) == 9 * 2 + 2 and all(one.dtype == torch.bfloat16 for one in weights.values())
    assert (tmp_path / "README.md").read_text() == "stays"
    theirs = llama(shape, {name: one.float() for name, one in weights.items()})
    tokens = torch.randint(0, 1024, (2, 16))
    with torch.no_grad():
        torch.testing.assert_close(mine.logits(mine(tokens)), theirs(tokens).logits, rtol=0.1, atol=0.3)


def test_large_weights_go_into_shards_and_old_files_go(tmp_path, made):
    from safetensors.torch import load_file

    shape = replace(SHAPE, vocabulary=1024)
    mine = network(shape)
    export.export(tmp_path, dict(mine.named_parameters()), shape, made, {})
    export.export(tmp_path, dict(mine.named_parameters()), shape, made, {}, most=0.05)
    files = sorted(file.name for file in tmp_path.glob("*.safetensors"))
    where = json.loads((tmp_path / export.INDEX).read_text())["weight_map"]
    assert len(files) > 1 and "model.safetensors" not in files and set(where.values()) == set(files)
    assert all(name in load_file(tmp_path / file) for name, file in where.items())
    export.export(tmp_path, dict(mine.named_parameters()), shape, made, {})
    assert [file.name for file in tmp_path.glob("model*")] == ["model.safetensors"]


def test_the_little_sampler_fills_every_mask(made):
    mine = network(replace(SHAPE, vocabulary=1024))
    for block, guidance, temperature in ((None, 1.0, 0.0), (8, 2.0, 0.7)):
        texts = sampling.sample(
            mine,
            made,
            ["dragon", ""],
            length=16,
            steps=8,
            block=block,
            guidance=guidance,
            temperature=temperature,
        )
        assert len(texts) == 2 and all("<|mdm_mask|>" not in text for text in texts)


def test_the_bound_of_even_logits_is_the_vocabularys_logarithm():
    mine = network()
    with torch.no_grad():
        mine.ln_f.zero_()
    tokens = torch.randint(0, 300, (8, 24))
    nats, count = sampling.bound(mine, tokens, torch.ones_like(tokens, dtype=torch.bool), mask=2, draws=64)
    assert abs(nats / count - torch.tensor(300.0).log().item()) < 0.4
