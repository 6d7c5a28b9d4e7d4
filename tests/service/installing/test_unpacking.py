"""Archives of strangers: nothing leaves the folder, nothing is too large, only files are taken."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from webui.service.installing import unpacking
from webui.service.installing.unpacking import copy, unpack

OUTSIDE = {
    "up": "../outside",
    "up in the middle": "a/../../outside",
    "absolute": "/outside",
    "backslash": "a\\..\\..\\outside",
    "drive": "C:/outside",
    "stream": "a.py:b",
    "device": "aux.py",
    "dot at the end": "a/b./c",
    "blank at the end": "a /b",
    "line end": "a\nb",
    "deep": "a/" * 20 + "b",
    "long": "a" * 200,
}


def zipped(path, *names, content=b"x"):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def tarred(path, *entries):
    with tarfile.open(path, "w:gz") as archive:
        for name, changes, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in changes.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def target(tmp_path):
    (tmp_path / "inner" / "target").mkdir(parents=True)
    return tmp_path / "inner" / "target"


def all_files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, target, name, kind):
    if kind == "zip":
        archive = zipped(tmp_path / "a.zip", OUTSIDE[name])
    else:
        archive = tarred(tmp_path / "a.tar.gz", (OUTSIDE[name], {}, b"x"))
    with pytest.raises(ValueError, match="is no name that a file of an extension can have"):
        unpack(archive, target)
    assert all_files(tmp_path) == [archive.name], "nothing was written, nowhere"


LINKS = {
    "symbolic link": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "hard link": {"type": tarfile.LNKTYPE, "linkname": "../../outside"},
    "device": {"type": tarfile.CHRTYPE},
    "pipe": {"type": tarfile.FIFOTYPE},
}


@pytest.mark.parametrize("kind", LINKS)
def test_links_and_devices_are_refused(tmp_path, target, kind):
    archive = tarred(tmp_path / "a.tar.gz", ("a", LINKS[kind], b""), ("a/b", {}, b"x"))
    with pytest.raises(ValueError, match="'a' is a link or a device; an extension has only files"):
        unpack(archive, target)
    assert all_files(tmp_path) == [archive.name]


def test_links_in_zip_archives_and_folders_are_refused(tmp_path, target):
    link = zipfile.ZipInfo("a")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="link or a device"):
        unpack(tmp_path / "a.zip", target)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "out").symlink_to("/etc")
    with pytest.raises(ValueError, match="out is a link"):
        copy(tmp_path / "folder", target)
    assert all_files(target) == []


def test_what_is_too_much_is_refused(tmp_path, target, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(64 << 20))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ValueError, match="takes more than 1 MB"):
        unpack(bomb, target)
    assert sum(path.stat().st_size for path in target.rglob("*")) <= 1 << 20
    monkeypatch.setattr(unpacking, "MAX_FILES", 3)
    with pytest.raises(ValueError, match="more than 3 files"):
        unpack(zipped(tmp_path / "many.zip", *"abcd"), tmp_path)


def test_two_spellings_of_a_name_are_refused(tmp_path, target):
    with pytest.raises(ValueError, match="twice, or in two spellings"):
        unpack(zipped(tmp_path / "a.zip", "a/Code.py", "A/code.PY"), target)


def test_compiled_python_and_git_stay_out(tmp_path, target):
    names = ("a.py", "__pycache__/a.cpython-311.pyc", "b.pyc", ".git/hooks/post-checkout", "x/.git/config")
    unpack(zipped(tmp_path / "a.zip", *names), target)
    assert all_files(target) == ["a.py"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"\x1f\x8b\x08 nothing"])
def test_what_is_no_archive_is_a_sentence(tmp_path, target, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.zip (is neither|cannot be read)"):
        unpack(tmp_path / "a.zip", target)
    whole = zipped(tmp_path / "b.zip", "a", content=bytes(1000)).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:40] + b"\xff" * 9 + whole[49:])
    with pytest.raises(ValueError):
        unpack(tmp_path / "a.zip", target)
