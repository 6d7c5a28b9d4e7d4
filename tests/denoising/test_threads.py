"""The number of CPU threads: it changes no text, and is the one that steps are fastest with."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.denoising.test_determinism import requests, texts
from tests.tiny_checkpoints import llada
from webui.checkpoints.loading import Checkpoints
from webui.denoising import threads
from webui.denoising.engine import Engine
from webui.denoising.threads import AGAIN, RECENT, Threads
from webui.extension.registry import Registry
from webui.settings import ROOT, Settings


@pytest.fixture(autouse=True)
def _one_thread_after():
    yield
    torch.set_num_threads(1)


def test_texts_do_not_depend_on_the_number_of_threads(tmp_path):
    """In fp32, in the shape of the default checkpoint's layers, with 1, 2 and 4 threads."""
    llada(
        tmp_path / "checkpoints" / "tiny",
        d_model=192,
        n_heads=3,
        n_kv_heads=3,
        mlp_hidden_size=480,
        embedding_size=4096,
        vocab_size=4096,
    )
    checkpoints = Checkpoints(Settings(models=tmp_path, model="tiny", device="cpu", dtype="float32"))
    made = []
    for number in (1, 2, 4):
        engine = Engine(checkpoints, Registry(ROOT / "extensions"), lambda result: None, threads=number)
        made.append((texts(engine, requests()), texts(engine, requests()[:1])))
        assert torch.get_num_threads() == number
    assert made[0] == made[1] == made[2]


class Clock:
    """A clock that a step moves on by what it takes with the number of threads it was given."""

    def __init__(self, monkeypatch, costs: dict[int, float]):
        self.now, self.costs = 0.0, costs
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(threads, "candidates", lambda: sorted(costs, reverse=True))

    def steps(self, threads: Threads, many: int, positions: int = 1000) -> list[int]:
        """The numbers of threads of so many steps."""
        used = []
        for _ in range(many):
            with threads.step("model", positions):
                used.append(torch.get_num_threads())
                self.now += self.costs[used[-1]] * positions
        return used


def test_the_fastest_number_stays(monkeypatch):
    clock = Clock(monkeypatch, {4: 3.0, 2: 1.0, 1: 1.5})
    used = clock.steps(Threads(), 40)
    assert used[:6] == [4, 2, 1] * 2 and set(used[6:]) == {2}


def test_numbers_are_measured_again_when_steps_slow_down(monkeypatch):
    """A neighbour takes a core: with two threads everything waits for it."""
    clock, measured = Clock(monkeypatch, {2: 1.0, 1: 1.8}), Threads()
    assert set(clock.steps(measured, 20)[4:]) == {2}
    clock.costs[2] = 40.0
    used = clock.steps(measured, 30)
    assert used.count(2) <= RECENT + 2 and set(used[-15:]) == {1}


def test_numbers_are_measured_again_after_a_while(monkeypatch):
    """The neighbour has gone, which nothing slows down for."""
    clock, measured = Clock(monkeypatch, {2: 40.0, 1: 1.8}), Threads()
    assert set(clock.steps(measured, 20)[4:]) == {1}
    clock.costs[2] = 1.0
    assert set(clock.steps(measured, AGAIN + 10)[-5:]) == {2}


def test_sizes_are_measured_apart(monkeypatch):
    clock, measured = Clock(monkeypatch, {2: 1.0, 1: 2.0}), Threads()
    clock.steps(measured, 10, positions=100)
    assert clock.steps(measured, 4, positions=10_000) == [2, 1, 2, 1]


def test_a_fixed_number_is_used_always():
    fixed = Threads(3)
    with fixed.step("model", 10):
        assert torch.get_num_threads() == 3


def test_the_program_lets_threads_wait_without_spinning():
    program = "import os, runpy; runpy.run_path('app.py'); print(os.environ['OMP_WAIT_POLICY'])"
    environment = {"PATH": "/usr/bin", "PYTHONPATH": str(ROOT)}
    program_run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert program_run.stdout.strip() == "passive"
