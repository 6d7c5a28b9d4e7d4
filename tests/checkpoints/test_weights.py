"""Which files a folder's weights are, and which tensors: exactly what its index names; headers that lie; weights
that are tied or not finite."""

from __future__ import annotations

import codecs
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import ROWS, llada, rewrite, write_json
from webui import Canvas
from webui.checkpoints import weights
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings

TOKENS = torch.randint(0, ROWS, (2, 16), generator=torch.Generator().manual_seed(1))
HEAD, EMBEDDING = "model.transformer.ff_out.weight", "model.transformer.wte.weight"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"


def checkpoints(models: Path, **settings) -> Checkpoints:
    return Checkpoints(
        Settings(**{"models": models, "model": "one", "device": "cpu", "dtype": "float32", **settings})
    )


def logits(there: Checkpoints, name: str = "one") -> torch.Tensor:
    model = there.load(name)
    built = Canvas.build([[]] * 2, TOKENS.tolist(), [0] * 2, model.mask)
    return model(built.activate(~built.padding))


# -- what the index names, and nothing else ------------------------------------------------------------------


def test_files_that_the_index_does_not_name_change_nothing(tmp_path):
    folder = llada(tmp_path / "checkpoints" / "one", shards=3)
    before = checkpoints(tmp_path).entry("one")
    identity = weights.fingerprint(folder)
    zeroed = {
        name: torch.zeros_like(value)
        for name, value in load_file(folder / "model-00001-of-00003.safetensors").items()
    }
    save_file(zeroed, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({"strange": torch.ones(3)}, folder / "other.safetensors")
    (folder / "damaged.safetensors").write_bytes(b"no header")
    there = checkpoints(tmp_path)
    after = there.entry("one")
    assert (after.size, after.parameters, after.error) == (before.size, before.parameters, None)
    assert there.load("one").description.fingerprint == identity == weights.fingerprint(folder)
    expected = reference_logits(folder, TOKENS).flatten(0, 1)
    assert (logits(there) - expected).abs().max() < 1e-5


def test_a_tensor_that_is_also_in_another_shard_is_taken_from_where_the_index_says(tmp_path):
    folder = llada(tmp_path / "checkpoints" / "one", shards=3)
    index = json.loads((folder / weights.INDEX).read_text("utf-8"))["weight_map"]
    first, last = sorted(set(index.values()))[0], sorted(set(index.values()))[-1]
    name = next(name for name, file in index.items() if file == first)
    shard = load_file(folder / last)
    expected = reference_logits(folder, TOKENS).flatten(0, 1)
    save_file({**shard, name: torch.zeros(3)}, folder / last, metadata={"format": "pt"})
    assert (logits(checkpoints(tmp_path)) - expected).abs().max() < 1e-5


def test_without_an_index_a_name_in_two_files_is_refused(tmp_path):
    folder = llada(tmp_path / "checkpoints" / "one")
    save_file({HEAD: torch.zeros(ROWS, 32)}, folder / "old.safetensors", metadata={"format": "pt"})
    error = checkpoints(tmp_path).list()[0].error
    assert error and HEAD in error and "model.safetensors" in error and "old.safetensors" in error
    (folder / "old.safetensors").unlink()
    assert checkpoints(tmp_path).load("one")


@pytest.mark.parametrize(
    "change, cause",
    [
        (lambda index: index.update({"new": next(iter(index.values()))}), "lacks new"),
        (lambda index: index.update({HEAD: "model-00009-of-00009.safetensors"}), "lacks model-00009"),
        (
            lambda index: index.update({HEAD: "../one/model-00001-of-00003.safetensors"}),
            "not a file of the folder",
        ),
        (lambda index: index.update({HEAD: 3}), "no weight_map"),
    ],
)
def test_an_index_that_does_not_hold_is_refused(tmp_path, change, cause):
    folder = llada(tmp_path / "checkpoints" / "one", shards=3)
    index = json.loads((folder / weights.INDEX).read_text("utf-8"))
    change(index["weight_map"])
    write_json(folder / weights.INDEX, index)
    error = checkpoints(tmp_path).list()[0].error
    assert error and cause in error and "one" in error and "\n" not in error


# -- tied weights --------------------------------------------------------------------------------------------


def test_a_tied_checkpoint_may_hold_its_head_if_it_is_equal(tmp_path):
    folder = llada(tmp_path / "checkpoints" / "one", weight_tying=True)
    expected = reference_logits(folder, TOKENS).flatten(0, 1)
    rewrite(folder, lambda tensors: tensors.update({HEAD: tensors[EMBEDDING].clone()}))
    there = checkpoints(tmp_path)
    assert (logits(there) - expected).abs().max() < 1e-5
    model = there.load("one")
    assert model.head.weight.data_ptr() == model.module.get_input_embeddings().weight.data_ptr()


@pytest.mark.parametrize(
    "other", [lambda rows: rows + 1, lambda rows: rows.bfloat16(), lambda rows: rows[:-1].clone()]
)
def test_a_tied_checkpoint_with_another_head_is_refused_by_its_published_name(tmp_path, other):
    folder = llada(tmp_path / "checkpoints" / "one", weight_tying=True)
    rewrite(folder, lambda tensors: tensors.update({HEAD: other(tensors[EMBEDDING])}))
    with pytest.raises(
        ValueError, match="one .*model.transformer.ff_out.weight.*model.transformer.wte.weight"
    ):
        checkpoints(tmp_path).load("one")


def test_a_tied_checkpoint_may_hold_its_head_alone(tmp_path):
    folder = llada(tmp_path / "checkpoints" / "one", weight_tying=True)
    expected = reference_logits(folder, TOKENS).flatten(0, 1)
    rewrite(folder, lambda tensors: tensors.update({HEAD: tensors.pop(EMBEDDING)}))
    assert (logits(checkpoints(tmp_path)) - expected).abs().max() < 1e-5


# -- pointers and marks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    ["config.json", "profile.json", "lexicon.txt", "model.safetensors", "model.safetensors.index.json"],
)
def test_a_git_lfs_pointer_is_called_one(tmp_path, file):
    (llada(tmp_path / "checkpoints" / "one") / file).write_text(POINTER, "utf-8")
    assert checkpoints(tmp_path).list()[0].error == f"one/{file} is a Git LFS pointer; run git lfs pull."


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_a_git_lfs_pointer_of_the_tokenizer_is_called_one(tmp_path, file):
    (llada(tmp_path / "checkpoints" / "one") / file).write_text(POINTER, "utf-8")
    with pytest.raises(ValueError, match=rf"\bone/{file} is a Git LFS pointer; run git lfs pull.$"):
        checkpoints(tmp_path).load("one")


