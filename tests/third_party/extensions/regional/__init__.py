"""A prompt of its own for the second half of the answer."""

from webui import Extension, Options, Prompt, field


class Regional(Extension):
    """A prompt of its own for the second half of the answer."""

    before = {"denoise": ("guidance",)}  # it is a part of what guidance moves away from another

    class Options(Options):
        second: str = field(
            "", max_length=5000, label="Second half", help="What the second half is about; empty is off."
        )

    @classmethod
    def prompt(cls, row):
        second = cls.options(row).second
        return row.with_prompt("second", Prompt.of(second)) if second else row

    def canvas(self, canvas, model):
        self._template = model.template("second")
        return canvas

    def denoise(self, canvas, model):
        import torch

        first, second = model(canvas, canvas.with_prompt(self._template, "second"))
        rows, columns = canvas.at
        length = canvas.tokens.shape[1] - canvas.answer[rows]
        main = torch.tensor(
            [canvas.branches[number] == "" for number in canvas.branch.tolist()], device=model.device
        )
        on = torch.tensor([row is not None for row in self.rows], device=model.device)[canvas.row] & main
        there = on[rows] & (canvas.column[rows, columns] * 2 >= length)
        return torch.where(there[:, None], second, first)
