"""The scripts of the page as one module."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.conftest import ROOT
from webui.page.bundle import bundle
from webui.page.frame import PAGE, PUBLIC, bundled

SCRIPTS = {
    "a/start.js": 'import "./side.js";\nimport { one as first, two } from "../b/parts.js";\n'
    'import * as all from "../b/parts.js";\n'
    'globalThis.said.push(first, two(), all.one);\nvoid import("../b/later.js").then(({ late }) => globalThis.said.push(late));',
    "a/side.js": 'globalThis.said = ["side"];',
    "a/public.js": 'export { one, two } from "../b/parts.js";',
    "b/parts.js": "export const one = 1;\nexport function two() {\n  return 2;\n}\nexport class Three {}",
    "b/later.js": 'import { one } from "./parts.js";\nexport const late = `late ${one}`;',
}


def test_scripts_run_once_in_the_order_of_their_imports(tmp_path):
    deno = shutil.which("deno") or ROOT / ".venv" / "bin" / "deno"
    module = tmp_path / "all.mjs"
    module.write_text(bundle(SCRIPTS, "a/start.js", "a/public.js"), "utf-8")
    main = tmp_path / "main.mjs"
    main.write_text(
        'import { one, two } from "./all.mjs";\nawait 0;\nconsole.log([...said, one, two()].join());', "utf-8"
    )
    run = subprocess.run([deno, "run", "--no-remote", main], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "side,1,2,1,late 1,1,2"


@pytest.mark.parametrize(
    ("scripts", "sentence"),
    [
        (
            {"b/parts.js": 'import "../a/start.js";'},
            "a/start.js imports b/parts.js imports a/start.js: scripts",
        ),
        ({"b/parts.js": "export default 1;"}, "b/parts.js: 'export default 1;' is not a form"),
        ({"a/side.js": 'import "./gone.js";'}, "a/side.js imports a/gone.js, which is not there"),
    ],
)
def test_what_cannot_be_put_together_is_named(scripts, sentence):
    with pytest.raises(ValueError, match=sentence):
        bundle({**SCRIPTS, **scripts}, "a/start.js", "a/public.js")


def test_the_pages_own_scripts_can_be_put_together():
    text = bundled()
    assert text.count("customElements.define") > 10 and "showError" in text.splitlines()[-1]
    assert PAGE in text and PUBLIC in text
