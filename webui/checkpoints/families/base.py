"""What a family file declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from webui.checkpoints.recipes import Recipe
from webui.core.errors import Refusal

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


# bidirectional: every position sees every other; causal: itself and those before it;
# block-causal: all of its own block and those before it; causal-but-block: as causal, but everything within a
# block of the answer that is not committed yet; known-first: a known column sees the known ones before it, a
# masked one every known one and the masked ones before it
Attention = Literal["bidirectional", "block-causal", "causal", "causal-but-block", "known-first"]


def split_causal_lm(module: Any) -> tuple[Any, Any]:
    """Body and head of the `...ForCausalLM` classes of transformers."""
    return module.model, module.get_output_embeddings()


@dataclass(frozen=True)
class Family:
    """A family of published checkpoints, as data and a few small functions.

    `Checkpoints(settings, families=(*FAMILIES, OWN))` knows one more.

    claims      config.json -> whether it is of this family
    check       config.json -> nothing; ValueError for what the native class cannot do. Cheap: lists call it
    translate   config.json that passed `check` -> transformers config
    model_class the native class: its name in transformers, or what gives one of our own, a PreTrainedModel
    names       regular expressions from published weight names to native ones, in order (one capture group
                each)
    assemble    (native weight name, transformers config) -> the recipe that makes it of published ones under
                their new names, or None if it is the one of its name
    unused      regular expressions of published weights that the native class does not have or need
    computed    regular expressions of native tensors that the native class computes and no file has
    prepare     makes the loaded model exact for its dtype (attention implementation, rotary precision)
    max_length  config.json -> longest canvas, prompt included
    shift       whether the output at column i predicts the token of column i + 1, as in models made from
                autoregressive ones; the output of the first column then also stands for itself
    attention   which columns a column sees
    block_length
                config.json -> columns of a block of block-causal attention, 0 for the others
    caches      whether the body also takes `past_key_values`, whose `update(keys, values, layer)` it calls in
                each layer for the keys and values that are attended to
    answer_block
                config.json -> columns of a block of causal-but-block attention; they begin behind the prompt
    inputs      model, canvas, its further columns (`Unseen` or None) -> what the body gets besides, or in
                place of, tokens, mask and positions, by the names of its arguments: the noise level, the
                guesses of the step before ...
    ratios      whether logits are logs of estimated probabilities that need not sum to 1, as those of a model
                of ratios are
    split       loaded module -> (body, head). `body(input_ids=, attention_mask=, position_ids=, use_cache=)`
                gives an object with `last_hidden_state` (B, L, D); `head(hidden (N, D))` gives logits (N, V).
                The head is everything after the body, a transform before the decoder included
    expand      config.json -> the token that stands for two masked positions, in models whose gaps grow and
                shrink; None in the others
    mask_id     config.json -> the mask token, if nothing declares it and the family knows
    mask_tokens names under which the mask token may be in the tokenizer, if nothing declares it
    end_tokens  names of further tokens that end a text
    frame       names of the tokens that the body gets before and after each row, unseen by samplers and
                texts; none with a chat template, which writes its own
    forbidden   names of further tokens that are never written
    first_position
                config.json -> what the body counts as the position of a row's first token
    refused     config.json -> what cannot work with it: field of a request, or field=value, and why
    preset      request fields that suit the family; a checkpoint's profile.json goes over them
    ancestor    how names of the autoregressive models that it was made from begin; their adapters fit
    covers      the published checkpoints that it is for
    proof       what tests show: "a" every published name of a true-size checkpoint is one parameter of its
                shape; "b" logits of tiny random checkpoints equal a plain forward pass; "c" real weights
    about       what else is known, in a few words
    """

    name: str
    claims: Callable[[Mapping[str, Any]], bool]
    translate: Callable[[Mapping[str, Any]], PretrainedConfig]
    model_class: str | Callable[[], Any]
    names: Mapping[str, str]
    max_length: Callable[[Mapping[str, Any]], int]
    shift: bool = False
    attention: Attention = "bidirectional"
    block_length: Callable[[Mapping[str, Any]], int] = lambda config: 0
    caches: bool = True
    answer_block: Callable[[Mapping[str, Any]], int] = lambda config: 0
    inputs: Callable[[Any, Any, Any], Mapping[str, Any]] = lambda model, canvas, unseen: {}
    ratios: bool = False
    split: Callable[[Any], tuple[Any, Any]] = split_causal_lm
    assemble: Callable[[str, Any], Recipe | None] = lambda name, config: None
    unused: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], None] = lambda config: None
    prepare: Callable[[PreTrainedModel], None] = lambda model: None
    expand: Callable[[Mapping[str, Any]], int | None] = lambda config: None
    mask_id: Callable[[Mapping[str, Any]], int | None] = lambda config: None
    mask_tokens: tuple[str, ...] = (
        "<|mdm_mask|>",
        "<|mask|>",
        "<|MASK|>",
        "<MASK>",
        "|<MASK>|",
        "<[MASK]>",
        "<[MASK_TOKEN]>",
        "[MASK]",
    )
    end_tokens: tuple[str, ...] = ()
    frame: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    forbidden: tuple[str, ...] = ()
    first_position: Callable[[Mapping[str, Any]], int] = lambda config: 0
    refused: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda config: {}
    preset: Mapping[str, Any] = field(default_factory=dict)
    license: str = "unknown"
    ancestor: str = ""
    covers: str = ""
    proof: str = ""
    about: str = ""

    def native(self) -> Any:
        """The native class."""
        if not isinstance(self.model_class, str):
            return self.model_class()
        import transformers

        return getattr(transformers, self.model_class)


def check_number(
    config: Mapping[str, Any], key: str, least: float, most: int, kind: type[int] | type[float] = int
) -> None:
    """Refuses a number of config.json that is not there, of another type or out of range."""
    value = config.get(key)
    fits = isinstance(value, int | kind) and not isinstance(value, bool)
    if not fits or not least <= value <= most:  # type: ignore[operator]
        needed = "whole number" if kind is int else "number"
        shown = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]} ..."
        raise Refusal(f"config.json says {key} = {shown}, where a positive {needed} up to {most} is needed.")
