"""<any:red,green,blue> is one of these, drawn by the seed."""

import random

from webui import Construct, Extension, Options, Piece, Prompt, Syntax, tag


class DynamicPrompts(Extension):
    """<any:red,green,blue> is one of these, drawn by the seed."""

    SYNTAX = Syntax(patterns={"any": tag("any")})
    tags = ("any",)
    before = {"prompt": ("infill", "emphasis", "prompt_and")}  # what is drawn may be their syntax

    class Options(Options):
        pass

    @classmethod
    def prompt(cls, row):
        scan = row.prompts["main"].scan(cls.SYNTAX, row.request.syntax)
        if not any(isinstance(part, Construct) for part in scan.parts):
            return row
        drawn = random.Random(row.request.seed)
        pieces = []
        for part in scan.parts:
            if isinstance(part, Construct):
                words = (part.groups[0] or "").split(",")
                pieces.append(Piece(drawn.choice(words).strip(), part.span))
            else:
                pieces.append(part)
        return row.with_prompt("main", Prompt(tuple(pieces)))
