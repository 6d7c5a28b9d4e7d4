"""What adapters add to a model's modules while a batch runs: forward hooks, with one weight for each row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from .tags import Use

if TYPE_CHECKING:
    from webui import Canvas, Count, Network


COLUMNS = 64  # kept on the device


@dataclass(frozen=True)
class Term:
    """What one adapter adds to one module, at weight 1, on the module's device and in its dtype.

    down, up  A (rank, inputs), scale * B (outputs, rank); of an embedding A is (rows, rank)
    bias      (outputs,), scaled
    turn      DoRA: (outputs,), by which the module's own product is multiplied, less 1
    weight    a weight that was trained whole, less the module's own; `own_bias` likewise
    """

    down: Tensor | None = None
    up: Tensor | None = None
    bias: Tensor | None = None
    turn: Tensor | None = None
    weight: Tensor | None = None
    own_bias: Tensor | None = None


def term(module: Any, part: Any) -> Term:
    """A part of an adapter at its module, in the module's dtype."""
    one, dtype = exact_term(module, part), module.weight.dtype
    made = (one.down, one.up, one.bias, one.turn, one.weight, one.own_bias)
    return Term(*(None if tensor is None else tensor.to(dtype).contiguous() for tensor in made))


def exact_term(module: Any, part: Any) -> Term:
    """A part of an adapter at its module, in fp32 or better."""
    own = module.weight
    exact = torch.float64 if own.dtype == torch.float64 else torch.float32

    def there(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(own.device, exact)

    down, up, bias, turn = there(part.down), there(part.up), there(part.bias), None
    if up is not None and down is not None:
        up = up * part.scale
        bias = None if bias is None else bias * part.scale
        if (magnitude := there(part.magnitude)) is not None:
            whole = own.to(exact) + up @ down
            ratio = magnitude / torch.linalg.norm(whole, dim=1)
            up, turn = up * ratio[:, None], ratio - 1
            bias = None if bias is None else bias * ratio
        if part.embedding:
            down = down.t()
    weight, own_bias = there(part.weight), there(part.own_bias)
    if weight is not None:
        weight = weight - own.to(exact)
    if own_bias is not None:
        own_bias = own_bias - module.bias.to(exact)
    return Term(down, up, bias, turn, weight, own_bias)


class Patch:
    """The adapters of a batch at a model's modules.

    loaded  the fitted adapters, by name
    uses    of each row of the batch, by its number
    """

    def __init__(self, network: Network, loaded: Mapping[str, Any], uses: Sequence[Sequence[Use]]):
        self._network, self._loaded, self._uses = network, loaded, uses
        self._handles: list[Any] = []
        self._weights: tuple[Canvas | None, dict[str, tuple[float, ...]]] = (None, {})
        self._columns: dict[tuple, Tensor] = {}

    def enter(self, modules: Mapping[str, Any], only: Collection[str] | None = None) -> None:
        """Hooks the modules that have adapters, or `only` these of them."""
        every = {name for fitted in self._loaded.values() for name in fitted.parts}
        names = sorted(every if only is None else every.intersection(only))
        for name in names:
            module = modules[name]
            terms = {
                adapter: term(module, fitted.parts[name])
                for adapter, fitted in self._loaded.items()
                if name in fitted.parts
            }
            self._handles.append(module.register_forward_hook(self._hook(terms)))

    def leave(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()

    def weights_of(self, count: Count) -> tuple[float, ...]:
        """The weights that a row's adapters have now."""
        return tuple(use.now(count.progress) for use in self._uses[count.row])

    def _hook(self, terms: Mapping[str, Term]) -> Any:
        def add(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            made = output
            weights = self._now()
            for adapter, one in terms.items():
                if (values := weights.get(adapter)) is not None:
                    weight = self._spread(values, output)
                    made = made + _added(one, module, inputs[0], output, weight)
            return made

        return add

    def _now(self) -> Mapping[str, tuple[float, ...]]:
        """For each adapter that acts now on some row of the pass under way: the rows' weights."""
        canvas = self._network.running
        assert canvas is not None
        if self._weights[0] is not canvas:
            counts, found = canvas.counts, dict[str, tuple[float, ...]]()
            for name in self._loaded:
                values = tuple(
                    sum((use.now(count.progress) for use in self._uses[count.row] if use.name == name), 0.0)
                    for count in counts
                )
                if any(values):
                    found[name] = values
            self._weights = (canvas, found)
        return self._weights[1]

    def _spread(self, values: tuple[float, ...], output: Tensor) -> Tensor:
        """The rows' weights as a tensor that multiplies what this module gives, in fp32 or better."""
        weights, rows = self._column(values, output), len(values)
        if (places := self._network.places) is not None:  # the head: single positions
            return weights[places][:, None]
        if output.shape[0] == rows:
            return weights.view(-1, *[1] * (output.dim() - 1))
        if output.dim() == 2 and output.shape[0] % rows == 0:  # (B * L, D), row by row
            return weights.repeat_interleave(output.shape[0] // rows)[:, None]
        raise ValueError(
            "a module gets its positions in another order than rows; take it out of the targets."
        )

    def _column(self, values: tuple[float, ...], output: Tensor) -> Tensor:
        """(B,) on the device; sent there once for as long as the rows keep these weights."""
        key = (values, output.dtype, output.device)
        if key not in self._columns:
            if len(self._columns) >= COLUMNS:
                self._columns.clear()
            exact = torch.promote_types(output.dtype, torch.float32)
            self._columns[key] = torch.tensor(values, dtype=exact, device=output.device)
        return self._columns[key]


def _added(one: Term, module: Any, inputs: Tensor, output: Tensor, weight: Tensor) -> Tensor:
    """What an adapter adds to a module's output. The weight is applied before the larger product; where it is
    0 the sum is 0 exactly."""
    embedding = isinstance(module, torch.nn.Embedding)
    apply = functional.embedding if embedding else functional.linear
    added: list[Tensor] = []
    if one.down is not None and one.up is not None:
        added.append(functional.linear(_weighted(apply(inputs, one.down), weight), one.up))
    if one.turn is not None:
        plain = output if module.bias is None else output - module.bias
        added.append(_weighted(plain * one.turn, weight))
    if one.weight is not None:
        added.append(_weighted(apply(inputs, one.weight), weight))
    for bias in (one.bias, one.own_bias):
        if bias is not None:
            added.append((bias * weight).to(output.dtype).expand_as(output))
    total = added[0]
    for more in added[1:]:
        total = total + more
    return total


def _weighted(values: Tensor, weight: Tensor) -> Tensor:
    """values * weight, and 0 where the weight is 0, whatever the values: in fp16 they may be infinite."""
    return (values * weight).masked_fill(weight == 0, 0.0).to(values.dtype)
