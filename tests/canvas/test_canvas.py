"""The canvas against rows kept as plain lists: whatever is derived from it, every row reads as it should."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.canvas import ALIGN, Canvas, Template
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions

MASK = 99
TOKEN = st.integers(0, 9)
PROMPTS = st.lists(TOKEN, max_size=40)
ANSWERS = st.lists(TOKEN | st.just(MASK), min_size=1, max_size=40)
ROWS = st.lists(st.tuples(PROMPTS, ANSWERS), min_size=1, max_size=5)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def build(rows) -> Canvas:
    """The canvas of (prompt, answer) pairs, every masked position active."""
    prompts, answers = [p for p, _ in rows], [a for _, a in rows]
    seeds = [2**40 + i for i in range(len(rows))]
    canvas = Canvas.build(prompts, answers, seeds, MASK, ends=(7, 8))
    return with_active(canvas, canvas.masked)


def names(canvas: Canvas) -> list[str]:
    """The branch of each row."""
    return [canvas.branches[number] for number in canvas.branch.tolist()]


def sampled(canvas: Canvas, sampler: str = "low_confidence") -> Canvas:
    """With a sampler's state, and in it a note for each row and one for each column."""
    rows = len(canvas.row)
    canvas = samplers.prepare(canvas, [SamplerOptions(sampler, "even", "probability", 1000, 8)] * rows)
    notes = {"note": torch.arange(rows) * 10, "place": canvas.column.clone()}
    return canvas.with_sampler(canvas.state.with_own(**notes))


def with_active(canvas: Canvas, active: torch.Tensor) -> Canvas:
    return replace(canvas, active=active)


def seen(canvas: Canvas) -> list[tuple[list[int], list[int]]]:
    """Each row's prompt and answer as the model sees them; what lies before them must be padding and nothing
    else."""
    length = canvas.tokens.shape[1]
    assert length % ALIGN == 0
    rows = []
    starts, answers = canvas.start.tolist(), canvas.answer.tolist()
    for i, (start, answer) in enumerate(zip(starts, answers, strict=True)):
        assert canvas.given[i, :answer].all() and not canvas.active[i, :answer].any()
        assert canvas.padding[i].tolist() == [True] * start + [False] * (length - start)
        assert canvas.position[i].tolist() == [0] * start + list(range(length - start))
        assert (canvas.weights[i] == 0).all()
        rows.append((canvas.tokens[i, start:answer].tolist(), canvas.tokens[i, answer:].tolist()))
    return rows


def wanted(canvas: Canvas) -> list[tuple[int, int]]:
    """Row number and answer position of every active position, in order."""
    rows, columns = canvas.at
    return list(zip(canvas.row[rows].tolist(), (columns - canvas.answer[rows]).tolist(), strict=True))


@quick
@given(ROWS)
def test_rows_are_flush_right_and_the_width_is_the_next_multiple_of_16(rows):
    canvas = build(rows)
    longest = max(len(p) + len(a) for p, a in rows)
    assert seen(canvas) == rows
    assert 0 <= canvas.tokens.shape[1] - longest < ALIGN
    assert canvas.seed.tolist() == [2**40 + i for i in range(len(rows))]
    assert canvas.step.tolist() == [0] * len(rows) and canvas.row.tolist() == list(range(len(rows)))


@quick
@given(ROWS)
def test_what_holds_the_mask_in_the_answer_is_masked_and_all_else_given(rows):
    canvas = build(rows)
    for i, (_, answer) in enumerate(rows):
        masks = [token == MASK for token in answer]
        assert canvas.masked[i, canvas.answer[i] :].tolist() == masks
        assert not canvas.masked[i, : canvas.answer[i]].any()
        assert canvas.t[i].item() == pytest.approx(sum(masks) / len(answer))
        assert canvas.column[i, canvas.answer[i] :].tolist() == list(range(len(answer)))
    assert wanted(canvas) == [
        (i, j) for i, (_, a) in enumerate(rows) for j, token in enumerate(a) if token == MASK
    ]


