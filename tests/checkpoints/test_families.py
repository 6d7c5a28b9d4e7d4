"""Families that only tests have: shifted, with a transform in the head, and with weights that are not one to
one. They compute what plain torch computes from the published names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.checkpoints.families import BERT, DREAM
from tests.checkpoints.families import FAMILIES as OWN
from tests.contract.program import write
from tests.reference import llada as sampler
from tests.reference.bert_model import bert_logits
from tests.reference.dream_model import dream_logits
from tests.tiny_checkpoints import (
    MASK,
    ROWS,
    bert,
    dream,
    llada,
    random_weights,
    save_tokenizer,
    save_weights,
    write_json,
)
from webui import App, Canvas
from webui.checkpoints import recipes
from webui.checkpoints.families import FAMILIES
from webui.checkpoints.families.base import split_causal_lm
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.recipes import Cut, Join, Pad, Stack, Take
from webui.settings import Settings

TOKENS = torch.randint(0, ROWS, (3, 24), generator=torch.Generator().manual_seed(1))
FORWARDS = {"Own Dream": dream_logits, "Fused Dream": dream_logits, "Own BERT": bert_logits}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    dream(folder / "checkpoints" / "Own Dream", model_type="Dream own")
    dream(folder / "checkpoints" / "Fused Dream", seed=1, fused=True, padding=8, model_type="Dream fused")
    bert(folder / "checkpoints" / "Own BERT", model_type="bert own")
    llada(folder / "checkpoints" / "LLaDA")
    return folder


def checkpoints(models: Path, dtype: str = "float32") -> Checkpoints:
    settings = Settings(models=models, model="Own Dream", device="cpu", dtype=dtype)
    return Checkpoints(settings, (*FAMILIES, *OWN))


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-5), ("float64", 5e-6)])
@pytest.mark.parametrize("name", FORWARDS)
def test_logits_are_those_of_the_reference(models, name, dtype, tolerance):
    model = checkpoints(models, dtype).load(name)
    canvas = Canvas.build([[]] * 3, TOKENS.tolist(), [0] * 3, model.mask)
    expected = FORWARDS[name](models / "checkpoints" / name, TOKENS, dtype=getattr(torch, dtype))
    assert expected.std() > 0.3
    logits = model(canvas.activate(~canvas.padding))
    assert logits.shape == (3 * 24, ROWS)
    assert (logits - expected.flatten(0, 1)).abs().max() < tolerance


@pytest.mark.parametrize("name", FORWARDS)
def test_padded_rows_of_a_batch_equal_single_rows(models, name):
    model = checkpoints(models, "float64").load(name)
    prompts, answers = [[5, 6], list(range(20, 45)), []], [[MASK] * 16, [MASK, 7, MASK], [9] * 5]
    canvas = Canvas.build(prompts, answers, [0] * 3, model.mask)
    canvas = canvas.activate(~canvas.padding)
    logits = model(canvas)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        alone = torch.tensor([prompt + answer])
        expected = FORWARDS[name](models / "checkpoints" / name, alone, dtype=torch.float64)[0]
        assert (logits[canvas.at[0] == row] - expected).abs().max() < 5e-6


@pytest.mark.parametrize("name", [*FORWARDS, "LLaDA"])
def test_body_and_head_are_the_whole_model(models, name):
    """What a family splits its module into gives the logits of the module itself: nothing between the two is
    skipped."""
    model = checkpoints(models).load(name)
    with torch.no_grad():
        logits = model.module(input_ids=TOKENS).logits
        hidden = model.body(input_ids=TOKENS).last_hidden_state
        assert (model.head(hidden.flatten(0, 1)) - logits.flatten(0, 1)).abs().max() < 1e-5


def test_a_head_in_two_parts_is_split_off_whole():
    """ModernBERT has a `.head` before its `.decoder`; the split of causal models would skip it."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"vocab_size": ROWS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    special = {"cls_token_id": 1, "sep_token_id": 2}
    torch.manual_seed(0)
    module = ModernBertForMaskedLM(ModernBertConfig(**sizes, **tokens, **special)).eval()
    family = replace(
        BERT, split=lambda module: (module.model, torch.nn.Sequential(module.head, module.decoder))
    )
    with torch.no_grad():
        logits = module(input_ids=TOKENS).logits
        body, head = family.split(module)
        assert (head(body(input_ids=TOKENS).last_hidden_state) - logits).abs().max() < 1e-5
        body, head = split_causal_lm(module)
        assert (head(body(input_ids=TOKENS).last_hidden_state) - logits).abs().max() > 1e-3


def test_the_transform_of_a_head_is_not_skipped(models):
    """BERT's decoder is its output matrix, but a dense layer and a norm come before it."""
    model = checkpoints(models).load("Own BERT")
    canvas = Canvas.build([[]] * 3, TOKENS.tolist(), [0] * 3, model.mask)
    skipped = bert_logits(models / "checkpoints" / "Own BERT", TOKENS, transform=False)
    assert (model(canvas.activate(~canvas.padding)) - skipped.flatten(0, 1)).abs().max() > 0.1


