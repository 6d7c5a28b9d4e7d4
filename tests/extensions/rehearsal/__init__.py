"""An extension for tests: slows model calls down, makes them fail, raise what no hook should, or never return."""

import time

from webui import Command, Extension, Options, field


class Rehearsal(Extension):
    """Only for tests."""

    class Options(Options):
        seconds: float = field(0.0, ge=0, le=5, label="Seconds", help="Added to every model call.")
        calls: str = field("", label="Calls", help="A file that gets a byte for every model call.")
        fail: bool = field(False, label="Fail", help="Every model call raises.")
        raises: str = field("", label="Raises", help="SystemExit, KeyboardInterrupt, GeneratorExit or panic.")
        hook: str = field(
            "denoise", label="Hook", help="Where it raises or blocks: expand, prompt, marks or denoise."
        )
        spin: bool = field(False, label="Spin", help="Every model call runs Python code for ever.")
        block: str = field("", label="Block", help="It waits for a writer of this named pipe.")

    @classmethod
    def commands(cls):
        return {
            "rehearse": Command("Only for tests.", _rehearse, lambda parser: parser.add_argument("--data"))
        }

    @classmethod
    def expand(cls, request):
        options = cls.options(request)
        if options.raises and options.hook == "expand":
            _raise(options.raises)
        if options.block and options.hook == "expand":
            open(options.block).close()
        return None

    @classmethod
    def prompt(cls, row):
        options = cls.options(row)
        if options.raises and options.hook == "prompt":
            _raise(options.raises)
        return row

    @classmethod
    def marks(cls, typed):
        options = cls.options(typed.request)
        while options.spin and options.hook == "marks":
            _count(options)
            time.sleep(0.01)
        return ()

    def denoise(self, canvas, model):
        for options in (self.options(row) for row in self.rows if row):
            _count(options)
            if options.fail:
                raise RuntimeError("as rehearsed")
            if options.raises and options.hook == "denoise":
                _raise(options.raises)
            while options.spin and options.hook == "denoise":
                pass
            if options.block and options.hook == "denoise":
                open(options.block).close()
        time.sleep(max((self.options(row).seconds for row in self.rows if row), default=0))
        return model(canvas)


def _count(options):
    if options.calls:
        with open(options.calls, "a") as stream:
            stream.write(".")


def _raise(name):
    if name == "panic":
        from tokenizers import decoders

        decoders.Strip("a", 5, 5).decode(["a"])  # a real panic of a Rust library
    raise {
        "SystemExit": SystemExit,
        "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit,
    }[name]("as rehearsed")


def _rehearse(app, options):
    if options.data == "wrong":
        raise ValueError("This is wrong; say something else.")
    print(options.data, app.settings.data.name)
    return 3
