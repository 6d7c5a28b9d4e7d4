"""What LoRAs cost: `python -m benchmarks.lora [--width 192 --layers 8 ...] [--rounds 15]`.

forward  time of a model call, of a random Llama of the given size with LoRAs on every linear layer of its body, as a
         factor of one without: hooks with one weight for each row, and weights merged into the model's own; rounds are
         interleaved, medians of CPU time (of wall time on a GPU)
start    reading, fitting and hooking an adapter, once for each batch
list     500 adapters by their headers
texts    whole jobs of the default checkpoint without a LoRA, with one that is hooked, and with one that is merged
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from safetensors.torch import save_file

from extensions.lora import merged
from extensions.lora.patch import Patch
from extensions.lora.tags import Use
from webui import Adapter, App, Canvas, Settings, adapter_entry, adapters
from webui.checkpoints.families.llada import FAMILY
from webui.checkpoints.model import Description, Model


def clock(device: str) -> Callable[[], float]:
    """Seconds: of this process on a CPU, which other processes do not lengthen."""
    return time.process_time if device == "cpu" else time.perf_counter


def model(args: argparse.Namespace) -> Model:
    """A random Llama, bidirectional as LLaDA is."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=args.vocabulary,
        hidden_size=args.width,
        intermediate_size=args.hidden,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads,
        is_causal=False,  # type: ignore[call-arg]
        use_cache=False,
    )
    module = LlamaForCausalLM(config).to(args.device, getattr(torch, args.dtype)).eval()
    facts = Description("random", "LLaDA", "", args.device, args.dtype, 4096, {})
    return Model(module, FAMILY, None, 0, (1,), facts)  # type: ignore[arg-type]


def adapter(model: Model, file: Path, rank: int) -> Path:
    """A random adapter of every linear layer of the body."""
    tensors = {}
    for name, module in model.module.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            outputs, inputs = module.weight.shape
            tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(rank, inputs) / inputs**0.5
            tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs, rank) * 0.01
    save_file(tensors, file)
    return file


