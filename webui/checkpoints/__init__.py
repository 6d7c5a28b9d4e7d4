"""Checkpoints on disk: find, identify, and load them."""
