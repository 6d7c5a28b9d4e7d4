"""What a story is conditioned on, written the ways people write prompts: tags, fields or a sentence.

The wordings vary on purpose, and every part is dropped now and then: the model has to understand free
prompts, also short ones. A row of training data is `{content}\\nStory:` (the frame, which the tokenizer's
chat template repeats) and then the text, whose first token is a word with its leading blank.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

FRAME = "\nStory:"
DROP = 0.3
ALL, LESS = 0.4, 0.5  # of the keywords: all of them so often, else each dropped so often; together DROP
UNNAMED = 0.65  # of the stories with a friend: a condition that does not name what the friend is
GIST = 0.5  # of the sentences about a story that has a gist
BARE = 0.25  # of the sentences: without `Write a story about`
MASS = frozenset(
    "soup bread cheese honey jam popcorn candy chocolate rice corn pasta milk water snow rain sand food "
    "money music "
    "magic fun juice grass help work love".split()
)
ASKS = (
    "Write a story about",
    "Tell me a story about",
    "A story about",
    "Write a short story about",
    "Tell a story about",
    "Please write a story about",
    "I want a story about",
    "Can you tell me a story about",
    "Make up a story about",
    "Write about",
    "A short story about",
    "Story about",
    "Write me a story about",
    "A tale of",
)
ASKS_BARE = (
    "Write a story",
    "Tell me a story",
    "A story",
    "Write a short story",
    "Please tell a story",
    "Make up a story",
)
ENDS = {
    "happy": ("with a happy ending", "with a happy end", "that ends well", "that ends happily"),
    "sad": ("with a sad ending", "with a sad end", "that ends badly", "that ends sadly"),
    "open": ("with an open ending", "to be continued", "that goes on"),
}
TALKS = {
    True: ("with dialogue", "in which they talk", "with talking", "where they speak"),
    False: ("without dialogue", "with no dialogue", "in which nobody talks"),
}
END_TAGS = {
    "happy": ("happy ending", "happy ending", "happy ending", "happy end", "happy"),
    "sad": ("sad ending", "sad ending", "sad ending", "sad end", "sad"),
    "open": ("open ending", "open ending", "to be continued"),
}
TALK_TAGS = {
    True: ("dialogue", "dialogue", "dialogue", "talking"),
    False: ("no dialogue", "no dialogue", "without dialogue"),
}


@dataclass(frozen=True)
class Facts:
    """What is known to be true of a text. Everything may be missing.

    words: keywords that stand in the text; hero: `brave dragon`; kind: the hero without the trait; end:
    happy, sad or open; talk: whether there is dialogue; before: the sentences that came before (the text then
    continues them); extra: further fields (name, value), of the fables; gists: what the text is about
    (`a girl who loses her umbrella`).
    """

    words: tuple[str, ...] = ()
    hero: str | None = None
    kind: str | None = None
    friend: str | None = None
    place: str | None = None
    end: str | None = None
    talk: bool | None = None
    before: str | None = None
    extra: tuple[tuple[str, str], ...] = field(default=())
    gists: tuple[str, ...] = ()


def article(noun: str) -> str:
    """`a dragon`, `an owl`, `some soup`, and `apples` or `Lily` as they are."""
    last = noun.split()[-1]
    if noun[:1].isupper() or (last.endswith("s") and not last.endswith(("ss", "us"))):
        return noun
    if last in MASS:
        return f"some {noun}" if len(noun) % 2 else noun
    return f"an {noun}" if noun[0] in "aeiou" and not noun.startswith("uni") else f"a {noun}"


def condition(facts: Facts, random: Random) -> str:
    """The content for these facts: empty for one in ten, else tags (half), fields or a sentence (a quarter
    each). Most do not name the friend: a network that nearly always finds both characters among the keywords
    comes to believe that the friend is one of them, and makes it of the hero's kind."""
    if facts.friend and random.random() < UNNAMED:
        facts = replace(facts, friend=None, words=tuple(one for one in facts.words if one != facts.friend))
    if facts.before:
        return _more(facts, random)
    draw = random.random()
    if draw < 0.10:
        return ""
    write = tags if draw < 0.55 else fields if draw < 0.775 or facts.extra else sentence
    return write(facts, random)


