"""dLLM-Var (2025): LLaDA's shape and names, trained to denoise blocks of 64 tokens one after the other
until the end of the text. Its config.json is LLaDA's own, so that its profile.json must name the family."""

from __future__ import annotations

from dataclasses import replace

from webui.checkpoints.families import llada
from webui.checkpoints.families.converted import never
from webui.checkpoints.families.shapes import block_size, check_block

FAMILY = replace(
    llada.FAMILY,
    name="dLLM-Var",
    claims=never,
    check=check_block("block_size", llada.check),
    attention="block-causal",
    block_length=block_size(64, "block_size"),
    preset={
        "sampler": "threshold",
        "threshold": 0.9,
        "length": 256,
        "temperature": 0.0,
        "end_of_text": "stop",
    },
    covers="dLLM-Var",
    proof="b",
    about="facts from a third party's code; profile.json names it",
    license="unknown",
)
