"""The one path: what fails fails alone and by name, what is cancelled is kept, what is saved gives the same
text again."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.tiny_checkpoints import llada, rewrite, write_json
from webui.application import App
from webui.core.events import Failed, Finished, Progress, Started
from webui.core.request import Cell, Request
from webui.core.result import Result
from webui.service.history.store import History
from webui.service.queue import Job
from webui.settings import ROOT, Settings

# Throwaway extensions, each for one question. Rows that do not set their options are none of their business.
EXTENSIONS = {
    "oracle": '''
class Oracle(Extension):
    """The model wants `text`, then end-of-text."""
    order = -10
    class Options(Options):
        text: str = field("", label="Text", help="Tests.")
    def canvas(self, canvas, model):
        import torch
        self._target = torch.full((len(self.rows), canvas.tokens.shape[1]), model.ends[0])
        for target, row in zip(self._target, self.rows):
            if row:
                tokens = model.encode(self.options(row).text)
                target[:len(tokens)] = torch.tensor(tokens)
        return canvas
    def denoise(self, canvas, model):
        import torch
        logits, (rows, columns) = model(canvas), canvas.at
        on = torch.tensor([row is not None for row in self.rows])[canvas.row[rows]]
        wanted = self._target[canvas.row[rows], columns - canvas.answer[rows]]
        logits[on, wanted[on]] = logits[on].amax(1) + 1
        return logits
''',
    "fault": '''
class Fault(Extension):
    """Fails in the hook `at`, after `calls` model calls."""
    class Options(Options):
        at: str = field("", label="At", help="Tests.")
        calls: int = field(0, label="Calls", help="Tests.")
    def _fail(self, hook):
        if any(self.options(row).at == hook for row in self.rows if row):
            self._calls += 1
            if self._calls > max(self.options(row).calls for row in self.rows if row):
                raise RuntimeError("on purpose")
    @classmethod
    def prompt(cls, row):
        if cls.options(row).at == "prompt":
            raise RuntimeError("on purpose")
        return row
    @classmethod
    def neutral(cls, row):
        if cls.options(row).at == "neutral":
            raise RuntimeError("on purpose")
        return cls.options(row).defaults()
    def __init__(self, rows):
        super().__init__(rows)
        self._calls = 0
        self._fail("init")
    def canvas(self, canvas, model):
        self._fail("canvas")
        return canvas
    def denoise(self, canvas, model):
        self._fail("denoise")
        return model(canvas)
    def ban(self, canvas, model):
        self._fail("ban")
    def pick(self, canvas, model, logits, choice):
        self._fail("pick")
        return choice
''',
    "wrong": '''
class Wrong(Extension):
    """Gives what makes no sense."""
    order = 50
    class Options(Options):
        gives: str = field("", label="Gives", help="Tests.")
    def _told(self, what):
        return any(self.options(row).gives == what for row in self.rows if row)
    def denoise(self, canvas, model):
        logits = model(canvas)
        if self._told("nan"):
            logits[0, 3] = float("nan")
        return logits[:, :-1] if self._told("narrow logits") else None if self._told("no logits") else logits
    def ban(self, canvas, model):
        import torch
        if self._told("narrow bans"):
            return torch.zeros(canvas.at[0].numel(), 2, dtype=torch.bool)
        if self._told("all banned"):
            return torch.ones(canvas.at[0].numel(), model.vocabulary, dtype=torch.bool)
    def pick(self, canvas, model, logits, choice):
        from dataclasses import replace
        import torch
        rows = canvas.row[canvas.at[0]]
        stubborn = torch.tensor([row is not None and self.options(row).gives == "nothing ever" for row in self.rows])[rows]
        if self._told("half a choice"):
            return replace(choice, commit=choice.commit[:-1])
        return replace(choice, commit=choice.commit & ~stubborn)
''',
    "patient": '''
class Patient(Extension):
    """A pick that changes nothing, outermost of all."""
    order = 99
    class Options(Options):
        on: bool = field(False, label="On", help="Tests.")
    def pick(self, canvas, model, logits, choice):
        return choice
''',
    "branches": '''
class Branches(Extension):
    """Asks for three canvases at once, and for each by itself; the answers must be equal to the bit."""
    class Options(Options):
        on: bool = field(False, label="On", help="Tests.")
    def denoise(self, canvas, model):
        import torch
        many = canvas.tokens.shape[0]
        template = model.template("other")
        canvases = canvas, canvas.take(torch.arange(many - 1, -1, -1)).with_prompt(template), canvas.take(torch.arange(1))
        together = model(*canvases)
        for part, alone in zip(together, canvases, strict=True):
            if not torch.equal(part, model(alone)):
                raise ValueError("the parts were mixed up.")
        return together[0]
''',
    "counter": '''
class Counter(Extension):
    """Tells how often it was made and called, and with how many rows; nearest the model."""
    order = -99
    made, calls = [], []
    class Options(Options):
        on: bool = field(False, label="On", help="Tests.")
    def __init__(self, rows):
        super().__init__(rows)
        self.made.append(len(rows))
    def denoise(self, canvas, model):
        self.calls.append((canvas.tokens.shape[0], [canvas.branches[i] for i in canvas.branch.tolist()]))
        return model(canvas)
''',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The throwaway extensions, and the real one that branches."""
    folder = tmp_path_factory.mktemp("extensions")
    for name, source in EXTENSIONS.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("from webui import Extension, Options, field\n" + source)
    (folder / "guidance").symlink_to(ROOT / "extensions" / "guidance")
    return folder


