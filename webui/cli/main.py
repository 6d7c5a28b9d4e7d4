"""The commands: `serve`, `generate`, and what extensions bring. Flags are made from the settings' and the
request's fields."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from webui.cli.terminal import Live, Printer, one_line
from webui.core.options import validate
from webui.core.request import Request
from webui.settings import Settings

if TYPE_CHECKING:
    from webui.application import App

INTERRUPTED = 130  # as a shell reports a program that Ctrl+C ended
PATIENCE = 2.0  # seconds the worker gets to leave the device at the end
METAVARS = MappingProxyType({str: "TEXT", int: "N", float: "X", Path: "PATH"})


class Parser(argparse.ArgumentParser):
    """argparse that takes no abbreviations and refuses in one sentence, status 2."""

    def __init__(self, **keywords: Any):
        super().__init__(allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{one_line(message[:1].upper() + message[1:])}. See {self.prog} --help.\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit status is 0, 1 (it failed), 2 (the input is wrong) or 130 (Ctrl+C)."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except (ValueError, argparse.ArgumentError) as error:
        print(one_line(str(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `generate ... | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def leave(status: int) -> NoReturn:
    """Ends the process at once: taking torch apart would last longer than many a command, and than Ctrl+C
    should."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(arguments: list[str]) -> int:
    from webui.application import App

    app, status = App(_settings(arguments)), INTERRUPTED
    try:
        parsed = _parser(app).parse_args(arguments)
        status = parsed.run(app, parsed)
        sys.stdout.flush()
        return status
    finally:
        _close(app, status)


def _close(app: App, status: int) -> None:
    """Closes the App. A model call that lasts longer than anyone waits is left behind: the process ends under
    it."""
    closing = threading.Thread(target=app.close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    if closing.is_alive():
        os._exit(status)


def _settings(arguments: list[str]) -> Settings:
    """The settings these arguments make. Read before all else: extensions depend on them, and the flags on
    extensions."""
    flags = Parser(parents=[_settings_flags(), _serve_flags()], add_help=False)
    flags.add_argument("command", nargs=argparse.REMAINDER)
    first, _ = flags.parse_known_args(arguments)
    given = _given(first, "setting:")
    if first.command[:1] in (["serve"], ["generate"]):  # the flags of an extension's command are its own
        without = Request.model_fields if first.command[0] == "generate" else ()
        given |= _given(_settings_flags(without).parse_known_args(first.command[1:])[0], "setting:")
    return Settings.read(**given)


# -- flags ---------------------------------------------------------------------------------------------------


def _parser(app: App) -> Parser:
    """The whole command line of this App."""
    shared = [_settings_flags(), _serve_flags()]
    parser = Parser(
        prog="app.py", description="Text Diffusion WebUI: texts from text diffusion models.", parents=shared
    )
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", description="COMMAND --help tells its flags."
    )
    commands.add_parser("serve", help="the page and the API (the default)", parents=shared)
    settings = _settings_flags(Request.model_fields)  # here --model is the request's
    generate = commands.add_parser("generate", help="write texts in the terminal", parents=[settings])
    generate.set_defaults(run=_generate)
    generate.add_argument(
        "prompt", nargs="?", default="", help="what the text is about; - reads standard input"
    )
    generate.add_argument(
        "--json", action="store_true", help="print the whole result as JSON and nothing else"
    )
    _request_flags(generate, app)
    for extension in app.registry.extensions.values():
        for name, command in extension.commands().items():
            own = commands.add_parser(name, help=command.help, description=command.help)
            command.arguments(own)
            own.set_defaults(run=command.run)
    return parser


def _settings_flags(without: Iterable[str] = ()) -> Parser:
    parser = Parser(add_help=False)
    group = parser.add_argument_group("settings")
    for name, field in Settings.model_fields.items():
        if name not in without:
            _flag(group, name, f"setting:{name}", field)
    return parser


def _serve_flags() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("--api", action="store_true", help="serve the API without the page")
    return parser


def _request_flags(parser: Parser, app: App) -> None:
    """One flag for every field of the request, and `--<extension>-<field>` for every option of an
    extension."""
    group = parser.add_argument_group("request")
    for name, field in app.Request.model_fields.items():
        kind = field.annotation
        if name == "prompt":
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            own = parser.add_argument_group(field.title or name, field.description)
            for option, inner in kind.model_fields.items():
                _flag(own, f"{name}-{option}", f"request:{name}.{option}", inner)
        else:
            _flag(group, name, f"request:{name}", field)


def _flag(parser: Any, name: str, dest: str, field: FieldInfo) -> None:
    """`--name`, absent from the parsed arguments unless it is given. Its value stays text: the model
    validates it."""
    help, leaves = field.description or "", _leaves(field.annotation)
    if field.default not in (None, "", ()):
        help += f" Default: {field.default}."
    keywords: dict[str, Any] = {"dest": dest, "default": argparse.SUPPRESS, "help": help.replace("%", "%%")}
    if leaves == [bool]:
        keywords["action"] = argparse.BooleanOptionalAction
    elif leaves in ([tuple], [list]):
        keywords |= {"action": "append", "metavar": "TEXT", "help": keywords["help"] + " May be repeated."}
    elif all(isinstance(leaf, str) for leaf in leaves):
        keywords["metavar"] = "{" + ",".join(leaves) + "}"
    elif set(leaves) <= METAVARS.keys():
        keywords["metavar"] = METAVARS[leaves[0]]
    else:
        keywords |= {"type": json.loads, "metavar": "JSON"}
    parser.add_argument(f"--{name.replace('_', '-')}", **keywords)


def _leaves(kind: Any) -> list[Any]:
    """The types, or the values of a Literal, that an annotation allows besides None."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return [leaf for part in get_args(kind) for leaf in _leaves(part)]
    if origin is Annotated:
        return _leaves(get_args(kind)[0])
    if origin is Literal:
        return list(get_args(kind))
    return [] if kind is type(None) else [origin or kind]


def _given(parsed: argparse.Namespace, prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in vars(parsed).items() if name.startswith(prefix)
    }


# -- serve ---------------------------------------------------------------------------------------------------


def _serve(app: App, parsed: argparse.Namespace) -> int:
    from webui.http import api, server

    app.history.sweep()
    http = api.build(app)
    if not parsed.api:
        from webui.page.page import mount

        mount(app, http)
    listener = server.listen(app.settings.host, app.settings.port)
    url = server.address(app.settings.host, listener)

    def ready() -> None:
        print(f"Text Diffusion WebUI: {url}", flush=True)

    def stop() -> None:
        for job in app.queue.all():
            job.cancel()

    server.Server(http, ready, stop).run([listener])
    return 0


# -- generate ------------------------------------------------------------------------------------------------


def _generate(app: App, parsed: argparse.Namespace) -> int:
    job = app.queue.submit(validate(app.Request, _request(parsed)))
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
    for error in dict.fromkeys([job.error] if job.state == "failed" else printer.errors):
        print(one_line(error), file=sys.stderr)
    return INTERRUPTED if interrupted else 1 if job.state == "failed" or printer.errors else 0


def _request(parsed: argparse.Namespace) -> dict[str, Any]:
    """The request that the flags and standard input make, not validated."""
    values: dict[str, Any] = {"prompt": parsed.prompt}
    if parsed.prompt == "-":
        try:
            values["prompt"] = sys.stdin.buffer.read().decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise ValueError("Standard input is not text in UTF-8.") from None
    for path, value in _given(parsed, "request:").items():
        name, _, option = path.partition(".")
        if option:
            values.setdefault(name, {})[option] = value
        else:
            values[name] = value
    return values
