"""Folders that anybody may have made: each is refused in a sentence, and neither the others nor the program
notice. Foreign programs, tokenizers and chat templates, are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoints.families import BERT
from tests.conftest import wait_until
from tests.contract.program import finished, program
from tests.tiny_checkpoints import (
    EOS,
    EOT,
    FIRST_SPECIAL,
    ROWS,
    SPECIAL,
    bert,
    bert_config,
    llada,
    llada_config,
    write_json,
)
from webui.checkpoints import weights
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.tokenizer import Tokenizer
from webui.settings import ROOT, Settings

PATIENCE = 120  # seconds until a test gives up on what should have returned
POSIX = pytest.mark.skipif(os.name == "nt", reason="FIFOs, devices and signals are POSIX's")


def checkpoints(models: Path) -> Checkpoints:
    return Checkpoints(Settings(models=models, model="good", device="cpu", dtype="float32"))


def in_time(call: Callable[[], object]) -> object:
    """What a call returns; fails if it does not return."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert results, "it failed or never returned"
    return results[0]


def put(file: str, content: str | bytes) -> Callable[[Path], None]:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    return lambda folder: (folder / file).write_bytes(data)


def configured(**changes) -> Callable[[Path], None]:
    return lambda folder: write_json(folder / "config.json", llada_config(**changes))


