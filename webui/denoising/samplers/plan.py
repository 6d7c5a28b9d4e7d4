"""What the schedule asks of each row in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from webui.canvas import Canvas


@dataclass(frozen=True)
class Plan:
    """Numbers of masked positions in each row's block, all (B,) long."""

    size: Tensor  # when the block began
    before: Tensor  # as scheduled before this step
    after: Tensor  # as scheduled after it; 0 in the block's last step
    count: Tensor  # to commit now, so that `after` are left; at least 1


def plan(canvas: Canvas, schedule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Plan:
    """The plan of every row by a schedule (size, step, steps) -> masked positions left."""
    state = canvas.state
    size, steps, step = state.block_masked, state.block_steps, canvas.step - state.block_begin
    before = torch.where(step > 0, schedule(size, step - 1, steps), size)
    after = torch.where(step + 1 >= steps, 0, schedule(size, step, steps))
    count = ((canvas.active & canvas.masked).sum(1) - after).clamp(min=1)
    return Plan(size, before, after, count)
