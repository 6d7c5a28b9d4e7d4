"""Ends every text with the same sentence."""

from webui import Draft, Extension, Gap, Options, Piece, field


class Closing(Extension):
    """Ends every text with the same sentence."""

    after = {"prompt": ("infill", "opening")}  # they make the draft that it ends

    class Options(Options):
        sentence: str = field(
            "", max_length=500, label="Closing", help="The answer ends with it; empty is off."
        )

    @classmethod
    def prompt(cls, row):
        sentence = cls.options(row).sentence
        if not sentence:
            return row
        parts = (Gap(None),) if row.draft is None else row.draft.parts
        return row.replace(draft=Draft((*parts, Piece(sentence))))
