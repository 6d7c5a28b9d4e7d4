"""Texts of requests as they were recorded: a change of the code that changes a text must say why in the changelog.

The requests are read as saved files are, so fields that were renamed since keep working. Record anew (only with a
reason): `python -m tests.denoising.test_golden`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import pytest

from tests.tiny_checkpoints import llada
from webui.application import App
from webui.service.job import Job
from webui.settings import Settings

GOLDEN = Path(__file__).with_name("golden.json")


def program(folder: Path) -> App:
    """The program with its extensions around a tiny random checkpoint, in fp32 on one thread."""
    llada(folder / "models" / "checkpoints" / "tiny", d_model=64, mlp_hidden_size=128)
    return App(
        Settings(
            models=folder / "models",
            data=folder / "data",
            model="tiny",
            device="cpu",
            dtype="float32",
            threads=1,
        )
    )


def digest(app: App, stored: dict) -> str:
    """A hash of the texts and of the order in which their positions were committed."""
    request, unknown = app.Request.read(stored)
    assert not unknown, f"fields that nothing reads any more: {unknown}"
    *_, last = app.engine.run(Job(request, app.registry.expand(request)))
    parts = last.result.parts or (last.result,)
    assert all(part.error is None and part.complete for part in parts), [part.error for part in parts]
    made = [[part.text, [change[:3] for change in part.trace]] for part in parts]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    made = program(tmp_path_factory.mktemp("golden"))
    yield made
    made.close()


@pytest.mark.parametrize("name", json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else ())
def test_a_request_still_gives_its_text(app, name):
    golden = json.loads(GOLDEN.read_text("utf-8"))[name]
    assert digest(app, golden["request"]) == golden["digest"]


def record() -> None:
    """Writes the digests of all requests of the file anew."""
    golden = json.loads(GOLDEN.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        app = program(Path(folder))
        for entry in golden.values():
            entry["digest"] = digest(app, entry["request"])
        app.close()
    GOLDEN.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(record())
