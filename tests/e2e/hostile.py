"""A program full of hostile names and texts, and an audit of a page for signs that any of them was not
shown as text."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer

from tests.conftest import ROOT
from tests.tiny_checkpoints import ROWS, llada, rewrite

OWNED = "document.title='owned'"
LTR, RTL = "\u202d", "\u202e"
STRINGS = (
    f"<script>{OWNED}</script>",
    f'<img src=x onerror="{OWNED}">',
    f"<svg onload={OWNED}></svg>",
    f'"><b onmouseover="{OWNED}">bold</b>',
    f'<a href="javascript:{OWNED}">go</a> [md](javascript:{OWNED}) '
    f"[d](data:text/html,<script>{OWNED}</script>)",
    "![picture](http://192.0.2.1/spy.png) <img src=http://192.0.2.1/spy.png> <style>*{display:none}</style>",
    f"${{{OWNED}}} {{{{constructor}}}} {{name}} {{% raw %}} #{{7*7}} $& $1",
    "</script></style></title></textarea></template><!-- --> ]]> &lt;b&gt; &amp;",
    "a\u200bb\ufeffc\u2028d",
    "\u05e9\u05dc\u05d5\u05dd \u2067turned",
    f"{RTL}dne",
)
EVIL = " ".join(STRINGS)
NAME = f"<img src=x onerror={OWNED}>\u05e9\u05dc"  # of a checkpoint: no slash, no control characters
TURNED = f"<img src=x onerror={OWNED}>{RTL}dne"  # of any other file or folder
LONG = "W" * 3000
NUL = "before\x00after"
AUDIT = (Path(__file__).parent / "audit.js").read_text("utf-8")
QUICK = {"length": 16, "steps": 2, "template": "raw", "end_of_text": "ban"}
EXTENSION = f"""
from webui import Extension, Options, field

EVIL = {EVIL!r}

class Hostile(Extension):
    title = EVIL
    about = EVIL

    class Options(Options):
        words: str = field("", label=EVIL, help=EVIL, widget="lines")
        choice: str = field("one", label=EVIL, help=EVIL, choices=["one", EVIL])
        number: int = field(0, ge=0, le=9, label=EVIL, help=EVIL)

    @classmethod
    def prompt(cls, row):
        if cls.options(row).number == 9:
            raise ValueError(EVIL)
        return row.note(EVIL) if cls.options(row).words else row
"""


def checkpoint(folder: Path) -> Path:
    """A checkpoint whose model generates hostile tokens only, with a hostile profile."""
    llada(folder, vocab_size=ROWS + 16, embedding_size=ROWS + 16)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(f" {token}", normalized=False) for token in (*STRINGS, NUL, LONG)])
    tokenizer.save(str(folder / "tokenizer.json"))
    first = tokenizer.token_to_id(f" {STRINGS[0]}")
    assert first is not None

    def loud(weights: dict[str, torch.Tensor]) -> None:
        head = weights["model.transformer.ff_out.weight"]
        head[first : first + len(STRINGS) + 2] = (
            10 * head[first + 1]
        )  # all alike: at a high temperature each is drawn

    rewrite(folder, loud)
    profile = {
        "preset": {"steps": 8, "length": 16, "temperature": 1.0, "end_of_text": "ban"},
        "understands": f"{EVIL} {NUL}",
        "license": EVIL,
        "examples": [EVIL, LONG],
    }
    (folder / "profile.json").write_text(json.dumps(profile), "utf-8")
    return folder


def result(index: int) -> dict:
    """A saved result with hostile text in every field."""
    at = time.time() - 3600 * (index + 1)
    request = {
        "prompt": f"n{index}n {EVIL} {NUL}",
        "seed": index,
        "model": TURNED,
        "length": 8,
        "steps": 4,
        "system": EVIL,
        "gone": {"option": EVIL, EVIL: 1},
        "guidance": {"negative_prompt": EVIL, "scale": 2.0},
        "hostile": {"words": EVIL},
    }
    pieces = [f" {text}" for text in (*STRINGS, NUL, LONG)]
    found = {
        "id": f"{int(at * 1e6):016x}{index:04x}",
        "text": "".join(pieces),
        "complete": True,
        "request": request,
        "notes": [EVIL],
        "axes": [[EVIL, EVIL, EVIL]],
        "pieces": pieces,
        "trace": [[1 + k % 4, k, 65 + k, piece, 0.5] for k, piece in enumerate(pieces)],
        "statistics": {"forwards": 4, "tokens": len(pieces), "prompt_tokens": 5, "seconds": 0.5},
        "provenance": {
            "program": EVIL,
            "checkpoint": TURNED,
            "fingerprint": EVIL,
            "family": EVIL,
            "device": EVIL,
            "dtype": EVIL,
            "torch": EVIL,
            "job": "job",
            "cell": "0",
            "created": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at)),
        },
    }
    return (
        {**found, "text": "", "complete": False, "error": EVIL, "pieces": [], "trace": []}
        if index % 4 == 3
        else found
    )


def write(folder: Path) -> tuple[list[str], Path]:
    """Fills a folder with checkpoints, extensions, saved texts, presets, settings; the program's flags and
    its data folder."""
    models, extensions, data = (folder / f"{kind} {TURNED}" for kind in ("models", "extensions", "data"))
    checkpoint(models / "checkpoints" / "storyteller")
    checkpoint(models / "checkpoints" / NAME)
    refused = llada(models / "checkpoints" / f"refused {TURNED}")
    (refused / "config.json").write_text(json.dumps({"model_type": EVIL, "architectures": [EVIL]}), "utf-8")
    for name, code in (
        (f"broken {TURNED}", "x = 1"),
        ("broken", f"raise ImportError({EVIL!r})"),
        ("hostile", EXTENSION),
    ):
        (extensions / name).mkdir(parents=True)
        (extensions / name / "__init__.py").write_text(code, "utf-8")
    (extensions / "hostile" / "languages").mkdir()
    (extensions / "hostile" / "languages" / "en.json").write_text(
        json.dumps({"extension.hostile.about": EVIL}), "utf-8"
    )
    for path in [
        *(ROOT / "extensions").glob("*/__init__.py"),
        ROOT / "tests/extensions/rehearsal/__init__.py",
    ]:
        (extensions / path.parent.name).symlink_to(path.parent)
    for index in range(8):
        made = result(index)
        day = data / "history" / made["provenance"]["created"][:10]
        day.mkdir(parents=True, exist_ok=True)
        (day / f"{made['id']}.json").write_text(json.dumps(made), "utf-8")
    (data / "presets").mkdir()
    for name in (EVIL[:80], TURNED, "plain"):
        (data / "presets" / f"{abs(hash(name))}.json").write_text(
            json.dumps({"name": name, "request": {"steps": 4}}), "utf-8"
        )
    (data / "settings.toml").write_text(f"allowed_hosts = [{json.dumps(EVIL)}]\n", "utf-8")
    return ["--models", str(models), "--built-in", str(extensions), "--threads", "1"], data
