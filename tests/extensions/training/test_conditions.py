"""Conditions: true of the story, in all their forms, with everything dropped now and then."""

import random
from collections import Counter
from dataclasses import replace

from extensions.training.conditions import (
    END_TAGS,
    Facts,
    article,
    condition,
    fields,
    of_story,
    sentence,
    tags,
)
from extensions.training.grammar import words_of

FACTS = Facts(
    words=("dragon", "cake"),
    hero="brave dragon",
    kind="dragon",
    friend="owl",
    place="castle",
    end="happy",
    talk=True,
)


def test_the_forms_come_in_their_shares():
    counts = Counter()
    for seed in range(4000):
        text = condition(FACTS, random.Random(seed))
        counts[
            "none"
            if not text
            else "fields"
            if ": " in text
            else "sentence"
            if text.split()[0] in ("Write", "Tell", "A", "Please", "I", "Can", "Make", "Story")
            and "tory" in text
            or "Write about" in text
            or "tale" in text
            else "tags"
        ] += 1
    assert 0.08 < counts["none"] / 4000 < 0.13
    assert 0.44 < counts["tags"] / 4000 < 0.58  # with the sentences that only say what about
    assert 0.18 < counts["fields"] / 4000 < 0.27
    assert 0.13 < counts["sentence"] / 4000 < 0.21


def test_each_part_is_dropped_about_three_times_in_ten():
    for write in (tags, fields, sentence):
        counts = Counter()
        for seed in range(2000):
            text = write(FACTS, random.Random(seed)).lower()
            counts.update(part for part in ("dragon", "cake", "castle") if part in text)
        share = {part: count / 2000 for part, count in counts.items()}
        assert 0.65 < share["cake"] < 0.75 and 0.65 < share["castle"] < 0.75, (write, share)


def test_words_of_the_condition_are_words_of_the_story(grammar):
    known = {word for words in END_TAGS.values() for tag in words for word in tag.split()} | set(
        "no without dialogue talking in the".split()
    )
    for seed in range(300):
        story = grammar.story(seed)
        facts = replace(of_story(story.attributes), hero=None)
        told = set(words_of(tags(facts, random.Random(seed)))) - known - {"a", "an", "some"}
        assert told <= set(words_of(story.text)), (told, story)


def test_the_end_and_the_talk_are_told_as_they_are(grammar):
    for seed in range(300):
        story = grammar.story(seed)
        text = fields(of_story(story.attributes), random.Random(seed))
        assert "End: " not in text or f"End: {story.attributes.end}" in text
        assert "Talk: " not in text or ("Talk: yes" in text) == story.attributes.talk


def test_fields_stand_on_lines_or_between_slashes():
    texts = {fields(replace(FACTS, words=("cake",)), random.Random(seed)) for seed in range(400)}
    assert "Words: cake\nHero: brave dragon\nFriend: owl\nPlace: castle\nEnd: happy\nTalk: yes" in texts
    assert "Words: cake / Hero: brave dragon / Friend: owl / Place: castle / End: happy / Talk: yes" in texts


def test_a_continuation_begins_with_what_came_before():
    texts = [condition(replace(FACTS, before="The owl slept."), random.Random(seed)) for seed in range(50)]
    assert all(text.endswith("More: The owl slept.") for text in texts)
    assert len(set(texts)) > 10


def test_an_open_end_is_always_told():
    for write in (tags, fields, sentence):
        for seed in range(100):
            text = write(replace(FACTS, end="open"), random.Random(seed)).lower()
            assert "open" in text or "continued" in text or "goes on" in text


def test_articles():
    assert [article(word) for word in ("dragon", "owl", "unicorn", "Lily", "apples")] == [
        "a dragon",
        "an owl",
        "a unicorn",
        "Lily",
        "apples",
    ]
    assert article("soup") in ("soup", "some soup")


def test_wordings_are_a_function_of_the_draw():
    assert [condition(FACTS, random.Random(seed)) for seed in range(50)] == [
        condition(FACTS, random.Random(seed)) for seed in range(50)
    ]


def test_three_and_four_keywords_are_as_common_as_one_and_two():
    facts = Facts(words=("dragon", "kite", "cake", "owl"))
    counts = Counter(tags(facts, random.Random(seed)).count(",") + 1 for seed in range(2000))
    assert counts[4] > 0.35 * 2000 and counts[3] + counts[4] > counts[1] + counts[2]


def test_the_friend_is_rarely_named_and_the_hero_as_often_as_before():
    facts = replace(FACTS, words=("dragon", "cake", "owl"))
    written = [condition(facts, random.Random(seed)) for seed in range(2000)]
    friend, hero = (sum(word in text for text in written) / 2000 for word in ("owl", "dragon"))
    assert 0.15 < friend < 0.35 and hero > 0.6


def test_no_dialogue_is_told_as_often_as_dialogue():
    told = [
        sum(
            "dialogue" in tags(replace(FACTS, talk=talk), random.Random(seed)).lower() for seed in range(2000)
        )
        for talk in (True, False)
    ]
    assert told[0] / 2000 > 0.45 and told[1] / 2000 > 0.6


def test_a_gist_says_what_the_story_is_about_as_people_do(grammar):
    facts = replace(FACTS, gists=("a girl who loses her umbrella",), words=())
    texts = {sentence(facts, random.Random(seed)) for seed in range(400)}
    assert any(text.startswith("Write a story about a girl who loses her umbrella") for text in texts)
    assert any(text.startswith("a girl who loses her umbrella") for text in texts)
    for seed in range(300):
        story = grammar.story(seed).attributes
        assert story.gists and all(" a a" not in gist and "{" not in gist for gist in story.gists), story
