"""An extension for tests: brings a script and a style sheet."""

from webui import Extension, Tab


class Greeting(Extension):
    """Only for tests: writes a line below the prompt."""

    @classmethod
    def assets(cls):
        return ("greeting.js", "more/greeting.css")

    @classmethod
    def tab(cls):
        return Tab("greeting-view", "Greeting")
