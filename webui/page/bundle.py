"""All scripts of the page as one module, so that a browser asks for one file instead of sixty. No build step:
the server puts them together as they are.

Each script becomes a function that runs once and returns what it exports; its imports become constants. So
scripts may import in every form that `_IMPORT`, `_AGAIN` and `_LATER` know, export functions, classes and
constants, and must not import each other in a circle. A script that breaks this is refused here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

_IMPORT = re.compile(r'^import (?:(?:\{([^}]*)\}|\* as (\w+)) from )?"([^"]+)";$', re.MULTILINE)
_AGAIN = re.compile(r'^export \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*? |class |const )(\w+))", re.MULTILINE)
_LATER = re.compile(r'\bimport\("([^"]+)"\)(?!\.[A-Z])')  # no type in a comment
_OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def bundle(scripts: Mapping[str, str], start: str, public: str) -> str:
    """One module that runs `start` and everything it imports, and exports what the script `public` does.
    `scripts` are the sources by path. ValueError names a script that cannot be put together."""
    order: list[str] = []
    for name in (start, public):
        _visit(name, scripts, order, ())
    numbers = {name: f"$module{i}" for i, name in enumerate(order)}
    parts = [
        f"// {name}\nconst {numbers[name]} = {_function(name, scripts[name], numbers)};" for name in order
    ]
    names = _exported(public, scripts[public])
    offered = ", ".join(f"{name} = {numbers[public]}.{name}" for name in names)
    return "\n".join([*parts, *([f"export const {offered};"] if offered else [])])


def _visit(name: str, scripts: Mapping[str, str], order: list[str], above: tuple[str, ...]) -> None:
    """Appends a script to `order` behind everything it imports."""
    if name in order:
        return
    if name in above:
        raise ValueError(
            f"{' imports '.join((*above[above.index(name) :], name))}: scripts import in a circle."
        )
    if name not in scripts:
        raise ValueError(f"{above[-1] if above else 'the page'} imports {name}, which is not there.")
    for other in _imports(name, scripts[name]):
        _visit(other, scripts, order, (*above, name))
    order.append(name)


def _imports(name: str, text: str) -> Iterator[str]:
    for pattern, place in ((_IMPORT, 3), (_AGAIN, 2), (_LATER, 1)):
        for found in pattern.finditer(text):
            yield _path(name, found[place])


def _function(name: str, text: str, numbers: Mapping[str, str]) -> str:
    """The script as a call of a function that returns its exports."""

    def imported(found: re.Match[str]) -> str:
        names, whole, other = found.groups()
        taken = whole or (names and "{" + names.replace(" as ", ": ") + "}")
        return f"const {taken} = {numbers[_path(name, other)]};" if taken else ""

    exported = ", ".join(_exported(name, text))
    again = "\n".join(
        f"const {{{found[1]}}} = {numbers[_path(name, found[2])]};" for found in _AGAIN.finditer(text)
    )
    text = _EXPORT.sub("", _AGAIN.sub("", _IMPORT.sub(imported, text)))
    text = _LATER.sub(lambda found: f"Promise.resolve({numbers[_path(name, found[1])]})", text)
    if left := _OTHER.search(text):
        raise ValueError(
            f"{name}: {left[0][:100]!r} is not a form of import or export that can be put together."
        )
    return f"(() => {{\n{text}\n{again}\nreturn {{ {exported} }};\n}})()"


def _exported(name: str, text: str) -> list[str]:
    """The names that a script exports."""
    again = [one.strip() for found in _AGAIN.finditer(text) for one in found[1].split(",") if one.strip()]
    if renamed := next((one for one in again if " " in one), None):
        raise ValueError(f"{name}: exports {renamed!r} under another name.")
    return [*(found[1] for found in _EXPORT.finditer(text)), *again]


def _path(name: str, other: str) -> str:
    """The path of a script that another one imports."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), other))
