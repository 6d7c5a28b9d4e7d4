"""`python app.py`: makes the App and runs one command: `serve`, `generate`, or one of an extension."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from webui.application import App

INTERRUPTED = 130  # as a shell reports a program that Ctrl+C ended
PATIENCE = 2.0  # seconds that the worker gets to leave the device at the end


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit status is 0, 1 (it failed), 2 (the input is wrong) or 130 (Ctrl+C)."""
    from webui.cli.terminal import one_line
    from webui.core.errors import code_of

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # "?" for what the terminal cannot show
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        print(one_line(str(error)), file=sys.stderr)
        return 1 if code_of(error) in ("extension", "internal") else 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `generate ... | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def leave(status: int) -> NoReturn:
    """Ends the process at once: taking torch apart would take longer than many a command, and than Ctrl+C
    should."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(arguments: list[str]) -> int:
    from webui.application import App
    from webui.cli import flags
    from webui.cli.folders import model_folder
    from webui.cli.terminal import one_line

    settings = flags.settings_of(arguments)
    outside = model_folder(settings.model, settings)
    if outside is not None:
        settings = settings.model_copy(update={"model": outside.as_posix()})
    app, status, again = App(settings), INTERRUPTED, None
    try:
        if outside is not None:
            app.checkpoints.add(outside)
        parsed = flags.parse(app, arguments)
        if parsed.command == "serve":
            from webui.cli.serve import serve as run
        elif parsed.command == "generate":
            from webui.cli.generate import generate as run
        else:
            run = parsed.run
        if app.registry.failed and parsed.command in ("serve", "generate"):
            print(one_line(app.registry.sentence_of_failed()), file=sys.stderr)
        status = run(app, parsed)
        again = getattr(parsed, "again", None)
        sys.stdout.flush()
        return status
    finally:
        ended = _close(app)
        if again is not None:
            start_again(again)
        if not ended:
            os._exit(status)


def start_again(port: int) -> NoReturn:
    """Starts the program anew in the place of this process, by the same command and on this port."""
    command, flag = [sys.executable, *sys.orig_argv[1:]], ["--port", str(port)]
    if command[-2:] != flag:
        command += flag
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":  # where exec would give the terminal back
        os._exit(subprocess.call(command))
    os.execv(sys.executable, command)


def _close(app: App) -> bool:
    """Closes the App; whether it is closed within PATIENCE. A model call that lasts longer ends with the
    process."""
    closing = threading.Thread(target=app.close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    return not closing.is_alive()
