"""The rows of the table, a function for each metric. What is measured and how stands in its docstring."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from .. import prose
from . import questions, texts
from .bench import Answer, Bench
from .coherence import Reader, repeated_clauses, shared
from .questions import Passage
from .report import Bar, Row
from .statistics import bootstrap, ratio, wilson

GUIDED = 2.5
WEIGHTS = (0.5, 1.0, 1.5, 2.0)
SLACK = 0.05  # by which a rate may fall between two weights of a rise
NEGATIVE = "sad ending"
JUDGED = 40  # answers that the independent model reads
NO_CORPUS = "corpus not given"


def measure(bench: Bench, only: Sequence[str]) -> list[Row]:
    """The rows of these metrics, in the table's order. What cannot be measured says why in its note."""
    rows: list[Row] = []
    for name, metric in METRICS.items():
        if name in only:
            try:
                rows += metric(bench)
            except ValueError as error:
                rows.append(Row(name, name, note=str(error)))
    return rows


# -- bounds --------------------------------------------------------------------------------------------------


def tinystories(bench: Bench) -> Iterator[Row]:
    """Bits per byte on tinystories-heldout: the bound on -log2 p of every whole story over its UTF-8 bytes.

    Scored is the text as training reads it (ASCII punctuation, single blanks), behind the checkpoint's frame
    with nothing in it, passage by passage (see questions.passages), with its end-of-text, which has no bytes.
    Since all bytes of all stories are scored, checkpoints of other lengths and tokenizers compare. The second
    row is the first passage of each story alone, as much of it as fits the model: what training reports.
    """
    row = Row("tinystories", "tinystories-heldout, bits per byte", bar=Bar(1.15, 0.85, least=False))
    if bench.corpus is None:
        yield Row(row.metric, row.what, bar=row.bar, note=NO_CORPUS)
        return
    path = bench.corpus / prose.HELD_OUT
    if not path.is_file():
        raise ValueError(f"{bench.corpus} has no {prose.HELD_OUT}")
    stories = [bench.passages(prose.joined(found.sentences)) for found in prose.read(path)]
    nats = iter(bench.score([one for story in stories for one in story], "bound on tinystories-heldout"))
    scored = [[(next(nats) / math.log(2), float(one.bytes)) for one in story] for story in stories]
    whole = [(sum(bits for bits, _ in story), sum(size for _, size in story)) for story in scored]
    size, many = sum(size for _, size in whole), sum(map(len, stories))
    note = f"{size:.0f} bytes in {many} passages, all text and end-of-text, no condition, 8 draws a passage"
    yield Row(
        row.metric, row.what, ratio(whole), bootstrap(whole, bench.seed), len(whole), row.bar, note=note
    )
    first = [story[0] for story in scored]
    note = f"the first {sum(size for _, size in first) / size:.0%} of the bytes"
    what = "  their openings, bits per byte"
    yield Row("tinystories_openings", what, ratio(first), bootstrap(first, bench.seed), len(first), note=note)


def grammar(bench: Bench) -> Iterator[Row]:
    """The bound on held-out stories as a multiple of what the grammar itself needs to tell them.

    A story costs the grammar -log of the probability of all its choices (`Story.nats`), the attributes among
    them; so the first row, which has the bar, scores stories without a condition, and what a perfect model
    reaches is 1. The model is given the canvas's length, which already tells some nats: the cost of a code
    for that length, learnt from 1,500 stories that are not held out, is added. The second row gives the
    condition in full and divides by what it leaves open; as the elder and who plays which part are not told
    by it, a perfect model stays a little above 1 there.
    """
    plain = [(bench.passages(one.text), one.nats) for one in bench.stories]
    told = [
        (bench.passages(one.text, questions.fields(one.attributes)), one.nats - one.condition_nats)
        for one in bench.stories
    ]
    names = (
        ("grammar", "grammar_given"),
        ("held-out grammar / its entropy", "  given the condition / what it leaves"),
    )
    for metric, what, some, bar in zip(
        *names, (plain, told), (Bar(1.5, 1.2, least=False), None), strict=True
    ):
        nats = iter(
            bench.score([one for story, _ in some for one in story], what.strip().replace(" /", ", over"))
        )
        pairs = []
        for story, unit in some:
            length = sum(len(one.scored) for one in story) - 1
            pairs.append((sum(next(nats) for _ in story) + bench.lengths.nats(length), unit))
        per = sum(part for part, _ in pairs) / sum(len(one.scored) for story, _ in some for one in story)
        entropy = sum(unit for _, unit in pairs) / len(pairs)
        note = f"{per:.3f} nats per token, {entropy:.1f} nats of entropy a story"
        yield Row(metric, what, ratio(pairs), bootstrap(pairs, bench.seed), len(pairs), bar, note=note)


