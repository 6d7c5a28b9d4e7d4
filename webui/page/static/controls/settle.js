// @ts-check
// <tdw-settle>, beside Generate: "Watch it settle". Generates with the whole canvas as one block, so that tokens are committed all
// over it, and says what that costs by what was measured. It is there where the controls ask for shorter blocks.

import { post } from "../base/call.js";
import { showError, showNotice } from "../base/notice.js";
import { button } from "../base/parts.js";
import { currentRequest, generate } from "../base/request.js";
import { shown } from "../base/shown.js";
import { formatNumber, say } from "../base/strings.js";

class Settle extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    const press = button("", () => void this.press());
    press.className = "tool settle";
    press.setAttribute("aria-label", say("page.settle"));
    press.title = say("page.settle_help");
    this.append(press);
    shown.watch(() => this.mark());
  }

  mark() {
    const [length, block] = ["length", "block_length"].map((path) => Number(shown.get(path)) || 0);
    this.hidden = !length || !block || block >= length;
  }

  async press() {
    const { request, error } = await currentRequest();
    if (error) return showError(error);
    const whole = { ...request, block_length: Number(shown.get("length")) };
    generate(whole, "");
    const [there, here] = await Promise.all([whole, request].map((one) => post("jobs/estimate", one).catch(() => null)));
    if (there) showNotice({ sentence: `${say("page.settle_on", { block: shown.get("block_length") })} ${price(there, here)}` });
  }
}

/** What it costs, in model calls and, once measured, in seconds; and what the controls would. */
function price(there, here) {
  const cost = ({ forwards, seconds }) => {
    const calls = say("page.settle_calls", { calls: formatNumber(forwards) });
    return seconds === null ? calls : say("page.settle_seconds", { calls, seconds: formatNumber(seconds, seconds < 10 ? 1 : 0) });
  };
  return here ? say("page.settle_both", { there: cost(there), here: cost(here) }) : say("page.settle_price", { there: cost(there) });
}

customElements.define("tdw-settle", Settle);
