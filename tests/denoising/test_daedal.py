"""DAEDAL's answers that find their length: step for step its reference; through the program in a batch as alone,
gone on from any step, as saved; refused by name where nothing can follow them."""

from __future__ import annotations

from functools import cache
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.contract.program import cells, finished, program, write
from tests.reference import daedal as reference
from tests.reference.llada_model import reference_logits
from tests.reference.toy import EOS, MASK, toy
from tests.tiny_checkpoints import EOS as END
from tests.tiny_checkpoints import MASK as HIDDEN
from tests.tiny_checkpoints import llada
from webui.canvas import Canvas
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions

PROMPT = [1, 2, 3]
# seed, masked positions at first, most of them, block length, factor, high, low, end, insertion, checked
CASES = [
    (
        seed,
        3 + seed % 4,
        (17, 24, 40)[seed % 3],
        (8, 40)[seed % 2],
        2 + seed % 4,
        0.8,
        (0.35, 0.6)[seed % 2],
        (0.2, 0.45, 0.7)[seed % 3],
        0.9,
        (4, 6)[seed % 2],
    )
    for seed in range(12)
] + [(seed, 14, 18, 40, 5, 0.8, 0.6, 0.1, 0.95, 2) for seed in range(12, 15)]  # the last insertion is cut
NAMES = ("factor", "high", "low", "end_threshold", "insert_threshold", "checked")


def model(seed: int):
    """The toy, that often ends a text."""

    def logits_fn(tokens):
        logits = toy(seed)(tokens)
        logits[..., EOS] *= 1.5
        return logits

    return logits_fn


def expected(case, sample=reference.sample) -> list[list[int]]:
    seed, begin, most, block, *values = case
    options = {"mask_id": MASK, "ends": (EOS,), "block_length": block, "banned": (MASK,)}
    return sample(
        model(seed), PROMPT, begin=begin, most=most, **options, **dict(zip(NAMES, values, strict=True))
    )


@cache
def got(case) -> list[list[int]]:
    """The answer after each step, the canvas saved and loaded before each; beside a row that keeps its length."""
    seed, begin, most, block, *values = case
    own = {f"daedal.{name}": value for name, value in zip(NAMES, values, strict=True)}
    rows = [
        SamplerOptions("daedal", "even", "probability", 999, block, own=own),
        SamplerOptions("low_confidence", "even", "probability", 6, 9),
    ]
    answers = [[MASK] * most, [MASK] * 9]
    canvas = Canvas.build([PROMPT, [7]], answers, [0, 1], MASK, (EOS,), nothing=MASK, room=[most - begin, 0])
    canvas, trace = samplers.prepare(canvas, rows), []
    while True:
        there = ~canvas.padding[0] & ~canvas.absent[0]
        trace.append(canvas.tokens[0][there][len(PROMPT) :].tolist())
        if not canvas.masked[0].any():
            return trace
        canvas = samplers.activate(Canvas.load(canvas.dump()))
        close = canvas.compact()
        assert close.at[0].tolist() == canvas.at[0].tolist() and not close.absent.any()
        logits = []
        for row in range(2):
            real = ~close.padding[row]
            assert close.position[row][real].tolist() == list(range(int(real.sum())))
            logits.append(model(seed)(close.tokens[row][real][None])[0][close.active[row][real]])
        every = torch.cat(logits)
        every[:, MASK] = -torch.inf
        canvas = samplers.commit(canvas, samplers.choose(canvas, every))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_daedal_is_the_references(case):
    assert got(case) == expected(case)


def test_the_cases_grow_insert_and_fill_up():
    steps = [pair for case in CASES for pair in zip(got(case), got(case)[1:], strict=False)]
    found = [(b, a) for b, a in steps if len(a) > len(b)]
    assert sum(set(a) == {MASK} for _, a in found) > 5, "the length is found in several steps"
    assert sum(EOS in a and set(b) == {MASK} for b, a in found) > 2, "an answer ends before its most"
    inserts = [(b, a) for b, a in found if set(b) != {MASK}]
    assert len(inserts) > 5 and any(EOS in b for b, _ in inserts), "what is committed moves"
    assert {len(got(case)[-1]) == case[2] for case in CASES} == {True, False}


MUTANTS = {
    "mean of those found": {
        "end_confidence": lambda logits, ends, checked: (
            CONFIDENCE(logits, ends, checked)
            * checked
            / max(1, sum(int(row.argmax()) in ends for row in logits))
        )
    },
    "from the left": {
        "end_confidence": lambda logits, ends, checked: CONFIDENCE(logits.flip(0), ends, checked)
    },
    "grows by one": {"longer": lambda length, factor, most: min(length + 1, most)},
    "without ends": {"tail": lambda length, checked, most: 0},
    "as many ends as checked": {"tail": lambda length, checked, most: min(length + checked, most) - length},
    "the surest alone": {"committed": lambda sure, masked, high: COMMITTED(sure, masked, 2.0)},
    "the leftmost doubtful": {
        "doubtful": lambda sure, masked, taken, low: next(
            (i for i, on in enumerate(masked) if on and i not in taken and sure[i] < low), None
        )
    },
    "one too many": {
        "inserted": lambda answer, at, factor, most, mask_id: INSERTED(answer, at, factor + 1, most, mask_id)
    },
    "behind": {
        "inserted": lambda answer, at, factor, most, mask_id: (answer + [mask_id] * (factor - 1))[:most]
    },
    "only what fits": {
        "inserted": lambda answer, at, factor, most, mask_id: INSERTED(
            answer, at, min(factor, most - len(answer) + 1), most, mask_id
        )
    },
}
CONFIDENCE, COMMITTED, INSERTED = reference.end_confidence, reference.committed, reference.inserted


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_told_apart(name):
    with patch.multiple(reference, **MUTANTS[name]):
        assert any(got(case) != expected(case) for case in CASES)


