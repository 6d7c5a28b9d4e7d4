"""A device that is not there: it computes on the CPU, and counts what is moved between it and the host.

Its tensors say they lie on `DEVICE`. Whatever asks for their values is a transfer to the host: `.cpu()`,
`.tolist()`, `int()`, `bool()`, `nonzero`, indexing by bools, and all else whose shape depends on values.
Whatever builds a tensor from Python numbers there is a transfer to the device. `.numpy()` raises TypeError, as it
does on a GPU.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("meta")  # the one that every build of torch knows and that has no values of its own
aten = torch.ops.aten
# Operators that give back values or shapes that depend on values.
ASKING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten._unique2.default,
    aten.unique_consecutive.default,
    aten.unique_dim.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class Remote(torch.Tensor):
    """A tensor on the device; `inner` holds its values."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Remote:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"Remote({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{function} outside of `Transfers`")


class _Calls(TorchFunctionMode):
    """What torch does before it comes to operators: lists to tensors and back."""

    def __init__(self, counts: Transfers):
        super().__init__()
        self.counts = counts

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tuple(args), kwargs or {}
        if function in (torch.tensor, torch.as_tensor):
            device = kwargs.get("device")
            if device is not None and torch.device(device).type == DEVICE.type:
                return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if args and isinstance(args[0], Remote):
            if function is torch.Tensor.tolist:
                return args[0].cpu().tolist()
            if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
                parts = args[1] if isinstance(args[1], tuple) else (args[1],)
                parts = tuple(torch.tensor(x, device=DEVICE) if isinstance(x, list) else x for x in parts)
                args = (args[0], parts if len(parts) > 1 else parts[0], *args[2:])
            if function is torch.Tensor.numpy:
                raise TypeError("can't convert a tensor on a device to numpy; copy it to the host first")
        return function(*args, **kwargs)


class Transfers(TorchDispatchMode):
    """While entered, tensors can be made on `DEVICE`. `to_host` and `to_device` count, by operator."""

    def __init__(self) -> None:
        super().__init__()
        self.to_host: Counter[str] = Counter()
        self.to_device: Counter[str] = Counter()
        self._calls = _Calls(self)

    def __enter__(self) -> Transfers:
        self._calls.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._calls.__exit__(*error)

    def clear(self) -> None:
        """Counts from now on."""
        self.to_host.clear()
        self.to_device.clear()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        remote = any(isinstance(x, Remote) for x in flat)
        plain = any(not isinstance(x, Remote) and x.dim() > 0 for x in flat)
        target = kwargs.get("device")
        there = remote if target is None else torch.device(target).type == DEVICE.type
        name = str(function)
        if remote and (not there or function in ASKING):
            self.to_host[name] += 1
        if function in INDEXING and any(
            isinstance(index, Remote) and index.dtype in (torch.bool, torch.uint8)
            for index in args[1]
            if index is not None
        ):
            self.to_host[name] += 1
        if there and plain:
            self.to_device[name] += 1
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        args, kwargs = tree_map_only(Remote, lambda x: x.inner, (args, kwargs))
        result = function(*args, **kwargs)
        if function is aten.copy_.default and not isinstance(flat[0], Remote):
            return result
        return tree_map_only(torch.Tensor, Remote, result) if there else result


def on_device(module: torch.nn.Module) -> torch.nn.Module:
    """The module, its parameters and buffers on the device; inside of `Transfers`."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = torch.nn.Parameter(Remote(value.data), requires_grad=False)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = Remote(value)
    return module
