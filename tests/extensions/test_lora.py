"""LoRA: what PEFT computes, for each row by itself; tags; every name; faulty files."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from extensions.lora.patch import Patch
from extensions.lora.tags import Use, read
from tests.adapter_files import adapter, as_peft, configured, renamed, saved, wrapped
from tests.contract import FAMILIES
from tests.contract.program import cells, finished, program, write
from webui import Adapter, Cell, Prompt, Row, adapter_entry, adapters
from webui.canvas import Canvas
from webui.core.errors import Refusal
from webui.extension.registry import Registry
from webui.settings import ROOT

CONFIGS = {
    "plain": {"target_modules": ["q_proj", "down_proj"]},
    "all linear layers": {"target_modules": "all-linear"},
    "rslora": {"target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    "patterns": {
        "target_modules": ["q_proj", "k_proj", "up_proj"],
        "rank_pattern": {"q_proj": 2, "layers.1.self_attn.k_proj": 7},
        "alpha_pattern": {"self_attn.q_proj": 3, "up_proj": 16},
    },
    "rslora with patterns": {
        "target_modules": ["q_proj", "o_proj"],
        "use_rslora": True,
        "rank_pattern": {r".*\.0\.self_attn\.q_proj": 9},
        "alpha_pattern": {"o_proj": 1},
    },
    "bias of B": {"target_modules": ["v_proj"], "lora_bias": True},
    "embedding": {"target_modules": ["embed_tokens", "v_proj"]},
    "head": {"target_modules": ["lm_head", "gate_proj"]},
    "modules to save": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["lm_head", "embed_tokens", "up_proj"],
    },
    "dora": {"target_modules": ["q_proj", "down_proj"], "use_dora": True},
    "dora and rslora of the head": {"target_modules": ["lm_head"], "use_dora": True, "use_rslora": True},
    "gaussian": {"target_modules": ["q_proj"], "init_lora_weights": "gaussian"},
}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """A program in fp64 with a tiny LLaDA, and LoRAs for it."""
    app = program(tmp_path_factory.mktemp("lora"), dtype="float64")
    model, loras = app.checkpoints.load(None), app.settings.models / "loras"
    adapter(model, loras / "poet", 1)
    adapter(model, loras / "styles" / "sailor", 2, target_modules=["q_proj", "down_proj"], r=2)
    renamed(loras / "poet", loras / "single.safetensors", lambda name: name)
    yield app
    app.close()


@contextmanager
def applied(model, uses, **paths):
    """The model with adapters at their weights; `uses` of each row of a batch."""
    modules = dict(model.module.named_modules())
    loaded = {
        name: Adapter.read(path, name).fit(modules, model.native, "the tiny one")
        for name, path in paths.items()
    }
    patch = Patch(model, loaded, uses)
    try:
        patch.enter(modules)
        yield loaded
    finally:
        patch.leave()


def batch(model, rows=3, seed=0):
    """A canvas of rows of different lengths, half masked; every position of the answers is active."""
    dice = torch.Generator().manual_seed(seed)
    some = torch.randint(5, min(250, model.vocabulary), (rows, 40), generator=dice).tolist()
    prompts = [line[: 3 + 4 * i] for i, line in enumerate(some)]
    answers = [
        [token if i % 2 else model.mask for i, token in enumerate(line[: 9 + 2 * k])]
        for k, line in enumerate(some)
    ]
    canvas = Canvas.build(
        prompts, answers, list(range(rows)), model.mask, model.ends, given=[[False] * len(a) for a in answers]
    )
    return canvas.activate(~canvas.given)


def per_row(canvas, logits):
    return logits.split([int(n) for n in canvas.active.sum(1)])


# -- what PEFT computes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_what_peft_computes(app, tmp_path, name):
    model = app.checkpoints.load(None)
    peft = wrapped(model, seed=3, **CONFIGS[name])
    path, canvas = saved(peft, tmp_path / "there"), batch(model)
    wanted, without = as_peft(model, peft)(canvas), model(canvas)
    with applied(model, [[Use("there")]] * 3, there=path) as loaded:
        found = model(canvas)
    assert not loaded["there"].unmatched
    assert (wanted - without).abs().max() > 0.01, "the adapter acts"
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)  # PEFT keeps what it trained in fp32
    assert torch.equal(model(canvas), without), "and is gone"


def test_a_weight_is_pefts_scale(app, tmp_path):
    model = app.checkpoints.load(None)
    peft = wrapped(model, seed=4, target_modules=["q_proj", "down_proj", "lm_head"])
    path, canvas = saved(peft, tmp_path / "there"), batch(model)
    for module in peft.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", 0.3)
    wanted = as_peft(model, peft)(canvas)
    with applied(model, [[Use("there", 0.3)]] * 3, there=path):
        torch.testing.assert_close(model(canvas), wanted, rtol=1e-5, atol=1e-6)


def test_several_at_once_are_what_peft_computes(app, tmp_path):
    model = app.checkpoints.load(None)
    peft = wrapped(model, seed=5, target_modules=["q_proj", "lm_head"])
    other = wrapped(model, seed=6, target_modules=["q_proj", "up_proj"], r=3)
    paths = {"first": saved(peft, tmp_path / "first"), "second": saved(other, tmp_path / "second")}
    peft.load_adapter(str(tmp_path / "second"), "second")
    peft.base_model.set_adapter(["default", "second"])
    canvas = batch(model)
    wanted = as_peft(model, peft)(canvas)
    with applied(model, [[Use("first"), Use("second")]] * 3, **paths):
        torch.testing.assert_close(model(canvas), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["all linear layers", "embedding", "head", "modules to save", "dora", "bias of B"]
)
def test_each_row_has_its_own_weights(app, tmp_path, name):
    """Rows of a batch, taken apart and repeated as by guidance, equal each row alone at its weight."""
    model = app.checkpoints.load(None)
    path = saved(wrapped(model, seed=7, **CONFIGS[name]), tmp_path / "there")
    uses = [[], [Use("there", 0.3)], [Use("there")]]
    canvas = batch(model)
    both = canvas.cat(canvas.take([2, 0, 1]))
    alone = []
    for row in range(3):
        with applied(model, [uses[row]] * 3, there=path):
            alone.append(model(canvas.take([row])))
    assert not torch.allclose(alone[1], model(canvas.take([1])))
    with applied(model, uses, there=path):
        together = per_row(both, model(both))
    for found, row in zip(together, [0, 1, 2, 2, 0, 1], strict=True):
        torch.testing.assert_close(found, alone[row], rtol=1e-9, atol=1e-10)
    assert torch.equal(alone[0], model(canvas.take([0]))), "weight 0 is off exactly"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weight_0_is_off_exactly_and_the_weights_stay_bit_for_bit(app, tmp_path, dtype):
    model = app.checkpoints.load(None)
    path = saved(wrapped(model, seed=8, **CONFIGS["all linear layers"]), tmp_path / "there")
    low = as_peft(model, SimpleNamespace(base_model=SimpleNamespace(model=_copied(model, dtype))))
    before = {name: value.clone() for name, value in low.module.state_dict().items()}
    canvas = batch(low)
    without = low(canvas)
    for number in range(20):
        with applied(low, [[], [Use("there", 1 + number)], [Use("there", -1), Use("there", 1)]], there=path):
            found = per_row(canvas, low(canvas))
        wanted = per_row(canvas, without)
        assert torch.equal(found[0], wanted[0]) and torch.equal(found[2], wanted[2])
        assert not torch.equal(found[1], wanted[1])
    after = low.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(low(canvas), without)


def test_in_fp32_a_row_is_bit_for_bit_the_same_in_every_batch(app, tmp_path):
    model = app.checkpoints.load(None)
    path = saved(wrapped(model, seed=9, **CONFIGS["all linear layers"]), tmp_path / "there")
    low = as_peft(model, SimpleNamespace(base_model=SimpleNamespace(model=_copied(model, "float32"))))
    uses = [[], [Use("there", 0.3)], [Use("there")], [Use("there", 0.3)], [Use("there", -2)]]
    canvas = batch(low, rows=5)
    with applied(low, uses, there=path):
        together = per_row(canvas, low(canvas))
        for some in ([0], [2], [3, 1], [4, 0, 2]):
            part = canvas.take(some)
            for row, logits in zip(some, per_row(part, low(part)), strict=True):
                assert torch.equal(logits, together[row])


def _copied(model, dtype):
    import copy

    return copy.deepcopy(model.module).to(getattr(torch, dtype))


def test_a_range_acts_while_the_progress_is_in_it():
    use = Use("poet", 0.8, 0.25, 0.5)
    assert [use.now(p) for p in (0, 0.25, 0.4, 0.5, 1)] == [0, 0.8, 0.8, 0, 0]
    assert [Use("poet", 1, 0.5, 1).now(p) for p in (0.4, 0.5, 1.0)] == [0, 1, 1]


# -- names ---------------------------------------------------------------------------------------------------


PEFT = "base_model.model."
OTHER_NAMES = {
    "as PEFT saves": lambda name: name,
    "with the adapter's name": lambda name: name.replace(".weight", ".default.weight"),
    "another adapter's name": lambda name: name.replace(".weight", ".poet_v2.weight"),
    "no prefix": lambda name: name.removeprefix(PEFT),
    "of the body": lambda name: name.removeprefix(PEFT + "model."),
    "diffusers": lambda name: (
        name.replace(PEFT, "transformer.").replace("lora_A", "lora.down").replace("lora_B", "lora.up")
    ),
    "compiled": lambda name: name.replace(PEFT, PEFT + "_orig_mod."),
    "flat": lambda name: _flat(name, "lora_unet_"),
    "flat, text encoder": lambda name: _flat(name, "lora_te1_"),
    "LLaDA's published names": lambda name: _llada(name),
    "LLaDA's, flat": lambda name: _flat(_llada(name), "lora_transformer_"),
}


def _flat(name, prefix):
    name = name.removeprefix(PEFT).replace("lora_A", "lora_down").replace("lora_B", "lora_up")
    module, part = re.fullmatch(r"(.+)\.(lora_\w+\.weight)", name).groups()
    return f"{prefix}{module.replace('.', '_')}.{part}"


def _llada(name):
    for old, new in {
        "model.layers.": "model.transformer.blocks.",
        "self_attn.o_proj": "attn_out",
        "self_attn.": "",
        "mlp.gate_proj": "ff_proj",
        "mlp.down_proj": "ff_out",
        "mlp.": "",
    }.items():
        name = name.removeprefix(PEFT) if old == "never" else name.replace(old, new)
    return name


@pytest.mark.parametrize("style", OTHER_NAMES)
def test_every_usual_name_fits(app, tmp_path, style):
    model = app.checkpoints.load(None)
    file = renamed(app.settings.models / "loras" / "poet", tmp_path / "x.safetensors", OTHER_NAMES[style])
    names = set(load_file(file))
    assert style == "as PEFT saves" or not names & set(
        load_file(app.settings.models / "loras" / "poet" / "adapter_model.safetensors")
    )
    canvas = batch(model)
    with applied(model, [[Use("x")]] * 3, x=app.settings.models / "loras" / "poet"):
        wanted = model(canvas)
    with applied(model, [[Use("x")]] * 3, x=file) as loaded:
        assert loaded["x"].count == 14 and not loaded["x"].unmatched
        assert torch.equal(model(canvas), wanted)


def test_a_flat_file_says_its_alpha(app, tmp_path):
    """As kohya's programs write it: `.alpha` beside the matrices, no configuration."""
    model, poet = app.checkpoints.load(None), app.settings.models / "loras" / "poet"
    tensors = {
        _flat(name, "lora_unet_"): tensor
        for name, tensor in load_file(poet / "adapter_model.safetensors").items()
    }
    alphas = {
        name.replace("lora_down.weight", "alpha"): torch.tensor(6.0)
        for name in tensors
        if "down.weight" in name
    }
    save_file({**tensors, **alphas}, tmp_path / "x.safetensors")
    save_file(tensors, tmp_path / "no_alpha.safetensors")
    canvas = batch(model)
    with applied(model, [[Use("x")]] * 3, x=poet):
        wanted = model(canvas)
    with applied(model, [[Use("x")]] * 3, x=tmp_path / "x.safetensors"):
        assert torch.equal(model(canvas), wanted)
    assert Adapter.read(tmp_path / "x.safetensors").notes == ()
    assert Adapter.read(tmp_path / "no_alpha.safetensors").notes == (
        "no_alpha says no alpha; its scale is 1.",
    )


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("families"), families=tuple(FAMILIES))
    yield app
    app.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_published_names(families, tmp_path, family):
    """A LoRA of every matrix in the layers of a published checkpoint, by the names in its files: those that the native
    model has as linear layers are matched, experts and fused ones are said to be unmatched; GPT-2's own layers are refused
    by name."""
    folder = families.settings.models / "checkpoints" / family
    published = {}
    for file in folder.glob("*.safetensors"):
        published |= {name: tensor.shape for name, tensor in load_file(file).items()}
    matrices = {
        name.removesuffix(".weight"): shape
        for name, shape in published.items()
        if len(shape) == 2
        and re.search(r"\.\d+\.", name)
        and not name.endswith(("gate.weight", "router.weight"))
    }
    tensors = {}
    for name, (outputs, inputs) in matrices.items():
        tensors[f"{PEFT}{name}.lora_A.weight"] = torch.full((2, inputs), 0.01)
        tensors[f"{PEFT}{name}.lora_B.weight"] = torch.full((outputs, 2), 0.01)
    save_file(tensors, tmp_path / "x.safetensors")
    model = families.checkpoints.load(family)
    if family == "DiffuGPT":
        with pytest.raises(Refusal, match="a Conv1D; only linear layers and embeddings can be changed"):
            Adapter.read(tmp_path / "x.safetensors").fit(
                dict(model.module.named_modules()), model.native, family
            )
        return
    fitted = Adapter.read(tmp_path / "x.safetensors").fit(
        dict(model.module.named_modules()), model.native, family
    )
    fused = [n for n in fitted.unmatched if re.search(r"experts\.\d|query_key_value|c_attn|c_fc|qkv", n)]
    assert sorted(fused) == sorted(fitted.unmatched)
    assert fitted.parts
    linear = {name for name, one in model.module.named_modules() if isinstance(one, torch.nn.Linear)}
    assert set(fitted.parts) <= linear
    before = model(batch(model))
    with applied(model, [[Use("x")]] * 3, x=tmp_path / "x.safetensors"):
        assert not torch.equal(model(batch(model)), before)


