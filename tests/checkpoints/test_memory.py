"""Memory: too little is said before anything is read; several checkpoints within a budget; unloading when idle."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import pytest

from tests.tiny_checkpoints import llada
from webui.checkpoints import memory, weights
from webui.checkpoints.loading import Checkpoints
from webui.service.worker import Worker
from webui.settings import Settings


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("abc"):
        llada(folder / "checkpoints" / name, seed=seed)
    return folder


def test_too_little_memory_is_said_before_anything_is_read(models, monkeypatch):
    there = Checkpoints(Settings(models=models, model="a", device="cpu", dtype="float32"))
    parameters = there.entry("a").parameters
    monkeypatch.setattr(memory, "free", lambda device: 100_000)
    monkeypatch.setattr(weights, "read", lambda *given: pytest.fail("it was read"))
    with pytest.raises(ValueError) as refused:
        there.load("a")
    assert str(refused.value) == (
        "a needs 0.18 MB of memory in float32, and cpu has 0.10 MB free; with the setting dtype = bfloat16 it needs "
        "less."
    )
    assert "needs" in (there.entry("a").failed or "") and there.loaded is None
    assert memory.needed(parameters, "float32") == int(parameters * 4 * 1.15) > 100_000


def test_what_is_freed_by_unloading_counts_and_what_is_in_use_stays(models, monkeypatch):
    there = Checkpoints(Settings(models=models, model="a", device="cpu", dtype="float32"))
    takes = memory.needed(there.entry("a").parameters, "float32")
    monkeypatch.setattr(memory, "free", lambda device: takes)
    first = there.load("a")
    monkeypatch.setattr(memory, "free", lambda device: int(0.2 * takes))
    assert there.load("b") is not first and there.loaded == "b"  # 0.2 and what a took are enough
    monkeypatch.setattr(memory, "free", lambda device: 0)
    with pytest.raises(ValueError, match="needs"):
        there.load("c")
    assert there.loaded == "b"


def test_several_stay_within_the_budget(models):
    """Room for two: the third sends away the one used least lately."""
    parameters = Checkpoints(Settings(models=models, model="a", device="cpu")).entry("a").parameters
    budget = 2.2 * 1.15 * parameters * 4 / 1e9
    settings = Settings(models=models, model="a", device="cpu", dtype="float32", memory_budget=budget)
    there = Checkpoints(settings)
    a, b = there.load("a"), there.load("b")
    assert there.load("a") is a and there.load("b") is b and there.load("a") is a
    assert [entry.name for entry in there.list() if entry.loaded] == ["a", "b"]
    there.load("c")
    assert [entry.name for entry in there.list() if entry.loaded] == ["a", "c"]
    assert there.load("a") is a and there.load("b") is not b
    there.unload()
    assert not any(entry.loaded for entry in there.list())


def test_the_memory_of_this_machine_is_known(tmp_path):
    assert memory.free("cpu") and memory.free("mps") is None
    (tmp_path / "max").write_text("1000\n")
    (tmp_path / "used").write_text("400\n")
    assert memory._of_group(tmp_path / "max", tmp_path / "used") == 600
    (tmp_path / "max").write_text("max\n")
    assert memory._of_group(tmp_path / "max", tmp_path / "used") is None


def test_a_worker_without_work_rests_once():
    """After a while without work, and not again before there was some."""
    work: queue.Queue = queue.Queue()
    rested, times = threading.Event(), []

    def rest() -> None:
        times.append(1)
        rested.set()

    worker = Worker(work, lambda job: iter(()), lambda *given: None, lambda task: None, (0.01, rest))
    assert rested.wait(60)
    work.put(None)
    worker.join(60)
    assert not worker.alive and len(times) == 1
