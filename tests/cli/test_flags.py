"""Flags and commands of extensions beside those of the program: a clash leaves out the extension, nothing else."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Commands
from webui.extension.registry import Registry

OPTION = """
from webui import Extension, Options, field
class Kind(Extension):
    "For this test."
    class Options(Options):
        {name}: {type} = field({default}, label="x", help="x")
"""
COMMAND = """
import sys
from webui import Command, Extension
class Kind(Extension):
    "For this test."
    @classmethod
    def commands(cls):
        {body}
"""
BAD = {
    "an option with a field's flag": ("top", OPTION.format(name="k", type="int", default=0), "--top-k"),
    "an option with a setting's flag": (
        "keep",
        OPTION.format(name="jobs", type="str", default='""'),
        "--keep-jobs",
    ),
    "a switch that turns a setting off": (
        "no",
        OPTION.format(name="keep_jobs", type="str", default='""'),
        "--no-keep-jobs",
    ),
    "a command of the program": (
        "mine",
        COMMAND.format(body='return {"serve": Command("x", print)}'),
        "serve",
    ),
    "commands that raise": ("mine", COMMAND.format(body='raise RuntimeError("no commands")'), "no commands"),
    "commands that leave": ("mine", COMMAND.format(body="sys.exit(3)"), "SystemExit"),
    "a module that leaves": ("mine", "import sys\nsys.exit(3)\n", "SystemExit"),
}


@pytest.mark.parametrize("name, source, word", BAD.values(), ids=BAD)
def test_a_clash_leaves_out_the_extension_and_says_why(tmp_path, name, source, word):
    for folder, text in (("fine", OPTION.format(name="k", type="int", default=0)), (name, source)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(text)
    registry = Registry(tmp_path)
    assert set(registry.extensions) == {"fine"} and word in registry.failed[name]


def test_two_extensions_with_one_flag_leave_one(tmp_path):
    for folder, option in (("a", "b_c"), ("a_b", "c")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(OPTION.format(name=option, type="int", default=0))
    registry = Registry(tmp_path)
    assert set(registry.extensions) == {"a"} and "--a-b-c" in registry.failed["a_b"]


@pytest.mark.process
def test_every_command_still_runs(commands: Commands, tmp_path):
    for folder, source in (
        ("top", BAD["an option with a field's flag"][1]),
        ("mine", COMMAND.format(body='return {"mine": Command("x", print, lambda parser: 1 / 0)}')),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(source)
    flags = ("--built-in", str(tmp_path))
    ran = commands.run(*flags, "generate", "a", "--length", "4", "--top-k", "3", "--template", "raw")
    assert ran.status == 0 and ran.out, ran
    assert commands.run(*flags, "--help").status == 0
