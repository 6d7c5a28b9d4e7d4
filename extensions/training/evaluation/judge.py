"""An independent language model as judge: bits per byte that an autoregressive checkpoint needs for a text.

The judge knows neither this checkpoint nor its grammar. It is any causal model that transformers loads from
a folder (safetensors and tokenizer.json, no code); `python app.py download smollm2` brings
SmolLM2-135M-Instruct.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

FIRST = ("<|endoftext|>", "<|begin_of_text|>", "<s>")  # what stands before a document in training


class Judge:
    """A causal language model that scores raw text. ValueError with one sentence if the folder holds none."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        for name in ("config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise ValueError(f"--judge: {folder} has no {name}.")
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._model = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            ).eval()
        except Exception as error:  # of libraries, which raise whatever they like
            raise ValueError(f"--judge: {folder} could not be loaded ({str(error)[:200]}).") from error
        ids = [self._tokenizer.token_to_id(name) for name in FIRST]
        known = [one for one in (*ids, self._model.config.bos_token_id) if isinstance(one, int)]
        if not known:
            raise ValueError(f"--judge: {folder} names no token that a document begins with.")
        self.name, self._first = folder.resolve().name, known[0]

    @torch.no_grad()
    def bits(
        self, texts: Sequence[str], progress: Callable[[float], None] = lambda share: None
    ) -> list[float]:
        """-log2 p of each text as a document of its own, its end not scored."""
        found = []
        for at, text in enumerate(texts, 1):
            tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
            logits = self._model(torch.tensor([[self._first, *tokens]])).logits[0, :-1].float()
            wanted = torch.tensor(tokens, dtype=torch.long)[:, None]
            found.append(-float(logits.log_softmax(-1).gather(1, wanted).double().sum()) / math.log(2))
            progress(at / len(texts))
        return found
