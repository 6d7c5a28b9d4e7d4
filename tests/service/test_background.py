"""Commands that a server runs beside itself."""

from __future__ import annotations

from tests.conftest import wait_until
from webui.service.background import Background
from webui.settings import Settings


def test_nothing_stays_open_of_a_command_that_ended_by_itself(tmp_path):
    background = Background(Settings(data=tmp_path))
    command = background.start("a", "no such command", [])
    wait_until(lambda: command.state == "failed")
    process = command._process
    assert process.stdin.closed and process.stdout.closed and process.stderr.closed
    assert command.error
    background.close()
