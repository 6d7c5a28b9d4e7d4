// @ts-check
// <tdw-prompt-tools>: the line below the prompts: the token counter, the preview, and buttons that extensions add.

const TAG = "tdw-prompt-tools";
const added = []; // in their order; Gradio may draw the line after they came

class Tools extends HTMLElement {
  connectedCallback() {
    this.append(...added.flat());
  }
}

/** Adds elements to the line below the prompts. @param {...HTMLElement} nodes */
export function addPromptTool(...nodes) {
  added.push(nodes);
  document.querySelector(TAG)?.append(...nodes);
}

customElements.define(TAG, Tools);
