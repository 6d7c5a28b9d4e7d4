"""Encoders trained to fill in masked tokens, as transformers has them: BERT, ALBERT, RoBERTa, XLM-RoBERTa,
DistilBERT, ModernBERT, ESM. A masked language model is a masked diffusion model that does not know the time
(Wang and Cho 2019, arXiv 1902.04094; Sahoo et al. 2024, arXiv 2406.07524).

Their rows begin and end with tokens of their own, which the body gets around each row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family, check_number

KEPT = {
    "model_type",
    "architectures",
    "auto_map",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "id2label",
    "label2id",
}
NAMES = {  # of checkpoints converted from TensorFlow
    r"\.LayerNorm\.gamma$": ".LayerNorm.weight",
    r"\.LayerNorm\.beta$": ".LayerNorm.bias",
}
UNUSED = (
    r"\.inv_freq$",
    r"\.pooler\.",
    r"^cls\.seq_relationship\.",
    r"^sop_classifier\.",
    r"\.position_ids$",
    r"\.contact_head\.",
)
BEGINS, FINISHES = ("[CLS]", "<s>", "<cls>"), ("[SEP]", "</s>", "<eos>")
REACTIONS = (
    "rxnmapper's real weights (reaction SMILES, 3.2 MB, MIT): of 909 tokens masked at 15 % it finds 98.3 %, "
    "of 2,966 at 50 % 90.0 %"
)
PRESET = {
    "sampler": "low_confidence",
    "length": 32,
    "temperature": 0.0,
    "end_of_text": "ban",
    "template": "auto",
}


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that the native model cannot honour, or that is not there."""
    for key, most in (("vocab_size", 1 << 24), ("max_position_embeddings", 1 << 28)):
        check_number(config, key, 1, most)
    shapes.refuse_unless(config, "is_decoder", (False, None))
    shapes.refuse_unless(config, "add_cross_attention", (False, None))


def translate(kind: str) -> Callable[[Mapping[str, Any]], Any]:
    """config.json -> the configuration class of transformers of this name, with the keys that it has."""

    def made(config: Mapping[str, Any]) -> Any:
        import transformers

        known = getattr(transformers, kind)
        there = set(vars(known())) - KEPT
        return known(**{key: value for key, value in config.items() if key in there})

    return made


def with_window(module: Any) -> Any:
    """ModernBERT's body, which sees a window only in most of its layers, as `Family.split` wants it."""
    import torch

    class Windowed(torch.nn.Module):
        def __init__(self, model: Any):
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: Any,
            attention_mask: Any = None,
            position_ids: Any = None,
            use_cache: bool = False,
        ) -> Any:
            masks = attention_mask
            if attention_mask is not None:
                column = torch.arange(input_ids.shape[1], device=input_ids.device)
                far = (column[:, None] - column[None, :]).abs() > self.model.config.sliding_window
                least = torch.finfo(attention_mask.dtype).min
                masks = {
                    "full_attention": attention_mask,
                    "sliding_attention": attention_mask.masked_fill(far, least),
                }
            return self.model(input_ids=input_ids, attention_mask=masks, position_ids=position_ids)

    return Windowed(module.model)


def with_dropout_scale(module: Any) -> Any:
    """ESM's body, whose embeddings are scaled by the share of masked tokens and so need to know the padding,
    behind the interface of `Family.split`."""
    import torch

    class Scaled(torch.nn.Module):
        def __init__(self, model: Any):
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: Any,
            attention_mask: Any = None,
            position_ids: Any = None,
            use_cache: bool = False,
        ) -> Any:
            if attention_mask is None:
                return self.model(input_ids=input_ids, position_ids=position_ids)
            there = attention_mask[:, 0, 0] > torch.finfo(attention_mask.dtype).min / 2
            pad = self.model.config.pad_token_id or 0
            input_ids = input_ids.masked_fill(~there, pad)  # a canvas is padded with the mask token
            x = self.model.embeddings(input_ids, attention_mask=there.long(), position_ids=position_ids)
            turned = None
            if self.model.position_embedding_type == "rotary":
                turned = self.model.rotary_embeddings(x, position_ids)
            return self.model.encoder(x, attention_mask=attention_mask, position_embeddings=turned)

    return Scaled(module.esm)


def head_of_distilbert(module: Any) -> Any:
    """Transform, activation, norm and decoder, which DistilBERT has beside one another."""
    import torch

    parts = (module.vocab_transform, module.activation, module.vocab_layer_norm, module.vocab_projector)
    return torch.nn.Sequential(*parts)


def head_of_modernbert(module: Any) -> Any:
    """Transform and decoder."""
    import torch

    return torch.nn.Sequential(module.head, module.decoder)


def _padded(config: Mapping[str, Any]) -> int:
    """Positions begin after the one of the padding token."""
    return int(config.get("pad_token_id") or 0) + 1


def _none(config: Mapping[str, Any]) -> int:
    return 0


def _family(
    name: str,
    model_type: str,
    prefix: str,
    split: Callable[[Any], tuple[Any, Any]],
    first_position: Callable[[Mapping[str, Any]], int] = _none,
    license: str = "unknown",
) -> Family:
    def claims(config: Mapping[str, Any]) -> bool:
        trained = ("ForMaskedLM", "ForPreTraining")
        return config.get("model_type") == model_type and shapes.architecture(config).endswith(trained)

    def max_length(config: Mapping[str, Any]) -> int:
        return int(config["max_position_embeddings"]) - first_position(config) - 2  # what frames a row

    return Family(
        name=name,
        claims=claims,
        check=check,
        translate=translate(f"{prefix}Config"),
        model_class=f"{prefix}ForMaskedLM",
        names=NAMES,
        unused=UNUSED,
        computed=(r"\.inv_freq$",),
        split=split,
        max_length=max_length,
        first_position=first_position,
        caches=False,  # encoders keep no keys and values
        mask_tokens=("[MASK]", "<mask>"),
        end_tokens=FINISHES,
        frame=(BEGINS, FINISHES),
        forbidden=("[PAD]", "[CLS]", "[UNK]", "<pad>", "<s>", "<unk>", "<cls>", "<null_1>"),
        preset=PRESET,
        license=license,
        covers=f"any {name} with its head for masked tokens",
        proof="bc" if name == "ALBERT" else "b",
        about=REACTIONS if name == "ALBERT" else "",
    )


def _esm_position(config: Mapping[str, Any]) -> int:
    absolute = config.get("position_embedding_type", "absolute") == "absolute"
    return _padded(config) if absolute else 0


FAMILIES = (
    _family("BERT", "bert", "Bert", lambda module: (module.bert, module.cls)),
    _family("ALBERT", "albert", "Albert", lambda module: (module.albert, module.predictions)),
    _family("RoBERTa", "roberta", "Roberta", lambda module: (module.roberta, module.lm_head), _padded),
    _family(
        "XLM-RoBERTa", "xlm-roberta", "XLMRoberta", lambda module: (module.roberta, module.lm_head), _padded
    ),
    _family(
        "DistilBERT",
        "distilbert",
        "DistilBert",
        lambda module: (module.distilbert, head_of_distilbert(module)),
    ),
    _family(
        "ModernBERT",
        "modernbert",
        "ModernBert",
        lambda module: (with_window(module), head_of_modernbert(module)),
    ),
    _family("ESM", "esm", "Esm", lambda module: (with_dropout_scale(module), module.lm_head), _esm_position),
)