def linked(file: str, target: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to(target)

    return change


def fifo(file: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        os.mkfifo(folder / file)

    return change


def directory(file: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).mkdir()

    return change


def tensors(count: int) -> Callable[[Path], None]:
    """Weights of that many tensors without a number."""

    def change(folder: Path) -> None:
        header = {f"x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)}
        data = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(data).to_bytes(8, "little") + data)

    return change


LISTED = {  # seen in the list: what is done to a good folder, what its sentence says
    "deep config": (put("config.json", '{"a":' * 100_000), "config.json"),
    "deep list": (put("config.json", json.dumps({"a": 0})[:-2] + "[" * 300 + "]" * 300 + "}"), "config.json"),
    "config NaN": (put("config.json", '{"d_model": NaN}'), "config.json"),
    "config 1e999": (put("config.json", '{"d_model": 1e999}'), "config.json"),
    "config digits": (put("config.json", '{"d_model": ' + "9" * 10_000 + "}"), "config.json"),
    "config latin-1": (put("config.json", b'{"model_type": "caf\xe9"}'), "config.json is not valid UTF-8"),
    "config surrogate": (put("config.json", r'{"model_type": "\ud800"}'), "config.json"),
    "config large": (put("config.json", " " * (17 << 20)), "config.json"),
    "layers": (configured(n_layers=10**9), "n_layers"),
    "width": (configured(d_model=10**9), "d_model"),
    "rows": (configured(embedding_size=10**12), "embedding_size"),
    "inner": (configured(mlp_hidden_size=10**12), "mlp_hidden_size"),
    "heads": (configured(n_heads=10**9), "n_heads"),
    "text for a number": (configured(n_kv_heads="4"), "n_kv_heads"),
    "true for a number": (configured(n_layers=True), "n_layers"),
    "zero heads": (configured(n_heads=0), "n_heads"),
    "odd heads": (configured(n_heads=5), "n_heads"),
    "theta": (configured(rope_theta="x"), "rope_theta"),
    "list for a choice": (configured(block_type=["llama"]), "block_type"),
    "profile NaN": (put("profile.json", '{"preset": {"temperature": NaN}}'), "profile.json"),
    "profile type": (put("profile.json", '{"preset": {"temperature": "hot"}}'), "temperature"),
    "profile range": (put("profile.json", '{"preset": {"length": -5}}'), "length"),
    "profile surrogate": (put("profile.json", r'{"license": "\udfff"}'), "profile.json"),
    "profile key": (put("profile.json", r'{"\udfff": 1}'), "profile.json"),
    "profile deep": (put("profile.json", '{"preset": {"a":' + "[" * 500 + "]" * 500 + "}}"), "profile.json"),
    "profile list": (put("profile.json", '{"examples": [1]}'), "examples"),
    "profile text": (put("profile.json", '{"understands": ["a"]}'), "understands"),
    "profile mask": (put("profile.json", '{"mask_token_id": -1}'), "mask_token_id"),
    "profile length": (put("profile.json", '{"max_length": 0}'), "max_length"),
    "config long": (put("config.json", " " * (2 << 20)), "config.json has 2097152 bytes"),
    "profile long": (put("profile.json", " " * (2 << 20)), "profile.json has 2097152 bytes"),
    "many tensors": (tensors(40_000), "bad/model.safetensors has 40000 tensors; at most 32768"),
    "long header": (tensors(400_000), "bad/model.safetensors has a header of"),
    "many in the index": (
        put(
            "model.safetensors.index.json",
            json.dumps({"weight_map": dict.fromkeys(map(str, range(40_000)), "a")}),
        ),
        "bad has 40000 tensors in its index",
    ),
    "empty index": (put("model.safetensors.index.json", '{"weight_map": {}}'), "has an empty weight_map"),
    **{
        f"preset {name}": (
            put("profile.json", json.dumps({"preset": {name: value}})),
            f"bad/profile.json: preset.{name}: ",
        )
        for name, value in {
            "prompt": "a | b",
            "system": "Be brief.",
            "template": "raw",
            "syntax": "off",
            "seed": 5,
            "count": 200,
            "model": "good",
            "canvas": {"trace": [[10**9, 0, 5, 0.5]]},
            "unknown": {"length": 5},
        }.items()
    },
    "lexicon latin-1": (put("lexicon.txt", b"caf\xe9"), "lexicon.txt is not valid UTF-8"),
}
if os.name == "posix":
    for file in (
        "config.json",
        "profile.json",
        "lexicon.txt",
        "model.safetensors",
        "model.safetensors.index.json",
    ):
        LISTED |= {
            f"FIFO {file}": (fifo(file), f"{file} is not a regular file"),
            f"folder {file}": (directory(file), f"{file} is not a regular file"),
            f"device {file}": (linked(file, "/dev/zero"), f"{file} is not a regular file"),
        }
    LISTED["link to nothing"] = (linked("config.json", "nowhere"), "config.json does not exist")


@pytest.mark.parametrize("name", LISTED)
def test_a_bad_folder_is_a_sentence_and_the_good_one_stays(tmp_path, name):
    change, cause = LISTED[name]
    llada(tmp_path / "checkpoints" / "good")
    change(llada(tmp_path / "checkpoints" / "bad"))
    there = checkpoints(tmp_path)
    entries = {entry.name: entry for entry in in_time(there.list)}
    error = entries["bad"].error
    assert error and "bad" in error and cause in error, error
    assert "\n" not in error and error.endswith(".") and len(error) < 400
    assert entries["good"].error is None and there.names() == ["good"]
    json.dumps(
        [{"name": e.name, "error": e.error, "profile": dict(e.profile)} for e in entries.values()]
    ).encode()
    with pytest.raises(ValueError, match="bad"):
        there.load("bad")


def test_a_name_that_is_not_utf8_is_listed_with_escapes(tmp_path):
    llada(tmp_path / "checkpoints" / "good")
    for name in (b"caf\xe9", b"two\nlines", b"bell\x07"):
        try:
            os.rename(llada(tmp_path / "odd"), os.fsencode(tmp_path / "checkpoints") + b"/" + name)
        except OSError:
            pytest.skip("this file system takes no such names")
    there = checkpoints(tmp_path)
    errors = {entry.name: entry.error for entry in there.list()}
    assert set(errors) == {"good", r"caf\xe9", r"two\nlines", r"bell\x07"} and there.names() == ["good"]
    for name in set(errors) - {"good"}:
        assert name in errors[name] and "rename the folder" in errors[name]
        with pytest.raises(ValueError, match="rename the folder"):
            there.load(name)


LIMITS = {  # a limit, and how the sentence begins with an index and without
    "MAX_TENSORS": (10, "one has 21 tensors in its index", "one has 14 tensors"),
    "MAX_HEADERS": (1500, "one/model-00002-of-00003.safetensors has a header", "one/model-00002-of-00003"),
    "MAX_FILES": (2, "one has 3 files with weights", "one has 3 files with weights"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_the_limits_hold_for_all_files_of_a_folder_together(tmp_path, monkeypatch, limit):
    value, indexed, bare = LIMITS[limit]
    monkeypatch.setattr(weights, limit, value)
    folder = llada(tmp_path / "one", shards=3)
    for sentence in (indexed, bare):
        with pytest.raises(ValueError) as refused:
            weights.tensors(folder)
        assert str(refused.value).startswith(sentence)
        (folder / weights.INDEX).unlink(missing_ok=True)


SIZES = {  # plausible numbers that the weights do not have
    "layers": ({"n_layers": 4000}, "num_hidden_layers 4000"),
    "width": ({"d_model": 1 << 20}, "hidden_size 1048576"),
    "rows": ({"embedding_size": 1 << 24, "vocab_size": 1 << 24}, "vocab_size 16777216"),
    "inner": ({"mlp_hidden_size": 1 << 22}, "intermediate_size 4194304"),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_the_weights_do_not_have_are_refused_before_a_model_is_built(tmp_path, name):
    changes, cause = SIZES[name]
    folder = llada(tmp_path / "checkpoints" / "bad")
    write_json(folder / "config.json", llada_config(**changes))
    with pytest.raises(ValueError, match=f"bad/config.json makes {cause}"):
        in_time(lambda: checkpoints(tmp_path).entry("bad"))
        checkpoints(tmp_path).load("bad")


# -- tokenizers ----------------------------------------------------------------------------------------------


def stored(folder: Path, **changes) -> Path:
    """The fixture's tokenizer.json with other parts."""
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps({**data, **changes}), "utf-8")
    return folder


def templated(folder: Path, template: str) -> Path:
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    return folder


BACKTRACKS = {
    "type": "Split",
    "pattern": {"Regex": "(a+)+$"},
    "behavior": "Isolated",
    "invert": False,
}
DOUBLES = {
    "type": "Sequence",
    "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}] * 8,
}
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
TEMPLATES = {
    "loops": (LOOPS, "took too long"),
    "memory": ("{{ 'a' * 10**10 }}", "took too much memory"),
    "power": ("{{ 9 ** (9 ** 9) }}", "took too"),
    "output": ("{% for a in range(99999) %}{{ messages[0]['content'] * 100 }}{% endfor %}", "characters"),
    "padding": ("{{ '%10000000000d' % 1 }}", "failed"),
    "escape": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "chat template of bad failed"),
    "recursion": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "chat template of bad failed"),
}


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_goes_too_far_is_stopped(tmp_path, name):
    template, cause = TEMPLATES[name]
    tokenizer = Tokenizer.read(templated(llada(tmp_path / "bad"), template))
    with pytest.raises(ValueError) as refused:
        tokenizer.prompt("a cat", "Be brief.")
    assert cause in str(refused.value) and "\n" not in str(refused.value)
    raw = tokenizer.prompt("a cat", template="raw")
    assert tokenizer.decode(raw.tokens) == "a cat", "the tokenizer itself goes on"


@POSIX
@pytest.mark.parametrize(
    "part", [{"pre_tokenizer": BACKTRACKS}, {"normalizer": DOUBLES}], ids=["regex", "bomb"]
)
def test_a_tokenizer_that_goes_too_far_is_stopped(tmp_path, part):
    tokenizer = Tokenizer.read(stored(llada(tmp_path / "bad"), **part))
    with pytest.raises(ValueError, match="bad took too|took too much memory|backtrack|failed"):
        tokenizer.encode("a" * 40 + "b")
    assert tokenizer.encode("") == []


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"version": NaN}', "null", "", '{"model": 1}', b"\xff\xfe{"], ids=range(6)
)
def test_a_tokenizer_file_that_is_none_is_a_sentence(tmp_path, content):
    folder = llada(tmp_path / "checkpoints" / "bad")
    put("tokenizer.json", content)(folder)
    there = checkpoints(tmp_path)
    for ask in (lambda: there.count("bad", "a cat"), lambda: there.load("bad")):
        with pytest.raises(ValueError) as refused:
            ask()
        assert "bad" in str(refused.value) and "\n" not in str(refused.value)


