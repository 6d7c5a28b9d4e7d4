// @ts-check
import { call, element, say, whenVisible } from "webui";

class Shelf extends HTMLElement {
  connectedCallback() {
    whenVisible("shelf", (visible) => visible && void this.draw());
  }

  async draw() {
    const { texts } = await call("shelf/last", {});
    const head = element("header", "page-head", element("h2", "", say("extension.shelf.tab")));
    this.replaceChildren(head, element("ol", "", ...texts.map((text) => element("li", "", text))));
  }
}
customElements.define("my-shelf", Shelf);
