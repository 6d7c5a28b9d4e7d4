"""The command `generate`: texts on standard output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from webui.application import App
from webui.cli.flags import REQUEST, given
from webui.cli.folders import model_folder
from webui.cli.terminal import Live, Printer, one_line
from webui.core.options import validate

INTERRUPTED = 130  # as a shell reports a program that Ctrl+C ended


def generate(app: App, parsed: argparse.Namespace) -> int:
    """Runs one request and prints its texts; the exit status."""
    values = _request(parsed)
    outside = model_folder(values.get("model"), app.settings)
    if outside is not None:
        values["model"] = app.checkpoints.add(outside)
    job = app.queue.submit(validate(app.Request, values))
    terminal = sys.stdout.isatty()
    paint = terminal and not parsed.json and os.environ.get("TERM") != "dumb"
    printer = Printer(job, Live(sys.stdout) if paint else None, quiet=parsed.json, clean=terminal)
    subscription, interrupted = job.subscribe(), False
    try:
        try:
            for update in subscription.updates():
                printer.take(update)
        except KeyboardInterrupt:
            interrupted = True
            job.cancel()
            while not job.wait(0.2):  # the model call that runs; a second Ctrl+C does not wait for it
                pass
            printer.take(subscription.read() or {"cells": {}})
    finally:
        printer.close()
    if parsed.json and job.result is not None and job.state != "failed":
        # Escapes keep this safe on every terminal and in every encoding.
        print(json.dumps(job.result.model_dump(mode="json")))
    for error in dict.fromkeys([job.error or ""] if job.state == "failed" else printer.errors):
        print(one_line(error), file=sys.stderr)
    return INTERRUPTED if interrupted else 1 if job.state == "failed" or printer.errors else 0


def _request(parsed: argparse.Namespace) -> dict[str, Any]:
    """The request that the flags and standard input make, not validated."""
    values: dict[str, Any] = {"prompt": _standard_input() if parsed.prompt == "-" else parsed.prompt}
    for path, value in given(parsed, REQUEST).items():
        name, _, option = path.partition(".")
        if option:
            values.setdefault(name, {})[option] = value
        else:
            values[name] = value
    return values


def _standard_input() -> str:
    """Standard input without the byte-order mark that editors and the line end that pipes add."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("Standard input is not text in UTF-8.") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
