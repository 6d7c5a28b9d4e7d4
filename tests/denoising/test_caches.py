"""Caches: prefix and dual are Fast-dLLM's, token for token; block-causal ones change nothing; and whatever
else a row does, it has the same text alone and in a batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.adapter_files import for_tiny_checkpoints
from tests.contract import crossed
from tests.contract.program import cells, finished, program, texts, write
from tests.denoising.test_against_reference import Numbers, ours
from tests.reference import fast_dllm_caches, mutants
from tests.reference.llada_model import read
from tests.tiny_checkpoints import llada
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings

MODES = ("exact", "prefix", "dual")
RUNS = [
    {"steps": 24},
    {"steps": 9},
    {"threshold": 0.05},
    {"threshold": 0.9},
]
PROMPTS = (1, 13, 40)


@pytest.fixture(scope="module", params=["float32", "float64"])
def tiny(request, tmp_path_factory):
    """A tiny random LLaDA through the program's loader, and the published forward pass over the same files, which
    were written without the program."""
    root = tmp_path_factory.mktemp("models")
    folder = llada(root / "checkpoints" / "tiny", n_kv_heads=2)
    model = Checkpoints(Settings(models=root, model="tiny", device="cpu", dtype=request.param)).load("tiny")
    assert len(model.words) == model.vocabulary
    model.tokenizer = Numbers()  # prompts and answers as ids
    return model, fast_dllm_caches.Llada(*read(folder), dtype=getattr(torch, request.param))


def canvas(prompt: int, mask: int) -> Tensor:
    tokens = torch.randint(0, 256, (2, prompt + 24), generator=torch.Generator().manual_seed(prompt))
    tokens[:, prompt:] = mask
    return tokens


def theirs(plain, mask: int, prompt: int, mode: str, options: dict, sample=fast_dllm_caches.sample):
    common = {"block_length": 8, "mask_id": mask, "banned": (mask,), "cache": mode.replace("exact", "none")}
    return sample(plain, canvas(prompt, mask), prompt, **common, **options)[:, prompt:].tolist()


def own(model, prompt: int, mode: str, options: dict) -> list[list[int]]:
    sampler = {"sampler": "threshold"} if "threshold" in options else {}
    return ours(model, canvas(prompt, model.mask), prompt, block_length=8, cache=mode, **sampler, **options)


@pytest.mark.parametrize("mode, run, prompt", crossed(MODES, range(len(RUNS)), PROMPTS))
def test_each_mode_is_fast_dllms(tiny, mode, run, prompt):
    model, plain = tiny
    assert own(model, prompt, mode, RUNS[run]) == theirs(plain, model.mask, prompt, mode, RUNS[run])


def test_the_modes_differ(tiny):
    model, _ = tiny
    found = [own(model, 13, mode, {"steps": 24}) for mode in MODES]
    assert found[0] != found[1] != found[2] != found[0]


@pytest.fixture(scope="module")
def results(tiny) -> list:
    return [own(tiny[0], 13, mode, options) for mode in MODES[1:] for options in RUNS[1:3]]


@pytest.mark.parametrize("mutant", mutants.FAST_DLLM_CACHES, ids=lambda mutant: mutant.name)
def test_mutants_are_told_apart(tiny, results, mutant):
    model, plain = tiny
    cases = [(mode, options) for mode in MODES[1:] for options in RUNS[1:3]]
    wrong = [theirs(plain, model.mask, 13, mode, options, mutant.sample) for mode, options in cases]
    assert wrong != results


@pytest.mark.parametrize("mode, widths", [("exact", {64}), ("prefix", {64, 32, 16}), ("dual", {64, 16})])
def test_a_pass_computes_the_block_and_what_the_mode_does_not_keep(tiny, mode, widths):
    """40 positions of prompt and 3 blocks of 8, in multiples of 16; one whole pass for each block."""
    model, _ = tiny
    seen: list[int] = []
    hook = model.body.register_forward_pre_hook(
        lambda body, args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        own(model, 40, mode, {"steps": 24})
    finally:
        hook.remove()
    assert set(seen) == widths and len(seen) == 24
    assert mode == "exact" or seen.count(64) == 3


# -- with everything else ------------------------------------------------------------------------------------

FEATURES = {
    "nothing": {},
    "guidance": {"guidance": {"scale": 2.5, "negative_prompt": "a much longer story about rain"}},
    "guidance for a while": {"guidance": {"scale": 2.5, "start": 0.2, "end": 0.7}},
    "adaptive guidance": {"guidance": {"scale": 2.5, "adaptive": 0.3}},
    "emphasis": {"prompt": "a (cat:3) in (rain:0)"},
    "contrast": {"prompt": "a (cat:3) in (rain:0.2)", "emphasis": {"method": "contrast"}},
    "schedule": {"prompt": "a [cat:dog in the rain:0.3]"},
    "turns": {"prompt": "a [cat|dog]", "syntax": "full"},
    "AND": {"prompt": "a cat AND in the rain :1.5", "prompt_and": {"enabled": True}},
    "infill": {"prompt": "The ____ sat [[...9]] in the rain [[...4]].", "length": None},
    "LoRA": {"prompt": "a cat <lora:tiny:0.9>"},
    "LoRA for a while": {"prompt": "a cat <lora:tiny:0.9:0.3-0.6>"},
    "remasking": {"sampler": "remdm_conf"},
    "path planning": {"sampler": "p2"},
    "unseen": {"sampler": "wino", "wino": {"threshold": 0.03, "threshold_back": 0.05}},
    "editing": {"sampler": "editing", "threshold": 0.02, "edit_threshold": 0.03},
    "threshold": {"sampler": "threshold", "threshold": 0.04},
    "words": {"logit_bias": {"more": "and", "never": "he"}},
    "another block": {"block_length": 5, "steps": 9, "temperature": 0.3},
    "ends early": {"length": 6, "end_of_text": "stop"},
}
ALL = tuple(FEATURES)
FAMILIES = ("LLaDA", "Dream", "SDAR", "LLaDA2", "Fast-dLLM v2", "Steerling", "BERT")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    for_tiny_checkpoints(folder / "models")
    app = program(folder, families=FAMILIES, dtype="float64")
    assert not app.registry.failed
    yield app
    app.close()


def asked(app, **fields):
    common = {"prompt": "a cat", "length": 14, "block_length": 8, "steps": 8, "seed": 3, "temperature": 0.8}
    return app.Request(**{**common, **fields})


def traces(app, requests) -> list:
    """What becomes of these requests when they are run together."""
    from webui.core.request import Cell
    from webui.service.job import Job

    job = Job(requests[0], tuple(Cell(str(i), request) for i, request in enumerate(requests)))
    *_, last = app.engine.run(job)
    assert not [part.error for part in cells(last.result) if part.error]
    return [(part.text, part.trace) for part in cells(last.result)]


@pytest.mark.parametrize(
    "family, mode, names",
    [
        ("LLaDA", "dual", ALL),
        ("LLaDA", "prefix", ALL[1::3]),
        ("Dream", "dual", ALL[::4]),
        ("Dream", "prefix", ALL[2::6]),
    ],
)
def test_alone_and_in_a_batch_a_row_has_the_same_text(app, family, mode, names):
    """Rows that share nothing but the mode: their blocks begin at different steps, and they leave one by one."""
    requests = [asked(app, model=family, cache=mode, **FEATURES[name]) for name in names]
    together = traces(app, requests)
    for name, request, found in zip(names, requests, together, strict=True):
        assert traces(app, [request]) == [found], name


@pytest.mark.parametrize("mode", ["prefix", "dual"])
def test_what_a_row_does_still_acts(app, mode):
    plain = asked(app, model="LLaDA", cache=mode, temperature=0)
    for name in ("guidance", "guidance for a while", "emphasis", "schedule", "LoRA"):
        acting = asked(app, model="LLaDA", cache=mode, **{"temperature": 0, **FEATURES[name]})
        assert traces(app, [acting]) != traces(app, [plain]), name
    infilled = traces(app, [asked(app, model="LLaDA", cache=mode, **FEATURES["infill"])])[0][0]
    assert infilled.startswith("The ") and " in the rain " in infilled


@pytest.mark.parametrize(
    "family, names",
    [("SDAR", ALL), ("LLaDA2", ALL[::5]), ("Fast-dLLM v2", ALL[1::4]), ("Steerling", ALL[2::5])],
)
def test_where_attention_is_block_causal_the_cache_changes_nothing(app, family, names):
    """With everything there is, rows at different blocks in one batch; dual is prefix, as a note says."""
    exact = [asked(app, model=family, cache="exact", **FEATURES[name]) for name in names]
    assert traces(app, [request.replace(cache=None) for request in exact]) == traces(app, exact)
    noted = write(app, model=family, prompt="a cat", cache="dual")
    assert any("dual is prefix here" in note for note in noted.notes)


def test_a_finished_block_is_stored_in_the_first_step_of_the_next(app):
    """One pass for each step: the prompt's whole blocks once, then two blocks where one begins, else one."""
    model = app.checkpoints.load("SDAR")
    seen: list[int] = []

    def note(body, args, kwargs):
        tokens = kwargs["input_ids"][0]
        seen.append(int((tokens != model.mask).sum()))

    hook = model.body.register_forward_pre_hook(note, with_kwargs=True)
    try:
        result = write(
            app, model="SDAR", prompt="the ship and the storm", template="raw", length=12, temperature=0
        )
    finally:
        hook.remove()
    assert result.request.cache == "prefix" and len(seen) == result.statistics.forwards
    first, *later = seen
    assert first == result.statistics.prompt_tokens and max(later) <= 4 + 3


def test_a_family_without_keys_refuses_by_name(app):
    for mode in ("prefix", "dual"):
        with pytest.raises(ValueError) as refused:
            app.queue.submit(asked(app, model="BERT", cache=mode))
        assert str(refused.value) == (
            f"The cache {mode} cannot be used with BERT: BERT models keep no keys and values; take the cache exact."
        )
    assert texts(write(app, model="BERT", prompt="a cat", cache="exact"))


def test_rows_of_different_modes_are_not_mixed(app):
    requests = [asked(app, model="LLaDA", cache=mode, seed=seed) for seed in (1, 2) for mode in MODES]
    together = traces(app, requests)
    assert together == [traces(app, [request])[0] for request in requests]
    assert len({text for text, _ in together}) > 2


def test_a_text_that_goes_on_is_noted(app):
    result = write(app, model="LLaDA", cache="dual", prompt="a cat", length=16, block_length=8)
    trace = result.model_dump(mode="json")["trace"]
    again = finished(app, result.request.replace(canvas={"trace": trace, "step": 3}))
    assert any("never interrupted" in note for note in again.notes)
