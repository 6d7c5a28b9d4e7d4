"""The names that are offered before torch is imported are those of the table that acts."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from webui.core.names import CONFIDENCES, SAMPLERS, SCHEDULES


def test_the_names_are_those_of_the_table():
    from webui.denoising.samplers import BUILT_IN

    assert {name: sampler.about for name, sampler in BUILT_IN.samplers.items()} == dict(SAMPLERS)
    assert set(BUILT_IN.schedules) == set(SCHEDULES) and set(BUILT_IN.confidences) == set(CONFIDENCES)
    for about in (*SAMPLERS.values(), *SCHEDULES.values(), *CONFIDENCES.values()):
        assert about.endswith(".") and len(about) > 10


def test_the_page_and_the_api_are_built_without_torch(tmp_path):
    program = f"""
import sys
from pathlib import Path
from webui import App, Settings
from webui.http import api
from webui.page.page import mount
app = App(Settings(data=Path({str(tmp_path)!r})))
mount(app, api.build(app))
app.expand(app.Request(sampler="random"))
assert app.samplers() and app.checkpoints.list()
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done
