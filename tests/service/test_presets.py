"""Named presets: what was given is kept, nothing else, whatever the name."""

from __future__ import annotations

import json
import resource
import threading

import pytest

from webui.core.request import Request
from webui.extension.registry import Registry
from webui.service.presets import MAX_NAME, Presets
from webui.settings import ROOT


@pytest.fixture(scope="module")
def composed() -> type[Request]:
    return Registry(ROOT / "extensions").Request


@pytest.fixture
def presets(tmp_path, composed) -> Presets:
    return Presets(tmp_path / "presets", composed)


def test_only_what_it_sets_is_kept(presets):
    fields = {
        "steps": 12,
        "temperature": None,
        "guidance": {"scale": 2.5},
        "lost": {"x": [1]},
        "infill": {"gone": True},
    }
    assert presets.put("Night", fields) == {"name": "Night", "request": fields}
    assert presets.all() == [{"name": "Night", "request": fields}]
    presets.put("Night", {"steps": 3})
    assert presets.all() == [{"name": "Night", "request": {"steps": 3}}]
    assert presets.put("Empty", {}) == {"name": "Empty", "request": {}}
    assert presets.delete("Night") and not presets.delete("Night") and len(presets.all()) == 1


def test_the_longest_texts_fit(presets):
    long = "\U0001f409" * 100_000
    fields = {"prompt": long, "system": long, "guidance": {"scale": 2.0, "negative_prompt": long[:60_000]}}
    presets.put("Long", fields)
    assert presets.all() == [{"name": "Long", "request": fields}]


NAMES = [
    "a",
    "A",
    "Älpler 猫",
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "nul",
    "CON",
    ".",
    "..",
    "%2e",
    "a/b",
    "a\\b",
    "x" * MAX_NAME,
    "<script>alert(1)</script>",
    "'; --",
    "\u202eevil",
    "🦊",
    "a*?",
    "~",
    "-rf",
]


def test_any_name_is_a_file_of_its_own_in_the_folder(presets, tmp_path):
    for number, name in enumerate(NAMES):
        presets.put(name, {"steps": number + 1})
    assert {told["name"]: told["request"]["steps"] for told in presets.all()} == {
        name: k + 1 for k, name in enumerate(NAMES)
    }
    files = list((tmp_path / "presets").iterdir())
    assert len({file.name.lower() for file in files}) == len(NAMES) and [*tmp_path.iterdir()] == [
        tmp_path / "presets"
    ]
    assert all(file.name.isascii() and len(file.name) < 80 for file in files)
    assert all(presets.delete(name) for name in NAMES) and presets.all() == []


@pytest.mark.parametrize(
    "name", ["", " ", " a", "a ", "a\nb", "\x00", "\udc00", "x" * (MAX_NAME + 1), "\u2028"], ids=repr
)
def test_names_that_are_none(presets, name):
    with pytest.raises(ValueError, match="A preset's name is"):
        presets.put(name, {})
    assert presets.all() == [] and not presets.delete(name)


@pytest.mark.parametrize(
    "fields",
    [{"steps": 0}, {"steps": "x"}, {"guidance": {"scale": -1}}, {"prompt": "\udc00"}],
    ids=repr,
)
def test_what_no_request_may_hold_is_no_preset(presets, fields):
    presets.put("a", {"steps": 5})
    with pytest.raises(ValueError, match=r"^\w+(\.\w+)?: "):
        presets.put("a", fields)
    assert presets.all() == [{"name": "a", "request": {"steps": 5}}]


def test_files_of_others(presets, tmp_path):
    """Put here by hand, under any file name; what is no preset is passed over and left alone."""
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "from a friend.json").write_text(json.dumps({"name": "Friend", "request": {"steps": 4}}))
    for name, content in {
        "a": "{",
        "b": "[]",
        "c": '{"name": 1, "request": {}}',
        "d": '{"name": "x", "request": {"steps": -1}}',
    }.items():
        (folder / f"{name}.json").write_text(content)
    (folder / "deep.json").write_text("[" * 100_000)
    assert presets.all() == [{"name": "Friend", "request": {"steps": 4}}]
    presets.put("Friend", {"steps": 5})
    assert (
        json.loads((folder / "from a friend.json").read_text())["request"] == {"steps": 5}
        and len([*folder.iterdir()]) == 6
    )


def test_a_full_disk_keeps_the_old_one(presets, tmp_path):
    presets.put("a", {"steps": 5})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError):
            presets.put("a", {"steps": 6})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (
        presets.all() == [{"name": "a", "request": {"steps": 5}}]
        and len([*(tmp_path / "presets").iterdir()]) == 1
    )


def test_several_at_once(presets):
    threads = [
        threading.Thread(target=lambda k=k: presets.put(f"p{k % 3}", {"steps": k + 1})) for k in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [told["name"] for told in presets.all()] == ["p0", "p1", "p2"]


def test_a_file_with_a_byte_order_mark_is_a_preset(presets, tmp_path):
    presets.put("mine", {"steps": 4})
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert presets.all() == [{"name": "mine", "request": {"steps": 4}}]
