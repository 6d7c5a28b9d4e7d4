"""Training over HTTP and for the page: `POST /api/v1/extensions/training/<route>`. A run is the command
`finetune` in a process of its own; what is shown of it is read from the files beside its state, so that runs
that ended with the program, or were started in a terminal, are shown and gone on with too."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webui import write

from . import adapt
from .finetune import KINDS, NAME, RUN, Log, check_numbers

PREFIX = ".training-"
DATA = "data"  # the text that was sent, beside the state
SUFFIXES = (".txt", ".jsonl")
MOST = 256 << 20  # bytes of a text that is sent
SHOWN = 2000  # lines of a log
# what `start` takes besides the name, with the type of each and whether it has to be there
FIELDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "name": (str,),
        "kind": (str,),
        "path": (str,),
        "trigger": (str,),
        "steps": (int,),
        "model": (str,),
        "sample": (str,),
        "rank": (int,),
        "rate": (float, int),
        "every": (int,),
        "batch": (int,),
        "length": (int,),
    }
)
FLAGS = ("kind", "trigger", "steps", "model", "sample", "rank", "rate", "every", "batch", "length")


def upload(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """A piece of a text file: {"name" of what is trained, its "kind", "file": its own name, "text", "more":
    whether pieces came before}. To {"bytes"} that are there."""
    fields = {"name": (str,), "kind": (str,), "file": (str,), "text": (str,), "more": (bool,)}
    values = _checked(sent, fields, ("name", "text"))
    folder = _new_folder(app, values["name"], values.get("kind"))
    if _runs(app, values["name"]):
        raise ValueError(f"{values['name']} is being trained; stop it first.")
    suffix = Path(values.get("file", "")).suffix.lower() or ".txt"
    if suffix not in SUFFIXES:
        raise ValueError("Send a text (.txt) or lines of JSON (.jsonl).")
    file = folder / f"{DATA}{suffix}"
    data = values["text"].encode()
    if not values.get("more"):
        folder.mkdir(parents=True, exist_ok=True)
        for other in SUFFIXES:
            (folder / f"{DATA}{other}").unlink(missing_ok=True)
    elif not file.is_file():
        raise ValueError("The first piece of this text is missing; send it again.")
    if len(data) + (file.stat().st_size if file.is_file() else 0) > MOST:
        raise ValueError(f"The text has more than {MOST >> 20} MB.")
    with file.open("ab") as stream:
        stream.write(data)
    return {"bytes": file.stat().st_size}


def start(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Trains a LoRA "name", or what "kind" says, from the text that was sent, or from the file "path" of the
    server's machine; the other fields are the flags of `finetune`. A "model" among the autoregressive ones
    is adapted. To the run."""
    values = _checked(sent, FIELDS, ("name",))
    name, folder = values["name"], _new_folder(app, values["name"], values.get("kind"))
    if _made(app, name, values.get("kind")).exists():
        word = KINDS[values.get("kind") or "lora"].word
        raise ValueError(f"There is a {word} {name} already; choose another name.")
    if path := values.get("path"):
        if not _local(app.settings.host):
            raise ValueError(
                "Files of the server's machine are only read where it serves that machine alone."
            )
        data = Path(os.path.expanduser(path))
    else:
        found = [folder / f"{DATA}{suffix}" for suffix in SUFFIXES if (folder / f"{DATA}{suffix}").is_file()]
        if not found:
            raise ValueError("Choose a text to learn from.")
        data = found[0]
    if not data.is_file():
        raise ValueError(f"There is no file {data.name or data}.")
    flags = {key: values[key] for key in FLAGS if values.get(key) not in (None, "")}
    check_numbers(flags)
    if _adapts(flags) and values.get("kind") not in (None, "lora", "full"):
        raise ValueError("An autoregressive checkpoint learns to denoise as a LoRA or with every weight.")
    _start(app, name, {"data": str(data.resolve()), **flags}, folder)
    return _run(app, name)


