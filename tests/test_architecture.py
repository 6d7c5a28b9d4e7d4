"""The rules of CONTRIBUTING.md that a machine can check: layers, imports, state, names, hooks, and that any
extension can be deleted."""

from __future__ import annotations

import ast
import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from webui.extension.extension import HOOKS, Extension
from webui.extension.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    0: {"webui.core", "webui.settings"},
    1: {"webui.canvas"},
    2: {"webui.extension", "webui.checkpoints"},
    3: {"webui.denoising"},
    4: {"webui.service"},
    5: {"webui.application"},
    6: {"webui.page", "webui.http", "webui.cli", "webui.testing"},
    7: {"app"},
}
HEAVY = {"torch", "transformers", "gradio"}
# Functions that cache their results: each must be pure.
CACHED = {
    "extensions.constraints.automaton._compiled": "a process of its own, and every row of a job asks",
    "extensions.constraints.automaton.after_optional": "`remembered` knows rules by identity",
    "extensions.constraints.answers.of_words": "as `remembered`",
    "extensions.constraints.haiku.counts": "the dictionary, whose file is read once",
    "extensions.constraints.rules.haiku": "`of_words` knows rules by identity",
    "extensions.constraints.rules.of_choices": "`remembered` knows rules by identity",
    "extensions.constraints.tokens.remembered": "the automaton over a checkpoint's tokens, asked for by every batch",
    "extensions.constraints.tokens.vocabulary": "a table of a vocabulary, asked for by every batch",
    "extensions.infill._allowed": "a table of a vocabulary, asked for by every batch",
    "extensions.logit_bias.bias._edges": "tables of a vocabulary, asked for by every batch",
    "extensions.logit_bias.phrases.pattern": "the expression of a list of phrases, asked for by every row",
    "extensions.soft_prompts.files._read": "files as they were at their mtimes, asked for by every row",
    "extensions.styles.files._contents": "a file as it was at an mtime, asked for by every row",
    "extensions.wildcards.files._contents": "a file as it was at an mtime, asked for by every row",
    "extensions.wildcards.files._named": "what is named in a file, asked for by every row",
    "extensions.wildcards.syntax._pairs": "the pairs of a text, asked for by each of them",
    "webui.core.syntax._compiled": "the expression of an extension's patterns, asked for by every row",
    "extensions.training.corpus._shuffled": "a permutation given by its arguments, asked for row by row",
}

EXTENSIONS = sorted(path.parent.name for path in (ROOT / "extensions").glob("*/__init__.py"))


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(name: str) -> int:
    """The layer of a module: that of the longest prefix of its name that is in the table."""
    known = {prefix: number for number, names in LAYERS.items() for prefix in names}
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (prefix := ".".join(parts[:length])) in known:
            return known[prefix]
    raise AssertionError(f"{name} is in no layer: add it to LAYERS and to docs/architecture.md")


@functools.cache
def imports(path: Path) -> list[tuple[str, str]]:
    """(module, name in it or "") of every import: at module level, within functions, for type checkers."""
    package = module(path).split(".") if path.name == "__init__.py" else module(path).split(".")[:-1]
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *filter(None, [node.module])])
            found += [(name, alias.name) for alias in node.names]
    return found


@functools.cache
def targets(path: Path) -> set[str]:
    """The modules of webui that a file imports; for `from package import name` the submodule if it is one."""
    found = set()
    for name, part in imports(path):
        if name == "webui" or name.startswith("webui."):
            place = ROOT.joinpath(*name.split("."), part) if part else ROOT
            submodule = part and (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file())
            found.add(f"{name}.{part}" if submodule else name)
    return found


# -- layers and imports --------------------------------------------------------------------------------------

# webui/__init__.py is the face for extensions; it names modules of every layer for type checkers only.
INSIDE = [path for path in sources("webui") if path != ROOT / "webui" / "__init__.py"]


