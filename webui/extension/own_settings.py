"""What the operator sets for an extension: in a folder that only its owner can read, since some are
secrets."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from webui.core.atomic import read, write
from webui.core.errors import NotFound
from webui.core.fields import is_secret
from webui.core.options import Options, validate

FOLDER, FILE = "private", "extensions.json"
SHORTEST = 4  # characters of a secret that is taken out of messages
HIDDEN = "•••"
M = TypeVar("M", bound=Options)


class OwnSettings:
    """The settings of all extensions of a data folder; with None as folder all at their defaults. For any
    threads."""

    def __init__(self, data: Path | None = None):
        self._path = None if data is None else data / FOLDER / FILE
        self._lock = threading.Lock()
        self._models: dict[str, type[Options]] = {}
        self._values: dict[str, Options] = {}

    def add(self, name: str, model: type[Options]) -> None:
        """Reads the settings of an extension. ValueError if what is stored does not fit."""
        stored = self.stored().get(name, {})
        known = {key: value for key, value in stored.items() if key in model.model_fields}
        self._values[name] = validate(model, json.dumps(known))
        self._models[name] = model

    def of(self, name: str) -> Any:
        """The settings of an extension, as they are now."""
        return self._values[name]

    def shown(self, name: str) -> dict[str, Any]:
        """The settings as the page may see them: JSON, secrets None."""
        model = self._model(name)
        values = self._values[name].model_dump(mode="json")
        return {key: None if is_secret(model.model_fields[key]) else value for key, value in values.items()}

    def change(self, name: str, changes: Mapping[str, Any]) -> None:
        """Changes settings, given as JSON has them, and writes them first. ValueError with one sentence;
        OSError if the disk refuses; nothing has changed then."""
        model = self._model(name)
        with self._lock:
            values = {**self._values[name].model_dump(mode="json"), **changes}
            changed = validate(model, json.dumps(values), strict=True)
            stored = {**self.stored(), name: changed.model_dump(mode="json")}
            assert self._path is not None
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.chmod(self._path.parent, 0o700)
            write(self._path, json.dumps(stored, indent=2, ensure_ascii=False) + "\n", mode=0o600)
            self._values[name] = changed

    def schema(self, name: str) -> dict[str, Any]:
        return self._model(name).model_json_schema()

    def secrets_set(self, name: str) -> list[str]:
        """The names of the secrets that have a value."""
        model = self._model(name)
        return [key for key, value in self._values[name] if is_secret(model.model_fields[key]) and value]

    def clean(self, text: str) -> str:
        """A text without the secrets of any extension."""
        for name, model in self._models.items():
            for key, value in self._values[name]:
                if is_secret(model.model_fields[key]) and len(secret := str(value)) >= SHORTEST:
                    text = text.replace(secret, HIDDEN).replace(repr(secret)[1:-1], HIDDEN)
        return text

    def stored(self) -> dict[str, Any]:
        """What the file has of all extensions. ValueError if it is damaged."""
        if self._path is None or not self._path.is_file():
            return {}
        try:
            stored = json.loads(read(self._path))
        except ValueError as error:
            raise ValueError(
                f"{self._path} is damaged ({type(error).__name__}); correct or delete it."
            ) from None
        return stored if isinstance(stored, dict) else {}

    def _model(self, name: str) -> type[Options]:
        model = self._models.get(name)
        if model is None or not model.model_fields:
            raise NotFound(f"No extension {name[:100]} has settings.")
        return model
