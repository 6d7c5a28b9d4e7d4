"""Saved results: one file each, and an index beside them that can be thrown away."""
