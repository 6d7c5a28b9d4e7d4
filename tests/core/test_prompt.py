"""Prompts and drafts: what is given stays as it was."""

from __future__ import annotations

import pytest

from webui import Draft, Gap, Piece, Prompt


def test_a_prompt_is_its_pieces_in_order():
    assert Prompt((Piece("a ", (0, 2)), Piece("cat"))).text == "a cat"
    assert Prompt.of("a cat") == Prompt((Piece("a cat", (0, 5)),))
    assert Prompt.of("") == Prompt() and Prompt().text == ""


def test_a_draft_is_filled_gap_by_gap():
    draft = Draft((Gap(1), Piece(" sat "), Gap(2), Gap(1), Piece(".")))
    assert draft.gaps == (Gap(1), Gap(2), Gap(1))
    assert draft.filled(["The cat", "on", " it"]) == "The cat sat on it."


def test_the_blank_before_a_gap_is_there_once_whether_the_filling_brings_it_or_not():
    draft = Draft((Piece("The"), Gap(1, lead=" "), Piece(" sat")))
    assert draft.filled([" cat"]) == draft.filled(["cat"]) == "The cat sat"
    assert draft.filled(["  cat"]) == "The  cat sat", "one blank is the lead's, the rest is the filling's"
    assert draft.filled([""]) == "The  sat", "given text stays also around nothing"


def test_too_few_fillings_is_an_error_and_so_is_an_empty_gap():
    with pytest.raises(ValueError, match="at least one token"):
        Gap(0)
    with pytest.raises((StopIteration, RuntimeError)):
        Draft((Gap(1),)).filled([])


def test_a_prompt_is_cut_with_its_spans_weights_and_locks():
    prompt = Prompt(
        (Piece("abc", (0, 3), 2.0), Piece("\\|", (3, 6), locked=True), Piece("new"), Piece("d", (9, 10)))
    )
    assert prompt.cut(1, 4) == (Piece("bc", (1, 3), 2.0), Piece("\\", (3, 6), locked=True))
    assert prompt.cut(5, 9) == (Piece("new"), Piece("d", (9, 10)))
    assert prompt.cut(2, 2) == () and Prompt().cut(0, 5) == ()
    assert prompt.cut(0, 2, locked=True) == (Piece("ab", (0, 2), 2.0, locked=True),)
    assert Prompt(prompt.cut(0, 99)).text == prompt.text


def test_a_piece_whose_text_was_replaced_keeps_its_whole_span():
    assert Prompt((Piece("cat", (0, 10)),)).cut(1, 2) == (Piece("a", (0, 10)),)
