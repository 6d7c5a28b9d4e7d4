"""Merges checkpoints: `python app.py merge --method weighted_sum --a A --b B --weight 0.3 --out NAME`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webui import Command, Extension, Tab


class CheckpointMerger(Extension):
    """Makes a checkpoint of two or three of one shape, tensor by tensor."""

    title = "Checkpoint merger"

    @classmethod
    def tab(cls) -> Tab:
        return Tab("merger-view", "Merger")

    @classmethod
    def assets(cls) -> Sequence[str]:
        return ("merger.js", "merger.css")

    @classmethod
    def routes(cls) -> Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]]:
        from .routes import ROUTES

        return ROUTES

    @classmethod
    def commands(cls) -> Mapping[str, Command]:
        """`merge`."""
        from .command import arguments, run

        about = "make a checkpoint of two or three of one shape; an interrupted run goes on where it was"
        return {"merge": Command(about, run, arguments)}
