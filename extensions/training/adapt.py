"""Make a masked-diffusion checkpoint of an autoregressive one, for the shapes of Llama, Qwen2 and Qwen3:
`python app.py adapt FOLDER --data stories.jsonl --out NAME`.

First a base is made, `models/checkpoints/FOLDER-masked`: the weights as they are (linked where possible),
a mask token, and a profile.json by which the program loads it with bidirectional attention and Dream's shift:
the output at a column predicts the next one (Gong et al. 2024, arXiv 2410.17891; Ye et al. 2025, arXiv
2508.15487). Then the masked-diffusion loss of `finetune` teaches it to fill in masks: a LoRA of rank 32,
`models/loras/NAME`, used as `<lora:NAME>` with the base; or with `--kind full` every weight, a checkpoint of
its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webui import Command, tensors, write

from . import finetune

FAMILIES = MappingProxyType({"llama": "Adapted Llama", "qwen2": "Adapted Qwen2", "qwen3": "Adapted Qwen3"})
MASK = "<|mask|>"
PLACE = "autoregressive"  # in the models folder
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
COPIED = ("*.json", "*.jinja", "*.txt", "*.md", "LICENSE*", "NOTICE*")
MADE = "adapted.json"  # in a base: what it was made of
DEFAULTS = MappingProxyType(
    {"rank": 32, "rate": 1e-3, "steps": 200, "batch": 4, "length": 64, "keywords": 0, "template": "raw"}
)


def found(models: Path) -> list[str]:
    """The autoregressive checkpoints in the models folder that can be adapted, as `adapt` takes them."""
    names = []
    for file in sorted((models / PLACE).glob("*/config.json")):
        try:
            if _json(file).get("model_type") in FAMILIES:
                names.append(f"{PLACE}/{file.parent.name}")
        except ValueError:  # it cannot be read: the command says why
            continue
    return names


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags: those of `finetune` with other defaults, and the checkpoint."""
    parser.add_argument(
        "folder", type=Path, help="folder of the autoregressive checkpoint, as models/autoregressive/NAME"
    )
    parser.add_argument(
        "--base", default="", help="name of the base in models/checkpoints (default: FOLDER-masked)"
    )
    parser.add_argument(
        "--mask-token",
        default=MASK,
        help="a token of the tokenizer to use as mask; one that it does not have is added, with the mean of "
        f"all embeddings (default: {MASK})",
    )
    finetune.arguments(parser)
    parser.set_defaults(**DEFAULTS)


def run(app: Any, options: argparse.Namespace) -> int:
    """Make the base, unless it is there, and train. ValueError with one sentence."""
    if options.model:
        raise ValueError("adapt takes the checkpoint's folder, not --model.")
    if options.kind not in ("lora", "full"):
        raise ValueError("--kind must be lora or full.")
    folder = options.folder if options.folder.is_dir() else app.settings.models / options.folder
    if not folder.is_dir():
        raise ValueError(f"There is no folder {options.folder}.")
    options.model = options.base or base_of(folder.resolve().name)
    if not finetune.NAME.fullmatch(options.model):
        raise ValueError("--base is a name of letters, digits, blanks, dots, + and -.")
    if options.kind == "full" and options.model == options.out:
        raise ValueError("--out must not be the base's name; give another one.")
    base = app.settings.checkpoints / options.model
    if base.exists():
        _check_base(base, folder, options.mask_token)
    else:
        made = make_base(folder, base, options.mask_token)
        print(f"{base}: family {made['family']}, mask token {made['mask_token_id']}", flush=True)
    return finetune.run(app, options)


def base_of(name: str) -> str:
    """The name of the base that is made of a folder of this name."""
    return f"{name}-masked"


