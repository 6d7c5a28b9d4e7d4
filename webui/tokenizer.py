"""Text to tokens and back: chat templates, literal user text, pieces of a text token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "\ue000"  # stands for the user's text while a template is rendered; private use, refused in prompts by nobody


@dataclass(frozen=True)
class Encoded:
    """A prompt in tokens; `content` tells which of them are the user's text and not the template's frame."""

    tokens: tuple[int, ...]
    content: tuple[bool, ...]

    def masked(self, mask: int) -> Encoded:
        """The empty branch of guidance: the content masked, the frame kept (Nie et al. 2025, 2.3)."""
        return Encoded(
            tuple(mask if inside else token for token, inside in zip(self.tokens, self.content, strict=True)), self.content
        )


class Tokenizer:
    """A fast tokenizer of the `tokenizers` library behind the few calls the program needs. Never runs remote code."""

    def __init__(self, fast: Any):
        self._fast = fast
        self._special = sorted((str(token) for token in fast.all_special_tokens), key=len, reverse=True)
        self._special += [str(t) for t in fast.added_tokens_decoder.values() if t.special and str(t) not in self._special]

    @classmethod
    def read(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a checkpoint folder. ValueError if there is none that can be read without remote code."""
        from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

        try:
            if (folder / "tokenizer.json").is_file():
                return cls(
                    PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True, clean_up_tokenization_spaces=False)
                )
            if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
                return cls(Qwen2Tokenizer.from_pretrained(folder, local_files_only=True))
        except Exception as error:
            raise ValueError(f"The tokenizer of {folder.name} cannot be read: {error}") from error
        raise ValueError(f"{folder.name} has no tokenizer.json (nor vocab.json with merges.txt).")

    def __len__(self) -> int:
        return len(self._fast)

    @property
    def has_template(self) -> bool:
        return bool(self._fast.chat_template)

    @property
    def end(self) -> int | None:
        return self._fast.eos_token_id

    @property
    def declared_mask(self) -> int | None:
        return self._fast.mask_token_id

    def id(self, token: str) -> int | None:
        """The id of exactly this token, or None."""
        return self._fast.get_vocab().get(token)

    def encode(self, text: str) -> list[int]:
        """User text: nothing in it is a special token, whatever it spells."""
        if any(special in text for special in self._special):
            return self._fast.encode(text, add_special_tokens=False, split_special_tokens=True)
        return self._fast.encode(text, add_special_tokens=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        return self._fast.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def prompt(self, text: str, system: str = "", template: str = "auto") -> Encoded:
        """A prompt in its chat template ("auto": if the checkpoint has one), tokenized. ValueError if "chat" has none."""
        if template == "chat" and not self.has_template:
            raise ValueError("This checkpoint has no chat template; use template auto or raw.")
        if template == "raw" or not self.has_template:
            tokens = self.encode(f"{system}\n\n{text}" if system else text)
            return Encoded(tuple(tokens), (True,) * len(tokens))
        before, _, after = self._rendered(MARK, system).rpartition(MARK)
        whole = self._rendered(text, system)
        if whole.startswith(before) and whole.endswith(after) and len(whole) >= len(before) + len(after):
            text = whole[len(before) : len(whole) - len(after)]  # as the template wants it: many trim
        if any(special in text for special in self._special) or not text:
            return self._in_parts(before, text, after)
        whole = self._fast(before + text + after, add_special_tokens=False, return_offsets_mapping=True)
        start, end = len(before), len(before) + len(text)
        content = tuple(a < end and b > start for a, b in whole["offset_mapping"])
        return Encoded(tuple(whole["input_ids"]), content)

    def _rendered(self, text: str, system: str) -> str:
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        try:
            return self._fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program of the checkpoint's author
            raise ValueError(f"The checkpoint's chat template failed: {error}") from error

    def _in_parts(self, before: str, text: str, after: str) -> Encoded:
        frame = [self._fast.encode(part, add_special_tokens=False) for part in (before, after)]
        middle = self.encode(text)
        content = (False,) * len(frame[0]) + (True,) * len(middle) + (False,) * len(frame[1])
        return Encoded((*frame[0], *middle, *frame[1]), content)

    def pieces(self, tokens: Sequence[int | None]) -> list[str | None]:
        """The text of each token such that a run of them joins to the run's text; None stays None (an open position).

        A character split over several tokens stands with the last of them; one that is cut off by an open position is U+FFFD.
        """
        pieces: list[str | None] = []
        run: list[int] = []
        shown = 0

        for token in (*tokens, None):
            if token is None:
                if run and shown < len(text := self.decode(run)):
                    pieces[-1] = (pieces[-1] or "") + text[shown:]
                run, shown = [], 0
                pieces.append(None)
                continue
            run.append(token)
            text = self.decode(run)
            whole = not text.endswith("\ufffd")
            pieces.append(text[shown:] if whole else "")
            if whole:  # start a new run: decoding stays linear in the length
                run, shown = [token], len(self.decode([token]))
        return pieces[:-1]
