"""The story grammar: seeded, varied, true to its attributes, and strict about its files."""

import re
import shutil
from pathlib import Path

import pytest

from extensions.training import grammar as package
from extensions.training.grammar import HAPPY_WORDS, SAD_WORDS, Grammar, GrammarError, is_held_out, words_of
from extensions.training.grammar.words import mend_articles

FOLDER = Path(package.__file__).parent
TOLD = 4000

BEATS = {
    "start": ("", False, "{Time}, {a hero} found {a thing} {in place} and number was N."),
    "next": ("", False, "Then {hero} met {a friend} number N."),
    "talk": ("talk", True, '"Look at my {thing}," {hero} told {friend} N times.'),
    "quiet": ("quiet", True, "{Hero} showed {the thing} to {friend} N times."),
    "up": ("happy", False, "They played N games with {the thing}."),
    "down": ("sad", False, "{The thing} broke N times."),
    "well": ("happy", False, "{Hero} laughed N times."),
    "badly": ("sad", False, "{Hero} cried N times."),
    "more": ("", False, "They looked at {the thing} N times."),
    "long": ("long", False, "{Hero} sat there for N days."),
}
ORDER = ("start", "next", "more", "long", "talk", "quiet", "up", "down", "well", "badly")
NUMBERS = ("one", "two", "three", "four", "five")


def plot_text(
    changed: dict | None = None, count: int = 5, order: tuple = ORDER, name: str = "little-test"
) -> str:
    """A valid plot as TOML, with some beats replaced and `count` wordings each."""
    beats = BEATS | (changed or {})
    text = f'[[plot]]\nname = "{name}"\n'
    for key in order:
        when, para, say = beats[key]
        wordings = [say] if isinstance(say, str) else list(say)
        wordings = wordings + [
            wordings[-1].replace("N", number) for number in NUMBERS[: count - len(wordings)]
        ]
        text += f"[[plot.beat]]\nwhen = '{when}'\npara = {str(para).lower()}\nsay = [\n"
        text += "".join(f"'''{wording}''',\n" for wording in wordings) + "]\n"
    return text


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return Grammar.load()


@pytest.fixture(scope="module")
def stories(grammar):
    return [grammar.story(seed) for seed in range(TOLD)]


def load_text(folder: Path, text: str) -> Grammar:
    shutil.copy(FOLDER / "lexicon.toml", folder)
    (folder / "plots-9.toml").write_text(text, encoding="utf-8")
    return Grammar.load(folder)


def test_same_seed_same_story(grammar, stories):
    again = Grammar.load()
    assert [again.story(seed) for seed in range(50)] == stories[:50]
    assert stories[0] != stories[1]


def test_stories_are_unique(grammar):
    """Of 25,000 at most 6 come twice: in 100,000, with 16 times the pairs, that is at most 100."""
    texts = {hash(grammar.story(seed).text) for seed in range(25_000)}
    assert len(texts) >= 24_994


def test_keywords_are_whole_words_of_the_text(stories):
    for story in stories:
        words = set(words_of(story.text))
        facts = story.attributes
        nouns = [*facts.words, *facts.hero.split(), facts.kind, facts.friend, facts.place, facts.elder]
        missing = [noun for noun in nouns if noun and noun not in words]
        assert not missing, (missing, story.text)
        assert len(set(facts.words)) == len(facts.words) >= 1
        assert {facts.kind, facts.friend} - {None} <= set(facts.words)
        assert facts.name is None or re.search(rf"\b{facts.name}\b", story.text)
        assert facts.friend != facts.kind != facts.elder


def test_girl_and_boy_come_last_among_the_keywords(stories):
    for story in stories:
        children = [word in ("girl", "boy") for word in story.attributes.words]
        assert children == sorted(children)


def test_quote_marks_tell_of_dialogue(stories):
    for story in stories:
        assert ('"' in story.text) == story.attributes.talk
        assert story.text.count('"') % 2 == 0


