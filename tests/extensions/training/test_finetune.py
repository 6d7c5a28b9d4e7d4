"""`python app.py finetune`: an adapter that PEFT and the program read, from text and from pairs; resumed bit for bit
after a kill; refusals."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.adapter_files import as_peft
from tests.conftest import ENVIRONMENT, PYTHON
from tests.contract.program import program, write
from tests.tiny_checkpoints import llada
from webui import Adapter, Canvas, adapter_entry
from webui.cli.main import main

TEXT = "The cat and the hen sat on the stone and sang to the wind. " * 60
SMALL = ["--batch", "2", "--length", "16", "--rank", "2", "--every", "4"]


@pytest.fixture
def folder(tmp_path) -> Path:
    llada(tmp_path / "models" / "checkpoints" / "LLaDA")
    (tmp_path / "poems.txt").write_text(TEXT, "utf-8")
    return tmp_path


def flags(folder: Path, *more: str, data: str = "poems.txt", out: str = "poet") -> list[str]:
    settings = ["--models", str(folder / "models"), "--data", str(folder / "data"), "--threads", "1"]
    own = ["--data", str(folder / data), "--out", out, "--model", "LLaDA"]
    return [*settings, "finetune", *own, *SMALL, *more]


def test_a_text_becomes_a_lora(folder, capsys):
    assert main(flags(folder, "--steps", "24", "--rate", "0.02", "--trigger", "thou")) == 0
    said = capsys.readouterr().out
    assert "parameters at 14 modules of LLaDA, from step 0 to 24" in said
    lora = folder / "models" / "loras" / "poet"
    about = json.loads((lora / "about.json").read_text())
    assert about["training"]["held_out"] < about["training"]["held_out_without"]
    entry = adapter_entry("poet", lora)
    assert (entry.rank, entry.modules, entry.base, entry.triggers) == (2, 14, "LLaDA", ("thou",))
    app = program(folder)
    try:
        plain = write(app, prompt="a cat", length=16)
        styled = write(app, prompt="thou, a cat <lora:poet:1>", length=16)
        assert "14 of 14 modules" in styled.extras["lora"]["poet"] and styled.text != plain.text
        model = app.checkpoints.load("LLaDA")
        fitted = Adapter.read(lora).fit(dict(model.module.named_modules()), model.native, "LLaDA")
        _check_as_peft(model, lora, fitted)
        assert not fitted.unmatched and {part.scale for part in fitted.parts.values()} == {2.0}
        assert not any(module._forward_hooks for module in model.module.modules())
    finally:
        app.close()


def _check_as_peft(model, lora, fitted):
    """PEFT reads the folder, and computes the same."""
    import copy

    import torch
    from peft import PeftModel

    from extensions.lora.patch import Patch
    from extensions.lora.tags import Use

    peft = PeftModel.from_pretrained(copy.deepcopy(model.module), str(lora)).eval()
    canvas = Canvas.build([[5, 6, 7]], [[model.mask] * 8], [0], model.mask, model.ends)
    canvas = canvas.activate(~canvas.given)
    wanted = as_peft(model, peft)(canvas)
    patch = Patch(model, {"poet": fitted}, [[Use("poet")]])
    patch.enter(dict(model.module.named_modules()))
    try:
        torch.testing.assert_close(model(canvas), wanted, rtol=1e-5, atol=1e-5)
    finally:
        patch.leave()
    assert not torch.allclose(model(canvas), wanted)


def test_pairs_of_prompts_and_answers(folder):
    lines = [{"prompt": f"number {i}", "answer": "the cat sat on the wind"} for i in range(30)]
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    more = ["--steps", "8", "--rate", "0.02", "--targets", "q_proj,v_proj"]
    assert main(flags(folder, *more, data="pairs.jsonl")) == 0
    assert adapter_entry("poet", folder / "models" / "loras" / "poet").modules == 4


def adapter_of(folder: Path) -> bytes:
    return (folder / "models" / "loras" / "poet" / "adapter_model.safetensors").read_bytes()


def test_a_killed_run_goes_on_bit_for_bit(folder):
    more = ["--steps", "400", "--rate", "0.02"]
    process = subprocess.Popen([*PYTHON, *flags(folder, *more)], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    kept = folder / "models" / "loras" / ".training-poet" / "state.safetensors"
    try:
        end = time.monotonic() + 200
        while not (folder / "models" / "loras" / "poet").exists() and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kept.is_file()
    short = ["--stop", "40", *more]
    assert main(flags(folder, *short)) == 0
    killed, state = adapter_of(folder), kept.read_bytes()
    shutil.rmtree(folder / "models" / "loras")
    assert main(flags(folder, *short)) == 0
    assert adapter_of(folder) == killed and kept.read_bytes() == state


def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(folder, capsys):
    """The limit is below the size of a state: what is written before is there."""
    import resource

    steps = ["--steps", "4", "--rate", "0.02"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        assert main(flags(folder, *steps)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "The disk refused: File too large. The same command goes on from here." in capsys.readouterr().err
    kept = [file.name for file in (folder / "models" / "loras").rglob("*") if file.is_file()]
    assert sorted(kept) == ["log.jsonl", "run.json"]
    assert main(flags(folder, *steps)) == 0


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--data", "nothing.txt"], "There is no file nothing.txt."),
        (["--steps", "0"], "--steps must be 1 to 10000000."),
        (["--rate", "0"], "--rate must be above 0 and at most 1."),
        (
            ["--out", "../poet"],
            "--out is a name of letters, digits, blanks, dots, + and -, no dot or blank last.",
        ),
        (["--targets", "c_attn"], "No linear layer's name ends in one of c_attn."),
        (["--model", "nobody"], "nobody"),
    ],
)
def test_refusals(folder, capsys, more, sentence):
    assert main(flags(folder, *more)) == 2
    assert sentence in capsys.readouterr().err
    assert not list((folder / "models").glob("loras/*"))


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("{", "Line 2 of {file} is not JSON."),
        ("[1]", "Line 2 of {file} has no `text`, or no `prompt` and `answer`."),
        ('{"prompt": "a"}', "Line 2 of {file} has no `text`, or no `prompt` and `answer`."),
        ('{"text": "a"}', "The data makes 2 rows; at least 4 are needed."),
    ],
)
def test_faulty_data(folder, capsys, line, sentence):
    file = folder / "data.jsonl"
    file.write_text('{"text": "a cat"}\n' + line, "utf-8")
    assert main(flags(folder, data="data.jsonl")) == 2
    assert sentence.replace("{file}", str(file)) in capsys.readouterr().err


def test_another_run_is_not_overwritten(folder, capsys):
    assert main(flags(folder, "--steps", "4", "--rate", "0.02")) in (0, 2)
    assert main(flags(folder, "--steps", "6", "--rate", "0.02")) == 2
    assert "The state of poet was made with other flags, data or weights" in capsys.readouterr().err
    assert main(flags(folder, "--steps", "6", "--rate", "0.02", "--fresh")) in (0, 2)
