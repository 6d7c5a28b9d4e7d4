"""What crosses a border: refused in one sentence or taken exactly, and read back from a file as it was."""

from __future__ import annotations

import json

import pytest

from webui import Options, Request, Result, field
from webui.core.options import validate
from webui.core.request import MAX_SEED, MAX_TEXT
from webui.core.result import Change, Provenance, Statistics
from webui.extension.registry import Registry
from webui.settings import ROOT


@pytest.fixture(scope="module")
def composed() -> type[Request]:
    """The request model with the fields of the extensions."""
    return Registry(ROOT / "extensions").Request


BAD = [
    ({"nope": 1}, "There is no field 'nope'."),
    ({"guidance": {"nope": 1}}, "There is no field 'guidance.nope'."),
    ({"steps": 0}, "steps: "),
    ({"steps": 1.5}, "steps: "),
    ({"seed": -2}, "seed: "),
    ({"seed": MAX_SEED + 1}, "seed: "),
    ({"count": 0}, "count: "),
    ({"top_p": 0}, "top_p: "),
    ({"temperature": float("nan")}, "temperature: "),
    ({"temperature": float("inf")}, "temperature: "),
    ({"guidance": {"scale": float("nan")}}, "guidance.scale: "),
    ({"template": "html"}, "template: "),
    ({"prompt": "x" * (MAX_TEXT + 1)}, "prompt: "),
    ({"prompt": "half \ud83d"}, "prompt: contains half of a surrogate pair"),
    (
        {"guidance": {"negative_prompt": "\udc00"}},
        "guidance.negative_prompt: contains half of a surrogate pair",
    ),
    ({"logit_bias": {"more": "\udc00"}}, "logit_bias.more: contains half of a surrogate pair"),
    ({"prompt": 5}, "prompt: "),
    ({"prompt_matrix": 5}, "prompt_matrix: "),
    ({"canvas": {"trace": [[10**9, 0, 5, 0.5]]}}, "canvas: has a trace with more than "),
    ({"canvas": {"trace": [[2**70, 0, 5, 0.5]]}}, "canvas: has a trace with more than "),
    ({"canvas": {"trace": [[1, 2**40, 5, 0.5]]}}, "canvas: has a trace of more than "),
    ({"canvas": {"trace": [[1, 0, 5, 1.5]]}}, "canvas: has a trace with a confidence outside 0 to 1"),
    ({"canvas": {"trace": [[1, 0, 5, -0.5]]}}, "canvas: has a trace with a confidence outside 0 to 1"),
]


@pytest.mark.parametrize("fields, sentence", BAD, ids=[sentence for _, sentence in BAD])
def test_wrong_input_is_one_sentence_that_names_the_field(composed, fields, sentence):
    for check in (lambda: validate(composed, fields), lambda: composed().replace(**fields)):
        with pytest.raises(ValueError) as refused:
            check()
        told = str(refused.value)
        assert told.startswith(sentence) and "\n" not in told and "http" not in told
        assert "xxx" not in told, "never the input itself"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '{"seed": NaN}', '{"temperature": 1e999}', '{"prompt": "\\ud800"}', '"\\ud800"'],
)
def test_a_bad_json_body_is_one_sentence(composed, text):
    if text == "5":
        text = '{"seed": "5"}'  # strict: a number is a number
    with pytest.raises(ValueError) as refused:
        validate(composed, text, strict=True)
    assert "\n" not in str(refused.value)


def test_whatever_is_a_character_is_taken(composed):
    text = "👩‍👩‍👧 \u0000\ufffd\ue000\u202e e\u0301 \r\n" + "<|mdm_mask|> ${x} {{ y }}"
    request = composed(prompt=text)
    assert request.prompt == text and composed.model_validate_json(request.model_dump_json()) == request


def test_a_request_is_frozen_and_replaced(composed):
    request = composed(prompt="a")
    with pytest.raises(ValueError):
        request.prompt = "b"
    other = request.replace(prompt="b", seed=3)
    assert (request.prompt, other.prompt, other.seed) == ("a", "b", 3)
    assert type(other) is composed and other.replace(prompt="a", seed=-1) == request


def test_everything_that_decides_a_text_is_in_the_file(composed):
    """The full dump, never only what was changed: a default may change in a later version."""
    stored = json.loads(composed(prompt="a").model_dump_json())
    assert set(stored) == set(composed.model_fields) and set(stored["guidance"]) == {
        "negative_prompt",
        "scale",
        "start",
        "end",
        "rescale",
        "adaptive",
        "empty",
    }
    result = Result(id="0", text="t", complete=True, request=composed(prompt="a", guidance={"scale": 2.0}))
    assert json.loads(result.model_dump_json())["request"]["guidance"]["scale"] == 2.0, (
        "also through the base type"
    )


def test_a_saved_request_or_result_is_read_back(composed):
    request = composed(
        prompt="猫", seed=MAX_SEED, length=12, temperature=0.25, guidance={"negative_prompt": "no"}
    )
    result = Result(
        id="0",
        text="t",
        complete=True,
        request=request,
        trace=(Change(1, 0, 5, "a", 0.5),),
        statistics=Statistics(forwards=2, tokens=8),
        provenance=Provenance(
            program="1",
            checkpoint="c",
            fingerprint="f",
            family="F",
            device="cpu",
            dtype="float32",
            torch="2",
            created="now",
            job="j",
            cell="0",
        ),
    )
    for stored in (
        request.model_dump_json(),
        request.model_dump_json().encode(),
        result.model_dump_json(),
        result.model_dump(mode="json"),
    ):
        assert composed.read(stored) == (request, {})
    assert result.statistics.tokens_per_forward == 4 and Statistics().tokens_per_forward == 0


