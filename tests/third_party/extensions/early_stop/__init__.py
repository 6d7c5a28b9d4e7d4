"""The mean confidence of each text; the rest is committed at once where the model is sure."""

from dataclasses import replace

from webui import Extension, Options, field


class EarlyStop(Extension):
    """The mean confidence of each text; what is left of a block is committed at once where the model is sure."""

    class Options(Options):
        on: bool = field(False, label="Mean confidence", help="It stands beside the text.")
        stop: float = field(
            1.0,
            ge=0,
            le=1,
            label="Stop at",
            help="Commits all positions once each is this probable; 1 is off.",
        )

    def pick(self, canvas, model, logits, choice):
        rows = canvas.at[0]
        limit = self.column("stop", canvas, default=1.0)[:, 0]
        unsure = (choice.probability < limit) | (limit >= 1)
        counts = unsure.new_zeros(len(canvas.row), dtype=int).index_add(0, rows, unsure.long())
        return replace(choice, commit=choice.commit | (counts == 0)[rows])

    def finish(self, row, result):
        if not self.options(row).on:
            return None
        given = [change.confidence for change in result.trace if change.confidence is not None]
        return {"confidence": sum(given) / max(len(given), 1), "calls": result.statistics.forwards}
