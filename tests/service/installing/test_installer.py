"""Adding, updating, going back, pinning and removing; and what the manifest and pip may refuse."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest

from tests.third_party.repository import commit, extension
from webui.core.errors import Busy, NotFound
from webui.extension.manifest import Manifest
from webui.service.installing import packages
from webui.service.installing.installer import Installer
from webui.service.installing.lock import FILE, Lock


@pytest.fixture
def installer(tmp_path):
    return Installer(tmp_path / "data", "0.1.0", ["infill"])


def names(installer):
    return {name: one.current.version for name, one in installer.lock().extensions.items()}


def test_from_a_repository_added_updated_and_gone_back(tmp_path, installer):
    folder = extension(tmp_path / "repository", version="0.1.0")
    first = commit(folder)
    plan = installer.look(str(folder))
    assert (plan.name, plan.revision, plan.manifest.licence, plan.instead) == ("letters", first, "MIT", None)
    assert names(installer) == {}, "nothing is there before someone agreed"
    installer.add(plan.id)
    (found,) = installer.lock().found()
    assert found.folder == tmp_path / "data" / "extensions" / "letters" / first and found.revision == first
    assert sorted(path.name for path in found.folder.iterdir()) == ["__init__.py", "extension.toml"]
    assert installer.update("letters") is None
    second = commit(extension(folder, version="0.2.0"))
    plan = installer.update("letters")
    assert plan is not None and plan.instead is not None and plan.instead.current.version == "0.1.0"
    installer.add(plan.id)
    assert installer.lock().found()[0].revision == second
    back = installer.back("letters")
    assert back.current.revision == first and back.pinned
    assert installer.lock().found()[0].folder.name == first and installer.lock().found()[0].folder.is_dir()
    with pytest.raises(ValueError, match="letters is pinned to"):
        installer.update("letters")
    installer.change("letters", pinned=False)
    installer.add(installer.update("letters").id)
    assert names(installer) == {"letters": "0.2.0"}
    pinned = installer.add(installer.pin_plan("letters", first).id)
    assert pinned.pinned and pinned.current.revision == first
    installer.change("letters", enabled=False)
    assert installer.lock().found() == [] and names(installer) == {"letters": "0.1.0"}
    installer.remove("letters")
    assert names(installer) == {} and not (tmp_path / "data" / "extensions" / "letters").exists()
    assert not list((tmp_path / "data" / "extensions" / ".staged").iterdir())


def test_only_versions_that_can_be_gone_back_to_are_kept(tmp_path, installer):
    folder = tmp_path / "repository"
    for number in range(6):
        commit(extension(folder, version=f"0.{number}.0"))
        installer.add(installer.look(str(folder)).id)
    assert len(list((tmp_path / "data" / "extensions" / "letters").iterdir())) == 4


def test_from_an_archive_with_one_folder_and_from_a_folder(tmp_path, installer):
    folder = extension(tmp_path / "letters-main")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"letters-main/{path.name}")
    from_archive = installer.look(str(tmp_path / "a.zip"))
    from_folder = installer.look(str(folder))
    assert from_archive.source.kind == "archive" and from_folder.source.kind == "folder"
    installer.add(from_archive.id)
    assert (installer.lock().found()[0].folder / "__init__.py").is_file()
    with pytest.raises(ValueError, match="has changed meanwhile; look at it again"):
        installer.add(from_folder.id)
    assert "another place" in installer.look(str(folder)).notes[0]


REFUSED = {
    "no manifest": ({"extension.toml": None}, "There is no extension.toml, so this is no extension"),
    "no code": ({"__init__.py": None}, "There is no __init__.py"),
    "no name": ({"extension.toml": 'version = "1"'}, "is no identifier"),
    "a path as name": ({"extension.toml": 'name = "../x"'}, "is no identifier"),
    "a field of the request": ({"extension.toml": 'name = "prompt"'}, "the request has something of that name"),
    "a built-in one": ({"extension.toml": 'name = "infill"'}, "There is an extension infill already"),
    "another program": ({"extension.toml": 'name = "a"\nneeds = "webui>=0.2"'}, "It needs webui>=0.2, and this is webui 0.1.0"),
    "needs nonsense": ({"extension.toml": 'name = "a"\nneeds = "webui"'}, "is not of the form"),
    "an unknown field": ({"extension.toml": 'name = "a"\nlicense = "MIT"'}, "There is no field 'license'"),
    "a built-in one in capitals": ({"extension.toml": 'name = "Infill"'}, "There is an extension infill already"),
    "nested values": ({"extension.toml": 'name = "a"\nx = ' + "[" * 3000 + "]" * 3000}, "is nested too deeply"),
    "a key without end": ({"extension.toml": ".".join(["a"] * 20_000) + " = 1"}, "is nested too deeply"),
    "no TOML": ({"extension.toml": "name = "}, "is not valid TOML"),
    "a script as home": ({"extension.toml": 'name = "a"\nhome = "javascript:alert(1)"'}, "home: "),
    "a licence that turns": ({"extension.toml": 'name = "a"\nlicence = "\u202eTIM"'}, "cannot be shown"),
    "a requirement with an option": (
        {"extension.toml": 'name = "a"\nrequirements = ["--index-url=http://evil"]'}, "is no package name"),
    "a requirement from an address": (
        {"extension.toml": 'name = "a"\nrequirements = ["x @ https://evil/x.whl"]'}, "is no package name"),
    "a requirement from a file": ({"extension.toml": 'name = "a"\nrequirements = ["./x"]'}, "is no package name"),
    "a file that nobody reads": ({"__init__.py": "#" * (3 << 20)}, "__init__.py has more than 2 MB."),
    "nested without end": ({"__init__.py": "(" * 100_000}, "is no Python"),
    "no Python": ({"__init__.py": "def ("}, "__init__.py, line 1 is no Python"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_added_is_a_sentence(tmp_path, installer, fault):
    files, sentence = REFUSED[fault]
    folder = extension(tmp_path / "a")
    for name, text in files.items():
        (folder / name).unlink()
        if text is not None:
            (folder / name).write_text(text, "utf-8")
    with pytest.raises(ValueError) as refused:
        installer.look(str(folder))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
    assert not list((tmp_path / "data" / "extensions" / ".staged").iterdir()) and names(installer) == {}


def test_looking_runs_no_code(tmp_path, installer):
    folder = extension(tmp_path / "a")
    ran = tmp_path / "ran"
    for name in ("__init__.py", "setup.py", "conftest.py", "sitecustomize.py"):
        (folder / name).write_text(f"open({str(ran)!r}, 'w')\n")
    plan = installer.look(str(folder))
    installer.add(plan.id)
    assert not ran.exists()


def test_plans_are_forgotten(tmp_path, installer):
    folder = extension(tmp_path / "a")
    plans = [installer.look(str(folder)) for _ in range(6)]
    for plan_id in (plans[0].id, "nonsense", ""):
        with pytest.raises(NotFound, match="no longer there"):
            installer.add(plan_id)
    installer.cancel(plans[1].id)
    with pytest.raises(NotFound):
        installer.add(plans[1].id)
    assert len(list((tmp_path / "data" / "extensions" / ".staged").iterdir())) == 4
    with installer._alone(), pytest.raises(Busy):
        installer.look(str(folder))
    with pytest.raises(NotFound, match="No installed extension is called nothing"):
        installer.remove("nothing")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"extensions": {"a": {}}}', '{"extensions": {"a": {"kind": "git", "address": "", "current": '
     '{"revision": "../../x", "version": "1"}}}}'],
)  # fmt: skip
def test_a_damaged_lock_file_is_a_sentence_and_is_never_overwritten(tmp_path, installer, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE).write_text(text)
    with pytest.raises(ValueError, match=r"extensions\.lock is damaged"):
        installer.look(str(extension(tmp_path / "a")))
    assert (tmp_path / "data" / FILE).read_text() == text


def test_versions_of_the_program():
    for needs, good in {
        "": True, "webui>=0.1,<0.2": True, "webui>=0.1.0": True, "webui==0.1": True, "webui~=0.1.0": True,
        "webui>=0.2": False, "webui<0.1": False, "webui!=0.1.0": False, "webui>0.1": False, "webui~=1.0": False,
    }.items():  # fmt: skip
        assert (Manifest(needs=needs).refusal("0.1.0") == "") is good, needs


# -- packages ------------------------------------------------------------------------------------------------


def wheel(folder, name, version, needs=""):
    """A package that can be installed."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + (f"Requires-Dist: {needs}\n" if needs else ""),
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def python(tmp_path):
    """A Python environment of the test's own that sees the packages of this one."""
    place = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (site / "outer.pth").write_text("\n".join(paths) + "\n")
    return str(place / "bin" / "python")


