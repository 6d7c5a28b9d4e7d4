"""The page: prompt, controls and canvas drawn from the App. Controls come from fields only; no extension is named here."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: Gradio reads it then

import gradio as gr
from fastapi import FastAPI

from webui.ui.controls import PRESET, Control, controls_of, draw, preset_value, request_of, show, take, values_of
from webui.ui.frame import TITLE, VIEWS, Head, navigation, said, serve_assets
from webui.ui.theme import theme

FREQUENT = ("sampler", "steps", "length", "block_length", "temperature")  # core parameters that are always in sight
LAST = ("count", "seed")  # ... and after those of the extensions
LAST_JOB = "() => localStorage.getItem('tdw.job') || ''"  # written by canvas.js
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def mount(app: Any, server: FastAPI) -> FastAPI:
    """Serves the page at / and its scripts at /ui/ of `server`. Call it after the API's routes: the page takes what is left."""

    serve_assets(server)
    server.add_middleware(Head, program=app)
    demo = build(app)
    gr.mount_gradio_app(
        server, demo, path="/", theme=theme(),
        footer_links=[], run_history=False, show_error=True, ssr_mode=False, mcp_server=False, pwa=False,
    )  # fmt: skip
    demo.has_launched = True  # mount_gradio_app forgets it; without it any file path in an input is read and served
    return server


def build(app: Any) -> gr.Blocks:
    """The page as Gradio Blocks."""
    return _Page(app).demo


