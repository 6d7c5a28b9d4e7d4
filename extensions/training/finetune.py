"""Train a LoRA, a soft prompt or all weights of any checkpoint: `python app.py finetune --data poems.txt
--out poet`.

Masked-diffusion loss (Sahoo et al. 2024, Nie et al. 2025) on the answer: each of its tokens is masked with
probability t, drawn per row and stratified over the batch; cross-entropy on the masked tokens, weighted 1/t,
divided by the number of tokens. Of a LoRA A and B of each linear layer learn (Hu et al. 2021) and the
checkpoint's weights stay; see `full`, `soft_prompt` and `quantized` for the others. A step is a function of
its number and of the state before it: a run that was killed and resumed gives the same adapter, bit for bit,
on the same machine with the same number of threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from webui import Command, alone

from . import state
from .team import Team

if TYPE_CHECKING:
    from torch import Tensor

LOW = 0.1  # the least share of masked tokens: below it the weight 1/t makes steps noisy
HELD = 0.05  # of the rows, from the end of the data, measure how good it is
MOST_HELD = 64  # rows
ANSWERS = ("answer", "text", "completion", "response", "output")  # keys of a line; the first that is there
WORD = re.compile(r"[a-zA-Z]{4,}")


@dataclass(frozen=True)
class Kind:
    """What is trained: its folder of models, what it is called, the end of its file's name ("": a folder),
    and the learning rate that usually suits it."""

    folder: str
    word: str
    suffix: str
    rate: float


KINDS = MappingProxyType(
    {
        "lora": Kind("loras", "LoRA", "", 2e-3),
        "qlora": Kind("loras", "LoRA", "", 2e-3),
        "soft-prompt": Kind("embeddings", "soft prompt", ".safetensors", 2e-2),
        "full": Kind("checkpoints", "checkpoint", "", 2e-4),
    }
)
RUN = "run.json"  # the flags of a run, beside its state
REMEMBERED = tuple(
    "out kind model steps batch length rank alpha rate targets trigger keywords template seed every "
    "sample".split()
)
SHOWN = 10  # steps between two losses in the log
LIMITS = MappingProxyType(
    {
        "steps": (1, 10**7),
        "batch": (1, 4096),
        "rank": (1, 1024),
        "every": (1, 10**6),
        "keywords": (0, 20),
    }
)
NAME = re.compile(r"\w(?:[\w .+-]{0,98}[\w+-])?")  # one that a tag and every disk can hold


@dataclass(frozen=True)
class Example:
    """An answer in tokens, and the prompt it is an answer to; None where the data has no prompts."""

    prompt: str | None
    tokens: tuple[int, ...]
    text: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run does, as its state remembers it."""

    checkpoint: str
    fingerprint: str
    data: str
    steps: int
    batch: int
    length: int
    rank: int
    alpha: float
    rate: float
    targets: str
    trigger: str
    keywords: int
    seed: int
    kind: str = "lora"
    template: str = "auto"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="a text file, or a .jsonl with `text`, or `prompt` and `answer`",
    )
    parser.add_argument(
        "--out", required=True, help="name of the LoRA, a folder in models/loras, soft prompt or checkpoint"
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="lora",
        help="what learns: a LoRA (qlora: on weights in 4 bits, by bitsandbytes), the embeddings of the "
        "trigger words, or every weight: then the result is a checkpoint",
    )
    parser.add_argument("--model", help="the checkpoint (default: the default checkpoint)")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step (default: 8)")
    parser.add_argument(
        "--length", type=int, default=0, help="tokens of a row's answer (default: what fits, 256 at most)"
    )
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, help="scale times rank (default: twice the rank)")
    rates = ", ".join(f"{name} {kind.rate:g}" for name, kind in KINDS.items())
    parser.add_argument("--rate", type=float, help=f"learning rate (default: {rates})")
    parser.add_argument(
        "--targets", default="all", help="ends of module names, as q_proj,v_proj (default: all linear layers)"
    )
    parser.add_argument("--trigger", default="", help="words before each prompt that call the LoRA up")
    parser.add_argument(
        "--keywords",
        type=int,
        default=2,
        help="words of a text that are its prompt in half of the rows, where the data has none (default: 2)",
    )
    parser.add_argument(
        "--template",
        choices=("auto", "raw"),
        default="auto",
        help="raw: rows have nothing of the checkpoint's chat template around them",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=50, help="steps between measurements (default: 50)")
    parser.add_argument("--sample", help="a prompt for which a text is written at every measurement")
    parser.add_argument("--stop", type=int, help="stop at this step as if interrupted, to resume later")
    parser.add_argument(
        "--fresh", action="store_true", help="start again, over a state or a LoRA of this name"
    )


