"""`grid --resume`: a real process is killed at random moments; no text that was finished is computed again."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import pytest

from tests.conftest import ROOT, wait_until

EXPERIMENT = """
prompt = "the cat"
length = 4
steps = 4
template = "raw"
end_of_text = "ban"

[xyz_grid]
x_field = "seed"
x_values = "1-{last}"

[counting]
log = "{log}"
seconds = 0.01
refused = [3, 5]
"""


class Experiment:
    """An experiment in a file, run by processes that can be killed."""

    def __init__(self, commands, folder: Path):
        self.commands, self.folder = commands, folder
        self.log, self.file, self.data = folder / "log", folder / "experiment.toml", folder / "data"
        for path in (ROOT / "extensions/xyz_grid", ROOT / "tests/extensions/counting"):
            (folder / "extensions").mkdir(exist_ok=True)
            (folder / "extensions" / path.name).symlink_to(path)
        self.log.touch()

    def write(self, last: int) -> None:
        self.file.write_text(EXPERIMENT.format(last=last, log=self.log), "utf-8")

    def arguments(self, *more: str) -> list[str]:
        own = ["--built-in", str(self.folder / "extensions"), "--data", str(self.data), "--batch-rows", "4"]
        return [*own, "grid", str(self.file), *more]

    def run(self, *more: str):
        return self.commands.run(*self.arguments(*more))

    def killed(self, calls: int, *more: str) -> None:
        """A run that is killed as soon as it has made so many model calls."""
        before = len(self.calls())
        self.commands.start([*self.commands.flags, *self.arguments(*more)])
        wait_until(lambda: len(self.calls()) >= before + calls, interval=0.002)
        os.kill(self.commands.pid, signal.SIGKILL)
        self.commands.wait()

    def calls(self) -> list[set[int]]:
        """The seeds of each model call so far."""
        return [set(map(int, line.split())) for line in self.log.read_text().splitlines()]

    def finished(self) -> dict[int, str]:
        """The texts that are saved, by seed."""
        files = self.data.glob("history/????-??-??/*.json")
        saved = [json.loads(path.read_text("utf-8")) for path in files]
        found = {one["request"]["seed"]: one["text"] for one in saved if one["complete"]}
        assert len(found) == sum(one["complete"] for one in saved), "a text was saved twice"
        return found


@pytest.fixture
def experiment(commands, tmp_path) -> Experiment:
    return Experiment(commands, tmp_path)


def test_after_kills_at_random_moments_no_finished_text_is_computed_again(experiment):
    moments = random.Random()
    seed = moments.randrange(2**32)
    moments.seed(seed)
    print(f"the moments are those of seed {seed}")  # shown if it fails
    experiment.write(64)
    finished: dict[int, str] = {}
    for kill in range(3):
        begun = len(experiment.calls())
        experiment.killed(moments.randrange(1, 20), *(["--resume"] if kill else []))
        assert not set(finished) & set().union(*experiment.calls()[begun:]), "a finished text was computed"
        now = experiment.finished()
        assert finished.items() <= now.items() and len(now) < 64
        finished = now
    begun = len(experiment.calls())
    ran = experiment.run("--resume", "--jsonl", str(experiment.folder / "t.jsonl"))
    assert ran.status == 0, ran.err
    assert not set(finished) & set().union(*experiment.calls()[begun:])
    lines = [json.loads(line) for line in (experiment.folder / "t.jsonl").read_text("utf-8").splitlines()]
    assert [line["axes"]["seed"] for line in lines] == list(range(1, 65))
    assert {line["axes"]["seed"]: line["text"] for line in lines} == experiment.finished()


def test_failed_texts_are_written_again_and_values_are_added(experiment):
    experiment.write(8)
    refuse = Path(f"{experiment.log}.refuse")
    refuse.touch()
    ran = experiment.run("--events")
    assert ran.status == 1 and set(experiment.finished()) == {1, 2, 4, 6, 7, 8}
    refuse.unlink()
    begun = len(experiment.calls())
    ran = experiment.run("--resume", "--events")
    assert ran.status == 0 and "6 texts are there already" in ran.err
    assert set().union(*experiment.calls()[begun:]) == {3, 5}
    assert len(ran.out.splitlines()) == 8
    experiment.write(12)
    begun = len(experiment.calls())
    assert experiment.run("--resume").status == 0
    assert set().union(*experiment.calls()[begun:]) == {9, 10, 11, 12}
    begun = len(experiment.calls())
    assert experiment.run("--resume").status == 0 and len(experiment.calls()) == begun


def test_without_an_experiment_there_is_a_sentence_and_a_new_one(experiment):
    experiment.write(2)
    ran = experiment.run("--resume")
    assert ran.status == 0 and "There is no experiment of this file to resume" in ran.err
