"""The words of the page: the same keys and placeholders in every language, a word for every key that a script
names."""

from __future__ import annotations

import json
import re

import pytest

from tests.conftest import ROOT
from webui.page.languages import embedded, languages
from webui.settings import Settings


def _folders(folder):
    return {path.name: path for path in sorted(folder.iterdir())}


UI = ROOT / "webui" / "page"
WORDS = languages()
TRANSLATED = "fields.json"  # what English declares elsewhere: fields, options, settings
NAMES = sorted(set(WORDS) - {"en"})


def area(language: str) -> dict[str, dict[str, str]]:
    files = sorted((UI / "languages" / language).glob("*.json"))
    return {file.name: json.loads(file.read_text("utf-8")) for file in files if file.name != TRANSLATED}


@pytest.mark.parametrize("language", NAMES)
def test_every_language_has_the_same_keys(language):
    english, other = area("en"), area(language)
    assert english.keys() == other.keys()
    for name in english:
        assert list(english[name]) == list(other[name]), (
            f"{name}: {english[name].keys() ^ other[name].keys()}"
        )


@pytest.mark.parametrize("language", NAMES)
def test_every_text_names_the_same_values(language):
    for key, text in WORDS["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", WORDS[language][key])), key
        assert WORDS[language][key].strip(), key


def test_every_key_that_a_script_says_has_words():
    said = {}
    for file in UI.rglob("*.js"):
        for key in re.findall(r"""\bsay\(\s*["'`]([\w.-]+)["'`]""", file.read_text("utf-8")):
            said.setdefault(key, file.name)
    assert len(said) > 50
    missing = {key: file for key, file in said.items() if key not in WORDS["en"] and not key.endswith(".")}
    assert not missing


def test_every_key_that_a_script_puts_together_has_words():
    """`say(`canvas.view.${name}`)`: some key begins, and ends, like that."""
    for file in UI.rglob("*.js"):
        for first, last in re.findall(r"`([a-z]+\.[\w.]*)\$\{[^}`]*\}([\w.]*)`", file.read_text("utf-8")):
            found = [key for key in WORDS["en"] if key.startswith(first) and key.endswith(last)]
            assert found or first.startswith(("field.", "extension.", "setting.")), (file.name, first, last)
        for key in re.findall(r"""counted\("(history\.[\w.]+)\"""", file.read_text("utf-8")):
            assert {f"{key}.one", f"{key}.many"} <= WORDS["en"].keys(), (file.name, key)


@pytest.mark.parametrize("language", NAMES)
def test_every_field_has_a_name_and_help(language, app_fields):
    words = languages(_folders(ROOT / "extensions"))[language]
    missing = [
        f"field.{path}.{part}"
        for path in app_fields
        for part in ("label", "help")
        if f"field.{path}.{part}" not in words
    ]
    assert not missing


@pytest.mark.parametrize("language", NAMES)
def test_every_setting_has_a_name_and_help(language):
    for name in Settings.model_fields:
        assert f"setting.{name}.label" in WORDS["en"] and {
            f"setting.{name}.label",
            f"setting.{name}.help",
        } <= set(WORDS[language])


@pytest.fixture
def app_fields(tmp_path):
    """The paths of all fields that are drawn, of core and extensions."""
    from webui.application import App
    from webui.page.controls import controls_of

    app = App(Settings(data=tmp_path))
    yield [".".join(control.path) for control in controls_of(app.Request, app)]
    app.close()


def test_an_extension_speaks_only_of_itself(tmp_path):
    folder = tmp_path / "mine" / "languages"
    folder.mkdir(parents=True)
    own = {
        "extension.mine.title": "Meins",
        "field.mine.x.label": "</script>",
        "page.write": "Gekapert",
        "field.other.x.label": "Fremd",
    }
    (folder / "de.json").write_text(json.dumps(own), "utf-8")
    (tmp_path / "broken" / "languages").mkdir(parents=True)
    (tmp_path / "broken" / "languages" / "de.json").write_text("{", "utf-8")
    words = languages(_folders(tmp_path))["de"]
    assert words["extension.mine.title"] == "Meins" and words["page.write"] == WORDS["de"]["page.write"]
    assert "field.other.x.label" not in words
    assert "</script>" not in embedded("de", _folders(tmp_path)).removesuffix("</script>")
