"""Text to tokens and back: chat templates, literal user text, pieces of a text token by token."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# stands for the user's text while a template is rendered; private use, refused in prompts by nobody
MARK = "\ue000"
FRAME, SYSTEM, TEXT = "frame", "system", "text"  # parts of a rendered prompt


@dataclass(frozen=True)
class Encoded:
    """A prompt in tokens; `content` tells which of them are the user's text and not the template's frame."""

    tokens: tuple[int, ...]
    content: tuple[bool, ...]

    def masked(self, mask: int) -> Encoded:
        """The empty branch of guidance: the content masked, the frame kept (Nie et al. 2025, 2.3)."""
        return Encoded(
            tuple(mask if inside else token for token, inside in zip(self.tokens, self.content, strict=True)),
            self.content,
        )


def library() -> Any:
    """transformers, whole. While one thread imports it, a plain `import` gives another the module that it is
    about to replace."""
    importlib.import_module("transformers")
    return sys.modules["transformers"]


class Tokenizer:
    """A fast tokenizer of the `tokenizers` library behind the few calls the program needs. Never runs remote
    code."""

    def __init__(self, fast: Any):
        self._fast = fast
        fast.backend_tokenizer.post_processor = (
            None  # adds special tokens, never wanted here, and takes blanks off offsets
        )
        self._special = sorted((str(token) for token in fast.all_special_tokens), key=len, reverse=True)
        self._special += [
            str(t) for t in fast.added_tokens_decoder.values() if t.special and str(t) not in self._special
        ]

    @classmethod
    def read(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a checkpoint folder. ValueError if there is none that can be read without remote
        code."""
        native = library()
        try:
            if (folder / "tokenizer.json").is_file():
                return cls(
                    native.PreTrainedTokenizerFast.from_pretrained(
                        folder, local_files_only=True, clean_up_tokenization_spaces=False
                    )
                )
            if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
                return cls(native.Qwen2Tokenizer.from_pretrained(folder, local_files_only=True))
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
        """A prompt in its chat template ("auto": if the checkpoint has one), tokenized. ValueError if "chat"
        has none."""
        if template == "chat" and not self.has_template:
            raise ValueError("This checkpoint has no chat template; use template auto or raw.")
        if template == "raw" or not self.has_template:
            tokens = self.encode(f"{system}\n\n{text}" if system else text)
            return Encoded(tuple(tokens), (True,) * len(tokens))
        parts = self._parts(text, system)
        literal = any(special in part for part, kind in parts if kind != FRAME for special in self._special)
        if literal or not parts[3][0]:
            return self._in_parts(parts)
        whole = self._fast(
            "".join(part for part, _ in parts), add_special_tokens=False, return_offsets_mapping=True
        )
        start = sum(len(part) for part, _ in parts[:3])
        end = start + len(parts[3][0])
        content = tuple(a < end and b > start for a, b in whole["offset_mapping"])
        return Encoded(tuple(whole["input_ids"]), content)

    def _parts(self, text: str, system: str) -> list[tuple[str, str]]:
        """The rendered prompt as frame, system, frame, text, frame; both texts as the template wants them:
        many trim."""
        before, text, after = self._around(text, lambda part: self._rendered(part, system))
        if not system:
            return [(before, FRAME), ("", SYSTEM), ("", FRAME), (text, TEXT), (after, FRAME)]
        first, told, second = self._around(
            system, lambda part: self._rendered(MARK, part).rpartition(MARK)[0]
        )
        if first + told + second != before:  # the system prompt comes after the text, or not at all
            return [(before, FRAME), ("", SYSTEM), ("", FRAME), (text, TEXT), (after, FRAME)]
        return [(first, FRAME), (told, SYSTEM), (second, FRAME), (text, TEXT), (after, FRAME)]

    @staticmethod
    def _around(part: str, render: Callable[[str], str]) -> tuple[str, str, str]:
        """What `render` puts before a part, the part as it comes out, and what it puts after."""
        before, _, after = render(MARK).rpartition(MARK)
        whole = render(part)
        if whole.startswith(before) and whole.endswith(after) and len(whole) >= len(before) + len(after):
            part = whole[len(before) : len(whole) - len(after)]
        return before, part, after

    def _rendered(self, text: str, system: str) -> str:
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        try:
            return self._fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program of the checkpoint's author
            raise ValueError(f"The checkpoint's chat template failed: {error}") from error

    def _in_parts(self, parts: Sequence[tuple[str, str]]) -> Encoded:
        tokens: list[int] = []
        content: list[bool] = []
        for part, kind in parts:
            more = self._fast.encode(part, add_special_tokens=False) if kind == FRAME else self.encode(part)
            tokens += more
            content += [kind == TEXT] * len(more)
        return Encoded(tuple(tokens), tuple(content))

    def pieces(self, tokens: Sequence[int | None]) -> list[str | None]:
        """The text of each token such that a run of them joins to the run's text; None stays None (an open
        position).

        A character split over several tokens stands with the last of them; one that is cut off by an open
        position is U+FFFD.
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
