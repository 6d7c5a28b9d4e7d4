"""Constraints beside outlines and llguidance, which write from left to right: `python -m benchmarks.constraint_twin [--texts 8] [--length 40] [--rounds 3]`.

For some of the rules of tests/constraint_rules.py: the default checkpoint under this program's constraints, and a causal twin of the same
shape and tokenizer (a Llama of transformers' with RANDOM weights: what it writes says nothing, what it costs is that of a trained one) under the
logits processors of outlines (outlines-core for expressions and schemas) and of llguidance, guidance's engine, at temperature 1 with a cache of keys.

    compiling  processor seconds from the rule to the first mask; wall clock for ours, which compiles in a process of its own
    a pass     processor milliseconds of a forward pass of all texts, without and with the rule; the first run of a rule is not counted
    matches    texts of at most `length` tokens that match, by `re`, `jsonschema` and Lark
    a text     processor milliseconds from prompt to text, of one of `texts` that are written together

outlines and llguidance are no part of the program: `pip install outlines llguidance` in an environment beside it. Where one is missing its columns are empty.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from extensions.constraints.rules import Rule
from tests.constraint_rules import Check, rules
from webui.application import App
from webui.settings import Settings

RULES = (
    "sentence",
    "outlines: UUID",
    "lm-format-enforcer: telephone",
    "schema: person",
    "lm-format-enforcer: list of models",
    "outlines: arithmetic",
    "GBNF: nested lists",
)
LARK = 'start: "[" (item ("," item)*)? "]"\nitem: /[0-9]/ | "true" | start\n'  # the GBNF one, for llguidance
Processor = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Twin:
    """A causal model of the shape of the default checkpoint, and its tokenizer."""

    def __init__(self, folder: Path):
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        shape = json.loads((folder / "config.json").read_text("utf-8"))
        special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)
        torch.manual_seed(0)
        self.model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=shape["vocab_size"],
                hidden_size=shape["d_model"],
                intermediate_size=shape["mlp_hidden_size"],
                num_hidden_layers=shape["n_layers"],
                num_attention_heads=shape["n_heads"],
                num_key_value_heads=shape["n_kv_heads"],
                tie_word_embeddings=shape["weight_tying"],
            )
        ).eval()
        self.end = self.tokenizer.eos_token_id

    def write(
        self, prompt: str, texts: int, length: int, processor: Processor | None
    ) -> tuple[list[str], float, int]:
        """Texts at temperature 1, processor seconds, forward passes."""
        tokens = torch.tensor([self.tokenizer.encode(prompt)] * texts)
        begin, ended = tokens.shape[1], torch.zeros(texts, dtype=torch.bool)
        began, passes, cache, seen = time.thread_time(), 0, None, tokens
        with torch.inference_mode():
            while passes < length and not ended.all():
                out = self.model(seen, past_key_values=cache, use_cache=True)
                cache, passes = out.past_key_values, passes + 1
                logits = out.logits[:, -1].float()
                if processor is not None:
                    logits = processor(tokens, logits)
                drawn = torch.multinomial(logits.softmax(-1), 1)[:, 0]
                drawn[ended] = self.end
                ended |= drawn == self.end
                tokens, seen = torch.cat([tokens, drawn[:, None]], 1), drawn[:, None]
        spent = time.thread_time() - began
        written = self.tokenizer.batch_decode(tokens[:, begin:], skip_special_tokens=True)
        return written, spent, passes


def outlines(twin: Twin, options: dict[str, str]) -> Callable[[], Processor] | None:
    """What makes a processor of outlines' for one run; None if it is not there or has no such rules without
    llguidance."""
    try:
        import outlines as library
    except ImportError:
        return None
    if "grammar" in options:
        return None
    model = library.from_transformers(twin.model, twin.tokenizer)
    text = options.get("regex")
    kind = library.types.Regex(text) if text else library.types.JsonSchema(options["json_schema"])

    def make() -> Processor:
        return library.Generator(model, kind).logits_processor

    return make


def llguidance(twin: Twin, options: dict[str, str]) -> Callable[[], Processor] | None:
    """The same of llguidance."""
    try:
        import llguidance.hf
        from llguidance import LLMatcher
        from llguidance.torch import (
            allocate_token_bitmask,
            apply_token_bitmask_inplace,
            fill_next_token_bitmask,
        )
    except ImportError:
        return None
    tokenizer = llguidance.hf.from_tokenizer(twin.tokenizer)
    if "regex" in options:
        grammar = LLMatcher.grammar_from_regex(options["regex"])
    elif "json_schema" in options:
        grammar = LLMatcher.grammar_from_json_schema(options["json_schema"])
    else:
        text = LARK if "::=" in options["grammar"] else options["grammar"]
        grammar = LLMatcher.grammar_from_lark(text)

    class Masks:
        def __init__(self) -> None:
            self.matchers: list[Any] = []

        def __call__(self, tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            if not self.matchers:
                self.matchers = [LLMatcher(tokenizer, grammar) for _ in logits]
                self.mask = allocate_token_bitmask(len(logits), logits.shape[1])
            else:
                for matcher, token in zip(self.matchers, tokens[:, -1].tolist(), strict=True):
                    if not matcher.is_stopped():
                        matcher.consume_token(token)
            for row, matcher in enumerate(self.matchers):
                if matcher.is_error():
                    raise SystemExit(matcher.get_error())
                if matcher.is_stopped():  # only the end is left
                    self.mask[row] = 0
                    self.mask[row, twin.end // 32] = 1 << twin.end % 32
                else:
                    fill_next_token_bitmask(matcher, self.mask, row)
            apply_token_bitmask_inplace(logits, self.mask)
            return logits

    return Masks


def of_twin(
    twin: Twin, make: Callable[[], Processor] | None, args: argparse.Namespace, plain: float, matches: Check
) -> str:
    """The cells of a library."""
    if make is None:
        return " | ".join(["—"] * 4)
    began = time.process_time()
    first = make()
    first(
        torch.zeros((args.texts, 1), dtype=torch.long),
        torch.zeros((args.texts, twin.model.config.vocab_size)),
    )
    compiling = time.process_time() - began
    runs = [twin.write(args.prompt, args.texts, args.length, make()) for _ in range(args.rounds + 1)][1:]
    each = statistics.median(spent / passes for _, spent, passes in runs) * 1e3
    text = statistics.median(spent for _, spent, _ in runs) / args.texts * 1e3
    good = sum(matches(text) for written, _, _ in runs for text in written)
    return f"{compiling:.2f} | {plain:.0f}, {each:.0f} | {good} of {args.texts * args.rounds} | {text:.0f}"


def ours(app: App, args: argparse.Namespace, options: dict[str, str]) -> tuple[list[str], float, int]:
    """Texts, processor seconds, forward passes."""
    fields = {
        "prompt": args.prompt,
        "count": args.texts,
        "seed": 1,
        "temperature": 1.0,
        "length": args.length,
    }
    began = time.process_time()
    job = app.queue.submit(app.Request(**fields, steps=args.length // args.together, constraints=options))
    job.wait()
    if job.result is None:
        raise SystemExit(job.error)
    parts = job.result.parts or (job.result,)
    passes = max(part.statistics.forwards for part in parts)
    return [part.text for part in parts], time.process_time() - began, passes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constraint_twin", description=__doc__)
    parser.add_argument("--prompt", default="dragon, cake, castle, happy ending")
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--together", type=int, default=2, help="tokens that ours commits in a forward pass")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    app = App(Settings(keep_history=False, threads=1))
    try:
        twin = Twin(Path(app.settings.models) / "checkpoints" / "storyteller")
        runs = [ours(app, args, {}) for _ in range(args.rounds + 1)][1:]
        masked = statistics.median(spent / passes for _, spent, passes in runs) * 1e3
        runs = [twin.write(args.prompt, args.texts, args.length, None) for _ in range(args.rounds + 1)][1:]
        causal = statistics.median(spent / passes for _, spent, passes in runs) * 1e3
        columns = "compiling, s | a pass, ms | matches | a text, ms"
        print(f"| rule | ours: {columns} | outlines: {columns} | llguidance: {columns} |")
        print("|---" * 13 + "|")
        known = {name: (options, matches) for name, options, matches in rules() if name in RULES}
        for name in RULES:
            options, matches = known[name]
            began = time.monotonic()
            Rule(*next(iter(options.items()))).automata()
            compiling = time.monotonic() - began
            runs = [ours(app, args, options) for _ in range(args.rounds + 1)]
            before = runs.pop(0)
            each = statistics.median(spent / passes for _, spent, passes in runs) * 1e3
            text = statistics.median(spent for _, spent, _ in runs) / args.texts * 1e3
            compiling += max(0.0, before[1] - statistics.median(spent for _, spent, _ in runs))
            good = sum(matches(text) for written, _, _ in runs for text in written)
            mine = f"{compiling:.2f} | {masked:.0f}, {each:.0f} | {good} of {args.texts * args.rounds} | {text:.0f}"
            other = [
                of_twin(twin, make(twin, options), args, causal, matches) for make in (outlines, llguidance)
            ]
            print(f"| {name} | {mine} | {' | '.join(other)} |", flush=True)
    finally:
        app.close()


if __name__ == "__main__":
    main()
