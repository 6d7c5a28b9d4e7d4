"""The references themselves: their promises, and that the cases distinguish every mutant from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.reference import fast_dllm, llada, mutants
from tests.reference.toy import EOS, EOT, MASK, Case, canvas, fast_dllm_cases, llada_cases, toy

LLADA_CASES, FAST_DLLM_CASES = llada_cases(), fast_dllm_cases()


def run(sampler, case: Case) -> tuple[torch.Tensor, list[torch.Tensor]]:
    trace: list[torch.Tensor] = []
    return sampler(case.logits_fn, case.canvas, case.answer, trace=trace, **case.options), trace


def answers_only(case: Case) -> bool:
    """Whether the published counts suffice: with masks in the prompt they leave as many masked."""
    return bool(case.given[:, : case.answer].all())


def ids(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", LLADA_CASES, ids=ids)
def test_llada_keeps_what_is_known_and_fills_the_rest(case: Case):
    result, trace = run(llada.sample, case)
    assert len(trace) == case.options["steps"]
    before = case.canvas
    for after in trace:
        known = before != MASK
        assert torch.equal(after[known], before[known])
        before = after
    assert torch.equal(result, before)
    if answers_only(case):
        assert (result != MASK).all()
    else:
        holes = (~case.given[:, : case.answer]).sum(dim=1)
        assert torch.equal((result == MASK).sum(dim=1), holes)


@pytest.mark.parametrize("case", [case for case in LLADA_CASES if answers_only(case)], ids=ids)
def test_llada_commits_block_after_block_as_dealt(case: Case):
    _, trace = run(llada.sample, case)
    length, steps = case.options["block_length"], case.options["steps"]
    per_block = steps * length // (case.canvas.shape[1] - case.answer)
    before = case.canvas
    for step, after in enumerate(trace):
        start = case.answer + step // per_block * length
        committed = (before == MASK) & (after != MASK)
        assert not committed[:, :start].any() and not committed[:, start + length :].any()
        for row, count in enumerate(committed.sum(dim=1).tolist()):
            masks = int((case.canvas[row, start : start + length] == MASK).sum())
            assert count == llada.even(masks, per_block)[step % per_block]
        before = after


@pytest.mark.parametrize("case", FAST_DLLM_CASES, ids=ids)
def test_fast_dllm_keeps_what_is_known_and_always_makes_progress(case: Case):
    result, trace = run(fast_dllm.sample, case)
    before = case.canvas
    for after in trace:
        known = before != MASK
        assert torch.equal(after[known], before[known])
        assert (after != before).any()
        before = after
    assert (result[:, case.answer :] != MASK).all()
    assert len(trace) <= case.canvas.numel()


@pytest.mark.parametrize("mutant", mutants.LLADA, ids=lambda mutant: mutant.name)
def test_cases_tell_llada_mutants(mutant: mutants.Mutant):
    assert any(
        not torch.equal(run(llada.sample, case)[0], run(mutant.sample, case)[0]) for case in LLADA_CASES
    )


@pytest.mark.parametrize("mutant", mutants.FAST_DLLM, ids=lambda mutant: mutant.name)
def test_cases_tell_fast_dllm_mutants(mutant: mutants.Mutant):
    assert any(
        not torch.equal(run(fast_dllm.sample, c)[0], run(mutant.sample, c)[0]) for c in FAST_DLLM_CASES
    )


@pytest.mark.parametrize("reference", [llada, fast_dllm], ids=["llada", "fast_dllm"])
def test_rows_do_not_depend_on_their_batch(reference):
    cases = LLADA_CASES if reference is llada else FAST_DLLM_CASES
    for case in cases:
        if case.options.get("temperature") or case.options.get("remasking"):
            continue  # drawn for the whole batch
        together, _ = run(reference.sample, case)
        for row in range(len(case.canvas)):
            one = replace(case, canvas=case.canvas[row : row + 1])
            assert torch.equal(run(reference.sample, one)[0][0], together[row])


def test_reference_is_whole_again_after_a_mutant():
    before = (llada.even, llada.candidates, llada.best, fast_dllm.passes, fast_dllm.committed)
    for mutant in mutants.LLADA:
        run(mutant.sample, LLADA_CASES[0])
    for mutant in mutants.FAST_DLLM:
        run(mutant.sample, FAST_DLLM_CASES[0])
    assert before == (llada.even, llada.candidates, llada.best, fast_dllm.passes, fast_dllm.committed)


def test_even():
    assert llada.even(8, 3) == [3, 3, 2]
    assert llada.even(2, 4) == [1, 1, 0, 0]


def test_threshold_zero_commits_a_block_at_once_and_one_commits_singly():
    tokens, answer = canvas(1, rows=1)
    options = {"mask_id": MASK, "banned": (MASK,), "block_length": 8}
    assert len(run(fast_dllm.sample, Case("", toy(3), tokens, answer, {**options, "threshold": 0.0}))[1]) == 2
    assert (
        len(run(fast_dllm.sample, Case("", toy(3), tokens, answer, {**options, "threshold": 2.0}))[1]) == 16
    )


def test_one_by_one_both_references_agree():
    for seed in range(5):
        tokens, answer = canvas(seed, rows=1)
        options = {"mask_id": MASK, "banned": (MASK,), "block_length": 8}
        plain, _ = run(llada.sample, Case("", toy(seed), tokens, answer, {**options, "steps": 16}))
        fast, _ = run(fast_dllm.sample, Case("", toy(seed), tokens, answer, {**options, "threshold": 2.0}))
        assert torch.equal(plain, fast)


def test_guidance_of_weight_zero_is_none_and_a_scale_is_weight_plus_one():
    logits, base = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    assert torch.allclose(llada.guided(logits, base, 0.0), logits)
    assert torch.allclose(llada.guided(logits, base, 1.0), base + 2.0 * (logits - base))


def test_noise_at_a_temperature_draws_from_the_softmax():
    torch.manual_seed(0)
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    draws = llada.noisy(logits.expand(200_000, 4), 0.7, 0, llada.uniform_noise).argmax(-1)
    share = torch.bincount(draws, minlength=4) / len(draws)
    assert torch.allclose(share, torch.softmax(logits / 0.7, -1), atol=0.005)


def test_end_of_text_is_committed_last():
    def all_ends(tokens):
        logits = toy(5)(tokens)
        logits[..., [EOS, EOT]] = -4.0
        logits[:, 7::3, EOS] = 99.0
        logits[:, 8::3, EOT] = 99.0
        return logits

    tokens, answer = canvas(4, rows=3)
    common = {"mask_id": MASK, "block_length": 16, "steps": 16, "eos_id": EOS, "eot_id": EOT}
    _, trace = run(
        llada.sample, Case("", all_ends, tokens, answer, {**common, "confidence_eos_eot_inf": True})
    )
    for row in range(3):
        order = []
        before = tokens[row]
        for after in trace:
            order.append(int(after[row][before != after[row]].item()))
            before = after[row]
        ends = [token in (EOS, EOT) for token in order]
        assert any(ends) and ends == sorted(ends)
    result, _ = run(llada.sample, Case("", all_ends, tokens, answer, {**common, "logits_eos_inf": True}))
    assert (result != EOS).all() and (result == EOT).any()


def test_ties_come_from_the_left():
    confidence = torch.tensor([0.5, 0.9, 0.9, 0.5, 0.9])
    assert llada.best(confidence, 2, "first").tolist() == [1, 2]
    assert llada.best(confidence, 4, "first").tolist() == [1, 2, 4, 0]
    assert set(llada.best(confidence, 3, "torch").tolist()) == {1, 2, 4}


def test_toy_depends_on_every_token_and_on_nothing_else():
    tokens, _ = canvas(9, rows=1, holes=0.3)
    logits = toy(2)(tokens)
    assert torch.equal(logits, toy(2)(tokens.repeat(3, 1))[1:2])
    for column in range(tokens.shape[1]):
        other = tokens.clone()
        other[0, column] = (other[0, column] + 1) % MASK
        assert not torch.equal(toy(2)(other), logits)


def test_prompt_and_length_make_the_canvas():
    tokens, answer = canvas(6)
    options = {"mask_id": MASK, "block_length": 8, "steps": 4}
    whole = llada.sample(toy(1), tokens, answer, **options)
    assert torch.equal(llada.generate(toy(1), tokens[:, :answer], length=16, **options), whole)
    del options["steps"]
    whole = fast_dllm.sample(toy(1), tokens, answer, **options)
    assert torch.equal(fast_dllm.generate(toy(1), tokens[:, :answer], length=16, **options), whole)


def test_a_mask_as_the_likeliest_token_is_refused():
    tokens, answer = canvas(6)

    def only_masks(tokens):
        return torch.nn.functional.one_hot(torch.full_like(tokens, MASK), 13) * 9.0

    with pytest.raises(ValueError, match="ban it"):
        fast_dllm.sample(only_masks, tokens, answer, block_length=8, mask_id=MASK)
