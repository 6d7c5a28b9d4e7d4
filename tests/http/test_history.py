"""The history over HTTP, of a real server: what was written is found, filtered, marked, deleted and brought
back."""

from __future__ import annotations

import json
import shutil
import time
from urllib.parse import quote

import pytest

from tests.conftest import serve
from tests.http.conftest import QUICK, Client
from tests.service.test_history import NAMES, SEARCHES


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module")
def own(flags, place, warm):
    """A server of this file's own: it deletes everything."""
    with (
        serve("--api", "--port", "0", *flags, data=place, start=warm.start) as running,
        Client(base_url=f"{running.url}/api/v1/", timeout=300) as http,
    ):
        yield http


@pytest.fixture
def three(own) -> list[dict]:
    """A history of three texts, oldest first: plain, with an extension, in the raw template."""
    own.delete("history?confirm=all")
    own.delete("history/trash")
    guided = {"prompt": "a lamp", "guidance": {"negative_prompt": "rain", "scale": 2.0}}
    made = [{"prompt": "the Fox"}, guided, {"prompt": "100% <b>fox</b>"}]
    for request in made:
        assert own.post("txt2txt", json={**QUICK, **request}).status_code == 200
    return own.get("history").json()["items"][::-1]


def ids(own, **query) -> list[str]:
    reply = own.get("history", params=query)
    assert reply.status_code == 200, reply.text
    return [item["id"] for item in reply.json()["items"]]


def test_a_text_is_in_the_history_as_it_was_made(own, three):
    result = own.post("txt2txt", json={**QUICK, "prompt": "the last", "count": 2}).json()
    told = own.get("history").json()
    assert [item["id"] for item in told["items"]][:2] == [part["id"] for part in reversed(result["parts"])]
    assert told["total"] == told["all"] == 5 and told["checkpoints"] == {"storyteller": 5}
    assert told["extensions"] == {"guidance": 1}
    for part in result["parts"]:
        stored = own.get(f"history/{part['id']}").json()
        about = {name: stored.pop(name) for name in ("favourite", "extensions", "unknown")}
        assert stored == part and about == {"favourite": False, "extensions": [], "unknown": []}
        assert stored["trace"] and stored["pieces"]
        item = next(item for item in told["items"] if item["id"] == part["id"])
        assert item["text"] == part["text"][:300] and item["seed"] == part["request"]["seed"]
        assert item["job"] == part["provenance"]["job"] and item["tokens"] == part["statistics"]["tokens"]


def test_search_and_filters(own, three):
    plain, extended, markup = [item["id"] for item in three]
    assert (
        ids(own, search="FOX") == [markup, plain]
        and ids(own, search="%") == [markup]
        and ids(own, search="<b>") == [markup]
    )
    assert ids(own, search="fox the") in ([plain], [markup, plain]) and ids(own, search="xyzzy") == []
    assert ids(own, extension="guidance") == [extended] and ids(own, extension="nope") == []
    assert (
        ids(own, checkpoint="storyteller") == [markup, extended, plain] and ids(own, checkpoint="nope") == []
    )
    assert ids(own, limit=2) == [markup, extended] and ids(own, limit=2, before=extended) == [plain]
    today = time.strftime("%Y-%m-%d")
    assert ids(own, since=today) and ids(own, until=today) and ids(own, since=today, until=today)
    assert (
        ids(own, since="2100-01-01")
        == ids(own, until="2020-12-31")
        == ids(own, since="9999-12-31", until="9999-12-31")
        == []
    )
    assert len(ids(own, since="0001-01-01", until="9999-12-31")) == 3
    assert (
        len(
            ids(
                own,
                search="",
                checkpoint="",
                extension="",
                favourite="",
                since="",
                until="",
                before="",
                limit="",
            )
        )
        == 3
    )


def test_favourites(own, three):
    plain = three[0]["id"]
    assert own.patch(f"history/{plain}", json={"favourite": True}).json() == {"id": plain, "favourite": True}
    assert ids(own, favourite="true") == [plain] and len(ids(own, favourite="false")) == 2
    assert own.get(f"history/{plain}").json()["favourite"] is True
    for body in ({}, {"favourite": 1}, {"favourite": True, "text": "x"}, []):
        assert own.patch(f"history/{plain}", json=body).status_code == 422
    assert (
        own.patch(f"history/{plain}", json={"favourite": False}).status_code == 200
        and ids(own, favourite="true") == []
    )


