"""Weights that are merged for one batch: a LoRA (`lora.merged`), and a checkpoint that was not saved
(`checkpoint_merger.b`). The model's own weights are the same memory afterwards, bit for bit."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from extensions.lora import merged
from tests.adapter_files import as_peft, saved, wrapped
from tests.contract.program import program, write
from tests.extensions.test_lora import CONFIGS, _copied, applied, batch
from tests.tiny_checkpoints import llada
from webui import Adapter
from webui.cli.main import main


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    there = folder / "models" / "checkpoints"
    llada(there / "A", dtype=torch.bfloat16)
    llada(there / "B", seed=1, dtype=torch.bfloat16)
    llada(there / "narrow", mlp_hidden_size=48)
    app = program(folder, families=("LLaDA",), model="A")
    model = app.checkpoints.load("A")
    saved(wrapped(model, seed=3, target_modules="all-linear"), folder / "models" / "loras" / "poet")
    yield app
    app.close()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("weight", [0.3, -2.0])
def test_a_merged_lora_computes_what_its_hooks_do(app, tmp_path, name, weight):
    from extensions.lora.tags import Use

    model = app.checkpoints.load("A")
    double = as_peft(model, SimpleNamespace(base_model=SimpleNamespace(model=_copied(model, "float64"))))
    path, canvas = saved(wrapped(model, seed=5, **CONFIGS[name]), tmp_path / "x"), batch(double)
    with applied(double, [[Use("x", weight)]] * 3, x=path) as loaded:
        wanted = double(canvas)
    modules, before = dict(double.module.named_modules()), double(canvas)
    made, hooked = merged.weights(modules, loaded["x"], weight)
    with double.exchanged(made):
        from extensions.lora.patch import Patch

        patch = Patch(double, loaded, [[Use("x", weight)]] * 3)
        patch.enter(modules, hooked)
        found = double(canvas)
        patch.leave()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(double(canvas), before) and not torch.allclose(found, before)


def test_in_bf16_the_base_is_bit_exact_after_many_merges(app):
    model = app.checkpoints.load("A")
    low = as_peft(model, SimpleNamespace(base_model=SimpleNamespace(model=_copied(model, "bfloat16"))))
    poet = Adapter.read(app.settings.models / "loras" / "poet")
    modules = dict(low.module.named_modules())
    fitted = poet.fit(modules, low.native, "A")
    kept = {name: (value.clone(), value.data_ptr()) for name, value in low.module.named_parameters()}
    for number in range(20):
        made, hooked = merged.weights(modules, fitted, 0.37 * (number + 1))
        assert len(made) == 14 and not hooked
        with low.exchanged(made):
            assert not torch.equal(low.module.model.layers[0].mlp.up_proj.weight, kept[UP][0])
    for name, value in low.module.named_parameters():
        assert torch.equal(value, kept[name][0]) and value.data_ptr() == kept[name][1]


UP = "model.layers.0.mlp.up_proj.weight"


def test_rows_that_merge_are_apart_and_the_others_are_what_they_were(app):
    """One job of rows merged at .5 and 1 and a plain one: each is what it is alone."""
    prompts = ["a cat <lora:poet:0.5>", "a cat <lora:poet:1>", "a cat", "a dog <lora:poet:1>"]
    lines = {"text": "\n".join(prompts)}
    result = write(app, prompt="", length=16, seed=4, lora={"merged": True}, prompts_from_file=lines)
    parts = {part.request.prompt: part for part in result.parts}
    assert sorted(parts) == sorted(prompts)
    for prompt, part in parts.items():
        alone = write(app, prompt=prompt, length=16, lora={"merged": True}, seed=part.request.seed)
        hooked = write(app, prompt=prompt, length=16, seed=part.request.seed)
        assert part.tokens == alone.tokens == hooked.tokens
        assert ("merged into the weights" in part.extras.get("lora", {}).get("poet", "")) == (
            "poet" in prompt
        )
        assert "merged" not in str(hooked.extras)


@pytest.mark.parametrize("prompt", ["<lora:poet:1> <lora:poet:0.2> a cat", "<lora:poet:1:0-0.5> a cat"])
def test_what_cannot_be_merged_is_hooked(app, prompt):
    merging, hooked = (
        write(app, prompt=prompt, length=16, seed=2, lora={"merged": wanted}) for wanted in (True, False)
    )
    assert merging.text == hooked.text and "merged" not in merging.extras["lora"]["poet"]


# -- a merge that is tried ------------------------------------------------------------------------------------


def tried(app, **options):
    return write(app, prompt="a cat", length=24, seed=3, model="A", checkpoint_merger=options)


@pytest.mark.parametrize("method", ["weighted_sum", "slerp", "ties", "dare"])
def test_a_tried_merge_writes_what_the_saved_one_writes(app, method):
    settings = ["--models", str(app.settings.models), "--data", str(app.settings.data)]
    merge = [
        "merge",
        "--method",
        method,
        "--a",
        "A",
        "--b",
        "B",
        "--weight",
        "0.4",
        "--out",
        f"saved-{method}",
    ]
    assert main([*settings, *merge]) == 0
    model = app.checkpoints.load("A")
    before = {name: (value.clone(), value.data_ptr()) for name, value in model.module.named_parameters()}
    result = tried(app, b="B", method=method, weight=0.4)
    for name, value in model.module.named_parameters():
        assert torch.equal(value, before[name][0]) and value.data_ptr() == before[name][1]
    wanted = write(app, prompt="a cat", length=24, seed=3, model=f"saved-{method}")
    plain = write(app, prompt="a cat", length=24, seed=3, model="A")
    assert result.tokens == wanted.tokens and result.text != plain.text
    said = result.extras["checkpoint_merger"]
    assert (
        said["method"] == f"{method}, weight 0.4"
        and said["A"] == f"A, weights {plain.provenance.fingerprint}"
    )
    assert said["B"].startswith("B, weights ") and result.provenance.checkpoint == "A"


def test_the_weight_is_an_axis_of_the_grid(app):
    """Weight x guidance: each cell is the text that its settings give alone."""
    grid = {
        "x_field": "checkpoint_merger.weight",
        "x_values": "0, 0.4, 1",
        "y_field": "guidance.scale",
        "y_values": "1, 2",
    }
    request = app.Request(
        prompt="a cat", length=16, seed=3, model="A", checkpoint_merger={"b": "B"}, xyz_grid=grid
    )
    job = app.queue.submit(request)
    job.wait()
    texts = {
        (part.request.checkpoint_merger.weight, part.request.guidance.scale): part
        for part in job.result.parts
    }
    assert len(texts) == 6
    for (weight, scale), part in texts.items():
        alone = write(
            app,
            prompt="a cat",
            length=16,
            seed=3,
            model="B" if weight == 1 else "A",
            checkpoint_merger={"b": "B", "weight": weight} if weight == 0.4 else {},
            guidance={"scale": scale},
        )
        assert part.tokens == alone.tokens, (weight, scale)


def test_merged_weights_are_kept_while_nothing_changed(app, monkeypatch):
    """A batch of the same merge, or the same merged LoRA on it, computes no weights again; another weight, a file
    that was written anew, and a LoRA on other weights do. One value is kept for each extension."""
    from extensions.checkpoint_merger import trying
    from extensions.lora import merged  # as it is loaded now: a test may have had extensions read anew

    made = []
    for module, letter in ((merged, "lora"), (trying, "merge")):
        real = module.weights
        monkeypatch.setattr(module, "weights", lambda *a, r=real, n=letter: (made.append(n), r(*a))[1])

    def text(prompt="a cat <lora:poet:1>", **options):
        made.clear()
        lora = {"merged": True}
        return write(app, prompt=prompt, length=8, seed=3, model="A", lora=lora, checkpoint_merger=options)

    first = text(b="B", weight=0.4)
    assert made == ["merge", "lora"]
    assert text(b="B", weight=0.4).tokens == first.tokens and made == []
    assert text(b="B", weight=0.6).tokens and made == ["merge", "lora"]
    plain = text()
    assert made == ["lora"] and text().tokens == plain.tokens and made == []
    assert text("a cat <lora:poet:0.5>") and made == ["lora"]
    assert text("a cat", b="B", weight=0.6) and made == []
    file = next((app.settings.models / "checkpoints" / "B").glob("*.safetensors"))
    os.utime(file, ns=(1, 1))
    assert text("a cat", b="B", weight=0.6) and made == ["merge"]
    assert len(app.checkpoints.load("A")._kept) == 2
    assert text(b="B", weight=0.4).tokens == first.tokens


def test_with_a_lora_on_top(app):
    """The LoRA acts on the merged weights, hooked and merged."""
    both = [
        write(
            app,
            prompt="a cat <lora:poet:1>",
            length=16,
            seed=3,
            model="A",
            checkpoint_merger={"b": "B"},
            lora={"merged": wanted},
        )
        for wanted in (True, False)
    ]
    assert both[0].tokens == both[1].tokens != tried(app, b="B").tokens[:16]


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"b": "nobody"}, "checkpoint_merger: there is no checkpoint 'nobody' in checkpoints/."),
        ({"b": "../checkpoints/B"}, "there is no checkpoint '../checkpoints/B' in checkpoints/."),
        ({"b": "/etc"}, "there is no checkpoint '/etc' in checkpoints/."),
        ({"b": "B", "method": "add_difference"}, "the method add_difference needs a third checkpoint."),
        ({"b": "B", "c": "A"}, "the method weighted_sum has no use for a third checkpoint."),
        ({"b": "narrow"}, "A and narrow have model.transformer.blocks.0.ff_out.weight in the shapes"),
    ],
)
def test_what_cannot_be_tried_is_one_sentence(app, options, sentence):
    job = app.queue.submit(app.Request(prompt="a cat", model="A", length=8, checkpoint_merger=options))
    job.wait()
    assert sentence in (job.error or job.result.error)