def run(app: Any, options: argparse.Namespace) -> int:
    """Train as the flags say; resumes by itself. ValueError with one sentence."""
    _check(options)
    if options.kind == "qlora":
        from .quantized import library

        library()  # before anything is loaded
    team = Team.here()
    if options.batch < team.size:
        raise ValueError(f"--batch must be at least {team.size}, a row for each process.")
    lock = app.settings.models / KINDS[options.kind].folder / f".training-{options.out}.lock"
    taken = f"{options.out} is being trained by another command; stop it first, or give another --out."
    try:
        with alone(lock, taken) if team.first else nullcontext():
            return _run(app, options, team)
    except OSError as error:
        raise ValueError(
            f"The disk refused: {error.strerror or error}. The same command goes on from here."
        ) from error


def _run(app: Any, options: argparse.Namespace, team: Team) -> int:
    """The same, by nobody else."""
    from .main import _signals, _tell

    model = app.checkpoints.load(options.model)
    examples = read(options.data, model, options.length)
    plan = Plan(
        checkpoint=model.description.name,
        fingerprint=model.description.fingerprint,
        data=hashlib.sha256(options.data.read_bytes()).hexdigest()[:16],
        steps=options.steps,
        batch=options.batch,
        length=options.length,
        rank=options.rank,
        alpha=options.alpha or 2.0 * options.rank,
        rate=options.rate or KINDS[options.kind].rate,
        targets=options.targets,
        trigger=options.trigger,
        keywords=options.keywords,
        seed=options.seed,
        kind=options.kind,
        template=options.template,
    )
    kind = KINDS[options.kind]
    place = app.settings.models / kind.folder
    folder, keep = place / options.out, place / f".training-{options.out}"
    if options.kind == "full" and team.first:
        from .full import named

        named(folder)
    found = None if options.fresh else state.read(keep)
    made = folder.with_name(f"{folder.name}{kind.suffix}")
    if found is None and made.exists() and (not options.fresh or options.kind == "full"):
        other = "give another --out" + ("." if options.kind == "full" else ", or --fresh.")
        raise ValueError(f"There is a {kind.word} {options.out} already; {other}")
    if found is not None and found[1]["plan"] != asdict(plan):
        raise ValueError(
            f"The state of {options.out} was made with other flags, data or weights; give those, or --fresh."
        )
    halt = _signals()
    tuner = tuner_of(app, model, examples, plan)
    tuner.team = team
    if found is not None:
        tuner.restore(*found)
    team.wait()  # all have read the state before the first one writes
    if not team.first:
        with tuner.hooked():
            while tuner.step < plan.steps and tuner.step != options.stop and not team.any(bool(halt)):
                tuner.learn()
        return 0
    _tell(
        f"{len(tuner.rows)} rows to learn from, {len(tuner.held)} held out, {tuner.size:,} parameters at "
        f"{len(tuner.modules)} modules of {plan.checkpoint}, from step {tuner.step} to {plan.steps}"
    )
    log = Log(keep, tuner.step)
    remember(keep, options)
    with tuner.hooked():
        if tuner.best is None:
            tuner.best = tuner.bound()
            _tell(f"held out without it: {tuner.best:.4f} nats per token, {tuner.bits(tuner.best)}")
            tuner.first = tuner.best
            tuner.keep(keep)
            log.add(step=0, held_out=tuner.best)
        losses: list[float] = []
        while tuner.step < plan.steps and tuner.step != options.stop and not team.any(bool(halt)):
            losses.append(tuner.learn())
            measured = tuner.step % options.every == 0 or tuner.step == plan.steps
            if measured or tuner.step % SHOWN == 0:
                log.add(step=tuner.step, loss=sum(losses) / len(losses))
                losses = []
            if measured:
                bound = tuner.bound()
                sample = "" if options.sample is None else _sample(app, options)
                tuner.preview = sample or tuner.preview
                now = f"step {tuner.step}/{plan.steps} held out {bound:.4f}, {tuner.bits(bound)}"
                _tell(f"{now} {sample!r}".removesuffix(" ''"))
                if bound < tuner.best:
                    tuner.best, tuner.best_step = bound, tuner.step
                    tuner.save(folder)
                tuner.keep(keep)
                log.add(step=tuner.step, held_out=bound, **({"sample": sample} if sample else {}))
        tuner.keep(keep)
    if tuner.step < plan.steps:
        _tell(f"stopped at step {tuner.step}; the same command goes on")
    elif not tuner.best_step:
        raise ValueError("No step was better than the checkpoint alone; give more data or a lower --rate.")
    else:
        _tell(
            f"{made}: held out {tuner.first:.4f} without, {tuner.best:.4f} with it (step {tuner.best_step}), "
            f"{tuner.bits(tuner.best)}"
        )
    return 0


