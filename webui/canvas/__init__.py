"""The canvas: the tokens being denoised, as frozen tensors. What engine and extensions share."""

from webui.canvas.canvas import ALIGN, Canvas, Choice, Template

__all__ = ["ALIGN", "Canvas", "Choice", "Template"]
