"""An extension for tests, with a sampler of its own that masks again what it committed, and an option for it."""

from webui import Extension, Options, field


class Remasker(Extension):
    """In each step but a block's last, some committed positions are masked again."""

    class Options(Options):
        eta: float = field(
            0.3, ge=0, le=1, label="Eta", help="How many of the committed positions are masked again."
        )
        broken: str = field("", label="Broken", help="What the sampler does wrong.")

    @classmethod
    def samplers(cls):
        from webui import Sampler

        return {
            "remasker": Sampler(
                "Masks some of what it committed again.",
                remask=_remask,
                options=lambda request: {
                    "remasker.eta": request.remasker.eta,
                    "remasker.broken": bool(request.remasker.broken),
                },
            ),
        }


def _remask(canvas, plan, choice):
    """Every few positions, others in every step, of what is committed in the block; none when it ends."""
    import torch

    state = canvas.state
    if bool(state.own["remasker.broken"].any()):
        raise RuntimeError("on purpose")
    block = (
        torch.div(canvas.column, state.block_length[:, None], rounding_mode="floor") == state.block[:, None]
    )
    turn = (canvas.column * 7 + canvas.step[:, None] * 3 + canvas.seed[:, None]) % 10
    some = turn < (10 * state.own["remasker.eta"])[:, None]
    goes_on = (plan.after > 0)[:, None]
    return block & ~canvas.given & ~canvas.masked & some & goes_on