def test_a_mask_in_a_prompt_is_content():
    canvas = build([([MASK, 1, MASK], [MASK, 2])])
    assert canvas.masked.sum() == 1
    assert seen(canvas.remask(torch.ones_like(canvas.given))) == [([MASK, 1, MASK], [MASK, 2])]


@quick
@given(ROWS, st.data())
def test_take_gives_the_rows_asked_for_in_that_order(rows, data):
    canvas = sampled(build(rows))
    order = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    taken = canvas.take(torch.tensor(order))
    assert seen(taken) == [rows[i] for i in order]
    assert taken.row.tolist() == order and taken.state.own["note"].tolist() == [i * 10 for i in order]
    keep = [i % 2 == 0 for i in range(len(rows))]
    assert seen(canvas.take(torch.tensor(keep))) == rows[::2]


@quick
@given(ROWS, ROWS, ROWS)
def test_cat_puts_rows_below_each_other_whatever_their_widths(one, two, three):
    parts = [build(one), build(two), build(three)]
    whole = parts[0].cat(*parts[1:])
    assert seen(whole) == one + two + three
    assert wanted(whole) == [at for part in parts for at in wanted(part)]
    assert whole.tokens.shape[1] == max(part.tokens.shape[1] for part in parts)


@quick
@given(ROWS, st.data())
def test_fill_writes_where_it_is_told_and_nowhere_else(rows, data):
    canvas = build(rows)
    many = len(wanted(canvas))
    where = data.draw(st.lists(st.booleans(), min_size=many, max_size=many))
    tokens = data.draw(st.lists(TOKEN, min_size=many, max_size=many))
    expected = [(p, list(a)) for p, a in rows]
    for (row, column), on, token in zip(wanted(canvas), where, tokens, strict=True):
        if on:
            expected[row][1][column] = token
    filled = canvas.fill(torch.tensor(where, dtype=torch.bool), torch.tensor(tokens, dtype=torch.long))
    assert seen(filled) == expected
    assert seen(canvas) == rows, "the canvas it came from must not change"


@quick
@given(ROWS, st.randoms(use_true_random=False))
def test_given_positions_never_change(rows, random):
    """Commit everything, remask anything, again and again: what was given stays, what is remasked is a
    mask."""
    canvas = build(rows)
    given_ = canvas.given
    for _ in range(3):
        canvas = with_active(canvas, canvas.masked)
        many = len(wanted(canvas))
        canvas = canvas.fill(torch.ones(many, dtype=torch.bool), torch.full((many,), random.randrange(10)))
        assert not canvas.masked.any()
        where = (
            torch.rand(given_.shape, generator=torch.Generator().manual_seed(random.randrange(2**32))) < 0.5
        )
        canvas = canvas.remask(where)
        assert torch.equal(canvas.masked, where & ~given_)
        for (prompt, answer), (prompt_now, now) in zip(rows, seen(canvas), strict=True):
            assert prompt_now == prompt
            assert all(token in (MASK, after) for token, after in zip(answer, now, strict=True))


@quick
@given(ROWS, st.data())
def test_with_prompt_changes_the_prompt_and_nothing_else(rows, data):
    """Templates longer, shorter and empty; rows taken in any order keep their own prompt; also twice over."""
    canvas = build(rows)
    for name in ("one", "two"):
        prompts = data.draw(st.lists(PROMPTS, min_size=len(rows), max_size=len(rows)))
        order = data.draw(st.lists(st.integers(0, canvas.tokens.shape[0] - 1), min_size=1, max_size=6))
        taken = canvas.take(torch.tensor(order))
        other = taken.with_prompt(Template.of(prompts), name)
        now = [(prompts[row], rows[row][1]) for row in taken.row.tolist()]
        assert seen(other) == now
        assert wanted(other) == wanted(taken)
        path = name if name == "one" else "one/two"
        assert names(other) == [path] * len(order)
        assert other.start.tolist() == [other.tokens.shape[1] - len(p) - len(a) for p, a in now]
        assert (
            torch.equal(other.masked.sum(1), taken.masked.sum(1))
            and other.seed.tolist() == taken.seed.tolist()
        )
        longest = max(map(len, prompts)) + max(len(answer) for _, answer in now)
        assert 0 <= other.tokens.shape[1] - longest < ALIGN, "no wider than it needs to be"
        canvas = other
        rows = [(prompts[i], rows[i][1]) for i in range(len(rows))]


