"""Hooks that give what nothing can use, or change what is not theirs: their row fails, by their name, and no other."""

from __future__ import annotations

import pytest

from webui.application import App
from webui.core.errors import MAX_MESSAGE, one_line
from webui.core.events import Failed
from webui.core.request import Cell
from webui.extension.errors import HookError
from webui.service.job import Job
from webui.settings import ROOT, Settings

HOSTILE = """
from dataclasses import replace
from webui import Draft, Extension, Gap, Options, Piece, Prompt, field


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError


class Hostile(Extension):
    \"\"\"Only for tests.\"\"\"

    order = -100

    class Options(Options):
        how: str = field("", label="How", help="What it does.")

    @classmethod
    def prompt(cls, row):
        how = cls.options(row).how
        if how.startswith("raise"):
            raise {
                "raise lines": RuntimeError("a\\n\\nb\\r" + "c" * 10**7),
                "raise half": ValueError("half \\ud800"),
                "raise unreadable": Unreadable(),
            }[how]
        return {
            "no row": lambda: None,
            "text": lambda: "x",
            "no prompt": lambda: row.with_prompt("main", None),
            "no text": lambda: row.with_prompt("main", Prompt((Piece(None),))),
            "no main": lambda: row.replace(prompts={}),
            "half": lambda: row.with_prompt("main", Prompt.of("a \\ud800")),
            "other cell": lambda: row.replace(cell=None),
            "half note": lambda: row.note("\\ud800"),
            "no note": lambda: row.note(None),
            "raw note": lambda: row.replace(notes=("\\ud800",)),
            "gap": lambda: row.replace(draft=Draft((Gap(10**9),))),
            "no part": lambda: row.replace(draft=Draft((None,))),
            "no draft": lambda: row.replace(draft="x"),
            "half draft": lambda: row.replace(draft=Draft((Piece("\\udc00"), Gap(2)))),
        }.get(how, lambda: row)()

    @property
    def how(self):
        return next(self.options(row).how for row in self.rows if row)

    def canvas(self, canvas, model):
        if self.how == "canvas in canvas":
            canvas.tokens.fill_(5)
        return canvas

    def denoise(self, canvas, model):
        logits = model(canvas)
        if self.how == "canvas in denoise":
            canvas.tokens.fill_(5)
        canvas.masked, canvas.at, canvas.column  # reading changes nothing
        return {
            "sparse": lambda: logits.to_sparse(),
            "meta": lambda: logits.to("meta"),
            "gradient": lambda: logits.clone().requires_grad_(),
        }.get(self.how, lambda: logits)()

    def pick(self, canvas, model, logits, choice):
        change = {
            "canvas in pick": lambda: canvas.tokens.fill_(5),
            "logits in pick": lambda: logits.fill_(float("nan")),
            "token": lambda: choice.token.fill_(10**6),
            "confidence": lambda: choice.confidence.fill_(float("nan")),
            "probability": lambda: choice.probability.fill_(5),
            "shape": lambda: choice.token.resize_(3),
        }.get(self.how)
        if change:
            change()
        return choice

    def finish(self, row, result):
        return {
            "half value": {"a": "\\ud800"},
            "half name": {"\\ud800": 1},
            "large": {"a": "x" * 10**6},
            "number": {"a": 10**400},
            "list": {"a": [1]},
        }.get(self.options(row).how)
"""


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extensions")
    (folder / "hostile").mkdir()
    (folder / "hostile" / "__init__.py").write_text(HOSTILE)
    for name in ("guidance", "infill"):
        (folder / name).symlink_to(ROOT / "extensions" / name)
    data = tmp_path_factory.mktemp("data")
    made = App(Settings(models=models, built_in=folder, data=data, device="cpu", threads=1))
    assert not made.registry.failed
    yield made
    made.close()


def write(app, **options):
    """What becomes of a row with these options, and of one without; both as JSON, which must be possible."""
    plain = {"prompt": "the ship", "length": 8, "steps": 4, "seed": 1, "temperature": 0.7}
    requests = [app.Request(**{**plain, **options}), app.Request(**plain)]
    events = list(app.engine.run(Job(requests[0], tuple(Cell(str(i), r) for i, r in enumerate(requests)))))
    for part in events[-1].result.parts:
        part.model_dump_json()
    mine, other = events[-1].result.parts
    assert other.error is None and other.complete
    return mine, {event.code for event in events if isinstance(event, Failed)}


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("no row", "gave NoneType instead of a row."),
        ("text", "gave str instead of a row."),
        ("no prompt", "gave NoneType instead of a prompt."),
        ("no text", "TypeError: "),
        ("no main", 'gave a row without the prompt "main".'),
        ("half", "gave a prompt with half of a surrogate pair"),
        ("other cell", "gave a row of another cell."),
        ("half note", "gave a note that is not a text."),
        ("no note", "gave a note that is not a text."),
        ("raw note", "gave a note that is not a text."),
        ("gap", "A gap has at most 32768 tokens."),
        ("no part", "gave a draft with a part that cannot be used: NoneType."),
        ("no draft", "gave str instead of a draft with parts."),
        ("half draft", "gave a draft with a part that cannot be used: Piece."),
        ("canvas in canvas", "changed the canvas or the logits in place"),
        ("canvas in denoise", "changed the canvas or the logits in place"),
        ("canvas in pick", "changed the canvas or the logits in place"),
        ("logits in pick", "changed the canvas or the logits in place"),
        ("sparse", "gave logits in a sparse or nested tensor."),
        ("meta", "gave logits on meta, not on cpu."),
        ("gradient", "gave logits with a gradient; detach them."),
        ("token", "chose a token that the checkpoint does not have."),
        ("confidence", "gave a confidence that is not a number or a probability outside 0 to 1."),
        ("probability", "gave a confidence that is not a number or a probability outside 0 to 1."),
        ("shape", "gave a choice of tokens of shape (3,), not (16,)."),
        ("raise lines", "RuntimeError: a b ccc"),
        ("raise half", "half ?"),
        ("raise unreadable", "Unreadable"),
    ],
)
def test_only_the_row_of_a_hostile_hook_fails_by_its_name(app, how, sentence):
    mine, _ = write(app, hostile={"how": how})
    assert mine.error.startswith(f"hostile: {sentence}")
    assert len(mine.error) < MAX_MESSAGE + 100 and "\n" not in mine.error


@pytest.mark.parametrize("how", ["half value", "half name", "large", "number", "list"])
def test_extras_that_a_result_cannot_hold_become_a_note(app, how):
    mine, codes = write(app, hostile={"how": how})
    assert mine.complete and not mine.extras and not codes
    assert len(mine.notes) == 1 and mine.notes[0].startswith("hostile: gave ")


def test_a_negative_prompt_that_does_nothing_may_be_of_any_length(app):
    mine, _ = write(app, guidance={"scale": 1.0, "negative_prompt": "once upon a time " * 60})
    assert mine.complete and mine.notes == (
        "The negative prompt does nothing at guidance scale 1; raise the scale.",
    )


def test_messages_of_hooks_are_one_short_line():
    assert one_line("a\n\n  b\u2028c") == "a b c"
    assert len(one_line("x" * 10**6)) == MAX_MESSAGE
    assert str(HookError("some", ValueError("\ud800\n"))) == "some: ?"
