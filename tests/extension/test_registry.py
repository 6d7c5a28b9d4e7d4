"""Extensions are found, composed and folded; one that is broken is left out, and the rest works."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.contract.program import finished, program, texts, write
from webui import Cell, Extension, Options, Row, field
from webui.core.prompt import Prompt
from webui.core.request import MAX_SEED
from webui.extension.registry import Registry
from webui.settings import ROOT

GRID = """
    from webui import Cell, Extension, Options, field
    class {title}(Extension):
        "Writes each value."
        order = {order}
        class Options(Options):
            values: tuple[str, ...] = field((), label="Values", help="What to append.")
        @classmethod
        def expand(cls, request):
            values = cls.options(request).values
            if not values:
                return None
            made = [(cls.cell(0, request, prompt=request.prompt + v).request, v) for v in values]
            return (Cell("x", each, (("{title}", v, v),)) for each, v in made)
        @classmethod
        def prompt(cls, row):
            return row.note("{title}")
"""
WHOLE = 'from webui import Extension\nclass Whole(Extension):\n    "Does nothing."\n'
OPTION = """
    from webui import Extension, Options, field
    class Odd(Extension):
        "Does nothing."
        class Options(Options):
            x: {} = field({}, label='X', help='.')
"""
FAULTS = {
    "fails_to_import": ("1 / 0", "ZeroDivisionError"),
    "is_no_python": ("class", "SyntaxError"),
    "has_no_extension": ("x = 1", "exactly one subclass of Extension, not 0"),
    "has_two": (WHOLE + WHOLE.replace("Whole(", "Second("), "exactly one subclass of Extension, not 2"),
    "mistypes_a_hook": (WHOLE + "    def denoize(self, canvas, model): ...", "denoize is not a hook"),
    "needs_an_option": (
        WHOLE + "    from webui import Options\n    class Options(Options):\n        size: int",
        "Field required",
    ),
    "defaults_to_nan": (OPTION.format("float", "float('nan')"), "Options.x: the default is not what JSON"),
    "defaults_to_infinity": (OPTION.format("float", "1e999"), "Options.x: the default is not what JSON"),
    "defaults_to_half_a_pair": (OPTION.format("str", "'\\ud800'"), "Options.x: the default is not what"),
    "hides_half_a_pair": (OPTION.format("tuple[str, ...]", "('\\ud800',)"), "Options.x: the default is not"),
    "defaults_out_of_range": (OPTION.format("int", "-1, ge=0"), "Options.x: the default is not what JSON"),
    "defaults_to_another_type": (OPTION.format("int", "'a'"), "Options.x: the default is not what JSON can"),
    "defaults_to_an_object": (OPTION.format("object", "object()"), "Options.x: the default is not what JSON"),
    "is_labelled_with_half_a_pair": (
        OPTION.format("int", "1").replace("'X'", "'\\ud800'"),
        "surrogates not allowed",
    ),
    "has_other_options": (WHOLE + "    class Options: ...", "must be a subclass of webui.Options"),
    "prompt": (WHOLE, "cannot be named 'prompt'"),  # a field of the request
    "replace": (WHOLE, "cannot be named 'replace'"),  # a method of the request
    "model_dump": (WHOLE, "cannot be named 'model_dump'"),
    "haiku-lines": (WHOLE, "haiku-lines is no identifier, rename the folder to haiku_lines."),
    "7 wonders": (WHOLE, "7 wonders is no identifier."),
    "class": (WHOLE, "class is no identifier."),
}


def folder(path: Path, **extensions: str) -> Path:
    for name, code in extensions.items():
        (path / name).mkdir(parents=True)
        (path / name / "__init__.py").write_text(textwrap.dedent(code), "utf-8")
    return path


def grid(title: str, order: int) -> str:
    return GRID.format(title=title, order=order)


@pytest.fixture
def grids(tmp_path) -> Registry:
    """Two grids; `second_grid` comes first in the alphabet of folders but second in order."""
    return Registry(
        folder(tmp_path, a_second_grid=grid("Second", 20), b_first_grid=grid("First", 10)), max_cells=100
    )


# -- loading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_an_extension_that_fails_to_load_is_left_out_with_its_traceback(tmp_path, name):
    code, reason = FAULTS[name]
    registry = Registry(folder(tmp_path, **{name: code, "whole_one": WHOLE}))
    assert list(registry.extensions) == ["whole_one"]
    assert list(registry.failed) == [name]
    assert registry.failed[name].startswith("Traceback") and reason in registry.failed[name]
    assert registry.Request(prompt="a").prompt == "a", "and the core's fields are what they were"


def test_the_program_runs_beside_a_broken_extension(tmp_path):
    app = program(tmp_path, folder(tmp_path / "extensions", broken="1 / 0", whole_two=WHOLE))
    assert write(app).text
    with pytest.raises(ValueError, match="no field 'broken'"):
        app.Request.read('{"prompt": "a"}')[0].replace(broken={})
    app.close()


def test_no_folder_is_no_extensions(tmp_path):
    registry = Registry(tmp_path / "nothing")
    assert not registry.extensions and not registry.failed and registry.Request().prompt == ""


def test_an_extension_is_named_like_its_folder(tmp_path):
    kind = Registry(folder(tmp_path, the_name=WHOLE)).extensions["the_name"]
    assert (kind.name, kind.title, kind.about) == ("the_name", "The name", "Does nothing.")


def test_an_unknown_public_method_is_an_error_when_the_class_is_made():
    with pytest.raises(TypeError, match=r"Wrong\.denoize is not a hook. Hooks: .*denoise"):
        type("Wrong", (Extension,), {"denoize": lambda self, canvas, model: None})
    with pytest.raises(TypeError, match="expnd"):
        type("Wrong", (Extension,), {"expnd": classmethod(lambda cls, request: None)})
    with pytest.raises(TypeError, match="helper"):
        type("Wrong", (Extension,), {"helper": staticmethod(lambda: None)})
    type(
        "Right",
        (Extension,),
        {"_own": lambda self: None, "denoise": lambda self, canvas, model: model(canvas), "order": 3},
    )


# -- hooks ---------------------------------------------------------------------------------------------------


def test_the_folders_extensions_all_load():
    assert not Registry(ROOT / "extensions").failed


def test_a_chain_is_in_order_and_then_by_name(tmp_path):
    code = "    def canvas(self, canvas, model): return canvas\n    def denoise(self, canvas, model): return model(canvas)\n"
    registry = Registry(
        folder(
            tmp_path,
            c_one=WHOLE + code,
            b_two=WHOLE + code,
            d_low=WHOLE + code + "    order = -5\n",
            a_mixed=WHOLE + code + '    order = {"denoise": 7}\n',
            without=WHOLE,
        )
    )
    assert [kind.name for kind in registry.chain("canvas")] == ["d_low", "a_mixed", "b_two", "c_one"]
    assert [kind.name for kind in registry.chain("denoise")] == ["d_low", "b_two", "c_one", "a_mixed"]
    assert registry.chain("ban") == []


# -- expanding -----------------------------------------------------------------------------------------------


def test_grids_are_folded_in_order_and_the_last_varies_fastest(grids):
    request = grids.Request(
        prompt="p", seed=5, b_first_grid={"values": ["a", "b"]}, a_second_grid={"values": ["x", "y"]}
    )
    cells = grids.expand(request)
    assert [cell.request.prompt for cell in cells] == ["pax", "pay", "pbx", "pby"]
    assert [cell.id for cell in cells] == ["0", "1", "2", "3"]
    assert [[(name, label) for name, _, label in cell.axes] for cell in cells][1] == [
        ("First", "a"),
        ("Second", "y"),
    ]
    for cell in cells:
        assert cell.request.b_first_grid.defaults() and cell.request.a_second_grid.defaults(), (
            "options are cleared"
        )
        assert grids.expand(cell.request)[0].request == cell.request, "a cell expands to itself"
    assert grids.expand(request) == cells, "ids are stable"


def test_count_is_unrolled_last_with_seeds_one_apart(grids):
    cells = grids.expand(grids.Request(prompt="p", seed=5, count=3, b_first_grid={"values": ["a", "b"]}))
    assert [(c.id, c.request.prompt, c.request.seed, c.request.count) for c in cells] == [
        ("0", "pa", 5, 1),
        ("1", "pa", 6, 1),
        ("2", "pa", 7, 1),
        ("3", "pb", 5, 1),
        ("4", "pb", 6, 1),
        ("5", "pb", 7, 1),
    ]
    assert cells[4].axes == (("First", "b", "b"), ("seed", 6, "seed 6"))


def test_one_request_is_one_cell(grids):
    request = grids.Request(prompt="p", seed=5)
    assert grids.expand(request) == (Cell("0", request),)


@pytest.mark.parametrize(
    "fields",
    [
        {"count": 101},
        {"b_first_grid": {"values": ["x"] * 101}},
        {"b_first_grid": {"values": ["x"] * 51}, "count": 2},
        {"b_first_grid": {"values": ["x"] * 100}, "a_second_grid": {"values": ["y"] * 100}},
    ],
)
def test_too_many_texts_are_refused(grids, fields):
    with pytest.raises(ValueError, match=r"makes 1[\d,]* texts or more; the setting max_cells allows 100\."):
        grids.expand(grids.Request(seed=1, **fields))
    assert len(grids.expand(grids.Request(seed=1, count=100))) == 100


def test_seeds_past_the_largest_are_a_sentence(grids):
    with pytest.raises(ValueError, match=r"^seed: .*\.$") as refused:
        grids.expand(grids.Request(seed=MAX_SEED, count=2))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "body", ["return 1 / 0", "return (1 / 0 for _ in range(2))", "raise ValueError('write it otherwise')"]
)
def test_an_extension_that_fails_to_expand_is_named(tmp_path, body):
    code = WHOLE + f"    @classmethod\n    def expand(cls, request): {body}\n"
    registry = Registry(folder(tmp_path, bad_grid=code))
    with pytest.raises(ValueError, match="^bad_grid: (ZeroDivisionError|write it otherwise)"):
        registry.expand(registry.Request(seed=1))


# -- preparing and running -----------------------------------------------------------------------------------


def test_rows_are_prepared_by_every_extension_in_order(grids):
    row = Row(Cell("0", grids.Request()), grids.Request(), {"main": Prompt.of("p")})
    assert grids.prepare(row).notes == ("First", "Second")
    assert row.notes == (), "rows are frozen"


FAILS = """
    from webui import Extension, Options, field
    class Fails(Extension):
        "Fails where it is told to."
        class Options(Options):
            where: str = field("", label="Where", help="In which hook.")
        @classmethod
        def prompt(cls, row):
            if cls.options(row).where == "prompt": raise ValueError("not this row.")
            return row
        def canvas(self, canvas, model):
            if any(row and self.options(row).where == "canvas" for row in self.rows): 1 / 0
            return canvas
        def denoise(self, canvas, model):
            logits = model(canvas)
            where = [row and self.options(row).where for row in self.rows]
            if "denoise" in where: 1 / 0
            return logits * float("nan") if "nan" in where else logits
        def ban(self, canvas, model):
            wrong = any(row and self.options(row).where == "ban" for row in self.rows)
            return model(canvas) > -float("inf") if wrong else None
