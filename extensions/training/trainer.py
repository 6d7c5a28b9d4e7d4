"""The loop: next-token prediction first, then masked diffusion; a step is a function of its number and the
state before it.

Loss of the masked phase (Sahoo et al. 2024, Nie et al. 2025): every token is masked with probability t, drawn
per row and stratified over the batch; cross-entropy on the masked tokens, weighted 1/t, divided by the number
of tokens.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import state
from .corpus import CONTENT, FRAME_KIND, PADDING, TEXT, Batch, Corpus
from .export import export
from .loss import CHUNK, head_loss, piece
from .network import Network, Shape, deepened
from .optimizer import Optimizer
from .recipe import Plan, Recipe


@dataclass(frozen=True)
class Question:
    """What a step asks of the network: inputs (B, L); targets and weights (N,) at flat positions (N,); how
    many tokens count."""

    inputs: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor
    count: float
    causal: bool


def rate(plan: Plan, step: int) -> float:
    """The factor on the learning rates: up over `warmup` steps, flat until `hold`, then straight down to
    `floor`."""
    if step < plan.warmup:
        return (step + 1) / plan.warmup
    fall = (step - plan.hold * plan.steps) / max(1.0, (1 - plan.hold) * plan.steps)
    return 1.0 - (1.0 - plan.floor) * min(1.0, max(0.0, fall))


def question(batch: Batch, plan: Plan, step: int, seed: int, mask: int) -> Question:
    """What step `step` asks of a batch."""
    tokens, kinds = batch.tokens, batch.kinds
    b, n = tokens.shape
    weigh = torch.tensor([0.0, 1.0, 1.0, plan.padding, plan.further])[kinds.long()]
    if step < plan.causal * plan.steps:
        weigh = torch.where(kinds == CONTENT, plan.content, weigh)
        positions = (weigh[:, 1:] > 0).flatten().nonzero().squeeze(1)
        positions = positions // (n - 1) * n + positions % (n - 1)
        return Question(
            tokens,
            positions,
            tokens.flatten()[positions + 1],
            weigh.flatten()[positions + 1],
            float((kinds >= TEXT).sum()),
            True,
        )
    dice = torch.Generator().manual_seed(random.Random(f"{seed} noise {step}").getrandbits(62))
    low = plan.last_low if step >= (1 - plan.last) * plan.steps else plan.low
    strata = (torch.randperm(b, generator=dice) + torch.rand(b, generator=dice)) / b
    t = (low + (1 - low) * strata)[:, None]
    fate = torch.rand(b, 1, generator=dice)
    content, empty = kinds == CONTENT, (fate >= plan.clean) & (fate < plan.clean + plan.empty)
    shown = content & (fate < plan.clean + plan.empty) | (kinds == FRAME_KIND)
    hidden = (torch.rand(b, n, generator=dice) < t) & ~shown
    positions = hidden.flatten().nonzero().squeeze(1)
    count = float((kinds >= TEXT).sum() + (content & ~shown).sum())
    return Question(
        tokens.masked_fill(hidden | content & empty, mask),
        positions,
        tokens.flatten()[positions],
        (weigh / t).flatten()[positions],
        count,
        False,
    )


class Trainer:
    """A run of a recipe over a corpus: network, averaged weights, optimizer, and the step they stand at."""

    def __init__(self, recipe: Recipe, corpus: Corpus, tokenizer, mask: int, device: str = "cpu"):
        self.recipe, self.corpus, self.tokenizer, self.mask, self.device = (
            recipe,
            corpus,
            tokenizer,
            mask,
            device,
        )
        sizes = asdict(recipe.network)
        self.shape = Shape(**sizes)
        self.network = Network(self.shape, torch.Generator().manual_seed(recipe.seed)).to(device)
        self.dtype = precision(recipe.precision, device)
        self.optimizer = Optimizer(self.network, self.dtype)
        self.average = {name: one.detach().clone() for name, one in self.network.named_parameters()}
        self.step, self.seen, self.before = 0, 0, 0  # `before`: tokens of the weights it began with
        self.body, self.piece = self.network, piece
        if recipe.compile:
            self._compile()

    def _compile(self) -> None:
        """Compile, and run once at one size in both phases: what the compiler makes then never depends on
        where a run starts."""
        self.body, self.piece = torch.compile(self.network, dynamic=True), torch.compile(piece, dynamic=False)
        n = self.shape.max_length - 8
        rows = torch.zeros(max(2, self.recipe.data.tokens // n), n, dtype=torch.int64, device=self.device)
        for causal in (True, False):
            states = self.body(rows, causal, self.dtype).flatten(0, 1)[:CHUNK]
            ones = torch.ones(len(states), device=self.device)
            loss, _ = head_loss(states, self.network.wte, rows.flatten()[:CHUNK], ones, self.piece)
            loss.backward()
        self.network.zero_grad(set_to_none=True)

    def advance(self) -> Tensor:
        """One step. Gives the mean loss in nats per predicted token, unweighted, as a scalar tensor."""
        plan, batch = self.recipe.plan, self.corpus.batch(self.step)
        asked = question(batch, plan, self.step, self.recipe.seed, self.mask)
        if self.shape.dropout:
            torch.manual_seed(random.Random(f"{self.recipe.seed} dropout {self.step}").getrandbits(62))
        self.network.train()
        positions, targets, weights = (
            one.to(self.device) for one in (asked.positions, asked.targets, asked.weights)
        )
        states = self.body(asked.inputs.to(self.device), asked.causal, self.dtype).flatten(0, 1)[positions]
        loss, losses = head_loss(states, self.network.wte, targets, weights / asked.count, self.piece)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), plan.clip)
        factor = rate(plan, self.step)
        self.optimizer.step(plan.muon * factor, plan.adam * factor, plan.decay)
        if plan.sharp and self.step % 8 == 0:
            self.network.soften(asked.inputs[:4].to(self.device), asked.causal, plan.sharp)
        keep = min(plan.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, one in self.network.named_parameters():
                self.average[name].lerp_(one, 1 - keep)
        self.step += 1
        self.seen += int((batch.kinds != PADDING).sum())
        return losses.mean()

    @torch.no_grad()
    def begin(self, weights: dict[str, Tensor]) -> None:
        """Begin with these weights, by the network's names, instead of random ones; a network with more
        layers begins as one that computes the same. ValueError if they are of another width or vocabulary."""
        mine = dict(self.network.named_parameters())
        if len(weights) < len(mine):
            weights = deepened(weights, self.shape.layers)
        if {name: one.shape for name, one in mine.items()} != {
            name: one.shape for name, one in weights.items()
        }:
            raise ValueError("The checkpoint to start from has another shape than the recipe's network.")
        for name, one in mine.items():
            one.copy_(weights[name])
            self.average[name].copy_(one)

    def averaged(self) -> Network:
        """A network of the averaged weights, to look at."""
        made = Network(self.shape)
        made.load_state_dict({name: one.cpu() for name, one in self.average.items()})
        return made.eval()

    def save(self, folder: Path, facts: dict) -> None:
        """Write the whole state."""
        tensors = {f"network.{name}": one.detach() for name, one in self.network.named_parameters()}
        tensors |= {f"average.{name}": one for name, one in self.average.items()}
        tensors |= {f"optimizer.{name}": one for name, one in self.optimizer.state().items()}
        state.write(folder, tensors, {**facts, "step": self.step, "seen": self.seen, "before": self.before})

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], facts: dict) -> None:
        """Continue from a state that `save` wrote."""
        for name, one in self.network.named_parameters():
            one.copy_(tensors[f"network.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
        mine = {
            name.removeprefix("optimizer."): one
            for name, one in tensors.items()
            if name.startswith("optimizer.")
        }
        self.optimizer.restore(mine, facts["step"])
        self.step, self.seen, self.before = facts["step"], facts["seen"], facts["before"]

    def export(self, folder: Path) -> None:
        """Write the averaged weights as a checkpoint."""
        facts = {"recipe": self.recipe.name, "step": self.step, "tokens": self.before + self.seen}
        export(folder, self.average, self.shape, self.tokenizer, facts, self.recipe.shard_megabytes)


def precision(wanted: str, device: str) -> torch.dtype:
    """The type of the matrix products. ValueError for a word that is none."""
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if wanted == "auto":
        fast = device != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        wanted = "bf16" if fast else "fp32"
    if wanted not in kinds:
        raise ValueError(f"There is no precision {wanted}; there are auto, fp32, bf16.")
    return kinds[wanted]


def loop(
    trainer: Trainer,
    save: Callable[[], None],
    show: Callable[[], None],
    report: Callable[[float, float], None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Advance to the recipe's end. `save` and `show` (export, samples) by the clock, `report(loss, tokens/s)`
    by steps."""
    recipe = trainer.recipe
    saved = shown = began = time.monotonic()
    early = True
    losses, seen = [], trainer.seen
    while trainer.step < recipe.plan.steps and not stopped():
        losses.append(trainer.advance())
        now = time.monotonic()
        if trainer.step % recipe.report == 0 or trainer.step == recipe.plan.steps:
            report(float(torch.stack(losses).mean()), (trainer.seen - seen) / (now - began))
            losses, seen, began = [], trainer.seen, now
        if now - saved >= 60 * recipe.save_minutes:
            save()
            saved = time.monotonic()
        if now - shown >= 60 * recipe.export_minutes or early and now - shown >= 20 * recipe.export_minutes:
            show()
            early, shown = False, time.monotonic()
    save()
    show()
