"""Muon for the matrices inside the layers, Adam for the embedding and the norms.

Muon replaces a matrix's momentum by the nearest orthogonal matrix, so that every direction of it learns at
the same rate (Jordan et al. 2024). Adam is Kingma and Ba 2015 without weight decay.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOMENTUM, BETAS, EPS = 0.95, (0.9, 0.95), 1e-10


def orthogonal(matrices: Tensor, dtype: torch.dtype, rounds: int = 5) -> Tensor:
    """About the nearest (semi-)orthogonal matrices of a stack (n, rows, columns), by Newton-Schulz iteration
    in `dtype`."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    wide = x.shape[-2] <= x.shape[-1]
    x = (x if wide else x.mT).to(dtype)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.mT).float()


class Optimizer:
    """Both rules over a network's parameters; its state is plain tensors by the parameters' names."""

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype = torch.float32):
        self.dtype, self.steps = dtype, 0
        named = dict(network.named_parameters())
        self.matrices = {name: one for name, one in named.items() if one.dim() == 2 and name != "wte"}
        self.others = {name: one for name, one in named.items() if name not in self.matrices}
        self.momentum = {name: torch.zeros_like(one) for name, one in self.matrices.items()}
        self.first = {name: torch.zeros_like(one) for name, one in self.others.items()}
        self.second = {name: torch.zeros_like(one) for name, one in self.others.items()}

    @torch.no_grad()
    def step(self, muon: float, adam: float, decay: float = 0.0) -> None:
        """One step at these two learning rates, from the gradients at the parameters, which are then dropped.

        `decay` shrinks the matrices by muon * decay first: without it their norms, and attention's sharpness,
        only grow.
        """
        self.steps += 1
        self._muon(muon, decay)
        self._adam(adam)

    def _muon(self, rate: float, decay: float) -> None:
        by_size: dict[tuple[int, ...], list[str]] = {}
        for name, one in self.matrices.items():
            self.momentum[name].lerp_(one.grad, 1 - MOMENTUM)
            by_size.setdefault(tuple(sorted(one.shape)), []).append(name)
        for names in by_size.values():
            ahead = [self.matrices[name].grad.lerp(self.momentum[name], MOMENTUM) for name in names]
            turned = [one if one.shape[0] <= one.shape[1] else one.t() for one in ahead]
            for name, source, update in zip(
                names, ahead, orthogonal(torch.stack(turned), self.dtype), strict=False
            ):
                one = self.matrices[name]
                update = update if source.shape[0] <= source.shape[1] else update.t()
                one.mul_(1 - rate * decay).sub_(
                    update, alpha=rate * max(1.0, one.shape[0] / one.shape[1]) ** 0.5
                )
                one.grad = None

    def _adam(self, rate: float) -> None:
        one_, two_ = BETAS
        for name, one in self.others.items():
            self.first[name].lerp_(one.grad, 1 - one_)
            self.second[name].lerp_(one.grad.square(), 1 - two_)
            first = self.first[name] / (1 - one_**self.steps)
            second = self.second[name] / (1 - two_**self.steps)
            one.sub_(rate * first / (second.sqrt() + EPS))
            one.grad = None

    def state(self) -> dict[str, Tensor]:
        """Its tensors, by name."""
        groups = {"momentum": self.momentum, "first": self.first, "second": self.second}
        return {f"{group}.{name}": one for group, some in groups.items() for name, one in some.items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor], steps: int) -> None:
        """Continue from a `state` taken after `steps` steps. KeyError if it is of another network."""
        self.steps = steps
        for name, one in self.state().items():
            one.copy_(state[name])
