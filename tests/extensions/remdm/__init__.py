"""An extension for tests, with a sampler of its own that masks again what it committed, and an option for it."""

from webui import Extension, Options, field


class Remdm(Extension):
    """ReMDM-like: in each step but a block's last, committed positions of a low confidence are masked again."""

    class Options(Options):
        eta: float = field(
            0.3, ge=0, le=1, label="Eta", help="How many of the committed positions are masked again."
        )
        broken: str = field("", label="Broken", help="What the sampler does wrong.")

    @classmethod
    def samplers(cls):
        from webui import Sampler, remasking

        return {
            "remdm_rescale": Sampler(
                "ReMDM-rescale as published, put together from the program's parts.",
                select=remasking.ancestral(remasking.rescaled),
                remask=remasking.remdm(remasking.rescaled),
                options=lambda request: {"eta": request.remdm.eta},
            ),
            "remdm": Sampler(
                "Masks some of what it committed again (ReMDM).",
                remask=_remask,
                options=lambda request: {
                    "remdm.eta": request.remdm.eta,
                    "remdm.broken": bool(request.remdm.broken),
                },
            ),
        }


def _remask(canvas, plan, choice):
    """Every few positions, others in every step, of what is committed in the block; none when it ends."""
    import torch

    state = canvas.state
    if bool(state.own["remdm.broken"].any()):
        raise RuntimeError("on purpose")
    block = (
        torch.div(canvas.column, state.block_length[:, None], rounding_mode="floor") == state.block[:, None]
    )
    turn = (canvas.column * 7 + canvas.step[:, None] * 3 + canvas.seed[:, None]) % 10
    some = turn < (10 * state.own["remdm.eta"])[:, None]
    goes_on = (plan.after > 0)[:, None]
    return block & ~canvas.given & ~canvas.masked & some & goes_on