# -- through the program -------------------------------------------------------------------------------------


WARM = {"prompt": "a cat", "length": 12, "steps": 6, "temperature": 0.9, "seed": 2}


def test_rows_of_a_grid_are_what_each_is_alone(app):
    """Weights 0, .3 and 1 in one batch, with guidance, so that each row has two branches."""
    fields = {**WARM, "guidance": {"scale": 2.5, "negative_prompt": "a dog in the rain"}}
    grid = {"prompt": "a cat|<lora:poet:0>|<lora:poet:0.3>|<lora:poet:1>", "prompt_matrix": {"enabled": True}}
    parts = cells(write(app, **{**fields, **grid}))
    alone = [write(app, **{**fields, "prompt": part.request.prompt}).text for part in parts]
    assert [part.text for part in parts] == alone
    assert alone[1] == write(app, **{**fields, "prompt": "a cat,"}).text, "weight 0 is off"
    assert len(set(alone[1:4])) == 3 and {part.statistics.forwards for part in parts} == {6}


def test_a_grid_of_weights_and_guidance_scales_is_one_batch_of_single_texts(app):
    grid = {
        "prompt": "a cat|<lora:poet:0>|<lora:poet:1>",
        "prompt_matrix": {"enabled": True},
        "xyz_grid": {"x_field": "guidance.scale", "x_values": "1, 2.5"},
    }
    negative = {"negative_prompt": "a dog in the rain"}
    parts = cells(write(app, **{**WARM, **grid, "guidance": negative}))
    found = {(part.request.guidance.scale, part.request.prompt): part.text for part in parts}
    assert len(found) == 8 and len(set(found.values())) > 4
    for (scale, prompt), text in found.items():
        fields = {**WARM, "prompt": prompt, "guidance": {**negative, "scale": scale}}
        assert write(app, **fields).text == text, (scale, prompt)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_weights_are_bit_for_bit_the_same_after_runs(tmp_path, app, dtype):
    other = program(tmp_path, dtype=dtype)
    try:
        (tmp_path / "models" / "loras").symlink_to(app.settings.models / "loras")
        module = other.checkpoints.load(None).module
        before = {name: value.clone() for name, value in module.state_dict().items()}
        plain = write(other, **WARM).text
        for number in range(5):
            text = f"a cat <lora:poet:{number + 1}><lora:styles/sailor:-2:0-0.5>"
            write(other, **{**WARM, "prompt": text})
        assert other.checkpoints.load(None).module is module
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        assert write(other, **WARM).text == plain
    finally:
        other.close()


