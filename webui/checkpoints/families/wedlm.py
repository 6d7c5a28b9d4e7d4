"""WeDLM (Tencent 2025): Qwen2.5 or Qwen3 with causal attention over a row whose known tokens come first: a
masked position sees every known one, later ones too, and the masked ones before it; a known token sees the
known ones before it. Positions stay those of the text. Native: Qwen2 or Qwen3, with that as a
mask instead of an order.

Published sampler: a window of 16 masked positions, those of low entropy near its beginning first; ours is
`threshold` over the block. Tencent's licence says that it is not for use in the European Union.
"""

from __future__ import annotations

from dataclasses import replace

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family

FAMILY = Family(
    name="WeDLM",
    claims=lambda config: config.get("model_type") == "wedlm" and not config.get("attention_bias"),
    check=shapes.check,
    translate=shapes.qwen3,
    model_class="Qwen3ForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    attention="known-first",
    caches=False,  # keys of known tokens change as tokens before them become known
    end_tokens=("<|endoftext|>", "<|im_end|>"),
    preset={
        "sampler": "threshold",
        "threshold": 0.9,
        "length": 256,
        "block_length": 16,
        "temperature": 0.2,
        "end_of_text": "stop",
    },
    covers="WeDLM-8B",
    proof="b",
    about="names are Qwen3's, no file seen; not for use in the EU, says its licence",
    license="Tencent",
)
QWEN2 = replace(
    FAMILY,
    name="WeDLM (Qwen2)",
    claims=lambda config: config.get("model_type") == "wedlm" and bool(config.get("attention_bias")),
    translate=shapes.qwen2,
    model_class="Qwen2ForCausalLM",
    covers="WeDLM-7B",
    about="names are Qwen2's, no file seen; not for use in the EU, says its licence",
)