def frozen(bench: Bench) -> Iterator[Row]:
    """The first row of `grammar` on the stories that were held out in November 2026 (held_out.jsonl),
    whatever the grammar has become since."""
    some = [(bench.passages(one.text), one.nats) for one in questions.frozen(bench.samples)]
    nats = iter(bench.score([one for story, _ in some for one in story], "bound on frozen held-out grammar"))
    pairs = []
    for story, unit in some:
        length = sum(len(one.scored) for one in story) - 1
        pairs.append((sum(next(nats) for _ in story) + bench.lengths.nats(length), unit))
    per = sum(part for part, _ in pairs) / sum(len(one.scored) for story, _ in some for one in story)
    note = f"{per:.3f} nats per token; the grammar of November 2026"
    what, bar = "frozen held-out grammar / its entropy", Bar(1.5, 1.2, least=False)
    yield Row("frozen", what, ratio(pairs), bootstrap(pairs, bench.seed), len(pairs), bar, note=note)


# -- obedience -----------------------------------------------------------------------------------------------


def keywords(bench: Bench) -> Iterator[Row]:
    """Share of the two keywords of each prompt that stand in its answer, at guidance 1 and 2.5. n counts
    keywords."""
    for scale, bar in ((1.0, Bar(0.7, 0.85)), (GUIDED, Bar(0.8, 0.92))):
        metric, what = f"keywords_{scale:g}", f"2 keywords in the answer, guidance {scale:g}"
        try:
            answers = _told(bench, scale)
        except ValueError as error:
            yield Row(metric, what, bar=bar, note=str(error))
            continue
        asked = [one.attributes.words[: questions.KEYWORDS] for one in bench.stories]
        hits = [
            [texts.includes(answer.text, word) for word in words]
            for words, answer in zip(asked, answers, strict=True)
        ]
        both = sum(map(all, hits))
        yield _rate(
            metric,
            what,
            sum(map(sum, hits)),
            sum(map(len, hits)),
            bar,
            f"both in {both} of {len(hits)} answers",
        )


