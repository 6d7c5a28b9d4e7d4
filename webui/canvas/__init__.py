"""The canvas: the tokens being denoised, as frozen tensors. What engine, samplers and extensions share."""

from webui.canvas.canvas import ALIGN, Canvas, Choice, Count, Template
from webui.canvas.state import SamplerState

__all__ = ["ALIGN", "Canvas", "Choice", "Count", "SamplerState", "Template"]
