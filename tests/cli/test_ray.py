"""`grid --ray`: the cells on two workers of a local Ray cluster, one of which is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, PYTHON, ROOT, wait_until

EXPERIMENT = """
prompt = "the cat"
length = 4
steps = 2
template = "raw"

[xyz_grid]
x_field = "seed"
x_values = "1-24"

[counting]
log = "{log}"
seconds = 0.05
"""


@pytest.fixture
def cluster(monkeypatch):
    """The address of a cluster of two nodes with one CPU each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'text-diffusion-webui[ray]'.")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def texts(path: Path) -> dict[int, str]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert all(line["complete"] for line in lines)
    return {line["axes"]["seed"]: line["text"] for line in lines}


@pytest.mark.slow
def test_two_workers_one_of_them_killed_give_the_same_texts(cluster, models, tmp_path):
    for path in (ROOT / "extensions/xyz_grid", ROOT / "tests/extensions/counting"):
        (tmp_path / "extensions").mkdir(exist_ok=True)
        (tmp_path / "extensions" / path.name).symlink_to(path)
    log, file = tmp_path / "log", tmp_path / "experiment.toml"
    file.write_text(EXPERIMENT.format(log=log), "utf-8")
    flags = ["--models", str(models), "--extensions", str(tmp_path / "extensions"), "--threads", "1"]
    flags += ["--device", "cpu", "--data", str(tmp_path / "data")]
    alone, together = tmp_path / "alone.jsonl", tmp_path / "together.jsonl"
    run = [*PYTHON, *flags, "grid", str(file), "--jsonl"]
    subprocess.run([*run, str(alone)], check=True, env=ENVIRONMENT, cwd=tmp_path, capture_output=True)
    log.unlink()
    errors = tmp_path / "stderr"
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [*run, str(together), "--ray", cluster], env=ENVIRONMENT, cwd=tmp_path, stderr=stream
        )
    said = wait_until(
        lambda: re.search(r"Ray: 2 actors, processes (\d+), (\d+)", errors.read_text()) or process.poll(), 240
    )
    assert isinstance(said, re.Match), errors.read_text()
    wait_until(log.is_file)
    os.kill(int(said[1]), signal.SIGKILL)
    assert process.wait(240) == 0, errors.read_text()
    assert texts(together) == texts(alone) and len(texts(alone)) == 24


def test_without_ray_there_is_a_sentence(run, tmp_path):
    try:
        import ray  # noqa: F401
    except ImportError:
        file = tmp_path / "experiment.toml"
        file.write_text('prompt = "a"')
        ran = run("grid", str(file), "--ray", "auto")
        assert ran.status == 2 and "pip install" in ran.err and ran.out == ""
    else:
        pytest.skip("Ray is installed")