def test_no_layer_imports_a_higher_one():
    faults = []
    for path in [*INSIDE, ROOT / "app.py"]:
        own, name = layer(module(path)), module(path)
        for target in sorted(targets(path)):
            if target == "webui":
                taken = {part for base, part in imports(path) if base == "webui"} - {"__version__"}
                faults += [f"{name} imports {taken} from webui, not from their module"] * bool(taken)
            elif layer(target) > own:
                faults.append(f"{name} (layer {own}) imports {target} (layer {layer(target)})")
            elif target.startswith("webui.testing") and own != layer("webui.testing"):
                faults.append(f"{name} imports {target}, which is for tests")
        tops = {base.split(".")[0] for base, _ in imports(path)} & {"extensions", "tests", "benchmarks"}
        faults += [f"{name} imports {top}" for top in tops]
    assert not faults, "\n".join(faults)


def test_no_import_circles():
    """Not between modules, and not between the packages of the tree; imports for type checkers count."""
    modules = {module(path): targets(path) - {"webui", module(path)} for path in INSIDE}
    packages: dict[str, set[str]] = {}
    for name, there in modules.items():
        package = ".".join(name.split(".")[:2])
        packages.setdefault(package, set()).update(".".join(target.split(".")[:2]) for target in there)
        packages[package].discard(package)
    for graph in (modules, packages):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail("circle: " + " imports ".join(reversed(error.args[1])))


def test_gradio_is_imported_only_by_the_page():
    users = {
        module(path)
        for path in sources("webui")
        if any(n.split(".")[0] == "gradio" for n, _ in imports(path))
    }
    assert users and all(name.startswith("webui.page") for name in users), users


def test_extensions_import_only_names_of_webui():
    import webui

    faults = []
    for path in sources("extensions"):
        own = module(path).split(".")[1]
        for name, part in imports(path):
            top, *inner = name.split(".")
            if top == "webui" and not (name == "webui" and part in webui.__all__):
                faults.append(f"{module(path)} imports {name}.{part}; only names of webui itself")
            if top in ("app", "tests", "benchmarks"):
                faults.append(f"{module(path)} imports {name}")
            if top == "extensions" and inner[:1] != [own]:
                faults.append(f"{module(path)} imports another extension, {name}")
    assert not faults, "\n".join(faults)


def test_every_public_name_exists():
    import webui

    for name in webui.__all__:
        assert getattr(webui, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        webui.nonsense  # noqa: B018


LIGHT = [
    "webui",
    *map(module, sources("webui/core", "webui/extension", "webui/service")),
    "webui.settings",
    "webui.application",
    "webui.cli.main",
    "app",
    *(f"extensions.{name}" for name in EXTENSIONS),
]
# Imports each module afresh while HEAVY cannot be found, so that no import is hidden by an earlier one or by an
# `except ImportError`, and prints "module heavy" for each heavy one that was asked for.
WATCH = f"""
import importlib, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            asked.append(name)
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Watch())
sys.path.insert(0, "")
for name in sys.argv[1:]:
    asked = []
    for known in list(sys.modules):
        if known.split(".")[0] in ("app", "webui", "extensions", name):
            del sys.modules[known]
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not asked:
            raise
    for heavy in asked:
        print(name, heavy)
"""


def heavy_imports(names: list[str], folder: Path) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *names], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_light_modules_import_nothing_heavy():
    """--help, listing and the tests of pure parts stay instant."""
    assert heavy_imports(LIGHT, ROOT) == []


def test_a_heavy_import_is_seen(tmp_path):
    (tmp_path / "plain.py").write_text("import json\n")
    (tmp_path / "direct.py").write_text("import torch\n")
    (tmp_path / "indirect.py").write_text("import direct\n")
    (tmp_path / "caught.py").write_text(
        "try:\n    from gradio import Blocks\nexcept ImportError:\n    pass\n"
    )
    found = heavy_imports(["plain", "direct", "indirect", "caught"], tmp_path)
    assert found == [["direct", "torch"], ["indirect", "torch"], ["caught", "gradio"]]


