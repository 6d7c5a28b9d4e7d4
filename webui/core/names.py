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
        "joint_threshold": "Like editing, with a limit of edits once a block is full and a penalty on "
        "doubled tokens (LLaDA2.x).",
        "p2": "Path planning: each step keeps the most confident positions and masks the others, committed "
        "ones too (P2).",
        "remdm_cap": "Commits by chance and masks committed positions again with a capped probability "
        "(ReMDM-cap).",
        "remdm_rescale": "Commits by chance and masks committed positions again with a share of the largest "
        "probability (ReMDM-rescale).",
        "remdm_conf": "Commits by chance and masks again what was unlikely when it was committed "
        "(ReMDM-conf).",
        "remdm_loop": "Fills most of the text, masks and fills by chance for a while, then fills the rest "
        "(ReMDM-loop).",
        "remdm_llada": "Fills most of the text by confidence, then masks the least likely token again and "
        "again, then fills the rest (ReMDM for LLaDA).",
        "renoise": "Decides anew about the whole block in each step: accepts what it is sure of, masks the "
        "rest again, and stops once nothing changes (DiffusionGemma).",
        "wino": "Commits many positions early and masks again what the model doubts when it does not see it "
        "(WINO).",
        "dream": "Commits a share of what is masked by confidence, measured after temperature and filters; "
        "confidence probability is maskgit_plus, margin topk_margin (Dream).",
        "dream_origin": "Commits each masked position with the probability that the time says (Dream: "
        "origin; MDLM).",
        "dreamon": "Commits one position each step, the surest first; gaps grow and shrink where the model "
        "has a token for it (DreamOn).",
        "daedal": "Begins with a short answer and makes it longer until the model is sure that the text "
        "ends in it; commits by a threshold (DAEDAL).",
        "sedd": "Commits each masked position with the probability that the model's ratios say, and what is "
        "left in the last step (SEDD).",
        "factor": "Commits the m most confident positions as long as all are confident enough for m "
        "(Fast-dLLM).",
        "entropy_bound": "Commits positions in order as long as their entropies sum up to little "
        "(EB-Sampler).",
        "hierarchical": "Commits the best position of each masked run, and all above a threshold (dInfer).",
        "prophet": "Commits the rest at once as soon as the likeliest tokens lead by far (Prophet).",
        "klass": "Commits every position that is confident and has not changed for some steps (KLASS).",
    }
)
SAMPLER_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "joint_threshold": (
            "joint.threshold",
            "joint.edit_threshold",
            "joint.post_edit_steps",
            "joint.penalty",
        ),
        "p2": ("p2.eta", "p2.judge"),
        "remdm_cap": ("remdm.eta",),
        "remdm_rescale": ("remdm.eta",),
        "remdm_loop": ("remdm.eta", "remdm.t_on", "remdm.t_off", "remdm.alpha_on"),
        "remdm_llada": ("remdm.alpha_on", "remdm.loops", "remdm.again", "remdm.judge"),
        "renoise": (
            "renoise.entropy_bound",
            "renoise.t_max",
            "renoise.t_min",
            "renoise.stable",
            "renoise.confident",
        ),
        "wino": ("wino.threshold", "wino.threshold_back"),
        "dream": ("dream.alg_temp", "dream.eps"),
        "dream_origin": ("dream.eps",),
        "dreamon": ("dreamon.begin", "dreamon.most"),
        "daedal": (
            "daedal.begin",
            "daedal.factor",
            "daedal.high",
            "daedal.low",
            "daedal.end_threshold",
            "daedal.insert_threshold",
            "daedal.checked",
        ),
        "factor": ("parallel.factor",),
        "entropy_bound": ("parallel.gamma",),
        "hierarchical": ("parallel.threshold", "parallel.low"),
        "klass": ("klass.threshold", "klass.kl_threshold", "klass.history"),
    }
)  # options of the request that act with each built-in sampler alone
SCHEDULES: Mapping[str, str] = MappingProxyType(
    {
        "even": "The same number of positions each step (LLaDA).",
        "cosine": "Few positions at first, many at the end (MaskGIT).",
        "linear": "The step's share of the positions; with more steps than positions, over all of them (P2).",
        "bernoulli": "As many as if each masked position were committed by chance (MDLM).",
    }
)
CONFIDENCES: Mapping[str, str] = MappingProxyType(
    {
        "probability": "The token's probability (LLaDA, Fast-dLLM).",
        "margin": "Probability of the likeliest token minus that of the second (Dream).",
        "entropy": "How concentrated the whole distribution is: its entropy, negated (Dream).",
        "random": "A random number: positions are committed in random order (LLaDA).",
        "logit_gap": "The likeliest token's logit minus that of the second (Prophet).",
        "leftmost": "The leftmost positions are committed first (SDAR: sequential).",
    }
)
