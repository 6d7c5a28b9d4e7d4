"""A process that has imported what a server imports, and forks for each server it is asked for: importing takes 7 s of
processor time, and most tests of a server are not about its start.

It gets over a socket [arguments, environment, folder, where the exit status goes] with the descriptors of standard
output and standard error, and answers with the new process's number.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import transformers

import webui.denoising.engine
import webui.http.api
import webui.page.page  # and gradio
from webui.cli.main import leave, main

PROGRAM = str(Path(__file__).resolve().parent.parent / "app.py")
PRELOADED = (transformers.LlamaForCausalLM, webui.denoising.engine, webui.http.api, webui.page.page)


def server(arguments: list[str], environment: dict[str, str], folder: str, out: int, errors: int) -> NoReturn:
    """The program as if it had been started by this command."""
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (errors, 2)):
        os.dup2(source, target)
        os.close(source)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, encoding="utf-8") for number in (1, 2))
    sys.argv, sys.orig_argv = [PROGRAM, *arguments], [sys.executable, PROGRAM, *arguments]
    leave(main(arguments))


def watched(order: list, out: int, errors: int, place: socket.socket) -> NoReturn:
    """Starts the server, says its number, and writes its exit status when it has ended."""
    *command, status = order
    pid = os.fork()
    if pid == 0:
        place.close()
        server(*command, out, errors)
    place.sendall(b"%d\n" % pid)
    place.close()
    os.close(out)
    os.close(errors)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    Path(f"{status}.new").write_text(str(code))
    os.rename(f"{status}.new", status)
    os._exit(0)


def run(place: socket.socket) -> None:
    while True:
        order, descriptors, *_ = socket.recv_fds(place, 1 << 20, 2)
        if not order:
            return
        if os.fork() == 0:
            watched(json.loads(order), *descriptors, place)
        for one in descriptors:
            os.close(one)
        os.wait3(os.WNOHANG)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    run(socket.socket(fileno=int(sys.argv[1])))
