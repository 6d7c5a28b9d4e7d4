// Types of what the scripts share, for `deno check` and for editors. Nothing of this file is served.

import type { Canvas } from "./canvas/canvas.js";
import type { Compare } from "./results/compare.js";
import type { Quick } from "./controls/quick.js";
import type { Repeat } from "./controls/repeat.js";

/** What Gradio's events and the scripts call, made in base/page.js. */
interface Page {
  /** What the next press of a hidden button sends. */
  payload: string;
  /** What the next press of the hidden button "put" shows in the controls. */
  raw: unknown[];
  /** This browser's id and language. */
  readonly browser: string;
  submitting(): void;
  submitted(answer: { job?: string; error?: string } | null): void;
  failed(handler: string): void;
  refused(answer: { error?: string } | null): void;
  resume(answer: { job?: string }): void;
  interrupt(): void;
  interruptAll(): void;
  write(): void;
  seed(): number;
  changed(values: unknown[]): void;
  reset(): void;
  planned(answer: { texts?: number; forwards?: number; seconds?: number | null; confirm?: boolean; error?: string; off: { path: string; text: string }[] } | null): void;
  request(): Promise<{ request?: Record<string, unknown>; error?: string }>;
  gathered(answer: { request?: Record<string, unknown>; error?: string }): void;
  merge(part: Record<string, unknown>): void;
  targets(): { field: string; label: string }[];
}

/** What Gradio is told of a component, as far as base/start.js changes it. */
interface GradioProps {
  elem_id?: string;
  name?: string;
  label?: string;
  info?: string;
  placeholder?: string;
  variant?: string;
  value?: string;
  choices?: [string, unknown][];
}

/** Settings that act in the browser. */
interface Look {
  language?: string;
  theme?: string;
  palette?: string;
  quick_settings?: string[];
  notify_after?: number;
}

declare global {
  interface Window {
    tdw: Page;
    /** Set by base/start.js. */
    tdwStart: { look: Look; applyLook(look?: Look): void; language: string; nameOfField(path: string): string };
    /** What Gradio's events said before base/page.js was there. */
    tdwShown?: unknown[];
    tdwResumed?: { job?: string };
    gradio_config?: { root: string; title: string; components: { props: GradioProps }[] };
  }

  interface HTMLElementTagNameMap {
    "tdw-canvas": Canvas;
    "tdw-compare": Compare;
    "tdw-quick": Quick;
    "tdw-repeat": Repeat;
  }

  /** Events that parts of the page dispatch and base/page.js answers. */
  interface DocumentEventMap {
    "tdw:use": CustomEvent<{ request: Record<string, unknown>; keepSeed: boolean }>;
    "tdw:write": CustomEvent<{ field: string; text: string }>;
    "tdw:watch": CustomEvent<{ job: string }>;
    "tdw:say": CustomEvent<{ sentence: string; undo?: () => void }>;
    "tdw:complain": CustomEvent<{ sentence: string }>;
    "tdw:generate": CustomEvent<{ request: Record<string, unknown>; view?: string }>;
    "tdw:settings": CustomEvent<Look>;
    "tdw:count": CustomEvent<{ view: string; count: number }>;
    "tdw:rescanned": CustomEvent<{ checkpoints: unknown[]; added: string[]; lost: string[] }>;
    "tdw:view": CustomEvent<string>;
    "tdw:history": CustomEvent<void>;
  }

  /** The page has HTML elements only, no SVG and no MathML. */
  interface ParentNode {
    querySelector<K extends keyof HTMLElementTagNameMap>(selector: K): HTMLElementTagNameMap[K] | null;
    querySelector<E extends HTMLElement = HTMLElement>(selector: string): E | null;
    querySelectorAll<K extends keyof HTMLElementTagNameMap>(selector: K): NodeListOf<HTMLElementTagNameMap[K]>;
    querySelectorAll<E extends HTMLElement = HTMLElement>(selector: string): NodeListOf<E>;
  }

  interface Element {
    closest<E extends HTMLElement = HTMLElement>(selector: string): E | null;
  }
}
