"""What the setting `quantize` costs on this machine: bound in bits per byte, seconds, memory of the weights.

python -m benchmarks.quantized [--models DIR] [--model NAME] [--texts FILE.jsonl] [--rows 16] [--kinds int8 ...]

Each line is one kind: bf16, and fp32 with the weights of the linear layers as they are, in int8 ... The bound is that
of the same texts with the same masks; seconds are those of the forward passes that it took, a first one aside.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from webui import bounds
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.quantize import stored
from webui.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "extensions" / "training" / "evaluation" / "held_out.jsonl"
KINDS = (("float32", "none"), ("bfloat16", "none"), ("float32", "int8"), ("float32", "nf4"))


@dataclass(frozen=True)
class Text:
    """A text whose tokens are all scored, without a prompt."""

    answer: tuple[int, ...]

    prompt: tuple[int, ...] = ()

    @property
    def scored(self) -> range:
        return range(len(self.answer))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--model", default="storyteller")
    parser.add_argument("--texts", type=Path, default=TEXTS)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=96, help="tokens of a text, at most")
    parser.add_argument("--kinds", nargs="+", default=["none", "int8"])
    args = parser.parse_args()
    lines = args.texts.read_text("utf-8").splitlines()[: args.rows]
    texts = [json.loads(line)["text"] for line in lines]
    for dtype, kind in KINDS:
        if kind not in args.kinds:
            continue
        there = Checkpoints(
            Settings(models=args.models, model=args.model, device="cpu", dtype=dtype, quantize=kind)
        )
        model = there.load(args.model)
        rows = [Text(tuple(model.tokenizer.encode(" " + text)[: args.length])) for text in texts]
        size = sum(len(model.tokenizer.decode(row.answer).encode()) for row in rows)
        with torch.no_grad():
            bounds(model, rows[:1], draws=1)
            began = time.monotonic()
            nats = sum(bounds(model, rows))
            seconds = time.monotonic() - began
        held = sum(
            one.numel() * one.element_size() for value in model.module.parameters() for one in stored(value)
        )
        print(
            f"{model.description.dtype:>16}: {nats / size / math.log(2):.4f} bits per byte, {seconds:.2f} s, "
            f"{held / 1e6:.1f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
