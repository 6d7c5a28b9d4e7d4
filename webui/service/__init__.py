"""Jobs and their queue, presets, and the history of results."""