def test_fields_of_extensions_that_are_gone_are_handed_back(composed):
    stored = {**json.loads(composed(prompt="a").model_dump_json()), "lost_extension": {"x": 1}}
    request, unknown = composed.read(stored)
    assert request.prompt == "a" and unknown == {"lost_extension": {"x": 1}}


@pytest.mark.parametrize("stored", ["", "{", "[]", "null", '"text"', '{"seed": "x"}', b"\xff\xfe"])
def test_a_file_that_is_no_request_is_refused(composed, stored):
    with pytest.raises(ValueError, match=r"not a saved request|^seed: ") as refused:
        composed.read(stored)
    assert "\n" not in str(refused.value)


def test_options_know_whether_they_are_the_defaults():
    class Example(Options):
        text: str = field("", label="Text", help="A text.")
        scale: float | None = field(None, label="Scale", help="A number.")

    assert Example().defaults() and Example(text="").defaults()
    assert not Example(text="a").defaults() and not Example(scale=0.0).defaults()


LOST = {"lost": {"x": 1, "deep": [{"y": None}]}, "version": 3}


def test_what_is_unknown_is_kept_and_written_back(composed):
    request, unknown = composed.read({"prompt": "a", **LOST})
    assert request.unknown == unknown == LOST and request.prompt == "a"
    again, still = composed.read(request.replace(seed=5).model_dump_json())
    assert again == request.replace(seed=5) and still == LOST
    assert composed.read(json.loads(request.model_dump_json()) | {"prompt": "b"})[0].unknown == LOST


def test_what_was_kept_comes_back_with_its_extension(composed):
    request, unknown = Request.read({"prompt": "a", "guidance": {"scale": 2.0}, "lost": {"x": 1}})
    assert set(unknown) == {"guidance", "lost"}
    back, unknown = composed.read(request.model_dump_json())
    assert back.guidance.scale == 2.0 and back.unknown == unknown == {"lost": {"x": 1}}


def test_an_option_that_an_extension_no_longer_has_is_kept(composed):
    request, unknown = composed.read({"guidance": {"scale": 2.0, "old": "x"}})
    assert request.guidance.scale == 2.0 and request.unknown == unknown == {"guidance": {"old": "x"}}
    again, unknown = composed.read(request.model_dump_json())
    assert again == request and unknown == {"guidance": {"old": "x"}}
    changed = json.loads(request.model_dump_json())
    changed["guidance"]["scale"] = 3.0
    assert composed.read(changed)[0].guidance.scale == 3.0, "what is set wins over what was kept"


def nested(depth: int) -> dict:
    value: dict = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "kept",
    [{"a": float("nan")}, {"a": "\udc00"}, {"\udc00": 1}, {"a": {1, 2}}, nested(40), [], "x", None],
    ids=repr,
)
def test_what_json_cannot_hold_is_not_kept(composed, kept):
    with pytest.raises(ValueError, match=r"^unknown: "):
        validate(composed, {"unknown": kept})
    assert validate(composed, {"unknown": nested(31)}).unknown


def test_what_is_unknown_has_a_size_and_is_checked_once(composed, monkeypatch):
    lists = {"a": [[] for _ in range(50_000)]}
    request = validate(composed, json.dumps({"unknown": lists}), strict=True)
    assert request.unknown == lists
    with pytest.raises(ValueError, match=r"^unknown: has 1,000,009 bytes as JSON; at most 1,000,000"):
        validate(composed, {"unknown": {"a": "x" * 1_000_000}})
    with pytest.raises(ValueError, match="bytes as JSON"):
        validate(composed, {"unknown": {"a": "猫" * 400_000}})
    dumped = []
    monkeypatch.setattr("webui.core.unknown.json.dumps", lambda *given, **how: dumped.append(given))
    copies = [request.replace(seed=seed) for seed in range(3)]
    assert dumped == [] and all(copy == request.replace(seed=copy.seed) for copy in copies)


@pytest.mark.parametrize(
    "stored", ['{"name": "left-pad", "license": "WTF"}', '{"a": ' * 100_000, '{"request": []}', "{}"]
)
def test_other_files_are_no_requests(composed, stored):
    with pytest.raises(ValueError, match="This is not a saved request") as refused:
        composed.read(stored)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


@pytest.mark.parametrize("encode", [str, str.encode], ids=["text", "bytes"])
def test_a_file_with_a_byte_order_mark_is_read_as_if_without(composed, encode):
    request, unknown = composed.read(encode('\ufeff{"prompt": "a",\r\n"steps": 3}\r\n'))
    assert (request.prompt, request.steps, unknown) == ("a", 3, {})


def test_strict_json_has_arrays_for_tuples(composed):
    text = '{"canvas": {"tokens": [1, null], "trace": [[1, 0, 3, 0.5], [1, 1, 3, "a", 0.5]]}}'
    canvas = validate(composed, text, strict=True).canvas
    assert canvas.tokens == (1, None) and canvas.trace == ((1, 0, 3, 0.5), (1, 1, 3, 0.5))
    with pytest.raises(ValueError, match=r"canvas\.tokens\.0"):
        validate(composed, '{"canvas": {"tokens": ["1"]}}', strict=True)
