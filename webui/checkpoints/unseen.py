"""Logits of committed positions as if they were masked, in the same forward pass.

Behind the columns of a canvas lie further ones, one for each such position: the mask token at the same
place, which attends to the whole canvas but the token in question, and which no other column attends to
(Hong et al. 2025, WINO, arXiv 2507.18578). In families that predict a token from the position before it
there are two: that mask, and a copy of the token before, which attends to it. What the other tokens owe to
the one in question stays in their hidden states: it is an approximation of masking it, at the price of a
column instead of a row. With one layer it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from webui.canvas import ALIGN, Canvas


@dataclass(frozen=True)
class Unseen:
    """The further columns of a canvas of B rows, for W positions of each: as many as the row with the most
    needs, rounded up.

    target  (B, W) long: the positions, each column once
    used    (B, W) bool: the others are there to fill up
    mask    the mask token
    shift   whether a token is predicted from the position before it
    """

    target: Tensor
    used: Tensor
    mask: int
    shift: bool

    @classmethod
    def of(cls, canvas: Canvas, shift: bool) -> Unseen | None:
        """Those of a canvas; None if there are none. Asks nothing of the device where the counts are
        known."""
        if canvas.sampler is None or not (most := max((count.unseen for count in canvas.counts), default=0)):
            return None
        wanted = canvas.unseen
        columns = torch.arange(wanted.shape[1], device=wanted.device)
        if shift:  # a row's first token is predicted from its own position: nothing can stand for it
            wanted = wanted & (columns > canvas.start[:, None])
        width = min(-(-most // ALIGN) * ALIGN, wanted.shape[1])
        target = (~wanted).to(torch.uint8).argsort(dim=1, stable=True)[:, :width]
        return cls(target, wanted.gather(1, target), canvas.mask, shift)

    def moved(self, columns: int) -> Unseen:
        """For the same canvas with so many more columns on the left."""
        return Unseen(self.target + columns, self.used, self.mask, self.shift)

    def tokens(self, tokens: Tensor) -> Tensor:
        """(B, L + further columns) of `tokens` (B, L)."""
        masks = torch.full_like(self.target, self.mask)
        more = [tokens.gather(1, self._source(tokens.shape[1]))] if self.shift else []
        return torch.cat([tokens, masks, *more], 1)

    def positions(self, positions: Tensor) -> Tensor:
        """The same of `positions` (B, L)."""
        more = [self._source(positions.shape[1])] if self.shift else []
        return torch.cat([positions, *(positions.gather(1, at) for at in (self.target, *more))], 1)

    def attention(self, mask: Tensor, least: float) -> Tensor:
        """(B, 1, L', L'), L' with the further columns, of what is added to the attention logits, `mask`
        (B, 1, L, L)."""
        length, (rows, width) = mask.shape[-1], self.target.shape
        places = [self.target, *([self._source(length)] if self.shift else [])]
        whole = length + width * len(places)
        every = mask.new_full((rows, 1, whole, whole), least)
        every[:, :, :length, :length] = mask
        for i, at in enumerate(places):
            seen = mask[:, 0].gather(1, at[:, :, None].expand(-1, -1, length))
            for hidden in places:
                seen.scatter_(2, hidden[:, :, None], least)
            first = length + i * width
            every[:, 0, first : first + width, :length] = seen
            for j, other in enumerate(places):
                # what it would see of the canvas's own column
                weight = mask[:, 0].gather(1, at[:, :, None].expand(-1, -1, length))
                weight = weight.gather(2, other[:, :, None])[:, :, 0]
                second = length + j * width
                every[:, 0, first : first + width, second : second + width].diagonal(dim1=1, dim2=2).copy_(
                    weight
                )
        return every

    def taken(self, hidden: Tensor) -> Tensor:
        """(B, L, D) of hidden states (B, L', D): those of the further columns where logits are taken from."""
        width = self.target.shape[1]
        length = hidden.shape[1] - width * (2 if self.shift else 1)
        at = self._source(length) if self.shift else self.target
        canvas, further = hidden[:, :length], hidden[:, -width:]
        index = at[:, :, None].expand(-1, -1, hidden.shape[2])
        further = torch.where(self.used[:, :, None], further, canvas.gather(1, index))
        return canvas.scatter(1, index, further)

    def _source(self, length: int) -> Tensor:
        """(B, W): the column before each, each once."""
        return (self.target - 1) % length
