"""The command `extensions`: what it shows before it adds, and the template of a new one."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.third_party.repository import commit, extension
from webui.cli.main import main

RIGHTS = "Its code will run with your rights"


@pytest.fixture
def run(tmp_path, capsys):
    def run(*arguments: str, status: int = 0) -> str:
        base = [
            "--data",
            str(tmp_path / "data"),
            "--built-in",
            str(tmp_path / "none"),
            "--models",
            str(tmp_path),
        ]
        given = main([*base, "extensions", *arguments])
        out, err = capsys.readouterr()
        assert given == status, err
        return out + err

    return run


def test_one_is_added_listed_pinned_updated_and_removed(tmp_path, run):
    folder = extension(tmp_path / "repository", version="0.1.0")
    first = commit(folder)
    told = run("add", str(folder), status=2)
    assert RIGHTS in told and first in told and "MIT" in told and "Nobody can be asked here" in told
    assert "letters" not in run("list")
    assert f"letters 0.1.0 ({first[:12]}) is there." in run("add", str(folder), "--yes")
    assert re.search(rf"letters +0\.1\.0 \({first[:12]}\) +file://.*repository +loaded", run("list"))
    assert run("update") == "letters is up to date.\n"
    assert "is pinned" in run("pin", "letters") and "loaded, pinned" in run("list")
    second = commit(extension(folder, version="0.2.0"))
    assert "is pinned to" in run("update", "letters", status=2)
    run("pin", "letters", "--release")
    assert f"0.2.0, instead of 0.1.0 ({first[:12]})" in run("update", "letters", "--yes")
    assert f"0.1.0 ({first[:12]}) again, and pinned" in run("update", "letters", "--back")
    assert f"letters 0.2.0 ({second[:12]}) is there." in run("pin", "letters", second, "--yes")
    run("disable", "letters")
    assert "disabled" in run("list") and "No extension has a hook finish" in run("order", "finish", status=2)
    run("enable", "letters")
    assert run("order", "finish").splitlines()[1] == "finish  letters"
    run("remove", "letters")
    assert "letters" not in run("list")
    assert "no .zip or .tar archive" in run("add", "nothing", status=2)


def test_a_new_extension_passes_its_test_at_once(tmp_path, run):
    place = tmp_path / "mine"
    told = run("new", "rhymes", "--in", str(place))
    assert str(place / "rhymes") in told
    assert "is there already" in run("new", "rhymes", "--in", str(place), status=2)
    assert "is no identifier, rename the folder to haiku_lines" in run("new", "haiku-lines", status=2)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error::DeprecationWarning:rhymes",
    ]
    done = subprocess.run([*command, str(place / "rhymes")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    run("add", str(place / "rhymes"), "--yes")
    assert "rhymes" in run("list")


def test_what_did_not_load_is_told_and_can_be_removed(tmp_path, run, capsys):
    folder = extension(tmp_path / "repository")
    (folder / "__init__.py").write_text("1 / 0\n")
    run("add", str(folder), "--yes")
    assert "not loaded" in run("list")
    base = ["--data", str(tmp_path / "data"), "--built-in", str(tmp_path / "none"), "--models", str(tmp_path)]
    sentence = "Extensions that did not load: letters (ZeroDivisionError: division by zero)"
    with pytest.raises(SystemExit):
        main([*base, "--help"])
    assert sentence in " ".join(capsys.readouterr().out.split())
    assert main([*base, "generate", "a"]) == 2
    assert sentence in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*base, "--safe-mode", "--help"])
    assert "did not load" not in capsys.readouterr().out
    run("remove", "letters")
    assert "letters" not in run("list")