"""


@pytest.mark.parametrize(
    "where, reason",
    [
        ("prompt", "not this row"),
        ("canvas", "ZeroDivisionError"),
        ("denoise", "ZeroDivisionError"),
        ("nan", "not finite"),
        ("ban", "every token is forbidden"),
    ],
)
def test_a_hook_that_fails_fails_its_rows_by_name_and_others_go_on(tmp_path, where, reason):
    extensions = folder(
        tmp_path / "extensions",
        breaks=FAILS,
        each=grid("Each", 0).replace("prompt=request.prompt + v", "breaks={'where': v}"),
    )
    app = program(tmp_path, extensions)
    alone = write(app, length=6).text
    result = finished(app, app.Request(length=6, seed=1, each={"values": ["", where, ""]}))
    good, failed, other = result.parts
    assert failed.error.startswith("breaks: ") and reason in failed.error and not failed.text
    assert good.error is None and good.complete and texts(good) == texts(other) == [alone]
    app.close()


def test_an_extension_that_is_neutral_for_all_rows_is_never_called(tmp_path):
    app = program(
        tmp_path,
        folder(tmp_path / "extensions", silent=FAILS + "\n        def __init__(self, rows): 1 / 0\n"),
    )
    assert write(app).text
    app.close()


class Sized(Extension):
    class Options(Options):
        size: int = field(1, label="Size", help="How much.")


Sized.name = "sized"


def test_a_column_is_gathered_by_row_also_in_branches():
    import torch

    from webui import Canvas

    request = type("R", (), {"sized": Sized.Options(size=4)})()
    rows = [None, Row(None, request), None, Row(None, type("R", (), {"sized": Sized.Options(size=7)})())]
    canvas = Canvas.build([[1]] * 4, [[9, 9]] * 4, [0] * 4, mask=9)
    canvas = canvas.take(torch.tensor([3, 1, 0]))
    canvas = type(canvas)(**{**vars(canvas), "active": canvas.masked})
    extension = Sized(rows)
    assert extension.rows_column("size", canvas, default=-1).tolist() == [7, 4, -1]
    assert extension.column("size", canvas, default=-1).tolist() == [[7], [7], [4], [4], [-1], [-1]]


# -- what expand may not do ----------------------------------------------------------------------------------

VARIES = """
    from webui import Cell, Extension, Options, field
    class Varies(Extension):
        "Makes cells that it may not make."
        class Options(Options):
            how: str = field("", label="How", help="Tests.")
        @classmethod
        def expand(cls, request):
            how = cls.options(request).how
            made = {{
                "nothing": lambda: [],
                "empty": lambda: iter(()),
                "count": lambda: [cls.cell(0, request, count=3)],
                "canvas": lambda: [cls.cell(0, request, canvas={{"tokens": [1]}})],
                "unknown": lambda: [cls.cell(0, request, unknown={{"a": 1}})],
                "option": lambda: [cls.cell(0, request, other={{"fixed": True}})],
                "length": lambda: [cls.cell(0, request, length=3)],
                "other option": lambda: [cls.cell(0, request, other={{"free": 2}})],
                "text": lambda: ["a"],
                "number": lambda: 3,
            }}
            return made[how]() if how else None
