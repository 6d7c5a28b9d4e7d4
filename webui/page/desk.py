"""The handlers of the page's events: controls become a request, show one, follow a checkpoint's preset."""

from __future__ import annotations

import html
import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from webui.core.renamed import current
from webui.page.controls import PRESET, Control, preset_value, request_of, show, take, values_of
from webui.page.languages import ENGLISH, languages
from webui.service.attempt import Attempt
from webui.service.estimate import CONFIRMED
from webui.service.queue import SUBMIT_SECONDS

PLAN_SECONDS = SUBMIT_SECONDS  # to say what a request would make; what can be queued has a cost

EMBEDDING, EMBEDDED = "\u202a\u202b\u202d\u202e", "\u202c"  # direction marks, and those that end them
ISOLATING, ISOLATED = "\u2066\u2067\u2068", "\u2069"


class Desk:
    """The handlers of the page's events. `controls`: those that are drawn, in the order of the values that
    handlers get."""

    def __init__(self, app: Any):
        self.app = app
        self.model: str | None = app.settings.model
        self.controls: list[Control] = []
        self.words = languages(app.registry.folders)

    def submit(self, *given: Any) -> dict[str, Any]:
        """Queues the request that the controls show. The last value is the browser's id, its language and,
        where its cost was confirmed, "confirmed". Returns the job's id, or one sentence."""
        *shown, browser = given
        client, language, said, *_ = (*str(browser or "").split(" "), "", "")

        def request() -> Any:
            asked = self._request(shown, language)
            return asked.replace(confirm=True) if said == "confirmed" else asked

        try:
            return {"job": self.app.queue.submit(request, client=client).id}
        except Exception as error:
            return {"error": _sentence(error)}

    def gather(self, *given: Any) -> dict[str, Any]:
        """The request that the controls show as JSON, or one sentence."""
        *shown, browser = given
        try:
            return {
                "request": self._request(shown, str(browser or "").partition(" ")[2]).model_dump(mode="json")
            }
        except Exception as error:
            return {"error": _sentence(error)}

    def plan(self, *given: Any) -> dict[str, Any]:
        """What Generate would do now: its cost as in webui/service/estimate.py and whether it has to be
        confirmed first, or the sentence of a refusal as "error"; "off": constructs of the prompts that would
        act if an option were on, each with its "path" and the "text" that is taken as it stands."""
        *shown, browser = given

        def work() -> dict[str, Any]:
            request = self._request(shown, str(browser or "").partition(" ")[2])
            off = [{"path": one.path, "text": one.text} for one in self.app.prompts.off(request)]
            try:
                found = self.app.estimate(request)
                confirm = found.texts > CONFIRMED and not request.confirm
                return {**vars(found), "confirm": confirm, "off": off}
            except Exception as error:
                return {"error": _sentence(error), "off": off}

        attempt = Attempt(work)
        try:
            return attempt.wait(PLAN_SECONDS)
        except Exception as error:
            return {"error": _sentence(error), "off": []}
        finally:
            self.app.queue.retire(attempt)

    def switch(self, old: str, *shown: Any) -> list[Any]:
        """Another checkpoint was chosen: controls that show the old preset show the new one. The others are
        left alone, so that what is typed meanwhile stays. Gradio may call it twice for one choice, the second
        time with what it is still drawing: nothing changes then."""
        if self._chosen(shown) == (old or self.model):
            return [gr.skip()] * (2 + len(shown))
        before, after = self.preset(old or None), self.preset(self._chosen(shown))
        values = [
            show(c, preset_value(c, after))
            if c.empty and c.path != ("model",) and _read(c, s) == preset_value(c, before)
            else gr.skip()
            for c, s in zip(self.controls, shown, strict=True)
        ]
        return [self._chosen(shown), self.guide_of(self._chosen(shown)), *values]

    def fill(self, stored: str) -> list[Any]:
        """Shows a stored request in the controls; one that cannot be read changes nothing. The first value is
        empty, or has the sentence of a refusal."""
        try:
            request, _ = self.app.Request.read(stored)
        except ValueError as error:
            return [{"error": str(error)}, *[gr.skip()] * (2 + len(self.controls))]
        return [{}, *self._filled(request)]

    def merge(self, stored: str, model: str | None) -> list[Any]:
        """Shows a part of a request, as JSON, in its controls; the others stay. null: the preset. The first
        value as in `fill`."""
        try:
            request, unknown = self.app.Request.read(stored)
            part = json.loads(stored)
        except ValueError as error:
            return [{"error": str(error)}, *[gr.skip()] * len(self.controls)]
        part = current({**part, "unknown": unknown} if unknown else part, self.app.Request.renamed)
        named = [self._names(part, control.path) for control in self.controls]
        values = values_of(self.controls, request, self.preset(model))
        return [{}, *(value if mine else gr.skip() for value, mine in zip(values, named, strict=True))]

    def follow(self, model: str | None) -> list[Any]:
        """The browser set the controls: the checkpoint whose preset they are compared with from now on."""
        return [model or self.model, self.guide_of(model)]

    def resume(self, job: str) -> list[Any]:
        """After a reload: the browser's last job, if it is still known, with its request."""
        found = self.app.queue.get(job) if job else None
        if found is None:
            return [{}, *[gr.skip()] * (2 + len(self.controls))]
        return [{"job": found.id}, *self._filled(found.request)]

    def checkpoints(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Checkpoints as the choices of a dropdown: (description, name)."""
        listed = {entry.name: entry for entry in self.app.checkpoints.list()}
        return [(_described(listed[name]) if name in listed else name, name) for name in names]

    def rescanned(self) -> Any:
        """The dropdown of checkpoints after a rescan."""
        return gr.Dropdown(choices=self.checkpoints(self.app.checkpoints.names()))

    def preset(self, model: str | None) -> Mapping[str, Any]:
        """The preset of a checkpoint; empty if the checkpoint cannot be used."""
        try:
            preset = self.app.checkpoints.profile(model)["preset"]
            return {**current(preset, self.app.Request.renamed), "model": self.model}
        except ValueError:
            return {"model": self.model}

    def guide_of(self, model: str | None) -> str:
        """What the checkpoint understands and examples of prompts, as HTML, with the preset's value of every
        control and the presets that it offers under a name."""
        preset = self.preset(model)
        values = [
            [".".join(c.path), show(c, preset_value(c, preset)), *self._former(c)] for c in self.controls
        ]
        shown = html.escape(json.dumps(values, default=str))
        try:
            profile = self.app.checkpoints.profile(model)
        except ValueError as error:
            mark = f"<div class=preset data-values='{shown}' hidden></div>"
            return f"{mark}<p class=understands>{html.escape(str(error))}</p>"
        offered = html.escape(json.dumps(profile.get("presets", {})))
        mark = f"<div class=preset data-values='{shown}' data-presets='{offered}' hidden></div>"
        words = (
            f"<p class=understands>{html.escape(profile['understands'])}</p>"
            if profile.get("understands")
            else ""
        )
        chips = "".join(
            f"<button type=button class=example>{html.escape(p)}</button>"
            for p in profile.get("examples", ())
        )
        name = '<tdw-words id=examples key="page.examples" hidden></tdw-words>'
        again = '<button type=button class=fold-examples><tdw-words key="page.examples"></tdw-words></button>'
        return (
            mark
            + (again if chips or words else "")
            + words
            + (
                f"{name}<div class=examples role=group aria-labelledby=examples>{chips}</div>"
                if chips
                else ""
            )
        )

    def _former(self, control: Control) -> Iterator[str]:
        """The former paths of an extension's option."""
        for old, (name, options) in self.app.Request.renamed.items():
            if control.path[0] == name:
                options = {new: former for former, new in options.items()}
                yield ".".join((old, *(options.get(part, part) for part in control.path[1:])))

    def _filled(self, request: Any) -> list[Any]:
        model = request.model or self.model
        return [model, self.guide_of(model), *values_of(self.controls, request, self.preset(model))]

    def _request(self, shown: Sequence[Any], language: str) -> Any:
        preset = self.preset(self._chosen(shown))
        return request_of(
            self.app.Request, self.controls, shown, preset, self.words.get(language, self.words[ENGLISH])
        )

    def _chosen(self, shown: Sequence[Any]) -> str | None:
        name = shown[[control.path for control in self.controls].index(("model",))]
        return name if isinstance(name, str) and name else None

    def _names(self, part: Any, path: tuple[str, ...]) -> bool:
        """Whether the JSON of a part of a request has the field."""
        for name in path:
            if not isinstance(part, Mapping) or name not in part:
                return False
            part = part[name]
        return True


def _sentence(error: Exception) -> str:
    """The sentence of an error; one that was not made for people is printed to the terminal."""
    if isinstance(error, ValueError):
        return str(error)
    traceback.print_exception(error)
    return "The program failed; the terminal it runs in shows where."


def offered(control: Control) -> list[str]:
    """The choices of a dropdown without the preset."""
    return [choice for choice in control.choices if isinstance(choice, str) and choice != PRESET]


def _described(entry: Any) -> str:
    """A checkpoint in one line: name, family, size. Changes of direction in the name end with it."""
    size, unit = entry.size, "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{entry.name}{_closers(entry.name)} · {entry.family} · {size:.3g} {unit}"


def _closers(text: str) -> str:
    """The marks that end the embeddings, overrides and isolates (Unicode) that a text leaves open."""
    open_ones: list[str] = []
    for sign in text:
        if sign in EMBEDDING:
            open_ones.append(EMBEDDED)
        elif sign in ISOLATING:
            open_ones.append(ISOLATED)
        elif sign in (EMBEDDED, ISOLATED) and sign in open_ones:
            while open_ones.pop() != sign:
                pass
    return "".join(reversed(open_ones))


def _read(control: Control, shown: Any) -> Any:
    try:
        return take(control, shown)
    except ValueError:
        return shown
