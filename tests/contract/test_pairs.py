"""Every two extensions together, those of tests/extensions too: one for each hook. What a user was promised holds for
each pair: same seed, same text; alone as in a batch; again from what was saved."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from tests.adapter_files import for_tiny_checkpoints
from tests.contract import EXTENSIONS
from tests.contract.program import cells, finished, program, texts
from webui.settings import ROOT

TESTED = {
    "low_rank": {"low_rank": {"weight": 0.7}},  # patch
    "remasker": {"sampler": "remasker", "remasker": {"eta": 0.5}},  # samplers
    "word_count": {"word_count": {"on": True}},  # finish
}
ACTING = {**{name: fields for name, fields in EXTENSIONS.items() if fields}, **TESTED}
LORA = " <lora:tiny:0.5>"
SCHEDULE, PLAIN = "[cat:dog in the rain:0.3]", "cat"
CHOICE, CHOICES = "{dog|fox}", re.compile(r"\{[^}]*\}")
TOGETHER = {
    ("infill", "prompt_matrix"): {"prompt": "a ____ cat | in [[...3]] rain"},
    ("infill", "prompt_schedule"): {
        "prompt": "a ____ cat in [[...9]] rain",
        "infill": {"about": f"a {SCHEDULE}"},
    },
    ("infill", "prompt_and"): {
        "prompt": "a ____ cat in [[...9]] rain",
        "infill": {"about": "a cat AND in the rain"},
    },
    ("prompt_and", "prompt_matrix"): {"prompt": "a cat AND in rain | at night"},
    ("prompt_and", "prompt_schedule"): {"prompt": f"a {SCHEDULE} AND in the rain"},
    ("prompt_matrix", "prompt_schedule"): {"prompt": f"a {SCHEDULE} | in rain"},
    ("emphasis", "lora"): {"prompt": f"a (cat{LORA}:3)"},
    ("infill", "lora"): {"prompt": f"a ____ cat{LORA} in [[...3]] rain"},
    ("lora", "prompt_and"): {"prompt": f"a cat AND in the rain{LORA}"},
    ("lora", "prompt_matrix"): {"prompt": f"a cat | in{LORA} rain"},
    ("lora", "wildcards"): {"prompt": f"a {{cat|dog|fox}} in {{rain|snow}}{LORA}"},
    ("lora", "prompt_schedule"): {"prompt": f"a {SCHEDULE}{LORA}"},
    ("constraints", "emphasis"): {"constraints": {"regex": "[^0-9]+"}},
    ("constraints", "infill"): {"prompt": "a ____ cat in [[...3]] rain"},
    ("emphasis", "infill"): {"prompt": "a ____ cat in [[...9]] rain", "infill": {"about": "a (cat:3)"}},
    ("emphasis", "prompt_and"): {"prompt": "a (cat:3) AND in the (rain:0)"},
    ("emphasis", "prompt_matrix"): {"prompt": "a (cat:3) | in (rain:0.5)"},
    ("emphasis", "prompt_schedule"): {"prompt": f"a ({SCHEDULE}:3)"},
    ("infill", "wildcards"): {"prompt": "a ____ cat in [[...9]] rain", "infill": {"about": f"a {CHOICE}"}},
    ("emphasis", "styles"): {"prompt": "a (cat:5) in (rain:0)"},
    ("emphasis", "wildcards"): {"prompt": f"a ({CHOICE}:5) in (rain:0)"},
    ("prompt_and", "wildcards"): {"prompt": f"a {CHOICE} AND in the rain"},
    ("prompt_matrix", "wildcards"): {"prompt": f"a {CHOICE} | in rain"},
    ("prompt_schedule", "wildcards"): {"prompt": f"a {SCHEDULE} {CHOICE}"},
}
WARM = {"prompt": "a cat", "temperature": 0.9, "steps": 6, "length": 10, "seed": 3}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("pairs")
    (folder / "extensions").mkdir()
    for path in [
        *(ROOT / "extensions").iterdir(),
        *(ROOT / "tests" / "extensions" / name for name in TESTED),
    ]:
        if (path / "__init__.py").is_file():
            (folder / "extensions" / path.name).symlink_to(path)
    for_tiny_checkpoints(folder / "models")
    app = program(folder, folder / "extensions", dtype="float64")
    assert not app.registry.failed
    yield app
    app.close()


def made(app, fields):
    result = finished(app, app.Request(**fields))
    assert all(part.error is None and part.complete for part in cells(result)), [
        p.error for p in cells(result)
    ]
    return result


@pytest.mark.parametrize("pair", list(combinations(ACTING, 2)), ids="+".join)
def test_two_extensions_go_together(app, pair):
    first, second = (ACTING[name] for name in pair)
    fields = {**WARM, **first, **second, **TOGETHER.get(tuple(sorted(pair)), {})}
    result = made(app, fields)
    beside = made(app, {**fields, "count": 2})
    assert texts(beside)[:1] == texts(result)[:1], "as in a batch with others"
    for name in pair:
        alone = made(app, {**fields, **_without(app, name, fields)})
        assert name == "word_count" or texts(alone) != texts(result), f"{name} acts beside the other"
    for part in cells(result):
        assert ("word_count" in part.extras) == ("word_count" in pair)
        again, unknown = app.Request.read(app.history.get(part.id).model_dump_json())
        assert not unknown and texts(made(app, dict(again))) == [part.text], "the same seed, alone"


def _without(app, name: str, fields: dict) -> dict:
    """What turns an extension off, its prompt included."""
    if name == "lora":
        return {"prompt": fields["prompt"].replace(LORA, "")}
    if name == "prompt_schedule":
        about = fields.get("infill", {}).get("about", "").replace(SCHEDULE, PLAIN)
        infill = {"infill": {"about": about}} if about else {}
        return {"prompt": fields["prompt"].replace(SCHEDULE, PLAIN), **infill}
    if name == "wildcards":
        about = fields.get("infill", {}).get("about", "")
        return {
            "prompt": CHOICES.sub("horse", fields["prompt"]),
            "infill": {"about": CHOICES.sub("horse", about)},
        }
    plain = {"prompt": "a cat | in rain"} if name == "infill" else {}
    plain |= {"prompt": "a ____ cat in [[...3]] rain"} if name == "prompt_matrix" else {}
    plain |= {"sampler": None} if "sampler" in ACTING[name] else {}
    return {**plain, name: app.registry.extensions[name].Options()}
