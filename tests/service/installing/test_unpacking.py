"""Archives of strangers: nothing leaves the folder, nothing is too large, only files are taken."""

from __future__ import annotations

import gzip
import io
import random
import stat
import struct
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


def test_what_is_small_here_and_large_in_memory_is_refused(tmp_path, target):
    """Folders and headers without end, which the readers of the standard library would hold whole."""
    folder, header = tarfile.TarInfo("d"), tarfile.TarInfo("x")
    folder.type, header.type, header.size = tarfile.DIRTYPE, tarfile.XHDTYPE, 1 << 30
    archive = tmp_path / "a.tar.gz"
    for content in (folder.tobuf() * 5000, header.tobuf() + bytes(80 << 20)):
        archive.write_bytes(gzip.compress(content, 1))
        assert archive.stat().st_size < 500_000
        with pytest.raises(ValueError, match="more than 2000 files|takes more than 64 MB"):
            unpack(archive, target)
    entry = b"PK\x01\x02" + bytes(42) + b"a"
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 5000, 5000, 5000 * len(entry), 0, 0)
    (tmp_path / "a.zip").write_bytes(entry * 5000 + end)
    with pytest.raises(ValueError, match="more than 2000 files"):
        unpack(tmp_path / "a.zip", target)
    assert all_files(target) == []


@pytest.mark.parametrize("kind", ["xz", "bz2", "gz", "zip", "lzma"])
def test_a_damaged_compression_is_a_sentence(tmp_path, target, kind):
    content = random.Random(1).randbytes(50_000)
    archive = tmp_path / f"a.{kind}"
    if kind in ("zip", "lzma"):
        method = zipfile.ZIP_BZIP2 if kind == "zip" else zipfile.ZIP_LZMA
        with zipfile.ZipFile(archive, "w", method) as opened:
            opened.writestr("a", content)
    else:
        with tarfile.open(archive, f"w:{kind}") as opened:
            entry = tarfile.TarInfo("a")
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    damaged = bytearray(archive.read_bytes())
    damaged[25_000] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(ValueError, match="cannot be read|is not read here"):
        unpack(archive, target)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a/Code.py", "A/code.PY"), "twice, or in two spellings"),
        (("\xe9.py", "e\u0301.py"), "twice, or in two spellings"),
        (("a", "a/b"), "lies in what is a file"),
        (("a\u202egnp.py",), "is no name"),
    ],
)
def test_names_that_another_system_or_a_reader_takes_for_others_are_refused(tmp_path, target, names, said):
    with pytest.raises(ValueError, match=said):
        unpack(zipped(tmp_path / "a.zip", *names), target)


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