def test_what_was_used_is_saved_with_the_text(app):
    import hashlib

    file = app.settings.models / "loras" / "poet" / "adapter_model.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    result = write(app, **{**WARM, "prompt": "a cat <lora:poet:.5> <lora:poet:1:0-0.5> <lora:styles/sailor>"})
    assert (
        result.extras["lora"]["poet"]
        == f"weight 0.5 + weight 1 from 0 to 0.5; 14 of 14 modules; SHA-256 {digest}"
    )
    assert result.extras["lora"]["styles/sailor"].startswith("weight 1; 4 of 4 modules; SHA-256 ")
    request, unknown = app.Request.read(app.history.get(result.id).model_dump_json())
    assert not unknown and write(app, **dict(request)).text == result.text


def test_a_single_file_writes_what_the_folder_writes(app):
    one, other = (write(app, **{**WARM, "prompt": f"a cat<lora:{name}>"}).text for name in ("poet", "single"))
    assert one == other != write(app, **WARM).text


def test_a_range_changes_only_its_part(app):
    def made(tag):
        return write(app, **{**WARM, "prompt": f"a cat{tag}"})

    late, plain = made("<lora:poet:1:0.5-1>"), made("")
    first = [change for change in late.trace if change.step == 1]
    assert first == [change for change in plain.trace if change.step == 1]
    assert made("<lora:poet:1:0-0.5><lora:poet:1:0.5-1>").text == made("<lora:poet:1>").text
    assert len({late.text, plain.text, made("<lora:poet:1:0-0.5>").text, made("<lora:poet:1>").text}) == 4


