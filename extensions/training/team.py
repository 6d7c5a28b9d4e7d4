"""The processes of one training, each on a GPU of its own, as `accelerate launch` starts them: every process
computes the loss of its share of a step's rows, the gradients are added, and each makes the same step. The
first one measures, writes and saves."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Team:
    """This process among those of a training, number `rank` of `size`; `state` is accelerate's."""

    def __init__(self, rank: int = 0, size: int = 1, state: Any = None):
        self.rank, self.size, self._state = rank, size, state

    @classmethod
    def here(cls) -> Team:
        """The team that this process was started in, or this process alone. ValueError if accelerate is not
        there."""
        if int(os.environ.get("WORLD_SIZE") or 1) <= 1:
            return cls()
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise ValueError(
                "Training on several GPUs needs the library accelerate; install it (pip install accelerate)."
            ) from error
        import torch

        state = PartialState(cpu=not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes, state)

    @property
    def first(self) -> bool:
        """Whether this process measures and writes."""
        return self.rank == 0

    def mine(self, number: int) -> bool:
        """Whether row `number` of a step is this process's."""
        return number % self.size == self.rank

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Makes each tensor the sum of those of all processes."""
        if self.size > 1:
            import torch.distributed as distributed

            for tensor in tensors:
                distributed.all_reduce(tensor)

    def any(self, said: bool) -> bool:
        """Whether a process says so: then all know it in the same step."""
        if self.size == 1:
            return said
        import torch

        flag = torch.tensor([float(said)], device=self._state.device)
        self.add([flag])
        return bool(flag.item())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            self._state.wait_for_everyone()
