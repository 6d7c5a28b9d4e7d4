"""An extension for tests: answers that start from text and tokens, locked or not."""

from webui import Draft, Extension, Gap, Options, Passage, Piece, field


class Drafts(Extension):
    """The answer is a given text, four tokens, a gap, and a text."""

    class Options(Options):
        tokens: tuple[int, ...] = field((), label="Tokens", help="What stands between; none is off.")
        locked: bool = field(True, label="Locked", help="Whether these tokens are given.")
        seen: str = field("", label="Seen", help="A file that gets the spans of the gaps.")

    @classmethod
    def prompt(cls, row):
        options = cls.options(row)
        if not options.tokens:
            return row
        known = Passage(tokens=options.tokens, locked=options.locked)
        loose = Passage(text=" in the end", locked=options.locked)
        return row.replace(draft=Draft((Piece("One day"), known, Gap(3, lead=" "), loose, Gap(2))))

    def canvas(self, canvas, model):
        for number, row in enumerate(self.rows):
            if row and self.options(row).seen:
                with open(self.options(row).seen, "a") as stream:
                    stream.write(f"{model.spans(number)}\n")
        return canvas