@pytest.mark.parametrize("mark, encoding", [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le")])
def test_files_with_a_byte_order_mark_are_read_as_if_without(tmp_path, mark, encoding):
    for name in ("without", "with"):
        folder = llada(tmp_path / "checkpoints" / name, shards=2)
        write_json(folder / "profile.json", {"preset": {"temperature": 0.5}, "understands": "猫"})
        (folder / "lexicon.txt").write_text("the\ncat\n", "utf-8")
        (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}<|eot_id|>", "utf-8")
    files = ("config.json", "profile.json", "lexicon.txt", "chat_template.jinja", weights.INDEX)
    for file in (*files, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        path = tmp_path / "checkpoints" / "with" / file
        path.write_bytes(mark + path.read_text("utf-8").encode(encoding))
    there = checkpoints(tmp_path)
    assert [entry.error for entry in there.list()] == [None, None]
    assert there.profile("with") == there.profile("without")
    assert there.hint("with", "the cat") is None and there.hint("with", "the dog and the bird fly")
    assert there.count("with", "the cat") == there.count("without", "the cat")
    one, other = there.load("with"), checkpoints(tmp_path).load("without")
    assert one.description.fingerprint == other.description.fingerprint
    assert one.tokenizer.prompt("the cat") == other.tokenizer.prompt("the cat")


# -- headers that lie ----------------------------------------------------------------------------------------


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


FOUR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HEADERS = {
    "empty": b"",
    "short": b"\x01\x02",
    "no JSON": safetensors(b"{"),
    "deep": safetensors(b"[" * 100_000),
    "a list": safetensors([]),
    "longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "shape 1e999": safetensors(b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}', b"1234"),
    "shape NaN": safetensors(b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}', b"1234"),
    "shape 1.0": safetensors({"a": {**FOUR, "shape": [1.0]}}, b"1234"),
    "shape below 0": safetensors({"a": {**FOUR, "shape": [-1, -1]}}, b"1234"),
    "shape of text": safetensors({"a": {**FOUR, "shape": "1"}}, b"1234"),
    "shape too long": safetensors({"a": {**FOUR, "shape": [1] * 100_000}}, b"1234"),
    "shape huge": safetensors({"a": {**FOUR, "shape": [10**30] * 8}}, b"1234"),
    "digits": safetensors(
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 100_000 + b'], "data_offsets": [0, 4]}}'
    ),
    "type": safetensors({"a": {**FOUR, "dtype": "F3"}}, b"1234"),
    "type of list": safetensors({"a": {**FOUR, "dtype": []}}, b"1234"),
    "offsets": safetensors({"a": {**FOUR, "data_offsets": [0]}}, b"1234"),
    "overlap": safetensors({"a": FOUR, "b": FOUR}, b"1234"),
    "gap": safetensors({"a": {**FOUR, "data_offsets": [4, 8]}}, b"12345678"),
    "size": safetensors({"a": {**FOUR, "shape": [2]}}, b"1234"),
    "too short": safetensors({"a": FOUR}, b"12"),
    "too long": safetensors({"a": FOUR}, b"123456"),
    "surrogate": safetensors(b'{"\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"1234"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_do_not_hold_are_a_sentence(tmp_path, name):
    folder = llada(tmp_path / "checkpoints" / "one")
    (folder / "model.safetensors").write_bytes(HEADERS[name])
    (entry,) = checkpoints(tmp_path).list()
    assert entry.error and entry.error.startswith("one/model.safetensors is damaged: "), entry.error
    assert "\n" not in entry.error and entry.error.endswith(".")


def test_quantized_weights_are_refused_by_name(tmp_path):
    name = "model.transformer.blocks.0.ff_proj.weight"
    folder = llada(tmp_path / "checkpoints" / "one")
    rewrite(folder, lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))
    with pytest.raises(
        ValueError, match="one has weights of type I8, model.transformer.blocks.0.ff_proj.weight"
    ):
        checkpoints(tmp_path).load("one")


def test_weights_that_are_not_finite_are_found(tmp_path):
    name = "model.transformer.blocks.1.ff_proj.weight"
    folder = llada(tmp_path / "checkpoints" / "one")
    assert weights.faulty_weight(checkpoints(tmp_path).load("one").module) is None
    for value in (float("nan"), float("inf")):
        rewrite(folder, lambda tensors, value=value: tensors[name].view(-1).__setitem__(5, value))
        faulty = weights.faulty_weight(checkpoints(tmp_path).load("one").module)
        assert faulty == "model.layers.1.mlp.gate_proj.weight"
