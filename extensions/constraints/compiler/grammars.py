"""Context-free grammars as users write them, Lark's and GBNF, read into one form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_REPEATS = 1000
GBNF = re.compile(r"^\s*[A-Za-z][\w-]*\s*::=", re.MULTILINE)
# What Lark's common.ESCAPED_STRING is, without the look-behind that automata lack.
LARK_STRING, STRING = r'".*?(?<!\\)(\\\\)*?"', r'"(?:[^"\\\n]|\\[^\n])*"'


@dataclass(frozen=True)
class Terminal:
    """A text, or a regular expression; of a lazy one the matches of which no beginning matches."""

    text: str
    regex: bool
    lazy: bool = False


Symbol = str | Terminal  # a nonterminal by its name


@dataclass(frozen=True)
class Grammar:
    """Alternatives of each nonterminal, the first nonterminal, and what may stand around any terminal."""

    rules: Mapping[str, Sequence[Sequence[Symbol]]]
    start: str
    ignored: Sequence[Terminal] = ()


def read(text: str) -> Grammar:
    """A grammar: GBNF where a rule has `::=`, else Lark's. ValueError says in one sentence what is wrong."""
    return _Gbnf(text).grammar() if GBNF.search(text) else _lark(text)


def _lark(text: str) -> Grammar:
    import lark

    try:
        # No folders to import from: %import finds what the library brings along.
        read = lark.Lark(text, parser="earley", lexer="dynamic_complete", import_paths=[])
    except lark.UnexpectedInput as error:
        line = getattr(error, "line", 0)
        raise ValueError(
            f"line {line} is not Lark's syntax" if line and line > 0 else "it ends early"
        ) from error
    except OSError as error:
        raise ValueError(f"it imports {error.filename}, which does not come with Lark") from error
    except (lark.exceptions.LarkError, re.error) as error:
        said = error.args[0] if error.args else error
        said = said[0] if isinstance(said, tuple) else said
        if "undefined rule: NonTerminal('start')" in str(said):
            raise ValueError("there is no rule start") from error
        raise ValueError(str(said).strip().splitlines()[0].rstrip(".")) from error
    terminals = {definition.name: _terminal(definition.pattern) for definition in read.terminals}
    rules: dict[str, list[Sequence[Symbol]]] = {}
    for rule in read.rules:
        symbols = [_known(terminals, one.name) if one.is_term else one.name for one in rule.expansion]
        rules.setdefault(rule.origin.name, []).append(symbols)
    return Grammar(rules, "start", [terminals[name] for name in read.ignore_tokens])


def _known(terminals: Mapping[str, Terminal], name: str) -> Terminal:
    if name not in terminals:  # of %declare
        raise ValueError(f"the terminal {name} has no pattern")
    return terminals[name]


def _terminal(pattern: object) -> Terminal:
    """A terminal of Lark's."""
    text, flags = pattern.value, "".join(sorted(pattern.flags))  # type: ignore[attr-defined]
    if type(pattern).__name__ == "PatternStr":
        if not flags:
            return Terminal(text, False)
        return Terminal(f"(?{flags}:{''.join(map(_letter, text))})", True)
    text = text.replace(LARK_STRING, STRING)
    regex = rust(text)
    lazy = re.search(r"(?<!\\)[*+?}]\?", text) is not None
    return Terminal(f"(?{flags}:{regex})" if flags else regex, True, lazy)


def _letter(one: str) -> str:
    """A character as a regular expression writes it, whatever it means there."""
    return f"\\x{{{ord(one):x}}}"


def rust(regex: str) -> str:
    """A regular expression of Python's as one of Rust's `regex`, which reads classes and `\\w` otherwise.
    ValueError where there is none."""
    found, inside, i = [], False, 0
    while i < len(regex):
        one, following = regex[i], regex[i + 1 : i + 2]
        i += 1
        if one == "\\":
            i += 1
            if following in "ZAbB" or following.isdigit() and not inside and following != "0":
                raise ValueError(f"\\{following} is not possible in a terminal")
            if following == "w":
                found.append(r"\p{L}\p{N}_" if inside else r"[\p{L}\p{N}_]")
            else:
                found.append(one + following)
        elif not inside:
            if one in "^$":
                raise ValueError(f"{one} is not possible in a terminal")
            inside = one == "["
            found.append(one)
            if inside and regex[i : i + 1] == "^":
                found.append("^")
                i += 1
            if inside and regex[i : i + 1] == "]":  # a bracket at the beginning is meant literally
                found.append(r"\]")
                i += 1
        elif one == "]":
            inside = False
            found.append(one)
        else:
            found.append("\\" + one if one in "[&~" or (one == "-" and found[-1] == "-") else one)
    return "".join(found)


