"""What the operator decides: folders, device, port. Frozen; read once at the start from a file, then the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseModel):
    """Every setting has a default that works on a fresh machine; `settings.toml` in the data folder overrides it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on. Only 127.0.0.1 keeps other machines out.")
    port: int = Field(7860, ge=0, le=65535, description="Port of page and API; the next free one is taken, with 0 any.")
    allowed_hosts: tuple[str, ...] = Field((), description="Host names accepted besides the address itself.")
    models: Path = Field(ROOT / "models", description="Folder of the weights.")
    extensions: Path = Field(ROOT / "extensions", description="Folder of the extensions.")
    data: Path = Field(ROOT / "data", description="Folder of history and settings.toml.")
    model: str = Field("storyteller", description="Checkpoint that is used when a request names none.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where models run.")
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = Field(
        "auto", description="Precision of the weights: auto is float32 on a CPU, bfloat16 on a GPU."
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of a forward pass; 0 leaves it to torch.")
    batch_rows: int = Field(0, ge=0, le=4096, description="Rows of one forward pass; 0 is 16 on a CPU, 64 on a GPU.")
    max_cells: int = Field(1024, ge=1, description="Cells that one request may expand to.")
    max_queue: int = Field(64, ge=1, description="Jobs that may wait.")
    keep_history: bool = Field(True, description="Whether results are written to the data folder.")
    keep_jobs: bool = Field(True, description="A job goes on when the page that started it is closed.")
    max_body: int = Field(1 << 20, ge=1024, description="Bytes of a request body that the API accepts.")

    @classmethod
    def read(cls, **overrides) -> Settings:
        """Settings from `<data>/settings.toml`, with what is not None in `overrides` on top. ValueError says what is wrong."""
        given = {name: value for name, value in overrides.items() if value is not None}
        path = Path(given.get("data", ROOT / "data")) / "settings.toml"
        try:
            stored = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
            return cls(**{**stored, **given})
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not valid TOML: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"Setting {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error

    @property
    def checkpoints(self) -> Path:
        return self.models / "checkpoints"

    @property
    def history(self) -> Path:
        return self.data / "history"