class Bench:
    """A model, a canvas of it, and adapters."""

    def __init__(self, args: argparse.Namespace, folder: Path):
        self.args, self.folder, self.model = args, folder, model(args)
        self.now = clock(args.device)
        self.modules = dict(self.model.module.named_modules())
        answers = [[0] * args.length for _ in range(args.rows)]
        canvas = Canvas.build([[5] * 8] * args.rows, answers, list(range(args.rows)), 0, (1,))
        self.canvas = canvas.activate(~canvas.given).to(args.device)
        self.canvas = self.canvas.counted(self.canvas.counts)

    def call(self) -> float:
        """Seconds of a model call."""
        self._wait()
        began = self.now()
        self.model(self.canvas)
        self._wait()
        return self.now() - began

    def _wait(self) -> None:
        if self.args.device == "cuda":
            torch.cuda.synchronize()

    def patch(self, rank: int, many: int, apart: bool = False) -> Patch:
        """Hooks of this many adapters; `apart`: every row has another weight."""
        loaded = {}
        for number in range(many):
            file = adapter(self.model, self.folder / f"{rank}-{number}.safetensors", rank)
            loaded[str(number)] = Adapter.read(file).fit(self.modules, self.model.native, "random")
        weights = [1.0 - 0.9 * apart * row / self.args.rows for row in range(self.args.rows)]
        uses = [[Use(name, weight) for name in loaded] for weight in weights]
        return Patch(self.model, loaded, uses)

    def merged(self, rank: int) -> Callable[[], AbstractContextManager[None]]:
        """What merges an adapter into the weights for a batch, as the extension does."""
        file = adapter(self.model, self.folder / "merged.safetensors", rank)
        fitted = Adapter.read(file).fit(self.modules, self.model.native, "random")
        return lambda: self.model.exchanged(merged.weights(self.modules, fitted, 0.8)[0])

    def forward(self) -> None:
        """The factors of a model call."""
        variants = {
            "one LoRA, rank 8": self.patch(8, 1),
            "one LoRA, rank 8, weights that differ": self.patch(8, 1, apart=True),
            "one LoRA, rank 64": self.patch(64, 1),
            "two LoRAs, rank 8": self.patch(8, 2),
            "four LoRAs, rank 8": self.patch(8, 4),
        }
        merge = self.merged(8)
        times: dict[str, list[float]] = {"without": [], **{name: [] for name in variants}, "merged": []}
        moves: list[float] = []
        for _ in range(self.args.rounds + 1):
            times["without"].append(self.call())
            for name, patch in variants.items():
                patch.enter(self.modules)
                times[name].append(min(self.call() for _ in range(2)))
                patch.leave()
            began = self.now()
            with torch.no_grad(), merge():
                self._wait()
                moves.append(self.now() - began)
                times["merged"].append(min(self.call() for _ in range(2)))
        unit = statistics.median(times["without"][1:])
        for name, spent in times.items():
            middle = statistics.median(spent[1:])
            print(f"{name:40} {1000 * middle:8.2f} ms  x {middle / unit:.3f}")
        print(f"{'merging, once a batch':40} {1000 * statistics.median(moves[1:]):8.2f} ms")

    def start(self) -> None:
        """Reading, fitting and hooking."""
        for rank in (8, 64):
            file, spent = adapter(self.model, self.folder / "start.safetensors", rank), []
            for _ in range(7):
                began = self.now()
                fitted = Adapter.read(file).fit(self.modules, self.model.native, "random")
                patch = Patch(self.model, {"x": fitted}, [[Use("x")]] * self.args.rows)
                patch.enter(self.modules)
                spent.append(self.now() - began)
                patch.leave()
            size = file.stat().st_size / 1e6
            print(f"start of a batch, rank {rank} ({size:.1f} MB) {1000 * statistics.median(spent):19.2f} ms")

    def texts(self) -> None:
        """A whole job of the default checkpoint: without, hooked and merged, interleaved."""
        app = App(Settings(keep_history=False, threads=self.args.threads))
        with tempfile.TemporaryDirectory() as folder:
            kind = app.registry.extensions["lora"]
            models, kind.models = kind.models, Path(folder)
            model = app.checkpoints.load(None)
            (Path(folder) / "loras").mkdir()
            adapter(model, Path(folder) / "loras" / "x.safetensors", 8)
            cases = {
                "without": ("", False),
                "hooked": ("<lora:x:0.8>", False),
                "merged": ("<lora:x:0.8>", True),
            }
            times: dict[str, list[float]] = {name: [] for name in cases}
            for _ in range(self.args.rounds + 1):
                for name, (tag, merging) in cases.items():
                    fields = {"prompt": f"dragon, cake {tag}", "count": self.args.rows, "seed": 1}
                    request = app.Request.model_validate({**fields, "lora": {"merged": merging}})
                    began = self.now()
                    job = app.queue.submit(request)
                    job.wait()
                    times[name].append(self.now() - began)
            kind.models = models
        app.close()
        unit = statistics.median(times["without"][1:])
        for name, spent in times.items():
            middle = statistics.median(spent[1:])
            print(
                f"{self.args.rows} texts of the default checkpoint, {name:10} {middle:6.2f} s  x {middle / unit:.3f}"
            )

    def list(self) -> None:
        """Listing 500."""
        loras = self.folder / "loras"
        loras.mkdir()
        data = adapter(self.model, self.folder / "listed.safetensors", 2).read_bytes()
        for number in range(500):
            (loras / f"{number:03}.safetensors").write_bytes(data)
        began = self.now()
        there = adapters(loras)
        names = self.now() - began
        for name, path in there.items():
            assert adapter_entry(name, path).error is None
        print(f"500 LoRAs: names {1000 * names:.1f} ms, all headers {self.now() - began:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, standard in (
        ("width", 192),
        ("hidden", 480),
        ("layers", 8),
        ("heads", 3),
        ("vocabulary", 4096),
    ):
        parser.add_argument(f"--{name}", type=int, default=standard)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=104)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(
        f"{args.width} wide, {args.layers} layers, {args.dtype} on {args.device}; {args.rows} rows of "
        f"{args.length} tokens; median of {args.rounds}"
    )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        bench.forward()
        bench.start()
        bench.list()
        if args.device == "cpu":
            bench.texts()


if __name__ == "__main__":
    main()
