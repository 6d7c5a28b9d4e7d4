"""Fast-dLLM v2 (Wu et al. 2025, arXiv 2509.26328): a Qwen2.5 with Dream's shift and blocks of 32. Names are
Qwen2's.

The output that decides a block's first token comes from the block before it, which does not see the block:
there it is an autoregressive model. The published sampler commits that token first, whatever its confidence.
"""

from __future__ import annotations

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family

FAMILY = Family(
    name="Fast-dLLM v2",
    claims=lambda config: config.get("model_type") == "Fast_dLLM_Qwen",
    check=shapes.check_block("bd_size"),
    translate=shapes.qwen2,
    model_class="Qwen2ForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    shift=True,
    attention="block-causal",
    block_length=shapes.block_size(32, "bd_size"),
    end_tokens=("<|endoftext|>", "<|im_end|>"),
    preset={
        "sampler": "threshold",
        "threshold": 0.9,
        "block_length": 8,  # parts of a block, one after the other
        "length": 256,
        "temperature": 0.0,
        "end_of_text": "stop",
        "cache": "prefix",
    },
    ancestor="Qwen2.5",
    covers="Fast-dLLM v2 1.5B, 7B",
    proof="ab",
    about="the first token of a block is not committed first",
    license="Apache-2.0",
)
