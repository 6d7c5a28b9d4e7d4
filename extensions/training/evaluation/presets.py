"""Settings side by side, to choose a checkpoint's preset by: sense, obedience, variety, spread and time.

`python app.py evaluate --try JSON`, more than once, with JSON such as {"temperature": 0.2}, measures each
over the checkpoint's preset, on the same prompts and seeds as the rest of the command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .. import prose
from . import questions, texts
from .bench import Answer, Bench
from .coherence import Reader, shared
from .statistics import ratio

HEAD = (
    "clean",
    "accepted",
    "keywords",
    "ending",
    "dialogue",
    "repeated",
    "shared",
    "spread",
    "forwards",
    "CPU s",
    "settings",
)


def tried(bench: Bench, settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each of the settings. `clean`: stories without a fault; `accepted`: sentences that the
    grammar can say; `shared`: 4-grams of an answer that stand in the answer to the same prompt with another
    seed; `spread`: see `spread`; `CPU s`: of this process for a story."""
    reader, stories = Reader(bench.grammar), bench.stories
    prompts = [questions.tags(one.attributes) for one in stories]
    found = []
    for fields in settings:
        label = json.dumps(fields)
        began = time.process_time()
        answers = bench.write(prompts, label, **fields)
        took = time.process_time() - began
        others = bench.write([prompts[0]] * min(8, len(prompts)), f"{label}, seeds", **fields)
        asked = [one.attributes for one in stories]
        pairs = list(zip(answers, asked, strict=True))
        words = [texts.includes(one.text, word) for one, a in pairs for word in a.words[: questions.KEYWORDS]]
        parts = [prose.document(one.text).sentences for one in answers]
        seeds = [shared(one.text, two.text) for one in others for two in others if one is not two]
        found.append(
            {
                "clean": _mean([not reader.faults(one.text) for one in answers]),
                "accepted": _mean([reader.accepts(one) for some in parts for one in some]),
                "keywords": _mean(words),
                "ending": _mean([texts.ending(one.text) == a.end for one, a in pairs]),
                "dialogue": _mean([texts.dialogue(one.text) == a.talk for one, a in pairs]),
                "repeated": ratio([texts.repeated(one.text) for one in answers]),
                "shared": ratio(seeds),
                "spread": _mean([spread(one) for one in answers]),
                "forwards": _mean([one.forwards for one in answers]),
                "CPU s": took / len(answers),
                "settings": label,
            }
        )
    return found


def spread(answer: Answer) -> float:
    """How far from left-to-right an answer was written: the share of steps between two commits that go to
    the left; 0 is left to right, 0.5 is any order."""
    steps = [two < one for one, two in zip(answer.order, answer.order[1:], strict=False)]
    return _mean(steps)


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """The entries as lines."""
    lines = ["  ".join(f"{name:>8}" for name in HEAD[:-1]) + "  settings"]
    for one in found:
        lines.append("  ".join(f"{one[name]:8.3f}" for name in HEAD[:-1]) + f"  {one['settings']}")
    return "\n".join(lines)


def _mean(some: Sequence[float]) -> float:
    return sum(some) / len(some) if some else 0.0
