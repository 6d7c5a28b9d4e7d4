"""The command line: flags made from the fields of the settings, the request and the extensions' options."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from webui.application import App
from webui.cli import convert, download, extensions, families, selftest
from webui.cli.terminal import one_line
from webui.core.flags import flag, leaves
from webui.core.request import Request
from webui.settings import Settings

METAVARS = MappingProxyType({str: "TEXT", int: "N", float: "X", Path: "PATH"})
SETTING, REQUEST = "setting:", "request:"  # how the parsed arguments of both are told apart
OWN = MappingProxyType(
    {
        "selftest": (selftest.HELP, selftest.arguments, selftest.selftest),
        "convert": (convert.HELP, convert.arguments, convert.convert),
        "extensions": (extensions.HELP, extensions.arguments, extensions.extensions),
        "download": (download.HELP, download.arguments, download.download),
        "families": (families.HELP, families.arguments, families.families),
    }
)
EXAMPLES = """examples:
  app.py                                        the page, at http://127.0.0.1:7860
  app.py generate "dragon, cake" --count 3      three texts in the terminal
  app.py generate "a fox" --temperature 0.5 --seed 7 --json
                                                one text with everything that made it, as JSON
  app.py generate --model PATH "a fox"          with a checkpoint folder from anywhere
  app.py --api --host 0.0.0.0 --allowed-hosts my.host
                                                the API alone, for other machines
"""


class Parser(argparse.ArgumentParser):
    """argparse that takes no abbreviations and refuses in one sentence, status 2."""

    def __init__(self, **keywords: Any):
        super().__init__(allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        sentence = one_line(message[:1].upper() + message[1:]) + "."
        if "expected one argument" in message:
            sentence += " A value that begins with a dash is written --flag=-value."
        elif "unrecognized arguments: -" in message:
            sentence += (
                " A prompt that begins with a dash comes last, after --; the program's own flags, such as"
                " --data, stand before the command."
            )
        self.exit(2, f"{sentence} See {self.prog} --help.\n")


def settings_of(arguments: Sequence[str]) -> Settings:
    """The settings that these arguments make. Read before everything else: which extensions there are depends
    on them, and which flags on the extensions."""
    parser = Parser(parents=[_settings(), _serve()], add_help=False)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    first, _ = parser.parse_known_args(arguments)
    values = given(first, SETTING)
    if first.command[:1] in (["serve"], ["generate"]):  # an extension's command has flags of its own
        without = Request.model_fields if first.command[0] == "generate" else ()
        after, _ = _settings(without).parse_known_args(first.command[1:])
        values |= given(after, SETTING)
    folders = values.pop("models", None)
    if folders is not None:
        values |= {"models": folders[0], "more_models": tuple(folders[1:])}
    return Settings.read(**values)


def parse(app: App, arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of the whole command line of this App. `command` is its name, `run` what an extension's
    command runs."""
    shared = [_settings(), _serve()]
    parser = Parser(
        prog="app.py",
        description=f"Text Diffusion WebUI: texts from text diffusion models.\n\n{EXAMPLES}",
        epilog=one_line(app.registry.sentence_of_failed()) or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="app.py [flags] [COMMAND ...]",
        parents=shared,
    )
    parser.set_defaults(command="serve")
    commands = parser.add_subparsers(
        title="commands", prog="app.py", metavar="COMMAND", description="COMMAND --help lists its flags."
    )
    commands.add_parser("serve", help="the page and the API (the default)", parents=shared)
    settings = _settings(Request.model_fields)  # here --model is the request's
    generate = commands.add_parser("generate", help="write texts in the terminal", parents=[settings])
    generate.set_defaults(command="generate")
    generate.add_argument(
        "prompt", nargs="?", default="", help="what the text is about; - reads standard input"
    )
    generate.add_argument(
        "--json", action="store_true", help="print the whole result as JSON and nothing else"
    )
    _request(generate, app.Request)
    for name, (help, add, run) in OWN.items():
        own = commands.add_parser(name, help=help, description=help)
        own.set_defaults(command=name, run=run)
        add(own)
    for name, command in app.registry.commands.items():
        own = commands.add_parser(name, help=command.help, description=command.help)
        own.set_defaults(command=name, run=command.run)
        if name in arguments:  # an extension that fails here fails only its own command
            command.arguments(own)
    return parser.parse_args(arguments)


def given(parsed: argparse.Namespace, prefix: str) -> dict[str, Any]:
    """The values of the flags that were given and belong to the settings or the request."""
    return {
        name.removeprefix(prefix): value for name, value in vars(parsed).items() if name.startswith(prefix)
    }


def _settings(without: Iterable[str] = ()) -> Parser:
    parser = Parser(add_help=False)
    group = parser.add_argument_group("settings")
    for name, info in Settings.model_fields.items():
        if name == "models":
            group.add_argument(
                flag(name),
                dest=f"{SETTING}{name}",
                action="append",
                metavar="PATH",
                default=argparse.SUPPRESS,
                help=f"{info.description} May be repeated: what is made goes into the first.",
            )
        elif name not in (*without, "more_models"):
            _add(group, flag(name), f"{SETTING}{name}", info)
    return parser


def _serve() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("--api", action="store_true", help="serve the API without the page")
    return parser


def _request(parser: Parser, request: type[Request]) -> None:
    """One flag for every field of the request, and `--<extension>-<option>` for every option of an
    extension."""
    group = parser.add_argument_group("request")
    for name, info in request.model_fields.items():
        kind = info.annotation
        if name == "prompt":
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            own = parser.add_argument_group(info.title or name, info.description)
            for option, inner in kind.model_fields.items():
                _add(own, flag(name, option), f"{REQUEST}{name}.{option}", inner)
        else:
            _add(group, flag(name), f"{REQUEST}{name}", info)


def _add(parser: Any, name: str, dest: str, info: FieldInfo) -> None:
    """A flag that is absent from the parsed arguments unless it is given. Its value stays text: the model
    validates it."""
    help, kinds = info.description or "", leaves(info.annotation)
    if info.default not in (None, "", ()):
        help += f" Default: {info.default}."
    keywords: dict[str, Any] = {"dest": dest, "default": argparse.SUPPRESS, "help": help.replace("%", "%%")}
    if kinds == [bool]:
        keywords["action"] = argparse.BooleanOptionalAction
    elif kinds in ([tuple], [list]):
        keywords |= {"action": "append", "metavar": "TEXT", "help": keywords["help"] + " May be repeated."}
    elif all(isinstance(kind, str) for kind in kinds):
        keywords["metavar"] = "{" + ",".join(kinds) + "}"
    elif set(kinds) <= METAVARS.keys():
        keywords["metavar"] = METAVARS[kinds[0]]
    else:
        keywords |= {"type": json.loads, "metavar": "JSON"}
    parser.add_argument(name, **keywords)
