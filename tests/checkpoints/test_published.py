"""Level a of the table of families: each known checkpoint's config.json makes the true-size model, on the meta device,
and every published weight is exactly one parameter of its shape, or several that cover it once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.checkpoints.published import BILLIONS, CHECKPOINTS
from webui.checkpoints import recipes, weights
from webui.checkpoints.families import FAMILIES, identify
from webui.cli import families

README = Path(__file__).parents[2] / "README.md"
BY_NAME = {family.name: family for family in FAMILIES}


def tensors(shapes: dict[str, tuple[int, ...]]) -> list[weights.TensorInfo]:
    """What the headers of its files would say."""
    return [
        weights.TensorInfo(Path("model.safetensors"), name, "BF16", shape, 0, 2 * math.prod(shape))
        for name, shape in shapes.items()
    ]


def compared(checkpoint: str, shapes: dict[str, tuple[int, ...]]) -> weights.Comparison:
    family, config = BY_NAME[CHECKPOINTS[checkpoint][0]], CHECKPOINTS[checkpoint][1]
    native = family.translate(config)
    return weights.compare(
        "it", tensors(shapes), weights.meta(Path("it"), family.native(), native), native, family
    )


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_every_published_weight_is_a_parameter(checkpoint, monkeypatch):
    name, config, made = CHECKPOINTS[checkpoint]
    family, shapes = BY_NAME[name], made()
    monkeypatch.setattr(weights, "_check_equal", lambda *tied: None)  # there are no weights to compare
    family.check(config)
    found = compared(checkpoint, shapes)
    assert found.lacking == found.unknown == found.misshaped == ()
    taken = [part for recipe in found.matched.recipes.values() for part in recipes.names(recipe)]
    tied = set(found.matched.published) - set(taken)
    assert all(part in ("lm_head.weight", "output_layer.linear.weight") for part in tied)
    used = sum(math.prod(found.matched.published[part].shape) for part in set(taken))
    native = sum(
        math.prod(recipes.shape(recipe, lambda part: found.matched.published[part].shape) or ())
        for recipe in found.matched.recipes.values()
    )
    assert used == native  # nothing twice, nothing left over
    if checkpoint in BILLIONS:
        assert native / 1e9 == pytest.approx(BILLIONS[checkpoint], rel=0.02)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_each_is_recognized(checkpoint):
    """By its config.json, or by the family that profile.json names where nothing in it tells."""
    name, config, _ = CHECKPOINTS[checkpoint]
    named = None if BY_NAME[name].claims(config) else name
    assert identify(config, Path(checkpoint), named=named).name == name
    assert named is None or name in ("Open-dLLM", "Tiny-A2D (Qwen3) blocks")


def test_a_wrong_map_is_found():
    """A name that is not mapped, one too many, a shape that is not the configuration's."""
    shapes = CHECKPOINTS["mdlm-owt"][2]()
    del shapes["backbone.blocks.3.norm1.weight"]
    shapes["backbone.blocks.3.norm3.weight"] = (768,)
    shapes["backbone.blocks.4.attn_out.weight"] = (768, 767)
    found = compared("mdlm-owt", shapes)
    assert found.lacking == ("blocks.3.norm1.weight",)
    assert found.unknown == ("backbone.blocks.3.norm3.weight",)
    assert found.misshaped == (("backbone.blocks.4.attn_out.weight", (768, 767), (768, 768)),)


def test_the_readme_carries_the_table_that_the_command_prints(capsys):
    """To write it anew: python -m tests.checkpoints.test_published"""
    assert written(README.read_text("utf-8")) == README.read_text("utf-8")
    assert families.families(None, None) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| family | checkpoints | loaded as |") and "Refused: " in printed
    assert all(f"| {family.name} | " in printed for family in FAMILIES)


def written(readme: str) -> str:
    """The README with the table of now."""
    before, _, rest = readme.partition("<!-- families: `python app.py families` -->\n")
    _, end, after = rest.partition("<!-- /families -->")
    lines = "\n".join(families.table(FAMILIES))
    return f"{before}<!-- families: `python app.py families` -->\n{lines}\n{end}{after}"


def test_the_table_of_families_says_the_levels_that_tests_show():
    seen = {family for family, _, _ in CHECKPOINTS.values()}
    claimed = {family.name for family in FAMILIES if "a" in family.proof}
    assert claimed == seen


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