def tags(facts: Facts, random: Random) -> str:
    """`dragon, cake, castle, happy ending, dialogue`."""
    words = _some(facts.words, random)
    if facts.hero and facts.kind in words and facts.hero != facts.kind and random.random() < 0.4:
        words[words.index(facts.kind)] = facts.hero
    if random.random() < 0.08:
        words = [article(word) for word in words]
    rest = []
    if facts.place and random.random() >= DROP:
        rest.append(facts.place if random.random() < 0.8 else f"in the {facts.place}")
    if facts.end and _kept(facts, random):
        rest.append(random.choice(END_TAGS[facts.end]))
    if facts.talk is not None and random.random() >= DROP:
        rest.append(random.choice(TALK_TAGS[facts.talk]))
    rest += [value for _, value in facts.extra if random.random() >= 0.5]
    found = words + rest
    if random.random() < 0.25:
        random.shuffle(found)
    return _dressed(", ".join(found), random)


def fields(facts: Facts, random: Random) -> str:
    """`Words: dragon, cake / Hero: brave dragon / Place: castle / End: happy / Talk: yes`, also one field a
    line."""
    words = _some(facts.words, random)
    known = [
        ("Words", ", ".join(words) or None),
        ("Hero", facts.hero),
        ("Friend", facts.friend),
        ("Place", facts.place),
        *facts.extra,
        ("End", facts.end),
        ("Talk", {True: "yes", False: "no", None: None}[facts.talk]),
    ]
    kept = [
        f"{name}: {value}"
        for name, value in known
        if value and (name == "Words" or random.random() >= DROP or (name == "End" and value == "open"))
    ]
    return random.choice(("\n", " / ")).join(kept)


def sentence(facts: Facts, random: Random) -> str:
    """`Write a story about a dragon and a cake with a happy ending.`, or a gist in the place of the words;
    one in four does not ask but only says what about: `a dragon and a cake`."""
    gist = random.choice(facts.gists) if facts.gists and random.random() < GIST else ""
    words = _some(facts.words, random)[:4]
    if facts.hero and facts.kind in words and random.random() < 0.5:
        words[words.index(facts.kind)] = facts.hero
    words = [article(word) for word in words]
    about = gist or " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    if about and random.random() < BARE:
        text = about if random.random() < 0.7 else about[0].upper() + about[1:]
    else:
        text = f"{random.choice(ASKS)} {about}" if about else random.choice(ASKS_BARE)
    if facts.place and facts.place not in about.split() and random.random() >= DROP:
        text += random.choice((f" in a {facts.place}", f" in the {facts.place}", f" at the {facts.place}"))
    if facts.end and _kept(facts, random):
        text += " " + random.choice(ENDS[facts.end])
    if facts.talk is not None and random.random() >= DROP:
        text += (" and " if " with" in text[-22:] and random.random() < 0.7 else " ") + random.choice(
            TALKS[facts.talk]
        )
    return text + random.choice((".", ".", ".", ""))


def _some(words: tuple[str, ...], random: Random) -> list[str]:
    """All words or some, in any order: three and four keywords are to be as common as one and two."""
    less = 0.0 if random.random() < ALL else LESS
    some = [word for word in words if random.random() >= less]
    random.shuffle(some)
    return some


def _more(facts: Facts, random: Random) -> str:
    """`More: ` and the sentences before, sometimes behind a line of tags."""
    head = tags(facts, random) if random.random() < 0.5 else ""
    return f"{head}\nMore: {facts.before}" if head else f"More: {facts.before}"


def _kept(facts: Facts, random: Random) -> bool:
    """An open end is always said where anything is said: else texts without an end would be the model's to
    guess."""
    return random.random() >= DROP or facts.end == "open"


def _dressed(text: str, random: Random) -> str:
    """Small liberties people take with a list of tags."""
    if text and random.random() < 0.12:
        text = text[0].upper() + text[1:]
    if text and random.random() < 0.06:
        text += "."
    return text


def of_story(attributes) -> Facts:
    """The facts of a story of the grammar, from its exact `Attributes`."""
    a = attributes
    return Facts(
        words=tuple(a.words),
        hero=a.hero,
        kind=a.kind,
        friend=a.friend,
        place=a.place,
        end=a.end,
        talk=a.talk,
        gists=a.gists,
    )
