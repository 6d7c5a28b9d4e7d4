"""The tokenizer process: `python -m webui.checkpoints.sandbox`, started by process.py.

A tokenizer.json has regular expressions and a chat template is a program, both written by whoever published
the checkpoint. They run here, where time and memory are bounded and the process can be killed, and nowhere
else. Requests come on standard input and replies go to standard output, each a length (4 bytes, little
endian) and JSON: [method, arguments] and {"value"} or {"error"}. The process ends with its input.

Imports neither torch nor transformers; jinja2 only if there is a chat template.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from webui.checkpoints.files import MAX_JSON, label, printable, read_json, read_text, status
from webui.checkpoints.pieces import pieces
from webui.core.errors import Refusal

LOAD_SECONDS, CALL_SECONDS = 30.0, 3.0  # processor time
LOAD_MEMORY, CALL_MEMORY = 4 << 30, 1 << 30  # bytes of address space; the second beside what is in use then
MAX_TOKENIZER = 256 << 20  # bytes of tokenizer.json
MAX_RENDERED = 1_000_000  # characters that a chat template may make of a prompt
MAX_REPLY = 64 << 20  # bytes
MAX_ID = 1 << 24  # the numbers of tokens are smaller; a table of all is made
MAX_TOKEN = 4096  # characters of a token that is decoded outside
FRAME, SYSTEM, TEXT = "frame", "system", "text"  # what a part of a rendered prompt comes from
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
BERT_TOKENS = {f"{name.lower()}_token": f"[{name}]" for name in ("UNK", "SEP", "PAD", "CLS", "MASK")}
ESM_TOKENS = {f"{name}_token": f"<{name}>" for name in ("unk", "eos", "pad", "cls", "mask")}
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
# the regular expression of tokenizers that are published as vocab.json and merges.txt (Qwen2)
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRINTED = (
    *range(33, 127),
    *range(161, 173),
    *range(174, 256),
)  # bytes that byte-level tokens show as they are
BYTE_OF = {  # the byte of each character of a byte-level token (GPT-2)
    **{chr(byte): byte for byte in PRINTED},
    **{chr(256 + i): byte for i, byte in enumerate(b for b in range(256) if b not in PRINTED)},
}

Part = tuple[str, str]  # text, FRAME, SYSTEM or TEXT


class Worker:
    """The tokenizer and chat template of one folder. ValueError says what is wrong with them."""

    def __init__(self, folder: Path):
        self.name = printable(folder.name)
        config = _optional(folder / "tokenizer_config.json")
        self.named = _named_tokens(config, _optional(folder / "special_tokens_map.json"))
        if _has_vocabulary_alone(folder):
            self.named = {**(ESM_TOKENS if _is_esm(config) else BERT_TOKENS), **self.named}
        self.fast = _tokenizer(folder, config)
        _add_tokens(self.fast, config, list(self.named.values()))
        self.fast.no_truncation()
        self.fast.no_padding()
        self.fast.post_processor = None  # adds special tokens and takes blanks off offsets: not wanted here
        added = self.fast.get_added_tokens_decoder().values()
        special = {*self.named.values(), *(str(token.content) for token in added if token.special)}
        numbers = self.fast.get_vocab(with_added_tokens=True)
        if max(numbers.values(), default=0) >= MAX_ID:
            raise Refusal(
                f"The tokenizer of {self.name} has a token with the id {max(numbers.values())}; ids must be "
                f"below {MAX_ID}."
            )
        self.last = max((number for token, number in numbers.items() if token not in special), default=-1)
        self.special = sorted((token for token in special if token), key=len, reverse=True)
        self.source = _chat_template(folder, config)
        self.template: Any = None

    def facts(self) -> dict[str, Any]:
        """Number of tokens, the highest id of one that is not special, ids of end and mask token, whether
        there is a chat template."""
        ids = {name: self.fast.token_to_id(token) for name, token in self.named.items()}
        return {
            "size": self.fast.get_vocab_size(with_added_tokens=True),
            "last": self.last,
            "end": ids.get("eos_token"),
            "mask": ids.get("mask_token"),
            "template": bool(self.source),
        }

    def ids(self, tokens: Sequence[str]) -> list[int | None]:
        return [self.fast.token_to_id(token) for token in tokens]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """User texts: nothing in them is a special token, whatever it spells."""
        return [self._literal(text).ids for text in texts]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return [self.fast.decode(row, skip_special_tokens=True) for row in rows]

    def words(self, count: int) -> list[str]:
        """The text of each of the first `count` tokens by itself."""
        size = self.fast.get_vocab_size(with_added_tokens=True)
        return [self.fast.decode([i], skip_special_tokens=True) if i < size else "" for i in range(count)]

    def pieces(self, tokens: Sequence[int | None]) -> list[str | None]:
        """See Tokenizer.pieces."""
        return pieces(tokens, lambda run: self.fast.decode(run, skip_special_tokens=True))

    def table(self) -> list[str | None] | None:
        """The bytes of every token, as characters of the same numbers; None for special tokens and for
        numbers that are no token. Nothing if tokens are not simply bytes, one after the other."""
        from tokenizers import decoders

        if not isinstance(self.fast.decoder, decoders.ByteLevel):
            return None
        special = {str(t.content) for t in self.fast.get_added_tokens_decoder().values() if t.special}
        tokens = self.fast.get_vocab(with_added_tokens=True)
        if (
            max(map(len, tokens), default=0) > MAX_TOKEN
        ):  # decoding such tokens needs the bounds of this process
            return None
        found: list[str | None] = [None] * (max(tokens.values(), default=-1) + 1)
        for token, number in tokens.items():
            if token not in special:
                whole = all(character in BYTE_OF for character in token)
                data = bytes(BYTE_OF[c] for c in token) if whole else token.encode("utf-8", "replace")
                found[number] = data.decode("latin-1")
        return found

    def prompt(self, text: str, system: str, template: str) -> dict[str, Any]:
        """Tokens of a prompt, which of them are content, and the places of their characters in the text; see
        Encoded."""
        if template == "raw" or not self.source:
            before = f"{system}\n\n" if system else ""
            made = self._literal(before + text)
            spans = [(len(before), len(before) + len(text), 0)]
            return {
                "tokens": made.ids,
                "content": [1] * len(made.ids),
                "places": _places(before + text, made.offsets, spans),
            }
        parts = self.parts(text, system)
        users = [part for part, kind in parts if kind != FRAME]
        if any(special in part for part in users for special in self.special) or not any(users):
            return self._in_parts(parts, text)
        joined = "".join(part for part, _ in parts)
        whole = self.fast.encode(joined, add_special_tokens=False)
        spans, at = [], 0
        for part, kind in parts:
            if kind == TEXT:
                spans.append((at, at + len(part), text.find(part)))
            at += len(part)
        content = [int(any(a < end and b > start for start, end, _ in spans)) for a, b in whole.offsets]
        return {"tokens": whole.ids, "content": content, "places": _places(joined, whole.offsets, spans)}

    def parts(self, text: str, system: str) -> list[Part]:
        """The rendered prompt in parts: what the template adds, the system prompt and the text, each as often
        and as trimmed as the template writes it.

        The template is rendered with two characters that nobody uses in place of the texts, and once more
        with the texts. What differs for other reasons counts as text.
        """
        free = (
            chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text and chr(code) not in system
        )
        marks = {next(free): TEXT, next(free): SYSTEM}
        mark, other = marks
        marked = self.render(mark, other if system else "")
        whole = self.render(text, system)
        parts = _filled(_split(marked, marks), whole, {TEXT: text, SYSTEM: system})
        if parts is not None:
            return parts
        before = len(os.path.commonprefix([marked, whole]))
        after = len(os.path.commonprefix([marked[before:][::-1], whole[before:][::-1]]))
        end = len(whole) - after
        return [(whole[:before], FRAME), (whole[before:end], TEXT), (whole[end:], FRAME)]

    def render(self, text: str, system: str) -> str:
        """What the chat template makes of a conversation."""
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        try:
            if self.template is None:
                self.template = compiled(self.source)
            rendered, size = [], 0
            for piece in self.template.generate(
                messages=messages, tools=None, documents=None, add_generation_prompt=True, **self.named
            ):
                rendered.append(piece)
                size += len(piece)
                if size > MAX_RENDERED:
                    raise ValueError(f"it wrote more than {MAX_RENDERED} characters")
        except MemoryError:
            raise Refusal(f"The chat template of {self.name} failed: it took too much memory.") from None
        except Exception as error:
            line = " ".join((str(error) or type(error).__name__).split())[:300]
            raise Refusal(f"The chat template of {self.name} failed: {_ended(line)}") from error
        return "".join(rendered)

    def _literal(self, text: str) -> Any:
        """The encoding of a text in which nothing is a special token."""
        self.fast.encode_special_tokens = any(special in text for special in self.special)
        try:
            return self.fast.encode(text, add_special_tokens=False)
        finally:
            self.fast.encode_special_tokens = False

    def _in_parts(self, parts: Sequence[Part], text: str) -> dict[str, Any]:
        tokens: list[int] = []
        content: list[int] = []
        places: list[int] = []
        for part, kind in parts:
            literal = kind != FRAME
            more = self._literal(part) if literal else self.fast.encode(part, add_special_tokens=False)
            tokens += more.ids
            content += [int(kind == TEXT)] * len(more.ids)
            spans = [(0, len(part), text.find(part))] if kind == TEXT else []
            places += _places(part, more.offsets, spans)
        return {"tokens": tokens, "content": content, "places": places}


def compiled(source: str) -> Any:
    """A chat template as transformers runs them: sandboxed, with loop controls and a few functions."""
    from jinja2 import TemplateError, nodes, utils
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} marks what the assistant writes; here its inside is written as it is."""

        tags = frozenset({"generation"})  # type: ignore[assignment]

        def parse(self, parser: Any) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    class Namespace(utils.Namespace):
        def __setitem__(self, name: str, value: Any) -> None:
            if name.startswith("_"):
                raise SecurityError(f"{name} begins with an underscore")
            super().__setitem__(name, value)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **keywords: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **keywords)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    environment.globals["namespace"] = Namespace
    return environment.from_string(source)


