"""The OpenAPI document is true: what it names exists, what it promises comes, and what comes is promised."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import ROOT
from tests.http.conftest import QUICK
from tests.http.test_queue import queue
from webui.extension.registry import Registry


@pytest.fixture(scope="module")
def document(server):
    import httpx

    return httpx.get(f"{server.url}/api/v1/openapi.json").json()


def valid(document: dict, schema: dict, value) -> list[str]:
    """What is wrong with a value by a schema of the document."""
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [error.message for error in validator.iter_errors(value)]


def promised(document: dict, method: str, path: str, reply) -> None:
    """Checks that the status of a reply is documented and that its body is valid against that schema."""
    responses = document["paths"][path][method]["responses"]
    assert str(reply.status_code) in responses, (
        f"{method} {path} answered {reply.status_code}, which is not documented"
    )
    content = responses[str(reply.status_code)]["content"]
    kind = reply.headers["content-type"].partition(";")[0]
    assert list(content) == [kind]
    if kind == "application/json":
        assert valid(document, content[kind]["schema"], reply.json()) == []


def test_every_reference_leads_somewhere(document):
    names = set(document["components"]["schemas"])
    text = json.dumps(document)
    assert document["openapi"].startswith("3.1")
    for part in text.split('"$ref": "')[1:]:
        assert part.split('"')[0].removeprefix("#/components/schemas/") in names
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def covers(template: str, path: str) -> bool:
    """Whether a path is one of a template's: /history/trash is one of /history/{id}."""
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) is not None


def test_it_names_the_whole_api_and_nothing_else(document, client):
    assert {(method, path) for path, methods in document["paths"].items() for method in methods} == {
        ("get", "/api/v1/jobs"),
        ("post", "/api/v1/jobs"),
        ("post", "/api/v1/jobs/estimate"),
        ("get", "/api/v1/jobs/{id}"),
        ("delete", "/api/v1/jobs/{id}"),
        ("get", "/api/v1/jobs/{id}/events"),
        ("get", "/api/v1/jobs/events"),
        ("get", "/api/v1/jobs/{id}/table"),
        ("post", "/api/v1/jobs/{id}/bounds"),
        ("delete", "/api/v1/jobs/{id}/bounds"),
        ("get", "/api/v1/jobs/{id}/export/{format}"),
        ("post", "/api/v1/jobs/{id}/retry"),
        ("post", "/api/v1/jobs/{id}/abandon"),
        ("post", "/api/v1/experiments"),
        ("post", "/api/v1/experiments/{id}/texts"),
        ("get", "/api/v1/experiments"),
        ("get", "/api/v1/experiments/{id}"),
        ("post", "/api/v1/experiments/{id}/resume"),
        ("post", "/api/v1/experiments/{id}/votes"),
        ("delete", "/api/v1/experiments/{id}"),
        ("post", "/api/v1/txt2txt"),
        ("post", "/api/v1/prompts/marks"),
        ("post", "/api/v1/prompts/complete"),
        ("post", "/api/v1/prompts/preview"),
        ("post", "/api/v1/extensions/{name}/{route}"),
        ("get", "/api/v1/extensions"),
        ("post", "/api/v1/extensions/look"),
        ("post", "/api/v1/extensions/add"),
        ("patch", "/api/v1/extensions/{name}"),
        ("delete", "/api/v1/extensions/{name}"),
        ("get", "/api/v1/extensions/{name}/screenshots/{number}"),
        ("get", "/api/v1/extensions/plans/{plan}/screenshots/{number}"),
        ("get", "/api/v1/extensions/{name}/settings"),
        ("patch", "/api/v1/extensions/{name}/settings"),
        ("get", "/api/v1/checkpoints"),
        ("post", "/api/v1/checkpoints/{name}/load"),
        ("post", "/api/v1/checkpoints/unload"),
        ("post", "/api/v1/checkpoints/abandon"),
        ("post", "/api/v1/downloads/offer"),
        ("get", "/api/v1/downloads/sources"),
        ("get", "/api/v1/downloads"),
        ("post", "/api/v1/downloads"),
        ("delete", "/api/v1/downloads/{id}"),
        ("post", "/api/v1/tokens"),
        ("get", "/api/v1/samplers"),
        ("get", "/api/v1/schema"),
        ("get", "/api/v1/history"),
        ("delete", "/api/v1/history"),
        ("post", "/api/v1/history/restore"),
        ("delete", "/api/v1/history/trash"),
        ("get", "/api/v1/history/{id}"),
        ("patch", "/api/v1/history/{id}"),
        ("delete", "/api/v1/history/{id}"),
        ("post", "/api/v1/history/{id}/restore"),
        ("get", "/api/v1/presets"),
        ("put", "/api/v1/presets/{name}"),
        ("delete", "/api/v1/presets/{name}"),
        ("post", "/api/v1/restart"),
        ("get", "/api/v1/settings"),
        ("patch", "/api/v1/settings"),
        ("post", "/api/v1/restore"),
        ("post", "/api/v1/markdown"),
    }
    for path in document["paths"].keys() - {
        "/api/v1/jobs/events"
    }:  # never ends; its other methods are /jobs/{id}'s
        for method in ("get", "post", "put", "delete", "patch"):
            reply = client.request(method, f"{str(client.base_url).removesuffix('/api/v1/')}{path}")
            answering = [
                p for p, methods in document["paths"].items() if method in methods and covers(p, path)
            ]
            assert (reply.status_code == 405) == (not answering)