"""
OTHER = """
    from webui import Extension, Options, field
    class Other(Extension):
        "Has an option that is no axis."
        class Options(Options):
            fixed: bool = field(False, label="Fixed", help="Tests.", axis=False)
            free: int = field(0, label="Free", help="Tests.")
"""
EXPANDS = {
    "nothing": "varies: makes no text from this request; give it at least one value.",
    "empty": "varies: makes no text from this request; give it at least one value.",
    "count": "varies: varies count, which is not an axis.",
    "canvas": "varies: varies canvas, which is not an axis.",
    "unknown": "varies: varies unknown, which is not an axis.",
    "option": "varies: varies other.fixed, which is not an axis.",
    "text": "varies: returns something other than cells of the request: str.",
    "number": "varies: TypeError: 'int' object is not iterable",
    "length": None,
    "other option": None,
}


@pytest.mark.parametrize("how", EXPANDS)
def test_what_expand_may_not_do_is_refused_by_name(tmp_path, how):
    registry = Registry(folder(tmp_path, varies=VARIES.format(), other=OTHER))
    assert not registry.failed
    request = registry.Request(seed=1, varies={"how": how})
    if EXPANDS[how] is None:
        assert len(registry.expand(request)) == 1
    else:
        with pytest.raises(ValueError) as refused:
            registry.expand(request)
        assert str(refused.value) == EXPANDS[how]


# -- order ---------------------------------------------------------------------------------------------------

TURN = """
    from webui import Extension
    class Turn(Extension):
        "Has a place."
        {said}
        def denoise(self, canvas, model): return model(canvas)
        @classmethod
        def prompt(cls, row): return row
