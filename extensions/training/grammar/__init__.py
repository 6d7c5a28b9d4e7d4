"""A story grammar: short children's stories together with their exact attributes.

`Grammar.load().story(seed)` is a pure function of the seed. The plots stand in `plots-*.toml`, the words in
`lexicon.toml`; `python -m extensions.training.grammar.check` validates them and prints numbers and samples.
"""

from .story import Attributes, Grammar, Story, is_held_out
from .words import HAPPY_WORDS, SAD_WORDS, GrammarError, words_of

__all__ = [
    "HAPPY_WORDS",
    "SAD_WORDS",
    "Attributes",
    "Grammar",
    "GrammarError",
    "Story",
    "is_held_out",
    "words_of",
]
