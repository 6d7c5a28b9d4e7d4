"""What a checkpoint cannot do, as sentences: the page greys it out and shows them, and a request for it is
refused with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.checkpoints.families.base import Family
from webui.checkpoints.files import MAX_JSON, printable, read_json, status
from webui.core.errors import Refusal
from webui.core.prompt import Draft, Gap

KEEPS_LENGTH = "This checkpoint has no token that makes gaps longer: the answer keeps its length."


@dataclass(frozen=True)
class Capabilities:
    """refused   field of a request, or field=value: why it cannot work. Of an extension: extension.option
    cautions  what works, but not as one may expect, and why: `draft`, text that stands in the answer from the
              start; or field=value, a choice that does nothing of its own
    """

    refused: Mapping[str, str] = field(default_factory=dict)
    cautions: Mapping[str, str] = field(default_factory=dict)

    def check(self, request: Any) -> None:
        """Refusal for a request that asks for what cannot work."""
        for name, sentence in self.refused.items():
            path, _, value = name.partition("=")
            first, _, option = path.partition(".")
            asked = getattr(request, first, None)
            if option and asked is not None:
                asked = getattr(asked, option, None)
            if asked not in (None, "") and (
                str(asked) == value if value else asked != _default(request, path)
            ):
                raise Refusal(sentence)

    def about(self, draft: Draft | None) -> Iterator[str]:
        """The cautions for an answer that starts from this draft."""
        if draft is None or "draft" not in self.cautions:
            return
        gaps = [i for i, part in enumerate(draft.parts) if isinstance(part, Gap)]
        behind = draft.parts[gaps[0] + 1 :] if gaps else ()
        if any(not isinstance(part, Gap) and (getattr(part, "text", "") or "").strip() for part in behind):
            yield self.cautions["draft"]


def capabilities(name: str, folder: Path, family: Family, config: Mapping[str, Any]) -> Capabilities:
    """Of the checkpoint in this folder. Refusal if a file of its tokenizer cannot be read."""
    refused = dict(family.refused(config))
    if not _has_template(folder):
        refused["template=chat"] = f"{printable(folder.name)} has no chat template; use template auto or raw."
    if not family.caches:
        refused |= {f"cache={mode}": without_cache(mode, name, family) for mode in ("prefix", "dual")}
    cautions: dict[str, str] = {}
    if family.expand(config) is None:
        cautions["sampler=dreamon"] = KEEPS_LENGTH
    if family.attention not in ("bidirectional", "known-first"):
        tokens = family.block_length(config) or family.answer_block(config)
        left = f"blocks of {tokens} tokens" if tokens else "single tokens"
        cautions["draft"] = (
            f"{family.name} writes {left} from left to right and sees nothing behind them: text behind a gap "
            "does not influence what is written into it."
        )
    return Capabilities(refused, cautions)


def without_cache(mode: str, name: str, family: Family) -> str:
    """Why a cache cannot be used with a checkpoint whose family has none."""
    return (
        f"The cache {mode} cannot be used with {name}: {family.name} models keep no keys and values; take "
        "the cache exact."
    )


def _default(request: Any, path: str) -> Any:
    """What a field of a request is if nobody sets it."""
    first, _, option = path.partition(".")
    owner = getattr(request, first) if option else request
    return type(owner).model_fields[option or first].get_default(call_default_factory=True)


def _has_template(folder: Path) -> bool:
    if status(folder / "chat_template.jinja"):
        return True
    if not status(folder / "tokenizer_config.json"):
        return False
    return bool(read_json(folder / "tokenizer_config.json", MAX_JSON).get("chat_template"))
