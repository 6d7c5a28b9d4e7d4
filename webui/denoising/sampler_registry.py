"""The samplers there are: the built-in ones, and those that extensions bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from webui.canvas import Canvas
from webui.core.errors import ExtensionFault, message
from webui.denoising.checks import check_tensor
from webui.denoising.samplers import BUILT_IN, Sampler, SamplerTable
from webui.extension.errors import HookError, is_of_hook
from webui.extension.extension import Extension
from webui.extension.registry import Registry


@dataclass(frozen=True)
class SamplerRegistry:
    """All samplers, which extension brought which of them, and why one's could not be taken.

    Functions of an extension's sampler raise HookError, which names it, whatever happens inside.
    """

    table: SamplerTable
    owners: Mapping[str, str]  # sampler: extension
    refused: Mapping[str, str]  # extension: sentence

    @classmethod
    def of(cls, registry: Registry) -> SamplerRegistry:
        """The built-in samplers and those of the registry's extensions."""
        table, owners, refused = BUILT_IN, dict[str, str](), dict[str, str]()
        for kind in registry.chain("samplers"):
            try:
                table = table.extended(_samplers(kind))
                owners |= {
                    name: kind.name for name in table.samplers if name not in {*owners, *BUILT_IN.samplers}
                }
            except BaseException as error:  # a broken extension is left out
                refused[kind.name] = str(HookError(kind.name, error))
        return cls(table, MappingProxyType(owners), MappingProxyType(refused))


def _samplers(kind: type[Extension]) -> dict[str, Sampler]:
    found = dict(kind.samplers())
    for name, sampler in found.items():
        if not isinstance(sampler, Sampler):
            raise ValueError(f"brings {type(sampler).__name__} instead of a sampler as {name!r}.")
    return {name: _guarded(kind.name, sampler) for name, sampler in found.items()}


def _guarded(name: str, sampler: Sampler) -> Sampler:
    """The sampler with its functions checked."""
    select, remask, options, begin = sampler.select, sampler.remask, sampler.options, sampler.begin
    time = sampler.time
    observe = sampler.observe

    def checked_select(canvas: Canvas, confidence: Tensor, plan: Any) -> Tensor:
        chosen = _call(name, select, canvas, confidence, plan)
        return check_tensor(name, "a selection", chosen, confidence.shape, torch.bool, confidence.device)

    def checked_remask(canvas: Canvas, plan: Any, choice: Any) -> Tensor:
        masked = _call(name, remask, canvas, plan, choice)
        shape, device = canvas.tokens.shape, canvas.tokens.device
        return check_tensor(name, "positions to remask", masked, shape, torch.bool, device)

    def checked_options(request: Any) -> Mapping[str, float]:
        try:
            return {key: float(value) for key, value in options(request).items()}
        except ValueError as error:
            raise ValueError(f"{name}: {message(error)}") from error
        except BaseException as error:
            if not is_of_hook(error):
                raise
            raise ExtensionFault(name, error) from error

    return replace(
        sampler,
        select=checked_select,
        remask=checked_remask if remask is not None else None,
        options=checked_options,
        observe=None if observe is None else lambda canvas, logits: _call(name, observe, canvas, logits),
        time=None if time is None else lambda canvas: _call(name, time, canvas),
        begin=lambda canvas: _call(name, begin, canvas),
    )


def _call(name: str, function: Callable[..., Any] | None, *arguments: object) -> Any:
    try:
        return function(*arguments)  # type: ignore[misc]
    except (HookError, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        if not is_of_hook(error):
            raise
        raise HookError(name, error) from error
