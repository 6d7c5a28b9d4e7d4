"""An extension for tests: writes down which texts take part in each model call, and refuses some of them."""

import os
import time

from webui import Extension, Options, field


class Counting(Extension):
    """Only for tests."""

    class Options(Options):
        log: str = field("", label="Log", help="A file that gets the seeds of each model call.", axis=False)
        seconds: float = field(0.0, ge=0, le=1, label="Seconds", help="Added to every call.", axis=False)
        refused: tuple[int, ...] = field(
            (), label="Refused", help="Seeds that fail while LOG.refuse exists.", axis=False
        )

    @classmethod
    def prompt(cls, row):
        options = cls.options(row)
        if row.request.seed in options.refused and os.path.exists(f"{options.log}.refuse"):
            raise ValueError("refused as asked.")
        return row

    def denoise(self, canvas, model):
        options = next(self.options(row) for row in self.rows if row)
        if options.log:
            seeds = [row.request.seed for row in (self.rows[i] for i in canvas.row.tolist()) if row]
            with open(options.log, "ab") as stream:
                stream.write(b" ".join(b"%d" % seed for seed in seeds) + b"\n")
        time.sleep(options.seconds)
        return model(canvas)
