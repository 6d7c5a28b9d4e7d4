"""BD3-LM (Arriola et al. 2025, arXiv 2503.09573): MDLM's diffusion transformer in blocks of 4, 8 or 16
tokens, which see themselves and those before them. In training a clean copy of the text stands beside the
noisy one; when a text is written the earlier blocks are clean themselves, so that the copy is not needed.

Published sampler: first-hitting, one position of a block after the other in random order; the sampler
`random` with as many steps as tokens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from webui.checkpoints.families import dit
from webui.checkpoints.families.shapes import block_size, check_block, refuse_unless


def check(config: Any) -> None:
    """Refusal names the key that is not computed, or that is not there."""
    check_block("block_size", dit.check)(config)
    refuse_unless(config, "causal", (False, None))


FAMILY = replace(
    dit.FAMILY,
    name="BD3-LM",
    claims=lambda config: config.get("model_type") == "bd3lm",
    check=check,
    attention="block-causal",
    block_length=block_size(16, "block_size"),
    unused=(*dit.FAMILY.unused, r"\.(block_diff_mask|mask)$"),
    covers="BD3-LM, blocks of 4, 8, 16",
    proof="b",
    about="names as its code makes them, no file seen; adaln on or off; GPT-2's tokenizer must lie beside it",
)