def test_partly_matched_adapters_act_and_say_what_is_missing(app):
    loras = app.settings.models / "loras"
    renamed(loras / "poet", loras / "more.safetensors", lambda n: n.replace("layers.1.", "layers.7."))
    said = write(app, **{**WARM, "prompt": "a cat <lora:more>"}).extras["lora"]["more"]
    (loras / "more.safetensors").unlink()
    assert said.startswith(
        "weight 1; 7 of 14 modules, not model.layers.7.mlp.down_proj, model.layers.7.mlp.gate_proj ...;"
    )


# -- tags ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry(app, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extensions")
    for name in ("lora", "infill", "guidance"):
        (folder / name).symlink_to(ROOT / "extensions" / name)
    return Registry(folder, models=app.settings.models)


def prepared(registry, prompt, **fields):
    request = registry.Request(prompt=prompt, **fields)
    return registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(prompt)}))


@pytest.mark.parametrize(
    "prompt, text, uses",
    [
        ("a cat", "a cat", None),
        ("a <lora:poet> cat", "a cat", [("poet", 1, 0, 1)]),
        ("<lora:poet:0.5> a cat", "a cat", [("poet", 0.5, 0, 1)]),
        ("a cat <lora:poet:-.5:0.25-1.>", "a cat", [("poet", -0.5, 0.25, 1)]),
        ("a<lora:poet:1><lora:styles/sailor:2>b", "ab", [("poet", 1, 0, 1), ("styles/sailor", 2, 0, 1)]),
        (r"a \<lora:poet:1>", "a <lora:poet:1>", None),
        ("a ```<lora:poet:1>```", "a ```<lora:poet:1>```", None),
        ("a < lora:poet:1>", "a < lora:poet:1>", None),
        ("<lora:>", "<lora:>", None),
    ],
)
def test_tags(registry, prompt, text, uses):
    row = prepared(registry, prompt)
    assert row.prompts["main"].text == text
    assert row.own.get("lora") == (None if uses is None else tuple(Use(*use) for use in uses))