def more(bench: Bench) -> Iterator[Row]:
    """Share of three and of four keywords, asked for alone, that stand in the answer, at the preset."""
    for many in (3, 4):
        stories = questions.keywords(bench.grammar, many, max(1, bench.samples // 2))
        asked = [one.attributes.words[:many] for one in stories]
        answers = bench.write([", ".join(words) for words in asked], f"{many} keywords")
        hits = [
            [texts.includes(answer.text, word) for word in words]
            for words, answer in zip(asked, answers, strict=True)
        ]
        note = f"all in {sum(map(all, hits))} of {len(hits)} answers"
        what = f"{many} keywords in the answer, the preset"
        yield _rate(f"keywords_of_{many}", what, sum(map(sum, hits)), sum(map(len, hits)), note=note)


def people(bench: Bench) -> Iterator[Row]:
    """Prompts as people write them (questions.PEOPLE): the share of what they name, and the grammar knows,
    that stands in the answer."""
    some = questions.PEOPLE[: bench.samples]
    answers = bench.write([prompt for prompt, _ in some], "prompts as people write them")
    hits = [
        [texts.includes(answer.text, word) for word in words]
        for (_, words), answer in zip(some, answers, strict=True)
    ]
    note = f"all of them in {sum(map(all, hits))} of {len(hits)} answers"
    what = "prompts as people write them: what they name"
    yield _rate("people", what, sum(map(sum, hits)), sum(map(len, hits)), note=note)


def ending(bench: Bench) -> Iterator[Row]:
    """Share of the answers that end in the mood asked for, by the mood words of the last sentence or the one
    before it."""
    answers = _told(bench, None)
    asked = [one.attributes.end for one in bench.stories]
    right = [texts.ending(answer.text) == end for end, answer in zip(asked, answers, strict=True)]
    note = _split(
        {end: [ok for ok, one in zip(right, asked, strict=True) if one == end] for end in ("happy", "sad")}
    )
    yield _rate("ending", "ending as asked", sum(right), len(right), Bar(0.85, 0.92), note)


def dialogue(bench: Bench) -> Iterator[Row]:
    """Share of the answers that hold a quotation mark if `dialogue` was asked for, and none if `no dialogue`
    was."""
    answers = _told(bench, None)
    asked = [one.attributes.talk for one in bench.stories]
    right = [texts.dialogue(answer.text) == talk for talk, answer in zip(asked, answers, strict=True)]
    parts = {"dialogue": True, "no dialogue": False}
    note = _split(
        {
            name: [ok for ok, one in zip(right, asked, strict=True) if one is talk]
            for name, talk in parts.items()
        }
    )
    yield _rate("dialogue", "dialogue as asked", sum(right), len(right), Bar(0.85, 0.92), note)


def open_(bench: Bench) -> Iterator[Row]:
    """Answers to `open ending` whose last two sentences tell neither of a happy nor of a sad end."""
    stories = bench.stories[: max(1, bench.samples // 2)]
    answers = bench.write(
        [", ".join([*questions.subject(one.attributes), "open ending"]) for one in stories], "open endings"
    )
    right = sum(texts.ending(answer.text) is None for answer in answers)
    yield _rate("open", "open ending as asked", right, len(answers))


# -- sense ---------------------------------------------------------------------------------------------------


def coherence(bench: Bench) -> Iterator[Row]:
    """Answers in which every name, kind and object is introduced before it is used and keeps its attributes,
    and nothing is said twice (coherence.py); sentences that the grammar can say, whatever the words in its
    slots; answers that say a clause twice."""
    reader = Reader(bench.grammar)
    answers = [answer.text for answer in _told(bench, None)]
    faults = [reader.faults(text) for text in answers]
    found = Counter(kind for some in faults for kind in dict.fromkeys(map(_sort, some)))
    note = ", ".join(f"{kind} in {times}" for kind, times in found.most_common())
    clean = sum(not some for some in faults)
    yield _rate("coherence", "stories without a fault", clean, len(answers), Bar(0.8, 0.9), note)
    parts = [prose.document(text).sentences for text in answers]
    pairs = [(float(sum(map(reader.accepts, some))), float(len(some))) for some in parts]
    yield _share("sentences", "  sentences that the grammar can say", pairs, bench.seed, None)
    twice = sum(bool(repeated_clauses(text)) for text in answers)
    yield _rate("clauses", "  answers that say a clause twice", twice, len(answers))


def seeds(bench: Bench) -> Iterator[Row]:
    """Runs of four words that stand in two answers to the same prompt: over 20 prompts, with eight seeds
    each, the mean over the pairs of seeds."""
    prompts = [questions.tags(one.attributes) for one in bench.stories[: min(20, bench.samples)]]
    many = 8 if bench.samples > 2 else 2
    answers = bench.write([prompt for prompt in prompts for _ in range(many)], "eight seeds of a prompt")
    pairs = []
    for at in range(0, len(answers), many):
        group = [answer.text for answer in answers[at : at + many]]
        found = [shared(one, two) for one in group for two in group if one is not two]
        pairs.append((sum(a / b for a, b in found if b), float(len(found))))
    what = "4-grams shared between two seeds"
    yield Row(
        "seeds", what, ratio(pairs), bootstrap(pairs, bench.seed), len(pairs), Bar(0.10, 0.10, least=False)
    )


# -- language ------------------------------------------------------------------------------------------------


def lexicon(bench: Bench) -> Iterator[Row]:
    """Share of all words that neither the grammar nor the training corpus holds: broken words, mostly."""
    answers = _told(bench, None)
    known = bench.grammar.lexicon() | (texts.corpus_words(bench.corpus) if bench.corpus else frozenset())
    strange = [texts.unknown(answer.text, known) for answer in answers]
    pairs = [
        (float(len(some)), float(len(texts.words_of(answer.text))))
        for some, answer in zip(strange, answers, strict=True)
    ]
    found = sorted({word for some in strange for word in some})
    note = f"{', '.join(found[:12])}{', ...' if len(found) > 12 else ''}" if found else ""
    if bench.corpus is None:
        note = f"{NO_CORPUS}: against the grammar's words alone, so not judged. {note}"
    bar = Bar(0.01, 0.005, least=False) if bench.corpus else None
    yield _share("lexicon", "words outside the training lexicon", pairs, bench.seed, bar, note)


def repetition(bench: Bench) -> Iterator[Row]:
    """Share of the runs of four words that stood before in the same answer."""
    pairs = [
        (float(again), float(runs))
        for again, runs in (texts.repeated(answer.text) for answer in _told(bench, None))
    ]
    yield _share("repetition", "repeated 4-grams", pairs, bench.seed, Bar(0.05, 0.03, least=False))


def judge(bench: Bench) -> Iterator[Row]:
    """Bits per byte that an independent autoregressive model (judge.py) needs for 40 answers, as raw text.

    Then the same of the grammar's own stories with these tags, which is what a perfect student of it would
    write, and of 40 held-out real ones, cut between sentences at the answers' mean length.
    """
    what = "bits per byte of an independent model"
    bar = Bar(1.05, 1.05, least=False)
    if bench.judge is None:
        yield Row("judge", what, bar=bar, note="no --judge was given")
        return
    some = questions.keywords(bench.grammar, questions.KEYWORDS, JUDGED)
    answers = bench.write([questions.tags(one.attributes) for one in some], "answers for the judge")
    written = [answer.text for answer in answers if answer.text.strip()]
    pairs = list(zip(bench.bits(written, "judging answers"), map(_bytes, written), strict=True))
    note = f"{bench.judge.name}, raw text, {len(written)} answers to the tags of held-out stories"
    yield Row("judge", what, ratio(pairs), bootstrap(pairs, bench.seed), len(pairs), bar, note=note)
    own = [one.text for one in some]
    pairs = list(zip(bench.bits(own, "judging the grammar's stories"), map(_bytes, own), strict=True))
    what = "  of the grammar's own stories"
    yield Row("judge_grammar", what, ratio(pairs), bootstrap(pairs, bench.seed), len(pairs))
    if bench.corpus is None or not (bench.corpus / prose.HELD_OUT).is_file():
        return
    room = sum(map(_bytes, written)) / len(written)
    stories = [
        questions.opening(prose.joined(found.sentences), room)
        for found in islice(prose.read(bench.corpus / prose.HELD_OUT), JUDGED)
    ]
    real = [one for one in stories if one]
    pairs = list(zip(bench.bits(real, "judging real stories"), map(_bytes, real), strict=True))
    yield Row(
        "judge_real", "  of real stories as long", ratio(pairs), bootstrap(pairs, bench.seed), len(pairs)
    )


def distinct(bench: Bench) -> Iterator[Row]:
    """Different texts among the answers."""
    answers = _told(bench, None)
    yield _rate(
        "distinct",
        "distinct texts",
        texts.distinct(answer.text for answer in answers),
        len(answers),
        Bar(0.97, 0.99),
    )


def ends(bench: Bench) -> Iterator[Row]:
    """Answers without a text, answers without an end-of-text (cut off by the canvas), and words of an
    answer."""
    answers = _told(bench, None)
    lengths = [len(texts.words_of(answer.text)) for answer in answers]
    yield _rate("empty", "empty answers", sum(not answer.text.strip() for answer in answers), len(answers))
    yield _rate(
        "unfinished",
        "answers without an end-of-text",
        sum(not answer.ended for answer in answers),
        len(answers),
    )
    pairs = [(float(length), 1.0) for length in lengths]
    note = f"{min(lengths)} to {max(lengths)}"
    yield Row(
        "words", "words of an answer", ratio(pairs), bootstrap(pairs, bench.seed), len(pairs), note=note
    )


# -- features ------------------------------------------------------------------------------------------------


def infill(bench: Bench) -> Iterator[Row]:
    """A sentence is cut out of each story and filled in again through the queue, `[[...n]]` with as many
    tokens as it had.

    First row: what was given is there byte for byte. Second row: the bound of the filled span, in nats per
    token, given the text around it, minus that of an unconditional fill: a span of as many tokens, written
    with the same seed and nothing around it, put into the same gap. It must be below 0: what is written for a
    gap fits it better than what is not.
    """
    if not bench.has("infill"):
        yield Row("infill", "infill", note="not there: the program has no extension infill")
        return
    model = bench.model
    frame = model.tokenizer.prompt("", "", "auto").tokens
    cut = [
        questions.gapped(one.text, model.tokenizer.encode, model.description.max_length - len(frame))
        for one in bench.stories
    ]
    gaps = [one for one in cut if one is not None]
    if not gaps:
        raise ValueError("no story fits the checkpoint's length")
    filled = bench.write([one.prompt for one in gaps], "infill")
    kept = sum(gap.kept(answer.text) for gap, answer in zip(gaps, filled, strict=True))
    yield _yes(_rate("infill_given", "infill: given text untouched", kept, len(gaps)), kept == len(gaps))
    free = bench.write([f"[[...{one.tokens}]]" for one in gaps], "fills without a text around them")
    spans = [
        _spliced(bench, gap, answer)
        for answers in (filled, free)
        for gap, answer in zip(gaps, answers, strict=True)
    ]
    nats = [
        value / len(span.scored)
        for value, span in zip(bench.score(spans, "bound of the fills"), spans, strict=True)
    ]
    pairs = [(mine - other, 1.0) for mine, other in zip(nats[: len(gaps)], nats[len(gaps) :], strict=True)]
    means = [sum(some) / len(gaps) for some in (nats[: len(gaps)], nats[len(gaps) :])]
    below = sum(part < 0 for part, _ in pairs)
    note = f"nats per token, {means[0]:.2f} against {means[1]:.2f}; below in {below} of {len(gaps)}"
    interval = bootstrap(pairs, bench.seed)
    row = Row(
        "infill_bound",
        "infill: bound minus an unconditional fill's",
        ratio(pairs),
        interval,
        len(pairs),
        note=note,
    )
    yield _yes(row, interval[1] < 0)


def emphasis(bench: Bench) -> Iterator[Row]:
    """How often the first keyword stands in the answer as its weight rises; it must rise, and nowhere fall by
    over 0.05."""
    what = "emphasis: inclusion, weight 2 minus 0.5"
    if not bench.has("emphasis"):
        yield Row("emphasis", what, note="not there: the program has no extension emphasis")
        return
    rates = []
    some = bench.stories[: max(1, bench.samples // 2)]
    for weight in WEIGHTS:
        prompts = []
        for one in some:
            first, *rest = questions.subject(one.attributes)
            prompts.append(", ".join([f"({first}:{weight:g})", *rest]))
        answers = bench.write(prompts, f"emphasis {weight:g}")
        hits = [
            texts.includes(answer.text, one.attributes.words[0])
            for one, answer in zip(some, answers, strict=True)
        ]
        rates.append(sum(hits) / len(some))
    rises = rates[-1] > rates[0] and all(
        later >= earlier - SLACK for earlier, later in zip(rates, rates[1:], strict=False)
    )
    note = ", ".join(f"{rate:.2f} at {weight:g}" for weight, rate in zip(WEIGHTS, rates, strict=True))
    yield _yes(Row("emphasis", what, rates[-1] - rates[0], n=len(some), note=note), rises)


def negative(bench: Bench) -> Iterator[Row]:
    """Sad endings at guidance 2.5 with the negative prompt `sad ending`, as a share of those without: half or
    less.

    The prompts are keywords and place; nothing is asked of the ending.
    """
    what = f"negative '{NEGATIVE}': rate with / without"
    prompts = [", ".join(questions.subject(one.attributes)) for one in bench.stories]
    rates, intervals = [], []
    for label, more in (("without", {}), ("with", {"negative_prompt": NEGATIVE})):
        try:
            answers = bench.write(prompts, f"{label} a negative prompt", **bench.guidance(GUIDED, **more))
        except ValueError as error:
            yield Row("negative", what, note=str(error))
            return
        sad = sum(texts.ending(answer.text) == "sad" for answer in answers)
        rates.append(sad / len(answers))
        intervals.append("{:.2f} to {:.2f}".format(*wilson(sad, len(answers))))
    note = f"{rates[0]:.2f} ({intervals[0]}) without, {rates[1]:.2f} ({intervals[1]}) with it"
    if not rates[0]:
        yield Row("negative", what, note="no ending is sad without it: it has nothing to lower")
        return
    yield _yes(
        Row("negative", what, rates[1] / rates[0], n=len(prompts), note=note), rates[1] <= rates[0] / 2
    )


METRICS: Mapping[str, Callable[[Bench], Iterator[Row]]] = MappingProxyType(
    {
        "tinystories": tinystories,
        "grammar": grammar,
        "frozen": frozen,
        "keywords": keywords,
        "more": more,
        "people": people,
        "ending": ending,
        "dialogue": dialogue,
        "open": open_,
        "coherence": coherence,
        "lexicon": lexicon,
        "repetition": repetition,
        "judge": judge,
        "distinct": distinct,
        "seeds": seeds,
        "infill": infill,
        "emphasis": emphasis,
        "negative": negative,
        "ends": ends,
    }
)


def _told(bench: Bench, scale: float | None) -> list[Answer]:
    """The answers to the tags of the held-out stories at a guidance scale; None is the preset's."""
    prompts = [questions.tags(one.attributes) for one in bench.stories]
    return bench.write(prompts, bench.label(scale), **bench.guidance(scale))


def _bytes(text: str) -> float:
    return float(len(text.encode()))


def _sort(fault: str) -> str:
    """What kind of fault a phrase of `Reader.faults` names."""
    for sign, kind in (
        ("twice:", "a clause twice"),
        ("introduced twice", "a name twice"),
        ("a second", "a kind twice"),
        ("not introduced", "something not introduced"),
        ("nobody", "a pronoun of nobody"),
    ):
        if sign in fault:
            return kind
    return "another colour"


def _rate(metric: str, what: str, hits: int, n: int, bar: Bar | None = None, note: str = "") -> Row:
    return Row(metric, what, hits / n if n else 0.0, wilson(hits, n), n, bar, note=note)


def _share(
    metric: str, what: str, pairs: Sequence[tuple[float, float]], seed: int, bar: Bar | None, note: str = ""
) -> Row:
    """A share of what the answers hold; n is how many of these there are. With no hit at all, Wilson's
    interval."""
    n = int(sum(part for _, part in pairs))
    value = ratio(pairs)
    return Row(metric, what, value, bootstrap(pairs, seed) if value else wilson(0, n), n, bar, note=note)


def _yes(row: Row, holds: bool) -> Row:
    return Row(row.metric, row.what, row.value, row.interval, row.n, holds=holds, note=row.note)


def _split(parts: Mapping[str, Sequence[bool]]) -> str:
    return ", ".join(f"{name} {sum(some)} of {len(some)}" for name, some in parts.items())


def _spliced(bench: Bench, gap: questions.Gapped, answer: Answer) -> Passage:
    """The tokens that were committed in the gap's own text; they are what is scored."""
    model = bench.model
    before = model.tokenizer.encode(model.description.prefix + gap.before.removesuffix(" "))
    frame = model.tokenizer.prompt("", "", "auto").tokens
    whole = (*before, *answer.tokens, *model.tokenizer.encode(gap.after))
    return Passage(frame, whole, range(len(before), len(before) + len(answer.tokens)))
