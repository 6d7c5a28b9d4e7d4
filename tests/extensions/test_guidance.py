"""Guidance: the formula, computed slowly one canvas at a time by a model and a sampler that know nothing of
the program."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.contract.program import finished, program, write
from tests.reference.llada import sample
from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import MASK

LENGTH = 8


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    # float64: the order of commits must not hang on the last bit
    app = program(tmp_path_factory.mktemp("guidance"), dtype="float64")
    yield app
    app.close()


def frame(app, text: str | None, masked: str = "") -> list[int]:
    """A prompt in the fixture's chat template, its content literal, or masked."""
    fast = PreTrainedTokenizerFast.from_pretrained(app.checkpoints.entry(None).folder)
    content = (
        fast.encode(text, split_special_tokens=True)
        if text is not None
        else [MASK] * len(fast.encode(masked))
    )
    before = "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\n"
    after = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    return [*fast.encode(before), *content, *fast.encode(after)]


def slowly(
    app, prompt: list[int], base: list[int], scale: float, start: float = 0.0, end: float = 1.0
) -> list[int]:
    """The answer's tokens by the published formula."""
    folder = app.checkpoints.entry(None).folder

    def logits_of(before: list[int], answer: torch.Tensor) -> torch.Tensor:
        return reference_logits(folder, torch.cat([torch.tensor([before]), answer], 1), dtype=torch.float64)[
            :, len(before) :
        ]

    def logits_fn(tokens: torch.Tensor) -> torch.Tensor:
        answer = tokens[:, len(prompt) :]
        logits = logits_of(prompt, answer)
        if start <= 1 - (answer == MASK).sum() / LENGTH <= end:
            other = logits_of(base, answer)
            logits = other + scale * (logits - other)
        return torch.cat([logits.new_zeros(1, len(prompt), logits.shape[2]), logits], 1)

    canvas = torch.tensor([prompt + [MASK] * LENGTH])
    done = sample(
        logits_fn, canvas, len(prompt), steps=LENGTH, block_length=LENGTH, mask_id=MASK, banned=(MASK,)
    )
    return done[0, len(prompt) :].tolist()


def tokens(result) -> list[int]:
    return [change.token for change in sorted(result.trace, key=lambda change: change.column)]


def guided(app, prompt: str = "a cat", **options):
    return write(app, prompt=prompt, length=LENGTH, block_length=LENGTH, end_of_text="keep", guidance=options)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 6.5])
def test_the_formula_with_a_negative_prompt(app, scale):
    result = guided(app, negative_prompt="rain, at sea\n猫 <|mdm_mask|>", scale=scale)
    assert tokens(result) == slowly(
        app, frame(app, "a cat"), frame(app, "rain, at sea\n猫 <|mdm_mask|>"), scale
    )


@pytest.mark.parametrize("scale", [0.0, 2.0, 6.5])
def test_without_one_the_base_is_the_content_masked_and_the_frame_kept(app, scale):
    result = guided(app, scale=scale)
    assert tokens(result) == slowly(app, frame(app, "a cat"), frame(app, None, masked="a cat"), scale)


def test_the_scale_matters_and_so_does_the_negative_prompt(app):
    texts = [
        guided(app, **options).text
        for options in (
            {},
            {"scale": 3.0},
            {"scale": 3.0, "negative_prompt": "rain"},
            {"scale": 6.0, "negative_prompt": "rain"},
        )
    ]
    assert len(set(texts)) == 4
    assert guided(app, scale=3.0, negative_prompt="a cat").text == texts[0], "away from itself is nowhere"


@pytest.mark.parametrize("start, end", [(0.0, 0.3), (0.5, 1.0), (0.25, 0.5), (0.9, 0.1)])
def test_the_interval(app, start, end):
    result = guided(app, negative_prompt="rain", scale=5.0, start=start, end=end)
    assert tokens(result) == slowly(app, frame(app, "a cat"), frame(app, "rain"), 5.0, start, end)


def test_an_interval_that_is_none_is_said(app):
    sentence = "Guidance acts nowhere: it begins at 0.9 of the answer and ends at 0.1."
    assert sentence in guided(app, scale=5.0, start=0.9, end=0.1).notes
    assert guided(app, scale=1.0, start=0.9, end=0.1).notes == guided(app, start=0.1, end=0.9).notes


def test_before_the_interval_the_text_is_the_unguided_one(app):
    plain, late = guided(app).trace, guided(app, negative_prompt="rain", scale=8.0, start=0.5).trace
    assert [d[:4] for d in plain[:4]] == [d[:4] for d in late[:4]] and plain[4:] != late[4:]


