"""Settings: read from a file and flags, changed while the program runs, written so that the file stays a
person's."""

from __future__ import annotations

import json
import resource
import tomllib

import pytest

from webui.application import App
from webui.settings import OnlyInFile, Settings

FILE = """# My settings
keep_history = true   # every story

# how it looks
theme = "auto"
quick_settings = [
    "steps",  # often
]
"""


@pytest.fixture
def settings(tmp_path) -> Settings:
    (tmp_path / "settings.toml").write_text(FILE)
    return Settings.read(data=tmp_path)


def test_a_change_is_there_and_in_the_file_with_its_comments(settings):
    changed = settings.change({"theme": "dark", "keep_history": False, "language": "de"})
    assert (changed.theme, changed.keep_history, changed.language) == ("dark", False, "de")
    assert settings.theme == "auto", "frozen"
    text = settings.file.read_text()
    assert (
        text
        == FILE.replace('theme = "auto"', 'theme = "dark"').replace("= true ", "= false ")
        + 'language = "de"\n'
    )
    assert Settings.read(data=settings.data) == changed
    again = changed.change({"quick_settings": ["guidance.scale", "steps"], "notify_after": 0})
    assert again.quick_settings == ("guidance.scale", "steps") and Settings.read(data=settings.data) == again


def test_without_a_file_one_is_made_with_what_was_changed(tmp_path):
    changed = Settings(data=tmp_path / "new", threads=1).change({"palette": "colour-blind"})
    assert changed.threads == 1 and changed.file.read_text() == 'palette = "colour-blind"\n', (
        "flags stay flags"
    )


@pytest.mark.parametrize("name", Settings(data="/nowhere").that_act("file"))
def test_what_reaches_beyond_the_program_is_only_in_the_file(settings, name):
    with pytest.raises(OnlyInFile, match=f"^The setting {name} can only be changed in .*settings.toml"):
        settings.change({"theme": "dark", name: getattr(settings, name)})
    assert settings.file.read_text() == FILE


def test_folders_addresses_and_limits_are_only_in_the_file():
    fixed = {
        "host",
        "port",
        "allowed_hosts",
        "models",
        "more_models",
        "built_in",
        "extensions",
        "safe_mode",
        "add_extensions",
        "data",
        "threads",
        "downloads",
        "memory_budget",
        "batch_rows",
        "max_cells",
        "max_queue",
    }
    assert set(Settings.that_act("file")) == fixed | {"max_body"}
    assert set(Settings.that_act("now", "restart")) | set(Settings.that_act("file")) == set(
        Settings.model_fields
    )


WRONG = [
    ({"nope": 1}, "There is no setting 'nope'."),
    ({"theme": "pink"}, "Setting theme: "),
    ({"theme": None}, "Setting theme: "),
    ({"keep_history": "yes"}, "Setting keep_history: "),
    ({"keep_history": 1}, "Setting keep_history: "),
    ({"notify_after": -1}, "Setting notify_after: "),
    ({"notify_after": 1.5}, "Setting notify_after: "),
    ({"notify_after": float("nan")}, "Setting notify_after: "),
    ({"quick_settings": "steps"}, "Setting quick_settings: "),
    ({"quick_settings": ["../x"]}, "Setting quick_settings.0: "),
    ({"quick_settings": ["a.b.c"]}, "Setting quick_settings.0: "),
    ({"quick_settings": ["a"] * 21}, "Setting quick_settings: "),
    ({"model": "x" * 201}, "Setting model: "),
    ({"language": "\udc00"}, "The settings have a value that no setting can have."),
]


@pytest.mark.parametrize("changes, sentence", WRONG, ids=[json.dumps(changes)[:40] for changes, _ in WRONG])
def test_a_wrong_value_is_one_sentence_and_changes_nothing(settings, changes, sentence):
    with pytest.raises(ValueError) as refused:
        settings.change({"theme": "dark", **changes})
    assert str(refused.value).startswith(sentence) and "\n" not in str(refused.value)
    assert settings.file.read_text() == FILE


@pytest.mark.parametrize(
    "text", ["theme = ", "theme = 'dark'\ntheme = 'light'\n", "theme = 'pink'\n", "port = -1\n"]
)
def test_a_file_that_was_spoilt_meanwhile_is_not_written_over(settings, text):
    settings.file.write_text(text)
    with pytest.raises(ValueError, match="correct it first|not text in UTF-8|^Setting "):
        settings.change({"keep_history": False})
    assert settings.file.read_text() == text


def test_a_full_disk_changes_nothing(settings):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError):
            settings.change({"theme": "dark"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert settings.file.read_text() == FILE and [path.name for path in settings.data.iterdir()] == [
        "settings.toml"
    ]


def test_a_linked_file_stays_a_link_and_keeps_its_mode(tmp_path):
    real = tmp_path / "dotfiles.toml"
    real.write_text(FILE)
    real.chmod(0o600)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "settings.toml").symlink_to(real)
    Settings.read(data=tmp_path / "data").change({"theme": "light"})
    assert (tmp_path / "data" / "settings.toml").is_symlink() and real.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(real.read_text())["theme"] == "light"


def test_the_app_acts_at_once(tmp_path):
    app = App(Settings(data=tmp_path))
    app.change({"keep_history": False, "theme": "dark"})
    assert app.settings.theme == "dark" and app.history.keep is False
    assert app.change({"device": "cpu"}).device == "cpu" and app.settings.device == "auto", "after a restart"
    with pytest.raises(ValueError, match="There is no checkpoint 'nope'"):
        app.change({"model": "nope", "theme": "light"})
    assert app.settings.theme == "dark"
    app.close()


def test_a_file_that_windows_wrote_is_read_and_written(tmp_path):
    """With a byte-order mark and carriage returns, as its editors save it."""
    file = tmp_path / "settings.toml"
    file.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    settings = Settings.read(data=tmp_path)
    assert settings.quick_settings == ("steps",)
    settings.change({"theme": "dark"})
    assert Settings.read(data=tmp_path).theme == "dark" and "# how it looks" in file.read_text()


def test_a_file_that_is_no_text_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfep\x00")
    with pytest.raises(ValueError, match=r"settings\.toml is not text in UTF-8\.$"):
        Settings.read(data=tmp_path)
