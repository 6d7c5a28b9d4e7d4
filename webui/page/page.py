"""The page as Gradio Blocks: prompt, controls and canvas, drawn from the App. Controls are made from fields
alone; no extension is named here."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.components.base import Component

from webui.core.names import SAMPLER_OPTIONS
from webui.page import gradio_internals
from webui.page.controls import Control, controls_of, draw, preset_value, show
from webui.page.desk import Desk, offered
from webui.page.frame import TITLE, VIEWS, Head, extensions_view, navigation, serve_assets, tabs_of, words
from webui.page.theme import theme

FREQUENT = (
    "sampler",
    "steps",
    "length",
    "block_length",
    "temperature",
)  # core parameters that are always visible
LAST = ("count", "seed")  # ... and those after the extensions' options
PLACEHOLDER = "What is the text about?"  # of the prompt
# Fields that a request keeps without a control, each with the value of its hidden component if it is unset:
# options of extensions that are not installed, and the canvas that a text continues.
HIDDEN = MappingProxyType({"unknown": "{}", "canvas": ""})
LAST_JOB = "() => localStorage.getItem('tdw.job') || ''"  # written by canvas.js
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# The handlers get values as the browser sent them. Gradio's own check answers 500 to a slider that is empty
# or out of bounds, and to a choice that is gone; the request model refuses them with a sentence.
RAW: dict[str, Any] = {**QUIET, "preprocess": False}


def mount(app: Any, server: FastAPI) -> FastAPI:
    """Serves the page at / and its scripts under /ui/. Call it after the API's routes: the page takes all
    others."""
    serve_assets(server, app.registry)
    server.add_middleware(Head, program=app)
    demo = build(app)
    gradio_internals.mount(
        server,
        demo,
        theme=theme(),
        footer_links=[],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )
    return server


def build(app: Any) -> gr.Blocks:
    """The page as Gradio Blocks."""
    return _Page(app).demo


class _Page(Desk):
    """Draws the page once and wires its events; the browser's side is static/base/page.js."""

    def __init__(self, app: Any):
        super().__init__(app)
        self.components: list[
            Any
        ] = []  # of the controls, in their order; Gradio adds their events dynamically
        self._all = {control.path: control for control in controls_of(app.Request, app)}
        self._start = self.preset(None)
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.demo:
            self._head()
            with gr.Row(elem_id="view-write", equal_height=False):
                _html("<tdw-quick></tdw-quick>", "quick")
                with gr.Column(elem_id="desk-left", scale=0, min_width=0):
                    with gr.Column(elem_id="writing", min_width=0):
                        self._write()
                    with gr.Column(elem_id="parameters", min_width=0):
                        self._parameters()
                        self._extensions()
                with gr.Column(elem_id="desk-right", min_width=0):
                    _html(self._canvas(), "canvas")
            for view in VIEWS[1:]:
                own = extensions_view(app.registry) if view == "extensions" else f"<tdw-{view}></tdw-{view}>"
                _html(own, f"view-{view}", elem_classes="view")
            for name, tab in tabs_of(app.registry):
                _html(f"<{tab.element}></{tab.element}>", f"view-{name}", elem_classes="view")
            self.guide.value = self.guide_of(None)  # now that all controls are known
            self._wire()

    # -- drawing ---------------------------------------------------------------------------------------------

    def _head(self) -> None:
        with gr.Row(elem_id="top", equal_height=True):
            _html(f"<h1>{TITLE.removesuffix(' WebUI')}<small>WebUI</small></h1>", "name")
            _html(navigation(self.app.registry), "navigation")
            control = self._all["model",]
            choices = self.checkpoints(offered(control))
            value = self.model if self.model in offered(control) else None
            self.picker = gr.Dropdown(
                choices,
                value=value,
                allow_custom_value=True,  # as in controls.draw
                label=control.label,
                elem_id=control.id,
                interactive=True,
                min_width=0,
                scale=0,
            )
            self._keep(control, self.picker)
            _html("<tdw-models></tdw-models>", "models")

    def _write(self) -> None:
        prompts = [c for c in self._all.values() if c.place == "prompt"]
        main = self._all["prompt",]
        self._keep(
            main,
            draw(
                main, "", placeholder=PLACEHOLDER, autofocus=True, elem_classes=["main-prompt", "kind-lines"]
            ),
        )
        for control in prompts:
            if control is not main:
                self._draw(control, placeholder="", lines=1)
        _html(
            '<tdw-prompt-tools class="prompt-tools"><tdw-tokens></tdw-tokens><tdw-preview></tdw-preview>'
            "</tdw-prompt-tools>",
            "tokens",
        )
        with gr.Column(elem_id="bar", min_width=0):
            _html('<div id="alert" role="alert" hidden></div><tdw-unknown></tdw-unknown>', "alert-place")
            _html("<tdw-ready></tdw-ready>", "ready")
            with gr.Row(elem_id="actions"):
                self.generate = gr.Button(
                    "Generate", variant="primary", elem_id="generate", scale=3, min_width=0
                )
                self.interrupt = gr.Button("Interrupt", elem_id="interrupt", scale=1, min_width=0)
                blocks = self._shorter_blocks()
                _html(f"<tdw-settle{'' if blocks else ' hidden'}></tdw-settle>", "settle")
                _html("<tdw-repeat></tdw-repeat>", "repeat")
        self.guide = _html("", "guide")

    def _shorter_blocks(self) -> bool:
        """Whether the preset denoises in blocks, as settle.js finds out later."""
        length, block = (preset_value(self._all[name,], self._start) for name in ("length", "block_length"))
        return bool(length and block and block < length)

    def _parameters(self) -> None:
        rest = [
            c
            for c in self._all.values()
            if c.place == "parameters" and c.path not in [*_paths(FREQUENT), *_paths(LAST), ("model",)]
        ]
        own = [c for c in rest if len(c.path) > 1]
        only = [c for c in self._all.values() if ".".join(c.path) in _flat(SAMPLER_OPTIONS)]
        with gr.Row(elem_classes="heading"):
            _html(f"<h2>{words('page.parameters')}</h2>")
            _html("<tdw-presets></tdw-presets>", "presets")
            self.reset = gr.Button("Reset", elem_id="reset", size="sm", min_width=0, scale=0)
        with gr.Column(elem_classes="grid", min_width=0):
            for path in _paths(FREQUENT):
                self._draw(self._all[path])
            for control in only:  # of one sampler: shown while it is chosen
                self._draw(control, elem_classes=[f"kind-{control.kind}", "sampler-option"])
            for control in [*own, *(self._all[path] for path in _paths(LAST))]:
                self._draw(control)
        options = _text(json.dumps(dict(SAMPLER_OPTIONS)))
        _html(f'<tdw-sampler-options data-options="{options}"></tdw-sampler-options>', "sampler-options")
        with (
            gr.Accordion("More", open=False, elem_id="more", elem_classes="fold"),
            gr.Column(elem_classes="grid", min_width=0),
        ):
            texts = [c for c in self._all.values() if c.place == "accordion" and len(c.path) == 1]
            for control in [c for c in rest if len(c.path) == 1] + texts:
                self._draw(control)
        for name, unset in HIDDEN.items():
            hidden = Control((name,), self.app.Request.model_fields[name], "json", not unset)
            component = gr.Textbox(unset, visible="hidden", label=name, elem_id=f"hidden-{name}")
            self._keep(hidden, component)

    def _extensions(self) -> None:
        extensions = self.app.registry.extensions
        drawn = [
            (name, [c for c in self._all.values() if c.path[0] == name and len(c.path) > 1])
            for name in extensions
        ]
        drawn = [(name, [c for c in controls if c.place == "accordion"]) for name, controls in drawn]
        if any(controls for _, controls in drawn) or self.app.registry.failed:
            _html(f"<h2>{words('page.extensions')}</h2>", elem_classes="heading")
        for name, controls in drawn:
            if controls:
                with gr.Accordion(
                    extensions[name].title,
                    open=False,
                    elem_id=f"extension-{name}",
                    elem_classes=["fold", "extension"],
                ):
                    about = words(f"extension.{name}.about", _text(extensions[name].about))
                    _html(f"<p class=about>{about}</p>")
                    with gr.Column(elem_classes="grid", min_width=0):
                        for control in controls:
                            self._draw(control)
        _html("<tdw-open-file></tdw-open-file>", "open-file")
        for name in self.app.registry.failed:
            _html(
                f'<a class=failed href="#extensions"><bdi>{_text(name)}</bdi> {words("page.not_loaded")}</a>'
            )

    def _draw(self, control: Control, **look: Any) -> None:
        value = show(control, preset_value(control, self._start))
        look = {"elem_classes": [f"kind-{control.kind}"], "min_width": 0, **look}
        if control.kind != "seed":
            return self._keep(control, draw(control, value, **look))
        with gr.Row(elem_classes="seed"):
            self._keep(control, draw(control, value, **look))
            dice = gr.Button(
                "Random seed", elem_id="dice", elem_classes=["tool", "dice"], min_width=0, scale=0
            )
            again = gr.Button(
                "Seed of the last text", elem_id="again", elem_classes=["tool", "again"], min_width=0, scale=0
            )
        dice.click(None, None, self.components[-1], js="() => -1", **QUIET)
        again.click(None, None, self.components[-1], js="() => window.tdw.seed()", **QUIET)

    def _keep(self, control: Control, component: Component) -> None:
        self.controls.append(control)
        self.components.append(component)

    def _canvas(self) -> str:
        """The live canvas's element, with each field's label, default, step and whether it holds a field's
        path, and extensions' titles."""
        labels = {".".join(c.path): [c.label, c.default(), c.step(), c.of_fields] for c in self._all.values()}
        titles = json.dumps({name: kind.title for name, kind in self.app.registry.extensions.items()})
        data = f'data-labels="{_text(json.dumps(labels, default=str))}" data-titles="{_text(titles)}"'
        return f"<tdw-canvas {data}></tdw-canvas>"

    # -- events ----------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        everything = self.components
        self.reply = gr.JSON(None, visible="hidden", elem_id="reply")
        self.planned = gr.JSON(None, visible="hidden", elem_id="planned")
        self.payload = gr.Textbox("", visible="hidden", elem_id="payload", label="payload")
        # The checkpoint whose preset the controls show. No gr.State: for it every tab would hold a connection
        # ("heartbeat"), of the six that a browser allows to one server.
        old = gr.Textbox(self.model or "", visible="hidden", elem_id="preset-of", label="preset-of")
        about = [old, self.guide]
        # page.js may load after these events
        report = "(...values) => { window.tdwShown = values; window.tdw?.changed(values) }"
        changed = {"fn": None, "inputs": everything, "js": report}
        payload = "() => window.tdw.payload"
        browser = "(...values) => [...values.slice(0, -1), window.tdw.browser]"
        submitting = "(...values) => (window.tdw.submitting(), [...values.slice(0, -1), window.tdw.browser])"
        self._on(
            self.generate.click, self.submit, [*everything, self.payload], self.reply, js=submitting
        ).then(None, self.reply, js="reply => window.tdw.submitted(reply)", **QUIET)
        self.interrupt.click(None, js="() => window.tdw.interrupt()", **QUIET)
        refused = {"fn": None, "inputs": self.reply, "js": "reply => window.tdw.refused(reply)"}
        self._on(
            self.picker.input, self.switch, [old, *everything], [*about, *everything], mode="always_last"
        ).then(**changed, **QUIET)
        self.reset.click(None, js="() => window.tdw.reset()", **QUIET)
        self._on(
            _hidden("plan").click, self.plan, [*everything, self.payload], self.planned, js=browser
        ).then(None, self.planned, js="answer => window.tdw.planned(answer)", **QUIET)
        self._on(
            _hidden("fill").click, self.fill, self.payload, [self.reply, *about, *everything], js=payload
        ).then(**changed, **QUIET).then(**refused, **QUIET)
        self._on(
            _hidden("merge").click,
            self.merge,
            [self.payload, self.picker],
            [self.reply, *everything],
            js="(_, model) => [window.tdw.payload, model]",
        ).then(**changed, **QUIET).then(**refused, **QUIET)
        put = _hidden("put").click(None, None, everything, js="() => window.tdw.raw", **QUIET)
        self._on(put.then, self.follow, self.picker, about).then(**changed, **QUIET)
        self._on(_hidden("rescan").click, self.rescanned, None, self.picker)
        self._on(
            _hidden("gather").click, self.gather, [*everything, self.payload], self.reply, js=browser
        ).then(None, self.reply, js="reply => window.tdw.gathered(reply)", **QUIET)
        resumed = "reply => { window.tdwResumed = reply; window.tdw?.resume(reply) }"
        self._on(
            self.demo.load, self.resume, self.payload, [self.reply, *about, *everything], js=LAST_JOB
        ).then(None, self.reply, js=resumed, **QUIET).then(**changed, **QUIET)
        gr.on([c.change for c in everything], **changed, **QUIET)

    def _on(
        self,
        event: Any,
        handler: Any,
        inputs: Any,
        outputs: Any,
        js: str | None = None,
        mode: str = "multiple",
    ) -> Any:
        """Calls a handler on an event. If it does not answer the page says so, and can go on: Gradio calls
        `then` after an answer only. mode: what comes of an event while the one before has no answer yet;
        Gradio's own "once" drops it."""
        called = event(handler, inputs, outputs, js=js, trigger_mode=mode, **RAW)
        called.failure(None, js=f"() => window.tdw?.failed({json.dumps(handler.__name__)})", **QUIET)
        return called


def _hidden(name: str) -> gr.Button:
    """A hidden button that page.js clicks."""
    return gr.Button(name, visible="hidden", elem_id=name)


def _flat(options: Mapping[str, Sequence[str]]) -> set[str]:
    return {path for paths in options.values() for path in paths}


def _paths(names: Sequence[str]) -> list[tuple[str]]:
    return [(name,) for name in names]


def _html(value: str, name: str | None = None, **look: Any) -> gr.HTML:
    """Markup without Gradio's style sheets and scripts."""
    return gr.HTML(value, elem_id=name, apply_default_css=False, js_on_load=None, **look)


def _text(value: str) -> str:
    return html.escape(str(value))
