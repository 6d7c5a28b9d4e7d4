"""What constraints cost by the size of the vocabulary: `python -m benchmarks.constraint_costs [--rows 8] [--length 64]`.

For vocabularies of 32,000 and 126,000 tokens (all single bytes, then random words of printable characters, with and without a blank before them): the
processor time until a rule is an automaton over bytes (once for each rule: it is remembered) and over tokens, and of the bans of one step over all masked
positions of all rows. Beside it, where
the packages are installed, outlines-core (its index of the same pattern) and llguidance (its mask for the next token, times the positions
that a left-to-right model writes one by one). They answer another question, what may follow a beginning: see docs/constraints.md.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from extensions.constraints import reach
from extensions.constraints.rules import Rule
from extensions.constraints.tokens import Vocabulary, automaton, most_states
from tests.constraint_rules import GRAMMARS, REGEXES, SCHEMAS

RULES = {
    "sentence": Rule("regex", REGEXES["sentence"]),
    "UUID": Rule("regex", REGEXES["outlines: UUID"]),
    "person": Rule("json_schema", json.dumps(SCHEMAS["schema: person"])),
    "arithmetic": Rule("grammar", GRAMMARS["outlines: arithmetic"]),
    "JSON": Rule("grammar", GRAMMARS["outlines: JSON"]),
}


def words(size: int) -> list[bytes]:
    """Tokens: every byte, then random words; the last one ends a text."""
    luck, found = random.Random(1), dict.fromkeys(bytes([i]) for i in range(256))
    letters = "etaoinshrdlucmfwygpb" * 4 + "".join(map(chr, range(33, 127)))
    while len(found) < size - 1:
        word = "".join(luck.choices(letters, k=luck.randint(2, 9)))
        found[(" " * (luck.random() < 0.5) + word).encode()] = None
    return [*found, b""]


def measured(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds, and what was made."""
    began = spent()
    made = work()
    return spent() - began, made


def spent() -> float:
    """Processor seconds of this process and of those that it started and that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def llguidance_mask(rule: Rule, tokens: list[bytes]) -> float | None:
    """Milliseconds for the mask of one next token; None if the package is not there."""
    try:
        import llguidance
        from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
    except ImportError:
        return None

    class Plain:
        eos_token_id, bos_token_id = len(tokens) - 1, None
        special_token_ids = [len(tokens) - 1]

        def __init__(self) -> None:
            self.tokens = tokens

        def __call__(self, text: str | bytes) -> list[int]:
            return list(text.encode() if isinstance(text, str) else text)

    tokenizer = LLTokenizer(TokenizerWrapper(Plain()))
    grammar = {
        "regex": llguidance.LLMatcher.grammar_from_regex,
        "json_schema": llguidance.LLMatcher.grammar_from_json_schema,
        "grammar": llguidance.LLMatcher.grammar_from_lark,
    }[rule.kind](rule.text)
    matcher, mask = LLMatcher(tokenizer, grammar), allocate_token_bitmask(1, len(tokens))
    if matcher.is_error():
        return None
    times = []
    for byte in {"regex": b"", "json_schema": b'{"name"', "grammar": b""}[rule.kind] or b"":
        times.append(measured(lambda: fill_next_token_bitmask(matcher, mask))[0])
        matcher.consume_token(byte)
    times += [measured(lambda: fill_next_token_bitmask(matcher, mask))[0] for _ in range(5)]
    return statistics.median(times) * 1e3


def outlines_index(regex: str, tokens: list[bytes]) -> float | None:
    """Seconds for the index of outlines-core."""
    import outlines_core

    vocabulary = outlines_core.Vocabulary(len(tokens) - 1, {word: [i] for i, word in enumerate(tokens[:-1])})
    return measured(lambda: outlines_core.Index(regex, vocabulary))[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constraint_costs", description=__doc__)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=64)
    args = parser.parse_args()
    print(
        "| vocabulary | rule | over bytes, s | over tokens, s | states, classes | bans of a step, ms |",
        end="",
    )
    print(" outlines-core's index, s | llguidance's mask, ms |")
    print("|---|---|---|---|---|---|---|---|")
    for size in (32_000, 126_000):
        tokens = words(size)
        vocabulary = Vocabulary.of(tokens)
        for name, rule in RULES.items():
            compiled, automata = measured(rule.automata)
            fits = [one for one in automata if len(one.final) < most_states(size)]
            over_tokens, found = measured(
                partial(automaton, fits[-1], vocabulary, vocabulary, (size - 1,), size)
            )
            shape = args.rows, args.length
            answers = reach.Answers(
                found,
                np.full(shape, reach.FREE),
                np.full(args.rows, args.length),
                np.zeros(shape, dtype=int),
            )

            def bans() -> None:
                before, after = reach.forward(answers), reach.backward(answers)  # noqa: B023
                flat = (-1, before.shape[2])
                fine = reach.allowed(
                    found,  # noqa: B023
                    before[:, :-1].reshape(flat),
                    after[:, 1:].reshape(flat),
                    np.zeros(args.rows * args.length, dtype=int),
                )
                fine[:, found.class_of]  # noqa: B023

            bans()
            step = statistics.median(measured(bans)[0] for _ in range(3)) * 1e3
            index = outlines_index(rule.text, tokens) if rule.kind == "regex" else None
            mask = llguidance_mask(rule, tokens)
            depth = f", {fits[-1].depth} deep" if fits[-1].depth >= 0 else ""
            states = f"{found.maps.shape[1]:,}, {len(found.maps):,}{depth}"
            other = ["—" if one is None else f"{one:.2f}" for one in (index, mask)]
            print(
                f"| {size:,} | {name} | {compiled:.2f} | {over_tokens:.1f} | {states} | {step:.0f} | {' | '.join(other)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
