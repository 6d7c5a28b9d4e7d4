"""Results as they are saved: those of earlier versions are read, and what is derived from tokens and trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webui.core.result import Result, replay
from webui.extension.registry import Registry
from webui.service.history.store import History
from webui.settings import ROOT

SAVED = Path(__file__).parent / "saved"


@pytest.mark.parametrize("path", sorted(SAVED.glob("*.json")), ids=lambda path: path.stem)
def test_results_of_earlier_versions_are_read(path, tmp_path):
    data = json.loads(path.read_text("utf-8"))["parts"][0]
    (tmp_path / path.stem).mkdir()
    (tmp_path / path.stem / f"{data['id']}.json").write_text(json.dumps(data), "utf-8")
    history = History(tmp_path, Registry(ROOT / "extensions").Request)
    result = history.get(data["id"])
    assert result is not None and (result.text, result.complete) == (data["text"], True)
    assert [list(change) for change in result.trace] == data["trace"]
    assert result.request.guidance.negative_prompt == "x" and result.request.unknown == {"gone": {"a": 1}}
    assert result.tokens == () and result.extras == {}
    with pytest.raises(ValueError, match="saved without its tokens"):
        replay(result, 1)
    saved_again = Result.model_validate_json(
        result.model_dump_json(exclude={"request"})[:-1] + ',"request":{}}'
    )
    assert saved_again.trace == result.trace
