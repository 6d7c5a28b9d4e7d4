"""Checks of what hooks give: shapes and types at once, values on the device, read with the step's changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.canvas.state import COLUMNS
from webui.extension.errors import HookError

CANVAS = tuple(part.name for part in fields(Canvas) if part.type == "Tensor")
CHOICE = tuple(part.name for part in fields(Choice))
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
ROUNDING = 1e-3  # that far a probability may lie outside 0 to 1


@dataclass(frozen=True)
class Check:
    """Whether something is wrong, known on the device until the step's transfer.

    wrong   bool: (N,) for active positions, (B,) for rows
    blame   canvas index -> the error of that row; called for the rows that are wrong
    per_row whether `wrong` is (B,)
    """

    wrong: Tensor
    blame: Callable[[int], HookError]
    per_row: bool = False

    def rows(self, canvas: Canvas, wrong: Tensor) -> list[int]:
        """Indices of the rows that are wrong; `canvas` and `wrong` as read by the host."""
        if not bool(wrong.any()):
            return []
        return wrong.nonzero()[:, 0].tolist() if self.per_row else canvas.at[0][wrong].unique().tolist()


def not_finite(logits: Tensor) -> Tensor:
    """(N,) bool: positions whose logits (N, V) are not all finite numbers."""
    if logits.device.type == "cpu" and math.isfinite(float(logits.sum())):  # a third of the time
        return torch.zeros(logits.shape[0], dtype=torch.bool)
    # Of NaN neither is true. (`aminmax` takes ten times as long.)
    return ~((logits.amin(1) > -torch.inf) & (logits.amax(1) < torch.inf))


def check_tensor(
    name: str,
    what: str,
    value: object,
    shape: Sequence[int],
    dtype: torch.dtype | None,
    device: torch.device,
) -> Tensor:
    """The value, if it is an ordinary tensor of this shape and type (dtype None: any float) on this device.
    HookError names what an extension gave instead."""
    if not isinstance(value, Tensor):
        raise HookError(name, ValueError(f"gave {type(value).__name__} instead of {what}."))
    if value.layout != torch.strided or value.is_nested:
        raise HookError(name, ValueError(f"gave {what} in a sparse or nested tensor."))
    if value.device != device:
        raise HookError(name, ValueError(f"gave {what} on {value.device}, not on {device}."))
    if value.requires_grad:
        raise HookError(name, ValueError(f"gave {what} with a gradient; detach them."))
    if tuple(value.shape) != tuple(shape):
        raise HookError(name, ValueError(f"gave {what} of shape {tuple(value.shape)}, not {tuple(shape)}."))
    if (value.dtype != dtype) if dtype is not None else value.dtype not in FLOATS:
        raise HookError(name, ValueError(f"gave {what} of type {value.dtype}, not {dtype or 'float'}."))
    return value


def check_canvas(name: str, canvas: object, before: Canvas) -> Canvas:
    """The canvas of a `canvas` hook, if it can be denoised. HookError. Asks the device: once per batch."""
    if not isinstance(canvas, Canvas):
        raise HookError(name, ValueError(f"gave {type(canvas).__name__} instead of a canvas."))
    rows = before.row.shape
    if canvas.row.shape != rows or not bool((canvas.row == before.row).all()):
        raise HookError(name, ValueError("gave a canvas of other rows."))
    for what, dtype in (("tokens", torch.long), ("given", torch.bool), ("weights", None)):
        check_tensor(
            name,
            f"a canvas whose {what}",
            getattr(canvas, what),
            canvas.tokens.shape,
            dtype,
            before.tokens.device,
        )
    if bool(canvas.weights.isnan().any()):
        raise HookError(name, ValueError("gave a canvas with attention weights that are not numbers."))
    return canvas


def check_choice(
    name: str, canvas: Canvas, choice: object, shape: Sequence[int], device: torch.device
) -> Choice:
    """The choice of a `pick`, if its fields have the right shapes and types. HookError."""
    if not isinstance(choice, Choice):
        raise HookError(name, ValueError(f"gave {type(choice).__name__} instead of a choice."))
    check_tensor(name, "a choice of tokens", choice.token, shape, torch.long, device)
    check_tensor(name, "a choice of confidences", choice.confidence, shape, None, device)
    check_tensor(name, "a choice of commits", choice.commit, shape, torch.bool, device)
    check_tensor(name, "a choice of probabilities", choice.probability, shape, None, device)
    if choice.remask is not None:
        check_tensor(
            name, "a choice of positions to remask", choice.remask, canvas.tokens.shape, torch.bool, device
        )
    if choice.together is not None:
        check_tensor(name, "a choice of what is one", choice.together, shape, torch.bool, device)
    if choice.grow is not None:
        rows = canvas.tokens.shape[0]
        check_tensor(name, "a choice of positions to add", choice.grow, (rows, 3), torch.long, device)
    return choice


def check_indices(name: str, withdrawn: object, number: int) -> list[int]:
    """The indices that a `review` gave, if there are such among `number` positions. HookError."""
    if not isinstance(withdrawn, list):
        kind = type(withdrawn).__name__
        raise HookError(name, ValueError(f"gave {kind} instead of the positions to withdraw."))
    if any(isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < number for one in withdrawn):
        raise HookError(name, ValueError(f"withdrew a position that is not a number from 0 to {number - 1}."))
    return withdrawn


def versions(*values: Canvas | Choice | Tensor | None) -> tuple[tuple[int, int], ...]:
    """What changes when a tensor of these is changed in place. The device is not asked."""
    found: list[tuple[int, int]] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append((id(value), value._version))
        elif value is not None:
            tensors = [getattr(value, part) for part in (CANVAS if isinstance(value, Canvas) else CHOICE)]
            if isinstance(value, Canvas) and (state := value.sampler) is not None:
                tensors += [*(getattr(state, part) for part in COLUMNS), *state.own.values()]
            found += [(id(tensor), tensor._version) for tensor in tensors if tensor is not None]
    return tuple(found)


def choice_checks(name: str, canvas: Canvas, logits: Tensor, choice: Choice) -> list[Check]:
    """Checks of the values of a choice that an extension changed."""
    token, vocabulary = choice.token, logits.shape[1]
    outside = choice.commit & ((token < 0) | (token >= vocabulary))
    inside = token.clamp(0, vocabulary - 1)[:, None].to(logits.device)
    banned = (logits.gather(1, inside)[:, 0] == -torch.inf).to(token.device)
    share = choice.probability
    nonsense = choice.confidence.isnan() | ~((share > -ROUNDING) & (share < 1 + ROUNDING))
    checks = [
        _check(name, outside, "chose a token that the checkpoint does not have."),
        _check(name, banned & choice.commit & ~outside, "chose a token that is forbidden."),
        _check(name, nonsense, "gave a confidence that is not a number or a probability outside 0 to 1."),
    ]
    if choice.remask is not None:
        committed = ~canvas.given & (canvas.tokens != canvas.mask)
        untouchable = (choice.remask & ~committed).any(1)
        sentence = "remasked a position that is given or not committed."
        checks.append(_check(name, untouchable, sentence, per_row=True))
    return checks


def _check(name: str, wrong: Tensor, sentence: str, per_row: bool = False) -> Check:
    return Check(wrong, lambda index: HookError(name, ValueError(sentence)), per_row)
