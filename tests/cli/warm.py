"""A process that has imported everything and forks for each command it is told, so that one costs tenths of a
second.

Each line of standard input is {"arguments", "stdin", "stdout", "stderr", "environment"}: paths, a terminal's
among them. It prints the process's number, and, when that process has ended, its exit status.
"""

import json
import os
import sys

import transformers

import webui.denoising.engine
from webui.cli import main as cli

PRELOADED = (transformers.LlamaForCausalLM, transformers.PreTrainedTokenizerFast, webui.denoising.engine)


def child(order: dict) -> None:
    os.setsid()
    os.environ.update(order["environment"])
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if name == "stdin" else os.O_WRONLY | os.O_CREAT | os.O_NOCTTY
        os.dup2(os.open(order[name], flags), descriptor)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(descriptor, mode, encoding="utf-8") for descriptor, mode in enumerate(("r", "w", "w"))
    )
    try:
        status = cli.main(order["arguments"])
    except SystemExit as stop:
        status = stop.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        child(json.loads(line))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