def test_the_app_is_built_without_anything_heavy(tmp_path):
    program = f"""
import sys
from webui.application import App
from webui.settings import Settings
App(Settings(data=sys.argv[1])).Request.model_json_schema()
heavy = {HEAVY!r} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- names ---------------------------------------------------------------------------------------------------


def docstrings(tree: ast.AST) -> set[ast.AST]:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, holders) and ast.get_docstring(node) is not None
    }


def words(path: Path) -> Iterator[str]:
    """Every word in a file's code: names, attributes, arguments and strings, not docstrings and comments."""
    tree = parsed(path)
    documentation = docstrings(tree)
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "module"):
            if isinstance(value := getattr(node, field, None), str):
                yield value
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
            yield node.value


COMMENTS = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.DOTALL)  # of JavaScript and CSS, not of addresses


def test_webui_names_no_extension():
    any_of = "|".join(map(re.escape, EXTENSIONS))
    pattern, faults = re.compile(rf"\b(?:{any_of})\b"), []
    for path in [*sources("webui"), ROOT / "app.py"]:
        if "testing" not in path.parts:  # crosses an extension with built-in ones; nothing else imports it
            faults += [f"{module(path)}: {word!r}" for word in words(path) if pattern.search(word)]
    # In scripts as a whole string or a part of a path: an extension's name may be an ordinary word.
    pattern = re.compile(rf"[\"'`./#](?:{any_of})[\"'`./]")
    for path in [*(ROOT / "webui").rglob("*.js"), *(ROOT / "webui").rglob("*.css")]:
        faults += [
            f"{path.name}: {word}" for word in pattern.findall(COMMENTS.sub("", path.read_text("utf-8")))
        ]
    assert not faults, "names of extensions: " + ", ".join(faults)


def test_no_module_has_a_name_that_says_nothing():
    for path in sources("webui", "extensions", "tests", "benchmarks"):
        assert not {"utils", "util", "common", "helpers", "helper", "manager", "misc", "shared"} & set(
            module(path).split(".")
        )


# -- state ---------------------------------------------------------------------------------------------------

MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MAKERS = {"list", "dict", "set", "defaultdict", "OrderedDict", "Counter", "deque", "bytearray"}
CHANGERS = {
    "append",
    "extend",
    "insert",
    "add",
    "update",
    "setdefault",
    "pop",
    "popitem",
    "remove",
    "discard",
    "clear",
    "sort",
}


def mutable(value: ast.AST | None) -> bool:
    makes = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in MAKERS
    return isinstance(value, MUTABLE) or makes


def assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST | None]]:
    for node in body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        yield from ((target.id, node.value) for target in targets if isinstance(target, ast.Name))