# -- through the program -------------------------------------------------------------------------------------

SMALL = {
    "sampler": "daedal",
    "template": "raw",
    "temperature": 0.0,
    "length": 40,
    "block_length": 8,
    "daedal": {"begin": 4, "factor": 4, "high": 0.5, "low": 0.1, "end_threshold": 0.02, "checked": 8},
}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """A LLaDA to which end-of-text is often the likeliest."""
    folder = tmp_path_factory.mktemp("models")
    file = next(llada(folder / "models" / "checkpoints" / "LLaDA").glob("*.safetensors"))
    weights = load_file(file)
    weights["model.transformer.ff_out.weight"][END] *= 4.0
    save_file(weights, file, {"format": "pt"})
    app = program(folder, dtype="float64")
    yield app
    app.close()


def test_the_program_writes_the_references_text(app):
    """In one batch, in which answers have different lengths."""
    entry, model, lengths = app.checkpoints.entry("LLaDA"), app.checkpoints.load("LLaDA"), set()
    prompts = ("A hen", "Rain", "In the barn", "The cat sat")
    lines = {"text": "\n".join(f'{{"prompt": "{prompt}"}}' for prompt in prompts), "format": "jsonl"}
    every = write(app, **{**SMALL, "end_of_text": "keep", "prompts_from_file": lines})
    for prompt, result in zip(prompts, cells(every), strict=True):
        options = {"begin": 4, "most": 40, "block_length": 8, "factor": 4, "high": 0.5, "low": 0.1}
        trace = reference.sample(
            lambda tokens: reference_logits(entry.folder, tokens, dtype=torch.float64),
            model.tokenizer.prompt(prompt, template="raw").tokens,
            mask_id=HIDDEN,
            ends=model.ends,
            banned=(HIDDEN,),
            **{**options, "end_threshold": 0.02, "checked": 8},
        )
        assert list(result.tokens) == trace[-1]
        assert result.statistics.forwards == len(trace) - 1
        lengths.add(len(trace[-1]))
    assert len(lengths) > 1, "answers end with different lengths"


def test_in_a_batch_gone_on_from_any_step_and_as_saved(app):
    fields = {**SMALL, "prompt": "A hen", "temperature": 0.8, "end_of_text": "keep"}
    result = write(app, **fields, seed=4)
    assert any(change.token is None for change in result.trace), "nothing was added"
    rows = [row.tokens for row in cells(write(app, **fields, seed=2, count=4))]
    assert rows[2] == result.tokens and len(set(rows)) > 2
    grid = {"x_field": "sampler", "x_values": "daedal, low_confidence, dreamon"}
    assert cells(write(app, **fields, xyz_grid=grid, seed=4))[0].tokens == result.tokens
    request, unknown = app.Request.read(app.history.get(result.id).model_dump_json())
    again = write(app, **dict(request))
    assert not unknown and (again.tokens, again.trace) == (result.tokens, result.trace)
    for step in range(1, result.statistics.forwards, 3):
        entries = [(c.step, c.column, c.token, c.confidence) for c in result.trace if c.step <= step]
        resumed = write(app, **{**dict(request), "canvas": {"trace": entries, "step": step}})
        assert (resumed.tokens, resumed.trace) == (result.tokens, result.trace), step


def test_what_cannot_follow_is_refused_by_name_and_few_steps_are_enough(app):
    for more, sentence in (
        ({"cache": "dual"}, "set cache to exact, not dual"),
        ({"draft_steps": 4}, "set draft_steps to 1, not 4"),
        ({"end_of_text": "ban"}, "set end_of_text to stop or late or keep, not ban"),
        ({"constraints": {"regex": "[a-z ]*"}}, "take another sampler than dreamon or daedal"),
    ):
        result = finished(app, app.Request(**{"seed": 1, **SMALL, **more}))
        assert sentence in (cells(result)[0].error or "")
    short = write(app, **{**SMALL, "steps": 2})
    assert short.complete and short.statistics.forwards <= 2
    late = write(app, **{**SMALL, "end_of_text": "late"})
    assert late.complete
    gaps = write(app, **{**SMALL, "prompt": "The cat[[...3]]on."})
    assert "keeps its length" in " ".join(gaps.notes)
