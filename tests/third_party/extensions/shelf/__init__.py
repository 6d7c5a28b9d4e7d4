"""A view of the last texts."""

from webui import Extension, Options, Tab, field


class Shelf(Extension):
    """A view of the last texts."""

    class Settings(Options):
        texts: int = field(20, ge=1, le=200, label="Texts", help="How many are shown.")

    @classmethod
    def tab(cls):
        return Tab("my-shelf", "Shelf")

    @classmethod
    def assets(cls):
        return ("shelf.js",)

    @classmethod
    def routes(cls):
        return {"last": cls._last}

    @classmethod
    def _last(cls, app, sent):
        with_word = str(sent.get("word", ""))
        entries = app.history.list(cls.settings().texts)
        results = (app.history.get(entry["id"]) for entry in entries)
        return {"texts": [one.text for one in results if one is not None and with_word in one.text]}