def test_delete_and_bring_back(own, three):
    plain, extended, markup = [item["id"] for item in three]
    assert own.delete(f"history/{extended}").json() == {"id": extended} and ids(own) == [markup, plain]
    assert own.delete(f"history/{extended}").status_code == own.get(f"history/{extended}").status_code == 404
    assert own.post(f"history/{extended}/restore").json() == {"id": extended} and ids(own) == [
        markup,
        extended,
        plain,
    ]
    assert own.post(f"history/{extended}/restore").status_code == 404
    for call in ("history", "history?confirm=", "history?confirm=yes"):
        assert own.delete(call).status_code == 422
    assert len(ids(own)) == 3
    assert own.delete("history?confirm=all").json() == {"deleted": 3} and ids(own) == []
    assert own.post("history/restore").json() == {"restored": 3} and len(ids(own)) == 3
    assert own.post("history/restore").status_code == 404
    own.delete(f"history/{plain}")
    assert (
        own.delete("history/trash").json() == {"deleted": 1}
        and own.post(f"history/{plain}/restore").status_code == 404
    )


@pytest.mark.parametrize("name", [*NAMES[3:], "../../settings", "index.sqlite"], ids=repr)
def test_names_that_are_no_ids(own, three, name):
    path = f"history/{quote(name, safe='')}"
    for method in ("GET", "DELETE"):
        if (method, name) != ("DELETE", "trash"):
            assert own.request(method, path).status_code == 404
    assert own.patch(path, json={"favourite": True}).status_code in (404, 405)
    assert own.post(f"{path}/restore").status_code == 404
    assert len(ids(own)) == 3


def test_searches_that_are_no_words(own, three):
    for search in SEARCHES:
        reply = own.get("history", params={"search": search.encode("utf-8", "replace").decode()[:600]})
        assert reply.status_code == (422 if len(search) > 500 else 200), search[:20]
    assert own.get("history?search=%ed%a0%80&checkpoint=%00&extension='&before=%27").status_code == 200


WRONG = [
    "limit=0",
    "limit=501",
    "limit=x",
    "since=yesterday",
    "until=2026-02-30",
    "favourite=maybe",
    "page=2",
    f"before={0:021}",
]


@pytest.mark.parametrize("query", WRONG)
def test_questions_that_make_no_sense(own, query):
    reply = own.get(f"history?{query}")
    assert reply.status_code == 422 and reply.json()["error"]["message"].endswith(".")


def test_a_file_of_another_program_with_fields_unknown_here(own, three, place):
    (path,) = (place / "history").glob(f"*/{three[1]['id']}.json")
    stored = json.loads(path.read_text())
    stored["request"] |= {
        "lost": {"strength": 3},
        "guidance": stored["request"]["guidance"] | {"old": True},
    }
    stored["id"] = "0" * 20
    target = path.with_name("0" * 20 + ".json")
    target.write_text(json.dumps(stored))
    told = own.get("history/" + "0" * 20).json()
    assert (
        told["unknown"] == ["guidance", "lost"] and told["request"]["guidance"]["negative_prompt"] == "rain"
    )
    restored = own.post("restore", json=told).json()
    assert (
        restored["unknown"] == {"lost": {"strength": 3}, "guidance": {"old": True}}
        and len(restored["notes"]) == 2
    )
    again = own.post("txt2txt", json=restored["request"]).json()
    assert again["text"] == told["text"]
    file = json.loads(next((place / "history").glob(f"*/{again['id']}.json")).read_text())
    assert file["request"]["unknown"] == restored["unknown"], "written back"
    target.write_text("{")
    assert own.get("history/" + "0" * 20).status_code == 422
    target.unlink()
    assert own.get("history/" + "0" * 20).status_code == 404


def test_keeping_none_acts_at_once_and_the_index_may_go(own, three, place):
    assert own.patch("settings", json={"keep_history": False}).status_code == 200
    own.post("txt2txt", json=QUICK)
    assert len(ids(own)) == 3
    assert own.patch("settings", json={"keep_history": True}).status_code == 200
    (place / "history" / "index.sqlite").write_bytes(b"x" * 10_000)
    own.post("txt2txt", json=QUICK)
    assert len(ids(own)) == 4
    shutil.rmtree(place / "history")
    assert ids(own) == []
    own.post("txt2txt", json=QUICK)
    assert len(ids(own)) == 1


def test_another_page_may_not_delete(own, three):
    for method, path in (
        ("DELETE", "history?confirm=all"),
        ("DELETE", f"history/{three[0]['id']}"),
        ("POST", "history/restore"),
    ):
        assert own.request(method, path, headers={"origin": "http://evil.example"}).status_code == 403
    assert own.get("history", headers={"host": "evil.example"}).status_code == 403
    assert len(ids(own)) == 3
