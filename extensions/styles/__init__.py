"""Styles: saved texts that are put around or behind a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webui import (
    Completion,
    Construct,
    Cost,
    Extension,
    Options,
    Piece,
    Prompt,
    Request,
    Row,
    Syntax,
    Typed,
    Underline,
    field,
    nearest,
    tag,
)

from .files import MAX_TEXT, NAME, Style, delete, save, styles

FOLDER = "styles"  # within the models folder
SYNTAX = Syntax(patterns={"style": tag("style")})
WRAPPED = "{prompt}"  # in a style: where the prompt stands
BEGUN = re.compile(r"<(?:style:([^<>:\n]*)|[styl]{0,4}|style)\Z")  # a tag up to the cursor
LONGEST = 210  # characters of one
MOST = 50  # styles of one prompt
SHOWN = 100  # characters of a style in its explanation
NEGATIVE = "negative"  # the prompt that guidance moves away from


class Styles(Extension):
    """Styles of models/styles/*.csv: text with {prompt} is put around the prompt, other text behind it.

    Those of the option `names` come first, then those of tags, `<style:name>`, in their order. A tag in the
    prompt brings the style's negative prompt too, one in another prompt only the negative prompt, for it. The
    saved request keeps the styles' texts, which it gives again when the files have changed.
    """

    about = (
        "<style:name> or the option puts a saved text around the prompt, and one into the negative prompt."
    )
    order = MappingProxyType({"prompt": -40})
    tags = ("style",)
    explanations = MappingProxyType(
        {
            "style": "The style {name}: {text}",
            "unknown": "Column {column}: {reason}",
            "arguments": "Column {column}: a style has no second colon; write <style:{name}>.",
        }
    )

    class Options(Options):
        names: tuple[str, ...] = field(
            (),
            label="Styles",
            help="Names of saved styles, one a line; later ones are put around earlier ones.",
        )
        texts: dict[str, tuple[str, str]] = field(
            {},
            label="Texts of the styles",
            help="What the styles were when the text was made: prompt and negative prompt of each name.",
            place="hidden",
            axis=False,
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        options = cls.options(row)
        tags: dict[str, list[Construct]] = {}
        for name, prompt in tuple(row.prompts.items()):
            scan = prompt.scan(SYNTAX, row.request.syntax)
            tags[name] = [part for part in scan.parts if isinstance(part, Construct)]
            row = row.with_prompt(name, Prompt(tuple(_without_tags(scan.parts))))
        if not options.names and not any(tags.values()):
            return row
        shelf = _Shelf(cls.models / FOLDER, options.texts)
        main = [shelf.style(name) for name in options.names]
        tagged = {name: [shelf.tagged(part) for part in found] for name, found in tags.items()}
        main = list(dict.fromkeys([*main, *tagged.pop("main")]))
        if len(main) > MOST:
            raise ValueError(f"more than {MOST} styles for one prompt.")
        row = row.with_prompt("main", _applied(row.prompts["main"], [style.prompt for style in main]))
        row = _with_negative(row, main)
        for name, found in tagged.items():
            texts = [style.negative_prompt for style in dict.fromkeys(found) if style not in main]
            row = row.with_prompt(name, _applied(row.prompts[name], texts[:MOST]))
        own = cls.Options(names=options.names, texts=shelf.used)
        return row.replace(request=row.request.replace(**{cls.name: own}))

    @classmethod
    def cost(cls, request: Request) -> Cost:
        """A negative prompt switches guidance on where neither its scale nor its own negative prompt says
        more: its base is a row."""
        guidance, options = getattr(request, "guidance", None), cls.options(request)
        if guidance is None or guidance.scale is not None or guidance.negative_prompt:
            return Cost()
        shelf = _Shelf(cls.models / FOLDER, options.texts)
        try:
            found = [shelf.style(name) for name in options.names]
            if "<style:" in request.prompt:
                parts = Prompt.of(request.prompt).scan(SYNTAX, request.syntax).parts
                found += [shelf.tagged(part) for part in parts if isinstance(part, Construct)]
        except ValueError:  # the text will be refused
            return Cost()
        if not any(style.negative_prompt.strip() for style in found):
            return Cost()
        return Cost(rows=1 + max(0.0, guidance.end - guidance.start))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return True

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        shelf = _Shelf(cls.models / FOLDER, {})
        for part in typed.scan(SYNTAX).parts:
            if not isinstance(part, Construct) or part.span is None:
                continue
            column, name = part.span[0] + 1, part.groups[0] or ""
            if part.groups[1] is not None:
                yield Underline(*part.span, "arguments", "refused", {"column": column, "name": name})
                continue
            try:
                found = shelf.style(name)
            except ValueError as error:
                yield Underline(*part.span, "unknown", "refused", {"column": column, "reason": str(error)})
                continue
            text = found.prompt if typed.main else found.negative_prompt
            values = {"name": name, "text": text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"}
            yield Underline(*part.span, "style", values=values)

    @classmethod
    def complete(cls, typed: Typed, cursor: int) -> Iterator[Completion]:
        begun = BEGUN.search(typed.text, max(0, cursor - LONGEST), cursor)
        if begun is None or typed.mode == "off" or not "<style:".startswith(begun[0][:7]):
            return
        name_of = (begun[1] or "").casefold()
        end = cursor + 1 if typed.text.startswith(">", cursor) else cursor
        try:
            known = styles(cls.models / FOLDER)
        except ValueError:  # said when the tag is complete
            return
        for name, found in known.items():
            if name.casefold().startswith(name_of) and NAME.fullmatch(name):
                yield Completion(begun.start(), end, f"<style:{name}>", found.prompt[:SHOWN])

    @classmethod
    def assets(cls) -> Sequence[str]:
        return ("styles.js", "styles.css")

    @classmethod
    def routes(cls) -> Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]]:
        return {"list": cls._list, "save": cls._save, "delete": cls._delete}

    @classmethod
    def _list(cls, app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """{} to {"styles": [{"name", "prompt", "negative_prompt"}]}."""
        return {"styles": [asdict(one) for one in styles(cls.models / FOLDER).values()]}

    @classmethod
    def _save(cls, app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """A style, {"name", "prompt", "negative_prompt"}; one of this name is replaced. To all styles."""
        save(cls.models / FOLDER, Style(**_texts(sent, ("name",), ("prompt", "negative_prompt"))))
        return cls._list(app, {})

    @classmethod
    def _delete(cls, app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """{"name"} of a saved style, to all styles."""
        delete(cls.models / FOLDER, _texts(sent, ("name",), ())["name"])
        return cls._list(app, {})


class _Shelf:
    """The styles that a row can have: those recorded in its request, and those of the files, which are read
    when one of them is asked for.

    used  the texts of the styles that were asked for, by name
    """

    def __init__(self, folder: Path, recorded: Mapping[str, tuple[str, str]]):
        self._folder, self._recorded = folder, recorded
        self._known: Mapping[str, Style] | None = None
        self.used: dict[str, tuple[str, str]] = {}

    def style(self, name: str) -> Style:
        """The style of this name. ValueError names the nearest ones."""
        if not name.strip():
            raise ValueError("a style has no name; write one name a line, or none.")
        if name in self._recorded:
            found = Style(name, *self._recorded[name])
        else:
            if self._known is None:
                self._known = styles(self._folder)
            if name not in self._known:
                raise ValueError(f"there is no style {name}. {nearest(name, self._known)}")
            found = self._known[name]
        self.used[name] = (found.prompt, found.negative_prompt)
        return found

    def tagged(self, part: Construct) -> Style:
        """The style that a tag names. ValueError with its column."""
        column, name = part.span[0] + 1 if part.span else 1, part.groups[0] or ""
        if part.groups[1] is not None:
            raise ValueError(f"column {column}: a style has no second colon; write <style:{name}>.")
        try:
            return self.style(name)
        except ValueError as error:
            raise ValueError(f"column {column}: {error}") from None


def _with_negative(row: Row, main: Sequence[Style]) -> Row:
    """The row with the negative prompts of these styles, where guidance acts."""
    texts = [style.negative_prompt for style in main if style.negative_prompt.strip()]
    guidance = getattr(row.request, "guidance", None)
    if not texts or guidance is None:
        return row
    if guidance.scale == 1.0:
        return row.note("The negative prompts of styles do nothing at guidance scale 1; raise the scale.")
    return row.with_prompt(NEGATIVE, _applied(row.prompts.get(NEGATIVE, Prompt()), texts))


def _applied(prompt: Prompt, texts: Sequence[str]) -> Prompt:
    """The prompt with these texts of styles put around or behind it, one after the other."""
    for text in texts:
        if WRAPPED in text:
            first, *others = text.split(WRAPPED)
            pieces = [Piece(first)]
            for other in others:
                pieces += [*prompt.pieces, Piece(other)]
            prompt = Prompt(tuple(piece for piece in pieces if piece.text))
        elif text.strip():
            before = prompt.cut(0, len(prompt.text.rstrip()))
            prompt = Prompt((*before, Piece(", " + text.strip() if before else text.strip())))
        if len(prompt.text) > MAX_TEXT:
            raise ValueError(f"styles make a prompt of more than {MAX_TEXT} characters.")
    return prompt


def _without_tags(parts: Sequence[Piece | Construct]) -> Sequence[Piece]:
    """The pieces of a prompt whose tags are taken out, each with one of two blanks around it, at the end with
    the one before it."""
    found: list[Piece] = []
    taken = False  # whether a tag stood before this part
    for part in parts:
        if isinstance(part, Construct):
            taken = True
            continue
        after_blank = not found or found[-1].text[-1].isspace()
        if taken and after_blank and part.text.startswith(" ") and not part.locked:
            found += Prompt((part,)).cut(1, len(part.text))
        else:
            found.append(part)
        taken = False
    if taken and found and found[-1].text.endswith(" ") and not found[-1].locked:
        last = found.pop()
        found += Prompt((last,)).cut(0, len(last.text) - 1)
    return found


def _texts(sent: Mapping[str, Any], needed: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """These values of what was sent, which are texts. ValueError."""
    if unknown := sorted(set(sent) - {*needed, *others}):
        raise ValueError(f"There is no field {unknown[0]!r}.")
    for name in needed:
        if name not in sent:
            raise ValueError(f"{name}: Field required.")
    for name, value in sent.items():
        if not isinstance(value, str):
            raise ValueError(f"{name}: a text is expected.")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{name}: contains half of a surrogate pair, which is not a character."
            ) from None
    return dict(sent)