def _places(
    joined: str, offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int, int]]
) -> list[int]:
    """For each token, where in the user's text its first character that is no blank is; -1 if it is not of
    the text. spans: (start, end) of the text in `joined`, and where in the text that begins (-1: unknown)."""
    places: list[int] = []
    for a, b in offsets:
        place = -1
        for start, end, lead in spans:
            first, last = max(a, start), min(b, end)
            if first < last and lead >= 0:
                blanks = len(joined[first:last]) - len(joined[first:last].lstrip())
                place = lead + first - start + (blanks if first + blanks < last else 0)
                break
        places.append(place)
    return places


def _split(marked: str, marks: dict[str, str]) -> list[Part]:
    """A text with marks in parts; the marks themselves are empty parts of their kind."""
    parts: list[Part] = []
    frame = ""
    for character in marked:
        if character in marks:
            parts += [(frame, FRAME), ("", marks[character])]
            frame = ""
        else:
            frame += character
    return [*parts, (frame, FRAME)]


def _filled(parts: Sequence[Part], whole: str, texts: dict[str, str]) -> list[Part] | None:
    """Parts with each mark filled in so that they join to `whole`: the texts themselves, or trimmed. None if
    they do not."""
    found: list[Part] = []
    at = 0
    for i, (part, kind) in enumerate(parts):
        after = parts[i + 1][0] if i + 1 < len(parts) else ""
        text = texts.get(kind, part)
        tried = (text, text.strip(), text.lstrip(), text.rstrip()) if kind != FRAME else (part,)
        fits = [one for one in dict.fromkeys(tried) if whole.startswith(one + after, at)]
        if not fits:
            return None
        found.append((fits[0], kind))
        at += len(fits[0])
    return found if at == len(whole) else None


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if status(path) else {}


