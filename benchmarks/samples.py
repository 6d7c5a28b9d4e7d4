"""Ten unedited samples of a checkpoint for its model card: `python -m benchmarks.samples [--model M]
[--write]`.

Prompts are the first ten held-out stories of the grammar as tags, seeds 0 to 9, everything else the
checkpoint's preset. They are made in fp64, so that every machine makes the same ones (in fp32 rounding
differs between processors); `tests/test_card.py` makes them again.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from extensions.training.evaluation.questions import held_out, tags
from extensions.training.grammar import Grammar
from webui.application import App
from webui.settings import ROOT, Settings

BEGIN, END = "<!-- samples: python -m benchmarks.samples --write -->\n", "<!-- end of samples -->\n"


def samples(model: str, number: int = 10) -> list[tuple[str, str]]:
    """Prompt and text of the first samples."""
    app = App(Settings.read(dtype="float64", keep_history=False))
    try:
        prompts = [tags(story.attributes) for story in held_out(Grammar.load(), number)]
        jobs = [
            app.queue.submit(app.Request(prompt=prompt, model=model, seed=k))
            for k, prompt in enumerate(prompts)
        ]
        for job in jobs:
            job.wait()
            if job.result is None:
                raise SystemExit(job.error)
        return [(prompt, job.result.text) for prompt, job in zip(prompts, jobs, strict=True)]
    finally:
        app.close()


def markdown(made: list[tuple[str, str]]) -> str:
    """The samples as they stand in the card."""
    return "".join(
        f"{k + 1}. `{prompt}` (seed {k})\n\n" + "".join(f"   > {line}\n" for line in text.split("\n")) + "\n"
        for k, (prompt, text) in enumerate(made)
    )


def card(model: str) -> Path:
    return ROOT / "models" / "checkpoints" / model / "README.md"


def shown(model: str) -> str:
    """The samples that the card shows."""
    return card(model).read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="storyteller")
    parser.add_argument("--write", action="store_true", help="put them into the model card")
    args = parser.parse_args()
    text = markdown(samples(args.model))
    print(text)
    if args.write:
        path = card(args.model)
        old = path.read_text("utf-8")
        pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
        if not re.search(pattern, old, re.DOTALL):
            old += f"\n## Samples\n\n{BEGIN}{END}"
        path.write_text(re.sub(pattern, lambda _: BEGIN + text + END, old, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main()
