"""An extension for tests: once in every row, masks again what was committed."""

from dataclasses import replace

from webui import Extension, Options, field


class SecondLook(Extension):
    """Only for tests."""

    title = "Second look"

    class Options(Options):
        step: int = field(0, ge=0, le=1000, label="Remask after", help="Steps; 0 never.")

    def pick(self, canvas, model, *rest):
        choice = rest[-1]
        after = self.rows_column("step", canvas)
        due = ((canvas.step == after) & (after > 0))[:, None]
        return replace(choice, remask=due & ~canvas.given & (canvas.tokens != canvas.mask))
