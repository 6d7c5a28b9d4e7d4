"""An extension for tests: slows model calls down, or makes them fail."""

import time

from webui import Command, Extension, Options, field


class Rehearsal(Extension):
    """Only for tests."""

    class Options(Options):
        seconds: float = field(0.0, ge=0, le=5, label="Seconds", help="Added to every model call.")
        calls: str = field("", label="Calls", help="A file that gets a byte for every model call.")
        fail: bool = field(False, label="Fail", help="Every model call raises.")

    @classmethod
    def commands(cls):
        return {
            "rehearse": Command("Only for tests.", _rehearse, lambda parser: parser.add_argument("--data"))
        }

    def denoise(self, canvas, model):
        for options in (self.options(row) for row in self.rows if row):
            if options.calls:
                with open(options.calls, "a") as stream:
                    stream.write(".")
            if options.fail:
                raise RuntimeError("as rehearsed")
        time.sleep(max((self.options(row).seconds for row in self.rows if row), default=0))
        return model(canvas)


def _rehearse(app, options):
    if options.data == "wrong":
        raise ValueError("This is wrong; say something else.")
    print(options.data, app.settings.data.name)
    return 3
