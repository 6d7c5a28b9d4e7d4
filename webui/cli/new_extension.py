"""The template of `extensions new`: an extension that works, and its test, which passes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from webui import __version__
from webui.core.atomic import write
from webui.extension.finding import MANIFEST
from webui.extension.registry import check_name

TOML = """name = "{name}"
version = "0.1.0"
needs = "webui>={version},<{next}"
description = "Makes words with a letter more likely."
licence = "Apache-2.0"  # whatever you choose
requirements = []  # packages, such as "pronouncing>=0.2"
"""
CODE = '''"""Makes words with a letter more likely. Replace it by your own idea."""

from webui import Extension, Options, field


class {title}(Extension):
    """Makes words with a letter more likely."""

    class Options(Options):
        letter: str = field("e", max_length=1, label="Letter", help="Words with it are preferred.")
        strength: float = field(0, ge=0, le=20, label="Strength", help="Added to logits; 0 is off.")

    @classmethod
    def neutral(cls, row):
        options = cls.options(row)
        return options.strength == 0 or not options.letter

    def canvas(self, canvas, model):
        import torch

        letters = ["" if row is None else self.options(row).letter for row in self.rows]
        having = [[bool(letter) and letter in word for word in model.words()] for letter in letters]
        self._having = torch.tensor(having, device=model.device)
        return canvas

    def denoise(self, canvas, model):
        rows = canvas.row[canvas.at[0]]  # of each active position
        return model(canvas) + self.column("strength", canvas) * self._having[rows]
'''
TEST = '''"""python -m pytest {name}, in the program's folder or after `pip install -e` of it."""

from pathlib import Path

from webui import testing

FOLDER = Path(__file__).parent


def test_it_keeps_the_contract():
    testing.check(FOLDER, {name}={{"letter": "t", "strength": 20}})


def test_words_without_the_letter_keep_their_logits():
    kind = testing.load(FOLDER)
    link = testing.FakeLink(["tree", "moon"])
    canvas = testing.canvas([None, None], link=link)
    one = kind([testing.row(kind, {name}={{"letter": "t", "strength": 3}})])
    one.canvas(canvas, link)
    added = one.denoise(canvas, link) - link(canvas)
    assert added[:, :2].tolist() == [[3, 0], [3, 0]]


def test_the_letter_is_written(tmp_path):
    with testing.program(tmp_path, extensions=[FOLDER]) as app:
        result = testing.write(app, prompt="a fox", length=24, {name}={{"letter": "t", "strength": 20}})
        assert "t" in result.text
'''
README = """# {title}

Makes words with a letter more likely.

    python app.py extensions add <the address of this repository>
"""


def write_template(name: str, place: Path, taken: Sequence[str] = ()) -> Path:
    """Writes the folder `place/name` and returns it. ValueError if it cannot have that name or is there."""
    check_name(name)
    if name in taken:
        raise ValueError(f"There is an extension {name} already.")
    folder = place.expanduser().resolve() / name
    if folder.exists():
        raise ValueError(f"{folder} is there already.")
    major, minor, *_ = __version__.split(".")
    words = {
        "name": name,
        "title": "".join(part.capitalize() for part in name.split("_")) or "Mine",
        "version": f"{major}.{minor}",
        "next": f"{major}.{int(minor) + 1}",
    }
    files = {MANIFEST: TOML, "__init__.py": CODE, f"test_{name}.py": TEST, "README.md": README}
    for file, text in files.items():
        write(
            folder / file,
            text.format_map(words) if file != "__init__.py" else text.replace("{title}", words["title"]),
        )
    return folder
