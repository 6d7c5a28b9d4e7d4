"""How much memory a checkpoint takes and how much there is, so that too little of it is said before anything
is read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from webui.core.errors import Refusal

BYTES = {"float32": 4, "bfloat16": 2, "float64": 8}  # of a number of each type that models run in
BESIDE = 0.15  # of the weights: the largest tensors are there twice while they are read
GROUPS = (  # memory limit of a container, and what is used of it
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def needed(parameters: int, dtype: str) -> int:
    """Bytes that loading so many numbers takes at most."""
    return int(parameters * BYTES[dtype] * (1 + BESIDE))


def free(device: str) -> int | None:
    """Bytes that are free on a device: of the machine or of the container, on a GPU of its own memory; None
    where that cannot be known."""
    if device == "cuda":
        torch = sys.modules.get("torch")
        return None if torch is None else int(torch.cuda.mem_get_info()[0])
    if device != "cpu":
        return None
    found = [_of_machine(), *(_of_group(Path(most), Path(used)) for most, used in GROUPS)]
    known = [value for value in found if value is not None]
    return min(known) if known else None


def check(name: str, parameters: int, dtype: str, device: str, released: int = 0) -> None:
    """Refusal if there is too little memory. released: bytes that are free once the model in memory is
    gone."""
    there = free(device)
    if there is None:
        return
    takes, there = needed(parameters, dtype), there + released
    if takes > there:
        raise Refusal(
            f"{name} needs {_gigabytes(takes)} of memory in {dtype}, and {device} has {_gigabytes(there)} "
            f"free{_advice(dtype, device)}."
        )


def _advice(dtype: str, device: str) -> str:
    if dtype in ("float32", "float64"):
        return "; with the setting dtype = bfloat16 it needs less"
    return "; close what else uses it, or take a smaller checkpoint" if device == "cpu" else ""


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


def _of_machine() -> int | None:
    """Linux says it; elsewhere what is there at all, by pages."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _of_group(most: Path, used: Path) -> int | None:
    try:
        limit = most.read_text("ascii").strip()
        if limit == "max" or int(limit) > 1 << 60:
            return None
        return max(0, int(limit) - int(used.read_text("ascii")))
    except (OSError, ValueError):
        return None