def test_a_tag_in_the_negative_prompt_acts_too(registry):
    row = prepared(registry, "a cat", guidance={"negative_prompt": "a dog <lora:poet:0.5>", "scale": 2.0})
    assert row.prompts["negative"].text == "a dog" and row.own["lora"] == (Use("poet", 0.5),)


def test_off_is_text(registry):
    assert prepared(registry, "<lora:poet:1>", syntax="off").prompts["main"].text == "<lora:poet:1>"


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        ("a <lora:poe:1>", "column 3: There is no LoRA 'poe' in loras/. The nearest: poet."),
        ("<lora:poet:much>", "column 1: the LoRA tag says 'much'. Write <lora:name:weight>"),
        ("<lora:poet:9>", "column 1: the weight 9 of the LoRA poet is not between -8 and 8."),
        (
            "<lora:poet:1:0.6-0.2>",
            "column 1: the LoRA poet acts from 0.6 to 0.2; the first must be the smaller",
        ),
        ("<lora:poet:1:0-2>", "the first must be the smaller one, both between 0 and 1."),
        ("<lora:../checkpoints/LLaDA/model:1>", "There is no LoRA '../checkpoints/LLaDA/model' in loras/."),
        ("<lora:poet:1e400>", "the LoRA tag says '1e400'"),
    ],
)
def test_tags_that_cannot_be_used(registry, prompt, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        prepared(registry, prompt)


def test_reading_arguments():
    assert read(("poet", None)) == Use("poet")
    assert read(("poet", "+2.")) == Use("poet", 2)


def test_marks_and_completions(app):
    text = "a <lora:poet:0.5> <lora:poet:0> <lora:poet:1:0-0.5> <lora:nobody>"
    found, failed = app.prompts.marks({"prompt": text}, "prompt")
    assert not failed
    assert [(text[m.underline.start : m.underline.end], m.underline.effect) for m in found] == [
        ("<lora:poet:0.5>", "acts"),
        ("<lora:poet:0>", "acts"),
        ("<lora:poet:1:0-0.5>", "acts"),
        ("<lora:nobody>", "refused"),
    ]
    assert found[0].about == "The LoRA poet, with weight 0.5." and found[3].about.startswith(
        "Column 53: There is no"
    )
    offered, failed = app.prompts.complete({"prompt": "a <lora:sai"}, "prompt", cursor=11)
    assert not failed and [(one.start, one.end, one.text) for one in offered] == [
        (2, 11, "<lora:styles/sailor:1>")
    ]
    begun, _ = app.prompts.complete({"prompt": "a <lo"}, "prompt", cursor=5)
    offered, _ = app.prompts.complete({"prompt": "<lora:"}, "prompt", cursor=6)
    assert [one.text for one in begun] == [one.text for one in offered]
    assert [one.text for one in offered] == [
        f"<lora:{name}:1>" for name in ("poet", "single", "styles/sailor")
    ]


# -- faulty files --------------------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def rewritten(folder, change):
    file = folder / "adapter_model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    change(tensors)
    save_file(tensors, file)


def first(tensors, part):
    return next(name for name in sorted(tensors) if part in name)


FAULTS = {
    "a cut file": (
        lambda folder: cut(folder / "adapter_model.safetensors"),
        "faulty/adapter_model.safetensors is damaged: it has",
    ),
    "no safetensors": (
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"PK\3\4" + b"x" * 200),
        "faulty/adapter_model.safetensors is damaged: it is no safetensors file.",
    ),
    "a pickle": (
        lambda folder: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"),
        "faulty/adapter_model.bin is a pickle, which can run code when it is read; convert it to safetensors.",
    ),
    "no weights": (
        lambda folder: (folder / "adapter_model.safetensors").unlink(),
        "faulty has no adapter_model.safetensors.",
    ),
    "no configuration": (
        lambda folder: (folder / "adapter_config.json").unlink(),
        "faulty/adapter_config.json does not exist.",
    ),
    "a configuration that is no JSON": (
        lambda folder: (folder / "adapter_config.json").write_text("{"),
        "faulty/adapter_config.json is not valid JSON",
    ),
    "another rank than configured": (
        lambda folder: configured(folder, r=5),
        "has rank 4 where its adapter_config.json says 5.",
    ),
    "matrices of two ranks": (
        lambda folder: rewritten(
            folder, lambda t: t.update({n: t[n][:, :3].contiguous() for n in [first(t, "lora_B")]})
        ),
        "has matrices of rank 4 and 3, which do not go together.",
    ),
    "one matrix": (
        lambda folder: rewritten(folder, lambda t: t.pop(first(t, "lora_B"))),
        "has only one of the two matrices of a LoRA.",
    ),
    "another width": (
        lambda folder: rewritten(
            folder, lambda t: t.update({n: torch.ones(4, 48) for n in [first(t, "q_proj.lora_A")]})
        ),
        "The LoRA faulty does not fit LLaDA: model.layers.0.self_attn.q_proj has 32 inputs, in the LoRA 48.",
    ),
    "another model": (
        lambda folder: rewritten(folder, lambda t: _moved(t, "model.layers", "model.decoder.h")),
        "The LoRA faulty does not fit LLaDA: 0 of 14 modules match, model.decoder.h.0.mlp.down_proj",
    ),
    "an unknown key": (
        lambda folder: rewritten(folder, lambda t: t.update({"surprise": torch.ones(1)})),
        "surprise is no weight of a LoRA that is known here.",
    ),
    "a norm": (
        lambda folder: rewritten(
            folder, lambda t: t.update({PEFT + "model.norm.weight": torch.ones(32) * 2})
        ),
        "The LoRA faulty changes model.norm, a LlamaRMSNorm; only linear layers and embeddings can be changed.",
    ),
    "not a number": (
        lambda folder: rewritten(folder, lambda t: t[first(t, "lora_A")].fill_(float("nan"))),
        "holds numbers that are not finite.",
    ),
    "LoHa": (
        lambda folder: rewritten(folder, lambda t: t.update({"model.x.hada_w1_a": torch.ones(2, 2)})),
        "model.x.hada_w1_a is LoHa, which is not computed here.",
    ),
    "LoKr by its configuration": (
        lambda folder: configured(folder, peft_type="LOKR"),
        "faulty is an adapter of the type LOKR; only LoRA is computed.",
    ),
    "PiSSA": (
        lambda folder: configured(folder, init_lora_weights="pissa_niter_4"),
        "faulty began with 'pissa_niter_4', which changes the base model's own weights",
    ),
    "transposed weights": (
        lambda folder: configured(folder, fan_in_fan_out=True),
        "faulty sets fan_in_fan_out in its adapter_config.json, which is not computed here.",
    ),
    "something newer": (
        lambda folder: configured(folder, use_magic={"level": 3}),
        "faulty sets use_magic in its adapter_config.json, which is not computed here.",
    ),
    "repeated layers": (
        lambda folder: configured(folder, layer_replication=[[0, 1], [0, 1]]),
        "faulty sets layer_replication in its",
    ),
    "an alpha that is no number": (
        lambda folder: configured(folder, lora_alpha="much"),
        "faulty: lora_alpha must be a number other than 0, not 'much'.",
    ),
    "a pattern that is no pattern": (
        lambda folder: configured(folder, alpha_pattern={"(": 3}),
        "The pattern '(' of adapter_config.json is not understood.",
    ),
    "DoRA without magnitudes": (
        lambda folder: configured(folder, use_dora=True),
        "has no magnitude, though its adapter_config.json says DoRA.",
    ),
    "a Git LFS pointer": (
        lambda folder: (folder / "adapter_model.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\noid"
        ),
        "is a Git LFS pointer; run git lfs pull.",
    ),
}


