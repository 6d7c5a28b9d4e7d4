"""Masked language models: their logits are those of transformers' own model of the folder, which gets the row
with its first and last token and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM

from tests.contract.program import write
from tests.tiny_checkpoints import write_json
from tests.tiny_masked_lms import AMINO, KINDS, MASKED_LMS, masked_lm
from webui import App, Canvas
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.tokenizer import Tokenizer
from webui.settings import Settings


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, build in MASKED_LMS.items():
        build(folder / "checkpoints" / name)
    masked_lm(folder / "checkpoints" / "ESM absolute", kind="ESM", position_embedding_type="absolute")
    masked_lm(folder / "checkpoints" / "BERT words", kind="BERT", vocabulary=True)
    return folder


ALL = [*KINDS, "ESM absolute", "BERT words"]


def checkpoints(models: Path, dtype: str = "float64") -> Checkpoints:
    return Checkpoints(Settings(models=models, model="BERT", device="cpu", dtype=dtype))


def own_logits(folder: Path, row: list[int], dtype: torch.dtype) -> torch.Tensor:
    """What transformers makes of a row, without any mask or positions of ours."""
    module = AutoModelForMaskedLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
    with torch.no_grad():
        return module(input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row)).long()).logits[0]


def test_each_is_recognized(models):
    entries = {entry.name: entry for entry in checkpoints(models).list()}
    assert {name: entry.family for name, entry in entries.items()} == {
        **{name: name for name in KINDS},
        "ESM absolute": "ESM",
        "BERT words": "BERT",
    }


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-4), ("float64", 1e-6)])
@pytest.mark.parametrize("name", ALL)
def test_logits_are_those_of_transformers(models, name, dtype, tolerance):
    model = checkpoints(models, dtype).load(name)
    first, last = model.description.frame
    prompts, answers = (
        [[5, 6], list(range(6, 29)), []],
        [[model.mask] * 16, [model.mask, 7, model.mask], [9] * 5],
    )
    canvas = Canvas.build(prompts, answers, [0] * 3, model.mask)
    canvas = canvas.activate(~canvas.padding)
    logits = model(canvas)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        framed = [first, *prompt, *answer, last]
        expected = own_logits(models / "checkpoints" / name, framed, getattr(torch, dtype))[1:-1]
        assert expected.std() > 0.3
        assert (logits[canvas.at[0] == row] - expected).abs().max() < tolerance
        bare = own_logits(models / "checkpoints" / name, [*prompt, *answer], getattr(torch, dtype))
        assert (bare - expected).abs().max() > 1e-3, "the frame matters"


@pytest.mark.parametrize("name", ALL)
def test_what_is_never_written(tmp_path, models, name):
    """No special token, at a temperature where each would come often."""
    app = App(Settings(models=models, data=tmp_path, model=name, device="cpu", dtype="float64", threads=1))
    prompt = "MKV" if name.startswith("ESM") else "the cat"
    result = write(app, prompt=prompt, model=name, length=60, temperature=8.0)
    tokenizer = app.checkpoints.load(name).tokenizer
    special = {
        tokenizer.id(token) for token in (*"[PAD] [UNK] [CLS] [SEP] [MASK]".split(), *AMINO[:4], *AMINO[-2:])
    }
    made = {change.token for change in result.trace}
    assert len(made) > 5 and not made & special
    app.close()


def test_tokenizers_that_are_a_vocabulary(models):
    words = Tokenizer.read(models / "checkpoints" / "BERT words")
    tokens = words.encode("The cat sat")
    assert words.decode(tokens) == "the cat sat" and len(tokens) == 3
    assert [words.id(token) for token in ("[PAD]", "[MASK]")] == [0, 4] and words.declared_mask == 4
    assert len(words.encode("[MASK]")) > 1, "what a user types is text"
    protein = Tokenizer.read(models / "checkpoints" / "ESM")
    assert [AMINO[i] for i in protein.encode("MKV")] == ["M", "K", "V"]
    assert protein.decode(protein.encode("MKV")) == "MKV" and protein.declared_mask == AMINO.index("<mask>")
    words.close()
    protein.close()


def test_names_of_converted_checkpoints(tmp_path, models):
    """bert-base has norms as gamma and beta."""
    from safetensors.torch import load_file, save_file

    folder = masked_lm(tmp_path / "checkpoints" / "BERT", kind="BERT")
    weights = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    assert renamed.keys() != weights.keys()
    renamed["cls.seq_relationship.weight"] = torch.zeros(2, 32)
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    canvas = Canvas.build([[]], [[9] * 5], [0], 4)
    ours = [checkpoints(where).load("BERT")(canvas.activate(~canvas.padding)) for where in (tmp_path, models)]
    assert torch.equal(*ours)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"is_decoder": True}, "is_decoder = True"),
        ({"max_position_embeddings": 0}, "max_position_embeddings = 0"),
        ({"architectures": ["BertForSequenceClassification"]}, "no known family"),
        ({"architectures": ["BertModel"]}, "no known family"),
    ],
)
def test_what_is_not_a_masked_language_model_is_refused(tmp_path, change, sentence):
    folder = masked_lm(tmp_path / "checkpoints" / "BERT", kind="BERT")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    write_json(folder / "config.json", {**config, **change})
    assert sentence in (checkpoints(tmp_path).list()[0].error or "")
