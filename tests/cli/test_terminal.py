"""`generate` on a real terminal (a pseudo-terminal): denoised in place, width-safe, harmless."""

from __future__ import annotations

import io
import re

import pytest

from webui.cli.terminal import Live, harmless, width

SLOW = (
    "--length",
    "64",
    "--steps",
    "16",
    "--template",
    "raw",
    "--end-of-text",
    "ban",
    "--rehearsal-seconds",
    "0.03",
    "--seed",
    "5",
)


class Screen:
    """A terminal of so many columns and lines: what a person sees after these bytes. Knows what the program
    uses, no more."""

    def __init__(self, columns: int, lines: int):
        self.columns, self.height = columns, lines
        self.rows, self.y, self.x, self.wrap, self.scrolled, self.hidden = [[]], 0, 0, True, 0, False
        self.styles: set[str] = set()

    def feed(self, data: bytes) -> Screen:
        for escape, private, number, letter, character in re.findall(
            r"(\x1b\[(\??)(\d*)([A-Za-z]))|([\s\S])", data.decode()
        ):
            if escape:
                self._control(private, number, letter)
            else:
                self._put(character)
        return self

    def _control(self, private: str, number: str, letter: str) -> None:
        if private and letter in "hl":
            if number == "7":
                self.wrap = letter == "h"
            elif number == "25":
                self.hidden = letter == "l"
            else:
                raise AssertionError(f"mode {number}")
        elif letter == "A":
            self.y -= int(number)
            assert self.y >= self.scrolled, "moved above the screen"
        elif letter == "J" and not number:
            del self.rows[self.y + 1 :]
            del self.rows[self.y][self.x :]
        elif letter == "m":
            self.styles.add(number)
        else:
            raise AssertionError(f"control {private}{number}{letter}")

    def _put(self, character: str) -> None:
        if character == "\r":
            self.x = 0
        elif character == "\n":
            self.y += 1
            self.rows += [[]] * (self.y + 1 - len(self.rows))
            self.scrolled = max(self.scrolled, self.y - self.height + 1)
        else:
            assert character >= " ", repr(character)
            if self.x >= self.columns:
                assert self.wrap, "a painted line is wider than the screen"
                self._put("\r")
                self._put("\n")
            row = self.rows[self.y]
            self.rows[self.y] = row[: self.x] + [" "] * (self.x - len(row)) + [character] + row[self.x + 1 :]
            self.x += 1

    @property
    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.rows)


@pytest.mark.parametrize("columns, lines", [(60, 24), (20, 8), (200, 50), (9, 4)])
def test_the_text_is_denoised_in_place(commands, columns, lines):
    plain = commands.run("generate", "the cat", *SLOW)
    status, data = commands.on_terminal("generate", "the cat", *SLOW, columns=columns, lines=lines)
    assert status == 0
    middle = Screen(columns, lines).feed(data[: data.rindex(b"\x1b[?25l")])
    assert {"1", "2"} <= middle.styles and "░" in middle.text and middle.hidden  # masks dim, new words bright
    assert data.count(b"\x1b[J") > 5  # painted again and again
    end = Screen(columns, lines).feed(data)
    text = harmless(plain.out[:-1]).split("\n")
    wrapped = "\n".join(
        line[k : k + columns].rstrip() for line in text for k in range(0, len(line) or 1, columns)
    )
    assert end.text == wrapped + "\n" and not end.hidden and end.wrap


def test_several_texts_one_after_the_other(commands):
    plain = commands.run("generate", "a", *SLOW, "--count", "3")
    status, data = commands.on_terminal("generate", "a", *SLOW, "--count", "3", columns=300)
    assert status == 0 and Screen(300, 24).feed(data).text == harmless(plain.out)
    assert b"seed 5: step" in data


def test_ctrl_c_leaves_the_partial_text_and_a_sane_terminal(commands):
    status, data = commands.on_terminal(
        "generate", "a", *SLOW, "--rehearsal-seconds", "0.1", columns=300, interrupt_at=b"step 4"
    )
    screen = Screen(300, 24).feed(data)
    assert status == 130 and "…" in screen.text and "░" not in screen.text
    assert not screen.hidden and screen.wrap


def test_failure_leaves_a_sane_terminal(commands):
    status, data = commands.on_terminal("generate", "a", *SLOW, "--rehearsal-fail")
    screen = Screen(60, 24).feed(data)
    assert status == 1 and screen.text == "" and not screen.hidden


def test_a_dumb_terminal_and_json_get_no_painting(commands):
    for arguments, environment in (((), {"TERM": "dumb"}), (("--json",), {})):
        status, data = commands.on_terminal("generate", "a", *SLOW, *arguments, **environment)
        assert status == 0 and b"\x1b" not in data


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_escape_sequences_in_a_text_do_nothing(commands, arguments):
    """The text given to infill comes back in the answer: colours, a bell, a title, a change of direction."""
    prompt = "A \x1b[31mred\x07\x1b]0;title\x07 \x9b2J\u202e ____ end\rX"
    for environment in ({}, {"TERM": "dumb"}):
        status, data = commands.on_terminal(
            "generate", prompt, "--template", "raw", "--seed", "1", *arguments, columns=2000, **environment
        )
        text = Screen(100_000, 24).feed(data).text
        assert status == 0 and "title" in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "31" not in Screen(100_000, 24).feed(data).styles


def test_errors_are_harmless_too(commands):
    ran = commands.run("generate", "a", "--sampler", "\x1b[31m\x07\n\u202e")
    assert ran.status == 2 and not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", ran.err)


def test_harmless():
    assert harmless("plain ünïcödé 😀\n\ttext") == "plain ünïcödé 😀\n\ttext"
    assert harmless("\x1b[2J\x00\r\x7f\x85\x9b\u202e\u2066\ud800") == "␛[2J␀␍" + "\ufffd" * 6


@pytest.mark.parametrize(
    "text, columns", [("a", 1), ("漢", 2), ("😀", 2), ("e\u0301", 1), ("❤\ufe0f", 2), ("\u200b", 0)]
)
def test_width(text, columns):
    assert sum(map(width, text)) == columns


class Recorder(io.StringIO):
    encoding = "utf-8"


@pytest.mark.parametrize("screen", [(40, 10), (10, 5), (1, 1), (80, 3)])
def test_painting_never_leaves_the_screen(screen, monkeypatch):
    """Wide characters, line breaks within tokens, and more text than the screen holds."""
    columns, lines = screen
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    stream = Recorder()
    live = Live(stream)
    shown: dict[int, str | None] = {}
    for k in range(60):
        shown[k * 7 % 60] = [
            " word",
            "\n\n",
            "漢字かな",
            " averyveryverylongwordindeed",
            "\x1b[31m",
            "\t",
            "",
        ][k % 7]
        live.paint(shown, 60, {k * 7 % 60}, "step 1 of 2")
        height = max(1, lines - 2) + 1
        assert len(live._painted) <= height and all(row <= max(8, columns - 1) for row in live._painted)
    live.clear()
    end = Screen(10_000, 10_000).feed(stream.getvalue().encode())
    assert end.text == "" and "31" not in end.styles


def test_a_terminal_without_blocks_gets_other_masks():
    stream = Recorder()
    stream.encoding = "latin-1"
    Live(stream).paint({}, 4, set(), "")
    assert "__" in stream.getvalue() and "░" not in stream.getvalue()
