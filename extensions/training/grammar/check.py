"""Validates the grammar, prints numbers and samples.

`python -m extensions.training.grammar.check [SAMPLES] [PLOT or -] [FOLDER]`
"""

import sys
import time

from .story import Grammar
from .words import GrammarError, words_of

_TOLD = 4000
_GRAMMAR_WORDS = frozenset(
    "a an and as at but by for from he her him himself herself itself his i if in into is it its me my no "
    "not of on or "
    "our she so that the their them then there they this to up us was we were what when where who will with "
    "you your "
    "all am are be been can could did do down had has have how just more out over some than too very".split()
)


def main(arguments: list[str]) -> int:
    """Print faults (exit status 1), or numbers and samples (0)."""
    try:
        grammar = Grammar.load(arguments[2] if len(arguments) > 2 else None)
    except GrammarError as error:
        print(error)
        return 1
    wordings = [forms for plot in grammar.plots for beat in plot.beats for forms in beat.wordings]
    words = {word.removesuffix("'s") for word in grammar.lexicon()} - _GRAMMAR_WORDS
    print(
        f"{len(grammar.plots)} plots, {len(wordings)} wordings, {sum(map(len, wordings))} forms, "
        f"{len(words)} content words"
    )
    start = time.perf_counter()
    stories = [grammar.story(seed) for seed in range(_TOLD)]
    print(f"{_TOLD / (time.perf_counter() - start):.0f} stories/s")
    counts = sorted((len(words_of(story.text)), story.attributes.plot) for story in stories)
    print(f"words: {counts[0]} to {counts[-1]}, middle {counts[_TOLD // 2][0]}")
    print(
        f"nats: {sum(story.nats for story in stories) / _TOLD:.1f}, of which the condition tells "
        f"{sum(story.condition_nats for story in stories) / _TOLD:.1f}; "
        f"held out {sum(story.held_out for story in stories) / _TOLD:.1%}"
    )
    plot = arguments[1] if len(arguments) > 1 and arguments[1] != "-" else None
    shown = [story for story in stories if plot in (None, story.attributes.plot)]
    for story in shown[: int(arguments[0]) if arguments else 0]:
        print(f"\n{story.attributes}\n{story.text}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