def test_the_end_is_told_by_its_words(stories):
    for story in stories:
        tail = set(words_of(story.text)[-30:])
        happy = story.attributes.end == "happy"
        assert tail & (HAPPY_WORDS if happy else SAD_WORDS), story.text
        last = set(words_of(re.split(r"(?<=[.!?\"]) ", story.text)[-1]))
        assert not last & (SAD_WORDS if happy else HAPPY_WORDS), story.text


def test_lengths_and_form_of_the_text(stories):
    for story in stories:
        text = story.text
        assert 35 <= len(words_of(text)) <= 95
        assert text.isascii() and "  " not in text and "{" not in text and "|" not in text
        assert text[0].isupper() or text[0] == '"'
        assert not re.search(r"[.!?] [a-z]", text), text
        assert not re.search(r"\b[Aa] (?!one)[aeio]|\b[Aa]n (?!hour)[^aeiou]", text), text
        assert not re.search(r"\b(the|a|an) (the|a|an|some)\b", text), text
        assert text.count("\n\n") == text.count("\n") / 2 <= 1
    halves = sum("\n\n" in story.text for story in stories) / TOLD
    assert 0.45 < halves < 0.55


def test_every_plot_comes_in_all_four_combinations(grammar, stories):
    seen = {(story.attributes.plot, story.attributes.end, story.attributes.talk) for story in stories}
    wanted = {
        (plot.name, end, talk) for plot in grammar.plots for end in ("happy", "sad") for talk in (True, False)
    }
    assert seen == wanted


def test_about_one_story_in_twenty_is_held_out(stories):
    assert 0.03 < sum(story.held_out for story in stories) / TOLD < 0.07
    for story in stories[:200]:
        facts = story.attributes
        swapped = (*facts.words[:2][::-1], *facts.words[2:])
        assert is_held_out(facts.words, facts.place) == is_held_out(swapped, facts.place) == story.held_out


def test_held_out_hash_is_stable_across_processes():
    kinds = ("fox", "cat", "dog", "owl", "bear", "lion", "pig", "duck")
    held = [(one, two) for one in kinds for two in kinds if one < two and is_held_out((one, two), "park")]
    assert held == [("cat", "fox")]


def test_lexicon_covers_every_word(grammar, stories):
    lexicon = grammar.lexicon()
    assert not {word for story in stories[:2000] for word in words_of(story.text)} - lexicon


def test_costs_are_positive_and_conditions_cost_less(grammar, stories):
    for story in stories:
        assert 0 < story.condition_nats < story.nats
    assert stories[7].nats == grammar.story(7).nats


def test_the_example_plot_is_valid(tmp_path):
    grammar = load_text(tmp_path, plot_text())
    assert [plot.name for plot in grammar.plots] == ["little-test"]