def test_the_guide_lists_every_call(document):
    guide = (ROOT / "docs" / "api.md").read_text("utf-8")
    for path, methods in document["paths"].items():
        for method in methods:
            assert re.search(rf"`{method.upper()} {re.escape(path.removeprefix('/api/v1'))}[`?]", guide), (
                f"{method} {path}"
            )


def test_every_operation_is_described_and_fails_in_one_shape(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert len(operation["description"]) > 20, f"{method} {path}"
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    assert response["content"]["application/json"]["schema"] == {
                        "$ref": "#/components/schemas/Failure"
                    }


def test_what_comes_is_promised(document, client):
    made = client.post("jobs", json={**QUICK, "count": 2})
    promised(document, "post", "/api/v1/jobs", made)
    id = made.json()["id"]
    promised(document, "get", "/api/v1/jobs/{id}", client.get(f"jobs/{id}"))
    client.ended(id)
    promised(document, "get", "/api/v1/jobs/{id}", client.get(f"jobs/{id}"))
    promised(document, "delete", "/api/v1/jobs/{id}", client.delete(f"jobs/{id}"))
    promised(document, "post", "/api/v1/jobs/{id}/abandon", client.post(f"jobs/{id}/abandon"))
    promised(document, "post", "/api/v1/jobs/estimate", client.post("jobs/estimate", json={"prompt": "a"}))
    promised(document, "get", "/api/v1/jobs", client.get("jobs"))
    promised(document, "post", "/api/v1/txt2txt", client.post("txt2txt", json=QUICK))
    failing = client.post("txt2txt", json={**QUICK, "rehearsal": {"fail": True}})
    promised(document, "post", "/api/v1/txt2txt", failing)
    for name in ("checkpoints", "samplers", "schema"):
        promised(document, "get", f"/api/v1/{name}", client.get(name))
    page = client.get("history")
    promised(document, "get", "/api/v1/history", page)
    stored = page.json()["items"][0]["id"]
    promised(document, "get", "/api/v1/history/{id}", client.get(f"history/{stored}"))
    promised(
        document, "patch", "/api/v1/history/{id}", client.patch(f"history/{stored}", json={"favourite": True})
    )
    promised(document, "delete", "/api/v1/history/{id}", client.delete(f"history/{stored}"))
    promised(document, "post", "/api/v1/history/{id}/restore", client.post(f"history/{stored}/restore"))
    promised(document, "delete", "/api/v1/history", client.delete("history?confirm=all"))
    promised(document, "post", "/api/v1/history/restore", client.post("history/restore"))
    promised(document, "delete", "/api/v1/history/trash", client.delete("history/trash"))
    promised(
        document, "put", "/api/v1/presets/{name}", client.put("presets/mine", json={"request": {"steps": 4}})
    )
    promised(document, "get", "/api/v1/presets", client.get("presets"))
    promised(document, "delete", "/api/v1/presets/{name}", client.delete("presets/mine"))
    promised(document, "get", "/api/v1/settings", client.get("settings"))
    promised(document, "patch", "/api/v1/settings", client.patch("settings", json={}))
    promised(
        document, "post", "/api/v1/restore", client.post("restore", json={"prompt": "a", "lost": {"x": 1}})
    )
    promised(document, "post", "/api/v1/markdown", client.post("markdown", json={"text": "*a*"}))
    promised(document, "post", "/api/v1/jobs/{id}/retry", client.post(f"jobs/{id}/retry"))
    promised(document, "post", "/api/v1/tokens", client.post("tokens", json={"text": "the cat"}))
    promised(document, "post", "/api/v1/checkpoints/{name}/load", client.post("checkpoints/storyteller/load"))
    promised(document, "post", "/api/v1/checkpoints/unload", client.post("checkpoints/unload"))


def test_refusals_are_promised(document, client):
    json_type = {"content-type": "application/json"}
    for path in ("jobs", "txt2txt"):
        full = f"/api/v1/{path}"
        promised(document, "post", full, client.post(path, json={"stepz": 1}))
        promised(document, "post", full, client.post(path, content=b"{", headers=json_type))
        promised(document, "post", full, client.post(path, content=b" " * (1 << 21), headers=json_type))
        promised(document, "post", full, client.post(path, content=b"{}"))
        promised(
            document, "post", full, client.post(path, json={}, headers={"origin": "http://evil.example"})
        )
    sent = (
        ("patch", "history/{id}"),
        ("put", "presets/{name}"),
        ("patch", "settings"),
        ("post", "restore"),
        ("post", "markdown"),
    )
    for method, path in sent:
        for keywords in (
            {"json": {"stepz": 1}},
            {"json": []},
            {"content": b"{", "headers": json_type},
            {"content": b"{}"},
        ):
            reply = client.request(method, path.replace("{id}", "0" * 20), **keywords)
            assert reply.status_code in (415, 422)
            promised(document, method, f"/api/v1/{path}", reply)
    for method in ("get", "delete"):
        promised(document, method, "/api/v1/history/{id}", client.request(method, "history/x"))
    promised(document, "post", "/api/v1/history/{id}/restore", client.post("history/x/restore"))
    promised(document, "delete", "/api/v1/presets/{name}", client.delete("presets/x"))
    promised(document, "delete", "/api/v1/history", client.delete("history"))
    promised(document, "get", "/api/v1/history", client.get("history?limit=0"))
    promised(document, "patch", "/api/v1/settings", client.patch("settings", json={"host": "0.0.0.0"}))
    for method, path in (
        ("get", "jobs/x"),
        ("delete", "jobs/x"),
        ("get", "jobs/x/events"),
        ("post", "jobs/x/retry"),
        ("post", "jobs/x/abandon"),
    ):
        promised(document, method, f"/api/v1/{path.replace('/x', '/{id}')}", client.request(method, path))
    for path in document["paths"]:
        for method in document["paths"][path]:
            reply = client.request(method, path.removeprefix("/api/v1/"), headers={"host": "evil.example"})
            promised(document, method, path, reply)


def test_updates_are_promised(document, client):
    """Every event of a stream with decisions, given text, a failed cell and results."""
    content = document["paths"]["/api/v1/jobs/{id}/events"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream"]
    schema = content["text/event-stream"]["schema"]
    listed = document["paths"]["/api/v1/jobs/events"]["get"]["responses"]["200"]["content"][
        "text/event-stream"
    ]["schema"]
    with client.stream("GET", "jobs/events") as reply:
        assert valid(document, listed, next(queue(reply))) == []
    requests = [
        {**QUICK, "count": 2},
        {**QUICK, "rehearsal": {"fail": True}},
        {**QUICK, "prompt": "The ____ sat"},
    ]
    for request in requests:
        for update in client.updates(client.submit(**request)):
            assert valid(document, schema, update) == []


BODIES = [
    QUICK,
    {},
    {"prompt": "a", "guidance": {"negative_prompt": "b", "scale": 2}},
    {"model": None, "steps": None, "seed": -1},
    {"temperature": 1},
    {"count": 0},
    {"count": 257},
    {"steps": "5"},
    {"steps": 1.5},
    {"prompt": 1},
    {"prompt": None},
    {"stepz": 1},
    {"end_of_text": "never"},
    {"guidance": {"weight": 1}},
    {"guidance": None},
    {"top_p": 0},
    {"prompt_matrix": {"enabled": "yes"}},
]


@pytest.mark.parametrize("body", BODIES, ids=json.dumps)
def test_the_schema_of_the_body_decides_as_the_api_does(document, client, body):
    content = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]
    assert list(content) == ["application/json"]
    by_schema = valid(document, content["application/json"]["schema"], body) == []
    assert (client.post("jobs", json=body).status_code == 201) == by_schema


def test_the_schema_has_every_field_and_option(document, client, extensions):
    told = client.get("schema").json()
    registry = Registry(extensions)
    assert set(told["request"]["properties"]) == set(registry.Request.model_fields)
    assert set(document["components"]["schemas"]["Request"]["properties"]) == set(
        registry.Request.model_fields
    )
    health = {extension["name"]: extension for extension in told["extensions"]}
    assert set(health) == {*registry.extensions, "broken"} and not registry.failed
    for name, extension in health.items():
        assert (extension["error"] is None) == (name in registry.extensions)
        assert extension["title"] and (extension["about"] or extension["error"])
    assert "broken as rehearsed" in health["broken"]["error"] and "Traceback" in health["broken"]["error"]


def test_what_can_be_named_is_told(client):
    checkpoints = client.get("checkpoints").json()
    assert [(c["name"], c["default"], c["error"]) for c in checkpoints] == [("storyteller", True, None)]
    told = client.get("samplers").json()
    for field, names in (("sampler", "samplers"), ("schedule", "schedules"), ("confidence", "confidences")):
        for name, about in told[names].items():
            assert len(about) > 10
            assert client.post("jobs", json={**QUICK, field: name}).status_code in (201, 429)
    ids = [job["id"] for job in client.get("jobs").json()]
    assert client.ended(ids[-1])["state"] == "done"
