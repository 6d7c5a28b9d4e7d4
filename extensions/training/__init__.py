"""Training: stories and their attributes, a tokenizer, a masked-diffusion trainer, a checkpoint in LLaDA's
format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webui import Command, Extension, Tab


class Training(Extension):
    """Trains small checkpoints from a story grammar and, if given, real text; measures any checkpoint."""

    title = "Training"

    @classmethod
    def tab(cls) -> Tab:
        return Tab("training-view", "Training")

    @classmethod
    def assets(cls) -> Sequence[str]:
        return ("training.js", "training.css")

    @classmethod
    def routes(cls) -> Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]]:
        from .routes import ROUTES

        return ROUTES

    @classmethod
    def commands(cls) -> Mapping[str, Command]:
        """`train`, `finetune`, `adapt` and `evaluate`."""
        from . import main  # here, so that `python -m extensions.training.main` imports it once
        from .adapt import COMMAND as ADAPT
        from .evaluation import COMMAND as EVALUATE
        from .finetune import COMMAND as FINETUNE

        def train(app, options) -> int:
            options.out = options.out or app.settings.checkpoints / "trained"
            return main.run(options)

        about = "train a checkpoint from a recipe; an interrupted run goes on where it was"
        return {
            "train": Command(about, train, main.arguments),
            "finetune": FINETUNE,
            "adapt": ADAPT,
            "evaluate": EVALUATE,
        }
