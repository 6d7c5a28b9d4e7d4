"""Breaks lines after a number of tokens."""

from webui import Extension, Options, field


class LineBreaks(Extension):
    """Breaks lines after a number of tokens."""

    class Options(Options):
        every: int = field(0, ge=0, le=200, label="Line length", help="Tokens of a line; 0 is off.")

    @classmethod
    def neutral(cls, row):
        return cls.options(row).every == 0 or row.draft is not None  # a given text has lines of its own

    def canvas(self, canvas, model):
        (self._newline,) = model.encode("\n")
        return canvas

    def ban(self, canvas, model):
        import torch

        rows, columns = canvas.at
        every = self.column("every", canvas)[:, 0].long()
        breaks = (every > 0) & (canvas.column[rows, columns] % every.clamp(min=1) == every - 1)
        banned = torch.ones(len(rows), model.vocabulary, dtype=torch.bool, device=model.device)
        banned[:, self._newline] = False
        return banned & breaks[:, None]
