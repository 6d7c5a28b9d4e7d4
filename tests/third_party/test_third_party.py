"""Extensions of third parties: installed from git repositories, nothing in the program knows them, and they
work with the matrix, grids, several texts and infill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.program import program
from tests.third_party.repository import repository
from webui import testing
from webui.core.result import Result

HERE = Path(__file__).parent / "extensions"
NAMES = sorted(path.name for path in HERE.iterdir() if (path / "extension.toml").is_file())
PLAIN = {"prompt": "the cat", "length": 12, "steps": 6, "temperature": 0.8, "seed": 5}
ACTING = {
    "repetition_penalty": {"repetition_penalty": {"penalty": 5}},
    "dynamic_prompts": {"prompt": "the <any:cat,dog,fox>"},
    "line_breaks": {"line_breaks": {"every": 4}},
    "closing": {"closing": {"sentence": " The end."}},
    "early_stop": {"early_stop": {"on": True, "stop": 0.0}},
    "shelf": {},
    "regional": {"regional": {"second": "rain and snow"}},
    "translator": {"prompt": "die Katze im Regen", "translator": {"on": True}},
}
TOGETHER = {
    "alone": {},
    "four": {"count": 4},
    "matrix": {"prompt": "the cat | in rain", "prompt_matrix": {"enabled": True}},
    "grid": {"xyz_grid": {"x_field": "temperature", "x_values": "0.4, 0.9"}},
    "infill": {"prompt": "the ____ cat\n[[...4]] sat."},
    "guidance": {"guidance": {"negative_prompt": "snow", "scale": 2.0}},
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder whose program has all of them, each installed from a repository."""
    folder = tmp_path_factory.mktemp("third")
    app = program(folder)
    for name in NAMES:
        place = repository(HERE / name, folder / "repositories" / name)
        app.installer.add(app.installer.look(str(place)).id)
    app.close()
    return folder


@pytest.fixture(scope="module")
def app(installed):
    app = program(installed, dtype="float64")
    assert not app.registry.failed, app.registry.failed
    yield app
    app.close()


def fields(name: str, case: str) -> dict:
    acting, beside = ACTING[name], TOGETHER[case]
    both = {**PLAIN, **beside, **acting}
    if "prompt" in acting and "prompt" in beside:
        both["prompt"] = f"{beside['prompt']} {acting['prompt']}"
    return both


def texts(result: Result) -> list[str]:
    return [part.text for part in testing.cells(result)]


def test_all_are_installed_and_every_text_names_their_commits(app):
    assert set(NAMES) == set(ACTING)
    lock = app.installer.lock().extensions
    assert set(lock) == set(NAMES)
    made = testing.write(app, **PLAIN).provenance.extensions
    assert made == {name: f"1.0.0 {lock[name].current.revision}" for name in NAMES}
    assert all(len(one.current.revision) == 40 for one in lock.values())


@pytest.mark.parametrize("case", TOGETHER)
@pytest.mark.parametrize("name", NAMES)
def test_each_works_beside_the_built_in_ones(app, name, case):
    made = testing.write(app, **fields(name, case))
    parts = testing.cells(made)
    assert len(parts) == {"four": 4, "matrix": 2, "grid": 2}.get(case, 1)
    if case in ("matrix", "infill"):
        again, unknown = app.Request.read(parts[-1].model_dump_json())
        assert not unknown and texts(testing.write(app, **dict(again))) == [parts[-1].text]
    for part in parts:
        DOES.get(name, lambda part, case: None)(part, case)
        if case == "infill" and name not in ("dynamic_prompts", "translator", "closing"):
            assert part.text.startswith("the ") and part.text.endswith(" sat.")


def _breaks(part: Result, case: str) -> None:
    if case != "infill":  # a given text has lines of its own
        assert all(part.pieces[column].endswith("\n") for column in (3, 7, 11))


def _ends(part: Result, case: str) -> None:
    assert part.text.endswith(" The end.") and (case == "infill" or len(part.pieces) == 12)


def _stops(part: Result, case: str) -> None:
    assert part.extras["early_stop"]["calls"] == part.statistics.forwards == 1
    assert 0 < part.extras["early_stop"]["confidence"] < 1


def _translates(part: Result, case: str) -> None:
    assert (
        any("Translated: " in note for note in part.notes)
        and "Katze" not in part.notes[-1]
        or case == "infill"
    )


DOES = {"line_breaks": _breaks, "closing": _ends, "early_stop": _stops, "translator": _translates}


