"""`webui.testing`: fakes act like the real thing, and the contract finds each kind of fault."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT
from webui import testing

UNSTEADY = """
from itertools import count
COUNTER = count()
"""
QUIET = """
    from webui import Extension, Options, field
    class Quiet(Extension):
        "Makes every other token less likely."
        class Options(Options):
            strength: float = field(0.0, ge=0, le=20, label="Quiet", help="Taken from the logits; 0 is off.")
        @classmethod
        def prompt(cls, row):
            return row.note("quiet") if cls.options(row).strength else row
        def canvas(self, canvas, model):
            import torch
            self._loud = torch.arange(len(model.words()), device=model.device) % 2
            return canvas
        def denoise(self, canvas, model):
            return {denoise}
"""
RIGHT = "model(canvas) - self.column('strength', canvas) * self._loud"
FAULTS = {
    "acts while it is off": (RIGHT, "neutral", "changes a text though its options have their defaults"),
    "looks at the batch": (
        "model(canvas) - self.column('strength', canvas) * self._loud * (1 - 2 * (len(self.rows) == 2))",
        "",
        "in a batch of 2",
    ),
    "remembers": (
        "model(canvas) - (-1) ** next(COUNTER) * self.column('strength', canvas) * self._loud",
        "counter",
        "the same request gave another text",
    ),
    "fails": ("1 / 0", "", "ZeroDivisionError"),
    "does nothing": ("model(canvas)", "silent", "does nothing with"),
}


def written(folder, denoise=RIGHT, how=""):
    code = textwrap.dedent(QUIET.format(denoise=denoise))
    if how == "neutral":
        code += "    @classmethod\n    def neutral(cls, row): return False\n"
        code = code.replace("self.column('strength', canvas)", "(1 + self.column('strength', canvas))")
    if how == "counter":
        code = UNSTEADY + code
    if how == "silent":
        code = code.replace('row.note("quiet") if cls.options(row).strength else row', "row")
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(code, "utf-8")
    return folder


def test_an_extension_keeps_the_contract(tmp_path):
    testing.check(written(tmp_path / "quiet"), quiet={"strength": 15})


@pytest.mark.parametrize("fault", FAULTS)
def test_the_contract_names_the_fault(tmp_path, fault):
    denoise, how, sentence = FAULTS[fault]
    with pytest.raises(AssertionError, match=sentence):
        testing.check(written(tmp_path / "quiet", denoise, how), quiet={"strength": 15})


def opening(folder):
    """The extension `opening` of the guide."""
    guide = (ROOT / "docs" / "extending.md").read_text("utf-8")
    source = guide.split("# extensions/opening/__init__.py\n", 1)[1].split("```", 1)[0]
    (folder / "opening").mkdir()
    (folder / "opening" / "__init__.py").write_text(source, "utf-8")
    return folder / "opening"


def test_a_refusal_is_expected_by_name(tmp_path):
    folder = opening(tmp_path)
    with pytest.raises(AssertionError, match="infill: opening: the answer already starts from a text"):
        testing.check(folder, opening={"words": "Once"})
    with pytest.raises(AssertionError, match="There is no case"):
        testing.check(folder, refuses=["nonsense"])
    testing.check(folder, refuses=["infill"], opening={"words": "Once"})


def test_the_contract_finds_a_saved_request_that_makes_another_text(tmp_path):
    folder = opening(tmp_path)
    code = (folder / "__init__.py").read_text("utf-8")
    (folder / "__init__.py").write_text(code.replace("Gap(None)", "Gap(row.request.length)"), "utf-8")
    with pytest.raises(AssertionError, match="alone: what was saved gives 'Once"):
        testing.check(folder, opening={"words": "Once"})


def test_a_hook_is_tried_without_a_checkpoint(tmp_path):
    kind = testing.load(written(tmp_path / "quiet"))
    assert kind.prompt(testing.row(kind, prompt="a fox", quiet={"strength": 3})).notes == ("quiet",)
    assert kind.neutral(testing.row(kind))
    link = testing.FakeLink(["a", "he", "fox"])
    canvas = testing.canvas(["a", None, None], ["fox", None], link=link, prompts=["fox a"])
    assert canvas.counts[0].active == 2 and link.decode(link.encode("fox a he")) == "fox a he"
    quiet = kind([testing.row(kind, quiet={"strength": 3}), None])
    quiet.canvas(canvas, link)
    logits, plain = quiet.denoise(canvas, link), link(canvas)
    assert logits.shape == (3, link.vocabulary)
    assert (plain - logits)[:, 1].tolist() == [3, 3, 0] and (plain - logits)[:, 2].tolist() == [0, 0, 0]
    assert len(link.calls) == 2 and link.answer(1) == (2, link.mask)
    one, two = link(canvas, canvas)
    assert (one == two).all()
    with pytest.raises(ValueError, match="no word 'dog'"):
        link.encode("dog")


def test_a_program_has_built_in_extensions_and_those_given(tmp_path):
    folder = written(tmp_path / "quiet")
    with testing.program(tmp_path, extensions=[folder]) as app:
        assert app.registry.origins["quiet"].origin == "folder"
        assert app.registry.origins["infill"].origin == "built-in"
        result = testing.write(app, prompt="a cat", quiet={"strength": 3}, count=2)
        assert [part.notes for part in testing.cells(result)] == [("quiet",)] * 2
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        (folder / "__init__.py").write_text("1 / 0")
        testing.load(folder)


def test_folders_of_extensions_are_read_beside_the_built_in_ones(tmp_path):
    from webui.application import App
    from webui.settings import Settings

    one, two = written(tmp_path / "some" / "quiet"), written(tmp_path / "more" / "loud")
    written(tmp_path / "again" / "quiet")
    folders = (tmp_path / "some", two, tmp_path / "again")
    app = App(Settings(data=tmp_path / "data", extensions=folders))
    assert {"quiet", "loud", "infill"} <= set(app.registry.extensions)
    assert app.registry.folders["quiet"] == one
    (clash,) = app.registry.failed.items()
    assert clash[0].endswith("again/quiet") and "another extension quiet" in clash[1]
    safe = App(Settings(data=tmp_path / "data", extensions=folders, safe_mode=True))
    assert "infill" in safe.registry.extensions and "quiet" not in safe.registry.extensions
    with pytest.raises(ValueError, match="There is no extensions folder"):
        App(Settings(data=tmp_path / "data", extensions=(tmp_path / "none",)))
    assert Settings(extensions=str(two)).extensions == (two,)


def test_importing_it_costs_nothing():
    code = "import sys; from webui import testing; sys.exit(bool({'torch', 'pytest', 'gradio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
