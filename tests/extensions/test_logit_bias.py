"""Words and phrases: raised ones come more, lowered ones less, forbidden ones never."""

from __future__ import annotations

import random
import re
import string
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions.logit_bias import phrases
from extensions.logit_bias.bias import Bias
from extensions.logit_bias.never import Never
from tests.contract import crossed
from tests.contract.program import finished, program, write
from webui import Canvas, Cell, Choice, Row
from webui.settings import ROOT

WARM = {"temperature": 1.0, "length": 12, "count": 16, "seed": 0, "end_of_text": "ban"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bias")
    (folder / "extensions").mkdir()
    for kind in (
        *(ROOT / "extensions").glob("*/__init__.py"),
        Path(__file__).parent / "flood" / "__init__.py",
    ):
        (folder / "extensions" / kind.parent.name).symlink_to(kind.parent)
    app = program(folder, folder / "extensions")
    yield app
    app.close()


def all_texts(app, **fields) -> list[str]:
    return [part.text for part in write(app, **{**WARM, **fields}).parts]


def words(phrase: str) -> re.Pattern:
    """A whole word or phrase, in any capitalisation."""
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def times(phrase: str, texts: list[str]) -> int:
    return sum(len(words(phrase).findall(text)) for text in texts)


# -- the lists of words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", {}),
        (" , ,\n", {}),
        ("dragon", {"dragon": 3.0}),
        ("dragon, golden ring:5", {"dragon": 3.0, "golden ring": 5.0}),
        ('"salt, pepper", x', {"salt, pepper": 3.0, "x": 3.0}),
        ('"10:30", "say ""hi"":2"', {"10:30": 3.0, 'say "hi":2': 3.0}),  # what is quoted is text
        ('"10:30":2, "a" : -1', {"10:30": 2.0, "a": -1.0}),
        ("a:.5, b: 1. , c :-2", {"a": 0.5, "b": 1.0, "c": -2.0}),
        ("10:30:2", {"10:30": 2.0}),
        ("x:1e1, y:5E-1, z:+.2e1", {"x": 10.0, "y": 0.5, "z": 2.0}),
        ("a:b, :5, :5e, at: ..., 9:30am", {"a:b": 3.0, ":5": 3.0, ":5e": 3.0, "at: ...": 3.0, "9:30am": 3.0}),
        ('"a:1e", "b:0x1":2', {"a:1e": 3.0, "b:0x1": 2.0}),
        ('5" pipe:2, it"s', {'5" pipe': 2.0, 'it"s': 3.0}),
        ("one\ntwo\r\nthree", {"one": 3.0, "two": 3.0, "three": 3.0}),
        ("golden \t ring", {"golden ring": 3.0}),
        ("猫:2, naïve", {"猫": 2.0, "naïve": 3.0}),
        ("a, a:5", {"a": 5.0}),
    ],
)
def test_lists_are_read_as_typed(text, expected):
    assert phrases.weighted(text, 3.0) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("dragon:5, 10:30, x:1e3, y:nan", ("dragon:5", "10:30", "x:1e3", "y:nan")),
        ('"salt, pepper", a "b" c\n\n,d', ("salt, pepper", 'a "b" c', "d")),
        (" , \n", ()),
    ],
)
def test_a_list_without_strengths_is_all_text(text, expected):
    assert phrases.plain(text) == expected


ODD = [
    ("more", "1_0"),
    ("less", "5e"),
    ("more", "5e+"),
    ("more", "0x5"),
    ("less", "0b1"),
    ("more", "1.2.3"),
    ("more", "--5"),
    ("less", "−5"),
    ("more", "50%"),
    ("more", "1/2"),
    ("more", "1 000"),
    ("more", "5-"),
]


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("more", 'a, "b', "the quote at character 4 is never closed"),
        ("never", '"b""', "the quote at character 1 is never closed"),
        ("less", '"a" b', "after the closing quote of 'a' comes a comma, or a colon and a number"),
        ("more", '"a":b', "after the closing quote of 'a' comes a comma, or a colon and a number"),
        ("never", '"a":5', "this list has no strengths"),
        ("more", "a:51", "the strength of 'a' is 51; it must be a number from -50 to 50"),
        ("more", "a:-1e9", "is -1e9; it must be"),
        ("more", "a:" + "9" * 400, "the strength of 'a' is 99999999999999999999; it must be"),
        ("less", "a:nan", "the strength of 'a' is nan; it must be"),
        ("less", '"a":-inf', "the strength of 'a' is -inf; it must be"),
        ("more", "a:1e999", "the strength of 'a' is 1e999; it must be"),
        *((name, f"a, moon:{odd}", f"{odd!r} after 'moon' is not a number; write") for name, odd in ODD),
        ("never", "a " * 1000, "has 1999 characters; at most 200"),
        ("more", ",".join(f"w{i}" for i in range(201)), "more than 200 phrases"),
        ("never", ",".join(f"w{i}" for i in range(2001)), "more than 2000 phrases"),
    ],
)
def test_a_list_that_cannot_be_meant_fails_with_a_sentence(app, name, text, reason):
    error = finished(app, app.Request(logit_bias={name: text})).error
    label = {"more": "More of", "less": "Less of", "never": "Never"}[name]
    assert error.startswith(f"logit_bias: {label}: ") and reason in error and "\n" not in error


