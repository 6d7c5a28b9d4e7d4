"""Makes tokens less likely that the answer has already."""

from webui import Extension, Options, field


class RepetitionPenalty(Extension):
    """Makes tokens less likely that the answer has already (Keskar et al. 2019, CTRL)."""

    after = {"denoise": ("guidance",)}  # the penalty counts for the logits that are drawn from

    class Options(Options):
        penalty: float = field(
            1.0, ge=1, le=5, label="Penalty", help="Divides the logits of tokens that are there; 1 is off."
        )

    def denoise(self, canvas, model):
        import torch

        logits = model(canvas)
        rows, columns = ((canvas.column >= 0) & (canvas.tokens != canvas.mask)).nonzero(as_tuple=True)
        there = torch.zeros(len(canvas.row), model.vocabulary, dtype=torch.bool, device=model.device)
        there[rows, canvas.tokens[rows, columns]] = True
        penalty = self.column("penalty", canvas, default=1.0)
        lower = torch.where(logits > 0, logits / penalty, logits * penalty)
        return torch.where(there[canvas.at[0]], lower, logits)
