"""Attention with rotary embedding in fp32, registered with transformers: the only thing that is."""

from __future__ import annotations

from typing import Any

FULL_PRECISION_ROPE = "sdpa_fp32_rope"


def register() -> None:
    """Registers `FULL_PRECISION_ROPE`, an attention implementation: SDPA that casts rotated queries and keys
    to the dtype of the values. May be called again."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, **keywords: Any) -> Any:
        return sdpa_attention_forward(
            module, query.to(value.dtype), key.to(value.dtype), value, mask, **keywords
        )

    AttentionInterface.register(FULL_PRECISION_ROPE, attend)
    AttentionMaskInterface.register(FULL_PRECISION_ROPE, sdpa_mask)


def rope_in_fp32(rotary: Any) -> None:
    """Makes a rotary embedding return cos and sin in at least fp32, so that queries and keys are rotated in
    fp32."""
    kind = type(rotary)

    class FullPrecision(kind):  # type: ignore[misc, valid-type]
        def forward(self, x: Any, position_ids: Any = None) -> Any:
            return super().forward(x if x.dtype.itemsize >= 4 else x.float(), position_ids)

    rotary.__class__ = FullPrecision