def tuner_of(app: Any, model: Any, examples: Sequence[Example], plan: Plan) -> Tuner:
    """What learns, by its kind."""
    if plan.kind == "lora":
        return Tuner(model, examples, plan)
    if plan.kind == "qlora":
        from .quantized import QuantizedTuner

        return QuantizedTuner(model, examples, plan)
    if plan.kind == "full":
        from .full import FullTuner

        return FullTuner(model, examples, plan, app.checkpoints.entry(plan.checkpoint).folder)
    from .soft_prompt import SoftTuner

    return SoftTuner(model, examples, plan)


class Log:
    """What a run did so far, for whoever watches it: JSON lines in `log.jsonl` beside its state, {"step"}
    with {"loss"}, the mean since the line before, or {"held_out"} and perhaps {"sample"}."""

    FILE = "log.jsonl"

    def __init__(self, folder: Path, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / self.FILE
        kept = [line for line in self.lines(folder) if line["step"] <= step] if step else []
        state.replace(self._file, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def add(self, **line: Any) -> None:
        """One line more."""
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**line, "time": round(time.time(), 1)}) + "\n")

    @classmethod
    def lines(cls, folder: Path) -> list[dict[str, Any]]:
        """The lines of a run; those that a kill cut are left out."""
        try:
            text = (folder / cls.FILE).read_text("utf-8")
        except (OSError, ValueError):
            return []
        found = []
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                found.append(entry)
        return found


