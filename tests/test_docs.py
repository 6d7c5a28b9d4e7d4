"""What the documents show works: every example of the guide runs, README and API requests are valid, links
lead somewhere."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import dataclass, field
from inspect import getattr_static
from pathlib import Path

import pytest

from tests.tiny_checkpoints import llada
from webui.application import App
from webui.cli.main import main
from webui.extension.extension import HOOKS, Extension
from webui.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "extending.md"
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "extensions/README.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
HEADER = re.compile(r"# extensions/(\w+)/__init__\.py\n")
FILE = re.compile(r"(?://|/\*) (extensions/\w+/static/[\w./]+)(?: \*/)?\n")


@dataclass
class Example:
    """An extension of the guide and the blocks after it: requests, commands, and what holds afterwards."""

    name: str
    source: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def hooks(self) -> set[str]:
        """The hooks that the example's class defines."""
        tree = ast.parse(self.source)
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        names = {getattr(node, "name", None) for kind in classes for node in kind.body}
        return names & set(HOOKS)


def examples() -> list[Example]:
    found: list[Example] = []
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S):
        if language == "python" and (header := HEADER.match(text)):
            found.append(Example(header[1], text))
        else:
            assert found, "a block before the first extension"
            found[-1].steps.append((language, text))
    return found


@dataclass
class Place:
    """A models folder with one tiny checkpoint, an extensions folder, a data folder."""

    folder: Path

    @property
    def flags(self) -> list[str]:
        names = {"models": "models", "built-in": "extensions", "data": "data"}
        return [
            "--model",
            "tiny",
            *(word for flag, name in names.items() for word in (f"--{flag}", str(self.folder / name))),
        ]

    def app(self) -> App:
        models, built_in, data = (self.folder / name for name in ("models", "extensions", "data"))
        return App(Settings(model="tiny", models=models, built_in=built_in, data=data))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    llada(tmp_path / "models" / "checkpoints" / "tiny")
    return Place(tmp_path)


def watched(kind: type[Extension], hooks: set[str]) -> set[str]:
    """A set that gets the name of each of these hooks as it is called."""
    called: set[str] = set()

    def watch(name: str):
        value = getattr_static(kind, name)
        inner = getattr(value, "__func__", value)

        def hook(*arguments, **keywords):
            called.add(name)
            return inner(*arguments, **keywords)

        setattr(kind, name, classmethod(hook) if isinstance(value, classmethod) else hook)

    for name in hooks:
        watch(name)
    return called


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example_of_the_guide_runs(example: Example, place: Place, capsys):
    path = place.folder / "extensions" / example.name / "__init__.py"
    path.parent.mkdir(parents=True)
    path.write_text(example.source, "utf-8")
    for _, text in example.steps:
        if file := FILE.match(text):
            (place.folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
            (place.folder / file[1]).write_text(text, "utf-8")
    app = place.app()
    try:
        assert not app.registry.failed, app.registry.failed
        called = watched(app.registry.extensions[example.name], example.hooks())
        names = {"app": app, "folder": path.parent}
        for language, text in example.steps:
            if language == "json":
                job = app.queue.submit(app.Request.model_validate_json(text))
                assert job.wait(120) and job.state == "done", job.error
                names |= {"job": job, "result": job.result}
            elif language == "python":
                exec(text, names)
            elif language == "console":
                command, _, output = text.removeprefix("$ python app.py ").partition("\n")
                assert main([*place.flags, *shlex.split(command)]) == 0
                assert capsys.readouterr().out == output
                called |= example.hooks() & {"commands"}  # it ran, in an App of its own
            elif language == "toml":
                from webui.extension.manifest import Manifest

                (place.folder / "extension.toml").write_text(text, "utf-8")
                assert Manifest.read(place.folder).version == "0.1.0"
            else:
                assert FILE.match(text), f"nothing reads this block: {text[:40]}"
    finally:
        app.close()
    assert example.steps, "nothing uses the example"
    assert called == example.hooks(), f"never called: {example.hooks() - called}"


@pytest.mark.parametrize("hook", HOOKS)
def test_the_guide_has_an_example_for_each_hook(hook):
    assert f"`{hook}(" in GUIDE.read_text("utf-8"), "the guide does not explain it"
    assert [example for example in examples() if hook in example.hooks()], "the guide has no example of it"


def test_the_table_of_extensions_is_complete():
    text = (ROOT / "extensions" / "README.md").read_text("utf-8")
    named = re.findall(r"^\| `(\w+)` \|", text, re.M)
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "extensions").glob("*/__init__.py"))


def test_requests_in_the_documents_are_valid():
    app = App(Settings())
    bodies = [body for path in DOCUMENTS for body in re.findall(r"-d '(\{.*?\})'", path.read_text("utf-8"))]
    assert len(bodies) > 1
    for body in bodies:
        if "request" in (sent := json.loads(body)):  # of a call about prompts, whose field it names
            found, failed = app.prompts.marks(sent["request"], sent["field"])
            assert found and not failed
            body = json.dumps(sent["request"])
        assert app.Request.model_validate_json(body)
        assert not app.Request.model_validate_json(body).unknown
        assert json.loads(body).get("prompt")


def test_links_in_the_documents_lead_to_files():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
            assert path.parent.joinpath(target).exists(), f"{path.name}: {target}"


def test_paths_in_the_documents_exist():
    """Files and folders of the program that are named in backticks."""
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for name in re.findall(r"`((?:webui|tests|docs|benchmarks|\.ci|\.github)/[\w./-]*)`", text):
            assert (ROOT / name).exists(), f"{path.name}: {name}"
