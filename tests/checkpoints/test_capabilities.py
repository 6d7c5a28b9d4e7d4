"""What cannot work with a checkpoint: said where checkpoints are listed, refused with the same sentence, noted beside
a text where it works otherwise than one may expect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from tests.contract.program import program, write
from tests.tiny_checkpoints import llada
from webui.checkpoints.families import FAMILIES
from webui.checkpoints.loading import Checkpoints
from webui.http import api
from webui.settings import Settings

BEHIND = "sees nothing behind them: text behind a gap does not influence what is written into it."


def test_the_api_refuses_what_it_lists_as_refused(tmp_path):
    app = program(tmp_path, families=("LLaDA", "BERT", "SDAR"))
    client = TestClient(api.build(app), base_url="http://127.0.0.1:7860/api/v1/")
    listed = {entry["name"]: entry for entry in client.get("checkpoints").json()}
    assert listed["LLaDA"]["refused"] == {} and list(listed["LLaDA"]["cautions"]) == ["sampler=dreamon"]
    sentence = listed["BERT"]["refused"]["template=chat"]
    assert sentence == "BERT has no chat template; use template auto or raw."
    asked = {"prompt": "a", "model": "BERT", "template": "chat", "length": 4}
    reply = client.post("jobs", json=asked)
    assert reply.status_code == 422 and reply.json()["error"]["message"] == sentence
    assert client.post("jobs/estimate", json=asked).json()["error"]["message"] == sentence
    assert client.post("jobs/estimate", json={**asked, "template": "raw"}).status_code == 200
    assert (
        listed["SDAR"]["cautions"]["draft"].endswith(BEHIND)
        and "blocks of 4" in listed["SDAR"]["cautions"]["draft"]
    )
    sentence = listed["BERT"]["refused"]["cache=dual"]
    assert sentence.endswith("BERT models keep no keys and values; take the cache exact.")
    grid = {"x_field": "cache", "x_values": "dual, prefix"}
    for more in ({"cache": "dual"}, {"xyz_grid": grid}):
        reply = client.post("jobs", json={"prompt": "a", "model": "BERT", "length": 4, **more})
        assert reply.status_code == 422 and reply.json()["error"]["message"] == sentence
    app.close()


def test_a_text_behind_a_gap_that_is_not_seen_is_noted(tmp_path):
    app = program(tmp_path, families=("SDAR", "LLaDA"), extensions=None)
    for prompt, model, noted in (
        ("The cat [[...4]] slept.", "SDAR", True),
        ("The cat [[...4]]", "SDAR", False),
        ("a cat", "SDAR", False),
        ("The cat [[...4]] slept.", "LLaDA", False),
    ):
        result = write(app, prompt=prompt, model=model)
        assert any(note.endswith(BEHIND) for note in result.notes) is noted, (prompt, model)
    app.close()


def test_a_family_says_what_it_refuses(tmp_path):
    """A field with a value, a field by any value but its default, an extension's option."""
    why = {"sampler=random": "Not this one.", "system": "No system prompt.", "guidance.scale": "No guidance."}
    own = replace(
        FAMILIES[0], name="Own", claims=lambda config: config.get("own"), refused=lambda config: why
    )
    app = program(tmp_path)
    llada(tmp_path / "models" / "checkpoints" / "own", own=True)
    app.checkpoints = Checkpoints(
        Settings(models=tmp_path / "models", model="own", device="cpu"), (own, *FAMILIES), app.Request
    )
    for fields, sentence in (
        ({"sampler": "random"}, "Not this one."),
        ({"system": "Be brief."}, "No system prompt."),
        ({"guidance": {"scale": 2.0}}, "No guidance."),
    ):
        with pytest.raises(ValueError, match=sentence):
            app.expand(app.Request(prompt="a", model="own", **fields))
        app.expand(app.Request(prompt="a", model="LLaDA", **fields))
    app.expand(app.Request(prompt="a", model="own", sampler="low_confidence", system=""))
    app.close()


def test_a_profile_with_a_value_of_another_type_is_refused_in_words(tmp_path):
    folder = llada(tmp_path / "models" / "checkpoints" / "a")
    (folder / "profile.json").write_text('{"license": 3}', "utf-8")
    (entry,) = Checkpoints(Settings(models=tmp_path / "models", model="a", device="cpu")).list()
    assert entry.error == "a/profile.json: license must be a text."
