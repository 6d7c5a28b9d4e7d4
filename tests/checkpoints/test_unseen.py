"""Logits of committed positions as if they were masked: with one layer exactly those, and nothing else
changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.contract import FAMILIES
from webui.canvas import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions
from webui.settings import Settings

# every kind of attention, shift and frame
KINDS = ("LLaDA", "Dream", "SDAR", "Fast-dLLM v2", "LLaDA2", "BERT", "ModernBERT", "MDLM")


def loaded(folder, family: str):
    """A tiny checkpoint of this family whose body has one layer."""
    FAMILIES[family](folder / "checkpoints" / family)
    model = Checkpoints(Settings(models=folder, model=family, device="cpu", dtype="float64")).load(family)
    for module in model.module.modules():
        for name, inner in list(module.named_children()):
            if isinstance(inner, torch.nn.ModuleList) and name in ("layers", "layer", "blocks", "h"):
                setattr(module, name, inner[:1])
    return model


def canvas(model, rows: int = 2) -> Canvas:
    """Rows of different lengths, half of each answer committed; all of it active, what is committed unseen."""
    prompts, answers = [[3, 4, 5, 6, 7], [8, 9]], []
    for i in range(rows):
        answers.append([model.mask if (j + i) % 2 else 10 + j for j in range(8)])
    free = [[False] * 8] * rows
    made = Canvas.build(prompts[:rows], answers, [0] * rows, model.mask, given=free)
    made = samplers.prepare(made, [SamplerOptions("low_confidence", "even", "probability", 8, 8)] * rows)
    active = (made.column >= 0) & ~made.given
    return replace(made, active=active, unseen=active & ~made.masked)


@pytest.mark.parametrize("family", KINDS)
def test_an_unseen_position_has_the_logits_of_a_masked_one(tmp_path, family):
    model = loaded(tmp_path, family)
    seen = canvas(model)
    logits = model(seen)
    plain = model(replace(seen, unseen=torch.zeros_like(seen.unseen)))
    rows, columns = seen.at
    doubted = seen.unseen[seen.at]
    assert doubted.any() and not doubted.all()
    torch.testing.assert_close(logits[~doubted], plain[~doubted])
    assert not torch.allclose(logits[doubted], plain[doubted])
    for n in doubted.nonzero()[:, 0].tolist():
        tokens = seen.tokens.clone()
        tokens[rows[n], columns[n]] = model.mask
        masked = model(replace(seen, tokens=tokens, unseen=torch.zeros_like(seen.unseen)))
        torch.testing.assert_close(logits[n], masked[n])


@pytest.mark.parametrize("family", ["LLaDA", "BERT"])
def test_a_row_is_the_same_alone_and_beside_one_with_more_unseen_positions(tmp_path, family):
    model = loaded(tmp_path, family)
    both = canvas(model)
    few = both.unseen & (both.row[:, None] != 1)
    both = replace(both, unseen=few)
    alone = both.take([1])
    torch.testing.assert_close(model(both)[both.at[0] == 1], model(alone))
