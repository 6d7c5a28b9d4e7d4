"""What the tests of training share: a small tokenizer, the tiny recipe, and a folder of real text made on the
spot."""

import json
from dataclasses import replace

import pytest

from extensions.training import corpus, recipe, tokenizer
from extensions.training.grammar import Grammar


@pytest.fixture(scope="session")
def grammar():
    return Grammar.load()


@pytest.fixture(scope="session")
def tiny():
    return recipe.read("tiny")


@pytest.fixture(scope="session")
def made(tiny, grammar):
    return tokenizer.train(corpus.texts_for_tokenizer(tiny, grammar, {}), tiny.network.vocabulary)


@pytest.fixture(scope="session")
def mixed(tiny):
    """The tiny recipe with real text."""
    return replace(
        tiny,
        data=replace(
            tiny.data, grammar=0.5, tinystories=0.3, storybooks=0.1, fables=0.1, stories_for_tokenizer=500
        ),
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory, grammar):
    """A corpus in the format of the real one."""
    made = tmp_path_factory.mktemp("corpus")
    stories = [grammar.story(index).text for index in range(120)]
    long = [" ".join(stories[i : i + 4]).replace('"', "\u201c") for i in range(0, 120, 4)]
    prompt = (
        "Create a fable\n  - Main Character: a honest goose\n  - Setting: a old barn where our story "
        "unfolds\n"
        "  - Challenge: a secret revealed\n  - Outcome: peace\n  - Teaching: love conquers fear\n"
    )
    write = lambda name, rows: (made / name).write_text("\n".join(json.dumps(row) for row in rows))  # noqa: E731
    write("tinystories-train.jsonl", [{"text": text} for text in stories[:60] + long])
    write("tinystories-heldout.jsonl", [{"text": text} for text in stories[60:70]])
    write("fables.jsonl", [{"prompt": prompt, "text": text} for text in long[:10]])
    write("storybooks.jsonl", [{"title": "T", "text": text} for text in long[10:]])
    return made