def make_base(folder: Path, base: Path, mask: str = MASK) -> dict[str, Any]:
    """Makes the base of an autoregressive checkpoint's folder; its profile. It is there whole or not at all.
    ValueError with one sentence."""
    config = _json(folder / "config.json")
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise ValueError(
            f"{folder.name} has model_type {str(config.get('model_type'))[:40]!r}; adapt knows "
            f"{', '.join(FAMILIES)}."
        )
    draft = base.with_name(f".writing-{base.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        for file in {file for pattern in COPIED for file in folder.glob(pattern) if file.is_file()}:
            shutil.copyfile(file, draft / file.name)
        found = {one.name: one for one in tensors(folder)}
        if EMBEDDING not in found:
            raise ValueError(f"{folder.name} lacks {EMBEDDING}.")
        tokenizer = _json(folder / "tokenizer.json")
        token, added = _token(tokenizer, mask)
        if added:
            write(draft / "tokenizer.json", json.dumps(tokenizer, ensure_ascii=False))
            rows = _with_row(found, token, draft)
            write(draft / "config.json", json.dumps({**config, "vocab_size": rows}, indent=2) + "\n")
        for file in {one.file for one in found.values()}:
            if not (draft / file.name).exists():
                _link(file, draft / file.name)
        profile = {"family": family, "mask_token_id": token}
        write(draft / "profile.json", json.dumps(profile, indent=2) + "\n")
        write(draft / MADE, json.dumps({"of": str(folder.resolve()), "mask_token": mask}, indent=2) + "\n")
        os.rename(draft, base)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return profile


# -- inside --------------------------------------------------------------------------------------------------


def _check_base(base: Path, folder: Path, mask: str) -> None:
    """ValueError if what has the base's name is something else."""
    made = _json(base / MADE) if (base / MADE).is_file() else {}
    if made != {"of": str(folder.resolve()), "mask_token": mask}:
        raise ValueError(
            f"There is a checkpoint {base.name} that was not made of {folder.name} with the mask token "
            f"{mask}; give another --base."
        )


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8-sig"))
    except OSError:
        raise ValueError(f"{file.parent.name} has no {file.name}.") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{file.parent.name}/{file.name} is no JSON object.")
    return found


def _token(tokenizer: dict[str, Any], mask: str) -> tuple[int, bool]:
    """The id of the mask token, and whether it was added to what tokenizer.json says."""
    vocabulary = (tokenizer.get("model") or {}).get("vocab") or {}
    if not isinstance(vocabulary, dict):  # Unigram: a list of pieces with their scores
        vocabulary = {piece[0]: number for number, piece in enumerate(vocabulary)}
    known = {**vocabulary, **{one["content"]: one["id"] for one in tokenizer.get("added_tokens") or []}}
    if mask in known:
        return known[mask], False
    entry = {"id": max(known.values(), default=-1) + 1, "content": mask, "special": True}
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer["added_tokens"] = [*(tokenizer.get("added_tokens") or []), {**entry, **plain}]
    return entry["id"], True


def _with_row(found: dict[str, Any], token: int, draft: Path) -> int:
    """Writes the files with the embedding and the head anew, the mask token's row the mean of all others, in
    the head zeros: it is never written. Their rows now."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    names = [name for name in (EMBEDDING, HEAD) if name in found]
    rows = max(found[EMBEDDING].shape[0], token + 1)
    if rows > found[EMBEDDING].shape[0] + 1:
        raise ValueError(f"The tokenizer has {token} tokens, the embedding {found[EMBEDDING].shape[0]} rows.")
    for file in {found[name].file for name in names}:
        with safe_open(file, "pt") as stream:
            weights = {name: stream.get_tensor(name) for name in stream.keys()}
        for name in names:
            if name in weights:
                value = weights[name]
                row = value[:token].float().mean(0) if name == EMBEDDING else torch.zeros(value.shape[1])
                more = value.new_zeros(rows - value.shape[0], value.shape[1])
                weights[name] = torch.cat([value, more])
                weights[name][token] = row.to(value.dtype)
        save_file(weights, draft / file.name, {"format": "pt"})
        shutil.copymode(file, draft / file.name)
    return rows


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(file, target)


COMMAND = Command("make a masked-diffusion checkpoint of an autoregressive one", run, arguments)
