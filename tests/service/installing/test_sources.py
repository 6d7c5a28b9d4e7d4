"""Addresses of strangers: git gets no options, no other programs, no passwords; nothing of a repository runs."""

from __future__ import annotations

import os

import pytest

from tests.third_party.repository import commit, extension, git
from webui.service.installing import sources
from webui.service.installing.sources import Source, fetch

HOSTILE = [
    "--upload-pack=touch owned",
    "-u",
    "ext::sh -c touch% owned",
    "fd::17",
    "https://example.org/a::b.git?x=1",
    "ssh://-oProxyCommand=touch owned/a",
    "ssh://-oProxyCommand=x@example.org/a",
    "-oProxyCommand=x@example.org:a",
    "git@-oProxyCommand=x:a",
    "http://example.org/a.git",
    "git://example.org/a.git",
    "ftp://example.org/a",
    "javascript://example.org/a",
    "file://example.org/etc",
    "https://user:secret@example.org/a.git",
    "https://token@example.org/a.git",
    "https://example.org/a.git#--upload-pack=x",
    "https://[::1/a.git",
    "https:///a.git",
    "https://exa mple.org/a\n",
    "https://example.org/\u202egit",
    "",
    "nowhere",
]
REFS = ["--upload-pack=x", "-x", "a..b", "a b", "refs/../x", "a\n", "a:b", "+a:b", "x.lock", "^a", "@{1}"]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_address_that_could_do_something_else_is_refused(text):
    with pytest.raises(ValueError) as refused:
        Source.of(text)
    assert "secret" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("ref", REFS)
def test_what_is_no_ref_is_refused(ref):
    with pytest.raises(ValueError, match="is no branch, tag or commit"):
        Source.of("https://example.org/a.git", ref)


def test_addresses_that_git_knows(tmp_path):
    for text in ("https://example.org/a.git", "ssh://git@example.org:22/a", "git@example.org:me/a.git"):
        assert Source.of(text, "v1.0") == Source("git", text, "v1.0")
    folder = extension(tmp_path / "a")
    assert Source.of(str(folder)) == Source("folder", str(folder))
    with pytest.raises(ValueError, match="Only a git repository"):
        Source.of(str(folder), "main")
    commit(folder)
    assert Source.of(str(folder)) == Source("git", folder.as_uri())


def test_a_commit_a_tag_and_a_branch_are_fetched(tmp_path):
    folder = extension(tmp_path / "a", version="0.1.0")
    first = commit(folder, tag="v0.1.0")
    second = commit(extension(folder, version="0.2.0"))
    for number, (ref, expected) in enumerate(
        {"": second, "main": second, "v0.1.0": first, first: first, second: second}.items()
    ):
        target = tmp_path / f"target{number}"
        target.mkdir()
        assert fetch(Source.of(str(folder), ref), target) == expected
        assert sorted(path.name for path in target.iterdir()) == ["__init__.py", "extension.toml"]
    with pytest.raises(ValueError, match="^Git: fatal: couldn't find remote ref nothing"):
        fetch(Source.of(str(folder), "nothing"), tmp_path)


def test_nothing_of_a_repository_runs_and_its_links_are_refused(tmp_path, monkeypatch):
    folder = extension(tmp_path / "a")
    ran = tmp_path / "ran"
    (folder / ".gitattributes").write_text("* filter=evil\n")
    (folder / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% ran\n')
    commit(folder)
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[filter "evil"]\n\tsmudge = touch {ran}\n\tclean = touch {ran}\n[core]\n\thooksPath = {tmp_path}\n'
    )
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (tmp_path / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (tmp_path / hook).chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {ran}")
    monkeypatch.setenv("HOME", str(tmp_path))
    os.rename(config, tmp_path / ".gitconfig")
    (tmp_path / "target").mkdir()
    fetch(Source.of(str(folder)), tmp_path / "target")
    assert not ran.exists()
    (folder / "out").symlink_to("/etc/passwd")
    git(folder, "add", "out")
    git(folder, "commit", "--quiet", "--message", "b")
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="'out' is a link"):
        fetch(Source.of(str(folder)), tmp_path / "other")


def test_a_repository_that_sends_too_much_is_ended(tmp_path, monkeypatch):
    folder = extension(tmp_path / "a")
    (folder / "noise").write_bytes(os.urandom(1 << 20))
    commit(folder)
    monkeypatch.setattr(sources, "SECONDS", 0.0)
    monkeypatch.setattr(sources, "POLL", 0.0)
    (tmp_path / "target").mkdir()
    with pytest.raises(ValueError, match="did not answer within 0 s"):
        fetch(Source.of(str(folder)), tmp_path / "target")
    monkeypatch.setattr(sources, "SECONDS", 60.0)
    monkeypatch.setattr(sources, "MAX_BYTES", 0)
    with pytest.raises(ValueError, match="sends too much"):
        fetch(Source.of(str(folder)), tmp_path / "target")
