"""What a LoRA does: `python -m benchmarks.lora_effect --lora bard --data plays.txt --trigger play [--weights 0 0.5 1]`.

The bound of the rows of the data that `python app.py finetune` held out, in nats per token, at each weight and with the
same masks; then texts of the same seeds at each weight, to be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from extensions.lora.patch import Patch
from extensions.lora.tags import Use
from extensions.training.finetune import Plan, Tuner, read
from webui import Adapter, App, Settings, find_adapter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lora", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trigger", default="")
    parser.add_argument("--model")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--prompts", nargs="*", default=["king, crown", "dragon, cake"])
    parser.add_argument("--texts", type=int, default=5, help="of each prompt")
    args = parser.parse_args()
    torch.set_num_threads(1)
    app = App(Settings(keep_history=False, **({"models": args.models} if args.models else {})))
    model = app.checkpoints.load(args.model)
    plan = Plan(model.description.name, "", "", 1, 8, 0, 1, 1.0, 1e-3, "all", args.trigger, 2, 1)
    tuner = Tuner(model, read(args.data, model, 0), plan)
    modules = dict(model.module.named_modules())
    adapter = Adapter.read(find_adapter(app.settings.models / "loras", args.lora), args.lora)
    fitted = {args.lora: adapter.fit(modules, model.native, model.description.name)}
    print(f"{args.lora}, SHA-256 {adapter.hash}; {len(tuner.held)} rows held out")
    for weight in args.weights:
        patch = Patch(model, fitted, [[Use(args.lora, weight)]] * plan.batch)
        patch.enter(modules)
        print(f"weight {weight:g}: {tuner.bound():.4f} nats per token", flush=True)
        patch.leave()
    for prompt in args.prompts:
        words = ", ".join(filter(None, [args.trigger, prompt]))
        for weight in args.weights:
            print(f"\n{words!r}, weight {weight:g}")
            text = f"{words} <lora:{args.lora}:{weight:g}>"
            request = app.Request(prompt=text, count=args.texts, seed=1, model=args.model)
            job = app.queue.submit(request)
            job.wait()
            if job.result is None:
                raise SystemExit(job.error)
            for part in job.result.parts or (job.result,):
                print(f"  {part.error or part.text!r}", flush=True)
    app.close()


if __name__ == "__main__":
    main()