@pytest.fixture(scope="module")
def app(models, folder, tmp_path_factory):
    """An App over the tiny random checkpoint; its history is real."""
    made = App(Settings(models=models, built_in=folder, data=tmp_path_factory.mktemp("data"), device="cpu"))
    assert not made.registry.failed
    yield made
    made.close()


def asked(app: App, **options):
    """A request that is quick unless told otherwise."""
    return app.Request(
        **{"prompt": "the ship", "length": 16, "block_length": 8, "steps": 8, "seed": 1, **options}
    )


def job_of(*requests) -> Job:
    return Job(requests[0], tuple(Cell(str(i), request) for i, request in enumerate(requests)))


def run(app: App, *requests) -> Result:
    """The job's result, all requests as cells of one job."""
    *_, last = app.engine.run(job_of(*requests))
    return last.result


def outcome(result: Result):
    return result.text, [decision[:3] for decision in result.trace]


def saved(app: App) -> set[Path]:
    return set(app.settings.history.glob("*/*"))


# -- failures ------------------------------------------------------------------------------------------------


def test_cells_that_cannot_be_made_do_not_stop_the_others(app):
    good, other = asked(app), asked(app, seed=5, temperature=0.7)
    bad = [
        (asked(app, model="nobody"), "There is no checkpoint 'nobody'"),
        (asked(app, steps=1), "1 steps cannot fill 2 blocks"),
        (asked(app, sampler="nobody"), "sampler: there is no 'nobody'"),
        (asked(app, prompt="word " * 300), "The prompt takes"),
        (asked(app, template="chat", length=250), "the length can be at most"),
    ]
    whole = run(app, bad[0][0], good, *(request for request, _ in bad[1:]), other)
    parts = whole.parts
    assert [outcome(parts[1]), outcome(parts[-1])] == [outcome(run(app, good)), outcome(run(app, other))]
    assert not whole.complete and whole.text == f"{parts[1].text}\n\n{parts[-1].text}"
    for part, (request, sentence) in zip([parts[0], *parts[2:-1]], bad, strict=True):
        assert sentence in part.error and part.error.endswith(".") and "\n" not in part.error
        assert part.request == request and part.text == "" and not part.complete


ONCE, OFTEN = ("prompt", "neutral", "init", "canvas"), ("denoise", "ban", "pick")


@pytest.mark.parametrize(
    ("hook", "calls"), [(hook, 0) for hook in ONCE + OFTEN] + [(hook, 3) for hook in OFTEN]
)
def test_a_hook_that_raises_fails_the_rows_it_worked_for_by_name(app, hook, calls):
    good = [asked(app, seed=i, length=12 + i) for i in (1, 2)]
    bad = [asked(app, fault={"at": hook, "calls": calls}, seed=9)] * 2
    parts = run(app, good[0], bad[0], good[1], bad[1]).parts
    assert [part.error for part in parts] == [None, "fault: RuntimeError: on purpose"] * 2
    assert [outcome(part) for part in parts[::2]] == [outcome(run(app, request)) for request in good]


