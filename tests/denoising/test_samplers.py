"""The contract of every sampler, against an oracle: a model without weights that knows the text it wants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.contract import crossed
from tests.reference.toy import MASK, VOCAB, mixed, toy
from webui.canvas import Canvas, noise
from webui.denoising import samplers
from webui.denoising.samplers import BUILT_IN, SamplerOptions
from webui.denoising.samplers.confidences import token_probability
from webui.denoising.samplers.draw import LIKELIEST, draw

# those that stay in a block to revise it are tested against their references
SAMPLERS = {name: sampler for name, sampler in BUILT_IN.samplers.items() if not sampler.remasks}
SCHEDULES, CONFIDENCES = BUILT_IN.schedules, BUILT_IN.confidences

ROOT = Path(__file__).resolve().parents[2]
OWN = {
    "alg_temp": 0.0,
    "eps": 1e-3,
    "factor": 1.0,
    "gamma": 0.1,
    "low": 0.4,
    "kl_threshold": 5.0,
    "history": 1,
}  # options of single samplers
LogitsFn = Callable[[Tensor], Tensor]  # tokens (B, L) without padding -> logits (B, L, V)


def ask(canvas: Canvas, models: Sequence[LogitsFn]) -> Tensor:
    """Logits (N, V) of the active positions, as an engine gives them: each row's own model sees the row
    without its padding."""
    parts = []
    for row, tokens, padding, active in zip(
        canvas.row.tolist(), canvas.tokens, canvas.padding, canvas.active, strict=True
    ):
        real = ~padding
        parts.append(models[row](tokens[real][None])[0][active[real]])
    logits = torch.cat(parts)
    logits[:, canvas.mask] = -torch.inf
    return logits


def advance(canvas: Canvas, models: Sequence[LogitsFn]) -> Canvas:
    """One step, as the engine makes it."""
    canvas = samplers.activate(canvas)
    logits = ask(canvas, models)
    canvas = samplers.observe(canvas, logits)
    return samplers.commit(canvas, samplers.choose(canvas, logits))


def finish(canvas: Canvas, models: Sequence[LogitsFn], steps: int = 1000) -> Canvas:
    """Up to `steps` more steps; rows leave nothing masked in the end."""
    for _ in range(steps):
        if not canvas.masked.any():
            break
        canvas = advance(canvas, models)
    return canvas


def oracle(seed: int, target: Sequence[int]) -> LogitsFn:
    """The toy's logits with `target` the likeliest at the row's end, by a gap that depends on everything the
    model is shown."""

    def logits_fn(tokens: Tensor) -> Tensor:
        logits = toy(seed)(tokens)
        part = logits[0, -len(target) :]
        gap = (mixed((part[:, 0] * 2**20).long().abs()) % 1000) / 400 + 0.1
        part.scatter_(1, torch.tensor(target)[:, None], (part.amax(1) + gap)[:, None])
        return logits

    return logits_fn


@dataclass(frozen=True)
class Case:
    """One row: its prompt, its answer with gaps, the text wanted, and the sampler options."""

    name: str
    seed: int
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    settings: SamplerOptions

    @property
    def target(self) -> list[int]:
        """What is given, and any other tokens in the gaps."""
        return [(5 * i + self.seed) % 10 if token == MASK else token for i, token in enumerate(self.answer)]


def cases(temperature: float = 0.0) -> list[Case]:
    """Each two of sampler, schedule, confidence and (whole canvas, blocks, gaps); lengths, prompts, steps and
    blocks all differ."""
    made = []
    kinds = crossed(SAMPLERS, SCHEDULES, CONFIDENCES, ("whole", "blocks", "gaps"))
    for i, (sampler, schedule, confidence, kind) in enumerate(kinds):
        length = 10 + i % 13
        answer = [MASK] * length
        if kind == "gaps":
            answer = [MASK if (j + i) % 5 < 3 else j % 10 for j in range(length)]
        block = {"whole": length, "blocks": 3 + i % 3, "gaps": 4}[kind]
        blocks = len({j // block for j, token in enumerate(answer) if token == MASK})
        settings = SamplerOptions(
            sampler,
            schedule,
            confidence,
            steps=blocks + i % 7,
            block_length=block,
            own={**OWN, "threshold": 0.5 + i % 5 / 10, "edit_threshold": 1.1},
            temperature=temperature * (i % 3),
            top_k=(0, 5, 0)[i % 3],
            top_p=(1.0, 1.0, 0.9)[i % 3],
        )
        prompt = tuple(range(i % 9))
        made.append(
            Case(f"{sampler} {schedule} {confidence} {kind}", 100 + i, prompt, tuple(answer), settings)
        )
    return made


def build(rows: Sequence[Case]) -> Canvas:
    canvas = Canvas.build([c.prompt for c in rows], [c.answer for c in rows], [c.seed for c in rows], MASK)
    return samplers.prepare(canvas, [c.settings for c in rows])


def answers(canvas: Canvas) -> list[list[int]]:
    return [
        tokens[start:].tolist() for tokens, start in zip(canvas.tokens, canvas.answer.tolist(), strict=True)
    ]


def toys(rows: Sequence[Case]) -> list[LogitsFn]:
    """Models without a target: whatever differs in what they are shown changes everything after it."""
    return [toy(case.seed) for case in rows]


# -- the contract --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_sampler_reaches_the_target_within_its_steps(case):
    """Each step commits something, unless time says how much, touches nothing committed or given, and the
    given steps are enough."""
    canvas, steps = build([case]), 0
    models = [oracle(case.seed, case.target)]
    while canvas.masked.any():
        after = advance(canvas, models)
        known = ~canvas.masked
        assert torch.equal(after.tokens[known], canvas.tokens[known])
        assert after.masked.sum() < canvas.masked.sum() or case.settings.sampler.startswith(("dream", "sedd"))
        canvas, steps = after, steps + 1
    assert answers(canvas) == [case.target]
    assert steps <= case.settings.steps and canvas.step.tolist() == [steps]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_rows_of_everything_in_one_canvas_are_as_each_alone(temperature):
    rows = cases(temperature)
    together = answers(finish(build(rows), toys(rows)))
    for case, text in zip(rows, together, strict=True):
        assert answers(finish(build([case]), toys([case]))) == [text], case.name


def test_rows_do_not_depend_on_their_order_nor_on_rows_that_leave():
    rows = cases(0.8)
    models = toys(rows)
    expected = answers(finish(build(rows), models))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    assert answers(finish(build(rows).take(order), models)) == [expected[i] for i in order]
    canvas = finish(build(rows), models, steps=2).take(torch.arange(0, len(rows), 2))
    assert answers(finish(canvas, models)) == expected[::2]


def resume(folder: Path) -> None:
    """What the other process does: goes on with every canvas in `folder`, and leaves the answers beside
    it."""
    rows = cases(0.8)
    for path in sorted(folder.glob("*.canvas")):
        path.with_suffix(".json").write_text(
            json.dumps(answers(finish(Canvas.load(path.read_bytes()), toys(rows))))
        )


def test_any_step_can_be_saved_and_gone_on_with_in_another_process(tmp_path):
    rows = cases(0.8)
    canvas = build(rows)
    for step in range(8):
        if step in (0, 1, 3, 7):
            (tmp_path / f"{step}.canvas").write_bytes(canvas.dump())
        canvas = advance(canvas, toys(rows))
    expected = answers(finish(canvas, toys(rows)))
    program = "import sys, pathlib; from tests.denoising.test_samplers import resume; resume(pathlib.Path(sys.argv[1]))"
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=one, check=True, timeout=200)
    done = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert done == dict.fromkeys("0137", expected)


def test_a_row_with_nothing_to_decide_is_left_as_it_is():
    settings = SamplerOptions("low_confidence", "even", "probability", steps=4, block_length=4)
    canvas = samplers.prepare(
        Canvas.build([[1], [2]], [[MASK] * 8, [3, 4]], [0, 1], MASK), [settings, settings]
    )
    assert answers(finish(canvas, [toy(1), toy(2)]))[1] == [3, 4]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_fewer_steps_than_blocks_are_refused_with_one_sentence(steps):
    case = Case(
        "",
        0,
        (),
        (MASK,) * 16,
        SamplerOptions("low_confidence", "even", "probability", steps, block_length=4),
    )
    with pytest.raises(
        ValueError, match=rf"^{steps} steps cannot fill 4 blocks: take at least 4 steps .*\.$"
    ):
        build([case])


def test_only_blocks_with_gaps_need_steps():
    answer = (MASK, *range(1, 12), *(MASK,) * 4)
    case = Case(
        "", 0, (), answer, SamplerOptions("low_confidence", "even", "probability", steps=2, block_length=4)
    )
    assert answers(finish(build([case]), [oracle(1, case.target)])) == [case.target]


def test_every_later_block_keeps_a_step_however_few_its_gaps_are():
    """Most of the gaps are in the first block: it must not take the steps that the others need."""
    answer = ((MASK,) * 8, *((MASK, *range(7)) for _ in range(5)))
    for steps in range(6, 14):
        settings = SamplerOptions("low_confidence", "even", "probability", steps, block_length=8)
        case = Case("", 0, (), tuple(token for block in answer for token in block), settings)
        assert answers(finish(build([case]), [oracle(1, case.target)], steps)) == [case.target]


# -- schedules -----------------------------------------------------------------------------------------------


def left_masked(schedule: str, n: int, steps: int) -> list[int]:
    s = torch.arange(steps)
    return SCHEDULES[schedule](torch.full_like(s, n), s, torch.full_like(s, steps), None).tolist()


@pytest.mark.parametrize("steps", range(1, 33))
def test_schedules_keep_their_closed_forms(steps):
    """even: LLaDA's get_num_transfer_tokens. cosine: MaskGIT's cosine of the step's share."""
    for n in range(1, 40):
        dealt = [n // steps + (i < n % steps) for i in range(steps)]
        assert left_masked("even", n, steps) == [n - sum(dealt[: i + 1]) for i in range(steps)]
        half_pi = torch.tensor(torch.pi / 2, dtype=torch.float64)
        exact = [(n * torch.cos(half_pi * (i + 1) / steps) + 1e-9).floor().int().item() for i in range(steps)]
        assert left_masked("cosine", n, steps) == exact


@pytest.mark.parametrize(
    ("length", "block", "steps"), [(32, 8, 12), (32, 32, 7), (24, 8, 24), (40, 8, 6), (30, 8, 9)]
)
def test_blocks_are_committed_one_after_the_other_as_dealt(length, block, steps):
    """Whole blocks with steps to divide: LLaDA's numbers. Otherwise all steps are used and no block waits for
    its last."""
    settings = SamplerOptions("low_confidence", "even", "probability", steps=steps, block_length=block)
    canvas = build([Case("", 3, (1, 2), (MASK,) * length, settings)])
    committed: list[tuple[int, int]] = []  # block and number of each step
    while canvas.masked.any():
        after = advance(canvas, [toy(3)])
        columns = canvas.column[canvas.masked & ~after.masked]
        assert len(set((columns // block).tolist())) == 1
        committed.append((int(columns[0]) // block, len(columns)))
        canvas = after
    assert len(committed) == steps and committed == sorted(committed, key=lambda step: step[0])
    blocks = -(-length // block)
    if steps % blocks == 0 and length % block == 0:
        per = steps // blocks
        dealt = [block // per + (i < block % per) for i in range(per)]
        assert committed == [(b, count) for b in range(blocks) for count in dealt]


# -- confidences ---------------------------------------------------------------------------------------------


def spread(logits: Tensor, steps: int = 1, **settings) -> Canvas:
    """A canvas with one active position for each row of `logits` (N, V), the settings as given."""
    options = SamplerOptions(
        "low_confidence", "even", "probability", steps=steps, block_length=len(logits), **settings
    )
    canvas = Canvas.build([[]], [[MASK] * len(logits)], [11], MASK)
    return samplers.activate(samplers.prepare(canvas, [options]))


def test_confidences_are_what_their_names_say():
    logits = torch.randn(50, VOCAB, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    logits[:, MASK] = -torch.inf
    logits[7, :9] = -torch.inf
    canvas, token = spread(logits), torch.arange(50) % 3 + 9
    p = logits.softmax(1)
    ordered = p.sort(1, descending=True).values
    plogp = torch.where(p > 0, p * p.log(), 0.0).sum(1)
    close = {"rtol": 1e-12, "atol": 1e-12}
    likelihood = token_probability(logits, token)
    torch.testing.assert_close(likelihood, p[torch.arange(50), token], **close)

    def measured(name: str) -> Tensor:
        return CONFIDENCES[name](canvas, logits, token, likelihood)

    torch.testing.assert_close(measured("probability"), p[torch.arange(50), token], **close)
    torch.testing.assert_close(measured("margin"), ordered[:, 0] - ordered[:, 1], **close)
    torch.testing.assert_close(measured("entropy"), plogp, **close)


def test_random_order_is_uniform_and_another_one_each_step_and_seed():
    logits = torch.zeros(2000, VOCAB)
    canvas = spread(logits)

    def order(canvas: Canvas) -> Tensor:
        return CONFIDENCES["random"](canvas, logits, logits.argmax(1), logits[:, 0])

    one = order(canvas)
    assert abs(one.mean().item() - 0.5) < 0.03
    later = order(replace(canvas, step=canvas.step + 1))
    other = order(replace(canvas, seed=canvas.seed + 1))
    for changed in (later, other):
        assert torch.corrcoef(torch.stack([one, changed]))[0, 1].abs() < 0.1


def test_the_threshold_commits_all_above_it_and_else_the_most_confident():
    probability = torch.tensor([0.95, 0.2, 0.9, 0.5])
    logits = torch.full((4, VOCAB), -20.0)
    logits[:, 0], logits[:, 1] = probability.log(), (1 - probability).log()
    best_alone = [0]
    for threshold, expected in ((0.89, [0, 2]), (0.96, best_alone), (0.0, [0, 1, 2, 3])):
        options = SamplerOptions(
            "threshold", "even", "probability", steps=4, block_length=4, own={"threshold": threshold}
        )
        canvas = samplers.activate(samplers.prepare(Canvas.build([[]], [[MASK] * 4], [0], MASK), [options]))
        chosen = samplers.choose(canvas, logits).commit.nonzero()[:, 0].tolist()
        assert chosen == expected


def test_ties_go_left():
    logits = torch.zeros(16, VOCAB)
    logits[:, 3] = 5.0
    canvas = spread(logits, steps=4)
    assert samplers.choose(canvas, logits).commit.nonzero()[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_late_end_of_text_is_committed_last_and_still_committed(sampler, first):
    end = 9
    options = SamplerOptions(
        sampler,
        "even",
        "probability",
        steps=16,
        block_length=16,
        late=True,
        own={**OWN, "threshold": 0.9, "edit_threshold": 0.9},
    )
    canvas = samplers.prepare(Canvas.build([[1]], [[MASK] * 16], [0], MASK, ends=[end]), [options])
    target = [end if i % 3 == first else 2 for i in range(16)]
    order: list[int] = []
    for _ in range(32):
        after = advance(canvas, [oracle(2, target)])
        order += sorted(after.tokens[canvas.masked & ~after.masked].tolist())  # of one step in any order
        canvas = after
    assert answers(canvas) == [target]
    assert [token == end for token in order] == sorted(token == end for token in order)


# -- draws ---------------------------------------------------------------------------------------------------


def frequencies(logits: Tensor, many: int, **settings) -> Tensor:
    """How often each token is drawn at `many` positions that all have these logits (V,)."""
    wide = logits.expand(many, -1)
    return torch.bincount(draw(spread(wide, **settings), wide), minlength=len(logits)).double()


def deviations(counts: Tensor, p: Tensor) -> float:
    """Chi square over the tokens that can be drawn, in standard deviations above its mean; what cannot must
    not be."""
    assert (counts[p == 0] == 0).all()
    counts, expected = counts[p > 0], (p[p > 0] * counts.sum()).double()
    degrees = len(counts) - 1
    return ((((counts - expected) ** 2 / expected).sum() - degrees) / (2 * degrees) ** 0.5).item()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_a_draw_at_a_temperature_has_the_softmax_as_distribution(temperature):
    """200 tokens, most of the probability beyond the 64 likeliest at the higher temperatures: the rest wins
    often."""
    logits = torch.randn(200, generator=torch.Generator().manual_seed(3))
    p = (logits.double() / temperature).softmax(0)
    if temperature > 1:
        assert p.topk(LIKELIEST).values.sum() < 0.6
    assert deviations(frequencies(logits, 40_000, temperature=temperature), p) < 5


def test_temperature_zero_takes_the_likeliest_token():
    logits = torch.randn(300, 200, generator=torch.Generator().manual_seed(4))
    assert torch.equal(draw(spread(logits), logits), logits.argmax(1))
    cold = draw(spread(logits, temperature=1e-4), logits)
    assert (cold == logits.argmax(1)).float().mean() > 0.99


LOGITS = torch.tensor([0.3, 2.0, -1.0, 1.0, 0.0, 1.5, -0.5, 0.7, -2.0, 1.2])


FILTERS = [
    {"top_k": 1},
    {"top_k": 4},
    {"top_k": 50},
    {"min_p": 0.3},
    {"min_p": 1.0},
    {"top_p": 0.6},
    {"top_p": 0.95},
]


def plainly_kept(p: Tensor, filter: dict[str, float]) -> list[int]:
    """The tokens that one filter leaves, by its definition."""
    ((name, value),) = filter.items()
    likeliest = p.argsort(descending=True).tolist()
    if name == "top_k":
        return likeliest[:value]
    if name == "min_p":
        return [token for token in likeliest if p[token] >= value * p.max()]
    return [token for i, token in enumerate(likeliest) if p[likeliest[:i]].sum() < value]


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_filters_keep_exactly_the_tokens_they_should(filter, temperature):
    """After the temperature; among what is kept the draw is the softmax's again."""
    p = (LOGITS.double() / temperature).softmax(0)
    kept = torch.zeros(10, dtype=torch.bool)
    kept[plainly_kept(p, filter)] = True
    counts = frequencies(LOGITS, 20_000, temperature=temperature, **filter)
    assert torch.equal(counts > 0, kept)
    if kept.sum() > 1:
        assert deviations(counts, torch.where(kept, p, 0.0) / p[kept].sum()) < 5


def test_filters_act_one_after_the_other():
    """top-k first, then top-p of what is left, then min-p of that."""
    p = LOGITS.double().softmax(0)
    kept = torch.zeros(10, dtype=torch.bool)
    four = p.topk(4).indices
    renormalised = torch.zeros_like(p).index_copy(0, four, p[four] / p[four].sum())
    kept[plainly_kept(renormalised, {"top_p": 0.8})] = True
    kept &= p >= 0.5 * p.max()
    counts = frequencies(LOGITS, 20_000, temperature=1.0, top_k=4, top_p=0.8, min_p=0.5)
    assert torch.equal(counts > 0, kept) and 1 < kept.sum() < 4


def test_banned_tokens_are_never_drawn():
    logits = LOGITS.clone()
    logits[[1, 5]] = -torch.inf
    counts = frequencies(logits, 20_000, temperature=1.5, top_p=0.99)
    assert counts[1] == counts[5] == 0 and (counts > 0).sum() > 5


def test_each_row_draws_by_its_own_settings():
    """Four rows in one canvas, filters mixed: each as alone."""
    options = [
        {"temperature": 0.0},
        {"temperature": 1.0},
        {"temperature": 1.0, "top_k": 2},
        {"temperature": 2.0, "top_p": 0.5},
    ]
    rows = [SamplerOptions("low_confidence", "even", "probability", 1, 500, **t) for t in options]

    def drawn_by(rows: list[SamplerOptions]) -> Tensor:
        canvas = Canvas.build([[]] * len(rows), [[MASK] * 500] * len(rows), [7] * len(rows), MASK)
        canvas = samplers.activate(samplers.prepare(canvas, rows))
        return draw(canvas, LOGITS.expand(500 * len(rows), -1)).view(-1, 500)

    drawn = drawn_by(rows)
    for row, mine in zip(rows, drawn, strict=True):
        assert torch.equal(drawn_by([row])[0], mine)
    assert not torch.equal(drawn[1], drawn[3])


def test_a_draw_depends_on_seed_position_and_step_only(monkeypatch):
    """Other prompts before the answer move its columns, not its draws; and nothing is taken from torch's
    generator."""
    options = SamplerOptions("low_confidence", "even", "probability", 1, 40, temperature=1.0)
    drawn = []
    for prompt in ([], [1] * 5, [2] * 90):
        torch.manual_seed(len(prompt))
        canvas = Canvas.build([prompt], [[MASK] * 40], [2**35 + 1], MASK)
        canvas = samplers.activate(samplers.prepare(canvas, [options]))
        drawn.append(draw(canvas, LOGITS.expand(40, -1)).tolist())
    assert drawn[0] == drawn[1] == drawn[2]
    counter = noise.counter
    monkeypatch.setattr(noise, "counter", lambda seed, *more: counter(seed + 1, *more))
    assert draw(canvas, LOGITS.expand(40, -1)).tolist() != drawn[0], "the noise is what matters"


def test_a_variation_changes_the_draws_of_its_share_of_the_positions():
    """0 is the seed's text, 1 the other seed's; a greater strength keeps what a lower one has changed."""
    wide = LOGITS.expand(2000, -1)

    def drawn(seed: int, **variation) -> Tensor:
        options = SamplerOptions(
            "low_confidence", "even", "probability", 1, 2000, temperature=1.0, **variation
        )
        canvas = Canvas.build([[]], [[MASK] * 2000], [seed], MASK)
        return draw(samplers.activate(samplers.prepare(canvas, [options])), wide)

    one, other = drawn(1), drawn(9)
    assert torch.equal(drawn(1, variation_seed=9, variation_strength=0.0), one)
    assert torch.equal(drawn(1, variation_seed=9, variation_strength=1.0), other)
    changed = [drawn(1, variation_seed=9, variation_strength=share) for share in (0.2, 0.6)]
    shares = [((some == other) & (other != one)).sum() / (other != one).sum() for some in changed]
    assert abs(shares[0] - 0.2) < 0.05 and abs(shares[1] - 0.6) < 0.05
    assert (changed[1] == other)[(changed[0] == other) & (other != one)].all()
