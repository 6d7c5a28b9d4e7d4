"""DreamOn's gaps that grow and shrink: step for step its reference; through the program in a batch as alone,
gone on from any step, as saved; refused by name where nothing can follow them."""

from __future__ import annotations

from functools import cache
from unittest.mock import patch

import pytest
import torch

from tests.contract.program import cells, finished, write
from tests.reference import dreamon as reference
from tests.reference.dream_model import dream_logits
from tests.reference.toy import EOS, EOT, MASK, toy
from tests.tiny_checkpoints import EOT as EXPAND
from tests.tiny_checkpoints import MASK as HIDDEN
from tests.tiny_decoders import dreamon
from webui import App
from webui.canvas import Canvas
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions
from webui.settings import Settings

# seed, masked positions at first, most of them, top-p
CASES = [(seed, 2 + seed % 4, 4 + 3 * (seed % 3), (1.0, 0.7)[seed % 2]) for seed in range(12)]
BEFORE, BEHIND = [1, 2, 3], [4, 5]


def model(seed: int):
    """The toy, that often doubles and deletes."""

    def logits_fn(tokens):
        logits = toy(seed)(tokens)
        logits[..., EOT] *= 1.8
        logits[..., EOS] *= 1.3
        return logits

    return logits_fn


def expected(case, sample=reference.sample) -> list[list[int]]:
    seed, begin, most, top_p = case
    options = {"most": most, "mask_id": MASK, "expand_id": EOT, "ends": (EOS,), "top_p": top_p}
    return sample(model(seed), BEFORE, begin, BEHIND, banned=(MASK,), **options)


@cache
def got(case) -> list[list[int]]:
    """The middle after each step, the canvas saved and loaded before each; beside a row that keeps its length."""
    seed, begin, most, top_p = case
    answer = [MASK] * begin + [EOT] * (most - begin) + BEHIND
    rows = [
        SamplerOptions("dreamon", "even", "entropy", 99, 99, top_p=top_p, own={"most": float(most)}),
        SamplerOptions("low_confidence", "even", "probability", 6, 9),
    ]
    canvas = Canvas.build([BEFORE, [7]], [answer, [MASK] * 9], [0, 1], MASK, (EOS,), nothing=EOT)
    canvas, trace = samplers.prepare(canvas, rows), []
    resizing = torch.tensor([True, False])
    while True:
        there = ~canvas.padding[0] & ~canvas.absent[0]
        trace.append(canvas.tokens[0][there][len(BEFORE) : -len(BEHIND)].tolist())
        assert canvas.tokens[0][there][-len(BEHIND) :].tolist() == BEHIND
        assert canvas.position[0][there].tolist() == list(range(int(there.sum())))
        if not canvas.masked[0].any():
            return trace
        canvas = samplers.activate(Canvas.load(canvas.dump()))
        logits = []
        for row in range(2):
            real = ~canvas.padding[row] & ~canvas.absent[row]
            logits.append(model(seed)(canvas.tokens[row][real][None])[0][canvas.active[row][real]])
        every = torch.cat(logits)
        every[:, MASK] = -torch.inf
        every[:, EOT].masked_fill_(~samplers.may_expand(canvas, resizing), -torch.inf)
        canvas = samplers.commit(canvas, samplers.choose(canvas, every))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_dreamon_is_the_references(case):
    assert got(case) == expected(case)


def test_the_cases_grow_shrink_and_fill_up():
    steps = [pair for case in CASES for pair in zip(got(case), got(case)[1:], strict=False)]
    assert sum(len(after) > len(before) for before, after in steps) > 10
    assert sum(len(after) < len(before) for before, after in steps) > 5
    assert any(len(after) < len(before) - 1 for before, after in steps)
    assert any(len(middle) == case[2] for case in CASES for middle in got(case))
    moved = [(b, a) for b, a in steps if len(a) > len(b) and any(t != MASK for t in b)]
    assert moved, "committed tokens move"


MUTANTS = {
    "one mask for two": {"expanded": lambda middle, at, mask: middle[:at] + [mask] + middle[at + 1 :]},
    "doubles at the end": {
        "expanded": lambda middle, at, mask: [*middle[:at], mask, *middle[at + 1 :], mask]
    },
    "deletes one": {"ended": lambda middle, at, mask: middle[:at] + middle[at + 1 :]},
    "cuts": {"ended": lambda middle, at, mask: middle[:at]},
    "without a limit": {"may_expand": lambda middle, most, budget: budget > 0},
    "full one early": {"may_expand": lambda middle, most, budget: len(middle) < most - 1 and budget > 0},
    "least sure first": {"confidence": lambda logits: -CONFIDENCE(logits)},
    "before the filter": {"nucleus": lambda logits, top_p: logits},
}
CONFIDENCE = reference.confidence


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_told_apart(name):
    with patch.multiple(reference, **MUTANTS[name]):
        assert any(got(case) != expected(case) for case in CASES)


