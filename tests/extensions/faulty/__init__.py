"""An extension for tests: one of its rows is at fault, in the hook and in the way that its options name."""

from dataclasses import replace

from webui import Extension, Options, field


class PanicException(BaseException):
    """What a panic of a library written in Rust looks like."""


class Faulty(Extension):
    """Only for tests."""

    class Options(Options):
        at: str = field("", label="At", help="The hook that does wrong.")
        how: str = field("raise", label="How", help="What it does.")
        culprit: bool = field(False, label="Culprit", help="Whether this row is the one at fault.")
        after: int = field(0, label="After", help="Calls of the hook that are right.")

    def __init__(self, rows):
        super().__init__(rows)
        self._calls = {}
        self._act("init", any(row and self.options(row).culprit for row in rows))

    def canvas(self, canvas, model):
        return self._act("canvas", self._culprits(canvas).any(), canvas)

    def denoise(self, canvas, model):
        logits, on = model(canvas), self._culprits(canvas)
        how = self._act("denoise", on.any())
        if how == "memory" and (len(on) > 1 or self.options(self.rows[0]).after):
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory.")
        if how == "nan":
            logits = logits.clone()
            logits[on[canvas.at[0]]] = float("nan")
        if how == "tokens":
            logits = model(canvas, replace(canvas, tokens=canvas.tokens.masked_fill(on[:, None], 10**6)))[0]
        if how == "weights":
            weights = canvas.weights.masked_fill(on[:, None], float("nan"))
            logits = model(canvas, canvas.with_weights(weights))[1]
        return logits

    def ban(self, canvas, model):
        import torch

        on = self._culprits(canvas)
        how = self._act("ban", on.any())
        bans = torch.zeros(canvas.at[0].numel(), model.vocabulary, dtype=torch.bool)
        if how in ("even", "odd"):
            bans[on[canvas.at[0]], ("even", "odd").index(how) :: 2] = True
        return bans

    def pick(self, canvas, model, logits, choice):
        on = self._culprits(canvas)
        how = self._act("pick", on.any())
        mine = on[canvas.at[0]]
        wrong = {
            "none": lambda: None,
            "no choice": lambda: (choice.token, choice.commit),
            "outside": lambda: replace(choice, token=choice.token.masked_fill(mine, 10**6)),
            "negative": lambda: replace(choice, token=choice.token.masked_fill(mine, -1)),
            "mask": lambda: replace(choice, token=choice.token.masked_fill(mine, model.mask)),
            "float token": lambda: replace(choice, token=choice.token.float()),
            "short token": lambda: replace(choice, token=choice.token[:-1]),
            "int commit": lambda: replace(choice, commit=choice.commit.long()),
            "short commit": lambda: replace(choice, commit=choice.commit[:-1]),
            "no confidence": lambda: replace(choice, confidence=None),
            "nan confidence": lambda: replace(
                choice, confidence=choice.confidence.masked_fill(mine, float("nan"))
            ),
            "probability": lambda: replace(choice, probability=choice.probability.masked_fill(mine, 2.0)),
            "short probability": lambda: replace(choice, probability=choice.probability[:-1]),
            "remask shape": lambda: replace(choice, remask=canvas.given[:, 1:]),
            "remask type": lambda: replace(choice, remask=canvas.tokens),
            "remask given": lambda: replace(choice, remask=canvas.given & on[:, None]),
        }
        return wrong[how]() if how in wrong else choice

    def review(self, canvas, model, choice):
        on = self._culprits(canvas)
        how = self._act("review", on.any())
        wrong = {
            "none": None,
            "outside": [len(choice.token)],
            "negative": [-1],
            "no number": [True],
            "tensor": [choice.token[0]],
        }
        if how == "raise late":
            return (1 // 0 for _ in choice.token)
        return wrong[how] if how in wrong else ()

    def _culprits(self, canvas):
        """(B,) bool: rows of the canvas that are at fault."""
        import torch

        return torch.tensor([row is not None and self.options(row).culprit for row in self.rows])[canvas.row]

    def _act(self, hook, guilty, value=None):
        """Raises, or says how the hook shall do wrong, if it shall now."""
        options = next(self.options(row) for row in self.rows if row)
        self._calls[hook] = self._calls.get(hook, 0) + 1
        if options.at != hook or not guilty or self._calls[hook] <= options.after:
            return value
        if options.how == "raise":
            raise RuntimeError("on purpose")
        if options.how == "exit":
            raise SystemExit(3)
        if options.how == "panic":
            raise PanicException("index out of bounds")
        return options.how
