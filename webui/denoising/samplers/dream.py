"""Dream's samplers (Ye et al. 2025, arXiv 2508.15487, its published generation code).

Times t run linearly from 1 to `eps`; a step from t to s commits a share of 1 - s / t of what is masked,
rounded down, the last step all. `select` takes the most confident, or with `alg_temp` draws them from the
softmax of confidence / alg_temp; `origin` commits each masked position with that probability. With the
confidence "probability" that is maskgit_plus, with "margin" topk_margin, with "entropy" entropy; it is
measured after temperature and filters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas, noise
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import rank


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """As many as the times say, by confidence or drawn by it."""
    rows, columns = canvas.at
    warmth = canvas.state.own["alg_temp"].to(confidence.dtype)[rows]
    position = columns - canvas.answer[rows]
    key = noise.counter(canvas.seed[rows], noise.ORDER, position, canvas.step[rows])
    drawn = confidence / warmth.clamp(min=1e-9) + noise.gumbel(key).to(confidence.dtype)
    value = torch.where(warmth > 0, drawn, confidence)
    masked = torch.zeros_like(canvas.step).scatter_add_(0, rows, torch.ones_like(rows))
    share, last = _share(canvas)
    count = torch.where(last, masked, (masked * share).long())
    return rank(canvas, value) < count[rows]


def origin(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """Each masked position by itself; late end-of-text in the last step."""
    rows, columns = canvas.at
    position = columns - canvas.answer[rows]
    luck = noise.uniform(noise.counter(canvas.seed[rows], noise.COMMIT, position, canvas.step[rows]))
    share, last = _share(canvas)
    return ((luck.double() < share[rows]) & (confidence > -torch.inf)) | last[rows]


def _share(canvas: Canvas) -> tuple[Tensor, Tensor]:
    """(B,) double: what share of what is masked is committed; and (B,) bool: whether it is the block's last
    step."""
    state = canvas.state
    made, steps = (canvas.step - state.block_begin).double(), state.block_steps
    fall = (state.own["eps"].double() - 1) / steps
    share = 1 - (1 + fall * (made + 1)) / (1 + fall * made)
    return share, made + 1 >= steps
