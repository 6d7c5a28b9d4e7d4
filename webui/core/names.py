"""The built-in samplers, schedules and confidences by name, each with what it does in one sentence.

Without torch, so that page and command line can offer them before it is imported; what they are is in
webui/denoising/samplers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SAMPLERS: Mapping[str, str] = MappingProxyType(
    {
        "low_confidence": "Commits the most confident positions first, a fixed number each step (LLaDA).",
        "random": "Commits positions in random order, a fixed number each step (LLaDA).",
        "threshold": "Commits every position that is confident enough, so easy text takes few steps "
        "(Fast-dLLM).",
        "editing": "Like threshold, and replaces committed tokens of the block where another is likely "
        "enough (LLaDA2.1).",
    }
)
SCHEDULES: Mapping[str, str] = MappingProxyType(
    {
        "even": "The same number of positions each step (LLaDA).",
        "cosine": "Few positions at first, many at the end (MaskGIT).",
    }
)
CONFIDENCES: Mapping[str, str] = MappingProxyType(
    {
        "probability": "The token's probability (LLaDA, Fast-dLLM).",
        "margin": "Probability of the likeliest token minus that of the second (Dream).",
        "entropy": "How concentrated the whole distribution is: its entropy, negated (Dream).",
        "random": "A random number: positions are committed in random order (LLaDA).",
    }
)
