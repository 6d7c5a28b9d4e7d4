"""A job that starts from a canvas: branch off a saved trace, change tokens of it, start from tokens alone."""

from __future__ import annotations

import pytest

from tests.http.conftest import QUICK, SLOW
from tests.http.test_events import canvases

LENGTH = 32
REQUEST = {
    **QUICK,
    "prompt": "the cat",
    "length": LENGTH,
    "steps": LENGTH,
    "temperature": 0.7,
    "end_of_text": "ban",
}
HALF = 16


@pytest.fixture(scope="module")
def whole(server) -> dict:
    """The result of an ordinary run."""
    from tests.http.conftest import Client

    with Client(base_url=f"{server.url}/api/v1/", timeout=60) as client:
        return client.ended(client.submit(**REQUEST))["result"]


def made(client, result: dict, canvas: dict, **changes) -> dict:
    """The job of a saved request with this canvas, once it has ended."""
    return client.ended(client.submit(**{**result["request"], **changes, "canvas": canvas}))


def test_a_branch_shares_the_trace_up_to_its_step(client, whole):
    same = made(client, whole, {"trace": whole["trace"], "step": HALF})["result"]
    assert same["tokens"] == whole["tokens"] and same["trace"] == whole["trace"], "nothing else was changed"
    assert same["statistics"]["forwards"] == LENGTH - HALF, "the steps before it cost no model call"
    other = made(client, whole, {"trace": whole["trace"], "step": HALF}, seed=whole["request"]["seed"] + 1)
    trace = other["result"]["trace"]
    assert other["state"] == "done" and len(trace) == LENGTH
    assert [change for change in trace if change[0] <= HALF] == whole["trace"][:HALF]
    assert trace[HALF:] != whole["trace"][HALF:]


def test_an_edited_token_stays_and_the_rest_is_written_around_it(client, whole):
    first = whole["trace"][0]
    step, column, token = first[:3]
    edited = whole["tokens"][(column + 1) % LENGTH]
    trace = [[step, column, edited, None], *(c for c in whole["trace"] if c[0] <= HALF and c[1] != column)]
    result = made(client, whole, {"trace": trace, "step": HALF})["result"]
    assert result["complete"] and result["tokens"][column] == edited
    kept = {change[1]: change[2] for change in trace}
    assert {column: result["tokens"][column] for column in kept} == kept


def test_an_edit_can_mask_a_position_again(client, whole):
    step, column = HALF, whole["trace"][0][1]
    trace = [*whole["trace"][:HALF], [step, column, None, None]]
    result = made(client, whole, {"trace": trace})["result"]
    assert result["complete"] and column in [change[1] for change in result["trace"] if change[0] > HALF]


def test_tokens_alone_are_a_new_run_over_a_partial_answer(client, whole):
    tokens = [token if column % 2 else None for column, token in enumerate(whole["tokens"])]
    result = made(client, whole, {"tokens": tokens})["result"]
    assert result["complete"] and result["tokens"][1::2] == whole["tokens"][1::2]
    assert {change[1] for change in result["trace"]} == set(range(0, LENGTH, 2))


def test_a_subscriber_sees_what_the_job_starts_from(client, whole):
    slow = {**SLOW["rehearsal"], "seconds": 0.05}
    canvas = {"trace": whole["trace"], "step": HALF}
    updates = client.updates(client.submit(**{**whole["request"], "rehearsal": slow, "canvas": canvas}))
    begun = next(update for update in updates if update["cells"].get("0", {}).get("length"))
    assert len(begun["cells"]["0"]["changes"]) >= HALF
    texts = {change[1]: change[3] for change in whole["trace"]}
    assert canvases(updates)["0"] == texts, "and in the end the whole text"
    assert [update["progress"] for update in updates] == sorted(update["progress"] for update in updates)


def test_a_saved_result_holds_the_canvas_and_can_be_retried(client, whole):
    job = made(client, whole, {"trace": whole["trace"], "step": HALF})
    read = client.post("restore", json=job["result"]).json()
    assert read["notes"] == [] and read["request"]["canvas"] == job["result"]["request"]["canvas"]
    again = client.ended(client.post(f"jobs/{job['id']}/retry").json()["id"])["result"]
    assert again["tokens"] == job["result"]["tokens"]


@pytest.mark.parametrize(
    "canvas",
    [
        {"trace": [[1, 0, 5]]},
        {"trace": [[2, 0, 5, 0.5], [1, 1, 5, 0.5]]},
        {"trace": [[1, -1, 5, 0.5]]},
        {"trace": [["1", 0, 5, 0.5]]},
        {"tokens": [1.5]},
        {"tokens": "abc"},
        {"step": -1},
        {"steps": 3},
        [],
    ],
    ids=str,
)
def test_a_canvas_that_is_none_is_refused_at_submit(client, canvas):
    reply = client.post("jobs", json={**REQUEST, "canvas": canvas})
    assert reply.status_code == 422, reply.text
    error = reply.json()["error"]
    assert error["code"] == "invalid" and "canvas" in error["message"] and error["message"].endswith(".")


@pytest.mark.parametrize(
    "canvas",
    [
        {"trace": [[1, LENGTH, 5, 0.5]]},
        {"trace": [[1, 0, 10**6, 0.5]]},
        {"tokens": [10**6] * LENGTH},
        {"tokens": [5] * 300},
    ],
    ids=lambda canvas: str(canvas)[:40],
)
def test_a_canvas_that_does_not_fit_the_checkpoint_is_a_sentence(client, canvas):
    reply = client.post("jobs", json={**REQUEST, "canvas": canvas})
    if reply.status_code == 201:
        job = client.ended(reply.json()["id"])
        assert job["state"] == "failed" and job["error_code"] == "invalid" and job["error"].endswith(".")
    else:
        assert reply.status_code == 422 and reply.json()["error"]["message"].endswith(".")
