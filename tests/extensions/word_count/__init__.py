"""An extension for tests, with a `finish` of its own: numbers that stand beside a result."""

from webui import Extension, Options, field


class WordCount(Extension):
    """Counts the words of a text."""

    class Options(Options):
        on: bool = field(False, label="On", help="Whether the words are counted.")
        wrong: str = field("", label="Wrong", help="raise, list or nan: what goes wrong.")

    def finish(self, row, result):
        options = self.options(row)
        if options.wrong == "raise":
            raise RuntimeError("on purpose")
        if options.wrong == "list":
            return {"words": result.text.split()}
        if options.wrong == "nan":
            return {"words": float("nan")}
        return {"words": len(result.text.split()), "whole": result.complete}
