"""`python -m webui.cli.child COMMAND ...`: a command of the program that a server runs beside itself. When
its standard input ends, because the server asks for it or is gone, it ends as on Ctrl+C."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading

from webui.cli.main import INTERRUPTED, leave, main

PATIENCE = 50.0  # seconds to end by itself


def _watch() -> None:
    while os.read(0, 1024):
        pass
    _thread.interrupt_main(signal.SIGINT)
    threading.Event().wait(PATIENCE)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is loaded, which a command does
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a server's jobs may ignore it
    threading.Thread(target=_watch, daemon=True).start()
    leave(main(sys.argv[1:]))