class _Page:
    """Draws the page once and wires its few events; the browser's side is page.js."""

    def __init__(self, app: Any):
        self.app = app
        self.model = app.settings.model
        self.controls: list[Control] = []  # in the order they were drawn ...
        self.components: list[gr.components.Component] = []  # ... and what they were drawn as
        self._all = {control.path: control for control in controls_of(app.Request, app)}
        self._start = self.preset(None)
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.demo:
            self._head()
            with gr.Row(elem_id="view-write", equal_height=False):
                with gr.Column(elem_id="desk-left", scale=0, min_width=0):
                    with gr.Column(elem_id="writing", min_width=0):
                        self._write()
                    with gr.Column(elem_id="parameters", min_width=0):
                        self._parameters()
                        self._extensions()
                with gr.Column(elem_id="desk-right", min_width=0):
                    _html(self._canvas(), "canvas")
            for view in VIEWS[1:]:
                _html(f"<tdw-{view}></tdw-{view}>", f"view-{view}", elem_classes="view")
            self._wire()

    # -- drawing ---------------------------------------------------------------------------------------------------

    def _head(self) -> None:
        with gr.Row(elem_id="top", equal_height=True):
            _html(f"<h1>{TITLE.removesuffix(' WebUI')}<small>WebUI</small></h1>", "name")
            _html(navigation(), "navigation")
            control = self._all["model",]
            listed = {e.name: e for e in self.app.checkpoints.list()}
            choices = [(_described(listed[name]) if name in listed else name, name) for name in _offered(control)]
            value = self.model if self.model in _offered(control) else None
            self.picker = gr.Dropdown(
                choices, value=value, label=control.label, elem_id=control.id, interactive=True, min_width=0, scale=0
            )
            self._keep(control, self.picker)
            _html("<tdw-models></tdw-models>", "models")

    def _write(self) -> None:
        prompts = [c for c in self._all.values() if c.place == "prompt"]
        main = self._all["prompt",]
        self._keep(main, draw(main, "", placeholder="", autofocus=True, elem_classes=["main-prompt", "kind-lines"]))
        for control in prompts:
            if control is not main:
                self._draw(control, placeholder="", lines=1)
        with gr.Row(elem_id="actions"):
            self.generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=0)
            self.interrupt = gr.Button("Interrupt", elem_id="interrupt", scale=1, min_width=0)
        _html('<div id="alert" role="alert" hidden></div>', "alert-place")
        self.guide = _html(self._guide(None), "guide")

    def _parameters(self) -> None:
        rest = [
            c
            for c in self._all.values()
            if c.place == "parameters" and c.path not in [*_paths(FREQUENT), *_paths(LAST), ("model",)]
        ]
        own = [c for c in rest if len(c.path) > 1]
        with gr.Row(elem_classes="heading"):
            _html(f"<h2>{said('page.parameters')}</h2>")
            self.reset = gr.Button("Reset to preset", elem_id="reset", size="sm", min_width=0, scale=0)
        with gr.Column(elem_classes="grid", min_width=0):
            for control in [*map(self._all.get, _paths(FREQUENT)), *own, *map(self._all.get, _paths(LAST))]:
                self._draw(control)
        with (
            gr.Accordion("More", open=False, elem_id="more", elem_classes="fold"),
            gr.Column(elem_classes="grid", min_width=0),
        ):
            texts = [c for c in self._all.values() if c.place == "accordion" and len(c.path) == 1]
            for control in [c for c in rest if len(c.path) == 1] + texts:
                self._draw(control)

    def _extensions(self) -> None:
        extensions, failed = self.app.registry.extensions, self.app.registry.failed
        drawn = [(name, [c for c in self._all.values() if c.path[0] == name and len(c.path) > 1]) for name in extensions]
        drawn = [(name, [c for c in controls if c.place == "accordion"]) for name, controls in drawn]
        if any(controls for _, controls in drawn) or failed:
            _html(f"<h2>{said('page.extensions')}</h2>", elem_classes="heading")
        for name, controls in drawn:
            if controls:
                with gr.Accordion(
                    extensions[name].title, open=False, elem_id=f"extension-{name}", elem_classes=["fold", "extension"]
                ):
                    _html(f"<p class=about>{_text(extensions[name].about)}</p>")
                    with gr.Column(elem_classes="grid", min_width=0):
                        for control in controls:
                            self._draw(control)
        for name, trace in failed.items():
            title = f"<summary>{_text(name)} <b>could not be loaded</b></summary>"
            _html(f"<details class=failed>{title}<pre>{_text(trace)}</pre></details>")

    def _draw(self, control: Control, **look: Any) -> None:
        value = show(control, preset_value(control, self._start))
        look = {"elem_classes": [f"kind-{control.kind}"], "min_width": 0, **look}
        if control.kind != "seed":
            return self._keep(control, draw(control, value, **look))
        with gr.Row(elem_classes="seed"):
            self._keep(control, draw(control, value, **look))
            dice = gr.Button("Random seed", elem_classes=["tool", "dice"], min_width=0, scale=0)
            again = gr.Button("Seed of the last text", elem_classes=["tool", "again"], min_width=0, scale=0)
        dice.click(None, None, self.components[-1], js="() => -1", **QUIET)
        again.click(None, None, self.components[-1], js="() => window.tdw.seed()", **QUIET)

    def _keep(self, control: Control, component: gr.components.Component) -> None:
        self.controls.append(control)
        self.components.append(component)

    def _canvas(self) -> str:
        """The place of the live canvas, with each field's name, default and step."""
        labels = {".".join(c.path): [c.label, c.default(), c.step()] for c in self._all.values()}
        return f'<tdw-canvas data-labels="{_text(json.dumps(labels, default=str))}"></tdw-canvas>'

    # -- events ----------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        everything = self.components
        self.answer = gr.JSON(None, visible="hidden", elem_id="answer")
        self.question = gr.Textbox("", visible="hidden", elem_id="question", label="question")
        fill = gr.Button("fill", visible="hidden", elem_id="fill")
        old = gr.State(self.model)  # the checkpoint whose preset the controls show
        about = [old, self.guide]
        self.generate.click(
            self.submit, everything, self.answer, js="(...values) => (window.tdw.pressed(), values)", **QUIET
        ).then(None, self.answer, js="answer => window.tdw.answered(answer)", **QUIET)  # fmt: skip
        self.interrupt.click(None, js="() => window.tdw.interrupt()", **QUIET)
        self.picker.input(self.switch, [old, *everything], [*about, *everything], **QUIET)
        self.reset.click(self.untouched, self.picker, everything, **QUIET)
        fill.click(self.fill, self.question, [*about, *everything], js="() => window.tdw.question", **QUIET)
        resumed = "answer => { window.tdwResumed = answer; window.tdw?.resume(answer) }"  # page.js may load after this
        self.demo.load(
            self.resume, self.question, [self.answer, *about, *everything], js=LAST_JOB, **QUIET
        ).then(None, self.answer, js=resumed, **QUIET)  # fmt: skip
        for name in self.app.registry.extensions:
            self._mark(name)

    def _mark(self, name: str) -> None:
        """Keeps the mark on an extension's accordion true: it shows that options inside are not at their defaults."""
        mine = [
            (c, w) for c, w in zip(self.controls, self.components, strict=True) if c.path[0] == name and c.place == "accordion"
        ]
        if mine:
            defaults = json.dumps([show(control, preset_value(control, self._start)) for control, _ in mine])
            inputs = [component for _, component in mine]
            js = f"(...values) => window.tdw?.mark({json.dumps(name)}, values, {defaults})"
            gr.on([c.change for c in inputs], None, inputs, js=js, **QUIET)

    # -- handlers --------------------------------------------------------------------------------------------------

    def submit(self, *shown: Any) -> dict[str, Any]:
        """Queues what the controls say. The answer is for the browser: the job's id, or one sentence."""
        try:
            request = request_of(self.app.Request, self.controls, shown, self.preset(self._chosen(shown)))
            return {"job": self.app.jobs.submit(request).id}
        except (ValueError, OverflowError) as error:
            return {"error": str(error)}

    def switch(self, old: str, *shown: Any) -> list[Any]:
        """Another checkpoint was chosen: what still shows the old preset shows the new one; what was touched stays."""
        before, after = self.preset(old), self.preset(self._chosen(shown))
        values = [
            show(c, preset_value(c, after)) if c.empty and c.path != ("model",) and _read(c, s) == preset_value(c, before) else s
            for c, s in zip(self.controls, shown, strict=True)
        ]
        return [self._chosen(shown), self._guide(self._chosen(shown)), *values]

    def untouched(self, model: str | None) -> list[Any]:
        """Every parameter as the preset has it; texts and the options of accordions stay."""
        preset = self.preset(model)
        return [
            show(c, preset_value(c, preset)) if c.place == "parameters" and c.path != ("model",) else gr.skip()
            for c in self.controls
        ]

    def fill(self, stored: str) -> list[Any]:
        """The controls show a stored request; what cannot be read leaves them as they are."""
        try:
            request, _ = self.app.Request.read(stored)
        except ValueError as error:
            raise gr.Error(str(error)) from None
        return self._filled(request)

    def resume(self, job: str) -> list[Any]:
        """After a reload: the browser's last job, if it is still known, with the request that made it."""
        found = self.app.jobs.get(job) if job else None
        if found is None:
            return [{}, *[gr.skip()] * (2 + len(self.controls))]
        return [{"job": found.id}, *self._filled(found.request)]

    def _filled(self, request: Any) -> list[Any]:
        model = request.model or self.model
        return [model, self._guide(model), *values_of(self.controls, request, self.preset(model))]

    def _chosen(self, shown: Sequence[Any]) -> str | None:
        return shown[self.controls.index(self._all["model",])] or None

    def preset(self, model: str | None) -> Mapping[str, Any]:
        """The preset of a checkpoint, or nothing if it cannot be used: then every field shows that it is open."""
        try:
            return {**self.app.checkpoints.profile(model)["preset"], "model": self.model}
        except ValueError:
            return {"model": self.model}

    def _guide(self, model: str | None) -> str:
        """What the checkpoint understands, and prompts to try, as HTML."""
        try:
            profile = self.app.checkpoints.profile(model)
        except ValueError as error:
            return f"<p class=understands>{_text(str(error))}</p>"
        words = f"<p class=understands>{_text(profile['understands'])}</p>" if profile.get("understands") else ""
        chips = "".join(f"<button type=button class=example>{_text(p)}</button>" for p in profile.get("examples", ()))
        return words + (f'<div class=examples role=group aria-label="Examples">{chips}</div>' if chips else "")


def _paths(names: Sequence[str]) -> list[tuple[str]]:
    return [(name,) for name in names]


def _offered(control: Control) -> list[str]:
    return [choice for choice in control.choices if isinstance(choice, str) and choice != PRESET]


def _read(control: Control, shown: Any) -> Any:
    try:
        return take(control, shown)
    except ValueError:
        return shown


def _described(entry: Any) -> str:
    """A checkpoint in one line: name, family, size."""
    size, unit = entry.size, "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{entry.name} · {entry.family} · {size:.3g} {unit}"


def _html(value: str, name: str | None = None, **look: Any) -> gr.HTML:
    """Our own markup, without Gradio's styles and scripts."""
    return gr.HTML(value, elem_id=name, apply_default_css=False, js_on_load=None, **look)


def _text(value: str) -> str:
    return html.escape(str(value))