def _has_vocabulary_alone(folder: Path) -> bool:
    """Whether the tokenizer is published as vocab.txt and nothing else."""
    others = ("tokenizer.json", "vocab.json")
    return bool(status(folder / "vocab.txt")) and not any(status(folder / name) for name in others)


def _is_esm(config: dict[str, Any]) -> bool:
    return str(config.get("tokenizer_class", "")).startswith("Esm")


def _from_vocabulary(folder: Path, config: dict[str, Any]) -> Any:
    """WordPiece as BERT has it, or a token per letter as ESM has it, from vocab.txt."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    lines = read_text(folder / "vocab.txt", MAX_TOKENIZER).splitlines()
    vocabulary = {line.strip(): number for number, line in enumerate(lines) if line.strip()}
    if _is_esm(config):
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\S"), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
        return tokenizer
    lower = config.get("do_lower_case", True) is not False
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _tokenizer(folder: Path, config: dict[str, Any]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    if status(folder / "tokenizer.json"):
        return Tokenizer.from_str(read_text(folder / "tokenizer.json", MAX_TOKENIZER))
    if _has_vocabulary_alone(folder):
        return _from_vocabulary(folder, config)
    if not (status(folder / "vocab.json") and status(folder / "merges.txt")):
        raise Refusal(
            f"{printable(folder.name)} has no tokenizer.json (nor vocab.json with merges.txt, nor vocab.txt)."
        )
    lines = read_text(folder / "merges.txt", MAX_TOKENIZER).splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#version"))
    merges = [(first, second) for first, _, second in pairs]
    vocabulary = read_json(folder / "vocab.json", MAX_TOKENIZER)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.decoder = decoders.ByteLevel()
    if str(config.get("tokenizer_class", "")).startswith(("Roberta", "GPT2")):
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return tokenizer
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    return tokenizer


def _add_tokens(tokenizer: Any, config: dict[str, Any], named: Sequence[str]) -> None:
    """Tokens that tokenizer_config.json has and tokenizer.json has not."""
    from tokenizers import AddedToken

    there = {str(token.content) for token in tokenizer.get_added_tokens_decoder().values()}
    listed = config.get("added_tokens_decoder")
    listed = listed if isinstance(listed, dict) else {}
    new = []
    try:
        for _, token in sorted(((int(id), token) for id, token in listed.items()), key=lambda pair: pair[0]):
            if token["content"] not in there:
                flags = {name: bool(token[name]) for name in FLAGS if name in token}
                new.append(AddedToken(str(token["content"]), **flags))
                there.add(str(token["content"]))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"added_tokens_decoder is malformed: {error}") from error
    new += [AddedToken(token, special=True) for token in named if token not in there]
    tokenizer.add_tokens(new)  # all at once: each call takes as long as there are added tokens


def _named_tokens(config: dict[str, Any], older: dict[str, Any]) -> dict[str, str]:
    """bos_token, eos_token ... by name, each a text or an object with `content`."""
    found = {}
    for name in NAMED:
        value = config.get(name, older.get(name))
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str) and value:
            found[name] = value
    return found


def _chat_template(folder: Path, config: dict[str, Any]) -> str:
    here = label(folder / "tokenizer_config.json")
    if status(folder / "chat_template.jinja"):
        return read_text(folder / "chat_template.jinja", MAX_JSON)
    value = config.get("chat_template")
    if isinstance(value, list):  # several by name
        for part in value:
            if not isinstance(part, dict) or not isinstance(part.get("name"), str):
                raise Refusal(f"{here}: each chat_template of the list must be an object with a name.")
        value = {part["name"]: part.get("template") for part in value}.get("default")
    if value is not None and not isinstance(value, str):
        raise Refusal(f"{here}: chat_template must be text, or a list of objects with name and template.")
    return value or ""


# -- the process ---------------------------------------------------------------------------------------------


def _bound(seconds: float, memory: int | None) -> None:
    """Bounds the processor time from now on, and the address space. Where the system has no such bounds,
    process.py ends the process by the clock."""
    try:
        import resource
        import signal
    except ImportError:  # Windows
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends the process, whatever it is doing
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
        except (ValueError, OSError):
            return


def _in_use() -> int | None:
    """Bytes of address space of this process; None where that cannot be known."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _receive(stream: BinaryIO) -> Any:
    size = stream.read(4)
    if len(size) < 4:
        return None
    return json.loads(stream.read(int.from_bytes(size, "little")))