def resume(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Goes on with a run that was stopped or killed, {"name"}."""
    name = _known(app, sent)
    folder = _folder(app, name)
    said = _said(folder)
    if not said:
        raise ValueError(f"What {name} was started with is not known any more; start it again.")
    _start(app, name, {key: value for key, value in said.items() if key != "out"}, folder)
    return _run(app, name)


def stop(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stops a run after its step, {"name"}; `resume` goes on from there."""
    name = _known(app, sent)
    if (command := app.background.get(_key(name))) is not None:
        command.stop()
    return _run(app, name)


def forget(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Removes what is kept of a run, {"name"}: its state, its log, the text that was sent. What was made
    stays."""
    name = _known(app, sent)
    if _runs(app, name):
        raise ValueError(f"{name} is being trained; stop it first.")
    shutil.rmtree(_folder(app, name))
    return runs(app, {})


def runs(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """{} to {"runs": those that there are, the last one first, "model": the default checkpoint, "paths":
    whether files of the server's machine are read, "kinds": what can be trained, "autoregressive": the
    checkpoints that are adapted}."""
    folders = [one for place in _places(app) for one in place.glob(f"{PREFIX}*") if one.is_dir()]
    found = sorted(folders, key=_time, reverse=True)
    names = [folder.name.removeprefix(PREFIX) for folder in found if (folder / RUN).is_file()]
    names += [n for folder in found if (n := folder.name.removeprefix(PREFIX)) not in names and _runs(app, n)]
    models = [entry.name for entry in app.checkpoints.list() if not entry.error]
    return {
        "runs": [_run(app, name, log=False) for name in names],
        "models": models,
        "model": app.settings.model,
        "autoregressive": adapt.found(app.settings.models),
        "kinds": [*KINDS],
        "paths": _local(app.settings.host),
    }


def run(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """{"name"} to the run with its log: losses, bounds and samples by step."""
    return _run(app, _known(app, sent))


ROUTES: Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]] = MappingProxyType(
    {
        "upload": upload,
        "start": start,
        "resume": resume,
        "stop": stop,
        "forget": forget,
        "runs": runs,
        "run": run,
    }
)


def _start(app: Any, name: str, flags: Mapping[str, Any], folder: Path) -> None:
    adapts = _adapts(flags)
    said = [
        f"--{key}={value}" for key, value in {**flags, "out": name}.items() if key != "model" or not adapts
    ]
    if adapts:
        said.insert(0, str(flags["model"]))
    if _runs(app, name):
        raise ValueError(f"{name} is being trained already.")
    write(folder / RUN, json.dumps({"out": name, **flags}, indent=2, ensure_ascii=False) + "\n")
    app.background.start(_key(name), "adapt" if adapts else "finetune", said)


def _run(app: Any, name: str, log: bool = True) -> dict[str, Any]:
    """A run: {"name", "kind", "model": the checkpoint that it is for, "state": running, stopped, done or
    failed, "error", "step", "steps", "without", "best", "ready": whether it made something}, and its log."""
    folder = _folder(app, name)
    lines, said = Log.lines(folder), _said(folder)
    command = app.background.get(_key(name))
    steps, step = said.get("steps", 0), max((line["step"] for line in lines), default=0)
    state = command.state if command is not None else "done" if steps and step >= steps else "stopped"
    if state == "done" and step < steps:
        state = "stopped"  # it ended when it was asked to
    bounds = [line["held_out"] for line in lines if "held_out" in line]
    made = {
        "name": name,
        "kind": said.get("kind") or "lora",
        "model": adapt.base_of(Path(said["model"]).name) if _adapts(said) else said.get("model") or "",
        "state": state,
        "error": command.error if command is not None and state == "failed" else "",
        "step": step,
        "steps": steps,
        "trigger": said.get("trigger", ""),
        "without": bounds[0] if bounds else None,
        "best": min(bounds) if bounds else None,
        "ready": _made(app, name, said.get("kind")).exists(),
    }
    return {**made, "log": lines[-SHOWN:]} if log else made


def _adapts(flags: Mapping[str, Any]) -> bool:
    return str(flags.get("model") or "").startswith(f"{adapt.PLACE}/")


def _key(name: str) -> str:
    return f"training {name}"


def _runs(app: Any, name: str) -> bool:
    command = app.background.get(_key(name))
    return command is not None and command.state == "running"


def _places(app: Any) -> list[Path]:
    """The folders of models that what is trained goes into; the one of LoRAs first."""
    return [app.settings.models / folder for folder in dict.fromkeys(kind.folder for kind in KINDS.values())]


def _made(app: Any, name: str, kind: str | None) -> Path:
    """The file or folder that a run makes."""
    one = KINDS[kind or "lora"]
    return app.settings.models / one.folder / f"{name}{one.suffix}"


def _folder(app: Any, name: str) -> Path:
    """The folder of a run's state, wherever it is; among the LoRAs if there is none. ValueError for what is
    no name."""
    if not NAME.fullmatch(name):
        raise ValueError(
            "A name has letters, digits, blanks, dots, + and -, begins with a letter or digit, and does not "
            "end in a blank or dot."
        )
    places = [place / f"{PREFIX}{name}" for place in _places(app)]
    return next((place for place in places if place.is_dir()), places[0])


def _new_folder(app: Any, name: str, kind: str | None) -> Path:
    """The folder that the state of a run of this kind has. ValueError if the name is taken by another
    kind."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind: choose {', '.join(KINDS)}.")
    there = _folder(app, name)
    folder = app.settings.models / KINDS[kind or "lora"].folder / there.name
    if there != folder and there.is_dir():
        if (there / RUN).is_file():
            raise ValueError(f"There is a training of {name} of another kind; choose another name.")
        shutil.rmtree(there)  # a text that was sent and never used
    return folder


def _known(app: Any, sent: Mapping[str, Any]) -> str:
    name = _checked(sent, {"name": (str,)}, ("name",))["name"]
    if not _folder(app, name).is_dir() and not _runs(app, name):
        raise ValueError(f"There is no training of {name}.")
    return name


def _said(folder: Path) -> dict[str, Any]:
    try:
        said = json.loads((folder / RUN).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _time(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _local(host: str) -> bool:
    """Whether a server at this address is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(
    sent: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]], needed: tuple[str, ...]
) -> dict[str, Any]:
    """What was sent, without fields that are null. ValueError."""
    for name, value in sent.items():
        if name not in fields:
            raise ValueError(f"There is no field {name!r}.")
        kinds = fields[name]
        if value is not None and (
            not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        ):
            raise ValueError(f"{name}: {'a text' if str in kinds else 'a number'} is expected.")
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{name}: contains half of a surrogate pair, which is not a character."
            ) from None
    values = {name: value for name, value in sent.items() if value is not None}
    for name in needed:
        if name not in values:
            raise ValueError(f"{name}: Field required.")
    return values