@quick
@given(ROWS)
def test_a_branch_beside_its_canvas_keeps_both(rows):
    """What guidance does: the canvas and some of its rows with empty prompts, in one."""
    canvas = build(rows)
    canvas = sampled(canvas)
    on = [i % 2 == 0 for i in range(len(rows))]
    both = canvas.cat(canvas.take(on).with_prompt(Template.of([[]] * len(rows)), "negative"))
    assert seen(both) == rows + [([], answer) for _, answer in rows[::2]]
    every = [*range(len(rows)), *range(0, len(rows), 2)]
    assert both.row.tolist() == every and both.state.own["note"].tolist() == [10 * i for i in every]
    assert names(both) == [""] * len(rows) + ["negative"] * len(rows[::2])
    assert torch.equal(both.state.own["place"][~both.padding], both.column[~both.padding])
    assert both.state.own["place"].shape == both.tokens.shape


@quick
@given(ROWS)
def test_what_the_host_knows_stays_true_whatever_is_derived(rows):
    """`counts` are carried along, never guessed: they equal what a count of the tensors gives."""
    canvas = build(rows)
    known = canvas.counted(canvas.counts)
    order = list(range(len(rows) - 1, -1, -1))
    negative = known.take(order).with_prompt(Template.of([[1, 2, 3]] * len(rows)))
    for derived in (known.take(order), negative, known.cat(negative), known.take([True] * len(rows))):
        assert derived.known is not None
        assert derived.counts == replace(derived, known=None).counts
    changed = known.fill(
        torch.ones(len(wanted(known)), dtype=torch.bool), torch.full((len(wanted(known)),), 3)
    )
    nothing = known.activate(torch.zeros_like(known.active))
    assert all(count.masked == 0 for count in changed.counts), "what was known of other tokens is not used"
    assert all(count.active == 0 for count in nothing.counts)


@quick
@given(ROWS)
def test_load_gives_back_what_dump_wrote(rows):
    canvas = sampled(build(rows), "threshold").with_prompt(Template.of([[1, 2]] * len(rows)), "negative")
    again = Canvas.load(canvas.dump())
    for one, other in ((canvas, again), (canvas.state, again.state)):
        for field in fields(one):
            before, after = getattr(one, field.name), getattr(other, field.name)
            if isinstance(before, torch.Tensor):
                assert before.dtype == after.dtype and torch.equal(before, after), field.name
            elif field.name not in ("sampler", "own", "known"):
                assert before == after, field.name
    own, back = canvas.state.own, again.state.own
    assert own.keys() == back.keys() and all(torch.equal(own[name], back[name]) for name in own)


def test_canvases_of_different_samplers_and_branches_join_in_one():
    """Numbers of samplers and of branches mean the same afterwards."""
    one = sampled(build([([1], [MASK])]), "random")
    two = sampled(build([([1], [MASK]), ([2], [MASK])]), "low_confidence").with_weights(torch.zeros(2, 16))
    both = one.with_prompt(Template.of([[5]]), "negative").cat(one, two)
    assert [both.state.samplers[i] for i in both.state.sampler.tolist()] == [
        "random",
        "random",
        "low_confidence",
        "low_confidence",
    ]
    assert names(both) == ["negative", "", "weights", "weights"]


def test_weights_make_a_branch_of_the_same_tokens():
    canvas = build([([1, 2], [MASK])])
    heavier = canvas.with_weights(canvas.weights + 0.5)
    assert names(heavier) == ["weights"] and torch.equal(heavier.tokens, canvas.tokens)
    assert canvas.weights.max() == 0


def test_a_template_without_any_prompt_has_no_width():
    template = Template.of([[], []])
    assert template.tokens.shape == (2, 0) and template.lengths.tolist() == [0, 0]
