// @ts-check
import { element, say, whenVisible } from "webui";
import { NAME } from "./more/name.js";

const line = element("p", "greeting", `${NAME}: ${say("page.write")}`);
document.body.append(line);

/** The extension's view: says whether it is visible. */
class Greeting extends HTMLElement {
  connectedCallback() {
    whenVisible("greeting", (visible) => (this.textContent = visible ? "visible" : "hidden"));
  }
}
customElements.define("greeting-view", Greeting);
