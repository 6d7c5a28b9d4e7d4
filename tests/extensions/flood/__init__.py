"""An extension for tests: raises tokens everywhere and for good."""

from webui import Extension, Options, field


class Flood(Extension):
    """Only for tests."""

    order = 5

    class Options(Options):
        letters: str = field(
            "", label="Letters", help="a:9 adds 9 to the logits of a, A and both after a blank."
        )
        text: str = field("", label="Text", help="Adds 30 to the logits of its tokens.")

    def canvas(self, canvas, model):
        import torch

        words = model.words()
        self._more = torch.zeros(len(self.rows), model.vocabulary, device=model.device)
        for number, row in enumerate(self.rows):
            options = self.options(row) if row is not None else self.Options()
            for letter, strength in (item.strip().split(":") for item in options.letters.split(",") if item):
                forms = {blank + form for blank in ("", " ") for form in (letter, letter.upper())}
                self._more[number, [i for i, word in enumerate(words) if word in forms]] = float(strength)
            self._more[number, model.encode(options.text)] = 30
        return canvas

    def denoise(self, canvas, model):
        return model(canvas) + self._more[canvas.row[canvas.at[0]]]
