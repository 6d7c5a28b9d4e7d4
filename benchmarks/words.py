"""What "More of" does: `python -m benchmarks.words [--model M] [--texts 64] [--steps 24] [--length 104] [--strengths 0 2 5 8]`.

For each word and strength, over texts of consecutive seeds: the share that holds the word, occurrences per text, the
share with more than three, and fragments: words that are in no lexicon and are made of the word's letters or
hold four letters of it in a row ("OONOOOOON" for moon, "lanterners"). The claim: the first rises with the
strength, there are no more fragments than at strength 0, and more than three occurrences in at most 5 % of texts
at strength 5. Exit status 1 if it does not hold.
"""

from __future__ import annotations

import argparse
import re
import sys

import torch

from webui.application import App
from webui.settings import Settings

PROMPT = "a boy, a garden, happy ending"
WORDS = (
    "moon",
    "book",
    "kite",
    "dragon",
    "umbrella",
    "lantern",
    "alligator",
    "apron",
    "ambulance",
    "golden ring",
)
MANY = 3  # occurrences


def fragments(text: str, phrase: str, known: set[str]) -> list[str]:
    """Words of the text that seem to be pieces of the phrase."""
    found = []
    for word in re.findall(r"[^\W\d_]+", re.sub(rf"(?<!\w){re.escape(phrase)}(?!\w)", " ", text.lower())):
        for part in phrase.lower().split():
            pieces = {part[i : i + 4] for i in range(max(1, len(part) - 3))}
            of_it = len(word) > 1 and set(word) <= set(part)
            if word not in known and (of_it or any(piece in word for piece in pieces)):
                found.append(word)
                break
    return found


def measure(app: App, phrase: str, strength: float, args: argparse.Namespace, known: set[str]) -> dict:
    """The numbers of one word at one strength."""
    bias = {"more": f"{phrase}:{strength}"} if strength else {}
    fields = {"prompt": args.prompt, "count": args.texts, "seed": args.seed, "model": args.model}
    fields |= {"steps": args.steps, "length": args.length, "logit_bias": bias}
    job = app.queue.submit(app.Request(**fields))
    job.wait()
    if job.result is None:
        raise SystemExit(job.error)
    parts = job.result.parts or (job.result,)
    if failed := [part.error for part in parts if part.error]:
        raise SystemExit(failed[0])
    texts = [part.text for part in parts]
    whole = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
    counts = [len(whole.findall(text)) for text in texts]
    return {
        "inclusion": sum(count > 0 for count in counts) / len(texts),
        "occurrences": sum(counts) / len(texts),
        "many": sum(count > MANY for count in counts) / len(texts),
        "fragments": [piece for text in texts for piece in fragments(text, phrase, known)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--words", nargs="+", default=list(WORDS))
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--length", type=int, help="tokens of a text; default: the checkpoint's")
    parser.add_argument("--strengths", nargs="+", type=float, default=[float(i) for i in range(9)])
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    app = App(Settings(keep_history=False))
    folder = app.checkpoints.entry(args.model).folder
    lexicon = folder / "lexicon.txt"
    known = set(lexicon.read_text("utf-8").lower().split()) if lexicon.is_file() else set()
    encode = app.checkpoints.load(args.model).tokenizer.encode
    held = True
    print(f"{args.texts} texts, {args.steps} steps, prompt {args.prompt!r}")
    print(f"{'word':14} tokens strength  included  per text  more than {MANY}  fragments")
    for phrase in args.words:
        included, pieces = [], 0
        for strength in sorted(args.strengths):
            row = measure(app, phrase, strength, args, known)
            print(
                f"{phrase:14} {len(encode(' ' + phrase)):6} {strength:8g} {row['inclusion']:9.0%} "
                f"{row['occurrences']:9.2f} {row['many']:12.0%}  {len(row['fragments'])} {row['fragments'][:5]}",
                flush=True,
            )
            if strength == 0:
                pieces = len(row["fragments"])
            held &= len(row["fragments"]) <= pieces and (strength > 5 or row["many"] <= 0.05)
            included.append(row["inclusion"])
        held &= len(included) == 1 or included[-1] > included[0] or included[0] == 1
    app.close()
    print("holds" if held else "DOES NOT HOLD")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