def rows_per_call(app, **fields) -> list[int]:
    """How many rows each forward pass had."""
    found = []
    model = app.checkpoints.load(None)
    hook = model.body.register_forward_pre_hook(
        lambda _, args, named: found.append(named["input_ids"].shape[0]), with_kwargs=True
    )
    finished(
        app, app.Request(**{"prompt": "a cat", "length": LENGTH, "seed": 1, "end_of_text": "keep", **fields})
    )
    hook.remove()
    return found


def test_scale_1_is_bit_for_bit_no_guidance_and_costs_nothing(app, tmp_path):
    without = program(tmp_path, tmp_path / "no extensions", dtype="float64")
    fields = {"prompt": "a cat", "temperature": 0.7}
    plain = write(without, **fields)
    without.close()
    for options in ({}, {"scale": 1.0}, {"scale": 1.0, "negative_prompt": "rain"}):
        result = write(app, **fields, guidance=options)
        assert (result.text, result.trace) == (plain.text, plain.trace)
        assert ("does nothing at guidance scale 1" in "".join(result.notes)) == ("negative_prompt" in options)
    assert rows_per_call(app, guidance={"scale": 1.0, "negative_prompt": "rain"}) == [1] * LENGTH


def test_a_negative_prompt_acts_with_a_scale_that_is_left_alone(app):
    one, two = (
        write(app, prompt="a cat", guidance={"negative_prompt": "rain"} | scale)
        for scale in ({}, {"scale": 1.5})
    )
    assert one.trace == two.trace and not one.notes
    assert one.trace != write(app, prompt="a cat").trace
    assert rows_per_call(app, guidance={"negative_prompt": "rain"}) == [2] * LENGTH


def test_a_branch_is_made_only_where_it_is_needed(app):
    assert rows_per_call(app, guidance={"scale": 2.0}) == [2] * LENGTH
    assert rows_per_call(app, guidance={"scale": 2.0, "start": 0.5}) == [1] * 4 + [2] * 4
    assert rows_per_call(app, guidance={"scale": 2.0, "end": 0.2}) == [2] * 2 + [1] * 6
    for length, start in (
        (5, 0.2),
        (10, 0.4),
        (10, 0.7),
    ):  # fractions that float32 cannot write: still the promised step
        unguided = round(length * start)
        found = rows_per_call(app, length=length, guidance={"scale": 2.0, "start": start})
        assert found == [1] * unguided + [2] * (length - unguided)
        found = rows_per_call(app, length=length, guidance={"scale": 2.0, "end": start})
        assert found == [2] * (unguided + 1) + [1] * (length - unguided - 1)


def test_rows_of_one_batch_are_what_they_are_alone(app):
    """Scales, lengths of the negative prompts and intervals all differ, and so do the answers' lengths."""
    long = "a long negative prompt about the sea, and the rain on it, and what came of it in the end. " * 2
    options = [
        {},
        {"scale": 2.0},
        {"scale": 4.0, "negative_prompt": "rain"},
        {"scale": 0.5, "negative_prompt": long},
        {"scale": 3.0, "negative_prompt": "x", "start": 0.4},
        {"scale": 1.0, "negative_prompt": long},
    ]
    request = app.Request(prompt="a cat", temperature=0.8, seed=2)
    cells = [
        replace(app.expand(request.replace(length=6 + 3 * i, guidance=given))[0], id=str(i))
        for i, given in enumerate(options)
    ]

    def texts(some) -> dict:
        events = app.engine.generate(some, "job", lambda: False)
        return {event.cell: event.result.text for event in events if hasattr(event, "result")}

    together = texts(cells)
    assert len(together) == len(cells)
    for cell in cells:
        assert texts([cell]) == {cell.id: together[cell.id]}


def test_a_negative_prompt_that_does_not_fit_is_refused_when_it_is_submitted(app):
    with pytest.raises(ValueError, match=r"^The negative prompt takes .* room for"):
        app.queue.submit(app.Request(prompt="a", guidance={"negative_prompt": "rain " * 200, "scale": 2.0}))


def test_the_preset_may_set_the_scale(tmp_path):
    app = program(tmp_path)
    folder = app.checkpoints.entry(None).folder
    (folder / "profile.json").write_text('{"preset": {"guidance": {"scale": 3.0}}}')
    from_preset = write(app, prompt="a cat")
    assert from_preset.request.guidance.scale == 3.0 and "guidance.scale" in from_preset.preset
    assert from_preset.text == write(app, prompt="a cat", guidance={"scale": 3.0}).text
    app.close()
