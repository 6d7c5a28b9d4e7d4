"""Folders of weights: what is published loads and computes what its authors' code computes, the rest is
refused in a sentence."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.contract.program import finished, program, write
from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import BROKEN, MASK, ROWS, VARIANTS, llada, write_json
from webui import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.weights import Stopped, fingerprint
from webui.settings import ROOT, Settings

TOKENS = torch.randint(0, ROWS, (4, 32), generator=torch.Generator().manual_seed(1))
CAUSE = {  # what the sentence about a broken folder must say besides its name
    "pickle only": "pickled weights",
    "missing shard": "model-00002-of-00003.safetensors",
    "missing tensor": "layers.1.mlp.up_proj",
    "extra tensor": "q_norm",
    "wrong shape": "shape",
    "alibi": "alibi",
    "gelu": "activation_type",
    "no mask token": "mask_token_id",
    "truncated": "damaged",
    "mask beyond rows": str(ROWS),
}
SHOWN = (
    "pickle only",
    "missing shard",
    "alibi",
    "gelu",
    "truncated",
)  # faults that a list can see without loading


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Every variant under its name."""
    folder = tmp_path_factory.mktemp("models")
    for name, changes in VARIANTS.items():
        llada(folder / "checkpoints" / name, **changes)
    return folder


def checkpoints(models: Path, **settings) -> Checkpoints:
    return Checkpoints(
        Settings(**{"models": models, "model": "plain", "device": "cpu", "dtype": "float32", **settings})
    )


def canvas(model, prompts, answers) -> Canvas:
    """All positions that are not padding wanted."""
    built = Canvas.build(prompts, answers, [0] * len(answers), model.mask, model.ends)
    return replace(built, active=~built.padding)


# -- the same numbers as the published code ------------------------------------------------------------------


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 5e-6), ("bfloat16", 0.02)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_the_reference(models, variant, dtype, tolerance):
    """Llama normalises in fp32 also when all else is fp64. bf16 is equal to the bit where the same kernels
    run, because queries and keys are rotated in fp32; rotated in bf16, one logit in four differs, by up to
    0.05."""
    model = checkpoints(models, dtype=dtype).load(variant)
    wanted = canvas(model, [[]] * 4, TOKENS.tolist())
    expected = reference_logits(
        models / "checkpoints" / variant, TOKENS, dtype=getattr(torch, dtype)
    ).flatten(0, 1)
    logits = model(wanted)
    assert logits.shape == (4 * 32, model.vocabulary) and logits.dtype == (
        torch.float64 if dtype == "float64" else torch.float32
    )
    assert (logits - expected).abs().max() <= tolerance
    if dtype == "bfloat16":
        assert (logits == expected).float().mean() > 0.99


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 0.1)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_padded_rows_of_a_batch_equal_single_rows(models, variant, dtype, tolerance):
    model = checkpoints(models, dtype=dtype).load(variant)
    prompts, answers = [[5, 6], list(range(20, 45)), []], [[MASK] * 16, [MASK, 7, MASK], [9] * 5]
    together = canvas(model, prompts, answers)
    logits = model(together)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        mine = logits[together.at[0] == row]
        alone = torch.tensor([prompt + answer])
        expected = reference_logits(models / "checkpoints" / variant, alone, dtype=getattr(torch, dtype))[0]
        assert (mine - expected).abs().max() < tolerance, "the reference has no padding"
        assert (mine - model(canvas(model, [prompt], [answer]))).abs().max() < tolerance


def test_the_head_runs_on_wanted_positions_only(models):
    model = checkpoints(models).load("plain")
    heads = []
    hook = model.head.register_forward_pre_hook(lambda _, inputs: heads.append(inputs[0].shape[0]))
    everything = canvas(model, [[]] * 4, TOKENS.tolist())
    whole = model(everything)
    active = torch.zeros_like(everything.active)
    active[0, 3:12] = active[2, 30] = True
    some = model(replace(everything, active=active))
    few = model(replace(everything, active=active & (torch.arange(32) == 30)))
    hook.remove()
    assert heads == [4 * 32, 16, 8], (
        "10 and 1 wanted: whole eights, because other numbers of rows round differently"
    )
    assert some.shape[0] == 10 and few.shape[0] == 1
    assert torch.allclose(some, whole.view(4, 32, -1)[active], atol=1e-6)
    assert torch.equal(few[0], some[-1])


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """An App whose models folder has every broken checkpoint and a whole one."""
    folder = tmp_path_factory.mktemp("broken")
    for name, make in BROKEN.items():
        make(folder / "models" / "checkpoints" / name)
    app = program(folder)
    yield app
    app.close()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folders_are_refused_with_a_sentence(broken, name):
    with pytest.raises(ValueError) as refused:
        broken.checkpoints.load(name)
    sentence = str(refused.value)
    assert name in sentence and CAUSE[name] in sentence
    assert "\n" not in sentence and sentence.endswith(".")
    assert write(broken).text, "the program goes on with the whole one"


