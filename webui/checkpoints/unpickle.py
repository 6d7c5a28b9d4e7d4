"""The process that reads pickled weights: one file in, one safetensors file out, both opened for it.

    python -m webui.checkpoints.unpickle SOURCE

writes to standard output, after it has given up every other right (confine.py). torch's reader of weights
alone (`weights_only=True`) executes nothing of the pickle; what it will not read is refused. The last line of
standard error is JSON: what was read, or a sentence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

INSIDE = (
    "state_dict",
    "model_state_dict",
    "module",
    "model",
)  # where trainers keep the weights beside others
KINDS = {
    "torch.bool": "BOOL",
    "torch.uint8": "U8",
    "torch.int8": "I8",
    "torch.int16": "I16",
    "torch.int32": "I32",
    "torch.int64": "I64",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float32": "F32",
    "torch.float64": "F64",
}


def tensors(loaded: Any) -> dict[str, Any]:
    """The named tensors of what a pickle holds. ValueError with a sentence if there are none, or if one
    cannot be in a safetensors file."""
    import torch

    for name in INSIDE:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    if not isinstance(loaded, Mapping):
        raise ValueError("it holds no weights by name.")
    found = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not found or not all(isinstance(name, str) for name in found):
        raise ValueError("it holds no weights by name.")
    for name, value in found.items():
        if value.layout != torch.strided or value.is_quantized or str(value.dtype) not in KINDS:
            raise ValueError(f"{name} is of a kind that safetensors does not have ({value.dtype}).")
    return found


def write(found: Mapping[str, Any], sink: BinaryIO) -> None:
    """Writes a safetensors file, one tensor in memory at a time."""
    import torch

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, value in found.items():
        size = value.numel() * value.element_size()
        header[name] = {
            "dtype": KINDS[str(value.dtype)],
            "shape": list(value.shape),
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    sink.write(len(text).to_bytes(8, "little") + text)
    for value in found.values():
        flat = value.detach().contiguous().reshape(-1)
        sink.write(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
    sink.flush()


def main(source: str, sink: BinaryIO) -> dict[str, Any]:
    """What was read: {"tensors", "enforced"}, or {"error"} with the end of a sentence."""
    import torch
    import torch._weights_only_unpickler
    import torch.serialization

    from webui.checkpoints.confine import confine

    enforced = confine()
    try:
        with open(source, "rb") as stream:
            zipped = stream.read(4) == b"PK\x03\x04"  # what torch can map instead of reading
        loaded = torch.load(Path(source), map_location="cpu", weights_only=True, mmap=zipped)
        found = tensors(loaded)
        write(found, sink)
    except ValueError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "there is too little memory to read it."}
    except OSError as error:
        return {"error": f"{error.strerror or 'it cannot be read'}."}
    except Exception:  # torch says the same of a damaged file and of one that would run code
        return {"error": "it is damaged, or holds more than weights, which is not read."}
    return {"tensors": sorted(found), "enforced": enforced}


if __name__ == "__main__":
    output = sys.stdout.buffer
    reply = main(sys.argv[1], output)
    print(json.dumps(reply), file=sys.stderr, flush=True)
