"""An extension for tests, with a `run` of its own: every text is masked in part and written again, some times."""

from webui import Extension, Finished, Loop, Options, Start, field


class Loopback(Extension):
    """Writes a text, masks a share of it, and writes that again."""

    class Options(Options):
        loops: int = field(1, ge=1, le=8, label="Loops", help="How often the text is written.")
        share: float = field(
            0.5, gt=0, le=1, label="Share", help="How much of it is masked before each new pass."
        )

    @classmethod
    def run(cls, cells, generate):
        loops = {cell.id: cls.options(cell.request).loops for cell in cells}
        first = {}  # what each text's first pass was asked for, everything resolved
        for k in range(of := max(loops.values())):
            yield Loop(k, of)
            again = []
            for event in generate(cells):
                if not isinstance(event, Finished):
                    yield event
                    continue
                name, result = event.cell, event.result
                first.setdefault(name, result)
                if result.complete and k + 1 < loops[name]:
                    again.append((name, result))
                else:
                    kept = {"request": first[name].request, "preset": first[name].preset}
                    yield Finished(result.model_copy(update=kept), name)
            cells = [
                cls.cell(
                    name,
                    first[name].request,
                    seed=first[name].request.seed + k + 1,
                    canvas=cls._masked(result),
                )
                for name, result in again
            ]
            if not cells:
                return

    @classmethod
    def _masked(cls, result):
        """The text with a share of what is least probable in it masked again."""
        share = cls.options(result.request).share
        probable = {change.column: change.confidence or 0 for change in result.trace}
        worst = sorted(probable, key=probable.get)[: max(1, round(share * len(probable)))]
        return Start(tokens=[None if i in worst else token for i, token in enumerate(result.tokens)])
