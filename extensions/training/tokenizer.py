"""The tokenizer of a trained checkpoint: byte-level BPE, so that any Unicode text survives a round trip.

Frequent words are one token each, which keeps words whole when several tokens are committed in one step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from .conditions import FRAME

MASK, END, START = "<|mdm_mask|>", "<|endoftext|>", "<|startoftext|>"
# As GPT-2's, but a run of line ends is one word and every digit its own.
WORDS = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\n+|\s+(?!\S)|\s+"
TEMPLATE = (
    "{%- set found = namespace(system='', user='') -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{%- set found.system = message['content'] + '\\n' -%}"
    "{%- elif message['role'] == 'user' -%}{%- set found.user = message['content'] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{{- found.system + found.user + '" + FRAME.replace("\n", "\\n") + "' -}}"
)


def train(texts: Iterable[str], size: int):
    """A `tokenizers.Tokenizer` of `size` tokens, the three special ones included, learnt from texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[START, END, MASK],
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    if tokenizer.get_vocab_size() != size:
        raise ValueError(
            f"The texts give only {tokenizer.get_vocab_size()} tokens; ask for fewer than {size} or give "
            "more text."
        )
    return tokenizer


def _pieces(texts: Iterable[str], most: int = 10_000) -> Iterator[str]:
    for text in texts:
        for start in range(0, len(text), most):
            yield text[start : start + most]


def save(tokenizer, folder: Path, max_length: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, as `PreTrainedTokenizerFast.from_pretrained` reads
    them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "mask_token": MASK,
        "add_bos_token": False,
        "add_eos_token": False,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def load(path: Path):
    """The `tokenizers.Tokenizer` of a tokenizer.json."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))
