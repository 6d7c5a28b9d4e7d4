"""The bench: intervals against published values, the bound on models whose likelihood is known, metrics on
texts by hand."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from extensions.training import prose
from extensions.training.evaluation import COMMAND, NAMES, coherence, questions, texts
from extensions.training.evaluation.bench import Answer, Bench
from extensions.training.evaluation.coherence import Reader, shared
from extensions.training.evaluation.judge import Judge
from extensions.training.evaluation.metrics import METRICS
from extensions.training.evaluation.presets import spread
from extensions.training.evaluation.questions import Passage
from extensions.training.evaluation.report import Bar, Report, Row
from extensions.training.evaluation.statistics import bootstrap, ratio, wilson
from extensions.training.grammar import Grammar
from tests.tiny_checkpoints import llada
from tests.tiny_decoders import LLAMA, decoder
from webui import App, Settings
from webui.checkpoints.likelihood import bounds

ROOT = Path(__file__).resolve().parents[3]


# -- intervals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_gives_the_published_values(hits, n, low, high):
    # 81 of 263: Newcombe 1998, table I, method 3
    assert wilson(hits, n) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_wilson_of_no_trials_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_is_as_wide_as_the_standard_error_says_and_repeats():
    parts = [(i / 399, 1.0) for i in range(400)]
    low, high = bootstrap(parts, seed=1)
    assert low < ratio(parts) < high
    assert high - low == pytest.approx(2 * 1.96 * 12**-0.5 / 20, rel=0.2)
    assert (low, high) == bootstrap(parts, seed=1) != bootstrap(parts, seed=2)
    assert bootstrap([(3.0, 4.0)] * 5) == (0.75, 0.75)


# -- the bound -----------------------------------------------------------------------------------------------


class Toy:
    """A model that says `say(answer, column)` of the tokens 0 to 3, and that token 4, the mask, is the
    likeliest."""

    mask, ends, vocabulary, device = 4, (3,), 5, torch.device("cpu")

    def __init__(self, say):
        self.say = say

    def __call__(self, canvas):
        rows, columns = canvas.at
        starts = canvas.answer[rows]
        answers = [
            (canvas.tokens[r, s:].tolist(), int(c - s)) for r, c, s in zip(rows, columns, starts, strict=True)
        ]
        logits = [[*self.say(answer, column), 50.0] for answer, column in answers]
        return torch.tensor(logits, dtype=torch.float64).float().clamp(min=-1e4)


def test_the_bound_of_independent_tokens_is_exact():
    chances = [0.5, 0.25, 0.2, 0.05]
    model = Toy(lambda answer, column: [math.log(one) for one in chances])
    assert bounds(model, [Passage((1, 1), (2,) * 5, range(5))]) == [
        pytest.approx(-5 * math.log(0.2), rel=1e-5)
    ]
    answer = (0, 1, 2, 3, 0, 0, 1)
    found = bounds(model, [Passage((), answer, range(7))] * 100)
    assert sum(found) / 100 == pytest.approx(-sum(math.log(chances[token]) for token in answer), rel=0.04)


def twins(answer, column):
    """Two equal tokens, each of the four as likely: knows the one from the other."""
    other = answer[1 - column]
    return [0.0] * 4 if other == 4 else [0.0 if token == other else -1e4 for token in range(4)]


def test_the_bound_of_a_consistent_model_is_its_likelihood():
    """-log p of a pair of twins is log 4, by whatever order it is decided; eight strata hold four draws of
    each count."""
    assert bounds(Toy(twins), [Passage((), (2, 2), range(2))]) == [pytest.approx(math.log(4), abs=1e-6)]


def test_what_is_not_scored_is_given():
    assert bounds(Toy(twins), [Passage((), (2, 2), range(1, 2))]) == [pytest.approx(0.0, abs=1e-6)]
    assert bounds(Toy(twins), [Passage((), (2, 2), range(0))]) == [0.0]


def test_the_bound_does_not_depend_on_what_else_is_scored():
    passages = [Passage((1,) * i, (i % 4,) * (3 + 7 * i), range(1, 3 + 7 * i)) for i in range(9)]
    model = Toy(lambda answer, column: [0.1 * answer.count(token) for token in range(4)])
    shares = []
    whole = bounds(model, passages, seed=5, progress=shares.append)
    assert shares[-1] == 1.0
    assert whole[0] == pytest.approx(bounds(model, passages[:1], seed=5)[0])


# -- questions -----------------------------------------------------------------------------------------------

STORY = 'Once there was a fox. "Hi," said a cat.\n\nThey played in the sun all day. Then it was dark. The fox was very sad.'


def encode(text: str) -> list[int]:
    return list(text.encode())


@pytest.mark.parametrize("length", [40, 64, 90, 500])
def test_passages_score_every_byte_once_and_fit(length):
    found = questions.passages(STORY, encode, (1, 2, 3), 0, " ", length)
    scored = [one.answer[i] for one in found for i in one.scored]
    assert bytes(scored) == b" " + STORY.encode() + b"\0"
    assert sum(one.bytes for one in found) == len(STORY)
    assert all(len(one.prompt) + len(one.answer) <= length for one in found)
    assert all(one.scored.start <= length // 2 for one in found)
    assert (len(found) == 1) == (length == 500)
    for one in found[1:]:  # what is given is what came before
        given = bytes(one.answer[: one.scored.start])
        assert (
            (b" " + STORY.encode())
            .split(bytes(one.answer[one.scored.start :]).strip(b"\0"))[0]
            .endswith(given)
        )


def test_passages_refuse_a_frame_that_leaves_no_room():
    with pytest.raises(ValueError, match="room for 6 tokens"):
        questions.passages(STORY, encode, (1,) * 33, 0, " ", 40)


def test_a_gap_keeps_what_is_around_it():
    gap = questions.gapped(
        "It was cold. A man came. He sang a song. Then he left.", lambda text: text.split(), 50
    )
    assert gap == questions.Gapped("It was cold. A man came. ", 4, " Then he left.")
    assert gap.prompt == "It was cold. A man came. [[...4]] Then he left."
    assert gap.kept("It was cold. A man came. Oh no! Then he left.")
    assert not gap.kept("It was cold. A man came. Oh no! Then she left.")
    assert not gap.kept("It was cold. A man came. Then he left.")
    assert questions.gapped("It was cold. Then he left.", lambda text: text.split(), 50) is None


def test_questions_come_from_held_out_stories_and_stay_the_same():
    grammar = Grammar.load()
    stories = questions.held_out(grammar, 12)
    assert all(one.held_out for one in stories) and stories[:5] == questions.held_out(grammar, 5)
    for one in stories:
        a = one.attributes
        assert questions.tags(a).split(", ")[:2] == list(a.words[:2])
        assert questions.tags(a).endswith(f"{a.end} ending, {'dialogue' if a.talk else 'no dialogue'}")
        assert f"Hero: {a.hero}" in questions.fields(a)


def test_the_length_code_is_a_code():
    lengths = questions.Lengths(Grammar.load(), lambda text: text.split(), stories=200)
    assert 0.9 < sum(math.exp(-lengths.nats(n)) for n in range(400)) <= 1.03
    assert lengths.nats(60) < lengths.nats(300)


# -- metrics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "word", "there"),
    [
        ("A Dragon came.", "dragon", True),
        ("the dragon's cake", "dragon", True),
        ("two dragons", "dragon", False),
        ("a cupcake", "cake", False),
        ("", "cake", False),
        ("ice cream!", "ice cream", True),
    ],
)
def test_includes_whole_words(text, word, there):
    assert texts.includes(text, word) is there


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("He was sad. But then she hugged him. They laughed.", "happy"),
        ("They laughed. It rained. The end was dark. He cried.", "sad"),
        ("She cried. But he hugged her.", "happy"),
        ("He was sad. The end.", "sad"),
        ("He was happy and sad.", None),
        ("The end.", None),
        ("", None),
    ],
)
def test_ending_reads_the_last_sentence_that_tells_of_two(text, mood):
    assert texts.ending(text) == mood


def test_the_metrics_find_in_the_grammars_stories_what_is_true_of_them():
    grammar = Grammar.load()
    stories = [grammar.story(seed) for seed in range(300)]
    lexicon = grammar.lexicon()
    for one in stories:
        assert texts.ending(one.text) == one.attributes.end
        assert texts.dialogue(one.text) == one.attributes.talk
        assert all(texts.includes(one.text, word) for word in one.attributes.words)
        assert texts.unknown(one.text, lexicon) == []


def test_unknown_words():
    assert texts.unknown("The fox's birirthday, Fox!", frozenset({"the", "fox"})) == ["birirthday"]


def test_repeated_runs_of_four_words():
    assert texts.repeated("a b c d a b c d") == (1, 5)
    assert texts.repeated("It was. It was. It was. It was.") == (3, 5)
    assert texts.repeated("one two three") == (0, 0)


def test_distinct_texts():
    assert texts.distinct(["a", "a ", "b", ""]) == 3


# -- the table -----------------------------------------------------------------------------------------------


def test_bars_are_judged_by_the_value():
    assert Bar(0.7, 0.85).met("cpu", 0.7) and not Bar(0.7, 0.85).met("gpu", 0.84)
    assert Bar(1.15, 0.85, least=False).met("cpu", 1.15) and not Bar(1.15, 0.85, least=False).met("gpu", 0.86)
    assert Row("a", "a", None, bar=Bar(1, 1)).verdict("cpu") is None
    assert Row("a", "a", 0.0, holds=True).verdict("gpu") is True


def test_the_table_says_met_and_missed():
    facts = {
        "checkpoint": "x",
        "fingerprint": "f",
        "family": "LLaDA",
        "dtype": "float32",
        "device": "cpu",
        "preset": {},
    }
    facts |= {"seed": 3, "samples": 2}
    rows = [
        Row("a", "a row", 0.8, (0.7, 0.9), 10, Bar(0.7, 0.85), note="a note"),
        Row("b", "b row", note="not there"),
    ]
    table = Report(facts, rows, [{"run": "r", "prompt": "p", "text": "a text"}], {"s": 1.0}).table(show=1)
    assert ">= 0.7 met" in table and ">= 0.85 MISSED" in table and "0.700 to 0.900" in table
    assert "seeds 3 to 4" in table and "a row: a note" in table and "b row: not there" in table
    assert table.endswith("a text") and "'p'" in table


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The program with a tiny random checkpoint whose answers are short, and all extensions."""
    folder = tmp_path_factory.mktemp("evaluate")
    checkpoint = llada(folder / "models" / "checkpoints" / "storyteller", max_sequence_length=640)
    preset = {"length": 20, "steps": 10, "guidance": {"scale": 2.5}}
    (checkpoint / "profile.json").write_text(json.dumps({"preset": preset}))
    app = App(
        Settings(models=folder / "models", data=folder / "data", built_in=ROOT / "extensions", threads=1)
    )
    yield app
    app.close()


