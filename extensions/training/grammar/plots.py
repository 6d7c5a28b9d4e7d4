"""Reads the plots and compiles them; the rules they must keep are in `rules.py`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .templates import SLOT, Form, TemplateError, compile_wording
from .words import GrammarError, words_of

CONDITIONS = frozenset({"happy", "sad", "talk", "quiet", "long"})
_BEAT_KEYS = {"when", "para", "say"}


@dataclass(frozen=True)
class Beat:
    """One step of a plot: `wordings[i]` are the equally likely forms of wording i. `number` counts from 1."""

    number: int
    when: frozenset[str]
    para: bool
    wordings: tuple[tuple[Form, ...], ...]

    @property
    def forms(self) -> list[Form]:
        """All forms of all wordings."""
        return [form for forms in self.wordings for form in forms]


@dataclass(frozen=True)
class Plot:
    """A plot as read from `file` (a bare name). `avoid` holds nouns of the lexicon that would not fit into
    it."""

    name: str
    file: str
    beats: tuple[Beat, ...]
    avoid: frozenset[str] = frozenset()

    def script(self, happy: bool, talk: bool) -> tuple[Beat, ...]:
        """The beats of one of the four combinations, the optional (`long`) ones among them."""
        absent = {"sad" if happy else "happy", "quiet" if talk else "talk"}
        return tuple(beat for beat in self.beats if not beat.when & absent)

    def literal_words(self) -> frozenset[str]:
        """The lower-case words that the plot's wordings hold outside of slots."""
        return frozenset(
            word for beat in self.beats for form in beat.forms for word in words_of(SLOT.sub(" ", form.plain))
        )


def read_plots(path: Path) -> tuple[list[Plot], list[str]]:
    """The plots of a file that compile, and the faults of the others, one sentence each.

    Raises OSError if the file cannot be read.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return [], [f"{path.name}: not valid TOML: {error}."]
    entries = data.get("plot")
    if not isinstance(entries, list) or set(data) != {"plot"}:
        return [], [f"{path.name}: the file must hold [[plot]] tables and nothing else."]
    plots, faults = [], []
    for entry in entries:
        try:
            plots.append(_plot(entry, path.name))
        except GrammarError as error:
            faults += str(error).splitlines()
    return plots, faults


def _plot(entry: dict, file: str) -> Plot:
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise GrammarError(f"{file}: a plot has no name.")
    where = f"{file}, plot '{name}'"
    if set(entry) - {"avoid"} != {"name", "beat"} or not isinstance(entry["beat"], list) or not entry["beat"]:
        raise GrammarError(
            f"{where}: a plot must hold a name, [[plot.beat]] tables and at most `avoid` beside them."
        )
    avoid = entry.get("avoid", [])
    if not isinstance(avoid, list) or not all(isinstance(word, str) for word in avoid):
        raise GrammarError(f"{where}: `avoid` must be a list of words.")
    beats, faults = [], []
    for number, beat in enumerate(entry["beat"], start=1):
        try:
            beats.append(_beat(beat, number, f"{where}, beat {number}"))
        except GrammarError as error:
            faults += str(error).splitlines()
    if faults:
        raise GrammarError("\n".join(faults))
    return Plot(name, file, tuple(beats), frozenset(avoid))


def _beat(entry: dict, number: int, where: str) -> Beat:
    strange = sorted(set(entry) - _BEAT_KEYS)
    if strange:
        raise GrammarError(f"{where}: unknown key {strange[0]}.")
    when = entry.get("when", "")
    para = entry.get("para", False)
    say = entry.get("say")
    if not isinstance(when, str) or set(when.split()) - CONDITIONS:
        raise GrammarError(f"{where}: `when` must hold happy, sad, talk, quiet or long, not {when!r}.")
    conditions = frozenset(when.split())
    if {"happy", "sad"} <= conditions or {"talk", "quiet"} <= conditions:
        raise GrammarError(f"{where}: `when` holds conditions that exclude each other.")
    if not isinstance(para, bool):
        raise GrammarError(f"{where}: `para` must be true or false.")
    if not isinstance(say, list) or not all(isinstance(wording, str) for wording in say):
        raise GrammarError(f"{where}: `say` must be a list of wordings.")
    return Beat(number, conditions, para, _compiled(say, where))


def _compiled(say: list[str], where: str) -> tuple[tuple[Form, ...], ...]:
    wordings, faults = [], []
    for number, wording in enumerate(say, start=1):
        try:
            wordings.append(compile_wording(wording))
        except TemplateError as error:
            faults.append(f"{where}, wording {number}: {error}.")
    if faults:
        raise GrammarError("\n".join(faults))
    return tuple(wordings)
