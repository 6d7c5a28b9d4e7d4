"""Which folders are checkpoints: each once, through any links, and cheap to ask for again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_checkpoints import llada, write_json
from webui.checkpoints.folders import Folders
from webui.checkpoints.loading import Checkpoints
from webui.settings import ROOT, Settings

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


def made(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        write_json(root / name / "config.json", {})


def test_a_folder_is_found_once_whatever_leads_to_it(tmp_path):
    root, outside = tmp_path / "checkpoints", tmp_path / "outside"
    made(root, "b/real", "c")
    made(outside, "one", "two")
    (root / "a").symlink_to(root / "b" / "real")  # a link to what is found without one
    (root / "d").symlink_to(outside / "one")
    (root / "e").symlink_to(outside)  # leads to "one" again, and to "two"
    (root / "f").symlink_to(root / "d")  # a link to a link
    (root / "loop").symlink_to(root)
    (root / "c" / "up").symlink_to(root / "b")
    (root / "self").symlink_to(root / "self")
    (root / "gone").symlink_to(tmp_path / "gone")
    assert list(Folders(root).find()) == ["b/real", "c", "d", "e/two"]


def test_hidden_folders_are_no_checkpoints(tmp_path):
    """A merge or a training that is being written, or was killed, has a config.json too."""
    made(tmp_path, "b", ".merging-b", ".writing-b", "a/.cache/c")
    assert list(Folders(tmp_path).find()) == ["b"]


def test_every_way_to_a_folder_is_a_name_of_it(tmp_path):
    root = tmp_path / "checkpoints"
    made(root, "real")
    (root / "linked").symlink_to(root / "real")
    folders = Folders(root)
    for name in ("linked", "real"):
        assert folders.get(name) == ("real", root / "real")
    for name in (
        "",
        ".",
        "..",
        "real/",
        "/real",
        "linked/../real",
        "../checkpoints/real",
        "no",
        "real\0",
        "x" * 5000,
    ):
        assert folders.get(name) is None, name


def test_a_checkpoint_under_a_link_stays_usable_by_that_name(tmp_path):
    llada(tmp_path / "checkpoints" / "real")
    (tmp_path / "checkpoints" / "linked").symlink_to(tmp_path / "checkpoints" / "real")
    there = Checkpoints(Settings(models=tmp_path, model="linked", device="cpu"))
    assert there.names() == ["real"] and there.entry("linked").name == there.entry(None).name == "real"


def test_names_may_be_in_any_script(tmp_path):
    names = ("猫 naïve", "👩‍👩‍👧", "a b", "'\"<b>&", "\u202eevil")
    for name in names:
        llada(tmp_path / "checkpoints" / name, n_layers=1)
    there = Checkpoints(Settings(models=tmp_path, model="猫 naïve", device="cpu"))
    assert sorted(there.names()) == sorted(names) and there.load(None).description.name == "猫 naïve"


def test_folders_that_come_and_go_are_noticed(tmp_path):
    root = tmp_path / "checkpoints"
    made(root, "one", "deep/er/two")
    folders = Folders(root)
    old = 1_600_000_000
    for folder in (root, root / "deep", root / "deep" / "er", root / "one"):
        os.utime(folder, (old, old))  # so that their listings are remembered
    assert list(folders.find()) == list(folders.find()) == ["deep/er/two", "one"]
    made(root, "deep/er/three", "new")
    assert folders.get("new") and folders.get("deep/er/three")
    assert list(folders.find()) == ["deep/er/three", "deep/er/two", "new", "one"]
    shutil.rmtree(root / "new")
    (root / "one" / "config.json").unlink()
    assert folders.get("new") is None and folders.get("one") is None
    assert list(folders.find()) == ["deep/er/three", "deep/er/two"]
    shutil.rmtree(root)
    assert list(folders.find()) == [] and folders.get("deep/er/two") is None


COUNTED = """
import sys
sys.path.insert(0, {root!r})
listed = [0]
def count(event, arguments):
    listed[0] += event == "os.scandir"
from pathlib import Path
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings
there = Checkpoints(Settings(models=Path({models!r}), model="plain", device="cpu"))
there.list()
sys.addaudithook(count)
for _ in range(64):
    there.entry("plain"), there.profile("plain"), there.hint("plain", "a cat"), there.max_length("plain")
print(listed[0])
listed[0] = 0
assert "plain" in there.names()
print(listed[0] - len(there.list()))
"""


def test_a_link_to_a_large_tree_costs_the_texts_nothing(tmp_path):
    """64 texts with `models/checkpoints/usr -> /usr` took 13 s instead of .85: each walked through all of it."""
    llada(tmp_path / "models" / "checkpoints" / "plain")
    for number in range(300):
        made(tmp_path / "large", f"{number % 20}/{number}/empty")
        (tmp_path / "large" / f"{number % 20}/{number}/empty/config.json").unlink()
    (tmp_path / "models" / "checkpoints" / "large").symlink_to(tmp_path / "large")
    for folder in [*tmp_path.rglob("*"), tmp_path]:
        if folder.is_dir():
            os.utime(folder, (1_600_000_000, 1_600_000_000))
    code = COUNTED.format(root=str(ROOT), models=str(tmp_path / "models"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    texts, listing = map(int, done.stdout.split())
    assert texts <= 64 * 4, "one folder is looked at, not the tree"
    assert listing <= 4, "what did not change is not listed again"