"""


def turns(tmp_path, **said) -> Registry:
    return Registry(folder(tmp_path, **{name: TURN.format(said=text) for name, text in said.items()}))


def names(registry, hook):
    return [kind.name for kind in registry.chain(hook)]


def test_before_and_after_decide_then_the_number_then_the_name(tmp_path):
    registry = turns(
        tmp_path,
        a="after = ('c',)",
        b="order = 5; before = {'denoise': ('a', 'nobody')}",
        c="order = 9",
        d="",
    )
    assert not registry.failed
    assert names(registry, "prompt") == ["d", "b", "c", "a"]
    assert names(registry, "denoise") == ["d", "b", "c", "a"]
    registry = turns(tmp_path / "more", a="after = {'denoise': ('d',)}", c="order = 9", d="order = 9")
    assert names(registry, "prompt") == ["a", "c", "d"] and names(registry, "denoise") == ["c", "d", "a"]
    assert registry.order_table("denoise") == [("denoise", ["c", "d", "a"])]


@pytest.mark.parametrize(
    "said, reason",
    [
        ("before = ('a',)", "; one of them has to give way"),
        ("after = ('c',)", "after: c cannot be after itself"),
        ("before = 'ab'", "before: write a tuple of names"),
        ("before = {'denoize': ('b',)}", "before: 'denoize' is no hook"),
    ],
)
def test_an_order_that_cannot_be_is_refused(tmp_path, said, reason):
    registry = turns(tmp_path, a="before = ('b',)", b="before = ('c',)", c=said)
    assert list(registry.failed) == ["c"] and reason in registry.failed["c"]
    assert names(registry, "denoise") == ["a", "b"]


@pytest.mark.parametrize("side, piece", [("before", "I"), ("after", "!")])
def test_the_denoise_chain_is_in_that_order(tmp_path, side, piece):
    """One takes all logits away, the other prefers a token: who is nearer to the model decides."""
    erases = TURN.format(said=f"{side} = ('prefers',)").replace(
        "return model(canvas)", "return model(canvas) * 0"
    )
    bias = "(__import__('torch').arange(model.vocabulary) == 40)"
    prefers = TURN.format(said="order = 3").replace(
        "return model(canvas)", f"return model(canvas) + 5 * {bias}"
    )
    app = program(tmp_path, folder(tmp_path / "extensions", erases=erases, prefers=prefers))
    assert write(app, temperature=0, steps=1, length=4, end_of_text="keep").pieces == (piece,) * 4
    app.close()


# -- manifests and faults ------------------------------------------------------------------------------------


def test_a_manifest_that_does_not_fit_is_a_reason_not_to_load(tmp_path):
    for name, text in {
        "other": 'name = "another"',
        "newer": 'needs = "webui>=9"',
        "wrong": "needs = 3",
        "right": 'version = "2.1"\nneeds = "webui>=0.1"',
    }.items():
        (folder(tmp_path, **{name: WHOLE}) / name / "extension.toml").write_text(text, "utf-8")
    registry = Registry(tmp_path, program="0.1.0")
    assert list(registry.extensions) == ["right"] and registry.versions == {"right": "2.1"}
    assert "rename the folder to another" in registry.failed["other"]
    assert "It needs webui>=9, and this is webui 0.1.0." in registry.failed["newer"]
    assert "extension.toml: needs: " in registry.failed["wrong"]


def test_the_traceback_of_a_hook_is_printed_once_and_kept(tmp_path, capfd):
    code = FAILS + "\n        def finish(self, row, result): return result.nothing\n"
    app = program(tmp_path, folder(tmp_path / "extensions", breaks=code))
    result = finished(app, app.Request(length=4, seed=1, count=4, breaks={"where": "denoise"}))
    assert all(part.error == "breaks: ZeroDivisionError: division by zero" for part in result.parts)
    finished(app, app.Request(length=4, seed=1, breaks={"where": "else"}))
    newest, oldest = app.registry.faults.of("breaks")
    assert "1 / 0" in oldest and "in denoise" in oldest and "in finish" in newest
    assert capfd.readouterr().err.count("The extension breaks failed:") == 2
    app.close()


def test_a_column_gives_its_default_for_an_option_that_is_none():
    class Maybe(Extension):
        class Options(Options):
            size: int | None = field(None, label="Size", help="How much.")

    Maybe.name = "maybe"
    from webui import Canvas

    rows = [Row(None, type("R", (), {"maybe": Maybe.Options(size=size)})()) for size in (None, 4)]
    canvas = Canvas.build([[1]] * 2, [[9]] * 2, [0] * 2, mask=9)
    assert Maybe(rows).rows_column("size", canvas, default=-1).tolist() == [-1, 4]


def test_a_field_refuses_keywords_that_it_does_not_have():
    with pytest.raises(TypeError, match=r"field\(\) has no keyword 'minimum'"):
        field(1, label="Size", help="How much.", minimum=3)
    assert field(1, label="Size", help="How much.", ge=3, max_length=4)