@pytest.mark.parametrize("name", ["more", "less", "never"])
@pytest.mark.parametrize(
    "text",
    [
        "1" * 30_000,
        "1:" * 15_000,
        " " * 20_000,
        "word " * 1000,
        ",".join(map(str, range(50_000))),
        '"' * 19_999,
    ],
    ids=["digits", "colons", "blanks", "words", "phrases", "quotes"],
)
def test_hostile_lists_are_refused_or_read_in_one_pass(app, name, text):
    """Quadratic work here would take minutes."""
    try:
        phrases.plain(text[:20_000])
        phrases.weighted(text[:20_000], 1.0)
    except ValueError as error:
        assert len(str(error)) < 300
    request = app.Request(logit_bias={name: text})
    if len(text) > (20_000 if name == "never" else 2_000):
        with pytest.raises(ValueError, match="at most 20*00 are possible"):
            app.registry.extensions["logit_bias"].prompt(Row(Cell("0", request), request))


def test_the_longest_lists_that_are_allowed_work(app):
    """2,000 forbidden phrases that begin alike, and 200 raised ones."""
    never = ",".join("t" * (i % 150 + 1) + str(i // 150) for i in range(2000))
    more = ",".join(f"w {i}:2" for i in range(200))
    write(app, logit_bias={"never": never[: never.rindex(",", 0, 20_000)], "more": more}, length=4)


def test_a_phrase_is_meant_in_all_its_spellings():
    assert set(phrases.spellings("golden ring")) == {
        blank + form
        for blank in ("", " ")
        for form in ("golden ring", "Golden ring", "Golden Ring", "GOLDEN RING")
    }


# -- more and less -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phrase", ["and", "cat", "a cat", "猫"])  # one token, two, three with a blank, bytes
def test_raised_words_come_more(app, phrase):
    plain, raised = all_texts(app), all_texts(app, logit_bias={"more": f"{phrase}:12"})
    count = [sum(text.lower().count(phrase) for text in texts) for texts in (plain, raised)]
    assert count[1] > count[0] + 4


def test_lowered_words_come_less_and_strength_counts(app):
    raised = {"more": "and:9"}
    counts = [
        times("and", all_texts(app, logit_bias={**raised, "less": less}))
        for less in ("", "and:4", "and:9", "and:30")
    ]
    assert counts[0] > counts[1] > counts[2] >= counts[3] == 0
    assert all_texts(app, logit_bias={**raised, "less": "and:9"}) == all_texts(app), (
        "what is raised and lowered is as it was"
    )


def test_the_strength_field_is_for_words_without_a_number(app):
    assert all_texts(app, logit_bias={"more": "and", "strength": 7}) == all_texts(
        app, logit_bias={"more": "and:7", "strength": 1}
    )


@pytest.fixture(scope="module")
def plain_texts():
    """The texts that nothing was raised in, by sampler."""
    return {}


@pytest.mark.parametrize(
    "phrase, sampler, strength",
    crossed(["a cat", "golden ring", "zebra", "猫"], ["low_confidence", "random", "threshold"], [6, 12, 50]),
)
def test_a_raised_phrase_comes_whole_and_does_not_flood(app, plain_texts, phrase, sampler, strength):
    """Of the tokens that a phrase is spelled in, none comes alone: whoever has one in a row has them all."""
    if sampler not in plain_texts:
        plain_texts[sampler] = all_texts(app, sampler=sampler, length=24)
    plain = plain_texts[sampler]
    texts = all_texts(app, sampler=sampler, length=24, logit_bias={"more": f"{phrase}:{strength}"})
    counts = [len(re.findall(re.escape(phrase), text, re.IGNORECASE)) for text in texts]
    assert max(counts) <= (3 if strength < 50 else 4), texts
    if strength > 6 and sampler != "random":  # in random order there may be no room left for it
        assert sum(count > 0 for count in counts) >= len(texts) - 1, texts
    assert [sum(text.lower().count(piece) for text in texts) - sum(counts) for piece in _pieces(phrase)] <= [
        sum(text.lower().count(piece) for text in plain) + 8 for piece in _pieces(phrase)
    ]


def _pieces(phrase: str) -> list[str]:
    return [phrase[:-1]] if len(phrase) > 2 else []


class Scripted:
    """A link to a model of a few words, for one row of `length` masked positions."""

    mask, device, ends = 0, "cpu", (1,)
    characters = ("", "", " a", " moon", " lan", "tern", "\n", "s", " M", "OON", "lan", ".", " ")
    vocabulary = len(characters)
    spelled = {" moon": [3], " lantern": [4, 5], "lantern": [10, 5], " MOON": [8, 9]}

    def __init__(self, length: int):
        self.length = length

    def encode(self, text):
        return self.spelled.get(text, [])

    def encode_all(self, texts):
        return [self.encode(text) for text in texts]

    def words(self):
        return self.characters

    def answer(self, row):
        return [0] * self.length


def raised(
    text: list[int], phrase: str = "lantern", strength: float = 5.0
) -> tuple[Bias, Canvas, torch.Tensor]:
    """What a raised phrase adds to the flat logits of the masked positions of a text: (N, V)."""
    link = Scripted(len(text))
    bias = Bias([{phrase: strength}], link)
    canvas = Canvas.build([[]], [[0] * len(text)], [0], mask=0, ends=(1,))
    start = canvas.tokens.shape[1] - len(text)
    canvas = replace(canvas, tokens=torch.cat([canvas.tokens[:, :start], torch.tensor([text])], 1))
    canvas = replace(canvas, active=canvas.masked)
    flat = torch.zeros(canvas.at[0].numel(), link.vocabulary)
    return bias, canvas, bias(canvas, flat)


@pytest.mark.parametrize(
    "text, offered",
    [
        ([2, 0, 0, 11], {0: 4}),  # two masked positions: the first token is raised
        ([2, 0, 2], {}),  # one is not enough
        ([2, 0, 0, 7], {}),  # a word would go on behind it
        ([0, 0, 2], {0: (4, 10)}),  # at the start with a blank or without
        ([6, 0, 0], {0: 10}),  # after a line end without one
        ([2, 4, 0], {0: 5}),  # what of it stands is completed
        ([2, 12, 0, 0], {0: 10}),  # after a blank without another
        ([2, 1, 0, 0], {}),  # not behind the end of the text
        ([2, 0, 5, 2], {0: 4}),
    ],
)
def test_a_raised_phrase_is_offered_where_it_fits(text, offered):
    _, canvas, bias = raised(text)
    for n in range(bias.shape[0]):
        wanted = offered.get(n, ())
        wanted = {wanted} if isinstance(wanted, int) else set(wanted)
        assert set((bias[n] > 0).nonzero()[:, 0].tolist()) <= wanted
        assert bool(wanted) == bool((bias[n] > 0).any()), (n, bias[n])


def test_strength_fades_with_each_occurrence_that_stands():
    for phrase, token, factor in (("moon", 3, 1), ("lantern", 4, 1.5)):
        for stands, left in ((0, 8.0 * factor), (1, 2.0 * factor), (2, 0.5 * factor)):
            whole = [3] if phrase == "moon" else [4, 5]
            _, _, bias = raised([2, *whole * stands, 2, 0, 0, 11], phrase, 8.0)
            assert bias[0, token].item() == pytest.approx(left)


def picked(
    text: list[int], tokens: list[int], confidences: list[float], barred: int | None = None
) -> list[int]:
    """The text after the sampler chose these tokens for the masked positions, lantern raised."""
    bias, canvas, logits = raised(text)
    if barred is not None:
        logits[:, barred] = -torch.inf
    confidence = torch.tensor(confidences)
    every = torch.ones_like(confidence, dtype=torch.bool)
    choice = bias.place(canvas, logits, Choice(torch.tensor(tokens), confidence, every, confidence))
    return canvas.fill(choice.commit, choice.token).tokens[0, -len(text) :].tolist()


def test_a_phrase_is_committed_whole_and_once():
    assert picked([2, 0, 0, 0, 0, 0, 0], [4, 2, 2, 4, 3, 2], [0.5, 0.9, 0.9, 0.8, 0.9, 0.9]) == [
        2,
        0,
        2,
        0,
        4,
        5,
        0,
    ]
    assert picked([2, 0, 0, 2], [3, 5], [0.9, 0.8]) == [2, 3, 5, 2], "what was not raised is left alone"
    assert picked([2, 4, 0, 2], [5], [0.9]) == [2, 4, 5, 2]


def test_a_phrase_with_a_banned_token_is_withdrawn_and_not_offered_again():
    assert picked([2, 0, 0, 2], [4, 2], [0.9, 0.8], barred=5) == [2, 0, 2, 2]
    bias, canvas, logits = raised([2, 0, 0, 2])
    logits[:, 5] = -torch.inf
    confidence = torch.tensor([0.9, 0.8])
    bias.place(canvas, logits, Choice(torch.tensor([4, 2]), confidence, confidence > 0, confidence))
    assert not (bias(canvas, torch.zeros(2, Scripted.vocabulary)) > 0).any()


def test_no_word_goes_on_behind_a_placed_phrase():
    bias, canvas, logits = raised([2, 0, 0, 0])
    confidence = torch.tensor([0.9, 0.8, 0.7])
    choice = bias.place(
        canvas, logits, Choice(torch.tensor([4, 2, 7]), confidence, confidence > 0, confidence)
    )
    assert choice.together.tolist() == [True, True, False] and choice.commit.tolist() == [True, True, False]
    canvas = canvas.fill(choice.commit, choice.token)
    canvas = canvas.activate(canvas.masked)
    bias(canvas, logits[: int(canvas.masked.sum())])  # the next call, which sees the phrase stand
    sealed = bias.seals(canvas)
    assert [word for word, no in zip(Scripted.characters, sealed[0].tolist(), strict=True) if no] == [
        "tern", "s", "OON", "lan",
    ]  # fmt: skip


def test_a_phrase_that_no_token_writes():
    with pytest.raises(ValueError, match="no tokens to write 'zebra'"):
        Bias([{"zebra": 5.0}], Scripted(4))
    canvas = Canvas.build([[]], [[0] * 4], [0], mask=0)
    canvas = canvas.activate(canvas.masked)
    logits = torch.zeros(4, Scripted.vocabulary)
    assert Bias([{"zebra": -5.0}], Scripted(4))(canvas, logits) is logits, "nothing to lower"


def test_what_is_forbidden_is_not_raised_and_a_note_says_so(app):
    result = write(app, logit_bias={"more": "a cat:50, dog:5", "never": "cat"}, length=12)
    assert "cat" not in result.text and "'a cat' is not raised, because Never forbids it." in result.notes


def test_a_raised_phrase_that_completes_a_forbidden_one_falls_as_a_whole(app):
    """ "old cat" is forbidden; "cat zebra" is raised right behind a given "old"."""
    result = write(
        app,
        prompt="old ____________________",
        count=8,
        logit_bias={"more": "cat zebra:50", "never": "old cat"},
        **SOME,
    )
    for part in result.parts:
        assert not words("old cat").search(part.text)
        assert times("cat", [part.text]) == times("cat zebra", [part.text]) and "…" not in part.text


SOME = {"temperature": 1.0, "seed": 3}


# -- never ---------------------------------------------------------------------------------------------------

FLOOD = {
    "letters": "t:7, h:5, a:9"
}  # texts of these letters and blanks, in every way of cutting words into tokens
FORBIDDEN = ("aa", "aaa", "aaaa", "aaaaa", "ta", "ata", "taa", "a a")  # none of them is one token


@pytest.mark.parametrize(
    "how",
    [
        {"sampler": "random"},
        {"sampler": "random", "steps": 2},
        {"sampler": "low_confidence"},
        {"sampler": "low_confidence", "steps": 4, "block_length": 8},
        {"sampler": "threshold", "threshold": 0.05},
    ],
    ids=str,
)
def test_forbidden_words_never_come_however_they_are_cut_into_tokens(app, how):
    control = all_texts(app, **how, flood=FLOOD)
    texts = all_texts(app, **how, flood=FLOOD, logit_bias={"never": ",".join(FORBIDDEN)})
    assert sum(times(word, control) for word in FORBIDDEN) > 2, "they would come"
    assert {word: times(word, texts) for word in FORBIDDEN} == dict.fromkeys(FORBIDDEN, 0)


def test_a_forbidden_character_of_several_tokens_never_comes(app):
    """Its tokens are bytes, raised here one by one."""
    flood = {"flood": {"text": "猫"}, "length": 40}
    assert "猌" in "".join(all_texts(app, **flood))
    assert "猌" not in "".join(all_texts(app, **flood, logit_bias={"never": "猌"}))


def test_a_word_that_is_forbidden_in_given_text_stays_there_only(app):
    text = write(
        app,
        prompt="that cat ________ that",
        count=8,
        temperature=1.0,
        flood=FLOOD,
        logit_bias={"never": "that,cat"},
    )
    for part in text.parts:
        assert part.text.startswith("that cat ") and part.text.endswith(" that")
        assert (times("that", [part.text]), times("cat", [part.text])) == (2, 1)


class Letters:
    """A link to a model whose tokens are characters; token 0 is the mask, 1 has no text."""

    mask, device, ends = 0, "cpu", ()
    characters = ("", "", *string.ascii_letters, *" \nß猫黑在é—.+1")
    vocabulary = len(characters)

    def encode(self, text):
        return [self.characters.index(c, 2) for c in text]

    def encode_all(self, texts):
        return [self.encode(text) for text in texts]

    def decode(self, tokens):
        return "".join(self.characters[token] for token in tokens)

    def answer(self, row):
        return [0] * self.length

    def words(self):
        return self.characters


def committed(phrase: str, text: str, groups: list[list[int]]) -> str:
    """What is left of `text` when its characters are committed in these groups, with the phrase forbidden; "_"
    where it is masked."""
    link = Letters()
    link.length = len(text)
    never = Never([phrases.plain(f'"{phrase}"')], link)
    canvas = Canvas.build([[]], [[0] * len(text)], [0], mask=0)
    start = int(canvas.answer[0])
    for group in groups:
        active = torch.zeros_like(canvas.active)
        active[0, [start + i for i in group]] = True
        canvas = replace(canvas, active=active)
        tokens = torch.tensor([link.encode(text[i])[0] if text[i] != "\0" else 1 for i in sorted(group)])
        confidence = torch.tensor([1.0 - group.index(i) / 100 for i in sorted(group)])
        every = torch.ones_like(tokens, dtype=torch.bool)
        withdrawn, _ = never.check(canvas, Choice(tokens, confidence, every, confidence))
        every[withdrawn] = False
        canvas = canvas.fill(every, tokens)
    return "".join("_" if token == 0 else link.decode([token]) for token in canvas.tokens[0, start:].tolist())


STANDS = [
    ("cat", "a cat sat"),
    ("cat", "cat"),
    ("cat", "CAT."),
    ("cat", "c\0at"),  # a token without a text between
    ("golden ring", "a golden \n ring"),
    ("golden ring", "Golden Ring"),
    ("straße", "STRASSE"),
    ("—", "wat—what"),
    ("...", "no...a"),
    ("C++", "a C++ cat"),
    ("猫", "黑猫在"),
    ("abcde abcde abcde abcde abcde", "x abcde abcde abcde abcde abcde x"),
]
OTHER = [
    ("cat", "concatenation"),
    ("cat", "cats"),
    ("cat", "cat1"),
    ("golden ring", "goldenring"),
    ("...", "no.. ."),
    ("a", "—at—"),
]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("phrase, text", STANDS)
def test_a_forbidden_phrase_is_broken_in_whatever_order_it_comes(phrase, text, seed):
    order = list(range(len(text)))
    random.Random(seed).shuffle(order)
    groups, at = [], 0
    while at < len(order):
        size = random.Random(seed + at).randint(1, len(order))
        groups.append(order[at : at + size])
        at += size
    left = committed(phrase, text, groups)
    assert "_" in left and phrases.pattern((phrase,)).search(left) is None
    assert left.replace("_", ""), "no more is withdrawn than it takes"


@pytest.mark.parametrize("phrase, text", OTHER)
def test_longer_words_that_hold_a_forbidden_one_are_allowed(phrase, text):
    """When they come from their end: what stands alone while its neighbours are masked could still become the
    word."""
    assert committed(phrase, text, [[i] for i in reversed(range(len(text)))]) == text


# -- rows ----------------------------------------------------------------------------------------------------


MORE = "t:20, h:20, a cat:20"


def test_rows_with_other_words_or_none_do_not_touch_each_other(tmp_path):
    app = program(tmp_path, dtype="float64")
    request = app.Request(temperature=1.0, length=12, seed=4)
    biases = [{}, {"more": MORE}, {"less": "L:20"}, {"more": MORE, "never": "a"}, {}]
    cells = [
        replace(app.expand(request.replace(logit_bias=bias))[0], id=str(i)) for i, bias in enumerate(biases)
    ]
    together = {
        e.cell: e.result.text for e in app.engine.generate(cells, "j", lambda: False) if hasattr(e, "result")
    }
    for cell in cells:
        (alone,) = [
            e.result.text for e in app.engine.generate([cell], "j", lambda: False) if hasattr(e, "result")
        ]
        assert together[cell.id] == alone
    assert len(set(together.values())) == 4, "each of them acts"
    app.close()