@POSIX
@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_a_tokenizer_file_that_is_a_fifo_is_not_waited_for(tmp_path, file):
    folder = llada(tmp_path / "bad")
    fifo(file)(folder)

    def ask() -> str:
        try:
            Tokenizer.read(folder)
        except ValueError as error:
            return str(error)
        return "it was read"

    assert in_time(ask) == f"bad/{file} is not a regular file."


def vocabulary(folder: Path, **numbers: int) -> Path:
    """The fixture's tokenizer with further tokens."""
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    data["model"]["vocab"] |= numbers
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    return folder


@pytest.mark.parametrize("number", [ROWS, 6 * 10**7, 4 * 10**9])
def test_a_token_without_an_embedding_is_refused_when_the_checkpoint_is_loaded(tmp_path, number):
    vocabulary(llada(tmp_path / "checkpoints" / "bad"), zzz=number)
    with pytest.raises(ValueError, match=rf"bad.* {number}.*\.$"):
        checkpoints(tmp_path).load("bad")


def test_a_special_token_without_an_embedding_is_refused_where_it_is_used(tmp_path):
    """Published tokenizers may have special tokens that their models never got rows for."""
    folder = llada(tmp_path / "checkpoints" / "bad", n_layers=1)
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    reserved = {str(400 + i): {"content": f"<r{i}>", "special": True} for i in range(20)}
    config["added_tokens_decoder"] |= reserved
    config["chat_template"] = "{{ '<r19>' }}{{ messages[0].content }}"
    write_json(folder / "tokenizer_config.json", config)
    tokenizer = checkpoints(tmp_path).load("bad").tokenizer
    assert len(tokenizer) == ROWS and tokenizer.encode("<r19>")
    with pytest.raises(
        ValueError, match=r"tokenizer of bad makes the token \d+, outside the 304 embedding rows"
    ):
        tokenizer.prompt("a cat")
    assert tokenizer.prompt("a cat", template="raw").tokens