@pytest.fixture
def few_stories(monkeypatch) -> None:
    """The command learns what the grammar can say from 500 stories: `reader` is the one that learns from all."""
    monkeypatch.setattr(coherence, "STORIES", 500)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("tinystories-heldout", "tinystories-train"):
        (folder / f"{name}.jsonl").write_text(json.dumps({"text": STORY}) + "\n")
    return folder


def evaluate(app: App, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    COMMAND.arguments(parser)
    return COMMAND.run(app, parser.parse_args([*arguments]))


def test_the_command_measures_everything(app, corpus, few_stories, capsys):
    assert evaluate(app, "--samples", "2", "--corpus", str(corpus), "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    rows = {row["metric"]: row for row in found["rows"]}
    assert (
        rows["tinystories"]["value"] > 1
        and rows["tinystories"]["cpu_met"] is False
        and rows["tinystories"]["n"] == 1
    )
    assert rows["grammar"]["value"] > 1.5 and rows["keywords_2.5"]["value"] == 0.0
    assert rows["infill_given"]["cpu_met"] is True and rows["infill_bound"]["value"] is not None
    assert "not there" in rows["emphasis"]["note"] or rows["emphasis"]["value"] is not None
    assert found["fingerprint"] and found["samples"] == 2
    assert found["texts"][0]["run"] == "stories, guidance 2.5" and found["texts"][0]["seed"] == 0
    assert all(text["text"] is not None and text["prompt"] for text in found["texts"])
    assert "bound on tinystories-heldout" in err
    assert not list(app.history.list()), "an evaluation leaves nothing in the history"


def test_without_a_corpus_the_rows_say_so(app, capsys):
    assert evaluate(app, "--samples", "1", "--only", "tinystories,lexicon") == 0
    out = capsys.readouterr().out
    assert out.count("corpus not given") == 2 and "MISSED" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "speed"], "there is no 'speed'"),
        (["--samples", "0"], "at least 1"),
        (["--corpus", "/nowhere"], "no folder"),
        (["--model", "nothing"], "no checkpoint"),
    ],
)
def test_wrong_options_are_refused_with_a_sentence(app, arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate(app, *arguments)


def test_answers_are_what_the_program_writes(app):
    """Many requests as one job give the texts of as many jobs."""
    bench = Bench(app, None, 2, 7, None)
    try:
        answers = bench.write(["a fox", "a dog and a cat"], "texts", temperature=1.0)
        for k, answer in enumerate(answers):
            job = app.queue.submit(app.Request(prompt=answer.prompt, seed=7 + k, temperature=1.0))
            assert job.wait(60) and job.result.text == answer.text
        assert bench.write(["a fox", "a dog and a cat"], "again", temperature=1.0) is answers
    finally:
        bench.close()


def test_emphasis_is_measured_once_the_program_has_it(capsys):
    """With a weight of 2 the word is there, below it is not: inclusion rises."""
    stories = [SimpleNamespace(attributes=SimpleNamespace(words=("fox", "cake"), place=None))] * 2

    def write(prompts, label):
        assert prompts[0].startswith("(fox:") and prompts[0].endswith("), cake")
        return [SimpleNamespace(text="A fox." if "2)" in prompt else "A cake.") for prompt in prompts]

    bench = SimpleNamespace(has=lambda name: True, stories=stories, samples=2, write=write)
    row = next(iter(METRICS["emphasis"](bench)))
    assert row.holds is True and row.value == 1.0


@pytest.mark.parametrize(("sad", "holds"), [(1, True), (2, False)])
def test_a_negative_prompt_must_halve_what_it_names(sad, holds):
    stories = [SimpleNamespace(attributes=SimpleNamespace(words=("fox", "cake"), place="sea"))] * 4

    def write(prompts, label, guidance):
        assert prompts == ["fox, cake, sea"] * 4 and guidance["scale"] == 2.5
        some = sad if "negative_prompt" in guidance else 3
        return [SimpleNamespace(text="He cried." if k < some else "He smiled.") for k in range(4)]

    def guidance(scale, **more):
        return {"guidance": {"scale": scale, **more}}

    row = next(iter(METRICS["negative"](SimpleNamespace(stories=stories, write=write, guidance=guidance))))
    assert row.value == pytest.approx(sad / 3) and row.holds is holds and "0.75" in row.note


def test_a_judge_that_knows_nothing_needs_the_same_bits_for_every_token(tmp_path):
    """With weights of zero each token costs log2 of the vocabulary's size; a folder that holds no such model is
    refused by name."""
    decoder(tmp_path, shape="llama", **LLAMA, model_type="llama", tie_word_embeddings=True)
    for file in tmp_path.glob("*.safetensors"):
        save_file(
            {name: torch.zeros_like(one) for name, one in load_file(file).items()}, file, {"format": "pt"}
        )
    config = json.loads((tmp_path / "config.json").read_text())
    write = "A fox ran."
    tokens = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(write, add_special_tokens=False).ids
    judge = Judge(tmp_path)
    each = math.log2(config["vocab_size"])
    assert judge.bits([write, write * 2]) == pytest.approx(
        [len(tokens) * each, 2 * len(tokens) * each], rel=1e-5
    )
    with pytest.raises(ValueError, match="has no config.json"):
        Judge(tmp_path / "nowhere")


def test_a_judge_reads_answers_the_grammars_stories_and_real_ones(tmp_path):
    """Bits over bytes of each; without a judge the row stays empty."""
    real = tmp_path / prose.HELD_OUT
    real.write_text(
        json.dumps({"text": "A dog sat down. It ate. It went far away to the sea and the sky."}) + "\n"
    )
    bench = SimpleNamespace(
        judge=SimpleNamespace(name="one"),
        grammar=Grammar.load(),
        corpus=tmp_path,
        seed=0,
        write=lambda prompts, label: [SimpleNamespace(text="A fox ran away, said he.") for _ in prompts],
        bits=lambda some, label: [2.0 * len(text) for text in some],
    )
    rows = {row.metric: row for row in METRICS["judge"](bench)}
    assert [*rows] == ["judge", "judge_grammar", "judge_real"]
    assert all(row.value == pytest.approx(2.0) for row in rows.values())
    assert rows["judge"].n == rows["judge_grammar"].n == 40 and rows["judge_real"].n == 1
    bench.judge = None
    assert next(METRICS["judge"](bench)).value is None


def test_every_metric_has_a_name_for_only():
    assert tuple(METRICS) == NAMES


def test_importing_the_command_costs_nothing():
    code = "import sys, extensions.training.evaluation; sys.exit(bool({'torch', 'tokenizers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# -- sense ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Grammar.load())


def test_the_grammars_stories_are_read_without_a_fault(reader):
    """Of stories that the reader did not learn its sentences from, and that are held out or not."""
    stories = [reader.grammar.story(seed).text for seed in range(1 << 40, (1 << 40) + 500)]
    faulty = [text for text in stories if reader.faults(text)]
    assert len(faulty) <= 2, faulty[:3]
    sentences = [one for text in stories for one in prose.document(text).sentences]
    assert sum(map(reader.accepts, sentences)) > 0.99 * len(sentences)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("A fox named Tim had a red ball. Tim lost the ball.", []),
        ("A fox named Tim had a red ball. Tom lost the ball.", ["Tom is not introduced"]),
        ("A fox named Tim met an owl named Tim.", ["Tim is introduced twice"]),
        ("A fox named Tim met a calm fox named Bob.", ["a second fox"]),
        ("A fox named Tim lost the drum.", ["the drum is not introduced"]),
        ("A boy named Tim had a red drum. He hit the blue drum.", ["the drum is blue now"]),
        ("A boy named Tim had a red drum. She hit the red drum.", ["she is nobody"]),
        ("A boy named Tim met the queen. She had a drum.", []),
        ('A fox saw a drum. "Help!" called Tim and ran.', ["Tim is not introduced"]),
        (
            "A fox ran to the big tree, and he ran to the big tree. And he ran to the big tree!",
            ["twice: and he ran to the big tree"],
        ),
    ],
)
def test_what_does_not_hang_together_is_found(reader, text, faults):
    assert reader.faults(text) == faults


