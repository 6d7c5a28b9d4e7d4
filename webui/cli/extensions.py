"""The command `extensions`: add, update, pin and remove those of third parties, and begin one of your own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from webui.application import App
from webui.cli.terminal import one_line
from webui.service.installing.installer import Plan
from webui.service.installing.lock import Locked

HELP = "add, update and remove extensions, or begin one"
RUNS = (
    "Its code will run with your rights: it can read, change and send everything that you can. Add only what "
    "you trust."
)
RESTART = "It takes effect at the next start."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions and their flags."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    actions.add_parser("list", help="all extensions, and those that did not load")
    order = actions.add_parser("order", help="in which order the extensions' hooks act")
    order.add_argument("hook", nargs="?", default="", help="one hook; all by default")
    add = actions.add_parser("add", help="add one from a git address, an archive or a folder")
    add.add_argument("source", help="a git address, a .zip or .tar archive (https:// or a file), or a folder")
    add.add_argument("--ref", default="", help="branch, tag or commit of a git repository")
    update = actions.add_parser("update", help="update one, or all that are not pinned")
    update.add_argument("name", nargs="?", default="", help="the extension; all by default")
    update.add_argument("--back", action="store_true", help="go back to the version before")
    pin = actions.add_parser("pin", help="keep a version: it is not updated")
    pin.add_argument("name")
    pin.add_argument("commit", nargs="?", default="", help="another commit; by default the one in use")
    pin.add_argument("--release", action="store_true", help="update it again")
    for action, about in (
        ("remove", "delete an installed one"),
        ("enable", "load it again"),
        ("disable", "keep it, but do not load it"),
    ):
        actions.add_parser(action, help=about).add_argument("name")
    for one in (add, update, pin):
        one.add_argument("--yes", action="store_true", help="do not ask")
    new = actions.add_parser("new", help="write a new extension with its test, to begin with")
    new.add_argument("name", help="an identifier, such as rhymes")
    new.add_argument(
        "--in", dest="place", type=Path, default=Path(), help="where its folder is made; here by default"
    )
    check = actions.add_parser("check", help="try an extension with samplers, batches and other extensions")
    check.add_argument("folder", type=Path)
    check.add_argument(
        "--refuses", action="append", default=[], help="a case that it refuses; may be repeated"
    )


def extensions(app: App, parsed: argparse.Namespace) -> int:
    """Runs one of the actions; the exit status."""
    return ACTIONS[parsed.action](app, parsed)


def _list(app: App, parsed: argparse.Namespace) -> int:
    locked = app.installer.lock().extensions
    lines = [("EXTENSION", "VERSION", "FROM", "STATE")]
    for name in sorted({*app.registry.extensions, *app.registry.failed, *locked}):
        one, found = locked.get(name), app.registry.origins.get(name)
        state = "loaded" if name in app.registry.extensions else "not loaded"
        if one is not None and not one.enabled:
            state = "disabled"
        if one is not None and one.pinned:
            state += ", pinned"
        place = one.address if one else "built-in" if found and found.origin == "built-in" else ""
        if found and found.origin == "folder":
            place = str(found.folder)
        lines.append((name, _version(one) if one else app.registry.versions.get(name, ""), place, state))
    _table(lines)
    return 0


def _order(app: App, parsed: argparse.Namespace) -> int:
    lines = app.registry.order_table(parsed.hook)
    if parsed.hook and not lines:
        raise ValueError(f"No extension has a hook {parsed.hook}.")
    _table([("HOOK", "ORDER"), *((hook, " > ".join(names)) for hook, names in lines)])
    return 0


def _add(app: App, parsed: argparse.Namespace) -> int:
    return _carry_out(app, app.installer.look(parsed.source, parsed.ref), parsed.yes)


def _update(app: App, parsed: argparse.Namespace) -> int:
    if parsed.back:
        if not parsed.name:
            raise ValueError("Name the extension that goes back to its version before.")
        locked = app.installer.back(parsed.name)
        print(f"{parsed.name} is {_version(locked)} again, and pinned. {RESTART}")
        return 0
    every = app.installer.lock().extensions
    status = 0
    for name in [parsed.name] if parsed.name else [name for name, one in every.items() if not one.pinned]:
        plan = app.installer.update(name)
        if plan is None:
            print(f"{name} is up to date.")
        else:
            status = _carry_out(app, plan, parsed.yes) or status
    return status


def _pin(app: App, parsed: argparse.Namespace) -> int:
    if parsed.commit:
        return _carry_out(app, app.installer.pin_plan(parsed.name, parsed.commit), parsed.yes)
    locked = app.installer.change(parsed.name, pinned=not parsed.release)
    print(f"{parsed.name} {_version(locked)} is {'no longer ' if parsed.release else ''}pinned.")
    return 0


def _remove(app: App, parsed: argparse.Namespace) -> int:
    locked = app.installer.remove(parsed.name)
    print(f"{parsed.name} is removed. Saved texts keep its options. {RESTART}")
    if locked.packages:
        print(f"Packages that came with it stay: {', '.join(locked.packages)}.")
    return 0


def _enable(app: App, parsed: argparse.Namespace) -> int:
    app.installer.change(parsed.name, enabled=parsed.action == "enable")
    print(f"{parsed.name} is {parsed.action}d. {RESTART}")
    return 0


def _new(app: App, parsed: argparse.Namespace) -> int:
    from webui.cli.new_extension import write_template

    folder = write_template(parsed.name, parsed.place, [*app.registry.extensions, *app.registry.failed])
    print(f"Written: {folder}")
    print(f"  try it:   python app.py --extensions {folder}")
    print(f"  test it:  python -m pytest {folder}")
    return 0


def _check(app: App, parsed: argparse.Namespace) -> int:
    from webui.testing import check  # cli is below testing; only this command needs it

    try:
        check(parsed.folder, refuses=parsed.refuses)
    except AssertionError as error:
        print(one_line(str(error)), file=sys.stderr)
        return 1
    print("It keeps the contract.")
    return 0


def _carry_out(app: App, plan: Plan, yes: bool) -> int:
    """Shows a plan, asks, and carries it out."""
    for line in told(plan):
        print(one_line(line))
    if not yes:
        if not sys.stdin.isatty():
            app.installer.cancel(plan.id)
            print("Nobody can be asked here; add --yes to agree.", file=sys.stderr)
            return 2
        if input("Add it? [y/N] ").strip().lower() not in ("y", "yes"):
            app.installer.cancel(plan.id)
            print("Nothing was changed.")
            return 1
    locked = app.installer.add(plan.id)
    print(f"{plan.name} {_version(locked)} is there. {RESTART}")
    return 0


def told(plan: Plan) -> list[str]:
    """A plan in lines."""
    manifest, new = plan.manifest, plan.instead is None
    lines = [
        f"{plan.name} {manifest.version}{'' if new else f', instead of {_version(plan.instead)}'}",
        f"  about         {manifest.description}" if manifest.description else "",
        f"  from          {plan.source.address}",
        f"  {'commit' if plan.source.kind == 'git' else 'digest'}        {plan.revision}",
        f"  licence       {manifest.licence or 'none named'}",
        f"  home          {manifest.home}" if manifest.home else "",
        f"  requirements  {', '.join(manifest.requirements) or 'none'}",
    ]
    if plan.packages:
        news = ", ".join(f"{name} {version}" for name, version in plan.packages.items())
        lines.append(f"  installs      {news}")
    return [*filter(None, lines), *plan.notes, RUNS]


def _version(locked: Locked | None) -> str:
    return f"{locked.current.version} ({locked.current.revision[:12]})" if locked else ""


def _table(lines: list[tuple[str, ...]]) -> None:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print(one_line("  ".join(f"{text:{size}}" for text, size in zip(line, widths, strict=True)).rstrip()))


ACTIONS = {
    "list": _list,
    "order": _order,
    "add": _add,
    "update": _update,
    "pin": _pin,
    "remove": _remove,
    "enable": _enable,
    "disable": _enable,
    "new": _new,
    "check": _check,
}
