"""Cross-entropy of a tied head, computed with its gradients chunk by chunk.

The scores of a batch over the vocabulary are by far the largest tensor of a small model. Here they exist for
`CHUNK` positions at a time: each chunk's gradients are made while its scores are still in the processor's
cache, and only those are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 1024


def piece(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One chunk: losses (n,) in nats, and the gradients of sum(weights * losses) by hidden (n, d) and by
    weight (V, d)."""
    scores = (hidden @ weight.t()).float()
    scores = scores - scores.amax(-1, keepdim=True)
    exp = scores.exp()
    total = exp.sum(-1, keepdim=True)
    losses = total.log().squeeze(-1) - scores.gather(-1, targets[:, None]).squeeze(-1)
    columns = torch.arange(weight.shape[0], device=weight.device)
    slope = ((exp / total - (columns == targets[:, None]).float()) * weights[:, None]).to(hidden.dtype)
    return losses, slope @ weight, slope.t() @ hidden


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, weights, step):
        low = weight.to(hidden.dtype)
        n = hidden.shape[0]
        losses, slopes = [], []
        by_weight = torch.zeros_like(weight)
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            h, y, w = hidden[part], targets[part], weights[part]
            short = CHUNK - h.shape[0]
            if short:  # one shape only, so that a compiled step is compiled once
                h, y, w = (torch.cat([x, x.new_zeros((short, *x.shape[1:]))]) for x in (h, y, w))
            loss, slope, outer = step(h, low, y, w)
            losses.append(loss)
            slopes.append(slope)
            by_weight += outer
        ctx.save_for_backward(torch.cat(slopes)[:n], by_weight)
        losses = torch.cat(losses)[:n]
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx, outer, _):
        slope, by_weight = ctx.saved_tensors
        return slope * outer.to(slope.dtype), by_weight * outer, None, None, None


def head_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, step=piece
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross-entropies of N positions, and each of them.

    hidden (N, d) in the computing dtype; weight (V, d) fp32; targets (N,) int64; weights (N,) fp32; `step` is
    `piece` or its compiled form. Gives (scalar with gradients, (N,) nats without).
    """
    return _HeadLoss.apply(hidden, weight, targets, weights, step)