def test_a_penalty_takes_repetitions_away(app):
    def different(**more):
        result = testing.write(
            app, **{**PLAIN, "length": 48, "steps": 48, "temperature": 0.3, "end_of_text": "ban", **more}
        )
        return len(set(result.pieces))

    assert different(repetition_penalty={"penalty": 5}) > different()


def test_a_prompt_is_drawn_by_the_seed(app):
    drawn = {texts(testing.write(app, **PLAIN))[0] for _ in range(2)}
    assert len(drawn) == 1
    words = [
        texts(testing.write(app, **{**PLAIN, "prompt": f"the {word}", "count": 4}))
        for word in ("cat", "dog", "fox")
    ]
    made = texts(testing.write(app, **{**PLAIN, **ACTING["dynamic_prompts"], "count": 4}))
    for number, text in enumerate(made):
        assert text in [each[number] for each in words]


def test_the_second_half_has_a_prompt_of_its_own(app):
    one, two = PLAIN, {**PLAIN, "prompt": "rain and snow"}
    calm = {"temperature": 0, "steps": 1}
    made = testing.write(app, **PLAIN | ACTING["regional"] | calm).tokens
    first, second = (testing.write(app, **each | calm).tokens for each in (one, two))
    assert made == (*first[:6], *second[6:]) and first != second


def test_the_shelf_asks_the_program(app):
    text = testing.write(app, **PLAIN).text
    assert text in app.registry.call("shelf", "last", app, {})["texts"]
    assert app.registry.call("shelf", "last", app, {"word": "no such text"})["texts"] == []
    assert app.registry.extensions["shelf"].tab().element == "my-shelf"
    app.registry.operator.change("shelf", {"texts": 1})
    assert len(app.registry.call("shelf", "last", app, {})["texts"]) == 1


def test_the_word_list_is_a_setting(app, tmp_path):
    (tmp_path / "words.txt").write_text("Katze=tiger\n", "utf-8")
    app.registry.operator.change("translator", {"file": str(tmp_path / "words.txt")})
    made = testing.write(app, **PLAIN | ACTING["translator"])
    assert made.notes == ("Translated: die tiger im Regen",)
    (tmp_path / "words.txt").unlink()
    with pytest.raises(AssertionError, match="translator: the word list .* cannot be read"):
        testing.write(app, **PLAIN | ACTING["translator"])
    app.registry.operator.change("translator", {"file": ""})


def test_without_them_saved_texts_keep_their_options(app, installed):
    saved = testing.write(app, **PLAIN, **ACTING["closing"]).model_dump_json()
    safe = program(installed, safe_mode=True)
    request, unknown = safe.Request.read(saved)
    assert (
        set(unknown) == set(ACTING) - {"dynamic_prompts", "shelf"} and "shelf" not in safe.registry.extensions
    )
    assert json.loads(request.model_dump_json())["unknown"] == unknown
    assert unknown["closing"] == {"sentence": " The end."}
    safe.close()


TALKATIVE = '''
from webui import Cost, Extension, Options, field

class Talkative(Extension):
    """Says its key wherever it can."""
    class Settings(Options):
        key: str = field("", label="Key", help="Of a service.", secret=True)
    class Options(Options):
        fails: bool = field(False, label="Fails", help="Says it in an error.")
    @classmethod
    def neutral(cls, row):
        return False
    @classmethod
    def cost(cls, request):
        if cls.options(request).fails:
            raise RuntimeError(cls.settings().key)
        return Cost()
    @classmethod
    def prompt(cls, row):
        return row.note(f"The key is {cls.settings().key}.")
    def finish(self, row, result):
        return {"key": self.settings().key, self.settings().key: 1}
'''


def test_a_secret_is_in_no_saved_text_and_no_log(tmp_path, capfd):
    folder = tmp_path / "talkative"
    folder.mkdir()
    (folder / "__init__.py").write_text(TALKATIVE, "utf-8")
    with testing.program(tmp_path, extensions=[folder]) as app:
        app.registry.operator.change("talkative", {"key": "sk-1234-secret"})
        result = testing.write(app, prompt="a", length=8, seed=1)
        assert result.notes == ("The key is •••.",) and result.extras == {
            "talkative": {"key": "•••", "•••": 1}
        }
        job = app.queue.submit(app.Request(prompt="a", length=8, talkative={"fails": True}))
        assert job.wait(120) and job.error == "talkative: RuntimeError: •••"
    assert "RuntimeError: •••" in (printed := capfd.readouterr().err) and "sk-1234" not in printed
    saved = [path for path in tmp_path.rglob("*.json*") if "sk-1234" in path.read_text("utf-8")]
    assert [path.name for path in saved] == ["extensions.json"]
