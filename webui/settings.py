"""What the operator sets: folders, device, port, what is saved, how the page looks. Frozen.

Read at the start from a file and the command line. What may be changed while the program runs makes another
Settings.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from tomlkit.exceptions import TOMLKitError

from webui.core.atomic import read, write
from webui.core.errors import Forbidden

ROOT = Path(__file__).resolve().parent.parent
PATH = r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)?$"  # of a field of the request
NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"  # of an extension
Acts = Literal["now", "restart", "file"]


class OnlyInFile(Forbidden):
    """A setting that cannot be changed while the program runs; the message is a sentence."""


def setting(default: Any, description: str, acts: Acts = "file", **bounds: Any) -> Any:
    """A setting. `acts`: `now` or `restart`, if it can be changed while the program runs and takes effect at
    once or after a restart; `file`, if it can only be changed there, because it gives access to other
    folders, other networks, or all of the machine."""
    return Field(default, description=description, json_schema_extra={"acts": acts}, **bounds)


class Settings(BaseModel):
    """All settings. Each has a default that works on a new machine; `settings.toml` in the data folder
    overrides it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = setting("127.0.0.1", "Address to listen on. Only 127.0.0.1 keeps other machines out.")
    port: int = setting(7860, "Port of page and API; the next free one is taken, with 0 any.", ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = setting((), "Host names accepted besides the address itself.")
    models: Path = setting(ROOT / "models", "Folder of the weights.")
    more_models: tuple[Path, ...] = setting((), "Further folders of weights, whose checkpoints are used too.")
    built_in: Path = setting(ROOT / "extensions", "Folder of the built-in extensions.")
    extensions: tuple[Path, ...] = setting(
        (), "Folders of further extensions, or of one extension each, beside the built-in ones."
    )
    add_extensions: bool = setting(
        True, "Whether page and API may add extensions, while no other machine can reach them."
    )
    safe_mode: bool = setting(False, "Whether only the built-in extensions are loaded.")
    data: Path = setting(ROOT / "data", "Folder of history and settings.toml.")
    model: str = setting(
        "storyteller", "Checkpoint that is used when a request names none.", "restart", max_length=200
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", "Where models run.", "restart")
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = setting(
        "auto", "Precision of the weights: auto is float32 on a CPU, bfloat16 on a GPU.", "restart"
    )
    quantize: Literal["none", "int8", "fp8", "nf4"] = setting(
        "none",
        "Weights in 8 or 4 bits: less memory, nearly the same texts. int8 and fp8 need torchao, nf4 needs "
        "bitsandbytes.",
        "restart",
    )
    preload: bool = setting(True, "Whether the checkpoint is loaded as soon as the server is up.", "restart")
    memory_budget: float = setting(
        0.0,
        "Gigabytes that the weights of several checkpoints may take together; 0: one stays in memory.",
        ge=0,
        le=1e6,
    )
    unload_after: int = setting(
        0, "Minutes without work after which checkpoints are unloaded; 0: never.", "restart", ge=0, le=100_000
    )
    threads: int = setting(
        0, "CPU threads of a forward pass; 0: measured for the loaded checkpoint.", ge=0, le=1024
    )
    downloads: bool = setting(True, "Whether page and API may download checkpoints.")
    batch_rows: int = setting(0, "Rows of one forward pass; 0: 16 on a CPU, 64 on a GPU.", ge=0, le=4096)
    max_cells: int = setting(20_000, "Cells that one request may expand to.", ge=1)
    max_queue: int = setting(64, "Jobs that may wait.", ge=1)
    max_body: int = setting(1 << 20, "Bytes of a request body that the API accepts.", ge=1024)
    keep_history: bool = setting(True, "Whether results are written to the data folder.", "now")
    keep_jobs: bool = setting(True, "Whether a job goes on when the page that started it is closed.", "now")
    language: Literal["auto", "en", "de"] = setting(
        "auto", "Language of the page; auto: the browser's.", "now"
    )
    theme: Literal["auto", "light", "dark"] = setting(
        "auto", "Light or dark page; auto: as the machine is set.", "now"
    )
    palette: Literal["standard", "colour-blind"] = setting("standard", "Colours of the canvas.", "now")
    quick_settings: tuple[Annotated[str, Field(pattern=PATH, max_length=100)], ...] = setting(
        ("temperature", "length", "count"),
        "Fields at the top of the page: temperature, or for an extension's option extension.option.",
        "now",
        max_length=20,
    )
    disabled: tuple[Annotated[str, Field(pattern=NAME, max_length=60)], ...] = setting(
        (), "Extensions that are not loaded, by name.", "restart", max_length=1000
    )
    notify_after: int = setting(
        20,
        "Seconds after which the browser notifies that a job has ended; 0: never.",
        "now",
        ge=0,
        le=86_400,
    )

    @field_validator("extensions", mode="before")
    @classmethod
    def _one_folder(cls, value: Any) -> Any:
        """A single path is one folder: files from before there could be several say it so."""
        return (value,) if isinstance(value, str | Path) else value

    @classmethod
    def read(cls, **overrides) -> Settings:
        """Settings from `<data>/settings.toml`, replaced by those `overrides` that are not None. ValueError
        with one sentence."""
        given = {name: value for name, value in overrides.items() if value is not None}
        path = Path(given.get("data", ROOT / "data")) / "settings.toml"
        try:
            stored = tomllib.loads(read(path)) if path.is_file() else {}
            return cls(**{**stored, **given})
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not valid TOML: {error}.") from error
        except ValidationError as error:
            raise ValueError(_sentence(error)) from error

    @classmethod
    def that_act(cls, *acts: Acts) -> tuple[str, ...]:
        """The names of the settings with these values of `acts`."""
        return tuple(name for name, field in cls.model_fields.items() if _acts(field) in acts)

    def change(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with changes, given as JSON has them, written to the file first, whose comments
        stay.

        OnlyInFile for a setting that cannot be changed here, ValueError with one sentence for a wrong value,
        OSError if the disk refuses; nothing has changed then.
        """
        free = self.that_act("now", "restart")
        for name in changes:
            if name in type(self).model_fields and name not in free:
                raise OnlyInFile(
                    f"The setting {name} can only be changed in {self.file}, for the next start."
                )
        try:
            given = json.dumps({**self.model_dump(mode="json", include=set(free)), **changes})
            valid = self.model_validate_json(given, strict=True)
            changed = self.model_copy(update={name: getattr(valid, name) for name in changes})
            text = self._written(valid.model_dump(mode="json", include=set(changes)))
            type(self)(**tomllib.loads(text))  # the next start must be able to read it
        except ValidationError as error:
            raise ValueError(_sentence(error)) from None
        write(self.file, text)
        return changed

    def _written(self, values: Mapping[str, Any]) -> str:
        """The text of the file with these values in it. ValueError if it is not TOML; OSError."""
        try:
            document = tomlkit.parse(read(self.file)) if self.file.is_file() else tomlkit.document()
        except TOMLKitError as error:
            raise ValueError(f"{self.file} is not valid TOML, correct it first: {error}.") from error
        document.update(values)
        return tomlkit.dumps(document)

    @property
    def file(self) -> Path:
        return self.data / "settings.toml"

    @property
    def checkpoints(self) -> Path:
        return self.models / "checkpoints"

    @property
    def all_checkpoints(self) -> tuple[Path, ...]:
        """The folders of checkpoints: the program's own first, then those of `more_models`."""
        return tuple(folder / "checkpoints" for folder in (self.models, *self.more_models))

    @property
    def experiments(self) -> Path:
        return self.data / "experiments"

    @property
    def history(self) -> Path:
        return self.data / "history"


def _acts(field: Any) -> str:
    return field.json_schema_extra["acts"]


def _sentence(error: ValidationError) -> str:
    """The first error in one sentence."""
    first = error.errors(include_input=False)[0]
    if first["type"] == "extra_forbidden":
        return f"There is no setting {str(first['loc'][0])!r}."
    path = ".".join(map(str, first["loc"]))
    return (
        f"Setting {path}: {first['msg']}." if path else "The settings have a value that no setting can have."
    )
