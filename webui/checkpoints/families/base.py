"""What a family file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Family:
    """A family of published checkpoints, as data and three small functions.

    claims      config.json -> whether it is of this family
    check       config.json -> nothing; ValueError for what the native class cannot do. Cheap: lists call it
    translate   config.json that passed `check` -> transformers config
    names       regular expressions from published weight names to native ones, in order (one capture group
                each)
    prepare     makes the loaded model exact for its dtype (attention implementation, rotary precision)
    max_length  config.json -> longest canvas, prompt included
    mask_tokens names under which the mask token may be in the tokenizer, if nothing declares it
    end_tokens  names of further tokens that end a text
    preset      request fields that suit the family; a checkpoint's profile.json goes over them
    """

    name: str
    claims: Callable[[Mapping[str, Any]], bool]
    translate: Callable[[Mapping[str, Any]], PretrainedConfig]
    model_class: str
    names: Mapping[str, str]
    max_length: Callable[[Mapping[str, Any]], int]
    check: Callable[[Mapping[str, Any]], None] = lambda config: None
    prepare: Callable[[PreTrainedModel], None] = lambda model: None
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
    preset: Mapping[str, Any] = field(default_factory=dict)
    license: str = "unknown"