def _moved(tensors, old, new):
    for name in list(tensors):
        tensors[name.replace(old, new)] = tensors.pop(name)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_one_sentence_and_the_other_rows_go_on(app, fault):
    import shutil

    change, sentence = FAULTS[fault]
    loras = app.settings.models / "loras"
    shutil.rmtree(loras / "faulty", ignore_errors=True)
    shutil.copytree(loras / "poet", loras / "faulty")
    change(loras / "faulty")
    fields = {**WARM, "prompt": "a cat|<lora:faulty:1>|<lora:poet:1>", "prompt_matrix": {"enabled": True}}
    parts = cells(finished(app, app.Request(**fields)))
    faulty = [part for part in parts if "faulty" in part.request.prompt]
    assert faulty and all(sentence in (part.error or "") for part in faulty), [part.error for part in faulty]
    assert all("\n" not in part.error for part in faulty)
    others = [part for part in parts if "faulty" not in part.request.prompt]
    assert len(others) == 2 and all(part.complete and part.error is None for part in others)
    assert write(app, **WARM).complete, "the program goes on"
    shutil.rmtree(loras / "faulty")


def test_what_a_tag_cannot_name_says_so(app):
    """Otherwise a press on its card would insert text that does nothing."""
    loras = app.settings.models / "loras"
    names = [" blank ", "a:b", "<b>", "two\nlines"]
    for name in names:
        (loras / f"{name}.safetensors").write_bytes((loras / "single.safetensors").read_bytes())
    try:
        shown = app.registry.extensions["lora"]._list(app, {})["loras"]
        assert sorted(one["name"] for one in shown if "No tag can hold" in (one["error"] or "")) == sorted(
            names
        )
        offered, _ = app.prompts.complete({"prompt": "<lora:"}, "prompt", cursor=6)
        assert len(offered) == 3
    finally:
        for name in names:
            (loras / f"{name}.safetensors").unlink()


