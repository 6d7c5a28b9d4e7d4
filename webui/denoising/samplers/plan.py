"""What the schedule asks of each row in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from webui.canvas import Canvas

MEMORY = "probability"  # in `SamplerState.own` of samplers that remember: see `Sampler.remembers`


@dataclass(frozen=True)
class Plan:
    """Numbers of masked positions in each row's block, all (B,) long.

    schedule    (positions, step, steps) -> positions that may still be masked after the step
    measured    name of a confidence -> that confidence of the active positions, (N,)
    total       log of the sum of exp(logit) over all tokens at the active positions, (N,)
    """

    canvas: Canvas
    schedule: Callable[[Tensor, Tensor, Tensor], Tensor]
    measured: Callable[[str], Tensor]
    total: Callable[[], Tensor]

    @property
    def size(self) -> Tensor:
        """When the block began."""
        return self.canvas.state.block_masked

    @cached_property
    def before(self) -> Tensor:
        """As scheduled before this step."""
        return torch.where(self._step > 0, self.schedule(self.size, self._step - 1, self._steps), self.size)

    @cached_property
    def after(self) -> Tensor:
        """As scheduled after this step; 0 in the block's last step."""
        left = self.schedule(self.size, self._step, self._steps)
        return torch.where(self._step + 1 >= self._steps, 0, left)

    @cached_property
    def count(self) -> Tensor:
        """To commit now, so that `after` are left; at least 1."""
        masked = self.canvas.active & (self.canvas.tokens == self.canvas.mask)
        return (masked.sum(1) - self.after).clamp(min=1)

    @cached_property
    def _step(self) -> Tensor:
        return self.canvas.step - self.canvas.state.block_begin

    @property
    def _steps(self) -> Tensor:
        return self.canvas.state.block_steps
