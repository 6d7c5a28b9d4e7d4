"""`generate`: texts on standard output, one sentence on standard error, and the exit status."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.conftest import ENVIRONMENT, PYTHON, ROOT, wait_until
from webui.extension.registry import Registry

EXTENSIONS = sorted(path.parent.name for path in (ROOT / "extensions").glob("*/__init__.py"))
QUICK = ("--length", "8", "--steps", "2", "--template", "raw", "--seed", "5")
SLOW = (
    "--length",
    "64",
    "--steps",
    "64",
    "--template",
    "raw",
    "--end-of-text",
    "ban",
    "--rehearsal-seconds",
    "0.05",
)


def result(ran) -> dict:
    assert ran.status == 0 and ran.err == "", ran
    assert ran.out.count("\n") == 1  # one JSON text and nothing else
    return json.loads(ran.out)


def test_it_prints_the_text(run):
    ran = run("generate", "the cat", *QUICK)
    assert ran.status == 0 and ran.err == ""
    assert ran.out == result(run("generate", "the cat", *QUICK, "--json"))["text"] + "\n"


def test_json_is_the_whole_result(run):
    told = result(run("generate", "the cat", *QUICK, "--json"))
    assert told["request"]["prompt"] == "the cat" and told["complete"] and told["parts"] == []
    assert (
        len(told["pieces"]) == 8
        and len(told["trace"]) == 8
        and told["provenance"]["checkpoint"] == "storyteller"
    )


def test_as_a_newcomer_runs_it(flags, tmp_path):
    """The real thing: `python app.py generate`, from another folder."""
    command = [*PYTHON, *flags, "--data", str(tmp_path), "generate", "the cat", *QUICK]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, cwd=tmp_path, timeout=120)
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.endswith(b"\n")


def test_the_same_seed_gives_the_same_text(run):
    varied = (
        "--length",
        "16",
        "--steps",
        "4",
        "--template",
        "raw",
        "--temperature",
        "1",
        "--end-of-text",
        "ban",
    )
    first, again, other = (run("generate", "a", *varied, "--seed", seed).out for seed in ("7", "7", "8"))
    assert first == again and first != other


def test_without_a_seed_one_is_drawn_and_told(run):
    drawn = {result(run("generate", "a", *QUICK[:-2], "--json"))["request"]["seed"] for _ in range(2)}
    assert len(drawn) == 2 and min(drawn) >= 0


def test_several_texts_stand_under_their_labels(run):
    told = result(run("generate", "a", *QUICK, "--count", "3", "--json"))
    assert [part["request"]["seed"] for part in told["parts"]] == [5, 6, 7]
    ran = run("generate", "a", *QUICK, "--count", "3")
    expected = "".join(f"== seed {5 + k} ==\n{part['text']}\n" for k, part in enumerate(told["parts"]))
    assert ran.out == expected and ran.status == 0


def test_every_field_and_option_is_a_flag(run, extensions):
    text = run("generate", "--help").out
    told = set(re.findall(r"(?<=[\s\[])--[a-z0-9-]+", text))
    for name, field in Registry(extensions).Request.model_fields.items():
        options = getattr(field.annotation, "model_fields", None)
        for flag in [f"{name}-{option}" for option in options] if options is not None else [name]:
            assert f"--{flag.replace('_', '-')}" in told or flag == "prompt"
    assert {
        "--json",
        "--prompt-matrix-enabled",
        "--no-prompt-matrix-enabled",
        "--guidance-negative-prompt",
        "--top-p",
        "--data",
    } <= told


def test_flags_reach_the_request(run):
    flags = (
        "--temperature",
        "0.5",
        "--top-p",
        ".9",
        "--top-k",
        "7",
        "--system",
        "be kind",
        "--model",
        "storyteller",
        "--no-keep-history",
    )
    options = (
        "--guidance-negative-prompt",
        "a, b",
        "--guidance-scale",
        "2",
        "--prompt-matrix-one-of",
        "--infill-passage",
        "9",
    )
    request = result(run("generate", "x", *QUICK, *flags, *options, "--json"))["request"]
    assert (request["temperature"], request["top_p"], request["top_k"], request["system"]) == (
        0.5,
        0.9,
        7,
        "be kind",
    )
    assert request["guidance"] | {"negative_prompt": "a, b", "scale": 2.0} == request["guidance"]
    assert request["prompt_matrix"]["one_of"] is True and request["infill"]["passage"] == 9
    assert (
        result(run("generate", "x", *QUICK, "--no-prompt-matrix-one-of", "--json"))["request"][
            "prompt_matrix"
        ]["one_of"]
        is False
    )


def test_the_prompt_from_standard_input(run):
    told = result(run("generate", "-", *QUICK, "--json", stdin="Grüße,\n\n😀 \n".encode()))
    assert told["request"]["prompt"] == "Grüße,\n\n😀 "
    assert result(run("generate", "-", *QUICK, "--json", stdin=b""))["request"]["prompt"] == ""


@pytest.mark.parametrize(
    "sent, prompt",
    [
        (b"\xef\xbb\xbfa cat\n", "a cat"),
        (b"a cat\r\n", "a cat"),
        (b"\xef\xbb\xbfa\r\ncat\r\n", "a\r\ncat"),
        (b"a cat\r", "a cat\r"),
        (b"a cat\n\n", "a cat\n"),
        (b"\xef\xbb\xbf", ""),
    ],
)
def test_a_byte_order_mark_and_the_line_end_of_a_pipe_are_no_part_of_the_prompt(run, sent, prompt):
    assert result(run("generate", "-", *QUICK, "--json", stdin=sent))["request"]["prompt"] == prompt


BAD = {
    "an unknown flag": (["--frobnicate"], "frobnicate"),
    "an abbreviated flag": (["--len", "8"], "--len"),
    "no number": (["--steps", "many"], "steps"),
    "too small": (["--steps", "0"], "steps"),
    "not finite": (["--temperature", "nan"], "temperature"),
    "infinite": (["--guidance-scale", "inf"], "guidance.scale"),
    "not one of": (["--end-of-text", "never"], "end_of_text"),
    "no value": (["--steps"], "--steps"),
    "a sampler that is not": (["--sampler", "nope"], "nope"),
    "a checkpoint that is not": (["--model", "nope"], "nope"),
    "two prompts": (["another"], "another"),
    "a device that is not": (["--device", "abacus"], "device"),
    "half a surrogate": (["--system", "\udcff"], "system"),
    "an escape sequence": (["--sampler", "\x1b[31mred\nblue"], "red"),
    "a folder without checkpoints": (["--models", "/nowhere"], "checkpoint"),
}


@pytest.mark.parametrize("arguments, words", BAD.values(), ids=BAD)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["plain", "json"])
def test_bad_input_is_one_sentence_and_status_2(run, arguments, words, form):
    ran = run("generate", "a", *QUICK, *form, *arguments)
    assert ran.status == 2 and ran.out == ""
    assert re.fullmatch(r"[^\n\x1b]+[.?]\n", ran.err) and words in ran.err


def test_other_bad_input(run, tmp_path):
    for arguments, words in (
        (["frobnicate"], "frobnicate"),
        (["--port", "x"], "port"),
        (["--port", "65536"], "port"),
        (["generate", "-", "--json"], "UTF-8"),
        (["generate", "\udcff"], "prompt"),
        (["rehearse", "--data", "wrong"], "This is wrong"),
    ):
        ran = run(*arguments, stdin=b"\xff")
        assert (ran.status, ran.out) == (2, "") and words in ran.err and ran.err.count("\n") == 1, ran
    (tmp_path / "settings.toml").write_text("port = 'x'")
    assert "port" in run("generate", "--data", str(tmp_path)).err
    (tmp_path / "settings.toml").write_text("port = ")
    assert "TOML" in run("generate", "--data", str(tmp_path)).err


# an extension's fault is shown to who writes it, before the sentence for everybody
TRACEBACK = r"(?:The extension rehearsal failed:\nTraceback [^\n]+\n(?: [^\n]+\n)+\w+: [^\n]+\n)+"


def test_a_job_that_fails_is_a_traceback_and_one_sentence_and_status_1(run):
    for form in ((), ("--json",), ("--count", "2")):
        ran = run("generate", "a", *QUICK, "--rehearsal-fail", *form)
        assert ran.status == 1 and ran.out == "", ran
        assert re.fullmatch(rf"{TRACEBACK}rehearsal: [^\n]+\n", ran.err), ran


@pytest.mark.parametrize("hook", ["expand", "prompt", "denoise"])
def test_a_hook_that_leaves_is_a_traceback_and_one_sentence_and_status_1(run, hook):
    ran = run("generate", "a", *QUICK, "--rehearsal-raises", "SystemExit", "--rehearsal-hook", hook)
    assert (ran.status, ran.out) == (1, ""), ran
    assert re.fullmatch(rf"{TRACEBACK}rehearsal: SystemExit: as rehearsed\n", ran.err), ran


def test_ctrl_c_prints_what_there_is(run, tmp_path):
    calls = tmp_path / "calls"
    slow = (*SLOW, "--rehearsal-calls", str(calls))
    ran = run("generate", "a", *slow, interrupt=lambda: calls.is_file() and calls.stat().st_size > 3)
    assert ran.status == 130 and ran.out.endswith("\n") and "…" in ran.out and ran.err == ""
    calls.unlink()
    ran = run(
        "generate", "a", *slow, "--json", interrupt=lambda: calls.is_file() and calls.stat().st_size > 3
    )
    told = json.loads(ran.out)
    assert ran.status == 130 and told["complete"] is False and 0 < len(told["trace"]) < 64


def test_a_file_gets_given_text_as_it_is(run):
    """What is given to infill stays byte for byte; only a terminal gets it made harmless."""
    ran = run(
        "generate",
        "A \x1b[31mred\x07 ____ end\x9b",
        "--template",
        "raw",
        "--seed",
        "1",
        "--infill-passage",
        "4",
    )
    assert ran.status == 0 and ran.out.startswith("A \x1b[31mred\x07 ") and ran.out.endswith(" end\x9b\n")


def test_a_reader_that_leaves_is_no_fault(commands, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    errors = tmp_path / "errors"
    commands.start(
        [*commands.flags, "generate", "a", *SLOW, "--steps", "8"], stdout=str(fifo), stderr=str(errors)
    )

    def opened() -> bool:
        """Whether it writes, or will: at the end of the file there is no writer."""
        try:
            return os.read(end, 1) != b""
        except BlockingIOError:
            return True

    wait_until(opened)
    os.close(end)
    assert commands.wait() == 1 and errors.read_text() == ""


# -- the command line itself ---------------------------------------------------------------------------------


def test_help_is_instant():
    """Nothing heavy is imported to tell the flags."""
    heavy = "[m for m in ('torch', 'transformers', 'gradio', 'fastapi', 'uvicorn') if m in sys.modules]"
    for arguments in (["--help"], ["generate", "--help"], ["serve", "--help"]):
        program = f"import sys; sys.path.insert(0, '.'); from webui.cli.main import main\ntry: main({arguments})\nfinally: print({heavy})"
        done = subprocess.run(
            [PYTHON[0], "-c", program], capture_output=True, text=True, env=ENVIRONMENT, cwd=PYTHON[1][:-7]
        )
        assert done.returncode == 0 and done.stderr == "" and done.stdout.endswith("[]\n"), done


def test_help_tells_commands_and_settings(run):
    text = run("--help").out
    for words in (
        "serve",
        "generate",
        "rehearse",
        "--port",
        "--host",
        "--device",
        "--dtype",
        "--data",
        "--models",
        "--model",
        "--threads",
    ):
        assert words in text


def test_settings_stand_before_or_after_the_command(run, tmp_path):
    for arguments in (
        ["--data", str(tmp_path / "a"), "generate", "a", *QUICK],
        ["generate", "a", *QUICK, "--data", str(tmp_path / "a")],
    ):
        assert run(*arguments).status == 0
    assert len(list((tmp_path / "a" / "history").rglob("*.json"))) == 2


def test_an_extension_brings_a_command_with_flags_of_its_own(run):
    ran = run("rehearse", "--data", "mine")
    assert (ran.status, ran.out, ran.err) == (3, "mine data\n", "")


@pytest.mark.parametrize("gone", [*EXTENSIONS, "all of them"])
def test_without_an_extension_everything_else_runs(run, tmp_path, gone):
    """Deleting its folder is how an extension is removed; tests/test_house.py looks at the API without it."""
    for name in EXTENSIONS:
        if gone not in (name, "all of them"):
            (tmp_path / name).symlink_to(ROOT / "extensions" / name)
    told = result(run("--built-in", str(tmp_path), "generate", "the cat", *QUICK, "--json"))
    assert told["complete"] and gone not in told["request"]
    flag = f"--{gone.replace('_', '-')}-x"
    assert run("--built-in", str(tmp_path), "generate", flag, "1").status == 2


def test_notes_are_read_beside_the_text(run, tmp_path):
    """A disk that refuses costs a sentence, not the text."""
    (tmp_path / "history").write_text("no folder")
    ran = run("generate", "a", *QUICK, "--data", str(tmp_path))
    assert ran.status == 0 and ran.out and ran.err.startswith("Not saved: ") and ran.err.count("\n") == 1


def test_a_value_that_begins_with_a_dash_works_or_the_sentence_says_how(run):
    refused = run("generate", "the cat", "--logit-bias-never", "-x")
    assert refused.status == 2 and "--flag=-value" in refused.err and refused.err.count("\n") == 1
    assert result(run("generate", "the cat", *QUICK, "--logit-bias-never=-x", "--json"))["complete"]
    refused = run("generate", "-5degrees", *QUICK)
    assert refused.status == 2 and "after --" in refused.err and refused.err.count("\n") == 1
    assert result(run("generate", *QUICK, "--json", "--", "-5 degrees"))["request"]["prompt"] == "-5 degrees"


def test_a_checkpoint_folder_from_anywhere(run, models, tmp_path):
    folder = shutil.copytree(models / "checkpoints" / "storyteller", tmp_path / "mine")
    named = result(run("generate", "the cat", *QUICK, "--json"))
    for place in (("generate", "--model", str(folder)), ("--model", str(folder), "generate")):
        made = result(run(*place, "the cat", *QUICK, "--json"))
        assert made["text"] == named["text"]
        assert made["request"]["model"] == made["provenance"]["checkpoint"] == folder.as_posix()
    refused = run("generate", "--model", str(tmp_path), "the cat", *QUICK)
    assert refused.status == 2 and "There is no checkpoint" in refused.err