def test_every_folder_is_listed_with_what_is_wrong_with_it(broken):
    listed = {entry.name: entry for entry in broken.checkpoints.list()}
    assert set(listed) == {"LLaDA", *BROKEN}
    assert {name for name, entry in listed.items() if entry.error} >= set(SHOWN)
    for name in SHOWN:
        assert name in listed[name].error and CAUSE[name] in listed[name].error
        assert name not in broken.checkpoints.names()
    assert (
        listed["LLaDA"].error is None and listed["LLaDA"].size > 100_000 and listed["LLaDA"].family == "LLaDA"
    )


def test_a_job_for_a_broken_folder_fails_and_the_next_one_runs(broken):
    result = finished(broken, broken.Request(model="missing tensor"))
    assert "missing tensor" in result.error and not result.text
    assert write(broken).text
    with pytest.raises(ValueError, match="pickle only"):
        broken.queue.submit(broken.Request(model="pickle only"))


@pytest.mark.parametrize(
    "file, content, cause",
    [
        ("config.json", "{", "config.json is not valid JSON"),
        ("config.json", "[]", "config.json is not a JSON object"),
        ("config.json", "{}", "no known family"),
        ("config.json", '{"model_type": "llada", "architectures": {"a": 1}}', "d_model"),
        ("config.json", '{"model_type": "llada", "architectures": ["LLaDAMoEModelLM"]}', "vocab_size = None"),
        ("profile.json", '{"preset": []}', "preset must be a JSON object"),
        ("profile.json", '{"presets": {"fast": 3}}', "presets.fast must be a JSON object"),
        ("profile.json", '{"presets": {"fast": {"seed": 3}}}', "presets.fast.seed: a preset cannot have"),
        ("profile.json", '{"presets": {"fast": {"steps": -3}}}', "presets.fast: steps"),
        ("profile.json", '{"presets": {"": {}}}', "a preset's name is 1 to 80 characters"),
        ("profile.json", '{"mask_token_id": "x"}', "mask_token_id must be a whole number"),
        ("model.safetensors", "", "damaged"),
        ("model.safetensors.index.json", "{}", "weight_map"),
    ],
)
def test_malformed_files_are_a_sentence(tmp_path, file, content, cause):
    (llada(tmp_path / "checkpoints" / "odd") / file).write_text(content)
    there = checkpoints(tmp_path)
    assert there.names() == []
    (entry,) = there.list()
    assert "odd" in entry.error and cause in entry.error and "\n" not in entry.error
    with pytest.raises(ValueError, match="odd"):
        there.load("odd")


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_broken_tokenizer_is_a_sentence(tmp_path, file):
    (llada(tmp_path / "checkpoints" / "odd") / file).write_text("{")
    with pytest.raises(ValueError, match="odd"):
        checkpoints(tmp_path).load("odd")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    (llada(tmp_path / "checkpoints" / "mute") / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="mute has no tokenizer.json"):
        checkpoints(tmp_path).load("mute")


# -- no code, no questions -----------------------------------------------------------------------------------

LOAD = """
import sys
sys.path.insert(0, {root!r})
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings
there = Checkpoints(Settings(models={models!r}, device="cpu"))
print([entry.error for entry in there.list()])
print("torch" in sys.modules or "transformers" in sys.modules)
print(there.load("asks").description.family)
print([name for name in sys.modules if "modeling_llada" in name or "configuration_llada" in name])
"""


