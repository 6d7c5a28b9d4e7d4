"""Train a checkpoint: `python -m extensions.training.main --recipe cpu --corpus DIR --out
models/checkpoints/NAME`."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import signal
import sys
import time
from pathlib import Path

PROMPTS = (
    "dragon, cake, castle, happy ending, dialogue",
    "Write a story about a fox and a ball with a sad ending.",
    "Words: cat, map\nHero: brave cat\nPlace: forest\nEnd: happy\nTalk: no",
    "",
    "robot, flower, beach",
    "More: Once upon a time, there was a little girl who loved apples.",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--recipe",
        default="cpu",
        help="cpu, closing, gpu, fables, tiny, or the path of a .toml file (default: cpu)",
    )
    parser.add_argument(
        "--corpus", type=Path, help="folder of real text; without it the story grammar alone is used"
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the checkpoint (default: models/checkpoints/trained)"
    )
    parser.add_argument(
        "--steps", type=int, help="end after so many steps instead of the recipe's; phases and rates follow"
    )
    parser.add_argument(
        "--state", type=Path, help="folder of the run's state (default: .training-NAME beside the checkpoint)"
    )
    parser.add_argument("--threads", type=int, help="threads (default: torch's)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--stop", type=int, help="stop at this step as if interrupted, to resume later")
    parser.add_argument(
        "--leg",
        type=int,
        default=1,
        help="leg of a long run, from 1; later ones go on from the weights in --out (default: 1)",
    )
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--resume", action="store_true", help="continue the state (the default if there is one)"
    )
    begin.add_argument("--fresh", action="store_true", help="start again and overwrite the state")


def run(options: argparse.Namespace) -> int:
    """Train as the options say. ValueError with one sentence if they cannot be followed."""
    import torch

    from . import corpus, export, state, trainer
    from . import recipe as recipes

    options.out = options.out or Path("models/checkpoints/trained")
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = recipes.read(options.recipe).leg(options.leg, options.out.name).with_steps(options.steps)
    name = options.out.name if options.leg == 1 else f"{options.out.name}-{options.leg}"
    folder = options.state or options.out.parent / f".training-{name}"
    found = None if options.fresh else state.read(folder)
    if options.resume and found is None:
        raise ValueError(f"There is no state in {folder} to resume; leave --resume out to start.")
    grammar = corpus.Grammar.load()
    start = _start(recipe, options.out)
    tokenizer = _tokenizer(recipe, grammar, options.corpus, folder, found is not None, start)
    data = corpus.Corpus(recipe, tokenizer, options.corpus, grammar)
    facts = {"identity": json.loads(json.dumps(recipe.identity())), "rows": fingerprint(data)}
    made = trainer.Trainer(recipe, data, tokenizer, tokenizer.token_to_id(corpus.words.MASK), options.device)
    if start and not found:
        made.begin(export.read(start))
        made.before = export.tokens(start)
    if found:
        check(facts, found[1], folder)
        made.restore(*found)
    _tell(
        f"{recipe.name}: {sum(one.numel() for one in made.network.parameters()):,} parameters, {made.dtype}, "
        f"{torch.get_num_threads()} threads, rows {data.counts}, from step {made.step} to "
        f"{recipe.plan.steps}, {made.before / 1e6:.1f} M tokens before"
    )
    halt = _signals()
    held = _held_out(data, options.corpus)
    trainer.loop(
        made,
        save=lambda: made.save(folder, facts),
        show=lambda: _show(made, options.out, held),
        report=lambda loss, speed: _report(made, loss, speed),
        stopped=lambda: bool(halt) or options.stop is not None and made.step >= options.stop,
    )
    _tell(f"stopped at step {made.step} of {recipe.plan.steps}; the checkpoint is in {options.out}")
    return 0


def fingerprint(data) -> str:
    """A hash of the first rows, to check whether grammar, corpus and tokenizer are those a state was made
    with."""
    batch = data.batch(0)
    return hashlib.blake2b(batch.tokens.numpy().tobytes(), digest_size=8).hexdigest()


def check(mine: dict, theirs: dict, folder: Path) -> None:
    """ValueError if a state was made by another recipe or from other rows."""
    if mine["identity"] != theirs["identity"]:
        raise ValueError(
            f"The state in {folder} was made by another recipe; give that recipe, another --state, or "
            "--fresh."
        )
    if mine["rows"] != theirs["rows"]:
        raise ValueError(
            f"The state in {folder} was made with another grammar or corpus; restore them, or give --fresh."
        )


def _start(recipe, out: Path) -> Path | None:
    """The folder of the checkpoint that a fine-tuning recipe starts from."""
    start = out.parent / recipe.start if recipe.start else None
    if start is not None and not (start / "tokenizer.json").is_file():
        raise ValueError(
            f"The recipe starts from the checkpoint {recipe.start}, which is not in {out.parent}."
        )
    return start


def _tokenizer(recipe, grammar, folder: Path | None, where: Path, keep: bool, start: Path | None):
    from . import corpus, tokenizer

    path = where / "tokenizer.json"
    if not (keep and path.is_file()):
        where.mkdir(parents=True, exist_ok=True)
        if start is not None:
            path.write_bytes((start / path.name).read_bytes())
            return tokenizer.load(path)
        documents = corpus.read_documents(recipe, folder)
        texts = corpus.texts_for_tokenizer(recipe, grammar, documents)
        tokenizer.train(texts, recipe.network.vocabulary).save(str(path))
    return tokenizer.load(path)


def _held_out(data, folder: Path | None) -> dict:
    """Rows to measure the bound on, by name: (tokens (B, L), which of them count, nats to divide by)."""
    import torch

    from . import prose

    most, found = data.recipe.network.max_length, {}
    texts = {"grammar": []}
    seed = 1 << 60
    while len(texts["grammar"]) < 64:
        story = data.grammar.story(seed)
        seed += 1
        if story.held_out:
            texts["grammar"].append((story.text, story.nats))
    if folder is not None and (folder / prose.HELD_OUT).is_file():
        some = prose.read(folder / prose.HELD_OUT)[:96]
        texts["tinystories"] = [
            (prose.joined(one.sentences), None) for one in some
        ]  # their first `most` tokens
    for name, some in texts.items():
        rows = []
        for text, nats in some:
            ids = [*data.frame, *data.tokenizer.encode(" " + text).ids, data.end]
            if nats is None:
                ids = ids[:most]
                nats = math.log(2) * (len(data.tokenizer.decode(ids[len(data.frame) :]).encode()) - 1)
            if len(ids) <= most:
                rows.append((ids, nats))
        tokens = torch.full((len(rows), most), data.end)
        for i, (ids, _) in enumerate(rows):
            tokens[i, : len(ids)] = torch.tensor(ids)
        lengths = torch.tensor([len(ids) for ids, _ in rows])[:, None]
        counted = (torch.arange(most) >= len(data.frame)) & (torch.arange(most) < lengths)
        if rows:
            found[name] = (
                tokens[:, : int(lengths.max())],
                counted[:, : int(lengths.max())],
                sum(unit for _, unit in rows),
            )
    return found


def _show(made, out: Path, held: dict) -> None:
    """Export the averaged weights; print the bounds and some samples. In the first phase nothing can fill
    masks yet."""
    from . import corpus, sampling, state

    if made.step > made.recipe.plan.causal * made.recipe.plan.steps:
        network = made.averaged()
        made.export(out)
        state.replace(
            out / "lexicon.txt",
            "\n".join([*corpus.lexicon(made.corpus.grammar, made.corpus.documents), ""]).encode(),
        )
        for name, (tokens, counted, unit) in held.items():
            nats, count = sampling.bound(network, tokens, counted, made.mask, dtype=made.dtype)
            word = "x the grammar's own entropy" if name == "grammar" else "bits per byte"
            _tell(f"  bound on held-out {name}: {nats / count:.3f} nats per token, {nats / unit:.3f} {word}")
        for number, prompt in enumerate(PROMPTS):
            guidance = (2.5, 1.0)[number % 2]
            text = sampling.sample(
                network, made.tokenizer, [prompt], temperature=0.5, guidance=guidance, seed=made.step
            )[0]
            _tell(f"  [{prompt!r} x{guidance}] {text!r}")
        _tell(f"  exported to {out} at step {made.step}")


def _report(made, loss: float, speed: float) -> None:
    plan = made.recipe.plan
    left = (plan.steps - made.step) * (made.seen / max(1, made.step)) / max(speed, 1.0)
    phase = "next token" if made.step <= plan.causal * plan.steps else "masked"
    _tell(
        f"step {made.step}/{plan.steps} {phase} loss {loss:.3f} {made.seen / 1e6:.2f} M tokens "
        f"{speed:,.0f}/s "
        f"{left / 60:.0f} min left"
    )


def _signals() -> list[int]:
    """A list that fills when the program is asked to end; a second request ends it at once."""
    asked: list[int] = []

    def ask(number, frame):
        if asked:
            sys.exit(128 + number)
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return asked


def _tell(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    try:
        return run(parser.parse_args())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