@pytest.mark.parametrize("name", FORWARDS)
def test_the_program_writes_the_references_text(tmp_path, models, name):
    """Prompt in, text out, at temperature 0: the plain forward pass under LLaDA's plain sampler."""
    app = App(Settings(models=models, data=tmp_path, model=name, device="cpu", dtype="float64", threads=1))
    app.checkpoints = checkpoints(models, "float64")
    tokenizer = app.checkpoints.load(name).tokenizer
    result = write(
        app,
        prompt="the cat",
        model=name,
        length=12,
        steps=6,
        block_length=12,
        temperature=0.0,
        end_of_text="keep",
    )
    prompt = torch.tensor([tokenizer.prompt("the cat").tokens])
    folder = models / "checkpoints" / name
    expected = sampler.generate(
        lambda tokens: FORWARDS[name](folder, tokens, dtype=torch.float64),
        prompt,
        length=12,
        mask_id=MASK,
        steps=6,
        block_length=12,
        banned=(MASK,),
    )[0, prompt.shape[1] :]
    made = dict(sorted((change.column, change.token) for change in result.trace))
    assert list(made.values()) == expected.tolist()
    assert result.provenance.family == name
    assert tokenizer.has_template is (name != "Own BERT")
    app.close()


def test_families_are_known_where_they_are_given(models):
    there = Checkpoints(Settings(models=models, model="LLaDA", device="cpu"))
    assert there.names() == ["LLaDA"]
    assert {entry.name for entry in there.list() if "of no known family" in (entry.error or "")} == set(
        FORWARDS
    )
    assert set(checkpoints(models).names()) == {"LLaDA", *FORWARDS}
    assert not {family.name for family in OWN} & {family.name for family in FAMILIES}
    assert DREAM.shift and DREAM.attention == BERT.attention == "bidirectional" and not BERT.shift


# -- many tensors into one, one into many --------------------------------------------------------------------


def test_experts_that_are_published_one_by_one_become_one_tensor(tmp_path):
    config = {
        "architectures": ["Experts"],
        "model_type": "experts",
        "mask_token_id": MASK,
        "vocab_size": ROWS,
        "hidden_size": 16,
        "intermediate_size": 32,
        "moe_intermediate_size": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 64,
    }
    block = "model.layers.0."
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (ROWS, 16),
        "lm_head.weight": (ROWS, 16),
        "model.norm.weight": (16,),
        f"{block}input_layernorm.weight": (16,),
        f"{block}post_attention_layernorm.weight": (16,),
        f"{block}self_attn.q_proj.weight": (16, 16),
        f"{block}self_attn.k_proj.weight": (8, 16),
        f"{block}self_attn.v_proj.weight": (8, 16),
        f"{block}self_attn.o_proj.weight": (16, 16),
        f"{block}self_attn.q_norm.weight": (8,),
        f"{block}self_attn.k_norm.weight": (8,),
        f"{block}mlp.gate.weight": (4, 16),
    }
    for i in range(4):
        for name, shape in (("gate_proj", (8, 16)), ("up_proj", (8, 16)), ("down_proj", (16, 8))):
            shapes[f"{block}mlp.experts.{i}.{name}.weight"] = shape
    weights = random_weights(shapes, 0)
    folder = tmp_path / "checkpoints" / "experts"
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config)
    save_weights(folder, weights)
    save_tokenizer(folder)
    reported: list[float] = []
    module = checkpoints(tmp_path).load("experts", reported.append).module
    loaded = dict(module.named_parameters())
    for i in range(4):
        expert = {
            name: weights[f"{block}mlp.experts.{i}.{name}.weight"]
            for name in ("gate_proj", "up_proj", "down_proj")
        }
        joined = torch.cat([expert["gate_proj"], expert["up_proj"]])
        assert torch.equal(loaded[f"{block}mlp.experts.gate_up_proj"][i], joined)
        assert torch.equal(loaded[f"{block}mlp.experts.down_proj"][i], expert["down_proj"])
    assert reported == sorted(reported) and reported[-1] == 1.0
    del weights[f"{block}mlp.experts.2.up_proj.weight"]
    save_weights(folder, weights)
    with pytest.raises(ValueError, match="experts lacks weights, .*gate_up_proj among them"):
        checkpoints(tmp_path).load("experts")


def test_recipes_make_what_their_shapes_say():
    have = {"a": torch.arange(12.0).view(4, 3), "b": torch.arange(6.0).view(2, 3), "c": torch.ones(5)}
    made = {
        Take("a"): have["a"],
        Cut(Take("a"), 1, 3): have["a"][1:3],
        Cut(Take("a"), 0, 2, dim=1): have["a"][:, :2],
        Join((Take("a"), Take("b"))): torch.cat([have["a"], have["b"]]),
        Stack((Take("b"), Take("b"))): torch.stack([have["b"], have["b"]]),
        Pad(Take("b"), 4): torch.cat([have["b"], torch.zeros(2, 3)]),
        Join((Cut(Take("a"), 0, 2), Take("b")), dim=1): torch.cat([have["a"][:2], have["b"]], dim=1),
    }
    for recipe, expected in made.items():
        assert torch.equal(recipes.make(recipe, have.__getitem__), expected)
        assert recipes.shape(recipe, lambda name: tuple(have[name].shape)) == tuple(expected.shape)
    for wrong in (
        Cut(Take("a"), 3, 5),
        Cut(Take("c"), 0, 1, dim=1),
        Join((Take("a"), Take("c"))),
        Stack((Take("a"), Take("b"))),
        Pad(Take("a"), 3),
    ):
        assert recipes.shape(wrong, lambda name: tuple(have[name].shape)) is None