WRONG = {
    "nan": "wrong: gave logits that are not finite numbers.",
    "narrow logits": r"wrong: gave logits of shape \(\d+, 303\), not \(\d+, 304\).",
    "no logits": "wrong: gave NoneType instead of logits.",
    "narrow bans": r"wrong: gave bans of shape \(\d+, 2\), not \(\d+, 304\).",
    "all banned": "wrong: every token is forbidden at some position.",
    "half a choice": r"wrong: gave a choice of commits of shape \(\d+,\), not \(\d+,\).",
    "nothing ever": "wrong: the text was never finished.",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("gives", WRONG)
def test_a_hook_that_gives_nonsense_fails_its_rows_by_name_and_nothing_hangs(app, gives):
    good, patient = asked(app), asked(app, seed=2, patient={"on": True}, length=30, steps=30)
    parts = run(app, good, asked(app, wrong={"gives": gives}), patient).parts
    assert re.fullmatch(WRONG[gives], parts[1].error)
    assert [outcome(part) for part in parts[::2]] == [outcome(run(app, good)), outcome(run(app, patient))]


def test_logits_that_are_no_numbers_are_the_checkpoints_fault_where_no_extension_is(tmp_path, folder):
    broken = llada(tmp_path / "checkpoints" / "storyteller")
    rewrite(broken, lambda weights: weights["model.transformer.ff_out.weight"].fill_(torch.nan))
    app = App(Settings(models=tmp_path, built_in=folder, data=tmp_path, device="cpu"))
    assert (
        run(app, asked(app)).error
        == "storyteller: has weights that are not finite numbers, lm_head.weight among them."
    )


# -- cancel --------------------------------------------------------------------------------------------------


def test_cancel_takes_effect_before_the_next_call_and_keeps_what_is_decided(app):
    job = job_of(asked(app), asked(app, seed=2))
    events = []
    before = saved(app)
    for event in app.engine.run(job):
        events.append(event)
        if sum(isinstance(e, Progress) for e in events) == 3:
            job.cancel()
    assert sum(isinstance(event, Progress) for event in events) == 3
    whole = run(app, asked(app))
    for part in events[-1].result.parts:
        assert not part.complete and part.error is None and "…" in part.text
        assert len(part.trace) == 6 and part.pieces.count(None) == 10 and part.statistics.forwards == 3
    kept = events[-1].result.parts[0]
    assert [d[:3] for d in kept.trace] == outcome(whole)[1][:6], "as far as the whole text got by then"
    assert [piece is None for piece in kept.pieces] == [
        i not in {d.column for d in kept.trace} for i in range(16)
    ]
    assert len(saved(app) - before) == 3
    assert app.history.get(kept.id) == kept


def test_what_was_not_begun_when_cancelled_gives_nothing(app):
    job = job_of(asked(app))
    job.cancel()
    assert [type(event) for event in app.engine.run(job)] == [Finished]
    app.engine.batch_rows, before = 1, app.engine.batch_rows
    try:
        job, events = job_of(asked(app), asked(app, seed=2)), []
        for event in app.engine.run(job):
            events.append(event)
            if isinstance(event, Progress):
                job.cancel()
    finally:
        app.engine.batch_rows = before
    assert [event.cell for event in events if isinstance(event, Started)] == ["0"]
    assert not events[-1].result.complete and len(events[-1].result.parts) == 1


def test_after_a_cancel_the_worker_is_free(app):
    slow = app.queue.submit(asked(app, length=200, steps=200, block_length=200))
    while not any(cell["step"] for cell in slow.since(0)["cells"].values()):
        time.sleep(0.01)
    slow.cancel()
    quick = app.queue.submit(asked(app))
    assert quick.wait(60) and quick.state == "done" and quick.result.complete
    assert slow.state == "cancelled" and "…" in slow.result.text


# -- the chain -----------------------------------------------------------------------------------------------


def test_every_link_is_called_once_on_the_canvases_together(app):
    counter = app.registry.extensions["counter"]
    counter.made.clear(), counter.calls.clear()
    guided = [asked(app, counter={"on": True}, guidance={"scale": 2.0}, seed=i) for i in range(3)]
    parts = run(app, *guided, asked(app)).parts
    assert counter.made == [4]
    assert counter.calls == [(7, [""] * 4 + ["negative"] * 3)] * 8, (
        "three rows and their branches, the row beside them without one, in each of 8 steps"
    )
    assert [part.statistics.forwards for part in parts] == [8] * 4


def test_every_canvas_of_a_call_gets_its_own_logits_back(app):
    requests = [
        asked(app, branches={"on": True}, seed=i, prompt="the ship " * i, length=9 + i, steps=9)
        for i in range(3)
    ]
    parts = run(app, *requests).parts
    assert [part.error for part in parts] == [None] * 3
    assert outcome(parts[1]) == outcome(run(app, requests[1].replace(branches={})))


def test_an_extension_that_is_neutral_is_not_even_made(app):
    counter = app.registry.extensions["counter"]
    counter.made.clear(), counter.calls.clear()
    run(app, asked(app), asked(app, guidance={"scale": 2.0}))
    assert counter.made == counter.calls == []


def test_events_tell_all_that_the_result_holds(app):
    events = list(app.engine.run(job_of(asked(app), asked(app, seed=3, length=24, steps=5))))
    started = [event for event in events if isinstance(event, Started)]
    assert sorted((event.cell, event.length, event.steps) for event in started) == [
        ("0", 16, 8),
        ("1", 24, 5),
    ]
    finished = {event.cell: event.result for event in events if isinstance(event, Finished)}
    assert (
        set(finished) == {"0", "1", None}
        and events[-1].cell is None
        and not any(isinstance(e, Failed) for e in events)
    )
    for cell in ("0", "1"):
        decisions = [
            d for event in events if isinstance(event, Progress) for d in event.changes.get(cell, ())
        ]
        result = finished[cell]
        assert tuple(decisions) == result.trace
        assert sorted(d.column for d in decisions) == list(range(result.request.length))
        assert all(0 <= d.confidence <= 1 for d in decisions)
        assert result.statistics.tokens == len(decisions) and result.statistics.forwards == decisions[-1].step
    assert finished[None].parts == (finished["0"], finished["1"])


# -- end of text ---------------------------------------------------------------------------------------------


def test_end_of_text_policies(app):
    """An oracle that wants "the cat sat" and then end-of-text, on a canvas of four blocks."""
    wish = {"oracle": {"text": "the cat sat"}, "length": 32, "block_length": 8, "steps": 32}
    stop, late, ban, keep = run(
        app, *(asked(app, end_of_text=p, **wish) for p in ("stop", "late", "ban", "keep"))
    ).parts
    assert stop.text == late.text == keep.text == "the cat sat" and all(
        part.complete for part in (stop, late, ban, keep)
    )
    ends = set(app.checkpoints.load(None).ends)
    assert stop.statistics.forwards < 32 and None in stop.pieces, "it ends before the canvas is full"
    assert keep.statistics.forwards == 32 and None not in keep.pieces
    order = [decision.token in ends for decision in late.trace if decision.column < 8]
    assert order == sorted(order)
    assert ban.statistics.forwards == 32 and not any(decision.token in ends for decision in ban.trace)
    assert ban.text.startswith("the cat sat") and len(ban.text) > len("the cat sat")


def test_an_end_behind_open_positions_ends_nothing(app):
    """One position a step over the whole canvas: some end-of-text comes before the text is whole."""
    result = run(
        app, asked(app, oracle={"text": "the cat sat on the mat"}, length=32, block_length=32, steps=32)
    )
    assert result.text == "the cat sat on the mat" and result.complete
    ends = set(app.checkpoints.load(None).ends)
    assert any(decision.token in ends for decision in result.trace[:-1])


# -- presets and room ----------------------------------------------------------------------------------------


def test_what_is_none_is_resolved_and_said_to_be(tmp_path, folder):
    checkpoint = llada(tmp_path / "checkpoints" / "storyteller")
    write_json(
        checkpoint / "profile.json",
        {"preset": {"length": 12, "guidance": {"scale": 2.0}, "temperature": 0.5}},
    )
    app = App(Settings(models=tmp_path, built_in=folder, data=tmp_path, device="cpu"))
    result = run(app, app.Request(prompt="a", seed=1, temperature=0.25))
    resolved = result.request
    assert (resolved.length, resolved.temperature, resolved.guidance.scale) == (12, 0.25, 2.0)
    assert (resolved.sampler, resolved.schedule, resolved.confidence, resolved.block_length) == (
        "low_confidence",
        "even",
        "probability",
        32,
    )
    assert (
        resolved.model == "storyteller"
        and resolved.steps == 12
        and resolved.top_p == 1.0
        and resolved.end_of_text == "stop"
    )
    assert [name for name, value in resolved if value is None] == ["canvas"]
    assert {"length", "guidance.scale", "sampler", "schedule", "confidence", "steps"} <= set(result.preset)
    assert not {"temperature", "seed", "prompt"} & set(result.preset)


def test_too_long_a_preset_length_is_shortened_with_a_note_and_too_long_a_request_refused(app):
    words = "the ship and the storm " * 16
    result = run(app, app.Request(prompt=words, template="raw", seed=1, steps=8))
    room = 256 - result.statistics.prompt_tokens
    assert room < 128 and result.request.length == room and len(result.pieces) == room
    (note,) = result.notes
    assert str(room) in note and note.endswith(".")
    refused = run(app, app.Request(prompt=words, template="raw", length=room + 1)).error
    assert refused.endswith(f"the length can be at most {room}, not {room + 1}.")
    assert run(app, app.Request(prompt=words, template="raw", length=room, steps=8, seed=1)).error is None
    long = run(app, asked(app, guidance={"negative_prompt": "word " * 400, "scale": 2.0}))
    assert long.error.startswith("The negative prompt takes") and long.error.endswith(".")


# -- history -------------------------------------------------------------------------------------------------


def test_every_text_is_a_file_that_gives_the_same_text_again(app):
    before = saved(app)
    requests = [
        asked(app, temperature=0.9, top_p=0.9, sampler="random"),
        asked(
            app,
            guidance={"scale": 2.0, "negative_prompt": "a grey day"},
            seed=2**40,
            steps=None,
            end_of_text="keep",
        ),
        asked(app, sampler="threshold", threshold=0.05, schedule="cosine", confidence="margin"),
    ]
    parts = run(app, *requests).parts
    files = saved(app) - before
    assert {file.stem for file in files} == {part.id for part in parts} and all(
        file.suffix == ".json" for file in files
    )
    for part in parts:
        (file,) = [file for file in files if file.stem == part.id]
        assert app.history.get(part.id) == part
        request, unknown = app.Request.read(file.read_text())
        assert request == part.request and unknown == {}
        assert outcome(run(app, request)) == outcome(part)


def test_fields_of_extensions_that_are_gone_are_told(app, models, tmp_path):
    part = run(app, asked(app, counter={"on": True}))
    bare = App(Settings(models=models, built_in=tmp_path / "none", data=app.settings.data, device="cpu"))
    (file,) = app.settings.history.glob(f"*/{part.id}.json")
    request, unknown = bare.Request.read(file.read_text())
    assert set(unknown) == set(EXTENSIONS) | {"guidance"} and unknown["counter"] == {"on": True}
    assert outcome(run(bare, request)) == outcome(part)
    assert bare.history.get(part.id).text == part.text


SAVER = """
import sys, pathlib
from webui.core.result import new_id
from webui.service.history.store import History
from webui.core.request import Request
from webui.core.result import Result
history = History(pathlib.Path(sys.argv[1]), Request)
while True:
    history.save(Result(id=new_id(), text="word " * 40_000, complete=True, request=Request(prompt="a")))
"""


def test_a_killed_process_leaves_only_whole_files(tmp_path):
    """SIGKILL at random moments while it saves in a loop: what bears a result's name is a whole result."""
    savers = [
        subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path / str(i))], cwd=ROOT) for i in range(4)
    ]
    for i, saver in enumerate(savers):
        end = time.monotonic() + 60
        while not any((tmp_path / str(i)).glob("*/*.json")) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(random.Random(i).random() / 5)
        saver.send_signal(signal.SIGKILL)
        saver.wait()
    for i in range(4):
        files = list((tmp_path / str(i)).glob("*/*.json"))
        assert files
        for file in files:
            assert Result.model_validate_json(file.read_text()).text == "word " * 40_000


def test_a_full_disk_costs_a_note_and_not_the_text(app):
    before = saved(app)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    request = asked(app)
    expected = outcome(run(app, request))
    saved_then = saved(app)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        result = run(app, request)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome(result) == expected and result.complete
    (note,) = result.notes
    assert note.startswith("Not saved: ") and note.endswith(".")
    assert saved(app) == saved_then and len(saved_then - before) == 1, "nothing half-written is left"


def test_without_history_nothing_is_written(tmp_path):
    History(tmp_path / "none", Request, keep=False).save(
        Result(id="0" * 20, text="", complete=True, request=Request())
    )
    assert os.listdir(tmp_path) == []
    assert History(tmp_path / "none", Request).list() == []
