"""Denoises canvases: requests in, events and results out."""
