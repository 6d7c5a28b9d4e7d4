"""Our samplers against the published ones (tests/reference), token for token at temperature 0.

The program never emits the mask token, so every reference runs with the mask's logit at minus infinity
(`banned`). Its empty branch of guidance masks all that is given; with template raw our empty branch masks the
whole prompt, so they agree where the answer has no given text. Its weight w is our scale s = w + 1. Each
committed mutant of a reference must make the comparison fail that the reference passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.denoising.test_samplers import LogitsFn, ask, spread
from tests.reference import fast_dllm, llada, llada21, mutants
from tests.reference.llada_model import reference_logits
from tests.reference.toy import EOS, MASK, VOCAB, canvas, toy, uniform
from tests.tiny_checkpoints import llada as write_llada
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.model import Model
from webui.checkpoints.tokenizer import Encoded
from webui.core.prompt import Draft, Gap, Piece, Prompt
from webui.core.request import Cell
from webui.denoising import packing
from webui.denoising.batch import Batch
from webui.denoising.samplers import finished
from webui.denoising.samplers.draw import draw
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.settings import ROOT, Settings

REGISTRY = Registry(ROOT / "extensions")
GUIDANCE = REGISTRY.extensions["guidance"]


class Numbers:
    """A tokenizer whose text is token ids with blanks between."""

    def encode(self, text: str) -> list[int]:
        return [int(part) for part in text.split()]

    def prompt(self, text: str, system: str = "", template: str = "auto") -> Encoded:
        return Encoded(tuple(self.encode(text)), (True,) * len(self.encode(text)))

    def pieces(self, tokens: Sequence[int | None]) -> list[str | None]:
        return [None if token is None else f" {token}" for token in tokens]


class Toy:
    """`logits_fn` in the place of a checkpoint, its logits in this dtype."""

    def __init__(self, logits_fn: LogitsFn, dtype: torch.dtype = torch.float32):
        self.mask, self.ends, self.vocabulary, self.device = MASK, (EOS,), VOCAB, torch.device("cpu")
        self.tokenizer, self.words = Numbers(), tuple(map(str, range(VOCAB)))
        self.description = SimpleNamespace(name="toy", prefix="", forbidden=(), expand=None)
        self._logits_fn, self._dtype = logits_fn, dtype

    def __call__(self, canvas) -> Tensor:
        logits = ask(canvas, [self._logits_fn] * (int(canvas.row.max()) + 1)).to(self._dtype)
        return logits.masked_fill(
            torch.arange(VOCAB) == MASK, -4.0
        )  # finite, as from a model: the engine bans it itself


def ours(model, tokens: Tensor, answer: int, counts: list | None = None, **options) -> list[list[int]]:
    """The answers our program makes of rows `tokens` (B, L) whose answer begins at column `answer`: one
    batch, packed as always.

    Options are the request's; `scale` is guidance's. Masks of the answer are masked positions, its other tokens given.
    `counts` gets the number of positions that each row has committed after each step.
    """
    guidance, packed = {"scale": options.pop("scale", 1.0), "empty": options.pop("empty", "frame")}, []
    for i, row in enumerate(tokens.tolist()):
        request = REGISTRY.Request(
            template="raw",
            seed=i,
            length=len(row) - answer,
            guidance=guidance,
            **{"end_of_text": "keep", "temperature": 0.0, **options},
        )
        request, preset = packing.resolve(request, {})
        draft = Draft(tuple(Gap(1) if token == model.mask else Piece(f" {token}") for token in row[answer:]))
        prompt = Prompt.of(" ".join(map(str, row[:answer])))
        row = Row(Cell(str(i), request), request, {"main": prompt}, draft)
        packed.append(packing.tokenize(row, preset, model.tokenizer, model.mask, max_length=10_000))
    batch = Batch(model, packed, [GUIDANCE])
    batch.policy = [
        "ban" if policy == "ban" else "keep" for policy in batch.policy
    ]  # a reference never stops early
    batch.start()
    while batch.canvas.masked.any() or (
        options.get("sampler") == "editing" and not finished(batch.canvas).all()
    ):
        batch.step()
        if counts is not None:
            counts.append([len(live.trace) for live in batch.live.values()])
    return [
        line[start:].tolist()
        for line, start in zip(batch.canvas.tokens, batch.canvas.answer.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class Case:
    """The same run as options of both: `theirs` are a reference's options, `our` the request's."""

    name: str
    logits_fn: LogitsFn
    tokens: Tensor
    answer: int
    theirs: dict
    our: dict
    dtype: torch.dtype = torch.float32

    def expected(self, sample: Callable) -> list[list[int]]:
        common = {"mask_id": MASK, "banned": (MASK,)}
        return sample(self.logits_fn, self.tokens, self.answer, **common, **self.theirs)[
            :, self.answer :
        ].tolist()

    def got(self) -> list[list[int]]:
        return ours(Toy(self.logits_fn, self.dtype), self.tokens, self.answer, **self.our)


def sharp_ends(seed: int) -> LogitsFn:
    """A toy where end-of-text is either the likeliest token by far or next to impossible."""

    def logits_fn(tokens: Tensor) -> Tensor:
        logits = toy(seed)(tokens)
        logits[..., EOS] = torch.where(torch.arange(tokens.shape[1]) % 3 == seed % 3, 99.0, -99.0)
        return logits

    return logits_fn


def llada_cases() -> list[Case]:
    cases = []
    for seed, (prompt, length, block, steps) in enumerate(
        [
            (0, 16, 16, 16),
            (5, 16, 16, 5),
            (3, 16, 8, 6),
            (20, 24, 8, 12),
            (1, 24, 4, 6),
            (9, 8, 8, 1),
            (2, 32, 8, 32),
            (6, 8, 4, 64),
        ]
    ):
        tokens, answer = canvas(seed, rows=3, prompt=prompt, length=length)
        shared, end = {"steps": steps, "block_length": block}, {"eos_id": EOS, "eot_id": EOS}
        for name, model, theirs, our in (
            ("plain", toy(seed), {}, {}),
            ("ties", toy(seed, ties=True), {}, {}),
            ("guidance", toy(seed), {"cfg_scale": 1.5}, {"scale": 2.5}),
            (
                "end of text last",
                sharp_ends(seed),
                end | {"confidence_eos_eot_inf": True},
                {"end_of_text": "late"},
            ),
            (
                "end of text last, likely or not",
                toy(seed),
                end | {"confidence_eos_eot_inf": True},
                {"end_of_text": "late"},
            ),
            ("no end of text", toy(seed), end | {"logits_eos_inf": True}, {"end_of_text": "ban"}),
        ):
            if prompt == 0 and name == "guidance":
                continue
            cases.append(
                Case(
                    f"{name} {prompt}-{length}-{block}-{steps}",
                    model,
                    tokens,
                    answer,
                    shared | theirs,
                    shared | our,
                )
            )
    for seed, (length, block, steps) in enumerate([(16, 16, 5), (16, 16, 1), (16, 8, 16), (24, 8, 24)]):
        tokens, answer = canvas(50 + seed, rows=3, length=length, filled=0.4)
        shared = {"steps": steps, "block_length": block}
        cases.append(Case(f"infill {length}-{block}-{steps}", toy(seed), tokens, answer, shared, shared))
        guided = shared | {"scale": 2.5, "empty": "published"}
        name = f"guidance of all that is given {length}-{block}-{steps}"
        cases.append(Case(name, toy(seed), tokens, answer, shared | {"cfg_scale": 1.5}, guided))
    return cases


def fast_dllm_cases() -> list[Case]:
    """Fast-dLLM measures confidence in float64, ours has the model's dtype: where nothing but rounding orders
    equals, both do."""
    cases = []
    for seed, (prompt, length, block, threshold) in enumerate(
        [(0, 16, 16, 0.9), (5, 16, 8, 0.6), (3, 24, 4, 0.3), (20, 16, 8, 0.97), (1, 24, 24, 0.0)]
    ):
        for name, filled in (("plain", 0.0), ("ties", 0.0), ("infill", 0.4)):
            tokens, answer = canvas(70 + seed, rows=3, prompt=prompt, length=length, filled=filled)
            shared = {"block_length": block, "threshold": threshold}
            model, dtype = toy(seed, ties=name == "ties"), torch.float64 if name == "ties" else torch.float32
            title, our = f"{name} {prompt}-{length}-{block}-{threshold}", shared | {"sampler": "threshold"}
            cases.append(Case(title, model, tokens, answer, shared, our, dtype))
    return cases


LLADA, FAST_DLLM = llada_cases(), fast_dllm_cases()


@pytest.mark.parametrize("case", LLADA, ids=lambda case: case.name)
def test_low_confidence_is_lladas(case):
    assert case.got() == case.expected(llada.sample)


def test_the_empty_branch_that_keeps_given_text_is_another():
    cases = [case for case in LLADA if case.our.get("empty") == "published"]
    kept = [
        ours(Toy(case.logits_fn), case.tokens, case.answer, **{**case.our, "empty": "frame"})
        for case in cases
    ]
    assert kept != [case.got() for case in cases]


@pytest.mark.parametrize("case", FAST_DLLM, ids=lambda case: case.name)
def test_threshold_is_fast_dllms(case):
    assert case.got() == case.expected(fast_dllm.sample)


@pytest.fixture(scope="module")
def results() -> dict[str, list[list[int]]]:
    return {case.name: case.got() for case in (*LLADA, *FAST_DLLM)}


@pytest.mark.parametrize(
    "mutant", [m for m in mutants.LLADA if m.name != "wrong_temperature"], ids=lambda mutant: mutant.name
)
def test_mutants_of_lladas_sampler_are_told_apart(mutant, results):
    assert any(results[case.name] != case.expected(mutant.sample) for case in LLADA)


@pytest.mark.parametrize("mutant", mutants.FAST_DLLM, ids=lambda mutant: mutant.name)
def test_mutants_of_fast_dllms_sampler_are_told_apart(mutant, results):
    assert any(results[case.name] != case.expected(mutant.sample) for case in FAST_DLLM)


# -- what draws from another stream: distributions and invariants --------------------------------------------


def test_draws_at_a_temperature_are_distributed_as_the_references():
    """And not as those of the mutant `wrong_temperature`."""
    logits, many = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0]), 100_000
    wide = logits.expand(many, -1)
    mine = torch.bincount(draw(spread(wide, temperature=0.6), wide), minlength=5) / many
    theirs = torch.bincount(llada.noisy(wide, 0.6, 0, uniform(1)).argmax(1), minlength=5) / many
    (mutant,) = [m for m in mutants.LLADA if m.name == "wrong_temperature"]
    wrong = torch.bincount(mutant.parts["noisy"](wide, 0.6, 0, uniform(1)).argmax(1), minlength=5) / many
    assert (mine - theirs).abs().max() < 0.01 < (mine - wrong).abs().max()


@pytest.mark.parametrize("seed", range(3))
def test_random_order_commits_as_many_as_llada(seed):
    """The order itself is drawn from another stream: what can be equal is the number committed after each
    step."""
    tokens, answer = canvas(seed, rows=2, length=16)
    shared = {"steps": 6, "block_length": 8}
    trace: list[Tensor] = []
    llada.sample(
        toy(seed), tokens, answer, mask_id=MASK, banned=(MASK,), remasking="random", trace=trace, **shared
    )
    theirs = [(16 - (step == MASK).sum(1)).tolist() for step in trace]
    counts: list = []
    texts = ours(Toy(toy(seed)), tokens, answer, counts, sampler="random", **shared)
    assert counts == theirs
    assert texts != ours(Toy(toy(seed)), tokens, answer, sampler="low_confidence", **shared)


# -- a checkpoint --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["float32", "float64"])
def tiny(request, tmp_path_factory) -> tuple[Model, LogitsFn]:
    """A tiny random LLaDA through the program's loader, and the published forward pass over the same
    folder."""
    root = tmp_path_factory.mktemp("models")
    folder = write_llada(root / "checkpoints" / "tiny")
    model = Checkpoints(Settings(models=root, model="tiny", device="cpu", dtype=request.param)).load("tiny")
    assert len(model.words) == model.vocabulary
    model.tokenizer = Numbers()  # prompts and answers as ids
    dtype = getattr(torch, request.param)
    return model, lambda tokens: reference_logits(Path(folder), tokens, dtype=dtype)


@pytest.mark.parametrize("prompt", [1, 13, 40])
@pytest.mark.parametrize(("length", "block", "steps"), [(16, 16, 7), (32, 8, 12)])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_checkpoint_gives_the_references_text(tiny, prompt, length, block, steps, scale):
    """The whole program (loader, padding, head on wanted positions, guidance in one forward) against plain
    torch."""
    model, logits_fn = tiny
    generator = torch.Generator().manual_seed(prompt)
    tokens = torch.randint(0, 256, (2, prompt + length), generator=generator)
    tokens[:, prompt:] = model.mask
    expected = llada.sample(
        logits_fn,
        tokens,
        prompt,
        steps=steps,
        block_length=block,
        mask_id=model.mask,
        banned=(model.mask,),
        cfg_scale=scale - 1,
    )
    got = ours(model, tokens, prompt, steps=steps, block_length=block, scale=scale)
    assert got == expected[:, prompt:].tolist()


@pytest.fixture(scope="module")
def in_bf16(tmp_path_factory) -> tuple[Model, list[tuple[Tensor, int]], LogitsFn]:
    """A tiny LLaDA in bfloat16, canvases, and the published forward pass in that type."""
    root = tmp_path_factory.mktemp("models")
    folder = write_llada(root / "checkpoints" / "tiny")
    model = Checkpoints(Settings(models=root, model="tiny", device="cpu", dtype="bfloat16")).load("tiny")
    assert len(model.words) == model.vocabulary
    model.tokenizer = Numbers()
    cases = []
    for seed in range(6):
        prompt = 3 + 5 * seed
        tokens = torch.randint(0, 256, (1, prompt + 32), generator=torch.Generator().manual_seed(seed))
        tokens[:, prompt:] = model.mask
        cases.append((tokens, prompt))
    return model, cases, lambda tokens: reference_logits(Path(folder), tokens, dtype=torch.bfloat16)


IN_BF16 = {"steps": 8, "block_length": 16}


def test_in_bf16_confidence_as_published_gives_the_references_text(in_bf16):
    """Three rows that have nothing in common but their batch; without the option hardly a text is equal."""
    model, cases, logits_fn = in_bf16
    options = {"mask_id": model.mask, "banned": (model.mask,), **IN_BF16}
    expected = [llada.sample(logits_fn, tokens, prompt, ties="torch", **options) for tokens, prompt in cases]
    expected = [text[0, prompt:].tolist() for text, (_, prompt) in zip(expected, cases, strict=True)]
    got = [ours(model, *case, confidence_dtype="reference", **IN_BF16)[0] for case in cases]
    assert got == expected
    twice = ours(model, torch.cat([cases[3][0]] * 2), cases[3][1], confidence_dtype="reference", **IN_BF16)
    assert twice == [expected[3]] * 2
    usual = [ours(model, *case, **IN_BF16)[0] for case in cases]
    assert sum(one == other for one, other in zip(usual, expected, strict=True)) < len(cases) / 2
    for wrong in (  # equal confidences in another order; confidences in another type
        lambda tokens, prompt: llada.sample(logits_fn, tokens, prompt, ties="first", **options),
        lambda tokens, prompt: llada.sample(
            lambda t: logits_fn(t).float(), tokens, prompt, ties="torch", **options
        ),
    ):
        assert [wrong(*case)[0, case[1] :].tolist() for case in cases] != expected
    with pytest.raises(ValueError, match="set cache to exact"):
        ours(model, *cases[0], confidence_dtype="reference", cache="dual", **IN_BF16)


@pytest.mark.parametrize(("prompt", "threshold"), [(1, 0.9), (13, 0.1), (40, 0.05)])
def test_a_checkpoint_gives_fast_dllms_text(tiny, prompt, threshold):
    model, logits_fn = tiny
    tokens = torch.randint(0, 256, (2, prompt + 24), generator=torch.Generator().manual_seed(prompt))
    tokens[:, prompt:] = model.mask
    options = {"block_length": 8, "threshold": threshold}
    expected = fast_dllm.sample(
        logits_fn, tokens, prompt, mask_id=model.mask, banned=(model.mask,), **options
    )
    assert ours(model, tokens, prompt, sampler="threshold", **options) == expected[:, prompt:].tolist()


EDITING = [
    {"block_length": block, "threshold": threshold, "edit_threshold": edit}
    for block, threshold, edit in [(8, 0.05, 0.06), (8, 0.9, 0.05), (24, 0.04, 0.0), (12, 0.06, 0.5)]
]


def edited(model, tokens: Tensor, prompt: int, options: dict) -> list[list[int]]:
    """Our text with so many steps that no block is cut short: as many as its length for each block."""
    blocks = (tokens.shape[1] - prompt) // options["block_length"]
    return ours(model, tokens, prompt, sampler="editing", steps=PASSES * blocks, **options)


PASSES = 24


@pytest.fixture(scope="module")
def edits(tiny) -> list[list[list[int]]]:
    """Our text for each of EDITING."""
    return [edited(tiny[0], editable(tiny[0]), 5, options) for options in EDITING]


def editable(model) -> Tensor:
    tokens = torch.randint(0, 256, (2, 5 + 24), generator=torch.Generator().manual_seed(2))
    tokens[:, 5:] = model.mask
    return tokens


@pytest.mark.parametrize("options", EDITING, ids=str)
def test_a_checkpoint_gives_llada21s_text(tiny, edits, options):
    model, logits_fn = tiny
    common = {"mask_id": model.mask, "banned": (model.mask,), "passes": PASSES}
    expected = llada21.sample(logits_fn, editable(model), 5, **common, **options)
    assert edits[EDITING.index(options)] == expected[:, 5:].tolist()


@pytest.mark.parametrize("mutant", mutants.LLADA21, ids=lambda mutant: mutant.name)
def test_llada21s_mutants_are_told_apart(tiny, edits, mutant):
    model, logits_fn = tiny
    common = {"mask_id": model.mask, "banned": (model.mask,), "passes": PASSES}
    assert any(
        mine != mutant.sample(logits_fn, editable(model), 5, **common, **options)[:, 5:].tolist()
        for mine, options in zip(edits, EDITING, strict=True)
    )


def test_a_checkpoint_tells_a_shifted_mutant_apart(tiny):
    model, logits_fn = tiny
    tokens = torch.full((1, 24), model.mask)
    tokens[:, :8] = torch.arange(8)
    options = {"steps": 8, "block_length": 16}
    got = ours(model, tokens, 8, **options)
    common = {**options, "mask_id": model.mask, "banned": (model.mask,)}
    assert got == llada.sample(logits_fn, tokens, 8, **common)[:, 8:].tolist()
    (shifted,) = [m for m in mutants.LLADA if m.name == "shifted"]
    assert got != shifted.sample(logits_fn, tokens, 8, **common)[:, 8:].tolist()