# -- through the program -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    dreamon(folder / "checkpoints" / "DreamOn")
    settings = {"model": "DreamOn", "device": "cpu", "dtype": "float64", "threads": 1}
    app = App(Settings(models=folder, data=tmp_path_factory.mktemp("data"), **settings))
    yield app
    app.close()


SMALL = {
    "template": "raw",
    "temperature": 0.0,
    "top_p": 0.9,
    "dreamon": {"begin": 3, "most": 9},
    "prompt": "The cat[[...3]]on.",
}


def test_the_program_writes_the_references_text(app):
    """Gaps within text, of which a passage forbids tokens without a text; and an answer to a prompt."""
    model = app.checkpoints.load("DreamOn")
    silent = [token for token, word in enumerate(model.words) if not word and token not in model.ends]
    silent = [token for token in silent if token != EXPAND]
    lengths = set()
    for first, last in (("The cat", "on the stone."), ("A hen", "!"), ("In", "and I"), ("Rain", None)):
        if last is None:
            result, behind = write(app, **{**SMALL, "prompt": first, "length": 9}), []
            before = list(model.tokenizer.prompt(first, template="raw").tokens)
        else:
            result = write(app, **{**SMALL, "prompt": f"{first}[[...3]]{last}"})
            behind = model.tokenizer.encode(last)
            before = [*model.tokenizer.prompt("", template="raw").tokens, *model.tokenizer.encode(first)]
        trace = reference.sample(
            lambda tokens: dream_logits(app.checkpoints.entry("DreamOn").folder, tokens, dtype=torch.float64),
            before,
            3,
            behind,
            most=9,
            mask_id=HIDDEN,
            expand_id=EXPAND,
            ends=model.ends,
            top_p=0.9,
            banned=(HIDDEN, *(silent if behind else ())),
        )
        there = [token for token in result.tokens if token != EXPAND]
        assert there == (
            [*before[len(before) - len(there) + len(trace[-1]) + len(behind) :], *trace[-1], *behind]
        )
        assert result.statistics.forwards == len(trace) - 1
        assert "\ufffd" in result.text or result.text.endswith(last or "")
        lengths.add(len(trace[-1]))
    assert len(lengths) > 1, "the gaps end with different lengths"


def test_in_a_batch_gone_on_from_any_step_and_as_saved(app):
    fields = {**SMALL, "temperature": 1.2, "prompt": "The cat[[...3]]on[[...2]]stone."}
    result = write(app, **fields, seed=4)
    moved = [change for change in result.trace if change.token is None]
    assert moved, "nothing was doubled"
    rows = [row.text for row in cells(write(app, **fields, seed=2, count=4))]
    assert rows[2] == result.text and len(set(rows)) > 2
    assert cells(write(app, **{**fields, "sampler": "low_confidence"}, seed=4))[0].text != result.text
    request, unknown = app.Request.read(app.history.get(result.id).model_dump_json())
    again = write(app, **dict(request))
    assert not unknown and (again.text, again.trace) == (result.text, result.trace)
    for step in range(1, result.statistics.forwards, 3):
        entries = [(c.step, c.column, c.token, c.confidence) for c in result.trace if c.step <= step]
        resumed = write(app, **{**dict(request), "canvas": {"trace": entries, "step": step}})
        assert (resumed.text, resumed.trace) == (result.text, result.trace), step


def test_what_cannot_follow_is_refused_by_name(app):
    for more, sentence in (
        ({"cache": "dual"}, "The sampler dreamon moves positions"),
        ({"draft_steps": 4}, "set draft_steps to 1"),
        ({"constraints": {"regex": "[a-z ]*"}}, "take another sampler than dreamon"),
    ):
        result = finished(app, app.Request(**{"seed": 1, **SMALL, **more}))
        assert sentence in (cells(result)[0].error or "")
    short = write(app, **{**SMALL, "steps": 2})
    assert short.complete and short.statistics.forwards <= 2
    plain = write(app, **{**SMALL, "sampler": "threshold", "cache": "prefix", "length": 24})
    assert EXPAND not in plain.tokens, "other samplers never write it"