def test_packages_are_tried_first_and_none_that_is_there_may_change(tmp_path, index, python, installer):
    wheel(index, "tdw_rhymes", "1.2", "tdw_sounds>=2")
    wheel(index, "tdw_sounds", "2.5")
    wheel(index, "tdw_other", "1.0", "numpy==9.9")
    wheel(index, "numpy", "9.9")
    wanted = packages.tried(["tdw_rhymes>=1"], python)
    assert {packages.plain(name): version for name, version in wanted.items()} == {
        "tdw-rhymes": "1.2",
        "tdw-sounds": "2.5",
    }
    code = "import tdw_rhymes, tdw_sounds; print(tdw_rhymes.VERSION, tdw_sounds.VERSION)"
    assert subprocess.run([python, "-c", code], capture_output=True).returncode, "nothing was installed"
    packages.install(wanted, python)
    assert subprocess.run([python, "-c", code], capture_output=True, text=True).stdout == "1.2 2.5\n"
    with pytest.raises(ValueError, match=r"would change numpy from [\d.]+ to 9\.9"):
        packages.tried(["tdw_other"], python)


def test_requirements_stand_in_the_plan(tmp_path, installer, monkeypatch):
    monkeypatch.setattr(packages, "tried", lambda requirements: {"tdw-rhymes": "1.2"})
    done = []
    monkeypatch.setattr(packages, "install", done.append)
    folder = extension(tmp_path / "a", more='requirements = ["tdw-rhymes>=1"]\n')
    plan = installer.look(str(folder))
    assert (
        plan.manifest.requirements == ("tdw-rhymes>=1",)
        and plan.packages == {"tdw-rhymes": "1.2"}
        and not done
    )
    installer.add(plan.id)
    assert done == [{"tdw-rhymes": "1.2"}]
    assert Lock.read(tmp_path / "data").extensions["letters"].packages == {"tdw-rhymes": "1.2"}
    assert json.loads((tmp_path / "data" / FILE).read_text())["extensions"]["letters"]["packages"]