@pytest.mark.slow
def test_nothing_of_a_checkpoint_is_executed_and_nothing_is_asked(tmp_path):
    """stdin is a pipe that nobody writes to: a question would wait forever. The fixture's Python files
    raise."""
    folder = llada(tmp_path / "checkpoints" / "asks")
    assert "auto_map" in json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["auto_map"] = {"AutoTokenizer": ["modeling_llada.Tokenizer", "modeling_llada.Tokenizer"]}
    write_json(folder / "tokenizer_config.json", tokenizer)
    reader, writer = os.pipe()
    try:
        process = subprocess.run(
            [sys.executable, "-c", LOAD.format(root=str(ROOT), models=str(tmp_path))],
            stdin=reader,
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == ["[None]", "False", "LLaDA", "[]"]


# -- names ---------------------------------------------------------------------------------------------------


def test_a_name_never_leaves_the_folder(tmp_path):
    llada(tmp_path / "checkpoints" / "deep" / "er" / "one")
    outside = llada(tmp_path / "outside")
    there = checkpoints(tmp_path)
    assert there.names() == ["deep/er/one"]
    assert there.load("deep/er/one").description.name == "deep/er/one"
    for name in (
        "../outside",
        str(outside),
        "deep/../../outside",
        "deep",
        "deep/er/one/",
        ".",
        "nope",
        "one\0",
    ):
        with pytest.raises(ValueError, match="There is no checkpoint .*deep/er/one"):
            there.load(name)


def test_the_default_comes_first_and_no_folder_is_no_checkpoint(models, tmp_path):
    assert checkpoints(models, model="sharded").names() == ["sharded", "gqa", "plain", "tied", "wide"]
    assert checkpoints(tmp_path / "nothing").list() == []
    with pytest.raises(ValueError, match="There are: none"):
        checkpoints(tmp_path / "nothing").load(None)


# -- one model in memory -------------------------------------------------------------------------------------


def test_asking_for_another_unloads_the_first(models):
    there = checkpoints(models)
    first = there.load("plain")
    assert there.load(None) is first, "held, not read again"
    alive = weakref.ref(first.module)
    del first
    original, seen = there._read_weights, []

    def read(described, *rest):
        gc.collect()
        seen.append(alive())
        return original(described, *rest)

    there._read_weights = read
    there.load("gqa")
    assert seen == [None], "gone before the next one takes memory"


def test_a_job_over_two_checkpoints_holds_one_at_a_time(tmp_path, models):
    shutil.copytree(models / "checkpoints" / "gqa", tmp_path / "models" / "checkpoints" / "other")
    app = program(tmp_path, model="other")
    held, original = [], app.checkpoints._read_weights

    def read(described, *rest):
        gc.collect()
        held.append([model() for model in alive if model() is not None])
        model = original(described, *rest)
        alive.append(weakref.ref(model.module))
        return model

    alive: list[weakref.ref] = []
    app.checkpoints._read_weights = read
    request = app.Request(length=4, seed=1)
    cells = [replace(app.expand(request.replace(model=name))[0], id=name) for name in ("other", "LLaDA")]
    events = [event for event in app.engine.generate(cells, "job", lambda: False) if hasattr(event, "result")]
    assert [event.result.provenance.checkpoint for event in events] == ["other", "LLaDA"]
    assert held == [[], []]


def test_weights_replaced_on_disk_are_read_again(tmp_path):
    folder = llada(tmp_path / "checkpoints" / "plain")
    there = checkpoints(tmp_path)
    before = there.load("plain")
    llada(folder, seed=5)
    after = there.load("plain")
    assert after.description.fingerprint == fingerprint(folder) != before.description.fingerprint
    assert not torch.equal(after.head.weight, before.head.weight)


def test_a_failed_load_keeps_the_program_usable(tmp_path):
    llada(tmp_path / "checkpoints" / "plain")
    BROKEN["wrong shape"](tmp_path / "checkpoints" / "bad")
    there = checkpoints(tmp_path)
    for _ in range(2):
        assert there.load("plain").description.name == "plain"
        with pytest.raises(ValueError, match="bad"):
            there.load("bad")


def test_linked_folders_are_found_also_when_a_link_leads_back(tmp_path, models):
    root = tmp_path / "models" / "checkpoints"
    root.mkdir(parents=True)
    (root / "linked").symlink_to(models / "checkpoints" / "plain", target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    names = checkpoints(tmp_path / "models").names()
    assert "linked" in names and all(name.count("/") <= 4 for name in names)


def test_a_prompt_mostly_outside_the_lexicon_gets_a_hint(tmp_path):
    folder = llada(tmp_path / "models" / "checkpoints" / "plain")
    (folder / "lexicon.txt").write_text("the\ncat\nsat\n", "utf-8")
    write_json(folder / "profile.json", {"understands": "Stories about cats."})
    some = checkpoints(tmp_path / "models")
    assert some.hint("plain", "The cat sat.") is None
    assert some.hint("plain", "The cat vectorises sat") is None, (
        "one new word among known ones is nothing to say"
    )
    hint = some.hint("plain", "quantum chromodynamics, the cat?! renormalised")
    assert hint and "quantum" in hint and "Stories about cats." in hint
    assert some.hint("plain", "") is None and some.hint("plain", "12 34 !!") is None


def test_the_hint_stands_among_the_results_notes(tmp_path):
    app = program(tmp_path)
    name = app.settings.model
    (tmp_path / "models" / "checkpoints" / name / "lexicon.txt").write_text("the\n", "utf-8")
    assert any(f"new to {name}" in note for note in write(app, prompt="quantum gravity").notes)
    app.close()


# -- progress, faults that are remembered --------------------------------------------------------------------


def test_progress_is_reported_only_when_something_is_loaded(models):
    there, reported = checkpoints(models), []
    first = there.load("sharded", reported.append)
    assert reported[0] == 0.0 and reported[-1] == 1.0 and reported == sorted(reported)
    there.load("sharded", reported.append)
    assert reported.count(0.0) == 1, "it was in memory"
    assert there.loaded == "sharded" and {e.name for e in there.list() if e.loaded} == {"sharded"}
    assert sum(p.numel() for p in first.module.parameters()) == there.entry("sharded").parameters
    there.unload()
    assert there.loaded is None


PROGRESS = """
import sys
sys.path.insert(0, {root!r})
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.weights import Stopped
from webui.settings import Settings
there, reported = Checkpoints(Settings(models={models!r}, device="cpu")), []
def stop(done):
    if done > 0.1:
        raise Stopped
try:
    there.load("plain", stop)
except Stopped:
    pass
else:
    raise AssertionError("it was not stopped")
print("transformers" in sys.modules)
there = Checkpoints(Settings(models={models!r}, device="cpu"))
print(there.load("plain").description.name)
"""


def fresh(program: str, models: Path) -> list[str]:
    """The lines that a new process prints, which has not imported torch yet."""
    process = subprocess.run(
        [sys.executable, "-c", program.format(root=str(ROOT), models=str(models))],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.process
def test_progress_moves_while_libraries_are_imported(models):
    """Most of the time until a small checkpoint is there goes into imports: 0 % stood for 22 of 24 s."""
    program = PROGRESS.partition("def stop")[0] + "there.load('plain', reported.append)\nprint(*reported)"
    reported = [float(share) for share in fresh(program, models)[0].split()]
    assert reported == sorted(reported) and reported[0] == 0.0 and reported[-1] == 1.0
    assert len(reported) > 40 and max(b - a for a, b in zip(reported, reported[1:], strict=False)) < 0.4


@pytest.mark.slow
@pytest.mark.process
def test_a_load_stopped_while_libraries_are_imported_leaves_them_whole(models):
    assert fresh(PROGRESS, models) == ["True", "plain"]


@pytest.mark.parametrize("at", [0.0, 0.2, 0.7])
def test_a_load_can_be_given_up_at_any_moment(models, at):
    there = checkpoints(models)

    def progress(done: float) -> None:
        if done >= at:
            raise Stopped

    with pytest.raises(Stopped):
        there.load("plain", progress)
    assert there.loaded is None and there.entry("plain").failed is None, "nothing is at fault"
    assert there.load("plain").description.name == "plain"


def test_the_model_in_memory_stays_while_another_proves_to_be_broken(tmp_path):
    llada(tmp_path / "checkpoints" / "plain")
    for name in ("missing tensor", "extra tensor", "wrong shape", "mask beyond rows"):
        BROKEN[name](tmp_path / "checkpoints" / name)
    there = checkpoints(tmp_path)
    held = there.load("plain")
    for name in ("missing tensor", "extra tensor", "wrong shape", "mask beyond rows"):
        with pytest.raises(ValueError, match=name):
            there.load(name)
        assert there.loaded == "plain" and there.load("plain") is held


def test_a_failed_load_is_remembered_until_the_files_change_or_it_works(tmp_path):
    llada(tmp_path / "checkpoints" / "plain")
    folder = BROKEN["missing tensor"](tmp_path / "checkpoints" / "bad")
    there = checkpoints(tmp_path)
    assert there.entry("bad").failed is None
    version = there.version
    with pytest.raises(ValueError) as refused:
        there.load("bad")
    assert there.entry("bad").failed == str(refused.value) and there.version > version
    assert there.entry("plain").failed is None
    llada(folder, seed=3)
    assert there.entry("bad").failed is None
    assert there.load("bad") and there.entry("bad").loaded


def test_prompts_are_counted_without_weights(models):
    there = checkpoints(models)
    count = there.count("plain", "a story about the fox", template="raw")
    assert count.text == count.prompt == len(there.load("plain").tokenizer.encode("a story about the fox"))
    framed = there.count("plain", "a story about the fox")
    assert framed.text == count.text < framed.prompt and framed.limit == 256
    fresh = checkpoints(models)
    fresh.count(None, "a")
    assert fresh.loaded is None
