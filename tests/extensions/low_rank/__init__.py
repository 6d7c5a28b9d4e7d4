"""An extension for tests, with a `patch` of its own: a low-rank adapter whose weight differs from row to row."""

from contextlib import contextmanager

from webui import Extension, Options, field


class LowRank(Extension):
    """Adds weight * (x A) B to what the first layer's MLP gives."""

    class Options(Options):
        weight: float = field(0.0, ge=-2, le=2, label="Weight", help="How strongly the adapter acts.")
        fail: str = field(
            "", label="Fail", help="enter: entering raises; leave: leaving raises; keep: the hook stays."
        )

    @contextmanager
    def patch(self, network):

        fails = {self.options(row).fail for row in self.rows if row}
        if "enter" in fails:
            raise RuntimeError("no adapter")
        part = network.module.model.layers[0].mlp.down_proj
        down, up = (matrix.to(part.weight) for matrix in adapter(*part.weight.shape))

        def add(module, inputs, output):
            if "forward" in fails:
                raise RuntimeError("wrong shape")
            weight = self.rows_column("weight", network.running).to(output.dtype)
            return output + weight[:, None, None] * (inputs[0] @ down @ up)

        handle = part.register_forward_hook(add)
        try:
            yield
        finally:
            if "keep" not in fails:
                handle.remove()
            if "leave" in fails:
                raise RuntimeError("stuck")


def adapter(outputs, inputs, rank=2):
    """A (inputs, rank) and B (rank, outputs), always the same."""
    import torch

    generator = torch.Generator().manual_seed(7)
    down = torch.randn(inputs, rank, generator=generator, dtype=torch.float64)
    up = torch.randn(rank, outputs, generator=generator, dtype=torch.float64)
    return down / inputs**0.5, up