def remember(folder: Path, options: argparse.Namespace) -> None:
    """The flags of a run, so that it can be gone on with from elsewhere."""
    flags = {name: getattr(options, name) for name in REMEMBERED if getattr(options, name) is not None}
    said = {**flags, "data": str(options.data.resolve())}
    state.replace(folder / RUN, (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode())


def _sample(app: Any, options: argparse.Namespace) -> str:
    """A text by the model as it is now, "" if there is none. It is not saved in the history."""
    import torch

    threads = torch.get_num_threads()
    app.history.keep = False
    job = app.queue.submit(app.Request(prompt=options.sample, model=options.model, seed=1))
    job.wait()
    torch.set_num_threads(threads)  # training goes on as if nothing had been written
    return "" if job.result is None else job.result.text


def check_numbers(values: Mapping[str, Any], dashes: str = "") -> None:
    """ValueError for numbers out of their range; `dashes` stand before their names in the sentence."""
    for name, (least, most) in LIMITS.items():
        if (value := values.get(name)) is not None and not least <= value <= most:
            raise ValueError(f"{dashes}{name} must be {least} to {most}.")
    if (rate := values.get("rate")) is not None and not 0 < rate <= 1:
        raise ValueError(f"{dashes}rate must be above 0 and at most 1.")


def _check(options: argparse.Namespace) -> None:
    """ValueError for flags that cannot be followed."""
    check_numbers(vars(options), "--")
    if not NAME.fullmatch(options.out):
        raise ValueError("--out is a name of letters, digits, blanks, dots, + and -, no dot or blank last.")
    if not options.data.is_file():
        raise ValueError(f"There is no file {options.data}.")


def read(file: Path, model: Any, length: int) -> list[Example]:
    """The rows of a file: every line of a .jsonl is one, a text is cut. ValueError with the line's number."""
    frame = len(model.tokenizer.prompt("").tokens)
    room = model.description.max_length - frame - 16  # for the prompt
    length = min(length or 256, room)
    if length < 8:
        raise ValueError(f"{model.description.name} has no room for a text of --length tokens.")
    end, prefix = model.ends[:1], model.description.prefix
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text in UTF-8.") from None
    if file.suffix != ".jsonl":
        tokens = model.tokenizer.encode(prefix + text)
        pieces = [tokens[at : at + length] for at in range(0, len(tokens), length)]
        cut = [Example(None, tuple(piece), model.tokenizer.decode(piece)) for piece in pieces]
        return cut[:-1] if len(cut) > 1 and len(cut[-1].tokens) < 8 else cut
    made: list[Example] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError(f"Line {number} of {file} is not JSON.") from None
        key = next((key for key in ANSWERS if isinstance(entry, dict) and key in entry), None)
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if key is None or not isinstance(entry[key], str) or not isinstance(prompt, str | None):
            raise ValueError(f"Line {number} of {file} has no `text`, or no `prompt` and `answer`.")
        tokens = model.tokenizer.encode(prefix + entry[key])
        whole = (*tokens, *end) if len(tokens) < length else tuple(tokens[:length])
        made.append(Example(prompt, tuple(whole), entry[key]))
    return made


class Tuner:
    """A model with an adapter that learns; `rows` to learn from, `held` to measure on."""

    def __init__(self, model: Any, examples: Sequence[Example], plan: Plan):
        import torch

        self.model, self.plan, self.team = model, plan, Team()
        many = max(1, min(MOST_HELD, round(len(examples) * HELD)))
        if len(examples) < 4:
            raise ValueError(f"The data makes {len(examples)} rows; at least 4 are needed.")
        self.rows, self.held = list(examples[:-many]), list(examples[-many:])
        self.step, self.best_step = 0, 0
        self.best: float | None = None
        self.first, self.preview = 0.0, ""  # the bound without it; the last text that was written with it
        model.module.requires_grad_(False)
        self._begin()
        self.moments = {name: torch.zeros_like(one) for name, one in self._named("first")}
        self.moments |= {name: torch.zeros_like(one) for name, one in self._named("second")}

    def _begin(self) -> None:
        """Makes what learns."""
        import torch

        ends = tuple(self.plan.targets.split(","))
        body = {id(module) for module in self.model.body.modules()}
        self.modules = {
            name: module
            for name, module in self.model.module.named_modules()
            if isinstance(module, torch.nn.Linear)
            and id(module) in body
            and ".experts." not in name
            and (self.plan.targets == "all" or name.endswith(ends))
        }
        if not self.modules:
            raise ValueError(f"No linear layer's name ends in one of {self.plan.targets}.")
        dice = torch.Generator().manual_seed(self.plan.seed)
        self.downs: dict[str, Tensor] = {}
        self.ups: dict[str, Tensor] = {}
        for name, module in self.modules.items():
            outputs, inputs = module.weight.shape
            down = (torch.rand(self.plan.rank, inputs, generator=dice) * 2 - 1) / inputs**0.5
            self.downs[name] = down.to(module.weight.device).requires_grad_()
            self.ups[name] = torch.zeros(outputs, self.plan.rank, device=down.device).to(module.weight.device)
            self.ups[name].requires_grad_()

    @property
    def size(self) -> int:
        """How many numbers learn."""
        return sum(one.numel() for one in (*self.downs.values(), *self.ups.values()))

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """The adapter acts in this context."""
        from torch.nn import functional

        scale = self.plan.alpha / self.plan.rank

        def hook(name: str) -> Any:
            def add(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
                low = functional.linear(inputs[0].to(self.downs[name].dtype), self.downs[name])
                return output + (functional.linear(low, self.ups[name]) * scale).to(output.dtype)

            return add

        handles = [module.register_forward_hook(hook(name)) for name, module in self.modules.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def learn(self) -> float:
        """One step of Adam. The loss in nats per token."""
        import torch

        plan, dice = self.plan, random.Random(f"{self.plan.seed} step {self.step}")
        some = [self.rows[dice.randrange(len(self.rows))] for _ in range(plan.batch)]
        with torch.enable_grad():
            loss = self._loss(some, dice, self.team)
            loss.backward()
        lost = loss.detach()
        learning = [one for _, one in self._named("")]
        for one in learning:
            if one.grad is None and self.team.size > 1:  # of nothing of its rows, but of another process's
                one.grad = torch.zeros_like(one)
        self.team.add([lost, *(one.grad for one in learning if one.grad is not None)])
        self.step += 1
        rate = plan.rate * min(1.0, self.step / max(1, plan.steps // 20), 1.05 - self.step / plan.steps)
        with torch.no_grad():
            for name, one in (*self._named(""),):
                if one.grad is None:  # nothing of this batch went through it
                    continue
                first, second = self.moments[f"first{name}"], self.moments[f"second{name}"]
                first.lerp_(one.grad, 0.1)
                second.lerp_(one.grad.square(), 0.01)
                mean, spread = first / (1 - 0.9**self.step), second / (1 - 0.99**self.step)
                one.sub_(rate * mean / (spread.sqrt() + 1e-8))
                one.grad = None
        return float(lost)

    def bound(self) -> float:
        """Nats per token of the held-out rows: the loss at always the same masks."""
        import torch

        total = 0.0
        with torch.no_grad():
            for start in range(0, len(self.held), self.plan.batch):
                some = self.held[start : start + self.plan.batch]
                total += sum(
                    float(self._loss(some, random.Random(f"held {start} {draw}"))) / 4 for draw in range(4)
                ) * len(some)
        return total / len(self.held)

    def bits(self, nats: float) -> str:
        """A bound per token of the held-out rows in bits per byte of their text."""
        text = sum(len(self.model.tokenizer.decode(one.tokens).encode()) for one in self.held)
        tokens = sum(len(one.tokens) for one in self.held)
        return f"{nats * tokens / max(1, text) / math.log(2):.3f} bits per byte"

    def _loss(self, some: Sequence[Example], dice: random.Random, team: Team | None = None) -> Tensor:
        """Nats per token of these rows; of a team this process's part, which add up to that. Prompts and
        masks are drawn alike in every process."""
        import torch

        from webui import Canvas

        model, order = self.model, list(range(len(some)))
        dice.shuffle(order)
        prompts, answers, given, wanted, weights = [], [], [], [], []
        for number, (example, place) in enumerate(zip(some, order, strict=True)):
            t = LOW + (1 - LOW) * (place + dice.random()) / len(some)
            hidden = [dice.random() < t for _ in example.tokens]
            hidden[dice.randrange(len(hidden))] = True
            prompt = self._prompt(example, dice)
            if team is not None and not team.mine(number):
                continue
            prompts.append(prompt)
            pairs = list(zip(example.tokens, hidden, strict=True))
            answers.append([model.mask if masked else token for token, masked in pairs])
            given.append([not masked for masked in hidden])
            wanted += [token for token, masked in pairs if masked]
            weights += [1 / t for masked in hidden if masked]
        canvas = Canvas.build(
            prompts, answers, [0] * len(prompts), model.mask, model.ends, model.device, given=given
        )
        logits = model.logits(canvas.activate(~canvas.given))
        losses = torch.nn.functional.cross_entropy(
            logits, torch.tensor(wanted, device=logits.device), reduction="none"
        )
        if model.description.ratios:  # score entropy (Lou et al. 2024): probabilities learn to sum to 1
            mask = torch.tensor(model.mask, device=logits.device)
            total = logits.index_fill(1, mask, -torch.inf).logsumexp(1)
            losses = losses - logits.logsumexp(1) + torch.expm1(total)
        count = sum(len(example.tokens) for example in some)
        return (losses * torch.tensor(weights, device=logits.device)).sum() / count

    def _prompt(self, example: Example, dice: random.Random) -> list[int]:
        """The tokens before an answer. Where the data has no prompt, or one that the checkpoint has no room
        for, words of the text in half of the rows, so that it goes on listening to what is asked for."""
        room = self.model.description.max_length - len(example.tokens)
        if example.prompt is not None and len(tokens := self._asked(example.prompt)) <= room:
            return tokens
        there = sorted(set(map(str.lower, WORD.findall(example.text))))
        many = self.plan.keywords if dice.random() < 0.5 else 0
        tokens = self._asked(", ".join(dice.sample(there, min(many, len(there)))))
        return tokens if len(tokens) <= room else self._framed("")

    def _asked(self, words: str) -> list[int]:
        """The tokens of a prompt of these words behind the trigger."""
        return self._framed(", ".join(filter(None, [self.plan.trigger, words])))

    def _framed(self, text: str) -> list[int]:
        return list(self.model.tokenizer.prompt(text, template=self.plan.template).tokens)

    def _named(self, before: str) -> Iterator[tuple[str, Tensor]]:
        for name in self.modules:
            yield f"{before}.{name}.lora_A", self.downs[name]
            yield f"{before}.{name}.lora_B", self.ups[name]

    def save(self, folder: Path) -> None:
        """The adapter as PEFT saves it, with what a list shows of it beside it."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        plan = self.plan
        tensors = {
            f"base_model.model{name}.weight": one.detach().cpu().contiguous() for name, one in self._named("")
        }
        config = {
            "peft_type": "LORA",
            "base_model_name_or_path": plan.checkpoint,
            "r": plan.rank,
            "lora_alpha": plan.alpha,
            "target_modules": sorted({name.rpartition(".")[2] for name in self.modules}),
            "bias": "none",
            "inference_mode": True,
        }
        about = {
            "trigger_words": [plan.trigger] if plan.trigger else [],
            "tags": [],
            **({"preview": self.preview} if self.preview else {}),
            "base": {"name": plan.checkpoint, "fingerprint": plan.fingerprint},
            "training": {
                **asdict(plan),
                "step": self.step,
                "held_out": self.best,
                "held_out_without": self.first,
            },
        }
        for file, content in (("adapter_config.json", config), ("about.json", about)):
            state.replace(folder / file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        state.replace(folder / "adapter_model.safetensors", save(tensors, {"format": "pt"}))

    def keep(self, folder: Path) -> None:
        """The state of the run."""
        facts = {"plan": asdict(self.plan), "step": self.step, "best": self.best, "best_step": self.best_step}
        tensors = {name: one.detach() for name, one in self._named("")}
        state.write(folder, {**tensors, **self.moments}, {**facts, "first": self.first})

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Go on from a state."""
        import torch

        with torch.no_grad():
            for name, one in (*self._named(""), *self.moments.items()):
                one.copy_(tensors[name])
        self.step, self.best, self.best_step = facts["step"], facts["best"], facts["best_step"]
        self.first = facts["first"]


COMMAND = Command("train a LoRA from a text; an interrupted run goes on where it was", run, arguments)
