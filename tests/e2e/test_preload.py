"""A page that is opened while the server still loads its checkpoint in the background."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import Running, serve_all_along
from tests.e2e.conftest import PATIENCE
from tests.tiny_checkpoints import llada

pytestmark = pytest.mark.e2e

SIZE: dict[str, Any] = {
    "d_model": 256,
    "mlp_hidden_size": 1024,
    "n_layers": 12,
    "n_heads": 8,
    "n_kv_heads": 8,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Running]:
    """A server that has just printed its address; `visit` of conftest.py opens this one here."""
    folder = tmp_path_factory.mktemp("preload")
    llada(folder / "models" / "checkpoints" / "storyteller", **SIZE)
    flags = ["--models", str(folder / "models"), "--built-in", str(folder / "none"), "--threads", "1"]
    with serve_all_along("--port", "0", *flags, data=folder / "data") as running:
        yield running


def test_what_is_typed_while_the_checkpoint_is_loaded_stays_and_generates(visit):
    user = visit()
    user.type("prompt", "A fox")
    user.type("length", "8")
    user.generate()
    user.page.locator(".models-chip[data-state=loaded]").wait_for(timeout=3 * PATIENCE)  # torch is imported
    user.done()
    assert user.texts() and (user.shown("prompt"), user.shown("length")) == ("A fox", "8")
    expect(user.page.locator("#alert")).to_be_hidden()
    expect(user.page.locator(".notice")).to_be_hidden()