class _Gbnf:
    """A parser of GBNF, the notation of llama.cpp: `name ::= "text" [a-z]* (other | "x"){1,3}`."""

    TOKEN = re.compile(
        r'(?P<name>[A-Za-z][\w-]*)|(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<set>\[(?:[^\]\\\n]|\\.)*\])'
        r"|(?P<count>\{\s*\d*\s*(?:,\s*\d*\s*)?\})|(?P<mark>::=|[()|*+?.])|(?P<line>\n)"
        r"|(?P<blank>[ \t\r]+|#[^\n]*)"
    )
    ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\(.)|(.)", re.DOTALL)

    def __init__(self, text: str):
        self._tokens: list[tuple[str, str, int]] = []
        at, line = 0, 1
        while at < len(text):
            found = self.TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"line {line} is not GBNF")
            kind = found.lastgroup or ""
            if kind != "blank":
                self._tokens.append((kind, found[0], line))
            line += found[0].count("\n")
            at = found.end()
        self._at, self._rules, self._line = 0, {}, line

    def grammar(self) -> Grammar:
        """The grammar. ValueError."""
        asked: dict[str, int] = {}
        self._asked = asked
        while self._skipped() is not None:
            name, line = self._take("name"), self._line
            self._take("::=")
            if name in self._rules:
                raise ValueError(f"line {line}: {name} has two rules")
            self._rules[name] = []
            self._rules[name] = self._alternatives(False)
            if self._peek() not in (None, "\n"):
                raise self._wrong()
        for name, line in asked.items():
            if name not in self._rules:
                raise ValueError(f"line {line}: there is no rule {name}")
        if "root" not in self._rules:
            raise ValueError("there is no rule root")
        return Grammar(self._rules, "root")

    def _peek(self) -> str | None:
        """The kind of the next token; of marks and line ends the token itself."""
        if self._at >= len(self._tokens):
            return None
        kind, text, self._line = self._tokens[self._at]
        return text if kind in ("mark", "line") else kind

    def _skipped(self) -> str | None:
        while self._peek() == "\n":
            self._at += 1
        return self._peek()

    def _take(self, kind: str) -> str:
        if self._peek() != kind:
            raise self._wrong()
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _wrong(self) -> ValueError:
        if self._at >= len(self._tokens):
            return ValueError("it ends early")
        return ValueError(f"line {self._tokens[self._at][2]} is not GBNF")

    def _alternatives(self, nested: bool) -> list[Sequence[Symbol]]:
        found: list[Sequence[Symbol]] = [self._sequence(nested)]
        while (self._skipped() if nested else self._peek()) == "|":
            self._at += 1
            self._skipped()
            found.append(self._sequence(nested))
        return found

    def _sequence(self, nested: bool) -> list[Symbol]:
        found: list[Symbol] = []
        while True:
            kind = self._skipped() if nested else self._peek()
            if not nested and not found and kind == "\n":  # a rule may begin on the next line
                kind = self._skipped()
                if self._begins_rule():
                    return found
            if kind in ("name", "text", "set", "(", "."):
                found.append(self._repeated(self._single(kind)))
            else:
                return found

    def _begins_rule(self) -> bool:
        ahead = [text for kind, text, _ in self._tokens[self._at : self._at + 2]]
        return ahead[1:] == ["::="]

    def _single(self, kind: str) -> Symbol:
        self._at += 1
        _, text, line = self._tokens[self._at - 1]
        if kind == "name":
            self._asked.setdefault(text, line)
            return text
        if kind == "text":
            return Terminal("".join(self._letters(text[1:-1])), False)
        if kind == ".":
            return Terminal("(?s:.)", True)
        if kind == "(":
            inside = self._alternatives(True)
            self._skipped()
            self._take(")")
            return self._named(inside)
        return Terminal(self._set(text[1:-1], line), True)

    def _repeated(self, symbol: Symbol) -> Symbol:
        while (kind := self._peek()) in ("*", "+", "?", "count"):
            self._at += 1
            _, text, line = self._tokens[self._at - 1]
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(kind, (0, 0))
            if kind == "count":
                low, comma, high = text[1:-1].replace(" ", "").partition(",")
                least = int(low or 0)
                most = least if not comma else int(high) if high else None
                if max(least, most or 0) > MAX_REPEATS:
                    raise ValueError(f"line {line} repeats more than {MAX_REPEATS} times")
                if most is not None and most < least:
                    raise ValueError(f"line {line} repeats from {least} to {most} times")
            if most is None:
                name = self._named([])
                self._rules[name] = [[], [name, symbol]]
                rest: list[Symbol] = [name]
            else:
                rest = []
                for _ in range(most - least):
                    rest = [self._named([[], [symbol, *rest]])]
            symbol = self._named([[symbol] * least + rest])
        return symbol

    def _named(self, alternatives: list[Sequence[Symbol]]) -> str:
        """A nonterminal of our own."""
        name = f"{len(self._rules)} "  # no name that users write
        self._rules[name] = alternatives
        return name

    def _letters(self, text: str) -> list[str]:
        names = {"n": "\n", "r": "\r", "t": "\t"}
        found = []
        for two, four, eight, escaped, plain in self.ESCAPE.findall(text):
            if two or four or eight:
                number = int(two or four or eight, 16)
                if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                    raise ValueError(f"{number:X} is no character's number")
                found.append(chr(number))
            else:
                found.append(names.get(escaped, escaped) if escaped else plain)
        return found

    def _set(self, text: str, line: int) -> str:
        negated, text = text.startswith("^"), text.removeprefix("^")
        parts = [match[0] for match in self.ESCAPE.finditer(text)]
        letters = self._letters(text)
        found, i = [], 0
        while i < len(letters):
            if parts[i + 1 : i + 2] == ["-"] and i + 2 < len(letters):
                if letters[i] > letters[i + 2]:
                    raise ValueError(f"line {line} has a range that runs backwards")
                found.append(f"{_letter(letters[i])}-{_letter(letters[i + 2])}")
                i += 3
            else:
                found.append(_letter(letters[i]))
                i += 1
        if not found:
            raise ValueError(f"line {line} has an empty set of characters")
        return f"[{'^' if negated else ''}{''.join(found)}]"
