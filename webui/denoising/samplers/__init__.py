"""Samplers: named compositions of a schedule, a draw, a confidence, a selection and a remasking. Pure: canvas
and logits in, Choice out.

Every part works on all rows at once; rows of different samplers share a forward pass, and each part is
evaluated once per kind that the batch holds. All state is tensors in `canvas.sampler`. A batch is
`prepare`d once; each step is `activate`, the model call, `observe`, `choose`, `commit`, until all rows are
`finished`.
"""

from webui.denoising.samplers.dreamon import may_expand, spent
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import REFERENCE
from webui.denoising.samplers.state import (
    SamplerOptions,
    activate,
    choose,
    commit,
    counted,
    finished,
    observe,
    prepare,
)
from webui.denoising.samplers.table import BUILT_IN, Sampler, SamplerTable

__all__ = [
    "BUILT_IN",
    "REFERENCE",
    "Plan",
    "Sampler",
    "SamplerOptions",
    "SamplerTable",
    "activate",
    "choose",
    "commit",
    "counted",
    "finished",
    "may_expand",
    "observe",
    "prepare",
    "spent",
]