def test_a_sentence_of_the_grammar_is_accepted_with_other_words_in_its_slots(reader):
    assert reader.accepts("One day, a shy little robot named Zoe lost a green horn at the beach.")
    assert not reader.accepts("Tim looked at the doll, and it was a doll.")


def test_four_grams_that_two_texts_share():
    assert shared("a b c d e", "x a b c d") == (1, 2)
    assert shared("a b", "a b") == (0, 0)


def test_the_frozen_stories_are_those_the_cards_were_measured_on():
    some = questions.frozen(64)
    assert len(some) == 64 and sum(one.nats for one in some) / 64 == pytest.approx(46.5954, abs=1e-3)
    assert hashlib.blake2b(questions.FROZEN.read_bytes(), digest_size=8).hexdigest() == "b01027c10e34aacd"


def test_the_grammar_costs_no_more_than_the_frozen_one():
    grammar = Grammar.load()
    assert sum(grammar.story(seed).nats for seed in range(4000)) / 4000 <= 46.4


def test_what_people_ask_for_is_made_of_words_that_the_prompt_has():
    assert len(questions.PEOPLE) == 20
    lexicon = Grammar.load().lexicon()
    for prompt, words in questions.PEOPLE:
        assert words and all(word in prompt.lower() and word in lexicon for word in words), prompt


# -- presets -------------------------------------------------------------------------------------------------


def test_settings_are_tried_side_by_side(app, few_stories, capsys):
    first, second = '{"temperature": 0.0}', '{"temperature": 0.9, "block_length": 4}'
    assert evaluate(app, "--samples", "2", "--try", first, "--try", second, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["settings"] for one in found] == [first, second]
    assert all(0 <= one[key] <= 1 for one in found for key in ("clean", "accepted", "keywords", "spread"))
    assert evaluate(app, "--samples", "1", "--try", first) == 0
    assert capsys.readouterr().out.count("\n") == 2
    with pytest.raises(ValueError, match="not JSON"):
        evaluate(app, "--try", "{")


def test_how_far_from_left_to_right():
    def order(*columns):
        return Answer("", 0, "", (), False, columns)

    assert spread(order(0, 1, 2)) == 0 and spread(order(2, 1, 0)) == 1 and spread(order(0, 2, 1, 3)) == 1 / 3
    assert spread(order()) == 0