def test_twenty_thousand_added_tokens_are_added_at_once(tmp_path):
    """One by one they took minutes, more than the time that reading a tokenizer may take."""
    folder = llada(tmp_path / "one")
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    more = {str(400 + i): {"content": f"<x{i}>", "special": True} for i in range(20_000)}
    config["added_tokens_decoder"] |= more
    write_json(folder / "tokenizer_config.json", config)
    tokenizer = Tokenizer.read(folder)
    first = tokenizer.id("<x0>")
    assert first == FIRST_SPECIAL + len(SPECIAL) and tokenizer.id("<x19999>") == first + 19_999
    assert tokenizer.decode(tokenizer.encode("a <x7> cat")) == "a <x7> cat"


BOMB = {
    "type": "Sequence",
    "decoders": [
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        *[{"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 1000}] * 5,
    ],
}


@POSIX
def test_a_decoder_that_goes_too_far_is_refused_when_the_checkpoint_is_loaded(tmp_path):
    app = program(tmp_path)
    stored(app.checkpoints.entry(None).folder, decoder=BOMB)
    job = app.queue.submit(app.Request(length=4, seed=1))
    assert job.wait(PATIENCE)
    said = job.error or job.result.error
    assert "of LLaDA took too" in said and "program failed" not in said and said.endswith(".")
    assert app.checkpoints.entry(None).failed == said
    app.close()


CHAT_TEMPLATES = {
    "list name": [{"name": ["x"], "template": "a"}, {"name": "default", "template": "b"}],
    "no name": [{"template": "a"}],
    "texts": ["a"],
    "template": [{"name": "default", "template": 5}],
    "object": {"default": "a"},
    "number": 5,
}


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_a_malformed_chat_template_names_its_file(tmp_path, name):
    folder = llada(tmp_path / "bad")
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    write_json(folder / "tokenizer_config.json", {**config, "chat_template": CHAT_TEMPLATES[name]})
    with pytest.raises(ValueError, match=r"^bad/tokenizer_config.json: .*chat_template.*\.$"):
        Tokenizer.read(folder)


def test_failures_of_the_tokenizer_name_its_folder(tmp_path):
    tokenizer = Tokenizer.read(llada(tmp_path / "bad"))
    with pytest.raises(ValueError, match=r"^The tokenizer of bad failed: .*\.$"):
        tokenizer._process.call("nothing")


# -- configurations ------------------------------------------------------------------------------------------


def test_the_end_token_of_config_json_is_not_used(tmp_path):
    for number, value in enumerate(("x", [1, "x"], 10**30, True, {"a": 1})):
        folder = llada(tmp_path / "checkpoints" / str(number), n_layers=1)
        write_json(folder / "config.json", llada_config(n_layers=1, eos_token_id=value))
        assert checkpoints(tmp_path).load(str(number)).ends == (EOS, EOT)


@pytest.mark.parametrize(
    "change", [{"hidden_act": 5}, {"hidden_act": "nope"}, {"pad_token_id": "x"}, {"layer_norm_eps": "x"}]
)
def test_what_the_library_refuses_of_a_configuration_is_one_sentence(tmp_path, change):
    folder = bert(tmp_path / "checkpoints" / "bad")
    write_json(folder / "config.json", bert_config(model_type="bert own", **change))
    there = Checkpoints(Settings(models=tmp_path, model="bad", device="cpu"), families=(BERT,))
    with pytest.raises(ValueError) as refused:
        there.load("bad")
    said = str(refused.value)
    assert said.startswith("bad/config.json cannot be used: ") and "\n" not in said and said.endswith(".")


PRESETS = {  # of an extension's options, and of a sampler
    "guidance.scale: Input should be a valid number": {"guidance": {"scale": "x"}},
    "guidance.scale: Input should be less than": {"guidance": {"scale": 10**9}},
    "infill: ": {"infill": [1]},
}


@pytest.mark.parametrize("cause", PRESETS)
def test_a_preset_of_an_extension_is_checked_when_checkpoints_are_listed(tmp_path, cause):
    app = program(tmp_path)
    write_json(app.checkpoints.entry(None).folder / "profile.json", {"preset": PRESETS[cause]})
    error = {entry.name: entry.error for entry in app.checkpoints.list()}["LLaDA"]
    app.close()
    assert error and error.startswith(f"LLaDA/profile.json: preset: {cause}")


@pytest.mark.parametrize("part", ["sampler", "schedule", "confidence"])
def test_a_preset_with_an_unknown_sampler_fails_with_the_name_of_its_file(tmp_path, part):
    """Which samplers there are is not known yet when checkpoints are listed: extensions bring some."""
    app = program(tmp_path)
    write_json(app.checkpoints.entry(None).folder / "profile.json", {"preset": {part: "nope"}})
    error = finished(app, app.Request(length=4)).error
    app.close()
    assert error and error.startswith(f"LLaDA/profile.json: preset.{part}: ") and "nope" in error


def test_options_that_are_not_here_may_stand_in_a_preset(tmp_path):
    app = program(tmp_path)
    preset = {"length": 9, "nope": {"a": [1]}, "guidance": {"newer": 1, "scale": 2.0}}
    write_json(app.checkpoints.entry(None).folder / "profile.json", {"preset": preset})
    assert (
        app.checkpoints.entry(None).error is None and app.checkpoints.profile(None)["preset"]["length"] == 9
    )
    app.close()


# -- the process ---------------------------------------------------------------------------------------------


def zombies() -> list[int]:
    """Processes that this one started, that have ended, and that nobody has waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@LINUX
@pytest.mark.slow
def test_the_process_is_started_anew_and_leaves_no_zombie(tmp_path):
    tokenizer = Tokenizer.read(templated(llada(tmp_path / "one"), LOOPS))
    first = tokenizer._process._child.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(ValueError, match="one took too much memory or crashed"):
        tokenizer.encode("a cat")
    assert tokenizer.decode(tokenizer.encode("a cat")) == "a cat"
    second = tokenizer._process._child.pid
    assert second != first and zombies() == []
    with pytest.raises(ValueError, match="took too long"):
        tokenizer.prompt("a cat")
    assert zombies() == []
    tokenizer.encode("a cat")
    third = tokenizer._process._child.pid
    del tokenizer
    assert not Path(f"/proc/{third}").exists() and zombies() == []


@LINUX
@pytest.mark.slow
def test_what_always_fails_is_not_tried_for_every_text(tmp_path):
    """A job of 64 texts would take three minutes to say so."""
    tokenizer = Tokenizer.read(templated(llada(tmp_path / "one"), LOOPS))
    sentences = []
    for number in range(12):
        with pytest.raises(ValueError) as refused:
            tokenizer.prompt(f"a cat {number}")
        sentences.append(str(refused.value))
    assert sum("took too long" in sentence for sentence in sentences) == 3
    assert sum("failed too often; try again later" in sentence for sentence in sentences) == 9


@LINUX
def test_the_process_has_two_pipes_and_nothing_else(tmp_path):
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.set_inheritable(True)
        tokenizer = Tokenizer.read(llada(tmp_path / "one"))
        tokenizer.encode("a")
        process = Path(f"/proc/{tokenizer._process._child.pid}")
        there = {int(link.name): os.readlink(link) for link in (process / "fd").iterdir()}
        assert there[0].startswith("pipe:") and there[1].startswith("pipe:") and there[2] == "/dev/null"
        assert not any(target.startswith("socket:") for target in there.values())
        environment = (process / "environ").read_bytes().split(b"\0")
        assert not [name for name in environment if name.startswith(b"PYTEST")]


PARENT = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from webui.checkpoints.tokenizer import Tokenizer
tokenizer = Tokenizer.read(Path({folder!r}))
print(tokenizer._process._child.pid, flush=True)
{then}
"""


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("then", ["sys.stdin.read()", "tokenizer.prompt('a cat')"], ids=["idle", "busy"])
def test_the_process_ends_with_its_parent(tmp_path, then):
    folder = templated(llada(tmp_path / "one"), LOOPS)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(root=str(ROOT), folder=str(folder), then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    child = Path(f"/proc/{int(parent.stdout.readline())}")
    assert child.exists()
    parent.kill()
    parent.communicate()

    def gone() -> bool:
        return not child.exists() or " Z " in (child / "stat").read_text()  # a container may not reap it

    wait_until(gone, timeout=PATIENCE)


@POSIX
@pytest.mark.slow
def test_other_calls_do_not_wait_for_a_template(tmp_path):
    """Tokens of another checkpoint are counted, and the list is read, while a template loops."""
    llada(tmp_path / "checkpoints" / "good")
    templated(llada(tmp_path / "checkpoints" / "bad"), LOOPS)
    there = checkpoints(tmp_path)
    there.count("good", "a")
    errors = []

    def hang() -> None:
        try:
            there.count("bad", "a cat")
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=hang)
    thread.start()
    assert there.count("good", "a cat").text == 3 and there.names() and there.max_length("bad") == 256
    assert thread.is_alive(), "all of that while the template ran"
    thread.join(PATIENCE)
    assert errors and "took too long" in errors[0]


def test_a_fork_has_a_process_of_its_own(tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    tokenizer = Tokenizer.read(llada(tmp_path / "one"))
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from webui.checkpoints.tokenizer import Tokenizer\n"
        "tokenizer = Tokenizer.read(Path(sys.argv[2]))\n"
        "expected = tokenizer.encode('a cat')\n"
        "if os.fork() == 0:\n"
        "    os._exit(tokenizer.encode('a cat') != expected)\n"
        "assert os.waitstatus_to_exitcode(os.wait()[1]) == 0\n"
        "assert tokenizer.encode('a cat') == expected\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT), str(tmp_path / "one")], timeout=PATIENCE)
    assert done.returncode == 0 and tokenizer.encode("a cat")
