"""What the documents show works: the extension of the guide, the request of the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.tiny_checkpoints import llada
from webui.application import App
from webui.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text("utf-8"), re.DOTALL)


@pytest.fixture
def app(tmp_path: Path):
    llada(tmp_path / "models" / "checkpoints" / "tiny")
    folder = tmp_path / "extensions" / "quiet"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(blocks("extensions/README.md", "python")[0], "utf-8")
    app = App(
        Settings(
            models=tmp_path / "models",
            data=tmp_path / "data",
            model="tiny",
            extensions=tmp_path / "extensions",
        )
    )
    yield app
    app.close()


def test_the_guides_extension_is_whole(app: App):
    assert not app.registry.failed
    job = app.queue.submit(
        app.Request(prompt="hi", length=16, seed=1, temperature=1.0, quiet={"strength": 20})
    )
    assert job.wait(120) and job.state == "done", job.error
    assert "!" not in job.result.text
    assert job.result.request.quiet.strength == 20


def test_the_guide_lists_every_hook_and_every_extension():
    from webui.extension.extension import HOOKS

    text = (ROOT / "extensions" / "README.md").read_text("utf-8")
    for name in (*HOOKS, *(path.parent.name for path in (ROOT / "extensions").glob("*/__init__.py"))):
        assert f"`{name}" in text, name


def test_the_readmes_request_is_valid():
    app = App(Settings())
    body = re.search(r"-d '(\{.*\})'", (ROOT / "README.md").read_text("utf-8"))
    assert body and app.Request.model_validate_json(body[1])
    assert json.loads(body[1])["guidance"]


def test_files_that_the_readme_links_to_are_there():
    for file in ("README.md", "CONTRIBUTING.md", "extensions/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / file).read_text("utf-8")):
            assert (ROOT / file).parent.joinpath(target).is_file(), f"{file}: {target}"