def _send(stream: BinaryIO, reply: dict[str, Any], failed: str) -> None:
    data = json.dumps(reply).encode()
    if len(data) > MAX_REPLY:
        data = json.dumps({"error": f"{failed}: it made too much of it."}).encode()
    stream.write(len(data).to_bytes(4, "little") + data)
    stream.flush()


def _answer(call: Callable[[], Any], failed: str) -> dict[str, Any]:
    try:
        return {"value": call()}
    except MemoryError:
        return {"error": f"{failed}: it took too much memory."}
    except Refusal as error:
        return {"error": str(error)}
    except BaseException as error:  # the library's own, a panic among them
        line = " ".join((str(error) or type(error).__name__).split())[:300]
        return {"error": f"{failed}: {_ended(line)}"}


def _ended(line: str) -> str:
    """The line with a full stop, if nothing ends it."""
    return line if line.endswith((".", "!", "?")) else f"{line}."


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Serves requests until the input ends."""
    folder = _receive(source)
    if folder is None:
        return
    workers: list[Worker] = []

    def load() -> dict[str, Any]:
        workers.append(Worker(Path(folder)))
        return workers[0].facts()

    name = printable(Path(folder).name)
    unreadable, failed = f"The tokenizer of {name} cannot be read", f"The tokenizer of {name} failed"
    _bound(LOAD_SECONDS, LOAD_MEMORY)
    _send(sink, _answer(load, unreadable), unreadable)
    used = _in_use()
    memory = used + CALL_MEMORY if used else None
    _bound(0, memory)
    while workers and (request := _receive(source)) is not None:
        method, arguments = request
        _bound(CALL_SECONDS, None)
        _send(sink, _answer(lambda: getattr(workers[0], method)(*arguments), failed), failed)  # noqa: B023
        _bound(0, None)


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
