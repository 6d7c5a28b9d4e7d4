"""For tests of extensions, and for nothing else: `from webui import testing`.

Parts of an extension are tried on rows and canvases that are made by hand, without a checkpoint:

    Quiet = testing.load(FOLDER)
    row = Quiet.prompt(testing.row(Quiet, prompt="a fox", quiet={"strength": 3}))
    link = testing.FakeLink(["a", "fox", "!"])
    logits = Quiet([row]).denoise(testing.canvas(["a", None, None], link), link)

The whole of it runs in a program around a tiny random checkpoint, with the built-in extensions:

    with testing.program(tmp_path, extensions=[FOLDER]) as app:
        result = testing.write(app, prompt="a fox", quiet={"strength": 3})

and `testing.check(FOLDER, quiet={"strength": 3})` crosses it with samplers, batches and other extensions.
torch is imported when it is needed.
"""

from __future__ import annotations

from webui.testing.contract import check
from webui.testing.fakes import FakeLink, canvas, row
from webui.testing.whole import cells, load, program, tiny_checkpoint, write

__all__ = ["FakeLink", "canvas", "cells", "check", "load", "program", "row", "tiny_checkpoint", "write"]