def test_numbers_that_are_too_large_are_the_loras_fault(app):
    """Not the checkpoint's alone: hooked and merged."""
    import shutil

    loras = app.settings.models / "loras"
    shutil.copytree(loras / "poet", loras / "large")
    rewritten(loras / "large", lambda t: [tensor.mul_(1e30) for tensor in t.values()])
    for merged in (False, True):
        request = app.Request(**{**WARM, "prompt": "a <lora:large:1>"}, lora={"merged": merged})
        assert finished(app, request).error == "lora and LLaDA: gave logits that are not finite numbers."
    shutil.rmtree(loras / "large")
    assert write(app, **WARM).complete


def test_a_pickle_is_named_and_never_opened(app):
    loras = app.settings.models / "loras"
    (loras / "bad.pt").write_bytes(b"\x80\x04cos\nsystem\n")
    result = finished(app, app.Request(**{**WARM, "prompt": "a <lora:bad:1>"}))
    assert (
        "loras/bad.pt is a pickle, which can run code when it is read; convert it to safetensors."
        in result.error
    )
    assert "is a pickle" in adapter_entry("bad", adapters(loras)["bad"]).error
    (loras / "bad.pt").unlink()


def test_a_lora_that_is_removed_while_it_is_used(app, monkeypatch):
    """The text that has begun ends with it; the next one is refused."""
    loras = app.settings.models / "loras"
    file = renamed(loras / "poet", loras / "brief.safetensors", lambda name: name)
    whole = write(app, **{**WARM, "prompt": "a cat <lora:brief:1>"})
    calls = []

    def remove(*_):
        if not calls:
            file.write_bytes(b"")  # truncated under the program's hands, then gone
            file.unlink()
        calls.append(1)

    hook = app.checkpoints.load(None).body.register_forward_pre_hook(remove)
    try:
        assert write(app, **{**WARM, "prompt": "a cat <lora:brief:1>"}).text == whole.text
    finally:
        hook.remove()
    assert calls
    result = finished(app, app.Request(**{**WARM, "prompt": "a cat <lora:brief:1>"}))
    assert "There is no LoRA 'brief'" in result.error and not app.registry.faults.of("lora")
    with pytest.raises(Refusal, match="brief is not there any more"):
        Adapter.read(file)


