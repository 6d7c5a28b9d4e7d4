"""The rows: a pure function of recipe and step, well formed, without what is held out."""

from dataclasses import replace

import pytest
import torch

from extensions.training import prose
from extensions.training.corpus import (
    CONTENT,
    FRAME_KIND,
    FURTHER,
    PADDING,
    TEXT,
    Corpus,
    further,
    texts_for_tokenizer,
)
from extensions.training.grammar import Story


@pytest.fixture(scope="module")
def rows(mixed, made, folder, grammar):
    return Corpus(mixed, made, folder, grammar)


def test_a_batch_depends_on_nothing_but_recipe_and_step(mixed, made, folder, grammar, rows):
    later = Corpus(mixed, made, folder, grammar)
    steps = [9, 2, 30, 2]
    for step in steps:
        assert torch.equal(later.batch(step).tokens, rows.batch(step).tokens)
    other = Corpus(replace(mixed, seed=2), made, folder, grammar)
    assert not torch.equal(other.batch(2).tokens, rows.batch(2).tokens)


def test_rows_are_condition_frame_text_and_ends(rows, mixed):
    for step in range(8):
        batch = rows.batch(step)
        b, n = batch.tokens.shape
        assert n % 8 == 0 and n <= mixed.network.max_length
        told = torch.where(batch.kinds == FURTHER, TEXT, batch.kinds)
        for tokens, kinds in zip(batch.tokens.tolist(), told.tolist(), strict=False):
            assert kinds == sorted(kinds, key=[CONTENT, FRAME_KIND, TEXT, PADDING].index)
            frame = [token for token, kind in zip(tokens, kinds, strict=False) if kind == FRAME_KIND]
            assert frame == rows.frame
            text = [token for token, kind in zip(tokens, kinds, strict=False) if kind == TEXT]
            assert rows.end not in text[:-1] and text
            assert (text[-1] == rows.end) or PADDING not in kinds
            assert all(
                token == rows.end for token, kind in zip(tokens, kinds, strict=False) if kind == PADDING
            )


def test_a_further_character_is_marked_where_it_is_introduced(rows):
    """After a character of another kind, once; in the text alone."""
    dog, fox, owl = characters = frozenset((7, 8, 9))
    assert further([dog, 1, fox, dog, 1, dog, fox, owl, owl], 0, characters) == [2, 7]
    assert further([dog, fox, 1, dog, 1, dog], 2, characters) == []
    batch = rows.batch(0)
    words = {rows.tokenizer.decode([one]).strip() for one in batch.tokens[batch.kinds == FURTHER].tolist()}
    names = {name for some in rows.grammar.vocabulary.names.values() for name in some}
    assert (
        words & names and words - names and words - names <= {*rows.grammar.vocabulary.kinds, "girl", "boy"}
    )


def test_batches_are_about_as_large_as_asked(rows, mixed):
    sizes = [rows.batch(step).tokens.numel() for step in range(16)]
    assert all(0.7 * mixed.data.tokens < size < 1.5 * mixed.data.tokens for size in sizes), sizes


def test_no_story_comes_twice_and_none_is_held_out(tiny, made, grammar):
    class Watched:
        plots = grammar.plots
        vocabulary = grammar.vocabulary
        seeds: list[int] = []

        def story(self, seed: int) -> Story:
            self.seeds.append(seed)
            return grammar.story(seed)

    watched = Watched()
    corpus = Corpus(tiny, made, None, watched)
    told = [
        row.text for number in range(6) for row in corpus._rows("grammar", number, corpus.counts["grammar"])
    ]
    assert len(set(watched.seeds)) == len(watched.seeds)
    assert len(set(told)) > 0.99 * len(told)
    held = {grammar.story(seed).text for seed in watched.seeds if grammar.story(seed).held_out}
    assert held and not held & set(told)


def test_every_document_is_used_before_one_is_used_again(rows):
    from extensions.training.corpus import _shuffled

    order = _shuffled(90, "1 tinystories 0")
    assert sorted(order) == list(range(90)) and order != _shuffled(90, "1 tinystories 1")


def test_without_a_corpus_only_the_grammar_counts(mixed, made, grammar):
    assert list(Corpus(mixed, made, None, grammar).counts) == ["grammar"]


def test_a_missing_file_is_told(mixed, made, tmp_path, grammar):
    with pytest.raises(ValueError, match="tinystories-train.jsonl"):
        Corpus(mixed, made, tmp_path, grammar)


def test_a_broken_line_is_told(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "A cat."}\n{"words": 1}\n')
    with pytest.raises(ValueError, match="line 2"):
        prose.read(tmp_path / "x.jsonl")


def test_sentences_join_to_the_text_and_curly_marks_are_straight():
    found = prose.document("\u201cHello,\u201d said Tom.  He ran \u2014 fast!\nThe end")
    assert found.sentences == ('"Hello," said Tom.', " He ran - fast!", "\n\nThe end")
    assert prose.joined(found.sentences) == '"Hello," said Tom. He ran - fast!\n\nThe end'


def test_guesses_about_real_text(folder):
    found = prose.read(folder / "fables.jsonl")[0]
    assert found.hero == "honest goose" and found.place == "old barn"
    assert dict(found.extra)["Teaching"] == "love conquers fear"
    assert prose.mood(("She smiled.", " All were happy.")) == "happy"
    assert prose.mood(("He cried.",)) == "sad" and prose.mood(("He sat.",)) is None


def test_text_for_the_tokenizer_has_conditions_and_real_text(mixed, folder, grammar):
    from extensions.training.corpus import read_documents

    texts = list(texts_for_tokenizer(mixed, grammar, read_documents(mixed, folder)))
    assert len(texts) == 500 + 90 + 10 + 20
    assert all("\nStory: " in text for text in texts)


def test_an_open_story_stops_before_its_turn_and_says_so(tiny, made, grammar):
    open_ = replace(tiny, data=replace(tiny.data, open=1.0, continued=0.0))
    corpus = Corpus(open_, made, None, grammar)
    rows_ = list(corpus._rows("grammar", 0, 40))
    assert all(row.whole and row.text.count('"') % 2 == 0 for row in rows_)
    assert sum("open" in row.content or "continued" in row.content for row in rows_) > 20