def changes(tree: ast.AST) -> Iterator[str]:
    """Names that the code changes: by an item, by a method that changes its object, by += and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            yield ast.unparse(node.value)
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGERS
        ):
            yield ast.unparse(node.func.value)
        elif isinstance(node, ast.AugAssign):
            yield ast.unparse(node.target)


def shared_state(path: Path) -> Iterator[str]:
    """What of a module can be changed and outlives a call."""
    tree = parsed(path)
    for name, value in assigned(tree.body):
        if mutable(value) and not name.isupper() and name != "__all__":
            yield f"{name} at module level can be changed: make it a constant"
    changed = {name.split(".")[-1] for name in changes(tree)}
    yield from (f"{name} is changed" for name in sorted(changed) if name.isupper() and len(name) > 1)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {node.names}"
        if isinstance(node, ast.ClassDef):
            for name, value in assigned(node.body):
                if mutable(value) and not name.isupper():
                    yield f"{node.name}.{name} is one object for all instances"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            defaults = [*node.args.defaults, *(value for value in node.args.kw_defaults if value)]
            if any(map(mutable, defaults)):
                yield f"{node.name} has a default that can be changed"
            caches = [d for d in node.decorator_list if re.search(r"\b(lru_)?cache\b", ast.unparse(d))]
            if caches and f"{module(path)}.{node.name}" not in CACHED:
                yield f"{node.name} caches its results"


def test_no_module_holds_state():
    """Module level has constants: names in capitals that nobody changes. No `global`, and nothing shared
    between objects."""
    paths = sources("webui", "extensions")
    faults = [f"{module(path)}: {fault}" for path in paths for fault in shared_state(path)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "code",
    [
        "names = []",
        "LIST = ()\ndef f(): LIST.append(1)",
        "COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1",
        "class A:\n    seen = {}",
        "def f(a, seen=[]): ...",
        "@functools.cache\ndef f(): ...",
    ],
)
def test_state_is_seen(code, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "code.py"
    path.write_text(code)
    assert list(shared_state(path))


def test_importing_does_no_work():
    """Module level has imports, definitions, constants and guards."""
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    quiet: tuple = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, *definitions)
    if hasattr(ast, "TypeAlias"):
        quiet = (*quiet, ast.TypeAlias)
    faults = []
    for path in sources("webui", "extensions"):
        for node in parsed(path).body:
            if isinstance(node, ast.If):
                fine = ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
            else:
                text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                fine = text or isinstance(node, quiet)
            if not fine:
                faults.append(f"{module(path)}, line {node.lineno}")
    assert not faults, "\n".join(faults)


# -- hooks ---------------------------------------------------------------------------------------------------


def test_every_hook_is_documented_and_has_a_user():
    folders = (ROOT / "extensions", ROOT / "tests" / "extensions")
    kinds = {name: kind for folder in folders for name, kind in Registry(folder).extensions.items()}
    for hook in HOOKS:
        text = getattr(Extension, hook).__doc__
        assert text and len(text) > 40, hook
        users = {name for name, kind in kinds.items() if kind.has(hook)}
        assert users, f"no extension uses {hook}: hooks without a user do not exist"
        named = re.search(r"Used by: ([a-z_, ]+)", text)
        if named:
            unknown = set(re.findall(r"[a-z_]+", named[1])) & set(EXTENSIONS) - users
            assert not unknown, f"the docstring of {hook} names {unknown}, which do not have it"


def test_every_public_method_of_an_extension_is_documented():
    for name, value in vars(Extension).items():
        function = getattr(value, "__func__", value)
        if callable(function) and not name.startswith("_") and not isinstance(value, type):
            assert function.__doc__, f"Extension.{name} has no docstring"


def test_an_unknown_public_method_is_refused():
    with pytest.raises(TypeError, match="denoize is not a hook"):
        type("Typo", (Extension,), {"denoize": lambda self, canvas, model: None})


def test_every_extension_loads():
    registry = Registry(ROOT / "extensions")
    assert not registry.failed, "\n".join(registry.failed.values())
    assert sorted(registry.extensions) == EXTENSIONS
    for name, kind in registry.extensions.items():
        assert kind.title and len(kind.about) > 20, name
        for option, info in kind.Options.model_fields.items():
            assert info.title and info.description, f"{name}.{option} has no label or help"


# -- an extension is a folder you can delete -----------------------------------------------------------------

# Imports all but the extensions once; then builds the program without each of them, in a process of its own.
CHECK = """
import os, sys, traceback
sys.path.insert(0, os.getcwd())
from webui.cli import flags
from webui.http import api
from webui.application import App
from webui.settings import ROOT, Settings

def check(gone):
    assert str(ROOT) == os.path.realpath(os.getcwd()), ROOT
    app = App(Settings(data="data"))
    assert not app.registry.failed, app.registry.failed
    assert gone not in app.registry.extensions and gone not in app.Request.model_fields
    assert gone not in app.Request.model_json_schema()["properties"]
    assert api.build(app).routes
    assert flags.parse(app, ["generate", "a"]).prompt == "a"
    app.close()
    print("built without", gone, flush=True)

assert not [name for name in sys.modules if name.startswith("extensions")]
for gone in sys.argv[1:]:
    os.rename(f"extensions/{gone}", "gone")
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        try:
            check(gone)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.rename("gone", f"extensions/{gone}")
"""


def test_any_extension_can_be_deleted(tmp_path):
    """A copy of the program without one folder builds its App, its API and its commands; for each of them."""
    for name in ("app.py", "webui", "extensions"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *EXTENSIONS], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    built = done.stdout.splitlines()
    assert built == [f"built without {name}" for name in EXTENSIONS], done.stderr