# -- lists ---------------------------------------------------------------------------------------------------


def test_what_a_list_shows(app, tmp_path):
    import json

    loras = tmp_path / "loras"
    adapter(app.checkpoints.load(None), loras / "bard", 1, r=3)
    sidecar = {
        "trigger_words": ["thou", "art"],
        "tags": ["style"],
        "base": {"name": "storyteller", "fingerprint": "x"},
        "about": "Speaks\nas in a play.",
    }
    (loras / "bard" / "about.json").write_text(json.dumps(sidecar))
    entry = adapter_entry("bard", adapters(loras)["bard"])
    assert (entry.rank, entry.modules, entry.base, entry.error) == (3, 14, "storyteller", None)
    assert (
        entry.triggers == ("thou", "art")
        and entry.tags == ("style",)
        and entry.about == r"Speaks\nas in a play."
    )
    assert entry.size == (loras / "bard" / "adapter_model.safetensors").stat().st_size


def test_500_loras_are_listed_by_their_headers(app, tmp_path, monkeypatch):
    poet = app.settings.models / "loras" / "poet"
    data = renamed(poet, tmp_path / "one.safetensors", lambda name: name).read_bytes()
    loras = tmp_path / "loras"
    loras.mkdir()
    for number in range(500):
        (loras / f"lora {number:03}.safetensors").write_bytes(data)
    began = time.process_time()
    there = adapters(loras)
    entries = [adapter_entry(name, path) for name, path in there.items()]
    print(f"500 LoRAs: {time.process_time() - began:.3f} s")  # measured by benchmarks/lora.py; never asserted
    assert len(entries) == 500 and all(entry.error is None and entry.rank == 4 for entry in entries)
    assert list(there) == sorted(there)


def call(app, route, **sent):
    return app.registry.call("lora", route, app, sent)


def test_what_the_cards_show(app):
    sidecar = app.settings.models / "loras" / "single.json"
    sidecar.write_text(
        '{"trigger_words": ["thou"], "tags": ["style"], "about": "Verse", "base": "other/Tiny",'
        ' "preview": "One line\\n\\nanother <b>"}'
    )
    try:
        answer = call(app, "list", model=None)
        one = next(card for card in answer["loras"] if card["name"] == "single")
        assert answer["model"] == app.checkpoints.entry(None).name
        assert (one["triggers"], one["tags"], one["base"]) == (["thou"], ["style"], "other/Tiny")
        assert one["preview"] == "One line / another <b>" and one["error"] is None and one["modules"] == 14
    finally:
        sidecar.unlink()


def test_how_a_lora_fits_is_known_without_the_checkpoints_weights(app):
    model, modules = app.checkpoints.load(None), app.checkpoints.skeleton(None).modules
    assert all(parameter.is_meta for module in modules.values() for parameter in module.parameters())
    assert modules.keys() == dict(model.module.named_modules()).keys()
    found = call(app, "fit", name="poet")
    assert (found["matched"], found["count"], found["unmatched"]) == (14, 14, [])
    assert found["hash"] == Adapter.read(app.settings.models / "loras" / "poet").hash


@pytest.mark.parametrize(
    "sent, sentence",
    [
        ({}, "lora: name: Field required."),
        ({"name": 1}, "lora: name: a text is expected."),
        ({"name": "poets"}, "lora: There is no LoRA 'poets' in loras/. The nearest: poet"),
        ({"name": "poet", "model": "nobody"}, "lora: There is no checkpoint 'nobody'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(app, sent, sentence):
    with pytest.raises(ValueError) as error:
        call(app, "fit", **sent)
    assert str(error.value).startswith(sentence)


def test_no_folder_is_no_loras(tmp_path):
    assert adapters(tmp_path / "loras") == {}