BAD = {
    "unknown slot": (
        {"next": ("", False, "Then {hero} met {a freind} number N.")},
        r"unknown slot \{a freind\}",
    ),
    "no introduction": (
        {"next": ("", False, "Then {hero} met {friend} number N.")},
        "before the friend is introduced",
    ),
    "two introductions": ({"up": ("happy", False, "They saw {a friend} N times.")}, "introduces again"),
    "hero not first": ({"start": ("", False, "{Time}, N times it rained.")}, "first beat"),
    "uneven roles": (
        {"next": ("", False, ("Then {hero} met {a friend}.", "It rained N times."))},
        "different roles",
    ),
    "uneven place": (
        {"up": ("happy", False, ("They saw {elder}.", "They saw N birds."))},
        "only some wordings",
    ),
    "quote in quiet": ({"quiet": ("quiet", True, 'They said "oh" N times.')}, "outside of a talk beat"),
    "talk without quote": ({"talk": ("talk", True, "They talked N times.")}, "quote marks in pairs"),
    "no happy word": ({"well": ("happy", False, "{Hero} went home N times.")}, "one of its happy words"),
    "no sad word": ({"badly": ("sad", False, "{Hero} went home N times.")}, "one of its sad words"),
    "happy word after sad turn": (
        {"down": ("sad", False, "A bird laughed N times.")},
        "'laughed' cannot stand",
    ),
    "sad word at happy end": (
        {"well": ("happy", False, "{Hero} smiled and cried N times.")},
        "'cried' cannot stand",
    ),
    "not ascii": ({"up": ("happy", False, "They saw N caf\u00e9s.")}, "not ASCII"),
    "semicolon": ({"up": ("happy", False, "They ran; N times.")}, "semicolon"),
    "double blank": ({"up": ("happy", False, "They ran (fast|) for N days.")}, "blanks or marks"),
    "lower case": ({"up": ("happy", False, "they ran for N days.")}, "without a capital"),
    "capital within": ({"up": ("happy", False, "Then {Hero} ran for N days.")}, "inside of a sentence"),
    "no full stop": ({"up": ("happy", False, "They ran for N days")}, "full stop"),
    "article": ({"up": ("happy", False, "They saw the {thing} N times.")}, "articles come from the slot"),
    "nested": ({"up": ("happy", False, "They ran (a|(b|c)) N times.")}, "nested"),
    "no choice": ({"up": ("happy", False, "They ran (fast) N times.")}, r"no \| to choose"),
    "braces": ({"up": ("happy", False, "They ran } N times.")}, "braces do not pair"),
    "unknown condition": ({"up": ("merry", False, "They ran N times.")}, "`when` must hold"),
    "excluding conditions": ({"up": ("happy sad", False, "They ran N times.")}, "exclude each other"),
    "no para": ({"quiet": ("quiet", False, "They sat N times.")}, "exactly one beat with para"),
    "fits any story": ({"up": ("happy", False, "{He} ran for N days.")}, "it fits any story"),
    "same text twice": (
        {"up": ("happy", False, ("They ran.", "They ran N times.", "They ran."))},
        "same text stands",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plot_is_refused_with_its_place(tmp_path, case):
    changed, message = BAD[case]
    with pytest.raises(GrammarError, match=message) as caught:
        load_text(tmp_path, plot_text(changed))
    assert all(line.startswith("plots-9.toml, plot 'little-test'") for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 4}, "4 wordings, at least 5"),
        (
            {"order": tuple(key for key in ORDER if key not in ("next", "more", "long", "talk", "quiet"))},
            "has 3 beats",
        ),
        ({"name": "Little Test"}, "kebab-case"),
    ],
)
def test_counts_and_names_are_checked(tmp_path, arguments, message):
    with pytest.raises(GrammarError, match=message):
        load_text(tmp_path, plot_text(**arguments))


def test_faults_of_files(tmp_path):
    with pytest.raises(GrammarError, match="not valid TOML"):
        load_text(tmp_path, "[[plot]\n")
    with pytest.raises(GrammarError, match="same name"):
        load_text(tmp_path, plot_text() + plot_text())
    with pytest.raises(GrammarError, match="avoid names 'unobtainium'"):
        load_text(tmp_path, plot_text().replace('test"\n', 'test"\navoid = ["unobtainium"]\n', 1))
    (tmp_path / "plots-9.toml").unlink()
    with pytest.raises(GrammarError, match="no plots"):
        Grammar.load(tmp_path)
    lexicon = (FOLDER / "lexicon.toml").read_text(encoding="utf-8")
    (tmp_path / "lexicon.toml").write_text(lexicon.replace('"brave", ', '"brave", "sad", '), encoding="utf-8")
    with pytest.raises(GrammarError, match="belong to the plots only: sad"):
        Grammar.load(tmp_path)


def test_what_a_plot_names_or_avoids_is_not_drawn(tmp_path):
    changed = {"up": ("happy", False, "{Hero} chased a fox around the castle for N days.")}
    text = plot_text(changed).replace('test"\n', 'test"\navoid = ["drum"]\n', 1)
    grammar = load_text(tmp_path, text)
    drawn = set()
    for seed in range(1500):
        facts = grammar.story(seed).attributes
        drawn |= {*facts.words, facts.place}
    assert not drawn & {"fox", "castle", "drum"}
    assert {"cat", "park", "kite"} <= drawn


def test_articles_are_mended():
    assert mend_articles("A owl had a orange and an fox.") == "An owl had an orange and a fox."
    assert (
        mend_articles("a unicorn, an hour, a one, a useful hat") == "a unicorn, an hour, a one, a useful hat"
    )
