"""The contract: everything that exists, crossed, through the whole program. Adding something? Add it here, or
a test fails.

a family       its fixture builder to FAMILIES (a tiny folder as published), and its name to CROSSED if it is the
               first of its kind: attention, shift, native class
a sampler      its name to SAMPLERS, and to CROSSED_SAMPLERS if it is the first of its kind
a schedule, confidence, cache
               its name to the list
an extension   options that make it act to EXTENSIONS: request fields; None if it never touches a text
"""

import os
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from itertools import combinations, product

from tests import tiny_checkpoints, tiny_decoders, tiny_gemma, tiny_masked_lms, tiny_mixtures, tiny_more

FAMILIES = {
    "LLaDA": tiny_checkpoints.llada,
    **{name: partial(tiny_decoders.decoder, **fields) for name, fields in tiny_decoders.PUBLISHED.items()},
    "LLaDA2": tiny_mixtures.llada2,
    "Steerling": tiny_mixtures.steerling,
    "MDLM": tiny_mixtures.mdlm,
    "SEDD": tiny_mixtures.sedd,
    **tiny_more.MORE,
    "DiffusionGemma": tiny_gemma.gemma,
    **tiny_masked_lms.MASKED_LMS,
}
# crossed with everything; the others, which differ in config.json alone, with every sampler
CROSSED = (
    "LLaDA",
    "LLaDA-MoE",
    "Dream",
    "SDAR",
    "SDAR-MoE",
    "Fast-dLLM v2",
    "Stable-DiffCoder",
    "RND1",
    "LLaDA2",
    "Steerling",
    "BERT",
    "ModernBERT",
    "MDLM",
    "WeDLM",
    "Nemotron-Labs-Diffusion",
    "DiffusionGemma",
)
CACHES = ("exact", "prefix", "dual")
SAMPLERS = (
    "low_confidence",
    "random",
    "threshold",
    "editing",
    "joint_threshold",
    "p2",
    "remdm_cap",
    "remdm_rescale",
    "remdm_conf",
    "remdm_loop",
    "remdm_llada",
    "renoise",
    "wino",
    "dream",
    "dream_origin",
    "sedd",
    "dreamon",
    "daedal",
    "factor",
    "entropy_bound",
    "hierarchical",
    "prophet",
    "klass",
)
# one of each kind, crossed with everything: what only selects, by itself or by a threshold; what replaces; what
# orders all positions anew; what masks by chance and by memory; what decides anew about all; what is judged unseen
CROSSED_SAMPLERS = ("low_confidence", "threshold", "editing", "p2", "remdm_conf", "renoise", "wino")
SCHEDULES = ("even", "cosine", "linear", "bernoulli")
CONFIDENCES = ("probability", "margin", "entropy", "random", "logit_gap", "leftmost")
EXTENSIONS: dict[str, dict | None] = {
    "infill": {"prompt": "The naïve ____ sat\n[[...3]] 猫."},
    "logit_bias": {"logit_bias": {"more": "and, the end", "less": "t", "never": "he"}},
    "lora": {"prompt": "a cat <lora:tiny:0.5>"},  # the file is written by tests.adapter_files
    "guidance": {"guidance": {"negative_prompt": "a much longer story about rain", "scale": 3.0}},
    "prompt_matrix": {"prompt": "a cat | in rain", "prompt_matrix": {"enabled": True}},
    "prompt_and": {"prompt": "a cat AND in the rain :1.5", "prompt_and": {"enabled": True}},
    "prompt_schedule": {"prompt": "a [cat:dog in the rain:0.3]"},
    "emphasis": {"prompt": "a (cat:3) in (rain:0)", "emphasis": {"method": "contrast"}},
    "xyz_grid": {"xyz_grid": {"x_field": "temperature", "x_values": "0.2, 0.9"}},
    "wildcards": {"prompt": "a {cat|dog|fox} in {rain|snow}"},
    "styles": {"styles": {"names": ["rain"], "texts": {"rain": ("{prompt} in rain", "sun")}}},
    "soft_prompts": None,  # acts with a file for one checkpoint: tests/extensions/test_soft_prompts.py
    "loopback": {"loopback": {"loops": 2, "strength": 0.7}},
    "prompts_from_file": {
        "prompts_from_file": {"text": '{"temperature": 0.9}\n{"temperature": 0.3}', "format": "jsonl"}
    },
    "text_metrics": None,
    "why": {"why": {"without": ["temperature"]}},
    "constraints": {"constraints": {"regex": "[a-z]+( [a-z]+)*"}},
    "training": None,
    "checkpoint_merger": None,  # acts with a second checkpoint: tests/extensions/test_merged_weights.py
}


def crossed(*lists: Iterable[Hashable]) -> list[tuple]:
    """Combinations of one of each list: so many that each two that can stand together do, or all of them with
    CROSS=all in the environment."""
    columns = [tuple(values) for values in lists]
    if os.environ.get("CROSS") == "all":
        return list(product(*columns))
    long = sorted(range(len(columns)), key=lambda k: -len(columns[k]))[:2]
    done: set[tuple[int, Hashable, int, Hashable]] = set()
    found: list[tuple] = []

    def new(row: Sequence[Hashable]) -> int:
        return len(_pairs(row) - done)

    for two in product(*(columns[k] for k in long)):
        fixed = dict(zip(long, two, strict=True))
        rows = product(*((fixed[k],) if k in fixed else values for k, values in enumerate(columns)))
        best = max(rows, key=new)
        done |= _pairs(best)
        found.append(best)
    for row in product(*columns):  # those that the greedy choice left out
        if new(row):
            done |= _pairs(row)
            found.append(row)
    return found


def _pairs(row: Sequence[Hashable]) -> set[tuple[int, Hashable, int, Hashable]]:
    return {(i, one, j, two) for (i, one), (j, two) in combinations(enumerate(row), 2)}
