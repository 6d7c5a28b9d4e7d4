"""The model cards' samples are what the committed weights write: the first in the suite, all ten by `CROSS=all`."""

from __future__ import annotations

import os

import pytest

from benchmarks.samples import card, markdown, samples, shown
from webui.settings import ROOT

MODELS = sorted(path.parent.name for path in (ROOT / "models" / "checkpoints").glob("*/config.json"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.slow
def test_the_cards_samples_come_out_again(model: str):
    assert card(model).is_file(), "every committed checkpoint has a card"
    if os.environ.get("CROSS") == "all":
        assert shown(model) == markdown(samples(model))
    else:
        assert shown(model).startswith(markdown(samples(model, 1)))


@pytest.mark.parametrize("model", MODELS)
def test_a_committed_checkpoint_is_small_and_says_what_it_understands(model: str):
    from webui.application import App
    from webui.settings import Settings

    profile = App(Settings()).checkpoints.profile(model)
    assert len(profile["examples"]) == 6 and profile["understands"]
    assert card(model).parent.joinpath("lexicon.txt").is_file()
    sizes = [file.stat().st_size for file in card(model).parent.glob("*.safetensors")]
    assert max(sizes) <= 16_000_000
