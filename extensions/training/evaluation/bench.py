"""The program at the bench: writes answers through its own queue, scores texts, and tells on stderr how far
it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui import App, Cell, Request, Result

from ..grammar import Grammar
from ..grammar.story import Story
from . import questions

if TYPE_CHECKING:
    from .judge import Judge

EVERY = 0.5  # seconds between looks at a job


class Desk(App):
    """The program with its history off, whose jobs may hold many different requests: one job is one list of
    them."""

    def __init__(self, app: App):
        super().__init__(app.settings.model_copy(update={"keep_history": False}))
        self.asked: Sequence[Request] = ()

    def expand(self, request: Request) -> tuple[Cell, ...]:
        cells: list[Cell] = []
        for one in self.asked:
            cells += super().expand(one)
        return tuple(Cell(str(i), cell.request, cell.axes) for i, cell in enumerate(cells))


@dataclass(frozen=True)
class Answer:
    """What the program wrote. `tokens` are those that were committed, by column; `ended` says that
    end-of-text is among them; `order` are the columns in the order in which they were committed."""

    prompt: str
    seed: int
    text: str
    tokens: tuple[int, ...]
    ended: bool
    order: tuple[int, ...] = ()
    forwards: int = 0  # denoising steps


class Bench:
    """A checkpoint and what it is measured with. ValueError if there is no such checkpoint."""

    def __init__(
        self,
        app: App,
        model: str | None,
        samples: int,
        seed: int,
        corpus: Path | None,
        judge: Path | None = None,
    ):
        self._app = Desk(app)
        self.name = self._app.checkpoints.entry(model).name
        self.samples, self.seed, self.corpus, self._judge = samples, seed, corpus, judge
        self.grammar = Grammar.load()
        self.preset = self._app.checkpoints.profile(self.name)["preset"]
        self._written: dict[tuple, list[Answer]] = {}
        self._texts: list[dict[str, Any]] = []
        self._seconds: dict[str, float] = {}

    @cached_property
    def stories(self) -> list[Story]:
        """The held-out stories that prompts are made from."""
        return questions.held_out(self.grammar, self.samples)

    @cached_property
    def lengths(self) -> questions.Lengths:
        """The code for the length of the grammar's stories in this checkpoint's tokens."""
        return questions.Lengths(self.grammar, self.model.tokenizer.encode)

    @property
    def model(self) -> Any:
        """The loaded checkpoint. Whenever this thread has the turn the queue is empty, so the worker does not
        use it."""
        import torch

        if self._app.settings.threads:
            torch.set_num_threads(self._app.settings.threads)
        return self._app.checkpoints.load(self.name)

    def has(self, extension: str) -> bool:
        """Whether requests have the field of this extension."""
        return extension in self._app.Request.model_fields

    def preset_scale(self) -> float:
        """The guidance that users get who say nothing."""
        return float((self.preset.get("guidance") or {}).get("scale") or 1.0)

    def label(self, scale: float | None = None) -> str:
        """What the answers to the stories' tags are called, at a guidance scale or the preset's."""
        return f"stories, guidance {self.preset_scale() if scale is None else scale:g}"

    def guidance(self, scale: float | None, **more: Any) -> dict[str, Any]:
        """Request fields for a guidance scale (None: the preset's). ValueError if the program has no
        guidance."""
        wanted = {} if scale is None or scale == self.preset_scale() else {"scale": scale}
        if (wanted or more) and not self.has("guidance"):
            raise ValueError("not there: the program has no extension guidance")
        return {"guidance": {**wanted, **more}} if wanted or more else {}

    def write(self, prompts: Sequence[str], label: str, **fields: Any) -> list[Answer]:
        """Answer k to prompt k, with seed k from the bench's on, all as one job. The same question is
        answered once only.

        ValueError if a text could not be made.
        """
        key = (tuple(prompts), repr(sorted(fields.items())))
        if key not in self._written:
            make = self._app.Request
            wanted = [
                make(prompt=one, model=self.name, seed=self.seed + k, **fields)
                for k, one in enumerate(prompts)
            ]
            with self._stage(label) as progress:
                results = self._run(wanted, progress)
            ends = self.model.ends
            self._written[key] = [_answer(result, ends) for result in results]
            self._texts += [
                {
                    "run": label,
                    "prompt": one.prompt,
                    "seed": one.seed,
                    "text": one.text,
                    "ended": one.ended,
                    **fields,
                }
                for one in self._written[key]
            ]
        return self._written[key]

    def score(self, passages: Sequence[questions.Passage], label: str) -> list[float]:
        """The bound in nats for each passage."""
        from webui import bounds

        with self._stage(label) as progress:
            return bounds(self.model, passages, self.seed, progress=progress)

    @cached_property
    def judge(self) -> Judge | None:
        """The independent language model, if one was given. ValueError if it cannot be loaded."""
        if self._judge is None:
            return None
        from .judge import Judge

        return Judge(self._judge)

    def bits(self, texts: Sequence[str], label: str) -> list[float]:
        """What the judge needs for each text, in bits."""
        assert self.judge is not None
        with self._stage(label) as progress:
            return self.judge.bits(texts, progress)

    def passages(self, text: str, condition: str = "") -> list[questions.Passage]:
        """A text as the model's own answer to `condition`, cut to its length."""
        model = self.model
        facts, frame = model.description, model.tokenizer.prompt(condition, "", "auto").tokens
        end = model.tokenizer.end if model.tokenizer.end is not None else next(iter(model.ends), None)
        return questions.passages(text, model.tokenizer.encode, frame, end, facts.prefix, facts.max_length)

    def facts(self) -> dict[str, Any]:
        """What was measured, and with what."""
        facts = self.model.description
        return {
            "checkpoint": facts.name,
            "fingerprint": facts.fingerprint,
            "family": facts.family,
            "device": facts.device,
            "dtype": facts.dtype,
            "max_length": facts.max_length,
            "preset": dict(facts.preset),
            "samples": self.samples,
            "seed": self.seed,
            "corpus": str(self.corpus) if self.corpus else None,
        }

    def texts(self) -> list[dict[str, Any]]:
        """Every answer so far: those that users get who change nothing first, then the others as they were
        asked for."""
        return sorted(self._texts, key=lambda text: text["run"] != self.label())

    def seconds(self) -> dict[str, float]:
        """How long each stage took."""
        return self._seconds

    def close(self) -> None:
        self._app.close()

    def _run(self, wanted: Sequence[Request], progress: Any) -> Sequence[Result]:
        self._app.asked = wanted
        job = self._app.queue.submit(wanted[0])
        try:
            for update in job.subscribe().updates(EVERY):
                progress(update["progress"])
        except KeyboardInterrupt:
            job.cancel()
            raise
        if job.result is None:
            raise ValueError(job.error or "the job was cancelled")
        results = job.result.parts or (job.result,)
        for result in results:
            if result.error:
                raise ValueError(f"a text could not be made: {result.error}")
        return results

    @contextmanager
    def _stage(self, label: str) -> Iterator[Any]:
        """Times a stage, and shows on stderr how much of it is done; where nobody watches, only that it is
        over."""
        began, live = time.monotonic(), sys.stderr.isatty()

        def progress(share: float) -> None:
            if live:
                sys.stderr.write(f"\r{label}: {share:4.0%}")
                sys.stderr.flush()

        yield progress
        self._seconds[label] = round(self._seconds.get(label, 0.0) + time.monotonic() - began, 1)
        print(
            f"{chr(13) if live else ''}{label}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
        )


def _answer(result: Result, ends: Sequence[int]) -> Answer:
    committed = {change.column: change.token for change in result.trace}
    tokens = tuple(token for _, token in sorted(committed.items()) if token is not None)
    ended = not set(ends).isdisjoint(tokens)
    order = tuple(change.column for change in result.trace)
    made = result.statistics.forwards
    return Answer(result.request.prompt, result.request.seed, result.text, tokens, ended, order, made)
