"""A plug-in of pytest: fixtures for tests of extensions. `pip install -e` of the program registers it;
without that it is named on the command line, `-p webui.testing.plugin`, or in a conftest.py:
`pytest_plugins = ["webui.testing.plugin"]`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from webui.application import App
from webui.extension.extension import Extension
from webui.testing import load, program


def pytest_configure() -> None:
    """One thread, set before torch is imported: small tensors are quicker so, and sums always the same."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one tiny checkpoint, for `testing.program(tmp_path, models=tiny_models)`."""
    from webui.testing import tiny_checkpoint
    from webui.testing.whole import CHECKPOINT

    folder = tmp_path_factory.mktemp("models")
    tiny_checkpoint(folder / "checkpoints" / CHECKPOINT)
    return folder


@pytest.fixture(scope="module")
def extension_folder(request: pytest.FixtureRequest) -> Path:
    """The folder of the extension that the test is of: the nearest one above the test with an
    extension.toml or an __init__.py."""
    for folder in request.path.parents:
        if (folder / "extension.toml").is_file() or (folder / "__init__.py").is_file():
            return folder
    pytest.fail(f"No folder above {request.path} is an extension.")


@pytest.fixture(scope="module")
def extension(extension_folder: Path) -> type[Extension]:
    """The class of that extension."""
    return load(extension_folder)


@pytest.fixture(scope="module")
def webui_app(
    extension_folder: Path, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    """A program with that extension and the built-in ones, for the tests of a module."""
    folder = tmp_path_factory.mktemp("program")
    with program(folder, [extension_folder], models=tiny_models) as app:
        yield app
