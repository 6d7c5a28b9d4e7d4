"""Merges checkpoints: `python app.py merge --method weighted_sum --a A --b B --weight 0.3 --out NAME`."""

from __future__ import annotations

from collections.abc import Mapping

from webui import Command, Extension


class CheckpointMerger(Extension):
    """Makes a checkpoint of two or three of one shape, tensor by tensor."""

    title = "Checkpoint merger"

    @classmethod
    def commands(cls) -> Mapping[str, Command]:
        """`merge`."""
        from .command import arguments, run

        about = "make a checkpoint of two or three of one shape; an interrupted run goes on where it was"
        return {"merge": Command(about, run, arguments)}
